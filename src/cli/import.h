/* SPDX-License-Identifier: MIT */
/* The inside of `persist import --legacy`: walking the old host's files. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "base/arena.h"
#include "cli/cli.h"
#include "os/os.h"
#include "sx.h"

enum {
    IMPORT_PATH_SIZE = 4096,
    IMPORT_FOLDERS = 3,
    IMPORT_NAMED_MAX = 100, /* so many that were left out are told by name */
};

typedef struct import_counts {
    uint64_t streams, events, keys, blobs;
    uint64_t unfinished; /* last lines that a crash cut short: left out */
    uint64_t unknown;    /* files that the old host did not make: left out */
} import_counts;

/* Where NEW comes into being. It is made as NEW.importing/store, and gets its
 * name when it is whole; while NEW.importing/lock is locked somebody is at
 * work there. */
typedef struct import_place {
    char path[IMPORT_PATH_SIZE];       /* NEW */
    char work_path[IMPORT_PATH_SIZE];  /* NEW.importing */
    char store_path[IMPORT_PATH_SIZE]; /* NEW.importing/store */
    bool taken;                        /* NEW is there, and not empty */
    os_dir *parent;                    /* holds both */
    os_dir *work;                      /* NULL: not begun */
    os_file *lock;
} import_place;

/* One walk over the old directory: first dry, to check everything, then with
 * a store to write to. */
typedef struct import {
    const os *os;
    os_dir *old;                     /* its directory, */
    os_dir *folders[IMPORT_FOLDERS]; /* and those in it; NULL: missing */
    import_place place;
    bool group;           /* NEW is for the group, too */
    persist_store *store; /* NULL: only check */
    sx *machine;
    sx_value value; /* the value at work */
    sx_out text;    /* the same as we print it */
    arena_pool pool;
    arena index;   /* tags of the event at work */
    sx_out type;   /* and its type */
    uint64_t line; /* that is at work in its file, from 1; 0: all of it */
    buf edits;     /* of import_edit: the commit in the making */
    buf bytes;     /* their names, data, types and tags, */
    size_t tags;   /* so many of these */
    import_counts counts;
    buf left_out; /* the first of them: paths, each with its zero byte and
                     whether its last line is meant */
    persist_error error;
} import;

/* A file of the old host. */
typedef struct import_file {
    const os_dir *dir;
    const char *name;            /* in dir */
    char path[IMPORT_PATH_SIZE]; /* for messages */
} import_file;

/* ---- where NEW is (import_place.c) ------------------------------------ */

/* Looks where NEW is to be: refused is what is no directory, or inside OLD, or
 * around it. Writes nothing. */
persist_status import_place_find(import *, const char *path);

/* Removes what an import left that was cut short, and makes room. */
persist_status import_place_begin(import *);

/* Gives the whole store its name, if all went well; removes what is left. */
persist_status import_place_end(import *, persist_status);

/* Lets go of the lock and of both directories. */
void import_place_release(import *);

/* ---- reading files (import_file.c) ------------------------------------ */

/* Called with the next bytes of a file. */
typedef persist_status (*import_step_fn)(import *, void *context, slice);

/* Reads a regular file from one end to the other. */
persist_status import_read(import *, const import_file *, import_step_fn,
                           void *context);

/* Called with each line of a file, without its newline. `whole` is false for
 * a last line that has none. */
typedef persist_status (*import_line_fn)(import *, void *context, slice line,
                                         bool whole);

/* Reads a file line by line. */
persist_status import_lines(import *, const import_file *, import_line_fn,
                            void *context);

/* ---- writing (import_file.c) ------------------------------------------ */

/* Adds an edit to the commit in the making, and commits when it is large. */
persist_status import_add(import *, const persist_edit *);
persist_status import_commit(import *);

/* The same with an event, that at work, and its tags. path: for an error. */
persist_status import_add_event(import *, const char *path, slice stream,
                                uint64_t seq);

/* The error of a file, or of the line of it that is at work. */
persist_status import_failed(import *, const char *path, persist_status,
                             const char *what);
/* The same where it does not hold what the old host wrote. */
persist_status import_damaged(import *, const char *path, const char *what);

/* Counts and names what is left out: a file that is none of the old host's, or
 * its last line, which is unfinished. */
persist_status import_leave_out(import *, const char *path, bool unfinished);

/* An os_list_fn: appends a name with its zero byte to a buf. */
int import_keep_name(void *names, const char *name);

#endif
