/* SPDX-License-Identifier: MIT */
/* Files that are named by a number: 16 lower-case hex digits and a suffix. */
#ifndef ENGINE_FILES_NUMBERED_H
#define ENGINE_FILES_NUMBERED_H

#include <stdbool.h>
#include <stdint.h>

#include "persist_base.h"

#define SEGMENT_SUFFIX ".log" /* of the log */

/* Writes the path of the file of a number, not 0, in a directory; the suffix
 * has four characters, such as ".log". Returns 0 or -ENAMETOOLONG. */
int numbered_path(const char *dir, uint64_t number, const char *suffix,
                  char out[PERSIST_PATH_MAX]);

/* Takes the number out of a file name; false if it is no such name. */
bool numbered_parse(const char *name, const char *suffix, uint64_t *number);

/* Takes the number out of a file name; false if it is no segment's name. */
bool segment_number(const char *name, uint64_t *number);

/* Tells whether the file of a number can be one of the store's, which gives
 * `next` to the next: one from somewhere else may have any number, and there
 * may be no counting on from that. */
bool numbered_is_near(uint64_t number, uint64_t next);

#endif
