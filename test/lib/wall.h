/* SPDX-License-Identifier: MIT */
/* The wall clock of the tests: one for all stores of a process, so that a store
 * and its model see the same. It stands still until somebody sets it, forwards
 * or back. */
#ifndef TEST_WALL_H
#define TEST_WALL_H

#include "os/os.h"

#define WALL_BEGIN UINT64_C(1700000000000000)

/* Sets it; moves it by what a number, any, says: mostly by little, sometimes
 * far ahead, sometimes back. */
void wall_set(uint64_t us);
void wall_move(uint64_t number);

/* For the table of an os: what it shows. */
uint64_t wall_now(const os *);

/* The real system with this clock. The table is static. */
const os *wall_os(void);

#endif
