/* SPDX-License-Identifier: MIT */
/* Runs a sequence of ops on the real engine over the simulated operating
 * system, stops at every call that changes something, builds what a crash
 * there may leave, and checks the promise on each:
 *
 * - the store opens, and equals the model after some commit, no earlier than
 *   the last one that was acknowledged;
 * - blobs that were put are there, and any that is there is whole;
 * - what was served after recovery survives the next crash, also one inside
 *   the recovery;
 * - the store goes on: new commits get the model's numbers and survive;
 * - what recovery accepts persist_verify finds undamaged, before and after;
 * - a snapshot that was opened in the middle shows the state after its commit,
 *   whatever came behind it;
 * - damage never reads as anything else: a bit, or in a closed store a whole
 *   sector. (In an open one that was not quiet the last batch cannot be told
 *   from a torn one, and a sector may hold the proof that there were others.)
 */
#ifndef TEST_EXPLORE_H
#define TEST_EXPLORE_H

#include "model.h"
#include "os_sim.h"

/* A pack of so small a limit holds two blobs of the small op, or three. */
enum { EXPLORE_BLOBS_MAX = 64, EXPLORE_PACKED_MAX = 24 };

typedef struct explore_blob {
    op op;
    bool acknowledged;
    persist_lsn lsn; /* the store after this commit is sure to have it */
    bool deleted;
} explore_blob;

/* Where a crash state was taken; call is NULL outside of a call. */
typedef struct explore_point {
    const char *call;
    uint64_t number;
    sim_plan plan;
} explore_point;

typedef struct explorer {
    /* what to do: set by the caller */
    uint64_t seed;
    uint32_t segment_size;
    uint32_t memtable_size; /* 0: no table is made before the store closes */
    bool aged; /* it begins with numbers close to 2^32, see age.h */
    bool compress;
    unsigned variant; /* of the other options: what changes between openings */
    const char *path; /* of the store; NULL: "store" */
    bool in_memory;   /* the memory backend is under test */
    bool by_steps;    /* tables are made and merged by OP_STEP only */
    unsigned random_plans; /* drawn at each point beside the systematic ones */
    bool wait_each;        /* wait for every commit */

    /* figures */
    uint64_t sequences, points, images, unique, nested, continued, checks;
    uint64_t rotten, rot_refused, verified;
    uint64_t violations;

    /* the run in hand */
    const op *ops;
    size_t op_count;
    os_sim *sim;
    persist_store *store;
    persist_snapshot *held; /* opened by a read, compared when it goes */
    persist_backup *backup; /* begun by one op, taken by the next */
    persist_point backed;   /* its point */
    model model;
    persist_lsn acknowledged, acknowledged_before;
    persist_lsn proven; /* so much the proof of a quiet log told of */
    explore_blob blobs[EXPLORE_BLOBS_MAX]; /* put so far */
    size_t blob_count, blobs_acknowledged;
    bool watching, failed;
    explore_point point;
    uint64_t random;
    uint64_t *seen; /* hash set of states */
    size_t seen_count, seen_capacity;
    buf report; /* of the first violation of the run */
} explorer;

/* A zeroed explorer with its first fields set is ready. */
void explore_release(explorer *);

/* Runs one sequence; crash states are built from the op of index watch_from
 * on. Returns false when the promise was broken: then report tells how. */
bool explore_run(explorer *, const op *, size_t count, size_t watch_from);

/* Takes ops away from a sequence that fails while it still fails. Returns the
 * new count. */
size_t explore_shrink(explorer *, op *, size_t count);

/* Checks one state of the disk against the run in hand; `how` says where it
 * comes from. Takes the image over. For explore.c. */
void explore_check(explorer *, os_sim *image, const char *how);

/* Checks a store that has lost a bit on the disk: it reads as after a commit no
 * earlier than `lowest`, or gives a typed error. Takes the image over. For
 * explore.c. */
void explore_check_rot(explorer *, os_sim *image, persist_lsn lowest,
                       uint64_t seed);

/* Checks that files which nothing names are few, however often what fails is
 * tried again; not while a backup keeps some. */
struct space_let_go;
void explore_check_files(explorer *, struct space_let_go *);

/* Makes an empty simulation and model for a run. */
void explore_begin(explorer *);

/* Notes a blob that is about to be deleted, or put, and the commit after which
 * it is there, UINT64_MAX if that is not known; then that it was put. */
void explore_blob_begin(explorer *, op, persist_lsn);
void explore_blob_acknowledge(explorer *);

/* Compares what the snapshot that is held, if any, shows now; closes it. */
void explore_let_go(explorer *);

/* The same, and opens another one, through a session that ends then. */
persist_status explore_hold(explorer *, persist_view, persist_error *);

/* In explore_backup.c: begins a backup; takes the one that was begun, into
 * another simulation, which is NULL after an error, and ends it; verifies and
 * opens what was taken, and compares it with the model at its point, taking the
 * simulation over; ends one that was begun, if any. */
persist_status explore_back_up(explorer *, persist_error *);
persist_status explore_take_backup(explorer *, os_sim **, persist_error *);
void explore_compare_backup(explorer *, os_sim *);
void explore_end_backup(explorer *);

/* Lets go, and closes the store, if any, whatever that says. */
void explore_drop(explorer *);

/* Opens the store of a simulation. */
persist_status explore_open(const explorer *, os_sim *, persist_store **,
                            persist_error *);

/* Notes a violation. */
void explore_fail(explorer *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
