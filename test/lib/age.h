/* SPDX-License-Identifier: MIT */
/* Makes a store as old as one that no test can wait for. */
#ifndef TEST_AGE_H
#define TEST_AGE_H

#include "os/os.h"

/* Moves the numbers that a store, cleanly closed, gives to its next segment,
 * table and manifest to just below 2^32, and that of openings to `epoch`. */
void age_store(const os *, const char *dir, uint64_t epoch);

#endif
