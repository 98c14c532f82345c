/* SPDX-License-Identifier: MIT */
/* The write-ahead log: room for records, the buffer they wait in, writing and
 * syncing once for all who came meanwhile.
 *
 * Two roles use it at the same time. The *writer* (one thread at a time; the
 * engine sees to it) reserves, appends and seals. Any thread waits: the first
 * that finds nobody syncing becomes the leader and syncs for all.
 *
 * The happy path of an append touches memory only. It can fail when a new
 * segment is needed and there is no space: nothing has happened then, and the
 * next append tries again. A failed write or sync ends writing for good. */
#ifndef ENGINE_LOG_WAL_H
#define ENGINE_LOG_WAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/files/files.h"
#include "engine/log/gather.h"
#include "engine/log/segment.h"
#include "os/os_news.h"
#include "os/os_thread.h"

/* Segments that one batch may touch. */
enum { WAL_EXTENTS = 16 };

/* An open segment that is, or will be, written to. */
typedef struct wal_segment {
    uint64_t number;
    uint64_t size;           /* bytes */
    uint64_t end;            /* of what is reserved; the writer's */
    persist_lsn first, last; /* behind the record before, and of the last one;
                                the writer's */
    os_file *file;
    uint64_t looked;  /* of the looks, the last that took it in; the leader's */
    unsigned pending; /* extents in buffers */
    bool sealed;      /* no more records will come */
    bool unsynced;    /* written since the last sync */
    struct wal_segment *next;
    struct wal_segment *sync_next; /* the leader's list */
} wal_segment;

/* A file that is needed no more. */
typedef struct wal_free_file {
    uint64_t number;
    uint64_t size; /* bytes */
} wal_free_file;

/* A run of bytes of one buffer that belongs at one place. */
typedef struct wal_extent {
    wal_segment *segment;
    uint64_t at;
    size_t from, size;
} wal_extent;

/* Somebody who needs files of the log on the disk: those that hold records
 * behind a commit, and have no higher number. What is kept for that beyond what
 * the store itself needs takes no more bytes than `most`, or is given up. The
 * owner sets the first three; it stays where it is while it is held. */
typedef struct wal_hold {
    persist_lsn after;
    uint64_t upto; /* number of a segment */
    uint64_t most; /* UINT64_MAX: they are never given up */
    bool gone;     /* they were; with the lock */
    struct wal_hold *next;
} wal_hold;

/* Threads that wait for one sync, or for the one after it. */
typedef struct wal_waiters {
    _Atomic uint32_t word; /* changes when they are woken */
    unsigned asleep;       /* so many at the most */
} wal_waiters;

/* Records that wait to be written. */
typedef struct wal_batch {
    buf bytes;
    wal_extent extents[WAL_EXTENTS];
    size_t extent_count;
} wal_batch;

/* A commit, and the highest position that any event has by then. */
typedef struct wal_point {
    persist_lsn lsn;
    uint64_t position;
} wal_point;

/* What of the log a flush does not give back yet: what the segment has ahead
 * that is written to; and the biggest of all there are, if that is over the
 * usual size, for one record. Its record may be in a table by now: it is a
 * bound of what is in none, which is counted, and does no harm. */
typedef struct wal_size {
    uint64_t ahead, biggest; /* bytes */
    size_t segments;         /* that it consists of */
} wal_size;

/* What a record may take on a full disk: no segment; one, if as much is kept
 * beside it as flushing it takes; (a spare, which is for no record yet;) of
 * that what is kept for deletions, since it frees space; or all but the last,
 * where nothing else can be done. */
typedef enum wal_claim {
    WAL_NO_SEGMENT,
    WAL_ADDS,
    WAL_SPARE,
    WAL_FREES,
    WAL_FREES_LAST
} wal_claim;

static inline bool wal_frees(wal_claim claim)
{
    return claim == WAL_FREES || claim == WAL_FREES_LAST;
}

typedef struct wal {
    segment_place place;
    uint64_t segment_size; /* bytes, usual; the first ones are smaller */
    size_t buffer_size;    /* records that wait: written when they are more */
    /* Makes durable what records name, before they are written; returns 0 or
     * a negative errno. NULL: nothing. Set before anything is appended. */
    int (*sync_first)(void *context);
    /* Before a write, and after its sync, before it counts: whether the log
     * still is where others would look for it. NULL: it is. `written` is for
     * wal_check_names. */
    persist_status (*check_hold)(void *context, wal_segment *written,
                                 persist_error *why);
    /* Before a segment is used, with which the log takes so much: keeps on the
     * disk what the way out of a full one takes then. Returns 0 or a negative
     * errno. NULL: it is there. */
    int (*keep)(void *context, wal_size, wal_claim);
    /* One to be made, of so many bytes, found no room: gives it of what is
     * kept; false if none is left for that. NULL: none is. */
    bool (*lend)(void *context, wal_size, uint64_t size, wal_claim);
    void *context; /* of all */

    /* the writer's */
    wal_segment *active; /* NULL: none yet; with the lock held it changes, as */
    manifest sealed;     /* do the entries of the segments before it */
    buf scratch;         /* the record in the making */
    persist_lsn first_lsn, next_lsn; /* that this opening gives */
    uint64_t ahead_max;              /* commits beyond what is durable */

    pthread_mutex_t lock; /* for all below */
    wal_batch fill;       /* being filled */
    _Atomic size_t room;  /* in it; only the writer makes it less */
    wal_batch out;        /* being written, by the leader alone */
    wal_segment *open;    /* all that have a file open, but the spares */
    wal_segment *spares;  /* ready, by number */
    unsigned spare_count;
    uint64_t next_number;
    wal_free_file *free_files; /* that may be recycled */
    size_t free_count, free_capacity;
    wal_hold *holds;
    _Atomic uint32_t shipped; /* changes when more is durable, for those who
                                 follow the log; see engine_ship_next */
    manifest held;            /* segments that only they need, in order */
    bool preparing;           /* a segment is being made */
    unsigned renewals;        /* files that were used are not used again; see
                                 wal_renew */
    bool awaited;             /* the writer waits for it */
    atomic_bool full;         /* the last file found no space */
    pthread_cond_t prepared;

    _Atomic uint64_t looks;   /* at all names, since something had happened */
    bool led;                 /* there is a leader */
    persist_lsn syncing_last; /* its sync will cover this; 0: none will */
    uint64_t generation;      /* of syncs: in progress, or the last one */
    wal_waiters waiters[2];   /* by generation, odd and even */
    wal_gather gather;        /* of those who have been let go */
    wal_point appended;       /* the newest record in a buffer */
    segment_entry turn_end;   /* where it was when the turn began, and where */
    segment_entry synced_end; /* that was at the last sync; number 0: there
                                 was none, or a new segment had no record */
    _Atomic persist_lsn durable;
    os_news news; /* of the durable position, which rises just behind that */
    atomic_bool failed;
    persist_error failure; /* what failed first */
    persist_lsn told;      /* what is on disk tells that so much is durable */
    persist_lsn seen;      /* the newest, as the worker saw it last */
    bool rests;            /* the worker has nothing to do until a sync */
    bool shut;             /* it was the opening, for want of space */
    uint64_t syncs, bytes_logged;

    os_worker worker;
} wal;

/* The writer: makes the segment next that has room for `need` bytes beside
 * its header, and seals the one before. For wal.c. */
persist_status wal_next_segment(wal *, uint64_t need, wal_claim,
                                persist_error *);

/* With the lock held: what the log takes; and without: whether as much is kept
 * as the way out of a full disk takes when the next segment has that size (0 or
 * a negative errno), and whether one to be made is lent room of that. A spare
 * takes nothing yet, and gets nothing. For wal_space.c. */
wal_size wal_size_of(const wal *);
int wal_keep(const wal *, wal_size, uint64_t size, wal_claim);
bool wal_lend(const wal *, wal_size, uint64_t size, wal_claim);

/* With the lock held: tells whether a segment should be made ready now. For
 * wal.c. */
bool wal_wants_spare(const wal *);

/* With the lock held: closes what is sealed and synced. For wal.c. */
void wal_reap(wal *);

/* With the lock held, which it lets go of: becomes the leader, writes what is
 * there, and syncs if told to. For wal_proof.c. */
void wal_lead(wal *, bool sync);

/* With the lock held, for the worker: sleeps until it may have something to
 * do; a log that is quiet meanwhile gets its proof. See wal_proof.c. */
void wal_rest(wal *);

/* Sets up a log whose records up to `durable` are durable. `listed` tells its
 * segments; the last is written on if `resume` says so. Numbers of new
 * segments begin at next_number, positions of events behind `position`. */
persist_status wal_open(wal *, const segment_place *, uint64_t segment_size,
                        const manifest *listed, bool resume,
                        uint64_t next_number, uint64_t position,
                        persist_error *);

/* Starts the thread that keeps segments ready. */
persist_status wal_start(wal *, persist_error *);

/* Stops the thread, if it runs. */
void wal_stop(wal *);

/* Fills in the log's figures. */
void wal_stats(wal *, persist_stats *);

/* Stops the thread, releases all. Nothing is written. Safe after a failed
 * wal_open. */
void wal_close(wal *);

/* Makes one segment ready if fewer are than should be; *did tells. For the
 * background, or for whoever has no background. */
persist_status wal_prepare_step(wal *, bool *did, persist_error *);

/* Writes the proof of a log whose records are all durable, if nothing on disk
 * tells that they are; *did tells. For whoever has no background. */
persist_status wal_proof_step(wal *, bool *did, persist_error *error);

/* The writer: returns an empty buffer with room for a record's header, to
 * encode the body behind it. NULL when memory is out. */
buf *wal_begin(wal *);

/* The writer: finds the room on disk and in memory for the record in the
 * buffer of wal_begin. Errors: PERSIST_NO_SPACE, PERSIST_READ_ONLY,
 * PERSIST_LIMIT when too many are not durable. */
persist_status wal_reserve(wal *, wal_claim, persist_error *);

/* The writer: the record becomes part of the log, with the lsn that is next.
 * Cannot fail after wal_reserve. */
void wal_append(wal *, wal_point);

/* Waits until everything up to lsn, which was given, is durable. What was not
 * when the log failed never will be: PERSIST_READ_ONLY, for ever. */
persist_status wal_wait(wal *, persist_lsn lsn, persist_error *);

/* Whether the names of the segments that a leader syncs still lead to them, and
 * those that are sealed and needed are there. Of those that are ready it is
 * looked at once somebody writes to them. */
persist_status wal_check_names(wal *, wal_segment *written, persist_error *);

/* Ends writing for good: another room's sync or manifest has failed, or nothing
 * can be written from the opening on. */
void wal_fail(wal *, const persist_error *why);

/* The same from the opening on: a full disk can be read, and no more. */
void wal_shut(wal *, const persist_error *why);

/* Fills the error of a log that has failed: PERSIST_READ_ONLY, or
 * PERSIST_NO_SPACE after wal_shut. */
persist_status wal_read_only(wal *, persist_error *);

/* The writer, with nothing waiting to be synced: fills in the segments that
 * hold records beyond what is in tables, the next number and the watermark.
 * closing: no segment that is ready will be used any more. */
persist_status wal_describe(wal *, persist_lsn tables_last, bool closing,
                            manifest *out, persist_error *);

/* The writer: forgets sealed segments that neither a manifest nor a recovery
 * from it needs; their files may be recycled from now on. */
void wal_trim(wal *, const manifest *);

/* Holds files of the log. PERSIST_LOST: some of them are gone already. */
persist_status wal_hold_begin(wal *, wal_hold *, persist_error *);
/* The same for a hold that is there, from a later commit on: what lies before
 * may go. */
void wal_hold_move(wal *, wal_hold *, persist_lsn after);
/* Lets go; the files wait to be recycled then, see wal_drop_free. */
void wal_hold_end(wal *, wal_hold *);
bool wal_hold_is_gone(wal *, const wal_hold *);
/* The file that has the first record behind a commit, which is held; false: no
 * commit came behind that. */
bool wal_find_behind(wal *, persist_lsn after, segment_entry *out);
/* Tells whether files of lower numbers are only there for those who hold them.
 */
bool wal_holds_before(wal *, uint64_t number);

/* With the lock held: a segment that neither a manifest nor a recovery needs
 * waits to be recycled, or is kept for those who hold it. False when memory is
 * out. And: lets all go that may be given up. For wal_space.c. */
bool wal_let_go(wal *, segment_entry);
void wal_hold_give_up(wal *);
/* With the lock held: the file of a segment may be recycled. For wal_hold.c. */
bool wal_free_segment(wal *, uint64_t number, uint64_t size);

/* With nobody writing any more: fills in the segments that hold what is durable
 * beyond tables_last, and that watermark, whatever was written behind it.
 * False: there are none, or memory is out. */
bool wal_describe_durable(wal *, persist_lsn tables_last, manifest *out);

/* The writer: tells whether a sealed segment has nothing that is not in
 * tables. */
bool wal_may_trim(const wal *, persist_lsn tables_last);

/* Deletes files that wait to be recycled, but for a few of usual size. */
void wal_drop_free(wal *, size_t kept);

/* The writer: from now on, until wal_renew_end, no segment is made of a file
 * that was used before; those that are ready go, and the one that was written
 * to takes no more, so that what comes is in files of numbers from *from on.
 * After an error nothing has changed. */
persist_status wal_renew(wal *, uint64_t *from, persist_error *);
void wal_renew_end(wal *);

/* Something found no space: deletes files that wait to be recycled, and spares;
 * tells whether there were any. */
bool wal_make_room(wal *);

/* Something else found no space: no spare is made until there is some. */
void wal_note_full(wal *);

/* Bytes of its files, those that are ready or wait to be used again included.
 */
uint64_t wal_bytes(wal *);

/* The writer: whether a sealed segment of a number below that is kept. */
bool wal_has_before(const wal *, uint64_t number);

/* What the log takes now. */
wal_size wal_takes(wal *);

/* After the manifest that ends an opening: deletes what it and the one before
 * do not need. Nothing is appended any more, and no thread runs. */
void wal_leave(wal *, const manifest *before);

static inline persist_lsn wal_durable(const wal *w)
{
    return atomic_load_explicit(&w->durable, memory_order_acquire);
}

/* The newest commit that is durable, with the highest position that any event
 * has by then. */
wal_point wal_durable_point(wal *);

static inline bool wal_failed(const wal *w)
{
    return atomic_load_explicit(&w->failed, memory_order_acquire);
}

#endif
