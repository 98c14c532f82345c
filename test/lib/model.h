/* SPDX-License-Identifier: MIT */
/* The oracle: what a store must hold after each commit, told by the memory
 * backend and the ops that made it. */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "ops.h"

typedef struct model_step {
    op op;
    persist_lsn lsn;  /* the latest one after the op */
    persist_lsn next; /* 0, or no op: an unclean end, and what comes next */
} model_step;

typedef struct model {
    bool aged; /* its first commit is the one after AGE_YEARS */
    persist_store *store;
    model_step *steps;
    size_t step_count;
    uint64_t *digests; /* of the dump as of each lsn, from the first state */
    persist_lsn *lsns; /* these lsns */
    size_t lsn_count;
    persist_lsn latest; /* the newest one */
    persist_lsn *lost;  /* rolled back; for good, so many of them */
    size_t lost_count, lost_for_good;
    op *undone; /* not in the above, and yet a crash may bring them back */
    size_t undone_count;
} model;

/* Makes the model of an empty store, aged or not (age.h). */
void model_begin(model *, bool aged);
void model_end(model *);

/* Does an op to the model; the answer is as op_apply gives it. */
persist_status model_apply(model *, op, buf *answer);

/* Forgets all ops that came after a commit. */
void model_roll_back(model *, persist_lsn);

/* A store was opened after an unclean end: the next commit has that lsn. */
void model_skip(model *, persist_lsn next);

/* Checks what a store, just opened, says of lsns: of all that the model has up
 * to the store's latest one that they are durable; of those behind it, and of
 * all that were rolled back before a skip, that they are lost. So none will be
 * given again. pending: the newest one may not have been given yet. Returns
 * what is wrong, or NULL. */
const char *model_check_lsns(const model *, persist_store *, bool pending);

/* Undoes all ops that came after a commit, but remembers them: they may be on
 * the disk all the same. Remembers one that was not done here; does all again
 * that are remembered; forgets them. */
void model_undo(model *, persist_lsn);
void model_add_undone(model *, op);
void model_redo(model *);
/* Ops that failed had no lsn from this one on, if `next` is the one that the
 * store gives next: none of them was lost. They are forgotten. */
void model_not_given(model *, persist_lsn from, persist_lsn next);
void model_forget_undone(model *);

/* Makes a store in memory as it was after a commit. */
persist_store *model_at(const model *, persist_lsn);

/* Compares a store with the model as of the store's own latest commit. Returns
 * true if they are the same; else appends to why what is not. */
bool model_matches(const model *, persist_store *, persist_view, buf *why);

/* Compares what reads in a snapshot show with the model as of its commit. */
bool model_shows(const model *, persist_store *, const persist_snapshot *,
                 buf *why);

/* The digest as of a commit up to the latest one; 0: there is no such commit.
 */
uint64_t model_digest_at(const model *, persist_lsn);

/* The hash of a dump, as in digests. */
uint64_t model_digest(persist_store *, persist_view);

#endif
