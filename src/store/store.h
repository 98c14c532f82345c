/* SPDX-License-Identifier: MIT */
/* What a backend of the store implements: the table behind persist.h.
 *
 * store.c checks sizes and arguments once, for all backends, and calls the
 * table; each backend is one file with one static table. The meaning of every
 * row is that of the public function of the same name. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdatomic.h>

#include "base/slice.h"
#include "engine/files/files.h"
#include "os/os_fork.h"
#include "os/os_news.h"
#include "persist.h"

typedef enum read_kind {
    READ_STREAM,      /* name, from, limit */
    READ_STREAM_BACK, /* name, from, limit */
    READ_ALL,         /* from = position, limit */
    READ_QUERY,       /* items, from = position, limit */
    READ_STREAMS,     /* range, limit */
    READ_KEYS,        /* range, limit */
    READ_COMMANDS,    /* range, limit */
    READ_BLOBS,       /* range, of which after is a cid or NULL; limit */
} read_kind;

typedef struct read_request {
    read_kind kind;
    slice name;
    uint64_t from;
    uint64_t limit;
    persist_view view;
    const persist_query_item *items;
    size_t item_count;
    const persist_range *range;
} read_request;

/* What is open of a store: cursors, snapshots, readers and writers of blobs,
 * and backups. */
typedef struct store_open {
    size_t cursors, snapshots, blobs, backups, ships;
} store_open;

typedef struct store_backend {
    void (*count_open)(persist_store *, store_open *);
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
    uint64_t (*position)(persist_store *, persist_view); /* no snapshot */
    /* Between os_news_enter and os_news_leave of what the next one gives;
     * store.c words PERSIST_CLOSED. */
    persist_status (*await)(persist_store *, uint64_t position,
                            uint64_t timeout_ms, uint64_t *newest,
                            persist_error *);
    os_news *(*news)(persist_store *);

    /* Of the two views; fills in lsn and position. */
    persist_status (*snapshot_open)(persist_store *, persist_view,
                                    persist_snapshot **, persist_error *);
    void (*snapshot_close)(persist_snapshot *);
    persist_status (*read)(persist_store *, const read_request *,
                           persist_cursor **, persist_error *);
    persist_status (*next_event)(persist_cursor *, const persist_event **,
                                 persist_error *);
    persist_status (*next_key)(persist_cursor *, slice *name, slice *value,
                               persist_error *);
    persist_status (*next_command)(persist_cursor *, const persist_command **,
                                   persist_error *);
    persist_status (*next_blob)(persist_cursor *, const persist_blob **,
                                persist_error *);
    void (*cursor_close)(persist_cursor *);
    persist_status (*position_at)(persist_store *, uint64_t time, persist_view,
                                  uint64_t *position, persist_error *);
    persist_status (*info)(persist_store *, slice stream, persist_view,
                           persist_stream_info *, bool *known, persist_error *);
    /* *out NULL: only tell whether it is there. */
    persist_status (*get)(persist_store *, slice key, persist_view, slice *out,
                          persist_error *);

    persist_status (*blob_size)(persist_store *, slice cid, uint64_t *size,
                                persist_error *);
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
    persist_status (*blob_read_at)(persist_blob_reader *, uint64_t offset,
                                   void *, size_t, size_t *got,
                                   persist_error *);
    void (*blob_close)(persist_blob_reader *);
    persist_status (*blob_delete)(persist_store *, slice cid,
                                  uint64_t put_before, persist_lsn *,
                                  persist_error *);
    void (*identity)(persist_store *, uint8_t self[IDENTITY_SIZE],
                     uint8_t parent[IDENTITY_SIZE]); /* zeros: none */
    /* See store_become_another. */
    persist_status (*become_another)(persist_store *,
                                     const uint8_t parent[IDENTITY_SIZE],
                                     persist_error *);
    /* Fills in what store.c did not: the point. NULL: there are no files. */
    persist_status (*backup_begin)(persist_store *, persist_backup **,
                                   persist_error *);
    persist_status (*backup_next)(persist_backup *,
                                  const persist_backup_file **,
                                  persist_error *);
    persist_status (*backup_read)(persist_backup *, void *, size_t, size_t *got,
                                  persist_error *);
    int (*backup_link)(const persist_backup *, const os_dir *,
                       const char *name);
    void (*backup_end)(persist_backup *);
    persist_status (*ship_begin)(persist_store *, persist_lsn, persist_ship **,
                                 persist_error *); /* NULL: there is no log */
    persist_status (*ship_next)(persist_ship *, uint64_t timeout_ms,
                                const persist_shipped **, persist_error *);
    void (*ship_end)(persist_ship *);
    void (*stats)(persist_store *, persist_stats *);
    /* Between os_news_enter and os_news_leave; store.c words PERSIST_CLOSED.
     * NULL: there is nothing to do. */
    persist_status (*compact)(persist_store *, const persist_tidy *,
                              persist_tidied *, persist_error *);
    persist_status (*purge)(persist_store *, const persist_tidy *,
                            persist_tidied *, persist_error *);
    persist_status (*step)(persist_store *, bool *did, persist_error *);
    bool (*is_shut)(persist_store *); /* NULL: never */
} store_backend;

/* Every handle of a backend begins with its table, and with the process that
 * it is of; that is set, and looked at, by store.c. What was given before a
 * store was opened is below first_lsn, and gaps says what of it did not
 * survive; the backend sets both, and they stay as they are. A session is only
 * such a head, without a table, over the store that is its root; a store is its
 * own. */
struct persist_store {
    const store_backend *backend;
    persist_store *root;
    uint32_t process;
    persist_lsn first_lsn;
    const gaps *gaps;
    _Atomic size_t sessions;  /* of a store: so many are open */
    _Atomic persist_lsn seen; /* of a session; see session.c */
};
struct persist_cursor {
    const store_backend *backend;
    uint32_t process;
    read_kind kind; /* set by store.c, which checks it */
    /* Events that the backend has put in hand besides the one it returned;
     * store.c gives them out before it asks for more. */
    const persist_event *ready, *ready_end;
};
struct persist_snapshot {
    const store_backend *backend;
    uint32_t process;
    persist_store *store;
    persist_lsn lsn;   /* it is the state after this commit, */
    uint64_t position; /* where this is the highest that any event has */
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
struct persist_backup {
    const store_backend *backend;
    uint32_t process;
    bool ended;            /* there are no more files */
    bool begun;            /* there is a file in hand */
    persist_status failed; /* PERSIST_OK: nothing has */
    persist_point point;
};
struct persist_ship {
    const store_backend *backend;
    uint32_t process;
    persist_store *store;
};

/* Tells whether a view is a snapshot: it is not one of the two others. */
#define STORE_IS_KEPT(view)                                                    \
    ((view) != PERSIST_DURABLE && (view) != PERSIST_LATEST)

/* Tells whether a handle may not be used here: a fork has brought it. */
#define STORE_FORKED(handle) ((handle)->process != os_process())

/* Tells whether a handle is given and may be used here: what cannot fail
 * answers 0, or does nothing, without one. */
#define STORE_IS_OPEN(handle) ((handle) != NULL && !STORE_FORKED(handle))

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

/* Whether a store still has the commit that somebody was told is durable.
 * PERSIST_CORRUPT: its history ends below that. */
persist_status store_check_told(persist_store *, persist_lsn told,
                                persist_error *);

/* A store goes its own way: it gets a new identity, at random, and that of its
 * parent, by default the one that it had; all is durable then. */
persist_status store_become_another(persist_store *, const char *parent,
                                    persist_error *);

/* Gives the file of a backup that is in hand, which is sealed, a second name: 0
 * or a negative errno, see os.h. */
int store_backup_link(const persist_backup *, const os_dir *, const char *name);

/* Ends a session; for persist_close. */
void store_session_close(persist_store *);

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

/* Lets a store on disk give no more lsns than so many beyond what is durable;
 * for tests. */
void store_disk_ahead_max(persist_store *, uint64_t commits);

/* Lets the next commit to a store in memory have that lsn, and those between
 * be lost, as after an unclean end; PERSIST_LIMIT: memory is out. So it tells
 * what a store on disk should say. */
persist_status store_memory_skip(persist_store *, persist_lsn next,
                                 persist_error *);

/* Opens a store in memory: options->path is NULL. */
persist_status store_memory_open(const persist_options *, persist_store **,
                                 persist_error *);

/* Opens the store in the directory options->path, as persist_open does. */
persist_status store_disk_open(const persist_options *, persist_store **,
                               persist_error *);

#endif
