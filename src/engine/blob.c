/* SPDX-License-Identifier: MIT */
/* Blobs: one file a cid. */
#include "engine/blob.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/seeded_bug.h"

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
    char path[PERSIST_PATH_MAX];
    if (!blob_is_temporary(name) ||
        os_join(path, sizeof path, b->temporary_dir, name) != 0)
        return 0;
    int code = b->sys->unlink(b->sys, path);
    return code == -ENOENT ? 0 : code;
}

persist_status blob_open_store(blob_store *b, const os *sys, const char *dir,
                               const char *temporary_dir, persist_error *error)
{
    CHECK(strlen(dir) + CID_SIZE + 2 * FOLDER_NAME + 2 < PERSIST_PATH_MAX);
    *b = (blob_store){.sys = sys};
    snprintf(b->dir, sizeof b->dir, "%s", dir);
    snprintf(b->temporary_dir, sizeof b->temporary_dir, "%s", temporary_dir);
    pthread_mutex_init(&b->lock, NULL);
    int code = sys->dir_list(sys, temporary_dir, remove_leftover, b);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "clear", temporary_dir);
}

void blob_close_store(blob_store *b)
{
    if (b->sys != NULL)
        pthread_mutex_destroy(&b->lock);
    b->sys = NULL;
}

/* ---- places ----------------------------------------------------------- */

typedef struct blob_place {
    char outer[PERSIST_PATH_MAX]; /* blobs/ab */
    char inner[PERSIST_PATH_MAX]; /* blobs/ab/cd */
    char path[PERSIST_PATH_MAX];  /* blobs/ab/cd/<cid> */
    unsigned folder;              /* 0xabcd */
} blob_place;

static void find_place(const blob_store *b, const uint8_t *digest,
                       blob_place *out)
{
    char name[FOLDER_NAME];
    char cid[CID_SIZE + 1];
    snprintf(name, sizeof name, "%02x", digest[0]);
    int code = os_join(out->outer, sizeof out->outer, b->dir, name);
    snprintf(name, sizeof name, "%02x", digest[1]);
    if (code == 0)
        code = os_join(out->inner, sizeof out->inner, out->outer, name);
    cid_encode(digest, cid);
    if (code == 0)
        code = os_join(out->path, sizeof out->path, out->inner, cid);
    CHECK(code == 0);
    out->folder = (unsigned)digest[0] << 8 | digest[1];
}

static persist_status bad_cid(slice cid, persist_error *error)
{
    return status_set(error, PERSIST_BAD_CID,
                      "not a cid of %zu bytes: a CIDv1 in base32 has %d "
                      "characters and begins with bafkrei",
                      cid.size, CID_SIZE);
}

/* ---- names ------------------------------------------------------------ */

/* Makes durable what stands in a folder, and the folder's own name. */
static int sync_names(blob_store *b, const blob_place *place)
{
    CHECK(place->folder < BLOB_FOLDERS);
    uint8_t *synced = &b->synced[place->folder / 8];
    uint8_t bit = (uint8_t)(1u << place->folder % 8);
    int code = b->sys->dir_sync(b->sys, place->inner);
    if (code == 0 && (*synced & bit) == 0) {
        code = b->sys->dir_sync(b->sys, place->outer);
        if (code == 0)
            code = b->sys->dir_sync(b->sys, b->dir);
    }
    if (code == 0)
        *synced |= bit;
    else
        *synced &= (uint8_t)~bit;
    return code;
}

static bool is_synced(const blob_store *b, const blob_place *place)
{
    return b->synced[place->folder / 8] >> place->folder % 8 & 1;
}

/* A name that was found may be one that a killed process left behind, or that
 * another thread is about to sync: it is shown once it is durable. */
static persist_status settle_name(blob_store *b, const blob_place *place,
                                  bool *unsynced, persist_error *error)
{
    pthread_mutex_lock(&b->lock);
    bool trusted = is_synced(b, place) || SEEDED_BUG(BLOB_NO_NAME_SYNC);
    int code = trusted ? 0 : sync_names(b, place);
    pthread_mutex_unlock(&b->lock);
    *unsynced = code != 0;
    return code == 0
               ? PERSIST_OK
               : os_failed(error, code, "sync the folder of", place->path);
}

persist_status blob_has(blob_store *b, slice cid, bool *unsynced,
                        persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    blob_place place;
    os_stat stat;
    *unsynced = false;
    if (!cid_decode(cid, digest))
        return bad_cid(cid, error);
    find_place(b, digest, &place);
    int code = b->sys->stat(b->sys, place.path, &stat);
    if (code == -ENOENT || code == -ENOTDIR)
        return PERSIST_NONE;
    return code == 0 ? settle_name(b, &place, unsynced, error)
                     : os_failed(error, code, "look at", place.path);
}

/* ---- writing ---------------------------------------------------------- */

static persist_status no_memory(persist_error *error)
{
    return status_set(error, PERSIST_LIMIT, "out of memory");
}

persist_status blob_create(blob_store *b, blob_writer *w, persist_error *error)
{
    char name[NAME_PREFIX + NAME_DIGITS + 1];
    *w = (blob_writer){.store = b};
    w->hash = hash_sha256_begin();
    if (w->hash == NULL)
        return no_memory(error);
    pthread_mutex_lock(&b->lock);
    uint64_t number = b->next_temporary++;
    pthread_mutex_unlock(&b->lock);
    snprintf(name, sizeof name, "blob-%016llx", (unsigned long long)number);
    int code = os_join(w->path, sizeof w->path, b->temporary_dir, name);
    if (code == 0)
        code = b->sys->file_open(b->sys, w->path,
                                 OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &w->file);
    if (code == 0)
        return PERSIST_OK;
    uint8_t ignored[HASH_SHA256_SIZE];
    hash_sha256_end(w->hash, ignored);
    return os_failed(error, code, "make", w->path);
}

persist_status blob_write(blob_writer *w, slice bytes, persist_error *error)
{
    CHECK(w->file != NULL);
    const os *sys = w->store->sys;
    int code = os_write_all(sys, w->file, bytes.data, bytes.size, w->size);
    if (code != 0)
        return os_failed(error, code, "write", w->path);
    if (bytes.size > 0)
        hash_sha256_add(w->hash, bytes);
    w->size += bytes.size;
    return PERSIST_OK;
}

/* Makes the folders of a blob, if they are missing. */
static int make_folders(const blob_store *b, const blob_place *place)
{
    int code = b->sys->dir_make(b->sys, place->outer);
    if (code == 0 || code == -EEXIST)
        code = b->sys->dir_make(b->sys, place->inner);
    return code == -EEXIST ? 0 : code;
}

/* A blob of another size is damaged, and replaced. */
static bool is_stored(const blob_store *b, const blob_place *place,
                      uint64_t size)
{
    os_stat stat;
    return b->sys->stat(b->sys, place->path, &stat) == 0 && stat.size == size;
}

/* The store's lock is held, so a name that is found has been synced. */
static persist_status put_in_place(blob_writer *w, const blob_place *place,
                                   bool *kept, bool *unsynced,
                                   persist_error *error)
{
    blob_store *b = w->store;
    const os *sys = b->sys;
    bool stored = is_stored(b, place, w->size);
    *kept = false;
    if (stored && is_synced(b, place))
        return PERSIST_OK;
    if (!stored) {
        int code = SEEDED_BUG(BLOB_NO_SYNC) ? 0 : os_sync(sys, w->file);
        if (code != 0) {
            *unsynced = code != -ENOSPC && code != -EDQUOT;
            return os_failed(error, code, "sync", w->path);
        }
        code = make_folders(b, place);
        if (code == 0)
            code = sys->rename(sys, w->path, place->path);
        if (code != 0)
            return os_failed(error, code, "make", place->path);
        *kept = true;
    }
    int code = sync_names(b, place);
    if (code == 0)
        return PERSIST_OK;
    *unsynced = true;
    return os_failed(error, code, "sync the folder of", place->path);
}

static void release_writer(blob_writer *w, bool kept)
{
    const os *sys = w->store->sys;
    if (w->file != NULL)
        sys->file_close(sys, w->file);
    if (!kept)
        sys->unlink(sys, w->path);
    w->file = NULL;
}

persist_status blob_finish(blob_writer *w, persist_cid out, bool *unsynced,
                           persist_error *error)
{
    blob_store *b = w->store;
    uint8_t digest[HASH_SHA256_SIZE];
    CHECK(w->file != NULL && w->hash != NULL);
    blob_place place;
    bool kept = false;
    *unsynced = false;
    hash_sha256_end(w->hash, digest);
    find_place(b, digest, &place);
    pthread_mutex_lock(&b->lock);
    persist_status status = put_in_place(w, &place, &kept, unsynced, error);
    pthread_mutex_unlock(&b->lock);
    release_writer(w, kept);
    if (status == PERSIST_OK)
        cid_encode(digest, out);
    return status;
}

void blob_abort(blob_writer *w)
{
    CHECK(w->file != NULL && w->hash != NULL);
    uint8_t ignored[HASH_SHA256_SIZE];
    hash_sha256_end(w->hash, ignored);
    release_writer(w, false);
}

/* ---- reading ---------------------------------------------------------- */

static persist_status open_at(const blob_store *b, const blob_place *place,
                              blob_reader *r, persist_error *error)
{
    *r = (blob_reader){.store = b};
    snprintf(r->path, sizeof r->path, "%s", place->path);
    int code = b->sys->file_open(b->sys, r->path, OS_READ, &r->file);
    if (code == -ENOENT || code == -ENOTDIR)
        return PERSIST_NONE;
    if (code != 0)
        return os_failed(error, code, "open", r->path);
    code = b->sys->file_size(b->sys, r->file, &r->size);
    if (code == 0) {
        r->hash = hash_sha256_begin();
        if (r->hash != NULL)
            return PERSIST_OK;
        code = -ENOMEM;
    }
    b->sys->file_close(b->sys, r->file);
    return os_failed(error, code, "look at", r->path);
}

persist_status blob_open_as_is(const blob_store *b, slice cid, blob_reader *r,
                               persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    blob_place place;
    if (!cid_decode(cid, digest))
        return bad_cid(cid, error);
    find_place(b, digest, &place);
    persist_status status = open_at(b, &place, r, error);
    memcpy(r->digest, digest, sizeof digest);
    return status;
}

void blob_path(const blob_store *b, const uint8_t digest[HASH_SHA256_SIZE],
               char out[PERSIST_PATH_MAX])
{
    blob_place place;
    find_place(b, digest, &place);
    memcpy(out, place.path, sizeof place.path);
}

persist_status blob_open(blob_store *b, slice cid, blob_reader *r,
                         bool *unsynced, persist_error *error)
{
    blob_place place;
    *unsynced = false;
    persist_status status = blob_open_as_is(b, cid, r, error);
    if (status != PERSIST_OK)
        return status;
    find_place(b, r->digest, &place);
    status = settle_name(b, &place, unsynced, error);
    if (status != PERSIST_OK)
        blob_close(r);
    return status;
}

static persist_status corrupt(const blob_reader *r, persist_error *error)
{
    status_set(error, PERSIST_CORRUPT,
               "the blob in %s is not what its name says; put the blob again "
               "or restore it from a backup",
               r->path);
    status_at(error, r->path, STATUS_NO_OFFSET);
    return PERSIST_CORRUPT;
}

static persist_status verify(blob_reader *r, persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    if (r->hash == NULL)
        return PERSIST_OK;
    hash_sha256_end(r->hash, digest);
    r->hash = NULL;
    if (memcmp(digest, r->digest, sizeof digest) == 0)
        return PERSIST_OK;
    return corrupt(r, error);
}

/* Verifies as the last byte is read, not one call later: whoever knows the
 * size stops there. */
persist_status blob_read(blob_reader *r, void *data, size_t size, size_t *got,
                         persist_error *error)
{
    CHECK(r->at <= r->size);
    *got = 0;
    size_t want = r->size - r->at < size ? (size_t)(r->size - r->at) : size;
    int code = os_read_all(r->store->sys, r->file, data, want, r->at, got);
    if (code != 0)
        return os_failed(error, code, "read", r->path);
    if (*got < want)
        return corrupt(r, error);
    if (*got > 0)
        hash_sha256_add(r->hash, slice_of(data, *got));
    r->at += *got;
    return r->at == r->size ? verify(r, error) : PERSIST_OK;
}

void blob_close(blob_reader *r)
{
    uint8_t ignored[HASH_SHA256_SIZE];
    if (r->hash != NULL)
        hash_sha256_end(r->hash, ignored);
    r->store->sys->file_close(r->store->sys, r->file);
}
