/* SPDX-License-Identifier: MIT */
/* The store: event streams, key-values and blobs in one durable commit.
 *
 * A store is a directory (or lives in memory). All writing goes through one
 * function, persist_commit: a list of edits that is applied whole or refused
 * whole. A commit is *visible* when persist_commit returns and *durable* when
 * persist_wait_durable says so for its lsn: then it survives kill, crash and
 * power loss. After a crash a store equals the state after some prefix of its
 * commits, no shorter than the last one that was waited for. Nothing makes a
 * commit durable by itself, however long ago it was made: somebody waits for
 * it, for a later one, or closes the store.
 *
 * Event data, values and keys are bytes to the store. Slices passed in are
 * copied before the function returns. Slices handed out live as long as the
 * function that returns them says, never longer than the store.
 *
 * Threads: a store, and a snapshot, may be used from any number of threads at
 * once; a cursor or a blob handle from one thread at a time. A thread that is
 * cancelled ends its call first: no call is a cancellation point, callbacks
 * included, and a pthread_cancel takes effect at the next one after it
 * (PTHREAD_CANCEL_ASYNCHRONOUS is not supported); a wait for an event is ended
 * by persist_end_waits instead. A call needs a stack of 128
 * KiB at the most. The threads that a store runs have stacks of their own and
 * take no signals, whatever the mask of the thread that opened it.
 *
 * Owners: one process opens a store directory at a time; the next one gets
 * PERSIST_LOCKED, and a dead one is no obstacle. The store is the directory
 * that was opened: renamed, replaced or unlocked from outside, it takes no
 * further commit for durable (PERSIST_READ_ONLY; the message says what has
 * happened), and writes nowhere else. A later chdir does not matter. Where the
 * process cannot write, it opens for reading, as many as like at a time;
 * writing is PERSIST_READ_ONLY.
 *
 * Processes: what is open belongs to the process that opened it. In a child of
 * fork every function returns PERSIST_CLOSED for the handles of its parent, or
 * 0 where it cannot fail; persist_close, persist_cursor_close and the like do
 * nothing, and the memory stays until the child ends or calls exec. The child
 * has no lock and no descriptor of the store once it runs, so it need do
 * nothing; where its parent is killed within some milliseconds of the fork, the
 * store may be PERSIST_LOCKED by a process that is gone for as long: try again.
 * Daemons fork first, then open. (Of a process made by a bare clone, without
 * the handlers of pthread_atfork, none of this holds.) Descriptors of the store
 * are never 0, 1 or 2; to close others than one's own is an error that is found
 * at the next sync.
 *
 * Signals: a handler may call nothing of this header, and may not leave a call
 * that it interrupts (siglongjmp). It sets a flag, or writes to a pipe, and
 * a thread looks. Calls that are interrupted go on. Where files are limited
 * (RLIMIT_FSIZE) the program ignores SIGXFSZ, and gets PERSIST_NO_SPACE.
 *
 * Structs: those that a caller makes and that may grow begin with their size,
 * which a macro fills in: `persist_options options = {PERSIST_OPTIONS, .path =
 * "data"}`. In C++, where that is an extension before C++20 and may warn, make
 * all of it 0 and fill in what you need: `persist_options options = {};
 * options.size = sizeof options; options.path = "data";`, and so for each
 * struct here. So a program goes on with a library that is older or newer than
 * its header: fields that it does not know are 0 for it, and must be. A size
 * that is 0 or too small, and a field that the library does not know and that
 * is not 0, are PERSIST_BAD_REQUEST. Structs that do not begin with their size
 * never change it: what is `reserved` in them is 0, and must be where the
 * caller fills it in. Those that the library makes may grow at the end.
 *
 * Errors: every function that can fail returns a persist_status and fills the
 * persist_error, when one is given, with a message and what is known of the
 * place. Any function may also return PERSIST_IO (the system refused),
 * PERSIST_CORRUPT (stored bytes are damaged: the error names path and offset)
 * and PERSIST_LIMIT (out of memory); these are not listed again below. */
#ifndef PERSIST_H
#define PERSIST_H

#include <stdbool.h>

#include "persist_backup.h"
#include "persist_base.h"
#include "persist_edit.h"
#include "persist_session.h"
#include "persist_stats.h"
#include "persist_tidy.h"
#include "persist_verify.h"
#include "persist_view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct persist_cursor persist_cursor;
typedef struct persist_blob_writer persist_blob_writer;
typedef struct persist_blob_reader persist_blob_reader;

/* Sets what is called when the library finds a mistake of its own; NULL, the
 * default: the sentence goes to standard error. It is of the whole process: set
 * it before other threads are in a call. */
void persist_on_panic(persist_panic_fn, void *context);

/* ---- opening ---------------------------------------------------------- */

/* Compares a stored value with an expected one (PERSIST_EXPECT_KEY) when
 * their bytes differ: returns true if they mean the same. Called with locks
 * of the store held: it must not call the store. */
typedef bool (*persist_equal_fn)(void *context, persist_slice stored,
                                 persist_slice expected);

#define PERSIST_OPTIONS .size = sizeof(persist_options)

typedef struct persist_options {
    size_t size;            /* PERSIST_OPTIONS */
    const char *path;       /* store directory; NULL: a store in memory */
    bool create;            /* make the directory if it is missing or empty */
    bool background;        /* run threads that preallocate log segments, flush
                               and merge. They merge what reads have paid for,
                               too, so a process that only reads rewrites
                               tables then, which needs room on the disk. Else
                               commits do that work, and reads alone tidy
                               nothing */
    uint32_t segment_size;  /* bytes of a log segment, 4 KiB to 1 GiB, but for
                               the smaller ones that are made first; 0: the
                               default, 4 MiB */
    uint32_t memtable_size; /* bytes of commits kept in memory before they are
                               written as a table, 49,152 edits at the most;
                               up to twice as much is in memory, and is
                               replayed after a crash. Any number serves, but
                               less than 64 KiB only tests: with 1 each commit
                               becomes a table. 0: the default, 8 MiB */
    uint32_t cache_size;    /* bytes of table blocks kept in memory; up to half
                               of them tell where queries have found events; 0:
                               the default, 16 MiB (of sx_server 8 MiB: its
                               language has more use for the memory) */
    uint32_t merge_width;   /* so many tables of about one size are merged, 2
                               to 64; 0: the default, 8, or 32 where there are
                               no more streams, keys and command ids than
                               blocks */
    uint32_t packed_max;    /* blobs of up to so many bytes share files, bigger
                               ones have their own; at most 64 MiB. 0: the
                               default, 1 MiB */
    bool compress;          /* compress tables (zstd, level 1) */
    bool unmapped;          /* read files into the cache, and map none. Mapped,
                               the default, is faster; but when the system has
                               let go of a page and the disk cannot give it
                               again, the process gets SIGBUS, where a read
                               would be PERSIST_IO */
    bool group;             /* files and folders that are made are for the
                               user's group, too (0660 and 0770, else 0600 and
                               0700; less what the umask takes away). A store
                               that was made so stays so, and those that are
                               there keep their modes */
    persist_equal_fn equal; /* NULL: values are equal when their bytes are */
    void *equal_context;
    const struct os *os; /* NULL: the real operating system */
} persist_options;

/* Opens a store and takes its lock. The path has 416 bytes at the most. A
 * directory that is missing is made, in one that is there, for the user alone,
 * and an empty one that is there becomes so; see `group`. On success *out is a
 * handle that persist_close releases, else it is NULL. Strings and pointers in
 * options must live until persist_close. What cannot be written is opened to be
 * read: commits to a medium, or a directory, that refuses writing are
 * PERSIST_READ_ONLY; those to a store that was killed on a disk that is so full
 * that the end of the log cannot be written again are PERSIST_NO_SPACE, until
 * there is room and it is opened anew. Errors: PERSIST_LOCKED (the error's
 * holder_pid says who), PERSIST_BAD_STORE (not a store, an older host's
 * directory, a newer format), PERSIST_NO_SPACE. */
persist_status persist_open(const persist_options *options, persist_store **out,
                            persist_error *error);

/* Makes everything durable, marks the store cleanly closed, releases the lock
 * and the handle. PERSIST_BAD_REQUEST: cursors, snapshots, readers or writers
 * of blobs, backups, or sessions are open (the message says how many of each);
 * nothing was done, and the store stays open. After any other error the handle
 * is gone, and what was not durable may be lost. No call may be in progress,
 * but for persist_wait_position: that one is ended, see there. NULL is fine. */
persist_status persist_close(persist_store *store, persist_error *error);

/* ---- writing ---------------------------------------------------------- */

/* Applies the edits in order, all or nothing. The command id, if any, is
 * looked up first; then every expectation is checked against the state before
 * the commit; then the edits apply. A commit without writing edits and
 * without id writes nothing.
 * outcome: owned by the caller, who calls persist_outcome_release after a
 * PERSIST_OK; it may be NULL when there are no expectations and no id.
 * Errors, with nothing written: PERSIST_SEQ_CONFLICT (the error's expected
 * holds the number given, actual the mark, or what else it would have to be
 * above), PERSIST_TOO_LARGE,
 * PERSIST_BAD_REQUEST (a seq over PERSIST_SEQ_MAX, a field that the kind of its
 * edit does not take, a reserved word that is not 0, or a command id that was
 * used with another fingerprint), PERSIST_BAD_CID (where one of several edits
 * is not as it must be, the message of these begins with "edit N: ", from 0),
 * PERSIST_NO_SPACE, PERSIST_READ_ONLY; PERSIST_LIMIT also when 2^24 commits
 * wait to be made durable. On a full disk commits that only truncate and delete
 * are taken, from room that is kept for them, also in a store that was closed
 * and is opened there; what they free comes back in the background. */
persist_status persist_commit(persist_store *store, const persist_edit *edits,
                              size_t edit_count, const persist_once *once,
                              persist_outcome *outcome, persist_error *error);

/* Releases what an outcome holds, not the struct. Safe on a zeroed one. */
void persist_outcome_release(persist_outcome *outcome);

/* Looks a command id up. PERSIST_NONE if it was never committed; else fills
 * the fingerprint and the outcome (kind PERSIST_REPEATED) as persist_commit
 * does; the caller releases it. */
persist_status persist_once_find(persist_store *store, persist_slice id,
                                 uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                 persist_outcome *outcome,
                                 persist_error *error);

/* Waits until every commit up to lsn is durable, syncing if nobody else is.
 * lsn 0 returns at once. Errors: PERSIST_READ_ONLY once a sync has failed, as
 * long as the store is open, if the commit was not durable by then: whoever
 * waits is told. When the store is opened again it is there or not, and waiting
 * for it tells. PERSIST_LOST if it is not, because the opening that made it had
 * ended before it was durable: then and ever after, in all processes.
 * (The store remembers the last 4,096 ends without a close. Of what lies
 * before, but for the time up to the first one, it says PERSIST_LOST too: it is
 * not known.) PERSIST_BAD_REQUEST if no commit has that lsn yet. */
persist_status persist_wait_durable(persist_store *store, persist_lsn lsn,
                                    persist_error *error);

/* Returns the lsn of the newest commit; 0 for a NULL store. Never fails, and
 * never falls: a failed sync takes back what was not durable, and whoever waits
 * for that, now or later, is told. So before anything leaves the program that
 * rests on commits and PERSIST_LATEST reads, waiting for what this returns
 * after them is enough; for what is read PERSIST_DURABLE there is nothing to
 * wait. */
persist_lsn persist_latest(persist_store *store);

/* Returns the lsn up to which everything is durable; 0 for a NULL store. Never
 * fails. */
persist_lsn persist_durable(persist_store *store);

/* ---- reading ---------------------------------------------------------- */

/* Of the view that all reads take see persist_view.h. One that is none, and a
 * snapshot of another store, are PERSIST_BAD_REQUEST. */

/* The library makes it: look at it where it is. */
typedef struct persist_event {
    persist_slice stream;
    persist_slice data;
    uint64_t seq;
    uint64_t position; /* in the order of all events, from 1 */
    /* of its commit, in microseconds since 1970; 0: it is of a store of format
     * version 2, or a cursor over one stream shows it, which does not look */
    uint64_t time;
    const void *tagged; /* see persist_event_tags; NULL: it has no tags */
} persist_event;

typedef struct persist_stream_info {
    uint64_t mark;  /* the highest number ever assigned; 0: none */
    uint64_t first; /* of the events stored; 0: none is */
    uint64_t count; /* of events stored */
    uint64_t bytes; /* sum of their data sizes */
    uint64_t reserved[4];
} persist_stream_info;

#define PERSIST_NO_LIMIT UINT64_MAX

/* Opens a cursor over the events of one stream with seq >= from, at most
 * limit of them, in append order. An unknown stream gives an empty cursor. */
persist_status persist_read(persist_store *store, persist_slice stream,
                            uint64_t from, uint64_t limit, persist_view view,
                            persist_cursor **out, persist_error *error);

/* The same backwards: events with seq <= from, the newest first. */
persist_status persist_read_back(persist_store *store, persist_slice stream,
                                 uint64_t from, uint64_t limit,
                                 persist_view view, persist_cursor **out,
                                 persist_error *error);

/* Opens a cursor over the events of all streams with position >= from, at
 * most limit of them, in commit order. Of a store on disk it takes about 320
 * KiB of memory, for it remembers where it is in 128 streams; with a limit
 * below 128 it takes so much less. */
persist_status persist_read_all(persist_store *store, uint64_t from,
                                uint64_t limit, persist_view view,
                                persist_cursor **out, persist_error *error);

/* Finds the position of the first event that was committed at or after a time,
 * in microseconds since 1970, and is not truncated; one past persist_position
 * if there is none. */
persist_status persist_position_at(persist_store *store, uint64_t time,
                                   persist_view view, uint64_t *position,
                                   persist_error *error);

/* Opens a cursor over the events that match a query, with position >= from, at
 * most limit of them, in commit order. It costs what matches, and what has the
 * rarest tag of each item, not what is stored; in a store in memory each query
 * looks at every event. Errors: PERSIST_BAD_REQUEST (an
 * item without tags, or with too many), PERSIST_TOO_LARGE (a tag or type, or
 * more than PERSIST_QUERY_MAX of either). */
persist_status persist_query(persist_store *store,
                             const persist_query_item *items, size_t count,
                             uint64_t from, uint64_t limit, persist_view view,
                             persist_cursor **out, persist_error *error);

/* Fills in the tags of an event, in the order in which they were given, and its
 * type; either may be NULL. Returns how many tags there are: 0 for an event
 * that was stored without them, whose type is empty, and for NULL. The slices
 * live as long as those of the event. Never fails. */
size_t persist_event_tags(const persist_event *event,
                          persist_slice tags[PERSIST_TAGS_MAX],
                          persist_slice *type);

/* Moves a cursor of persist_read, persist_read_back, persist_read_all or
 * persist_query to its next event; PERSIST_NONE at the end. *out, and its
 * slices, live until the next call on the cursor. */
persist_status persist_next_event(persist_cursor *cursor,
                                  const persist_event **out,
                                  persist_error *error);

/* Fills info for a stream; all 0 for an unknown one. *known, unless NULL,
 * tells whether the stream was ever appended to. */
persist_status persist_info(persist_store *store, persist_slice stream,
                            persist_view view, persist_stream_info *info,
                            bool *known, persist_error *error);

/* Opens a cursor over the names of the streams ever appended to that are in a
 * range, at most limit. NULL: all of them. */
persist_status persist_streams(persist_store *store, const persist_range *range,
                               uint64_t limit, persist_view view,
                               persist_cursor **out, persist_error *error);

/* The same over keys, with their values. */
persist_status persist_scan(persist_store *store, const persist_range *range,
                            uint64_t limit, persist_view view,
                            persist_cursor **out, persist_error *error);

/* Moves a cursor of persist_streams or persist_scan to its next name; value
 * is the key's value, empty for a stream; either may be NULL. PERSIST_NONE at
 * the end. The slices live until the next call on the cursor. */
persist_status persist_next_key(persist_cursor *cursor, persist_slice *name,
                                persist_slice *value, persist_error *error);

/* Opens a cursor over the command ids that begin with prefix and are greater
 * than after (a NULL pointer: from the start), at most limit, in byte order. */
persist_status persist_commands(persist_store *store, persist_slice prefix,
                                const persist_slice *after, uint64_t limit,
                                persist_view view, persist_cursor **out,
                                persist_error *error);

/* Moves a cursor of persist_commands to its next command id; PERSIST_NONE at
 * the end. *out, with id and numbers, lives until the next call on the cursor:
 * it may be the `command` of a PERSIST_SET_ONCE in another store. */
persist_status persist_next_command(persist_cursor *cursor,
                                    const persist_command **out,
                                    persist_error *error);

/* Closes a cursor. NULL is fine. */
void persist_cursor_close(persist_cursor *cursor);

/* Reads the value of a key; PERSIST_NONE if it is absent. On PERSIST_OK *out
 * is a copy that the caller releases with persist_free(out->data). */
persist_status persist_get(persist_store *store, persist_slice key,
                           persist_view view, persist_slice *out,
                           persist_error *error);

/* Tells whether a key is there: PERSIST_OK if so, PERSIST_NONE if not. */
persist_status persist_has(persist_store *store, persist_slice key,
                           persist_view view, persist_error *error);

/* Releases memory that a function of this header handed over. NULL is fine. */
void persist_free(const void *memory);

/* ---- waiting ---------------------------------------------------------- */

/* Returns the position of the newest event of a view, also when it was
 * truncated; 0: there was none, or store or view are none. Positions that
 * PERSIST_SET_POSITION has passed over count as given. Never fails. */
uint64_t persist_position(persist_store *store, persist_view view);

#define PERSIST_FOREVER UINT64_MAX

/* Waits until an event with a position above this one is durable, for so many
 * milliseconds at the most (0: not at all, PERSIST_FOREVER). *newest, which may
 * be NULL, is the newest durable position: what a read with the view
 * PERSIST_DURABLE shows reaches up to there. PERSIST_NONE: the time is up, and
 * *newest is not above. Waiting syncs nothing: that is for whoever commits, by
 * persist_wait_durable. Any number of threads may wait; the sync that makes the
 * event durable wakes them.
 * Errors: PERSIST_READ_ONLY when there is no such event and there will be none,
 * for a sync has failed, or the store can only be read (PERSIST_NO_SPACE, where
 * the reason is a full disk); PERSIST_CLOSED: waits were ended.
 *
 * persist_close ends the waits that are in progress, with PERSIST_CLOSED, and
 * goes on when they have returned; their threads use the store no more. A
 * thread that may just be about to wait, for it does so again and again, is
 * ended by persist_end_waits: the waits in progress have returned when it does,
 * and later ones return at once, until the store is closed. Then join the
 * thread, then close. */
persist_status persist_wait_position(persist_store *store, uint64_t position,
                                     uint64_t timeout_ms, uint64_t *newest,
                                     persist_error *error);

/* Ends all waits of persist_wait_position, and those to come. NULL is fine. */
void persist_end_waits(persist_store *store);

/* Tells of news: writes to an eventfd, say, for an event loop to see. */
typedef void (*persist_notify_fn)(void *context);

/* Has fn called after each sync that made something durable, and once nothing
 * will be any more, for a sync has failed. It is called by the thread that led
 * the sync, with locks of the store held: it must be quick, and not call the
 * store. It takes the place of the one before; NULL: none. When this returns,
 * the one before is not called any more. */
void persist_notify(persist_store *store, persist_notify_fn fn, void *context);

/* ---- blobs ------------------------------------------------------------ */

/* A blob is addressed by its content: a CIDv1, multibase base32 lower case,
 * codec raw, multihash sha2-256 (github.com/multiformats/cid). A cid as text
 * is PERSIST_CID_SIZE characters and a NUL. */
typedef char persist_cid[PERSIST_CID_SIZE + 1];

/* Computes the cid of bytes. Never fails; a NULL for it gets nothing, and a
 * slice that has a size and no bytes has an empty one. */
void persist_cid_of(persist_slice bytes, persist_cid out);

/* Tells whether text is a well-formed cid of this kind. Never fails. */
bool persist_cid_valid(persist_slice text);

/* Stores a blob; a repeat costs a hash and a look at what is there, which is
 * stored anew if it is missing or damaged, and makes it as new as now, to
 * within a minute. That a blob is there is a commit like any other: it has an
 * lsn, it is visible at once, and durable, with its bytes, when
 * persist_wait_durable says so for *lsn (which may be NULL); it is so before
 * any later commit is. Errors: PERSIST_NO_SPACE, PERSIST_READ_ONLY.
 */
persist_status persist_blob_add(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_lsn *lsn,
                                persist_error *error);

/* The same, and waits until the blob is durable. */
persist_status persist_blob_put(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_error *error);

/* Tells whether a blob is there: PERSIST_OK if so, PERSIST_NONE if not; its
 * bytes are not read. What functions by cid find is PERSIST_LATEST. Errors:
 * PERSIST_BAD_CID. */
persist_status persist_blob_has(persist_store *store, persist_slice cid,
                                persist_error *error);

/* The same; *size, unless NULL, is its size in bytes, 0 if it is absent. */
persist_status persist_blob_size(persist_store *store, persist_slice cid,
                                 uint64_t *size, persist_error *error);

/* A blob as a cursor shows it. A later library may have more fields here. */
typedef struct persist_blob {
    persist_cid cid;
    uint64_t size; /* bytes */
    uint64_t time; /* microseconds since 1970: when it was put; 0: not known */
} persist_blob;

/* Opens a cursor over blobs, in the byte order of their cids as text: the
 * first `limit` of those that are greater than the cid *after (NULL: from the
 * start), at the cost of what is read. Errors: PERSIST_BAD_CID. */
persist_status persist_blobs(persist_store *store, const persist_slice *after,
                             uint64_t limit, persist_view view,
                             persist_cursor **out, persist_error *error);

/* The next blob, the cursor's until the next call; PERSIST_NONE at the end. */
persist_status persist_next_blob(persist_cursor *cursor,
                                 const persist_blob **out,
                                 persist_error *error);

/* Begins a blob of unknown size; write it in pieces, then finish or abort.
 * Errors: PERSIST_NO_SPACE, PERSIST_READ_ONLY. */
persist_status persist_blob_create(persist_store *store,
                                   persist_blob_writer **out,
                                   persist_error *error);

/* Adds bytes to a blob in the making. After an error only abort is left: all
 * else returns that error again. Errors: PERSIST_NO_SPACE. */
persist_status persist_blob_write(persist_blob_writer *writer,
                                  persist_slice bytes, persist_error *error);

/* Makes the blob durable under its cid and releases the writer, also when an
 * error is returned. Errors: PERSIST_NO_SPACE, PERSIST_READ_ONLY. */
persist_status persist_blob_finish(persist_blob_writer *writer, persist_cid out,
                                   persist_error *error);

/* Drops a blob in the making and releases the writer. NULL is fine. */
void persist_blob_abort(persist_blob_writer *writer);

/* Deletes a blob: from then on it is as if it had never been put, and a later
 * put stores it anew. That is a commit, as putting is: visible at once, and
 * durable when persist_wait_durable says so for *lsn (which may be NULL).
 * PERSIST_NONE: it was not there. Whoever has it open goes on reading; a
 * snapshot from before lists it, but nobody can open it. What refers to it is
 * not looked for. put_before, unless 0: only if it was last put before that
 * time, microseconds since 1970, else it stays (PERSIST_NONE); a put counts as
 * up to a minute later than it was. A large one's file goes in the background,
 * once that is durable, or at the close. Errors: PERSIST_BAD_CID. */
persist_status persist_blob_delete(persist_store *store, persist_slice cid,
                                   uint64_t put_before, persist_lsn *lsn,
                                   persist_error *error);

/* Opens a blob for reading; *size, unless NULL, is its size in bytes.
 * PERSIST_NONE if it is absent. Errors: PERSIST_BAD_CID. */
persist_status persist_blob_open(persist_store *store, persist_slice cid,
                                 uint64_t *size, persist_blob_reader **out,
                                 persist_error *error);

/* Reads the next bytes, at most size of them; *got is 0 only at the end. The
 * hash is verified as the end is reached: a PERSIST_CORRUPT there takes back
 * everything that was read before. */
persist_status persist_blob_read(persist_blob_reader *reader, void *buffer,
                                 size_t size, size_t *got,
                                 persist_error *error);

/* Reads at most size bytes from an offset on; *got is what there was. It gives
 * what is verified, or an error: the first such read of a reader hashes all of
 * it, and keeps 8 bytes for each 64 KiB; the others read such pieces as they
 * touch. persist_blob_read goes on where it was. Errors: PERSIST_CORRUPT. */
persist_status persist_blob_read_at(persist_blob_reader *reader,
                                    uint64_t offset, void *buffer, size_t size,
                                    size_t *got, persist_error *error);

/* Closes a reader. NULL is fine. */
void persist_blob_close(persist_blob_reader *reader);

/* ---- verifying -------------------------------------------------------- */

/* Reads every byte of a store that no process has open, and tells of all that
 * is not as it was written; a damage does not end it. What is missing, is
 * something else, or is not given by the disk (EIO) is damage. What may not or
 * cannot be looked at (no permission, no descriptor, a symbolic link) is not:
 * that ends it, with an error. Of the options path and
 * os count. It takes the store's lock, and writes nothing but its pid there.
 * out, unless NULL: the figures at the end; PERSIST_OK with no damages means
 * that the store opens and that each read of it is right. (Commits of the log
 * are read, not applied: that one contradicts those before it, under the right
 * checksum, shows as it is opened.) It does not mean that nothing is missing
 * at the end of the log of a store that was not closed: damage to what its last
 * sync wrote, if no quiet moment came after it, or the loss of its last file,
 * looks like what never arrived.
 * PERSIST_NONE: the watcher ended it.
 * Errors, when it could not run to the end: PERSIST_LOCKED, PERSIST_BAD_STORE,
 * PERSIST_IO, PERSIST_LIMIT. */
persist_status persist_verify(const persist_options *options,
                              const persist_watcher *watcher,
                              persist_progress *out, persist_error *error);

/* ---- space that comes back --------------------------------------------- */

/* Writes all that the store holds into one table, so that the space of what was
 * truncated, deleted and overwritten comes back at once; the store does so by
 * itself when that is much (docs/OPERATING.md, "Merging"). Others read and
 * commit meanwhile, and what they commit after it began may be in the log and
 * in tables of its own when it returns. It takes as much room on the disk as
 * lives in the tables, until it is done. Killed, or stopped, at any moment the
 * store is as it was. Replaced tables that are being read keep their room until
 * those cursors and snapshots are closed. A store in memory has nothing to do.
 * tidy: NULL for nothing special; out, unless NULL: the figures at the end,
 * also after an error. PERSIST_NONE: `progress` has stopped it. Errors:
 * PERSIST_NO_SPACE (nothing is lost; make room and call again),
 * PERSIST_READ_ONLY, PERSIST_CLOSED: another thread has called persist_close or
 * persist_end_waits. */
persist_status persist_compact(persist_store *store, const persist_tidy *tidy,
                               persist_tidied *out, persist_error *error);

/* The same, and when it returns PERSIST_OK no file of the log and no table
 * holds a byte of what had been truncated, deleted or overwritten when it was
 * called: events, values, names of deleted keys, types and tags of dropped
 * events; and files of the log that were used are gone, whatever they had. It
 * is durable then: no loss of power brings such a file back. Names of streams,
 * and command ids with the fingerprints and numbers of their commits, are never
 * deleted, so they stay. It does not reach blobs, which are not deleted either;
 * copies and backups, those of hard links too; nor what the file system, the
 * disk or the page cache keep of files that are deleted.
 * It waits for the cursors and snapshots that were opened before, as long as
 * tidy->timeout_ms says; then it is PERSIST_BAD_REQUEST: close them, and call
 * again. Killed, or stopped, it has reached a part, and is to be called again.
 * PERSIST_NONE and errors: as persist_compact. */
persist_status persist_purge(persist_store *store, const persist_tidy *tidy,
                             persist_tidied *out, persist_error *error);

/* ---- figures ---------------------------------------------------------- */

/* Fills the figures. */
persist_status persist_get_stats(persist_store *store, persist_stats *out,
                                 persist_error *error);

#ifdef __cplusplus
}
#endif

#endif
