/* SPDX-License-Identifier: MIT */
/* Installing a new table: a new manifest first, then new layers.
 *
 * Under the writer's lock the log is made durable and described; the manifest
 * is written without any lock; then the layers are swapped. Commits that come
 * in between are in the log behind what the manifest lists, as always. */
#include "base/mem.h"
#include "engine/upkeep/upkeep.h"

/* ---- the manifest ----------------------------------------------------- */

static bool add_tables(manifest *m, table *const *tables, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const table_footer *f = &tables[i]->footer;
        if (!manifest_add_table(
                m, (table_file){f->number, f->size, f->first, f->last}))
            return false;
    }
    return true;
}

/* The writer's lock is held. */
static persist_status describe(engine *e, const layers *next, bool flushed,
                               uint64_t keys, manifest *out,
                               persist_error *error)
{
    const manifest *now = &e->manifest;
    CHECK(atomic_load(&e->in_use) && !now->clean);
    *out = (manifest){.epoch = now->epoch, .generation = now->generation};
    persist_status status = wal_wait(&e->wal, e->latest, error);
    if (status == PERSIST_OK && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    if (status == PERSIST_OK)
        status =
            wal_describe(&e->wal, layers_tables_last(next), false, out, error);
    if (status == PERSIST_OK &&
        (!manifest_copy_self(out, now) ||
         !add_tables(out, next->tables, next->table_count)))
        status = status_no_memory(error);
    const store_counts *counts = flushed ? &e->layers->frozen->counts : NULL;
    out->next_table = e->next_table;
    out->next_position = flushed ? counts->next_position : now->next_position;
    out->streams = flushed ? counts->streams : now->streams;
    /* Of one table it is known. */
    out->keys = next->table_count == 1
                    ? next->tables[0]->footer.roots[TABLE_KEYS].entries
                    : keys;
    out->events = flushed ? counts->events : now->events;
    out->time = flushed ? counts->time : now->time;
    return status;
}

/* ---- the layers --------------------------------------------------------- */

/* The layers that will be: in the place of [from, to) stands `t`. */
static layers *next_view(engine *e, size_t from, size_t to, table *t,
                         bool flushed)
{
    const layers *v = e->layers;
    CHECK(from <= to && to <= v->table_count);
    size_t count = v->table_count - (to - from) + 1, n = 0;
    table **tables = mem_alloc(count * sizeof(table *));
    if (tables == NULL)
        return NULL;
    for (size_t i = 0; i < from; i++)
        tables[n++] = v->tables[i];
    tables[n++] = t;
    for (size_t i = to; i < v->table_count; i++)
        tables[n++] = v->tables[i];
    CHECK(n == count);
    layers *next =
        layers_new(v->active, flushed ? NULL : v->frozen, tables, count);
    mem_free(tables);
    return next;
}

/* Room for what a merge drops. */
static bool reserve_dropped(upkeep *u, size_t more)
{
    return mem_grow(&u->dropped, u->dropped_count, more, &u->dropped_capacity,
                    sizeof *u->dropped);
}

/* The writer's lock is held. The one before, which m now takes the place of,
 * keeps nothing any more. */
static void swap_manifest(engine *e, manifest *m)
{
    CHECK(m->generation > e->manifest.generation);
    wal_trim(&e->wal, &e->manifest);
    manifest_release(&e->manifest);
    e->manifest = *m;
    *m = (manifest){0};
}

/* The writer's lock is held. The old tables [from, to) are dropped. */
static void swap_view(engine *e, layers *next, size_t from, size_t to,
                      manifest *m)
{
    upkeep *u = &e->upkeep;
    const layers *old = e->layers;
    CHECK(u->dropped_count + (to - from) <= u->dropped_capacity);
    for (size_t i = from; i < to; i++)
        u->dropped[u->dropped_count++] =
            (dropped_table){table_ref(old->tables[i]), m->generation};
    swap_manifest(e, m);
    engine_set_layers(e, next);
    reserve_note_log(e, next, 0);
}

void upkeep_delete_table(engine *e, uint64_t number)
{
    char path[PERSIST_PATH_MAX];
    CHECK(number != 0);
    if (table_path(&e->table_place, number, path) == 0)
        e->sys->unlink(e->sys, e->at.tables.dir, os_name(path));
}

persist_status upkeep_open_table(engine *e, uint64_t number, uint64_t size,
                                 table **out, persist_error *error)
{
    persist_status status =
        table_open(&e->table_place, &e->cache, number, size, out, error);
    if (status != PERSIST_OK)
        upkeep_delete_table(e, number); /* no manifest knows of it */
    return status;
}

static persist_status store(engine *e, manifest *m, bool *renamed,
                            persist_error *error)
{
    persist_error why;
    persist_status status;
    do
        status = manifest_store(e->sys, e->at.root, &e->at.manifests, m,
                                renamed, &why);
    while (status == PERSIST_NO_SPACE && !*renamed && reserve_give(e));
    if (status != PERSIST_OK && *renamed)
        wal_fail(&e->wal, &why);
    if (status != PERSIST_OK && error != NULL)
        *error = why;
    return status;
}

/* Nothing is frozen until the new layers stand, so they fit when they do. */
static persist_status prepare(engine *e, size_t from, size_t to, table *t,
                              bool flushed, uint64_t keys, layers **next,
                              manifest *m, persist_error *error)
{
    pthread_mutex_lock(&e->writer);
    *next = next_view(e, from, to, t, flushed);
    persist_status status = PERSIST_OK;
    if (*next == NULL || !reserve_dropped(&e->upkeep, to - from))
        status = status_no_memory(error);
    else
        status = describe(e, *next, flushed, keys, m, error);
    e->installing = status == PERSIST_OK;
    pthread_mutex_unlock(&e->writer);
    return status;
}

persist_status upkeep_install(engine *e, size_t from, size_t to, table *t,
                              bool flushed, uint64_t keys, persist_error *error)
{
    manifest m = {0};
    layers *next = NULL;
    uint64_t number = t->footer.number;
    bool renamed = false;
    CHECK(number < e->next_table);
    persist_status status =
        prepare(e, from, to, t, flushed, keys, &next, &m, error);
    if (status == PERSIST_OK)
        status = store(e, &m, &renamed, error);
    pthread_mutex_lock(&e->writer);
    e->installing = false;
    if (status == PERSIST_OK)
        swap_view(e, next, from, to, &m);
    pthread_mutex_unlock(&e->writer);
    if (status != PERSIST_OK)
        layers_free(next);
    manifest_release(&m);
    table_unref(t);
    if (status == PERSIST_OK)
        wal_drop_free(&e->wal, SEGMENT_FREE_MAX);
    else if (!renamed) /* it is in no manifest that a crash can leave */
        upkeep_delete_table(e, number);
    return status;
}

persist_status upkeep_settle(engine *e, persist_error *error)
{
    manifest m = {0};
    bool renamed = false;
    pthread_mutex_lock(&e->writer);
    persist_status status =
        describe(e, e->layers, false, e->manifest.keys, &m, error);
    e->installing = status == PERSIST_OK;
    pthread_mutex_unlock(&e->writer);
    if (status == PERSIST_OK)
        status = store(e, &m, &renamed, error);
    pthread_mutex_lock(&e->writer);
    e->installing = false;
    if (status == PERSIST_OK)
        swap_manifest(e, &m);
    pthread_mutex_unlock(&e->writer);
    manifest_release(&m);
    if (status == PERSIST_OK)
        wal_drop_free(&e->wal, SEGMENT_FREE_MAX);
    return status;
}

persist_status upkeep_feature(engine *e, uint64_t feature, persist_error *error)
{
    if ((atomic_load(&e->features) & feature) == feature)
        return PERSIST_OK;
    CHECK((feature & ~FORMAT_FEATURES) == 0 && !e->at.read_only);
    pthread_mutex_lock(&e->upkeep.step);
    pthread_mutex_lock(&e->writer);
    bool used = atomic_load(&e->in_use); /* else the first manifest has it */
    e->manifest.features |= feature;
    persist_status status = reserve_use(e, error);
    pthread_mutex_unlock(&e->writer);
    if (status == PERSIST_OK && used)
        status = upkeep_settle(e, error);
    if (status == PERSIST_OK)
        atomic_fetch_or(&e->features, feature);
    pthread_mutex_unlock(&e->upkeep.step);
    return status;
}

/* ---- what is dropped -------------------------------------------------- */

/* A reader that leaves after it was looked for calls for another step. */
bool upkeep_sweep(engine *e)
{
    upkeep *u = &e->upkeep;
    size_t kept = 0, count = u->dropped_count;
    bool any_read = false;
    if (count == 0)
        return false;
    atomic_store(&u->awaits_readers, true);
    for (size_t i = 0; i < count; i++) {
        dropped_table d = u->dropped[i];
        CHECK(d.generation <= e->manifest.generation);
        bool waits = d.generation >= e->manifest.generation;
        bool read = atomic_load_explicit(&d.table->references,
                                         memory_order_acquire) > 1;
        if (!read)
            spots_release(d.table); /* for those who took its place */
        if (waits || read) {
            any_read = any_read || (read && (!waits || spots_any(d.table)));
            u->dropped[kept++] = d;
            continue;
        }
        uint64_t number = d.table->footer.number;
        table_unref(d.table);
        upkeep_delete_table(e, number);
    }
    u->dropped_count = kept;
    atomic_store(&u->replaced, dead_replaced(e, true));
    if (kept < count)
        u->is_stuck = false;
    atomic_store(&u->awaits_readers, any_read);
    return kept < count;
}
