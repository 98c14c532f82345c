/* SPDX-License-Identifier: MIT */
/* Opening and closing a store.
 *
 * Opening what was not closed ends with a new manifest that says: in use. Until
 * that is durable nothing that another opening could need has changed. What was
 * closed keeps its manifest until the first commit. */
#include "engine/engine.h"

#include "engine/files/files.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "os/os_memory.h"
#include "os/os_sleep.h"

/* ---- folders ---------------------------------------------------------- */

static void give_all(engine *e)
{
    while (reserve_give(e)) {
    }
}

/* Who has no room even for a folder opens anew, too. */
static persist_status open_folder(engine *e, const char *name, bool needed,
                                  layout_folder *f, persist_error *error)
{
    persist_status status =
        layout_open_folder(e->sys, &e->at, name, needed, f, error);
    e->no_room = status == PERSIST_NO_SPACE;
    if (e->no_room)
        give_all(e);
    return status;
}

/* But that of the blobs, which only the log may tell of. */
static persist_status open_folders(engine *e, const manifest *m,
                                   persist_error *error)
{
    layout *at = &e->at;
    persist_status status =
        open_folder(e, LAYOUT_LOG, manifest_needs_log(m), &at->log, error);
    if (status == PERSIST_OK)
        status = open_folder(e, LAYOUT_TABLES, m->table_count > 0, &at->tables,
                             error);
    return status == PERSIST_OK
               ? open_folder(e, LAYOUT_TEMPORARY, false, &at->temporary, error)
               : status;
}

static bool has_blobs(const layers *v)
{
    bool any = v->active->blob_map.count > 0;
    for (size_t i = 0; i < v->table_count; i++)
        any = any || v->tables[i]->footer.roots[TABLE_BLOBS].entries > 0;
    return any;
}

/* ---- tables ----------------------------------------------------------- */

static persist_status end_open(table *t, const table_file *f,
                               persist_error *error)
{
    persist_status status = table_end_open(t, error);
    if (status != PERSIST_OK ||
        (t->footer.first == f->first && t->footer.last == f->last))
        return status;
    return table_corrupt(t, f->size - TABLE_FOOTER_SIZE,
                         "a table has other commits than the manifest says",
                         error);
}

/* The disk is at work on all of them at once. */
static persist_status open_each(engine *e, const manifest *m, table **out,
                                size_t *opened, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < m->table_count && status == PERSIST_OK; i++) {
        const table_file *f = &m->tables[i];
        status = table_begin_open(&e->table_place, &e->cache, f->number,
                                  f->size, &out[i], error);
        *opened += status == PERSIST_OK;
    }
    for (size_t i = 0; i < m->table_count && status == PERSIST_OK; i++)
        status = end_open(out[i], &m->tables[i], error);
    return status;
}

static persist_status open_tables(engine *e, const manifest *m,
                                  persist_error *error)
{
    store_counts counts = {m->next_position, m->streams, m->events, m->time};
    persist_status status = PERSIST_OK;
    size_t opened = 0;
    e->table_place = (table_place){e->sys, e->at.tables.dir, m->identity,
                                   reserve_lend_table, e};
    table **tables = mem_alloc(m->table_count * sizeof(table *));
    memtable *active =
        memtable_new(&e->pool, m->identity, manifest_tables_last(m) + 1,
                     &counts, table_name_block(e->block_size));
    if (tables == NULL || active == NULL)
        status = status_no_memory(error);
    else
        status = open_each(e, m, tables, &opened, error);
    if (status == PERSIST_OK) {
        layers *first = layers_new(active, NULL, tables, opened);
        if (first == NULL)
            status = status_no_memory(error);
        else
            engine_set_layers(e, first);
    }
    for (size_t i = 0; i < opened; i++)
        table_unref(tables[i]);
    memtable_unref(active);
    mem_free(tables);
    return status;
}

/* ---- opening ---------------------------------------------------------- */

static persist_status replay(void *context, persist_lsn lsn,
                             const record_body *body, persist_error *error)
{
    return engine_replay(context, lsn, body, error);
}

/* What recovery found becomes the manifest. A store that was closed cleanly
 * keeps the one that it has until something is written. */
static persist_status take_manifest(engine *e, const manifest *old, recovery *r,
                                    bool *renamed, persist_error *error)
{
    manifest *m = &r->out;
    if (!manifest_copy_tables(m, old) || !gaps_copy(&e->gaps, &m->gaps))
        return status_no_memory(error);
    m->next_table = e->next_table;
    m->clean = old->clean;
    persist_status status =
        old->clean || e->at.read_only
            ? PERSIST_OK
            : manifest_store(e->sys, e->at.root, &e->at.manifests, m, renamed,
                             error);
    if (status != PERSIST_OK)
        return status;
    CHECK(m->watermark == e->latest);
    e->replayed = r->replayed;
    atomic_store(&e->in_use, !old->clean && !e->at.read_only);
    e->manifest = *m;
    *m = (manifest){0};
    return PERSIST_OK;
}

/* Writes the end of the log again, and the manifest that lists it. */
static persist_status renew_log(engine *e, const manifest *old,
                                const manifest *previous, recovery *r,
                                persist_error *error)
{
    bool renamed = false;
    persist_status status = PERSIST_OK;
    if (!old->clean && !e->at.read_only) {
        status = engine_sync_manifests(e, error);
        if (status != PERSIST_OK)
            return status;
        leftovers_delete_segments(e, &r->place, previous);
    }
    status = recover_write(r, error);
    if (status == PERSIST_OK)
        status = take_manifest(e, old, r, &renamed, error);
    if (status == PERSIST_OK && !old->clean && !e->at.read_only)
        status = leftovers_note_copied(e, old, r, error);
    if (status != PERSIST_OK && !renamed)
        recover_undo(r);
    e->no_room = status == PERSIST_NO_SPACE && !renamed && !e->at.read_only;
    if (e->no_room) {
        leftovers_make_room(e, old, previous, r);
        give_all(e);
    }
    return status;
}

static persist_status open_log(engine *e, uint64_t segment_size,
                               const manifest *old, const manifest *previous,
                               recovery *r, persist_error *error)
{
    persist_status status = leftovers_find_tables(e, old, error);
    if (status == PERSIST_OK)
        status = recover_read(r, error);
    if (status == PERSIST_OK)
        status = open_folder(e, LAYOUT_BLOBS, has_blobs(e->layers),
                             &e->at.blobs, error);
    if (status == PERSIST_OK)
        status = leftovers_find_segments(e, old, r, error);
    if (status == PERSIST_OK)
        status = renew_log(e, old, previous, r, error);
    if (status != PERSIST_OK)
        return status;
    const manifest *m = &e->manifest;
    const segment_entry *last =
        m->segment_count == 0 ? NULL : &m->segments[m->segment_count - 1];
    bool resume = !e->at.read_only && last != NULL &&
                  last->size - last->end >= RECORD_HEADER_SIZE;
    return wal_open(&e->wal, &r->place, segment_size, m, resume, r->next_number,
                    layers_position(e->layers), error);
}

static persist_status load_manifests(engine *e, manifest *newest,
                                     manifest *previous, persist_error *error)
{
    persist_status status =
        manifest_load(e->sys, e->at.root, newest, previous, error);
    if (status == PERSIST_NONE) {
        status = layout_create(e->sys, &e->at, error);
        if (status == PERSIST_OK)
            status = manifest_load(e->sys, e->at.root, newest, previous, error);
    }
    if (status > PERSIST_NONE)
        return status;
    int code = status == PERSIST_NONE
                   ? -ENOENT
                   : manifest_hold_files(e->sys, e->at.root, newest, previous,
                                         &e->at.manifests);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "open the manifests in",
                                 e->at.root->path);
}

static persist_status recover(engine *e, uint64_t segment_size,
                              persist_error *error)
{
    manifest newest, previous;
    persist_status status = load_manifests(e, &newest, &previous, error);
    if (status == PERSIST_OK)
        status = open_folders(e, &newest, error);
    if (status == PERSIST_OK && newest.epoch >= EPOCH_MAX && !e->at.read_only)
        status = status_set(error, PERSIST_LIMIT,
                            "the store was opened %u times, as often as can "
                            "be; " USED_UP_ADVICE,
                            EPOCH_MAX);
    if (status == PERSIST_OK) {
        status = open_tables(e, &newest, error);
        e->latest = manifest_tables_last(&newest);
    }
    if (status == PERSIST_OK) {
        recovery r = {.old = &newest,
                      .replay = replay,
                      .context = e,
                      .joins = atomic_load(&e->lacks_reserve),
                      .spares = e->spares,
                      .read_only = e->at.read_only};
        r.place = (segment_place){e->sys, e->at.log.dir, newest.identity,
                                  newest.epoch + 1};
        r.segment_size = segment_size;
        status = open_log(e, segment_size, &newest, &previous, &r, error);
        recovery_release(&r);
    }
    manifest_release(&newest);
    manifest_release(&previous);
    return status;
}

static int sync_packs(void *context)
{
    engine *e = context;
    int code = pack_sync(&e->blobs.packs);
    if (code != 0)
        e->looked_us = e->at.looked_us = 0; /* the next look is at all names */
    return code;
}

static persist_status open_blobs(engine *e, uint32_t packed_max,
                                 persist_error *error)
{
    e->wal.sync_first = sync_packs;
    e->wal.check_hold = engine_check_hold;
    e->wal.keep = reserve_keep;
    e->wal.lend = reserve_lend;
    e->wal.context = e;
    if (!e->at.read_only)
        layout_watch(e->sys, &e->at);
    atomic_store(&e->features, e->manifest.features);
    persist_status status = blob_open_store(
        &e->blobs, e->sys, e->at.blobs.dir, e->at.temporary.dir,
        e->manifest.epoch, packed_max == 0 ? PACKED_MAX_DEFAULT : packed_max,
        error);
    return status == PERSIST_OK && !e->at.read_only ? engine_find_gone(e, error)
                                                    : status;
}

static void set_up(engine *e, const persist_options *options)
{
    e->sys = system_of(options, &e->own_sys);
    e->blob_step = engine_blob_step;
    e->equal = options->equal;
    e->equal_context = options->equal_context;
    CHECK(e->sys->version == OS_VERSION);
    cache_init(&e->cache, options->cache_size == 0 ? CACHE_SIZE_DEFAULT
                                                   : options->cache_size);
    arena_pool_init(&e->pool,
                    options->memtable_size == 0 ? MEMTABLE_SIZE_DEFAULT
                                                : options->memtable_size,
                    os_memory_bring_in);
    upkeep_init(e);
    os_brief_lock_init(&e->writer);
    readers_init(&e->readers);
    pthread_mutex_init(&e->reserve, NULL);
}

persist_status engine_check(const persist_options *options,
                            persist_error *error)
{
    uint32_t segment = options->segment_size, width = options->merge_width;
    if (options->packed_max > PACKED_MAX_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "blobs of up to %u bytes can be packed, not %u",
                          PACKED_MAX_MAX, options->packed_max);
    if (segment != 0 &&
        (segment < SEGMENT_SIZE_MIN || segment > SEGMENT_SIZE_MAX))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a segment has %u to %u bytes, not %u",
                          SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX, segment);
    if (width == 1 || width > MERGE_WIDTH_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "2 to %u tables can be merged, not %u",
                          MERGE_WIDTH_MAX, width);
    return PERSIST_OK;
}

static void set_sizes(engine *e, const persist_options *options)
{
    e->memtable_size = options->memtable_size == 0 ? MEMTABLE_SIZE_DEFAULT
                                                   : options->memtable_size;
    e->merge_width = options->merge_width;
    e->compress = options->compress;
    e->credit_share = e->memtable_size / CREDIT_SHARE + 1;
    e->credit_factor = 1;
    e->block_size = (uint32_t)(e->memtable_size / BLOCKS_OF_MEMTABLE);
    if (e->block_size > BLOCK_SIZE_MAX)
        e->block_size = BLOCK_SIZE_MAX;
    if (e->block_size < BLOCK_SIZE_MIN)
        e->block_size = BLOCK_SIZE_MIN;
}

/* A store that was made for the group stays so, whoever opens it. Of what is no
 * store yet the permissions say nothing: it becomes one as the options say. */
static persist_status keep_group(engine *e, persist_error *error)
{
    os_stat stat;
    int code = e->sys->stat(e->sys, e->at.root, ".", &stat);
    if (code != 0)
        return os_failed(error, code, "look at", e->at.root->path);
    if (stat.for_group && !e->sys->group &&
        manifest_is_there(e->sys, e->at.root)) {
        e->own_sys = *e->sys;
        e->own_sys.group = true;
        e->sys = &e->own_sys;
    }
    return PERSIST_OK;
}

static persist_status open_directory(engine *e, const persist_options *options,
                                     persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (!layout_path(options->path, path, error))
        return PERSIST_BAD_REQUEST;
    persist_status status =
        layout_open(e->sys, path, options->create, &e->at, error);
    return status == PERSIST_OK ? keep_group(e, error) : status;
}

/* full: what an opening that writes has failed with; NULL: nothing. */
static persist_status open_all(engine *e, const persist_options *options,
                               const persist_error *full, persist_error *error)
{
    uint64_t segment_size = options->segment_size == 0 ? SEGMENT_SIZE_DEFAULT
                                                       : options->segment_size;
    set_sizes(e, options);
    persist_status status = open_directory(e, options, error);
    if (status == PERSIST_OK)
        status = layout_check(e->sys, e->at.root, options->create, error);
    if (status == PERSIST_OK)
        status = layout_lock(e->sys, &e->at, true, error);
    /* Somebody may have made a store of it in between. */
    if (status == PERSIST_OK)
        status = layout_check(e->sys, e->at.root, options->create, error);
    e->full = full != NULL && !e->at.read_only;
    e->at.read_only = e->at.read_only || e->full;
    if (status == PERSIST_OK)
        status = recover(e, segment_size, error);
    if (status == PERSIST_OK)
        status = open_blobs(e, options->packed_max, error);
    if (status == PERSIST_OK) {
        dead_estimate(e);
        reserve_measure(e, e->layers);
    }
    if (status == PERSIST_OK && e->full)
        wal_shut(&e->wal, full);
    else if (status == PERSIST_OK && e->at.read_only)
        wal_fail(&e->wal, &e->at.why);
    if (status == PERSIST_OK && atomic_load(&e->lacks_reserve))
        reserve_take_up(e);
    bool background = options->background && !e->at.read_only;
    if (status == PERSIST_OK && background)
        status = wal_start(&e->wal, error);
    if (status == PERSIST_OK && background)
        status = upkeep_start(e, error);
    if (status == PERSIST_OK && atomic_load(&e->in_use))
        upkeep_call(e);
    return status;
}

/* Releases what there is; safe on an engine that is half open. */
static void release(engine *e)
{
    CHECK(e->sys != NULL);
    upkeep_release(e);
    wal_close(&e->wal);
    blob_close_store(&e->blobs);
    readers_release(&e->readers);
    arena_pool_release(&e->pool);
    cache_release(&e->cache);
    manifest_release(&e->manifest);
    gaps_release(&e->gaps);
    leftovers_release(&e->leftovers);
    mem_free(e->plan);
    mem_free(e->seqs);
    layout_release(e->sys, &e->at);
    pthread_mutex_destroy(&e->writer);
    pthread_mutex_destroy(&e->reserve);
    mem_free(e);
}

static persist_status open_once(const persist_options *options,
                                const persist_error *full, bool spares,
                                engine **out, bool *no_room,
                                persist_error *error)
{
    engine *e = mem_alloc_zero(sizeof *e);
    if (e == NULL)
        return status_no_memory(error);
    set_up(e, options);
    atomic_init(&e->lacks_reserve, *no_room);
    e->spares = spares;
    persist_status status = open_all(e, options, full, error);
    *no_room = e->no_room;
    if (status == PERSIST_OK)
        *out = e;
    else
        release(e);
    return status;
}

/* Commits have a time, and looks at what is held are told apart by the clock.
 */
static persist_status check_clock(persist_error *error)
{
    int code = os_clock_check();
    return code == 0 ? PERSIST_OK
                     : status_set(error, PERSIST_IO,
                                  "cannot read the clock: %s; let the sandbox "
                                  "of this program allow clock_gettime",
                                  os_reason(code));
}

/* Who finds no room to write the end of the log again tries once more, with
 * what the log had ahead, and in one file; then without the small segments in
 * front, which need not be written again; if that is not enough, what is there
 * is opened to be read. */
persist_status engine_open(const persist_options *options, engine **out,
                           persist_error *error)
{
    CHECK(options->path != NULL);
    bool no_room = false;
    persist_error why;
    persist_status status = engine_check(options, error);
    if (status == PERSIST_OK && options->os == NULL)
        status = check_clock(error);
    if (status != PERSIST_OK)
        return status;
    for (int tries = 0; tries == 0 || (tries < 3 && no_room); tries++)
        status = open_once(options, NULL, tries == 2, out, &no_room, &why);
    if (no_room)
        return open_once(options, &why, false, out, &no_room, error);
    if (status != PERSIST_OK && error != NULL)
        *error = why;
    return status;
}

/* ---- closing ---------------------------------------------------------- */

/* A step of the upkeep reads too. */
size_t engine_cursors(engine *e)
{
    pthread_mutex_lock(&e->upkeep.step);
    size_t count = readers_count(&e->readers);
    pthread_mutex_unlock(&e->upkeep.step);
    return count;
}

size_t engine_snapshots(engine *e)
{
    return readers_count_kept(&e->readers);
}

size_t engine_backups(engine *e)
{
    return atomic_load(&e->backups);
}

size_t engine_ships(engine *e)
{
    return atomic_load(&e->ships);
}

persist_status engine_close(engine *e, persist_error *error)
{
    os_news_close(&e->wal.news);
    persist_status status = wal_wait(&e->wal, e->latest, error);
    if (status == PERSIST_OK && wal_failed(&e->wal) && !e->at.read_only)
        status = wal_read_only(&e->wal, error);
    upkeep_stop(e);
    if (atomic_load(&e->in_use))
        status = engine_end_log(e, error);
    wal_stop(&e->wal);
    release(e);
    return status;
}

/* ---- the rest --------------------------------------------------------- */

persist_status engine_step(engine *e, bool *did, persist_error *error)
{
    persist_status status = wal_prepare_step(&e->wal, did, error);
    if (status == PERSIST_OK && !*did)
        status = upkeep_step(e, did, error);
    return status == PERSIST_OK && !*did ? wal_proof_step(&e->wal, did, error)
                                         : status;
}

persist_status engine_step_called(engine *e, bool *did, persist_error *error)
{
    persist_error ignored;
    (void)wal_prepare_step(&e->wal, did, &ignored);
    if (*did)
        return PERSIST_OK;
    if (!upkeep_is_called(e))
        return wal_proof_step(&e->wal, did, error);
    persist_status status = upkeep_step(e, did, error);
    if (*did)
        (void)engine_wake(e);
    return status;
}

void engine_by_steps(engine *e)
{
    CHECK(!e->upkeep.worker.runs);
    e->upkeep.by_steps = true;
}

void engine_reads_pay(engine *e, uint32_t times)
{
    CHECK(times > 0);
    e->credit_factor = times;
}

void engine_stats(engine *e, persist_stats *out)
{
    layers *v;
    read_place own, *place = readers_enter(&e->readers, &own, &v);
    readers_look(&e->readers, place);
    out->commits = e->commits;
    out->streams = v->active->counts.streams;
    out->events = v->active->counts.events;
    out->memory = memtable_memory(v->active);
    if (v->frozen != NULL)
        out->memory += memtable_memory(v->frozen);
    out->tables = v->table_count;
    for (size_t i = 0; i < v->table_count; i++)
        out->table_bytes += v->tables[i]->footer.size;
    readers_look_end(&e->readers, place);
    const upkeep *u = &e->upkeep;
    out->dead = atomic_load(&u->dead);
    out->dead_max = dead_max(e, v->table_bytes);
    out->replaced = atomic_load(&u->replaced);
    out->tables_max = policy_tables_max(e, v);
    out->merge_passes = policy_passes(e, v);
    readers_leave(&e->readers, place);
    out->flushed = atomic_load(&u->flushed_bytes);
    for (size_t i = 0; i < MERGE_CAUSES; i++)
        out->merged += atomic_load(&u->merged_bytes[i]);
    out->merged_for_dead = atomic_load(&u->merged_bytes[MERGE_FOR_DEAD]);
    out->merged_for_reads = atomic_load(&u->merged_bytes[MERGE_FOR_READS]);
    out->merged_asked = atomic_load(&u->merged_bytes[MERGE_ASKED]);
    out->freed = atomic_load(&u->freed_bytes);
    out->cached = cache_size(&e->cache);
    out->replayed = e->replayed;
    wal_stats(&e->wal, out);
}
