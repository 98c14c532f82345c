/* SPDX-License-Identifier: MIT */
/* Bugs on purpose, by name: of the engine (base/seeded_bug.h), of the system
 * below it (os_sim.h), and of the promise itself. */
#ifndef TEST_BUGS_H
#define TEST_BUGS_H

#include "explore.h"

/* Prints all bugs that this build knows, one a line: name, tab, what is then
 * wrong. */
void bugs_list(void);

/* Switches a bug on for all runs of the explorer; false for a name that is
 * none. NULL: none. */
bool bugs_set(explorer *, const char *name);

#endif
