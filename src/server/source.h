/* SPDX-License-Identifier: MIT */
/* The source texts that (load "path") names. */
#ifndef SERVER_SOURCE_H
#define SERVER_SOURCE_H

#include "base/buf.h"

/* A text without the byte order mark that some editors put before it. */
slice source_without_mark(slice text);

/* Appends the text of a file, of size_max bytes at most. A directory stands
 * for the files that its file `load-order` names, one a line. Returns 0, or a
 * negative errno with the path that failed in *failed (PERSIST_PATH_MAX
 * bytes). */
int source_read(const char *path, size_t size_max, buf *out, char *failed);

#endif
