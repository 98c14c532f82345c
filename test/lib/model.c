/* SPDX-License-Identifier: MIT */
/* The oracle: the memory backend, and the ops that made it. */
#include "model.h"

#include <stdlib.h>

#include "age.h"
#include "base/hash.h"
#include "os_sim_disk.h"
#include "store/store.h"

static persist_store *open_memory(bool aged)
{
    persist_store *store = NULL;
    persist_options options = {0};
    persist_status status = persist_open(&options, &store, NULL);
    CHECK(status == PERSIST_OK);
    if (aged)
        age_memory(store);
    return store;
}

uint64_t model_digest(persist_store *store, persist_view view)
{
    buf text = {0};
    persist_error error;
    persist_status status = store_dump(store, view, &text, &error);
    CHECK(status == PERSIST_OK);
    uint64_t digest = hash_xxh3(buf_slice(&text));
    buf_release(&text);
    return digest;
}

/* Where the digest of a state is kept. */
static size_t index_of(const model *m, persist_lsn lsn)
{
    persist_lsn first = m->aged ? AGE_YEARS : 0;
    CHECK(lsn >= first);
    return lsn - first;
}

uint64_t model_digest_at(const model *m, persist_lsn lsn)
{
    CHECK(lsn <= m->latest);
    return m->digests[index_of(m, lsn)];
}

void model_begin(model *m, bool aged)
{
    *m = (model){.aged = aged, .store = open_memory(aged)};
    m->latest = store_visible(m->store);
    m->digests = sim_more(NULL, 0, sizeof *m->digests);
    m->digests[0] = model_digest(m->store, PERSIST_LATEST);
}

void model_end(model *m)
{
    persist_close(m->store, NULL);
    free(m->steps);
    free(m->digests);
    free(m->undone);
    *m = (model){0};
}

persist_status model_apply(model *m, op o, buf *answer)
{
    persist_error error;
    persist_status status = op_apply(m->store, o, answer, &error);
    persist_lsn lsn = store_visible(m->store);
    CHECK(lsn == m->latest || lsn == m->latest + 1);
    m->steps = sim_more(m->steps, m->step_count, sizeof *m->steps);
    m->steps[m->step_count++] = (model_step){o, lsn};
    if (lsn == m->latest)
        return status;
    m->latest = lsn;
    m->digests = sim_more(m->digests, index_of(m, lsn), sizeof *m->digests);
    m->digests[index_of(m, lsn)] = model_digest(m->store, PERSIST_LATEST);
    return status;
}

persist_store *model_at(const model *m, persist_lsn lsn)
{
    CHECK(lsn <= m->latest);
    persist_store *store = open_memory(m->aged);
    buf ignored = {0};
    persist_error error;
    for (size_t i = 0; i < m->step_count && m->steps[i].lsn <= lsn; i++) {
        op_apply(store, m->steps[i].op, &ignored, &error);
        buf_clear(&ignored);
    }
    buf_release(&ignored);
    CHECK(store_visible(store) == lsn);
    return store;
}

void model_roll_back(model *m, persist_lsn lsn)
{
    CHECK(lsn <= m->latest);
    if (lsn == m->latest)
        return;
    persist_close(m->store, NULL);
    m->store = model_at(m, lsn);
    m->latest = lsn;
    while (m->step_count > 0 && m->steps[m->step_count - 1].lsn > lsn)
        m->step_count--;
}

void model_add_undone(model *m, op o)
{
    m->undone = sim_more(m->undone, m->undone_count, sizeof *m->undone);
    m->undone[m->undone_count++] = o;
}

void model_undo(model *m, persist_lsn lsn)
{
    CHECK(m->undone_count == 0);
    for (size_t i = 0; i < m->step_count; i++)
        if (m->steps[i].lsn > lsn)
            model_add_undone(m, m->steps[i].op);
    model_roll_back(m, lsn);
}

void model_redo(model *m)
{
    buf ignored = {0};
    for (size_t i = 0; i < m->undone_count; i++)
        model_apply(m, m->undone[i], &ignored);
    buf_release(&ignored);
    model_forget_undone(m);
}

void model_forget_undone(model *m)
{
    m->undone_count = 0;
}

static void explain(const model *m, persist_lsn lsn, slice actual, buf *why)
{
    persist_store *store = model_at(m, lsn);
    buf expected = {0};
    store_dump(store, PERSIST_LATEST, &expected, NULL);
    dump_difference(buf_slice(&expected), actual, why);
    buf_release(&expected);
    persist_close(store, NULL);
}

/* Of the DURABLE view, which has no command ids, the dump is made anew. */
static uint64_t digest_at(const model *m, persist_lsn lsn, persist_view view)
{
    if (view == PERSIST_LATEST)
        return model_digest_at(m, lsn);
    persist_store *store = model_at(m, lsn);
    uint64_t digest = model_digest(store, view);
    persist_close(store, NULL);
    return digest;
}

bool model_matches(const model *m, persist_store *store, persist_view view,
                   buf *why)
{
    persist_lsn lsn =
        view == PERSIST_LATEST ? store_visible(store) : persist_durable(store);
    if (lsn > m->latest) {
        buf_printf(why, "commit %llu was never asked for\n",
                   (unsigned long long)lsn);
        return false;
    }
    buf text = {0};
    persist_error error;
    persist_status status = store_dump(store, view, &text, &error);
    bool same = status == PERSIST_OK && !text.failed &&
                hash_xxh3(buf_slice(&text)) == digest_at(m, lsn, view);
    if (status != PERSIST_OK)
        buf_printf(why, "reading: %s: %s\n", persist_status_code(status),
                   error.message);
    else if (!same) {
        buf_printf(why, "the state after commit %llu is not the model's\n",
                   (unsigned long long)lsn);
        explain(m, lsn, buf_slice(&text), why);
    }
    buf_release(&text);
    return same;
}
