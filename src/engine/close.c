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

/* What was taken away since the last sync is told, too. Where the directory and
 * the manifests still are ours, the last one says all the same what must be
 * there, so the next opening tells what is missing. */
persist_status engine_end_log(engine *e, persist_error *error)
{
    upkeep_close(e);
    wal_stop(&e->wal);
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    persist_error why;
    persist_status status = PERSIST_OK;
    persist_status held = layout_check_hold(e->sys, &e->at, &why);
    if (held == PERSIST_OK) {
        held = engine_check_files(e, &why);
        status = mark_clean(e, error);
    }
    if (held != PERSIST_OK) {
        wal_fail(&e->wal, &why);
        status = wal_read_only(&e->wal, error);
    }
    if (status == PERSIST_OK)
        (void)upkeep_sweep(e);
    reserve_close(e);
    return status;
}
