/* SPDX-License-Identifier: MIT */
/* The source texts that (load "path") names. */
#ifndef SERVER_SOURCE_H
#define SERVER_SOURCE_H

#include "base/buf.h"

/* A text without the byte order mark that some editors put before it. */
slice source_without_mark(slice text);

/* What is to be loaded: the text of a file, or those that a directory stands
 * for. Each is a text of its own. */
typedef struct source {
    buf text;   /* of all, one after the other */
    buf paths;  /* theirs, each with a NUL */
    buf ends;   /* where text and path of each end, two size_t */
    size_t at;  /* so many were taken */
    slice path; /* of the one taken last */
} source;

/* Forgets what was read, keeping the memory; gives the memory back. */
void source_clear(source *);
void source_release(source *);

/* Reads a file, of size_max bytes at most. A directory stands for the files
 * that its file `load-order` names, one a line. Returns 0, or a negative errno
 * with the path that failed in *failed (PERSIST_PATH_MAX bytes). The source
 * must be clear, or zeroed. */
int source_read(source *, const char *path, size_t size_max, char *failed);

/* Takes the next text; false if there is none. */
bool source_next(source *, slice *text);

#endif
