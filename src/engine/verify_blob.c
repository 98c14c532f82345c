/* SPDX-License-Identifier: MIT */
/* Verifying blobs: every file under blobs/, its bytes against its name, and its
 * place against both. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/blob.h"
#include "engine/verify.h"

enum { PIECE_SIZE = 64 << 10, BLOB_DEPTH = 2, FOLDER_NAME_SIZE = 2 };

/* A walk through the folders, first to count, then to read. */
typedef struct blob_walk {
    verifier *verifier;
    blob_store store;
    const char *dir; /* the folder in hand */
    unsigned depth;
    uint8_t *piece; /* NULL: only counts */
} blob_walk;

static int list(blob_walk *w, const char *dir);

static bool is_folder(const char *name)
{
    return strlen(name) == FOLDER_NAME_SIZE &&
           strspn(name, "0123456789abcdef") == FOLDER_NAME_SIZE;
}

static bool report(verifier *v, bool damage, const char *path, slice cid,
                   const char *what, const char *advice)
{
    return verify_found(v, &(persist_finding){.damage = damage,
                                              .what = what,
                                              .advice = advice,
                                              .path = path,
                                              .offset = STATUS_NO_OFFSET,
                                              .touched = PERSIST_TOUCHED_BLOB,
                                              .name = cid});
}

/* Blobs are content: whoever has the bytes can put them again. */
static const char put_again[] =
    "put the blob again or restore it from a backup";

static bool read_blob(blob_walk *w, const char *path, slice cid)
{
    verifier *v = w->verifier;
    blob_reader r;
    persist_error error;
    persist_status status = blob_open_as_is(&w->store, cid, &r, &error);
    CHECK(status != PERSIST_BAD_CID);
    bool go_on = true;
    v->progress->files++;
    v->progress->blobs++;
    if (status == PERSIST_OK) {
        size_t got = 1;
        while (status == PERSIST_OK && got > 0 && go_on) {
            status = blob_read(&r, w->piece, PIECE_SIZE, &got, &error);
            go_on = verify_read(v, got);
        }
        blob_close(&r);
    }
    if (status <= PERSIST_NONE || !go_on)
        return go_on;
    verify_text text;
    if (error.status == PERSIST_LIMIT)
        return verify_failed(v, &error, (persist_finding){0});
    return report(v, true, path, cid,
                  error.status == PERSIST_CORRUPT
                      ? "the blob is not what its name says"
                      : verify_short(&error, text),
                  put_again);
}

static bool check_file(blob_walk *w, const char *path, const char *name)
{
    uint8_t digest[HASH_SHA256_SIZE];
    char right[PERSIST_PATH_MAX];
    verifier *v = w->verifier;
    slice cid = slice_str(name);
    os_stat stat;
    bool is_blob = cid_decode(cid, digest);
    if (w->piece == NULL) {
        if (is_blob && v->sys->stat(v->sys, path, &stat) == 0)
            v->progress->bytes_total += stat.size;
        return true;
    }
    if (!is_blob)
        return report(v, false, path, slice_of(NULL, 0),
                      "a file that is no blob", "it is left alone");
    blob_path(&w->store, digest, right);
    if (strcmp(path, right) != 0)
        return report(v, true, path, cid,
                      "a blob is in a folder where nobody looks for it",
                      "move it where its digest says, see docs/FORMAT.md");
    return read_blob(w, path, cid);
}

static int visit(void *context, const char *name)
{
    blob_walk *w = context;
    char path[PERSIST_PATH_MAX];
    int code = os_join(path, sizeof path, w->dir, name);
    if (code != 0)
        return code;
    if (w->depth == BLOB_DEPTH || !is_folder(name))
        return check_file(w, path, name) ? 0 : -ECANCELED;
    const char *above = w->dir;
    w->depth++;
    code = list(w, path);
    w->depth--;
    w->dir = above;
    return code;
}

/* A folder that cannot be listed is reported and passed by. */
static int list(blob_walk *w, const char *dir)
{
    verifier *v = w->verifier;
    persist_error error;
    w->dir = dir;
    CHECK(w->depth <= BLOB_DEPTH);
    int code = v->sys->dir_list(v->sys, dir, visit, w);
    if (code == 0 || v->status != PERSIST_OK)
        return code == 0 ? 0 : -ECANCELED;
    if (code == -ENOENT && w->depth == 0)
        return 0; /* reported with the folders */
    if (w->piece == NULL)
        return 0;
    os_failed(&error, code, "list", dir);
    return verify_failed(
               v, &error,
               (persist_finding){.path = dir, .offset = STATUS_NO_OFFSET})
               ? 0
               : -ECANCELED;
}

static bool walk(verifier *v, uint8_t *piece)
{
    blob_walk *w = mem_alloc_zero(sizeof *w);
    if (w == NULL)
        return verify_no_memory(v);
    w->verifier = v;
    w->piece = piece;
    w->store.sys = v->sys;
    memcpy(w->store.dir, v->blob_dir, sizeof v->blob_dir);
    int code = list(w, v->blob_dir);
    mem_free(w);
    return code == 0 && v->status == PERSIST_OK;
}

bool verify_count_blobs(verifier *v)
{
    return walk(v, NULL);
}

bool verify_blobs(verifier *v)
{
    uint8_t *piece = mem_alloc(PIECE_SIZE);
    if (piece == NULL)
        return verify_no_memory(v);
    bool go_on = walk(v, piece);
    mem_free(piece);
    return go_on;
}
