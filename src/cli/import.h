/* SPDX-License-Identifier: MIT */
/* The inside of `persist import --legacy`: walking the old host's files. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli/cli.h"
#include "os/os.h"
#include "os/os_stream.h"
#include "sx.h"

enum { IMPORT_PATH_SIZE = 4096 };

typedef struct import_counts {
    uint64_t streams, events, keys, blobs;
    uint64_t unfinished; /* last lines that a crash cut short: left out */
    uint64_t unknown;    /* files that the old host did not make: left out */
} import_counts;

/* One walk over the old directory: first dry, to check everything, then with
 * a store to write to. */
typedef struct import {
    const os *os;
    const char *dir;
    persist_store *store; /* NULL: only check */
    sx *machine;
    sx_value value; /* the value at work */
    sx_out text;    /* the same as we print it */
    buf edits;      /* of import_edit: the commit in the making */
    buf bytes;      /* their names and data */
    import_counts counts;
    persist_error error;
} import;

/* Called with each line of a file, without its newline. `whole` is false for
 * a last line that has none. */
typedef persist_status (*import_line_fn)(import *, void *context, slice line,
                                         uint64_t offset, bool whole);

/* Reads a file line by line. */
persist_status import_lines(import *, const char *path, import_line_fn,
                            void *context);

/* Adds an edit to the commit in the making, and commits when it is large. */
persist_status import_add(import *, persist_edit_kind, slice name, slice data,
                          uint64_t seq);
persist_status import_commit(import *);

/* The error of a system call on a path. */
persist_status import_io(import *, const char *what, const char *path,
                         int result);

/* The error of a file that does not hold what the old host wrote. */
persist_status import_damaged(import *, const char *path, uint64_t offset,
                              const char *what);

#endif
