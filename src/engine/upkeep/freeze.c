/* SPDX-License-Identifier: MIT */
/* Freezing: the active memtable becomes one that only waits to be a table. */
#include "engine/upkeep/upkeep.h"

bool upkeep_is_full(const engine *e)
{
    const memtable *t = e->layers->active;
    return t->last > 0 &&
           (memtable_memory(t) >= e->memtable_size ||
            t->logged >= e->memtable_size || t->edits >= MEMTABLE_EDITS_MAX);
}

persist_status upkeep_freeze(engine *e, bool *did, persist_error *error)
{
    *did = false;
    return upkeep_is_full(e) || credit_covers_flush(e)
               ? upkeep_freeze_all(e, did, error)
               : PERSIST_OK;
}

persist_status upkeep_freeze_all(engine *e, bool *did, persist_error *error)
{
    const layers *old = e->layers;
    *did = false;
    if (old->active->last == 0 || old->frozen != NULL || e->installing)
        return PERSIST_OK;
    persist_status status = engine_use(e, error);
    if (status != PERSIST_OK)
        return status;
    memtable *fresh =
        memtable_new(&e->pool, e->manifest.identity, old->active->last + 1,
                     &old->active->counts, table_name_block(e->block_size));
    layers *next = fresh == NULL ? NULL
                                 : layers_new(fresh, old->active, old->tables,
                                              old->table_count);
    memtable_unref(fresh);
    if (next == NULL)
        return status_no_memory(error);
    engine_set_layers(e, next);
    *did = true;
    return PERSIST_OK;
}
