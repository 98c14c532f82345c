/* SPDX-License-Identifier: MIT */
/* Compacting, which somebody asks for: all that was committed by then is put
 * into tables, and these are merged into one. Steps of the caller's, between
 * which others take the lock, commit, flush and read; a step of the background
 * may go on with the same merge. Nothing is kept of it but what any merge
 * leaves: so a crash at any point leaves the tables as they were, or the one.
 */
#include "engine/upkeep/tidy.h"

/* ---- figures ---------------------------------------------------------- */

void tidy_look(tidying *j, const layers *v)
{
    const engine *e = j->e;
    const upkeep *u = &e->upkeep;
    uint64_t log = wal_bytes(&j->e->wal);
    uint64_t tables = v->table_bytes + dead_replaced(e, true);
    uint64_t left =
        u->merging ? u->merge.bytes - merge_done(&u->merge) : v->table_bytes;
    j->out->now = tables + log;
    if (j->out->before == 0)
        j->out->before = j->out->now;
    j->out->kept = dead_replaced(e, true) - dead_replaced(e, false);
    CHECK(j->out->kept <= j->out->now);
    if (j->is_one)
        left = 0;
    else if (layers_tables_last(v) < j->through)
        left += atomic_load(&e->unflushed);
    if (j->out->total < left)
        j->out->total = left;
    if (j->out->done < j->out->total - left)
        j->out->done = j->out->total - left;
}

/* ---- going on, and ending --------------------------------------------- */

static persist_status no_room(const tidying *j, persist_error *error)
{
    const os *sys = j->e->sys;
    return status_set(error, PERSIST_NO_SPACE,
                      "no room on the disk: merging all tables into one takes "
                      "as much as lives in them, %llu bytes at the most, and "
                      "%llu are free; nothing is lost: make room and run it "
                      "again",
                      (unsigned long long)j->out->total,
                      (unsigned long long)sys->dir_room(sys, j->e->at.root));
}

/* Readers who are waited for are looked at again and again. */
static void rest(const os *sys)
{
    static const _Atomic uint32_t nobody;
    sys->sleep_while(sys, &nobody, 0, TIDY_LOOK_US);
}

/* Whether there is to be one more step. What finds no room is tried again after
 * some was made, but not for ever. */
static persist_status may_go_on(const tidying *j, persist_error *error)
{
    if (j->waits)
        rest(j->e->sys);
    if (j->failed >= TIDY_TRIES)
        return no_room(j, error);
    if (j->tidy->progress != NULL &&
        !j->tidy->progress(j->tidy->context, j->out))
        return PERSIST_NONE;
    return os_news_is_closed(&j->e->wal.news) ? PERSIST_CLOSED : PERSIST_OK;
}

persist_status tidy_go_on(tidying *j, upkeep_work work, persist_error *error)
{
    persist_status status = PERSIST_OK;
    j->done = j->waits = false;
    while (status == PERSIST_OK && !j->done) {
        bool did;
        status = may_go_on(j, error);
        if (status == PERSIST_OK)
            status = upkeep_step_of(j->e, work, j, &did, error);
        if (status == PERSIST_NO_SPACE)
            status = no_room(j, error);
    }
    return status;
}

/* ---- parts ------------------------------------------------------------ */

persist_status tidy_use(engine *e, const layers *v, persist_error *error)
{
    persist_status status = PERSIST_OK;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    if (!atomic_load(&e->in_use)) {
        pthread_mutex_lock(&e->writer);
        status = reserve_use(e, error);
        pthread_mutex_unlock(&e->writer);
    }
    if (status == PERSIST_OK)
        reserve_begin(e, v);
    return status;
}

/* What is in memory becomes a table: it is frozen, or flushed. */
static persist_status put_in_table(engine *e, const layers *v, bool *did,
                                   persist_error *error)
{
    if (v->frozen != NULL)
        return upkeep_flush(e, v, did, error);
    pthread_mutex_lock(&e->writer);
    persist_status status = upkeep_freeze_all(e, did, error);
    pthread_mutex_unlock(&e->writer);
    return status;
}

/* One table in which nothing is dead: an event, a key and the rest are in it
 * once, and what is deleted in none below it leaves nothing. */
static bool is_one_already(const engine *e, const layers *v)
{
    return v->table_count == 1 && atomic_load(&e->upkeep.dead) == 0 &&
           v->tables[0]->footer.roots[TABLE_EVENTS].entries ==
               e->manifest.events;
}

/* Every table that was made before all was in tables is a source of the merge,
 * whoever has begun it. */
static bool is_compact(const tidying *j, const layers *v)
{
    CHECK(j->old > 0 && layers_tables_last(v) >= j->through);
    return v->table_count == 0 || v->tables[0]->footer.number >= j->old ||
           (!j->anew && is_one_already(j->e, v));
}

persist_status tidy_compact(engine *e, const layers *v, void *context,
                            bool *did, persist_error *error)
{
    tidying *j = context;
    upkeep *u = &e->upkeep;
    persist_status status = tidy_use(e, v, error);
    if (status != PERSIST_OK)
        return status;
    tidy_look(j, v);
    if (layers_tables_last(v) < j->through) {
        status = put_in_table(e, v, did, error);
    } else {
        if (j->old == 0)
            j->old = e->next_table;
        j->is_one = j->done = is_compact(j, v);
        if (j->done)
            return PERSIST_OK;
        if (u->merging && (!upkeep_merges_all(e, v) ||
                           u->merge.writer.footer.number < j->old))
            upkeep_give_up_merge(e);
        if (!u->merging) {
            u->paid = false;
            u->cause = MERGE_ASKED;
            j->old = e->next_table;
        }
        status = upkeep_merge(e, v, 0, did, error);
    }
    j->failed += status == PERSIST_NO_SPACE;
    return status;
}

/* One more manifest, and what is replaced goes if nobody reads it. */
static persist_status settle(engine *e, const layers *v, void *context,
                             bool *did, persist_error *error)
{
    tidying *j = context;
    persist_status status = tidy_use(e, v, error);
    tidy_look(j, v);
    j->done = dead_replaced(e, false) == 0;
    if (status != PERSIST_OK || j->done)
        return status;
    status = upkeep_settle(e, error);
    *did = status == PERSIST_OK;
    return status;
}

static persist_status begin(engine *e, const layers *v, void *context,
                            bool *did, persist_error *error)
{
    tidying *j = context;
    persist_status status = tidy_use(e, v, error);
    if (status != PERSIST_OK)
        return status;
    pthread_mutex_lock(&e->writer);
    j->through = e->latest;
    pthread_mutex_unlock(&e->writer);
    *did = false;
    j->done = true;
    return PERSIST_OK;
}

/* What was begun is taken back, if nobody else goes on with it. */
static persist_status end(engine *e, const layers *v, void *context, bool *did,
                          persist_error *error)
{
    tidying *j = context;
    (void)error;
    *did = false;
    CHECK(e->upkeep.tidying > 0);
    if (--e->upkeep.tidying == 0 && j->old != 0 && !j->is_one &&
        upkeep_merges_all(e, v))
        upkeep_give_up_merge(e);
    tidy_look(j, v);
    return PERSIST_OK;
}

static persist_status enter(engine *e, const layers *v, void *context,
                            bool *did, persist_error *error)
{
    (void)error;
    *did = false;
    e->upkeep.tidying++;
    tidy_look(context, v);
    return PERSIST_OK;
}

persist_status tidy_run(tidying *j,
                        persist_status (*run)(tidying *, persist_error *),
                        persist_error *error)
{
    bool did;
    persist_error ignored;
    (void)upkeep_step_of(j->e, enter, j, &did, &ignored);
    persist_status status = run(j, error);
    (void)upkeep_step_of(j->e, end, j, &did, &ignored);
    return status;
}

static persist_status compact(tidying *j, persist_error *error)
{
    persist_status status = tidy_go_on(j, begin, error);
    if (status == PERSIST_OK)
        status = tidy_go_on(j, tidy_compact, error);
    return status == PERSIST_OK ? tidy_go_on(j, settle, error) : status;
}

persist_status upkeep_compact(engine *e, const persist_tidy *tidy,
                              persist_tidied *out, persist_error *error)
{
    tidying j = {.e = e, .tidy = tidy, .out = out};
    return tidy_run(&j, compact, error);
}
