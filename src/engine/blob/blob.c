/* SPDX-License-Identifier: MIT */
/* The bytes of blobs. */
#include "engine/blob/blob.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "engine/files/files.h"

enum {
    NAME_PREFIX = 5,
    NAME_DIGITS = 16,
    FOLDER_NAME = 3,
};

/* ---- opening ---------------------------------------------------------- */

/* Only names of the form that blob_create makes are taken for ours. */
bool blob_is_temporary(const char *name)
{
    if (strlen(name) != NAME_PREFIX + NAME_DIGITS ||
        memcmp(name, "blob-", NAME_PREFIX) != 0)
        return false;
    return strspn(name + NAME_PREFIX, "0123456789abcdef") == NAME_DIGITS;
}

static int remove_leftover(void *context, const char *name)
{
    const blob_store *b = context;
    if (!blob_is_temporary(name))
        return 0;
    int code = b->sys->unlink(b->sys, b->temporary, name);
    /* a folder is none of ours */
    return code == -ENOENT || code == -EISDIR || os_forbids_writing(code)
               ? 0
               : code;
}

persist_status blob_open_store(blob_store *b, const os *sys, const os_dir *dir,
                               const os_dir *temporary, uint64_t epoch,
                               uint32_t packed_max, persist_error *error)
{
    CHECK(strlen(dir->path) + CID_SIZE + FOLDER_NAME + 2 < PERSIST_PATH_MAX);
    CHECK(packed_max <= PACKED_MAX_MAX);
    *b = (blob_store){.sys = sys, .packed_max = packed_max};
    atomic_init(&b->repeats, true);
    b->dir = dir;
    b->temporary = temporary;
    pthread_mutex_init(&b->lock, NULL);
    pack_open(&b->packs, sys, dir, epoch, (uint64_t)packed_max * PACK_BLOBS);
    int code = sys->dir_list(sys, temporary, remove_leftover, b);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "clear", temporary->path);
}

void blob_close_store(blob_store *b)
{
    if (b->sys == NULL)
        return;
    pack_close(&b->packs);
    mem_free(b->gone);
    b->gone = NULL;
    pthread_mutex_destroy(&b->lock);
    b->sys = NULL;
}

/* ---- files of their own ----------------------------------------------- */

typedef struct file_place {
    char folder[PERSIST_PATH_MAX]; /* blobs/ab */
    char path[PERSIST_PATH_MAX];   /* blobs/ab/<cid> */
} file_place;

static void find_place(const blob_store *b, const uint8_t *digest,
                       file_place *out)
{
    char name[FOLDER_NAME];
    char cid[CID_SIZE + 1];
    snprintf(name, sizeof name, "%02x", digest[0]);
    int code = os_join(out->folder, sizeof out->folder, b->dir->path, name);
    cid_encode(digest, cid);
    if (code == 0)
        code = os_join(out->path, sizeof out->path, out->folder, cid);
    CHECK(code == 0);
}

static int open_folder(const blob_store *b, const file_place *place,
                       os_dir **out)
{
    return b->sys->dir_open(b->sys, b->dir, os_name(place->folder), out);
}

/* Tells whether a failed sync may have lost what it covered. A full disk takes
 * nothing that was there before: who had to be made room for is given up. */
static bool loses(int code)
{
    return code != 0 && code != -ENOSPC && code != -EDQUOT;
}

/* Makes the folder of a blob durable, if it is not known to be. */
static int name_folder(blob_store *b, unsigned folder, const char *path,
                       bool *unsynced)
{
    CHECK(folder < BLOB_FOLDERS);
    uint8_t *named = &b->named[folder / 8];
    uint8_t bit = (uint8_t)(1u << folder % 8);
    if ((*named & bit) != 0)
        return 0;
    int code = b->sys->dir_make(b->sys, b->dir, os_name(path));
    if (code == -EEXIST)
        code = 0;
    if (code == 0) {
        code = os_dir_sync(b->sys, b->dir);
        /* the next one might succeed without this name */
        *unsynced = loses(code);
    }
    if (code == 0)
        *named |= bit;
    return code;
}

/* ---- writing ---------------------------------------------------------- */

void blob_begin(blob_store *b, blob_writer *w, const uint8_t *digest)
{
    *w = (blob_writer){.store = b, .hashing = digest == NULL};
    if (digest != NULL)
        memcpy(w->digest, digest, sizeof w->digest);
    else
        hash_sha256_begin(&w->hash);
}

static persist_status make_file(blob_writer *w, persist_error *error)
{
    blob_store *b = w->store;
    char name[NAME_PREFIX + NAME_DIGITS + 1];
    uint64_t number = atomic_fetch_add(&b->next_temporary, 1);
    snprintf(name, sizeof name, "blob-%016llx", (unsigned long long)number);
    int code = os_join(w->path, sizeof w->path, b->temporary->path, name);
    if (code == 0)
        code = b->sys->file_open(b->sys, b->temporary, name,
                                 OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                                 &w->file);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "make", w->path);
}

/* The disk is at work on one piece while the next is hashed. */
static persist_status write_pieces(blob_writer *w, slice bytes, uint64_t at,
                                   bool hashed, persist_error *error)
{
    const os *sys = w->store->sys;
    for (size_t from = 0; from < bytes.size; from += BLOB_PIECE_SIZE) {
        size_t size = bytes.size - from;
        if (size > BLOB_PIECE_SIZE)
            size = BLOB_PIECE_SIZE;
        const uint8_t *data = (const uint8_t *)bytes.data + from;
        int code = os_write_all(sys, w->file, data, size, at + from);
        if (code != 0)
            return os_failed(error, code, "write", w->path);
        sys->file_start_write(sys, w->file, at + from, size);
        if (!hashed && w->hashing)
            hash_sha256_add(&w->hash, slice_of(data, size));
    }
    return PERSIST_OK;
}

persist_status blob_to_file(blob_writer *w, persist_error *error)
{
    CHECK(w->file == NULL);
    persist_status status = make_file(w, error);
    if (status == PERSIST_OK)
        status = write_pieces(w, buf_slice(&w->small), 0, true, error);
    buf_release(&w->small);
    return status;
}

persist_status blob_write(blob_writer *w, slice bytes, persist_error *error)
{
    uint64_t at = w->size;
    persist_status status = PERSIST_OK;
    w->size += bytes.size;
    if (w->file == NULL && w->size <= w->store->packed_max) {
        buf_put_slice(&w->small, bytes);
        if (w->hashing && bytes.size > 0)
            hash_sha256_add(&w->hash, bytes);
        return w->small.failed ? status_no_memory(error) : PERSIST_OK;
    }
    if (w->file == NULL) {
        CHECK(w->small.size == at);
        status = blob_to_file(w, error);
    }
    if (status == PERSIST_OK)
        status = write_pieces(w, bytes, at, false, error);
    return status;
}

void blob_end(blob_writer *w)
{
    if (w->hashing)
        hash_sha256_end(&w->hash, w->digest);
    w->hashing = false;
}

persist_status blob_sync(blob_writer *w, bool *unsynced, persist_error *error)
{
    *unsynced = false;
    if (w->file == NULL)
        return PERSIST_OK;
    int code = os_sync(w->store->sys, w->file);
    if (code == 0)
        return PERSIST_OK;
    *unsynced = loses(code);
    return os_failed(error, code, "sync", w->path);
}

persist_status blob_place(blob_writer *w, blob_entry *out, bool *unsynced,
                          persist_error *error)
{
    blob_store *b = w->store;
    const os *sys = b->sys;
    file_place place;
    CHECK(!w->hashing && w->file != NULL);
    *unsynced = false;
    *out = (blob_entry){.size = w->size};
    memcpy(out->digest, w->digest, sizeof out->digest);
    find_place(b, w->digest, &place);
    os_dir *folder = NULL;
    int code = name_folder(b, w->digest[0], place.folder, unsynced);
    if (code == 0)
        code = open_folder(b, &place, &folder);
    if (code == 0)
        code = sys->rename(sys, b->temporary, os_name(w->path), folder,
                           os_name(place.path));
    if (code != 0) {
        if (folder != NULL)
            sys->dir_close(sys, folder);
        return os_failed(error, code, "make", place.path);
    }
    blob_remember(b, out, w->file);
    sys->file_close(sys, w->file);
    w->file = NULL;
    /* Two names of one file would be too many for the next opening, which
     * removes what is temporary: the old one goes first. */
    code = os_dir_sync(sys, b->temporary);
    if (code == 0)
        code = os_dir_sync(sys, folder);
    sys->dir_close(sys, folder);
    *unsynced = code != 0;
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "sync the folder of", place.path);
}

void blob_remove(const blob_store *b, const blob_entry *e)
{
    file_place place;
    CHECK(e->pack == 0);
    os_dir *folder;
    find_place(b, e->digest, &place);
    if (open_folder(b, &place, &folder) != 0)
        return;
    b->sys->unlink(b->sys, folder, os_name(place.path));
    b->sys->dir_close(b->sys, folder);
}

void blob_release(blob_writer *w)
{
    const os *sys = w->store->sys;
    if (w->file != NULL) {
        sys->file_close(sys, w->file);
        sys->unlink(sys, w->store->temporary, os_name(w->path));
    }
    w->file = NULL;
    buf_release(&w->small);
}

/* ---- reading ---------------------------------------------------------- */

persist_status blob_corrupt(const blob_reader *r, persist_error *error)
{
    status_set(error, PERSIST_CORRUPT,
               "a blob in %s is missing or damaged; restore it from a backup, "
               "or put the same bytes again",
               r->path);
    status_at(error, r->path, r->base);
    return PERSIST_CORRUPT;
}

int blob_open_file(const blob_store *b, const blob_entry *e,
                   char path[PERSIST_PATH_MAX], os_file **out)
{
    file_place place;
    os_dir *folder;
    if (e->pack != 0) {
        int code = pack_path(b->dir, e->pack, path);
        return code != 0 ? code
                         : b->sys->file_open(b->sys, b->dir, os_name(path),
                                             OS_READ, out);
    }
    find_place(b, e->digest, &place);
    memcpy(path, place.path, sizeof place.path);
    int code = open_folder(b, &place, &folder);
    if (code != 0)
        return code;
    code = b->sys->file_open(b->sys, folder, os_name(path), OS_READ, out);
    b->sys->dir_close(b->sys, folder);
    return code;
}

persist_status blob_open(const blob_store *b, const blob_entry *e,
                         blob_reader *r, persist_error *error)
{
    *r = (blob_reader){.store = b, .base = e->offset, .size = e->size};
    memcpy(r->digest, e->digest, sizeof r->digest);
    int code = blob_open_file(b, e, r->path, &r->file);
    if (code == -ENOENT || code == -ENOTDIR)
        return blob_corrupt(r, error);
    if (code != 0)
        return os_failed(error, code, "open", r->path);
    r->hashing = true;
    hash_sha256_begin(&r->hash);
    return PERSIST_OK;
}

static persist_status verify(blob_reader *r, persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    if (!r->hashing)
        return PERSIST_OK;
    r->hashing = false;
    hash_sha256_end(&r->hash, digest);
    if (memcmp(digest, r->digest, sizeof digest) == 0)
        return PERSIST_OK;
    return blob_corrupt(r, error);
}

/* Verifies as the last byte is read, not one call later: whoever knows the
 * size stops there. */
persist_status blob_read(blob_reader *r, void *data, size_t size, size_t *got,
                         persist_error *error)
{
    CHECK(r->at <= r->size);
    *got = 0;
    size_t want = r->size - r->at < size ? (size_t)(r->size - r->at) : size;
    int code =
        os_read_all(r->store->sys, r->file, data, want, r->base + r->at, got);
    if (code != 0)
        return os_failed(error, code, "read", r->path);
    if (*got < want)
        return blob_corrupt(r, error);
    if (*got > 0)
        hash_sha256_add(&r->hash, slice_of(data, *got));
    r->at += *got;
    return r->at == r->size ? verify(r, error) : PERSIST_OK;
}

void blob_close(blob_reader *r)
{
    mem_free(r->parts);
    mem_free(r->room);
    r->store->sys->file_close(r->store->sys, r->file);
}
