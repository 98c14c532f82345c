/* SPDX-License-Identifier: MIT */
/* The end of an opening that wrote: little log, a manifest that says so, and no
 * file that nothing needs. On a full disk the manifest gets what was kept for
 * it. */
#include "engine/engine.h"

/* Spares will not be used any more. */
static persist_status store_last(engine *e, manifest *m, persist_error *error)
{
    bool renamed;
    persist_status status;
    do
        status = manifest_store(e->sys, e->at.root, &e->at.manifests, m,
                                &renamed, error);
    while (status == PERSIST_NO_SPACE && !renamed &&
           (wal_make_room(&e->wal) || reserve_give(e)));
    return status;
}

/* The manifest that ends this opening; then what only it and the one before
 * have let go is deleted. */
static persist_status mark_clean(engine *e, persist_error *error)
{
    const manifest *now = &e->manifest;
    manifest m = {.generation = now->generation,
                  .epoch = now->epoch,
                  .clean = true,
                  .next_table = e->next_table};
    CHECK(!wal_failed(&e->wal) && wal_durable(&e->wal) == e->latest);
    persist_status status =
        manifest_copy_tables(&m, now) && manifest_copy_self(&m, now)
            ? PERSIST_OK
            : status_no_memory(error);
    m.next_table = e->next_table;
    if (status == PERSIST_OK)
        status = wal_describe(&e->wal, layers_tables_last(e->layers), true, &m,
                              error);
    if (status == PERSIST_OK)
        status = store_last(e, &m, error);
    if (status == PERSIST_OK) {
        wal_leave(&e->wal, now);
        manifest_release(&e->manifest);
        e->manifest = m;
        m = (manifest){0};
    }
    manifest_release(&m);
    return status;
}

static persist_status check_parts(engine *e, persist_error *why)
{
    persist_status status = layout_check_hold(e->sys, &e->at, why);
    return status == PERSIST_OK ? engine_check_files(e, why) : status;
}

/* Files or folders have gone from under the store, whoever noticed it. What was
 * durable must be there all the same, and a manifest that says so has each
 * opening tell what is missing. It says nothing of what was not durable. Where
 * the manifests are not ours any more, nothing is written. */
static void note_loss(engine *e)
{
    const manifest *now = &e->manifest;
    manifest m = {.generation = now->generation, .epoch = now->epoch};
    persist_error ignored;
    bool renamed;
    CHECK(wal_failed(&e->wal) && !now->clean);
    if (e->wal.shut ||
        layout_check_root(e->sys, &e->at, &ignored) != PERSIST_OK ||
        check_parts(e, &ignored) == PERSIST_OK)
        return;
    if (manifest_copy_tables(&m, now) && manifest_copy_self(&m, now) &&
        wal_describe_durable(&e->wal, manifest_tables_last(now), &m))
        (void)manifest_store(e->sys, e->at.root, &e->at.manifests, &m, &renamed,
                             &ignored);
    manifest_release(&m);
}

/* What was taken away since the last sync is told, too. */
persist_status engine_end_log(engine *e, persist_error *error)
{
    persist_error why;
    persist_status status = PERSIST_OK;
    if (!wal_failed(&e->wal))
        upkeep_close(e);
    wal_stop(&e->wal);
    if (!wal_failed(&e->wal) && check_parts(e, &why) != PERSIST_OK)
        wal_fail(&e->wal, &why);
    if (wal_failed(&e->wal)) {
        note_loss(e);
        return wal_read_only(&e->wal, error);
    }
    status = mark_clean(e, error);
    if (status == PERSIST_OK)
        (void)upkeep_sweep(e);
    reserve_close(e);
    return status;
}
