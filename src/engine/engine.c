/* SPDX-License-Identifier: MIT */
/* Opening and closing a store.
 *
 * Opening ends with a new manifest that says: in use. Until that is durable
 * nothing that another opening could need has changed. */
#include "engine/engine.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "engine/layout.h"
#include "engine/recover.h"

static persist_status no_memory(persist_error *error)
{
    return status_set(error, PERSIST_LIMIT, "out of memory");
}

/* ---- recycling -------------------------------------------------------- */

static bool lists(const manifest *m, uint64_t number)
{
    for (size_t i = 0; i < m->segment_count; i++)
        if (m->segments[i].number == number)
            return true;
    return false;
}

/* What is not understood is left alone: only a file with a header of this
 * store, or with none yet, is taken. */
static bool is_understood(const segment_place *place, uint64_t number)
{
    const os *sys = place->sys;
    uint8_t bytes[SEGMENT_HEADER_SIZE] = {0};
    static const uint8_t none[SEGMENT_HEADER_SIZE];
    segment_header header;
    os_file *file;
    size_t got;
    persist_error ignored;
    if (segment_open(place, number, &file, &ignored) != PERSIST_OK)
        return false;
    int code = os_read_all(sys, file, bytes, sizeof bytes, 0, &got);
    sys->file_close(sys, file);
    if (code != 0)
        return false;
    if (memcmp(bytes, none, sizeof bytes) == 0)
        return true;
    return segment_header_decode(slice_of(bytes, got), &header) &&
           header.identity == place->identity;
}

/* Hands segments that neither manifest needs to the log; too many of them are
 * deleted. Those behind the old manifest's next_segment may be its log. */
static void recycle(engine *e, const manifest *old, const recovery *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->number_count; i++) {
        uint64_t number = r->numbers[i];
        char path[PERSIST_PATH_MAX];
        if (number >= old->next_segment || lists(old, number) ||
            lists(&e->manifest, number) ||
            !is_understood(&e->wal.place, number))
            continue;
        if (kept < SEGMENT_SPARES && wal_recycle(&e->wal, number))
            kept++;
        else if (segment_path(&e->wal.place, number, path) == 0)
            e->sys->unlink(e->sys, path);
    }
}

/* ---- opening ---------------------------------------------------------- */

static persist_status replay(void *context, persist_lsn lsn,
                             const record_body *body, persist_error *error)
{
    return engine_replay(context, lsn, body, error);
}

static persist_status open_log(engine *e, uint64_t segment_size,
                               const manifest *old, recovery *r,
                               persist_error *error)
{
    persist_status status = recover_log(r, error);
    if (status == PERSIST_OK)
        status = manifest_store(e->sys, e->dir, &r->out, error);
    if (status != PERSIST_OK)
        return status;
    e->replayed = r->replayed;
    CHECK(r->out.watermark == e->latest);
    e->manifest = r->out;
    r->out = (manifest){0};
    const manifest *m = &e->manifest;
    const segment_entry *last =
        m->segment_count == 0 ? NULL : &m->segments[m->segment_count - 1];
    bool resume = last != NULL && last->size - last->end >= RECORD_HEADER_SIZE;
    status = wal_open(&e->wal, &r->place, segment_size, m, resume,
                      m->next_segment, error);
    if (status == PERSIST_OK)
        recycle(e, old, r);
    return status;
}

static persist_status load_manifests(engine *e, manifest *newest,
                                     manifest *previous, persist_error *error)
{
    persist_status status =
        manifest_load(e->sys, e->dir, newest, previous, error);
    if (status != PERSIST_NONE)
        return status;
    status = layout_create(e->sys, e->dir, error);
    if (status == PERSIST_OK)
        status = manifest_load(e->sys, e->dir, newest, previous, error);
    CHECK(status != PERSIST_NONE);
    return status;
}

static persist_status recover(engine *e, uint64_t segment_size,
                              persist_error *error)
{
    manifest newest, previous;
    persist_status status = load_manifests(e, &newest, &previous, error);
    if (status == PERSIST_OK)
        status = layout_check_folders(e->sys, e->dir, error);
    if (status == PERSIST_OK) {
        memtable_init(&e->memtable, newest.identity);
        recovery r = {.old = &newest, .replay = replay, .context = e};
        r.place = (segment_place){e->sys, e->log_dir, newest.identity,
                                  newest.epoch + 1};
        status = open_log(e, segment_size, &newest, &r, error);
        recovery_release(&r);
    }
    manifest_release(&newest);
    manifest_release(&previous);
    return status;
}

static persist_status open_blobs(engine *e, persist_error *error)
{
    char blobs[PERSIST_PATH_MAX], temporary[PERSIST_PATH_MAX];
    int code = os_join(blobs, sizeof blobs, e->dir, LAYOUT_BLOBS);
    if (code == 0)
        code = os_join(temporary, sizeof temporary, e->dir, LAYOUT_TEMPORARY);
    if (code != 0)
        return os_failed(error, code, "open", e->dir);
    return blob_open_store(&e->blobs, e->sys, blobs, temporary, error);
}

static persist_status set_up(engine *e, const persist_options *options,
                             persist_error *error)
{
    e->sys = options->os == NULL ? os_posix() : options->os;
    e->equal = options->equal;
    e->equal_context = options->equal_context;
    /* Room for the longest name in a store: a blob's. */
    enum { LONGEST_NAME = 96 };
    size_t size = strlen(options->path);
    while (size > 1 && options->path[size - 1] == '/')
        size--;
    if (size + LONGEST_NAME > sizeof e->dir)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the path of the store is too long");
    memcpy(e->dir, options->path, size);
    int code = os_join(e->log_dir, sizeof e->log_dir, e->dir, LAYOUT_LOG);
    CHECK(code == 0 && e->sys->version == OS_VERSION);
    pthread_mutex_init(&e->writer, NULL);
    pthread_mutex_init(&e->pins_lock, NULL);
    pthread_rwlock_init(&e->state, NULL);
    return PERSIST_OK;
}

static persist_status open_all(engine *e, const persist_options *options,
                               persist_error *error)
{
    uint64_t segment_size = options->segment_size == 0 ? SEGMENT_SIZE_DEFAULT
                                                       : options->segment_size;
    if (segment_size < SEGMENT_SIZE_MIN || segment_size > SEGMENT_SIZE_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a segment has %u to %u bytes", SEGMENT_SIZE_MIN,
                          SEGMENT_SIZE_MAX);
    persist_status status =
        layout_check(e->sys, e->dir, options->create, error);
    if (status == PERSIST_OK)
        status = layout_lock(e->sys, e->dir, &e->lock_file, error);
    /* Somebody may have made a store of it in between. */
    if (status == PERSIST_OK)
        status = layout_check(e->sys, e->dir, options->create, error);
    if (status == PERSIST_OK)
        status = recover(e, segment_size, error);
    if (status == PERSIST_OK)
        status = open_blobs(e, error);
    if (status == PERSIST_OK && options->background)
        status = wal_start(&e->wal, error);
    return status;
}

/* Releases what there is; safe on an engine that is half open. */
static void release(engine *e)
{
    CHECK(e->pins == NULL);
    wal_close(&e->wal);
    blob_close_store(&e->blobs);
    memtable_release(&e->memtable);
    manifest_release(&e->manifest);
    mem_free(e->plan);
    mem_free(e->seqs);
    if (e->lock_file != NULL)
        e->sys->file_close(e->sys, e->lock_file);
    pthread_mutex_destroy(&e->writer);
    pthread_mutex_destroy(&e->pins_lock);
    pthread_rwlock_destroy(&e->state);
    mem_free(e);
}

persist_status engine_open(const persist_options *options, engine **out,
                           persist_error *error)
{
    CHECK(options->path != NULL);
    engine *e = mem_alloc_zero(sizeof *e);
    if (e == NULL)
        return no_memory(error);
    persist_status status = set_up(e, options, error);
    if (status != PERSIST_OK) {
        mem_free(e);
        return status;
    }
    status = open_all(e, options, error);
    if (status == PERSIST_OK)
        *out = e;
    else
        release(e);
    return status;
}

/* ---- closing ---------------------------------------------------------- */

static persist_status mark_clean(engine *e, persist_error *error)
{
    CHECK(!wal_failed(&e->wal) && wal_durable(&e->wal) == e->latest);
    persist_status status = wal_describe(&e->wal, &e->manifest, error);
    e->manifest.clean = true;
    if (status == PERSIST_OK)
        status = manifest_store(e->sys, e->dir, &e->manifest, error);
    return status;
}

persist_status engine_close(engine *e, persist_error *error)
{
    persist_status status = wal_wait(&e->wal, e->latest, error);
    if (status == PERSIST_OK && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    wal_stop(&e->wal);
    if (status == PERSIST_OK)
        status = mark_clean(e, error);
    release(e);
    return status;
}

/* ---- the rest --------------------------------------------------------- */

persist_status engine_step(engine *e, bool *did, persist_error *error)
{
    return wal_prepare_step(&e->wal, did, error);
}

void engine_stats(engine *e, persist_stats *out)
{
    *out = (persist_stats){0};
    pthread_rwlock_rdlock(&e->state);
    out->commits = e->commits;
    out->streams = e->memtable.streams;
    out->keys = e->memtable.keys;
    out->events = e->memtable.events;
    out->memory = e->memtable.memory;
    pthread_rwlock_unlock(&e->state);
    out->replayed = e->replayed;
    wal_stats(&e->wal, out);
}
