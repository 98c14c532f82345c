/* SPDX-License-Identifier: MIT */
/* The real system with a disk that takes its time: each sync and each file that
 * gets its blocks naps first, as long as chance has it. So threads meet in
 * orders that a quick disk does not show. */
#ifndef TEST_OS_SLOW_H
#define TEST_OS_SLOW_H

#include "os/os.h"

typedef struct os_slow {
    unsigned nap_max; /* microseconds */
} os_slow;

/* Makes a table of such a system, which points to `slow`. */
void os_slow_table(os_slow *slow, os *out);

#endif
