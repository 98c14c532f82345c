/* SPDX-License-Identifier: MIT */
/* Makes a store as old as one that no test can wait for. */
#ifndef TEST_AGE_H
#define TEST_AGE_H

#include "os/os.h"
#include "persist.h"

/* The numbers of an aged store go on just below 2^32. */
#define AGE_YEARS (((uint64_t)1 << 32) - 4)

/* Openings that leave enough for any test. */
#define AGE_EPOCH (((uint64_t)1 << 31) - 4096)

/* Moves the numbers of a store of one commit, cleanly closed: those of its next
 * segment, table and manifest by AGE_YEARS, that of openings to `epoch`. If the
 * commit is in a table, its number goes the same way. */
void age_store(const os *, const char *dir, uint64_t epoch);

/* The same for the commits of a store in memory that has none yet. */
void age_memory(persist_store *);

#endif
