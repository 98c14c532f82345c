/* SPDX-License-Identifier: MIT */
/* The oracle: the memory backend, and the ops that made it. */
#include "model.h"

#include <stdlib.h>

#include "age.h"
#include "base/hash.h"
#include "os_sim_disk.h"
#include "store/store.h"
#include "wall.h"

static persist_store *open_memory(bool aged)
{
    persist_store *store = NULL;
    persist_options options = {PERSIST_OPTIONS, .os = wall_os()};
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

/* Where the digest of a state is kept, or that of the first one after it. */
static size_t index_of(const model *m, persist_lsn lsn)
{
    size_t low = 0, high = m->lsn_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->lsns[middle] < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t model_digest_at(const model *m, persist_lsn lsn)
{
    size_t i = index_of(m, lsn);
    return i < m->lsn_count && m->lsns[i] == lsn ? m->digests[i] : 0;
}

static void add_state(model *m)
{
    m->digests = sim_more(m->digests, m->lsn_count, sizeof *m->digests);
    m->lsns = sim_more(m->lsns, m->lsn_count, sizeof *m->lsns);
    m->digests[m->lsn_count] = model_digest(m->store, PERSIST_LATEST);
    m->lsns[m->lsn_count++] = m->latest;
}

void model_begin(model *m, bool aged)
{
    *m = (model){.aged = aged, .store = open_memory(aged)};
    m->latest = store_visible(m->store);
    add_state(m);
}

void model_end(model *m)
{
    persist_close(m->store, NULL);
    free(m->steps);
    free(m->digests);
    free(m->lsns);
    free(m->undone);
    free(m->lost);
    *m = (model){0};
}

persist_status model_apply(model *m, op o, buf *answer)
{
    persist_error error;
    persist_status status = op_apply(m->store, o, answer, &error);
    persist_lsn lsn = store_visible(m->store);
    CHECK(lsn >= m->latest);
    m->steps = sim_more(m->steps, m->step_count, sizeof *m->steps);
    m->steps[m->step_count++] = (model_step){o, lsn, 0};
    if (lsn == m->latest)
        return status;
    m->latest = lsn;
    add_state(m);
    return status;
}

static void skip(persist_store *store, persist_lsn next)
{
    persist_status status = store_memory_skip(store, next, NULL);
    CHECK(status == PERSIST_OK);
}

void model_skip(model *m, persist_lsn next)
{
    CHECK(next > m->latest);
    m->lost_for_good = m->lost_count;
    if (next == m->latest + 1 || next == m->store->first_lsn)
        return;
    skip(m->store, next);
    m->steps = sim_more(m->steps, m->step_count, sizeof *m->steps);
    m->steps[m->step_count++] = (model_step){.lsn = m->latest, .next = next};
}

/* Of an lsn that the model has, or had. */
static const char *check_lsn(persist_store *store, persist_lsn lsn, bool there,
                             bool pending)
{
    persist_status status = persist_wait_durable(store, lsn, NULL);
    if (there)
        return status == PERSIST_OK ? NULL : "a durable commit is called lost";
    if (status == PERSIST_OK)
        return "a lost commit is called durable";
    return status == PERSIST_LOST || pending ? NULL
                                             : "an lsn will be given again";
}

const char *model_check_lsns(const model *m, persist_store *store, bool pending)
{
    persist_lsn latest = persist_latest(store);
    const char *wrong = NULL;
    for (size_t i = 0; i < m->lsn_count && wrong == NULL; i++)
        wrong = check_lsn(store, m->lsns[i], m->lsns[i] <= latest,
                          pending && i + 1 == m->lsn_count);
    for (size_t i = 0; i < m->lost_for_good && wrong == NULL; i++)
        wrong = check_lsn(store, m->lost[i], false, false);
    return wrong;
}

persist_store *model_at(const model *m, persist_lsn lsn)
{
    CHECK(lsn <= m->latest);
    persist_store *store = open_memory(m->aged);
    buf ignored = {0};
    persist_error error;
    for (size_t i = 0; i < m->step_count && m->steps[i].lsn <= lsn; i++) {
        if (m->steps[i].next != 0)
            skip(store, m->steps[i].next);
        else
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
    while (m->lsn_count > 0 && m->lsns[m->lsn_count - 1] > lsn) {
        m->lost = sim_more(m->lost, m->lost_count, sizeof *m->lost);
        m->lost[m->lost_count++] = m->lsns[--m->lsn_count];
    }
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
        if (m->steps[i].lsn > lsn && m->steps[i].next == 0)
            model_add_undone(m, m->steps[i].op);
    model_roll_back(m, lsn);
}

void model_not_given(model *m, persist_lsn from, persist_lsn next)
{
    size_t kept = m->lost_for_good;
    for (size_t i = kept; i < m->lost_count; i++)
        if (m->lost[i] < from || m->lost[i] < next)
            m->lost[kept++] = m->lost[i];
    m->lost_count = kept;
    model_forget_undone(m);
}

/* What is there again was not lost. */
static void find_again(model *m, persist_lsn from)
{
    size_t kept = m->lost_for_good;
    for (size_t i = kept; i < m->lost_count; i++)
        if (m->lost[i] <= from || m->lost[i] > m->latest)
            m->lost[kept++] = m->lost[i];
    m->lost_count = kept;
}

void model_redo(model *m)
{
    buf ignored = {0};
    persist_lsn from = m->latest;
    for (size_t i = 0; i < m->undone_count; i++)
        model_apply(m, m->undone[i], &ignored);
    buf_release(&ignored);
    find_again(m, from);
    model_forget_undone(m);
}

void model_forget_undone(model *m)
{
    m->undone_count = 0;
}

static void explain(const model *m, persist_lsn lsn, persist_view view,
                    slice actual, buf *why)
{
    persist_store *store = model_at(m, lsn);
    buf expected = {0};
    store_dump(store, view, &expected, NULL);
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

/* Of a view that is a snapshot the model shows the other view. */
static bool matches(const model *m, persist_store *store, persist_view view,
                    persist_lsn lsn, buf *why)
{
    persist_view shown =
        view == PERSIST_LATEST ? PERSIST_LATEST : PERSIST_DURABLE;
    if (model_digest_at(m, lsn) == 0) {
        buf_printf(why, "commit %llu was never asked for\n",
                   (unsigned long long)lsn);
        return false;
    }
    buf text = {0};
    persist_error error;
    persist_status status = store_dump(store, view, &text, &error);
    bool same = status == PERSIST_OK && !text.failed &&
                hash_xxh3(buf_slice(&text)) == digest_at(m, lsn, shown);
    if (status != PERSIST_OK)
        buf_printf(why, "reading: %s: %s\n", persist_status_code(status),
                   error.message);
    else if (!same) {
        buf_printf(why, "the state after commit %llu is not the model's\n",
                   (unsigned long long)lsn);
        explain(m, lsn, shown, buf_slice(&text), why);
    }
    buf_release(&text);
    return same;
}

bool model_matches(const model *m, persist_store *store, persist_view view,
                   buf *why)
{
    persist_lsn lsn =
        view == PERSIST_LATEST ? store_visible(store) : persist_durable(store);
    return matches(m, store, view, lsn, why);
}

bool model_shows(const model *m, persist_store *store,
                 const persist_snapshot *snapshot, buf *why)
{
    return matches(m, store, snapshot, persist_snapshot_lsn(snapshot), why);
}
