/* SPDX-License-Identifier: MIT */
/* What changes of a store's state, whoever asks for it. */
#include "engine/state/state.h"

#include <string.h>

/* ---- in use ----------------------------------------------------------- */

persist_status engine_sync_manifests(const engine *e, persist_error *error)
{
    int code = os_dir_sync(e->sys, e->at.root);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "sync", e->at.root->path);
}

persist_status engine_use(engine *e, persist_error *error)
{
    bool renamed = false;
    if (atomic_load(&e->in_use))
        return PERSIST_OK;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    persist_status status = engine_sync_manifests(e, error);
    if (status != PERSIST_OK)
        return status;
    manifest *m = &e->manifest, was = *m;
    CHECK(m->clean && m->epoch <= e->wal.place.epoch);
    m->clean = false;
    m->epoch = e->wal.place.epoch;
    m->next_segment = e->wal.next_number;
    m->next_table = e->next_table;
    persist_error why;
    status =
        manifest_store(e->sys, e->at.root, &e->at.manifests, m, &renamed, &why);
    if (status == PERSIST_OK) {
        atomic_store(&e->in_use, true);
        e->wakes_upkeep = true;
        return PERSIST_OK;
    }
    m->clean = true;
    m->epoch = was.epoch;
    m->next_segment = was.next_segment;
    m->next_table = was.next_table;
    if (renamed)
        wal_fail(&e->wal, &why);
    if (error != NULL)
        *error = why;
    return status;
}

/* ---- which store it is ------------------------------------------------- */

void engine_identity(engine *e, uint8_t self[IDENTITY_SIZE],
                     uint8_t parent[IDENTITY_SIZE])
{
    pthread_mutex_lock(&e->writer);
    memcpy(self, e->manifest.id, IDENTITY_SIZE);
    memcpy(parent, e->manifest.parent, IDENTITY_SIZE);
    pthread_mutex_unlock(&e->writer);
}

/* The manifest that is there, but for these two. */
static persist_status store_identity(engine *e, const uint8_t *self,
                                     const uint8_t *parent,
                                     persist_error *error)
{
    bool renamed = false;
    manifest *m = &e->manifest, was = *m;
    persist_error why;
    memcpy(m->id, self, IDENTITY_SIZE);
    memcpy(m->parent, parent, IDENTITY_SIZE);
    persist_status status =
        manifest_store(e->sys, e->at.root, &e->at.manifests, m, &renamed, &why);
    if (status == PERSIST_OK)
        return status;
    memcpy(m->id, was.id, IDENTITY_SIZE);
    memcpy(m->parent, was.parent, IDENTITY_SIZE);
    if (renamed)
        wal_fail(&e->wal, &why);
    if (error != NULL)
        *error = why;
    return status;
}

/* No other manifest is written meanwhile. */
persist_status engine_become_another(engine *e,
                                     const uint8_t parent[IDENTITY_SIZE],
                                     persist_error *error)
{
    uint8_t self[IDENTITY_SIZE];
    int code = e->sys->random(e->sys, self, sizeof self);
    if (code != 0)
        return os_failed(error, code, "draw an identity for", e->at.root->path);
    pthread_mutex_lock(&e->upkeep.step);
    pthread_mutex_lock(&e->writer);
    persist_status status = engine_use(e, error);
    if (status == PERSIST_OK && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    if (status == PERSIST_OK)
        status = store_identity(e, self, parent, error);
    pthread_mutex_unlock(&e->writer);
    pthread_mutex_unlock(&e->upkeep.step);
    return status;
}

/* ---- who holds the directory ------------------------------------------- */

static persist_status look_at_files(engine *e, wal_segment *written,
                                    persist_error *why)
{
    persist_status status = wal_check_names(&e->wal, written, why);
    return status == PERSIST_OK ? pack_check_name(&e->blobs.packs, why)
                                : status;
}

/* Each name by which an opening would find what this one writes. */
static persist_status look(engine *e, wal_segment *written, persist_error *why)
{
    persist_status status = layout_check_hold(e->sys, &e->at, why);
    return status == PERSIST_OK ? look_at_files(e, written, why) : status;
}

/* Nobody writes any more, so no list of a leader leads on. */
persist_status engine_check_files(engine *e, persist_error *why)
{
    if (e->wal.active != NULL)
        e->wal.active->sync_next = NULL;
    return look_at_files(e, e->wal.active, why);
}

/* Nobody outside moves a directory and has an answer within LOOK_AGAIN_US; and
 * a sync takes less on a quick disk than the look. */
persist_status engine_check_hold(void *context, wal_segment *written,
                                 persist_error *why)
{
    engine *e = context;
    uint64_t now_us = e->sys->clock_us(e->sys);
    if (now_us - e->looked_us < LOOK_AGAIN_US)
        return PERSIST_OK;
    e->looked_us = now_us;
    return layout_is_quiet(e->sys, &e->at, now_us)
               ? layout_check_path(e->sys, &e->at, why)
               : look(e, written, why);
}

persist_status engine_explain(engine *e, persist_status status,
                              persist_error *error)
{
    persist_error why;
    if (status != PERSIST_IO || e->at.read_only ||
        look(e, NULL, &why) == PERSIST_OK)
        return status;
    wal_fail(&e->wal, &why);
    return wal_read_only(&e->wal, error);
}

/* ---- layers and upkeep ------------------------------------------------ */

void engine_set_layers(engine *e, layers *v)
{
    e->layers = v;
    readers_set_layers(&e->readers, v);
}

bool engine_wake(engine *e)
{
    upkeep *u = &e->upkeep;
    pthread_mutex_lock(&u->lock);
    bool runs = u->worker.runs;
    u->wanted = true;
    pthread_cond_signal(&u->worker.work);
    pthread_mutex_unlock(&u->lock);
    return runs;
}

/* An opening that adds no table merges only what its reads have paid for: it
 * would hardly live long enough to end more. */
bool engine_may_merge(const engine *e, const layers *v)
{
    return atomic_load(&e->in_use) &&
           (atomic_load(&e->upkeep.flushed) || layers_is_crowded(v));
}
