/* SPDX-License-Identifier: MIT */
/* Where in the program faults were met: test/crash/sites.py turns the stacks
 * into lines of source. */
#ifndef TEST_SITES_H
#define TEST_SITES_H

#include <stdbool.h>

/* A run begins, in which nothing has been failed. */
void sites_begin(void);

/* Tells whether the call that asks is to be failed: the first one of a run that
 * comes from a stack from which none was failed in this way before, so that
 * each place is failed once, however often it is passed; and those behind it,
 * if the fault lasts. Remembers the stacks of all that are. */
bool sites_choose(unsigned way, bool lasts);

/* Writes the stacks to a file, one a line, as addresses, innermost first;
 * false when that fails. Ends the remembering. */
bool sites_write(const char *path);

#endif
