/* SPDX-License-Identifier: MIT */
/* What a backend of the store implements: the table behind persist.h.
 *
 * store.c checks sizes and arguments once, for all backends, and calls the
 * table; each backend is one file with one static table. The meaning of every
 * row is that of the public function of the same name. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/slice.h"
#include "os/os_fork.h"
#include "persist.h"

typedef enum read_kind {
    READ_STREAM,      /* name, from, limit */
    READ_STREAM_BACK, /* name, from, limit */
    READ_ALL,         /* from = position, limit */
    READ_STREAMS,     /* after */
    READ_KEYS,        /* name = prefix, after, limit */
} read_kind;

typedef struct read_request {
    read_kind kind;
    slice name;
    const slice *after; /* NULL: from the start */
    uint64_t from;
    uint64_t limit;
    persist_view view;
} read_request;

typedef struct store_backend {
    persist_status (*close)(persist_store *, persist_error *);
    persist_status (*commit)(persist_store *, const persist_edit *, size_t,
                             const persist_once *, persist_outcome *,
                             persist_error *);
    persist_status (*once_find)(persist_store *, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *, persist_error *);
    persist_status (*wait_durable)(persist_store *, persist_lsn,
                                   persist_error *);
    persist_lsn (*latest)(persist_store *);
    /* The newest that is visible: a failed sync makes it fall. */
    persist_lsn (*visible)(persist_store *);
    persist_lsn (*durable)(persist_store *);

    persist_status (*read)(persist_store *, const read_request *,
                           persist_cursor **, persist_error *);
    persist_status (*next_event)(persist_cursor *, persist_event *,
                                 persist_error *);
    persist_status (*next_key)(persist_cursor *, slice *name, slice *value,
                               persist_error *);
    void (*cursor_close)(persist_cursor *);
    persist_status (*info)(persist_store *, slice stream, persist_view,
                           persist_stream_info *, bool *known, persist_error *);
    /* *out NULL: only tell whether it is there. */
    persist_status (*get)(persist_store *, slice key, persist_view, slice *out,
                          persist_error *);

    persist_status (*blob_has)(persist_store *, slice cid, persist_error *);
    persist_status (*blob_add)(persist_store *, slice bytes, persist_cid,
                               persist_lsn *, persist_error *);
    persist_status (*blob_create)(persist_store *, persist_blob_writer **,
                                  persist_error *);
    persist_status (*blob_write)(persist_blob_writer *, slice, persist_error *);
    /* Does not wait until the blob is durable. */
    persist_status (*blob_finish)(persist_blob_writer *, persist_cid,
                                  persist_lsn *, persist_error *);
    void (*blob_abort)(persist_blob_writer *);
    persist_status (*blob_open)(persist_store *, slice cid, uint64_t *size,
                                persist_blob_reader **, persist_error *);
    persist_status (*blob_read)(persist_blob_reader *, void *, size_t,
                                size_t *got, persist_error *);
    void (*blob_close)(persist_blob_reader *);
    void (*stats)(persist_store *, persist_stats *);
    persist_status (*step)(persist_store *, bool *did, persist_error *);
    bool (*is_shut)(persist_store *); /* NULL: never */
} store_backend;

/* Every handle of a backend begins with its table, and with the process that
 * it is of; that is set, and looked at, by store.c. */
struct persist_store {
    const store_backend *backend;
    uint32_t process;
};
struct persist_cursor {
    const store_backend *backend;
    uint32_t process;
    read_kind kind; /* set by store.c, which checks it */
    /* Events that the backend has put in hand besides the one it returned;
     * store.c gives them out before it asks for more. */
    const persist_event *ready, *ready_end;
};
struct persist_blob_writer {
    const store_backend *backend;
    uint32_t process;
    persist_store *store;
    persist_status failed; /* PERSIST_OK: no write has */
};
struct persist_blob_reader {
    const store_backend *backend;
    uint32_t process;
};

/* Tells whether a handle may not be used here: a fork has brought it. */
#define STORE_FORKED(handle) ((handle)->process != os_process())

/* PERSIST_CLOSED unless the handle is open, in this process. */
#define STORE_CHECK(handle, what, error)                                       \
    ((handle) == NULL       ? args_closed(error, what)                         \
     : STORE_FORKED(handle) ? args_forked(error, what)                         \
                            : PERSIST_OK)

/* Tells what is wrong with the options of a store on disk, as persist_open
 * does, but opens nothing. */
persist_status store_disk_check(const persist_options *, persist_error *);

/* The newest commit that a PERSIST_LATEST read shows: persist_latest until a
 * sync has failed, the last durable one from then on. */
persist_lsn store_visible(persist_store *);

/* Does a piece of the background work that is due, for a store that has no
 * thread for it: so a test decides when it happens. *did tells whether there
 * was any. */
persist_status store_step(persist_store *, bool *did, persist_error *);

/* Tells whether a store was opened on a disk that was full, so that it can be
 * written again only when it has been closed and opened anew. */
bool store_is_shut(persist_store *);

/* The same as the threads of a store on disk do it, which wait until somebody
 * has called for it. */
persist_status store_disk_step_called(persist_store *, bool *did,
                                      persist_error *);

/* Leaves that work of a store on disk to store_step from now on. */
void store_disk_by_steps(persist_store *);

/* Counts what reads of a store on disk waste so many times: so a test gets the
 * merges that reads pay for. Before the first read. */
void store_disk_reads_pay(persist_store *, uint32_t times);

/* Opens a store in memory: options->path is NULL. */
persist_status store_memory_open(const persist_options *, persist_store **,
                                 persist_error *);

/* Opens the store in the directory options->path, as persist_open does. */
persist_status store_disk_open(const persist_options *, persist_store **,
                               persist_error *);

#endif
