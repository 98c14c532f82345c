/* SPDX-License-Identifier: MIT */
/* A blob that is put again: whether what is there is whole, and if not, storing
 * it anew where the index says that it is. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "engine/blob/blob.h"
#include "engine/files/files.h"

enum { PIECE_SIZE = 128 << 10 };

static uint64_t size_of(const blob_source *s)
{
    return s->writer != NULL ? s->writer->size : s->bytes.size;
}

static bool is_in_file(const blob_source *s)
{
    return s->writer != NULL && s->writer->file != NULL;
}

/* Reads bytes of a source, into `room` if they are in its file. */
static int take(const blob_source *s, uint64_t at, size_t size, uint8_t *room,
                const uint8_t **out)
{
    size_t got;
    const blob_writer *w = s->writer;
    CHECK(at + size <= size_of(s));
    *out = room;
    if (!is_in_file(s)) {
        slice bytes = w == NULL ? s->bytes : buf_slice(&w->small);
        *out = (const uint8_t *)bytes.data + at;
        return 0;
    }
    int code = os_read_all(w->store->sys, w->file, room, size, at, &got);
    return code == 0 && got < size ? -EIO : code;
}

/* ---- comparing -------------------------------------------------------- */

/* Compares piece by piece; *code: what failed but for the blob's own file. */
static bool is_same(const blob_store *b, const blob_entry *e, os_file *file,
                    const blob_source *s, uint8_t *rooms, int *code)
{
    const uint8_t *bytes;
    size_t got;
    for (uint64_t at = 0; at < e->size; at += PIECE_SIZE) {
        size_t size =
            e->size - at < PIECE_SIZE ? (size_t)(e->size - at) : PIECE_SIZE;
        *code = take(s, at, size, rooms + PIECE_SIZE, &bytes);
        if (*code != 0 ||
            os_read_all(b->sys, file, rooms, size, e->offset + at, &got) != 0 ||
            got < size || memcmp(rooms, bytes, size) != 0)
            return false;
    }
    return true;
}

/* A file of its own holds a blob and nothing else. */
static bool has_size(const blob_store *b, const blob_entry *e, os_file *file)
{
    uint64_t size;
    return b->sys->file_size(b->sys, file, &size) == 0 &&
           (e->pack != 0 || size == e->size);
}

/* Names a file as it is now. 0: it cannot be told later whether it still is. */
static uint64_t name_as_is(const blob_store *b, const blob_entry *e,
                           os_file *file, bool *settled)
{
    os_stat stat;
    uint64_t stamp =
        e->pack == 0 ? b->sys->file_stamp(b->sys, file, settled) : 0;
    if (stamp == 0 || b->sys->file_stat(b->sys, file, &stat) != 0)
        return 0;
    const uint64_t parts[] = {stat.device, stat.inode, stat.size, stamp};
    uint64_t seed = hash_xxh3(slice_of(e->digest, sizeof e->digest));
    return hash_xxh3_seed(slice_of(parts, sizeof parts), seed) | 1;
}

static void remember(blob_store *b, uint64_t name)
{
    if (name != 0)
        atomic_store(&b->compared[name % BLOBS_COMPARED], name);
}

/* Nobody but us knows the file yet. */
void blob_remember(blob_store *b, const blob_entry *e, os_file *file)
{
    bool settled;
    remember(b, name_as_is(b, e, file, &settled));
}

/* Whether a blob's file holds what is put. That it does is remembered, for as
 * long as nobody writes to it. */
static bool holds(blob_store *b, const blob_entry *e, os_file *file,
                  const blob_source *s, uint8_t *rooms, int *code)
{
    bool settled = false;
    uint64_t name = name_as_is(b, e, file, &settled);
    *code = 0;
    if (name != 0 && atomic_load(&b->compared[name % BLOBS_COMPARED]) == name)
        return true;
    bool same = has_size(b, e, file) && is_same(b, e, file, s, rooms, code);
    if (same && settled)
        remember(b, name);
    return same;
}

static bool is_missing(int code)
{
    return code == -ENOENT || code == -ENOTDIR || code == -EIO;
}

persist_status blob_compare_here(blob_store *b, const blob_entry *e,
                                 const blob_source *s, persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    CHECK(e->size == size_of(s));
    int code = blob_open_file(b, e, path, &file);
    if (is_missing(code))
        return PERSIST_NONE;
    if (code != 0)
        return os_failed(error, code, "open", path);
    uint8_t *rooms = mem_alloc((size_t)2 * PIECE_SIZE);
    bool same = rooms != NULL && holds(b, e, file, s, rooms, &code);
    b->sys->file_close(b->sys, file);
    mem_free(rooms);
    if (rooms == NULL)
        return status_no_memory(error);
    if (code != 0)
        return os_failed(error, code, "read", s->writer->path);
    return same ? PERSIST_OK : PERSIST_NONE;
}

persist_status blob_compare(blob_store *b, const blob_entry *e,
                            const blob_source *s, persist_error *error)
{
    unsigned before = atomic_load(&b->mending);
    persist_status status = blob_compare_here(b, e, s, error);
    if (before % 2 == 0 && atomic_load(&b->mending) == before)
        return status;
    /* What was there may have been mended meanwhile, and not be durable. */
    pthread_mutex_lock(&b->lock);
    status = blob_compare_here(b, e, s, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

/* ---- storing anew ----------------------------------------------------- */

static persist_status mend_file(blob_writer *w, bool *unsynced,
                                persist_error *error)
{
    blob_entry ignored;
    persist_status status = PERSIST_OK;
    if (w->file == NULL)
        status = blob_to_file(w, error);
    if (status == PERSIST_OK)
        status = blob_sync(w, unsynced, error);
    return status == PERSIST_OK ? blob_place(w, &ignored, unsynced, error)
                                : status;
}

static persist_status mend_own(blob_store *b, const blob_entry *e,
                               const blob_source *s, bool *unsynced,
                               persist_error *error)
{
    blob_writer w;
    if (s->writer != NULL)
        return mend_file(s->writer, unsynced, error);
    blob_begin(b, &w, e->digest);
    persist_status status = blob_write(&w, s->bytes, error);
    if (status == PERSIST_OK)
        status = mend_file(&w, unsynced, error);
    blob_release(&w);
    return status;
}

static persist_status mend_packed(blob_store *b, const blob_entry *e,
                                  const blob_source *s, bool *unsynced,
                                  persist_error *error)
{
    const uint8_t *bytes;
    bool in_file = is_in_file(s);
    uint8_t *room = in_file ? mem_alloc((size_t)e->size) : NULL;
    if (in_file && room == NULL)
        return status_no_memory(error);
    int code = take(s, 0, (size_t)e->size, room, &bytes);
    if (code == 0)
        code = pack_restore(&b->packs, e->pack, e->offset,
                            slice_of(bytes, (size_t)e->size), unsynced);
    mem_free(room);
    if (code == 0)
        return PERSIST_OK;
    char path[PERSIST_PATH_MAX];
    int named = pack_path(b->dir, e->pack, path);
    return os_failed(error, code, "write", named == 0 ? path : b->dir->path);
}

persist_status blob_mend(blob_store *b, const blob_entry *e,
                         const blob_source *s, bool *unsynced,
                         persist_error *error)
{
    CHECK(e->size == size_of(s) && e->size <= SIZE_MAX);
    *unsynced = false;
    return e->pack == 0 ? mend_own(b, e, s, unsynced, error)
                        : mend_packed(b, e, s, unsynced, error);
}
