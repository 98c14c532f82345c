/* SPDX-License-Identifier: MIT */
/* What tells files apart that have one name and one size. */
#ifndef ENGINE_FILES_MARK_H
#define ENGINE_FILES_MARK_H

#include "os/os.h"

/* Hashes the end of an open file of that size: of a table that is the footer,
 * which has the commits, the counts and the places of all that is in it.
 * Returns 0 or a negative errno, -ERANGE if the file is shorter. */
int file_mark(const os *, os_file *, uint64_t size, uint64_t *out);

#endif
