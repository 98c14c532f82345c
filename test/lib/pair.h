/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: one on disk, under test, and its model in memory.
 * Everything is drawn from a number, so that a step can be done again. */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include <stdatomic.h>

#include "base/buf.h"
#include "os_sim.h"
#include "persist.h"

enum {
    PAIR_EDITS_MAX = 6,
    PAIR_DATA_MAX = 5000,
    PAIR_PENDING_MAX = 4096,
    PAIR_BLOBS = 16,
    PAIR_HELD = 6,
    PAIR_GIVEN = 64,
    PAIR_KEPT = 3,
    PAIR_SESSIONS = 3,
};

/* A commit that the durable twin has not got yet: edits, or a blob. */
typedef struct pair_commit {
    persist_lsn lsn;
    persist_edit edits[PAIR_EDITS_MAX];
    persist_command commands[PAIR_EDITS_MAX]; /* of those that set one */
    size_t count;
    bool has_once;
    persist_once once;
    uint64_t wall;    /* what the wall clock showed */
    size_t blob_size; /* 0: no blob */
    bool deletes;     /* not that blob, but the one of: */
    persist_cid cid;
    uint64_t put_before;
    uint8_t *bytes; /* of the data, owned */
} pair_commit;

/* A read, the same for both. */
typedef struct pair_read {
    int kind;
    slice name;
    slice bounds[4];  /* of a range: from, after, to, before */
    unsigned bounded; /* a bit for each that is given */
    bool back;
    uint64_t from, limit;
    uint64_t query; /* see pool_query */
    persist_view view;
    const struct pair_kept *kept; /* in the place of the view; NULL: none */
} pair_read;

/* Snapshots of one state that stay open while other things happen. */
typedef struct pair_kept {
    persist_snapshot *disk, *model; /* NULL: none */
    persist_store *oracle;          /* whose the model's is */
} pair_kept;

/* Cursors that stay open while other things happen. */
typedef struct pair_held {
    pair_read read;
    persist_cursor *disk, *model; /* NULL: none */
} pair_held;

/* A session of the store under test, which is as good as the store itself. */
typedef struct pair_session {
    persist_store *disk; /* NULL: none */
    persist_lsn seen;    /* since all was durable, see pair_kill */
} pair_session;

typedef struct pair {
    uint64_t random;
    persist_options options;
    os timed;    /* that of the options, with the wall clock of the tests */
    os_sim *sim; /* NULL: the real system */
    bool aged;   /* simulated only; see age.h */
    uint32_t reads_pay; /* what they waste counts so often; 0: once */
    bool by_steps;      /* flushes and merges come with pair_background */
    bool crowded;       /* more names and events than a cursor takes at once; */
    bool crowding, plain;  /* commits only add; they have no tags */
    persist_store *disk;   /* under test */
    persist_store *latest; /* all that was committed */
    persist_store *twin;   /* all that is durable on disk */
    pair_commit *waiting;
    size_t waiting_count;
    pair_held held[PAIR_HELD];
    pair_kept kept[PAIR_KEPT];
    pair_session sessions[PAIR_SESSIONS];
    _Atomic uint64_t told; /* so often by persist_notify, since the opening */
    uint64_t told_before;
    persist_lsn durable_before;
    persist_cid blobs[PAIR_BLOBS]; /* the last ones */
    unsigned blob_count;
    persist_lsn given[PAIR_GIVEN]; /* lsns, the last ones, also lost ones */
    unsigned given_count;
    persist_lsn highest; /* of all */
    buf said;            /* by the disk, and by the model */
    buf wanted;
    uint64_t checks;
    bool quiet;
    const char *failed;
} pair;

/* ---- pair_any.c -------------------------------------------------------- */

/* A number below another. */
uint64_t pair_draw(pair *, uint64_t below);
slice pair_any_name(pair *);
uint64_t pair_any_seq(pair *, slice name);
uint64_t pair_any_position(pair *);
/* At most PAIR_DATA_MAX bytes, put there. */
slice pair_any_data(pair *, uint8_t *);
/* Its bytes are put there, too. */
persist_edit pair_any_edit(pair *, uint8_t *);
/* Of a blob that was put, mostly. */
const char *pair_any_cid(pair *);
/* Of a command: ids of commits, and others, set to one of two things each. */
slice pair_any_id(pair *);
persist_command pair_any_command(pair *);

/* ---- pair.c ------------------------------------------------------------ */

/* Opens the stores of a pair whose options are set; closes what is open. */
void pair_begin(pair *);
void pair_end(pair *);

/* The steps: commit edits, add a blob, wait and work, close and open again. */
void pair_do_commit(pair *);
void pair_do_blob(pair *);
void pair_background(pair *);
/* Compacts, or purges, which cursors and snapshots that are held may keep from
 * its end. */
void pair_tidy(pair *);
void pair_reopen(pair *);
/* The same after an unclean end, which may lose commits that nobody waited for.
 */
void pair_kill(pair *);

/* Empties said and wanted; compares them; notes a failure. */
void pair_clear(pair *);
void pair_agree(pair *, const char *what);
void pair_fail(pair *, const char *what, const char *why);
/* Prints a status, and the numbers of an error; and an outcome. */
void pair_put_status(buf *, persist_status, const persist_error *);
void pair_put_outcome(buf *, const persist_outcome *);

/* Returns the model of a view, brought up to date. */
persist_store *pair_model(pair *, persist_view);

/* ---- pair_read.c -------------------------------------------------------- */

/* The steps: a read as a whole, also with commits between; what is known of one
 * name; a scan in pieces; a command id; a blob; the newest position, and a wait
 * for a newer one. */
void pair_do_read(pair *);
void pair_do_info(pair *);
void pair_do_pages(pair *);
void pair_do_once(pair *);
void pair_do_read_blob(pair *);
void pair_do_position(pair *);

/* The steps: hold one more pair of cursors; take some items of one; keep one
 * more pair of snapshots, in which later reads are made. */
void pair_hold(pair *);
void pair_go_on(pair *);
void pair_keep(pair *);
/* Lets all cursors and snapshots go. */
void pair_let_go(pair *);

/* ---- pair_session.c ----------------------------------------------------- */

/* The step: opens a session, closes it, or begins it anew. */
void pair_do_session(pair *);
void pair_end_sessions(pair *);
/* The store under test, or a session of it. */
persist_store *pair_hand(pair *);

/* Listens to the store that was opened. After each step: what became durable
 * was told of, and nothing else. */
void pair_listen(pair *);
void pair_check_told(pair *);

/* From where all is durable on: what is committed next is by this handle; then
 * no sync comes to an end, and whoever has seen some of that is lost. */
void pair_all_is_durable(pair *);
persist_store *pair_hand_seen(pair *, persist_lsn next);
void pair_fail_sync(pair *);

#endif
