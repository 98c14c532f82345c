/* SPDX-License-Identifier: MIT */
/* The oracle: what a store must hold after each commit, told by the memory
 * backend and the ops that made it. */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "ops.h"

typedef struct model_step {
    op op;
    persist_lsn lsn; /* the latest one after the op */
} model_step;

typedef struct model {
    bool aged; /* its first commit is the one after AGE_YEARS */
    persist_store *store;
    model_step *steps;
    size_t step_count;
    uint64_t *digests; /* of the dump as of each lsn, from the first state */
    persist_lsn latest;
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

/* Undoes all ops that came after a commit, but remembers them: they may be on
 * the disk all the same. Remembers one that was not done here; does all again
 * that are remembered; forgets them. */
void model_undo(model *, persist_lsn);
void model_add_undone(model *, op);
void model_redo(model *);
void model_forget_undone(model *);

/* Makes a store in memory as it was after a commit. */
persist_store *model_at(const model *, persist_lsn);

/* Compares a store with the model as of the store's own latest commit. Returns
 * true if they are the same; else appends to why what is not. */
bool model_matches(const model *, persist_store *, persist_view, buf *why);

/* The digest as of a commit up to the latest one. */
uint64_t model_digest_at(const model *, persist_lsn);

/* The hash of a dump, as in digests. */
uint64_t model_digest(persist_store *, persist_view);

#endif
