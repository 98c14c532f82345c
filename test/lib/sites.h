/* SPDX-License-Identifier: MIT */
/* Where in the program faults were met: test/crash/sites.py turns the stacks
 * into lines of source. */
#ifndef TEST_SITES_H
#define TEST_SITES_H

#include <stdbool.h>

/* Remembers the stack of the caller, once. */
void sites_note(void);

/* Writes the stacks to a file, one a line, as addresses, innermost first;
 * false when that fails. Ends the remembering. */
bool sites_write(const char *path);

#endif
