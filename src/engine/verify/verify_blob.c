/* SPDX-License-Identifier: MIT */
/* Verifying blobs: the bytes of each that the index has against its digest; and
 * remarks on files under blobs/ that cannot be any's. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "engine/blob/blob.h"
#include "engine/files/files.h"
#include "engine/verify/verify_parts.h"

enum { PIECE_SIZE = 64 << 10, FOLDER_NAME_SIZE = 2 };

/* ---- one blob --------------------------------------------------------- */

/* What is needed to read one. */
typedef struct blob_check {
    blob_store store; /* only sys and dir */
    blob_reader reader;
    uint8_t piece[PIECE_SIZE];
} blob_check;

static bool damaged(verifier *v, const blob_entry *e, const blob_reader *r,
                    const persist_error *error)
{
    char cid[CID_SIZE + 1];
    verify_text text;
    if (error->status == PERSIST_LIMIT)
        return verify_failed(v, error, (persist_finding){0});
    cid_encode(e->digest, cid);
    return verify_found(
        v, &(persist_finding){.damage = true,
                              .what = error->status == PERSIST_CORRUPT
                                          ? "the bytes of a blob are missing "
                                            "or damaged"
                                          : verify_short(error, text),
                              .advice = "restore it from a backup",
                              .path = r->path,
                              .offset =
                                  e->pack != 0 ? e->offset : STATUS_NO_OFFSET,
                              .touched = PERSIST_TOUCHED_BLOB,
                              .name = slice_str(cid)});
}

/* Reads it whole; *go_on: the caller may go on, too. */
static persist_status read_all(verifier *v, blob_check *c, const blob_entry *e,
                               bool again, bool *go_on, persist_error *error)
{
    size_t got = 1;
    *go_on = true;
    persist_status status = blob_open(&c->store, e, &c->reader, error);
    bool opened = status == PERSIST_OK;
    while (status == PERSIST_OK && got > 0 && *go_on) {
        status = blob_read(&c->reader, c->piece, PIECE_SIZE, &got, error);
        if (again)
            continue;
        v->blob_bytes -= got < v->blob_bytes ? got : v->blob_bytes;
        *go_on = verify_read(v, got);
    }
    if (opened)
        blob_close(&c->reader);
    return status;
}

/* One whose bytes are not right, where a layer says that they are. */
typedef struct late_blob {
    slice digest; /* in the entry */
    blob_entry entry;
} late_blob;

static bool note_late(verifier *v, const blob_entry *e)
{
    late_blob *late = mem_alloc(sizeof *late);
    CHECK(!e->deleted && hashmap_find(&v->late, blob_entry_name(e)) == NULL);
    if (late == NULL || !hashmap_reserve(&v->late)) {
        mem_free(late);
        return verify_no_memory(v);
    }
    late->entry = *e;
    late->digest = blob_entry_name(&late->entry);
    hashmap_put(&v->late, late);
    return true;
}

static void forget_late(verifier *v, const blob_entry *e)
{
    late_blob *late = hashmap_find(&v->late, blob_entry_name(e));
    if (late == NULL)
        return;
    CHECK(v->progress->blobs > 0);
    v->progress->blobs--; /* it was none */
    hashmap_remove(&v->late, late);
    mem_free(late);
}

static blob_check *begin_check(const verifier *v)
{
    blob_check *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->store.sys = v->sys;
    c->store.dir = v->blobs.dir;
    return c;
}

bool verify_blob(verifier *v, const blob_entry *e)
{
    persist_error error;
    bool go_on;
    forget_late(v, e);
    if (e->deleted)
        return true;
    blob_check *c = begin_check(v);
    if (c == NULL)
        return verify_no_memory(v);
    v->progress->blobs++;
    persist_status status = read_all(v, c, e, false, &go_on, &error);
    mem_free(c);
    if (status == PERSIST_LIMIT)
        return verify_failed(v, &error, (persist_finding){0});
    return go_on && status > PERSIST_NONE ? note_late(v, e) : go_on;
}

static bool report_late(verifier *v, const blob_entry *e)
{
    persist_error error;
    bool go_on;
    blob_check *c = begin_check(v);
    if (c == NULL)
        return verify_no_memory(v);
    if (read_all(v, c, e, true, &go_on, &error) > PERSIST_NONE)
        go_on = damaged(v, e, &c->reader, &error);
    mem_free(c);
    return go_on;
}

bool verify_late_blobs(verifier *v)
{
    size_t at = 0;
    bool go_on = v->status == PERSIST_OK;
    for (late_blob *l; (l = hashmap_next(&v->late, &at)) != NULL;) {
        go_on = go_on && report_late(v, &l->entry);
        mem_free(l);
    }
    hashmap_release(&v->late);
    return go_on;
}

/* ---- the folders ------------------------------------------------------ */

/* A walk through the folders, first to count, then to remark. */
typedef struct blob_walk {
    verifier *verifier;
    const os_dir *dir;  /* the folder in hand */
    const char *folder; /* its name; NULL: blobs/ */
    bool counting;
} blob_walk;

static int list(blob_walk *, const os_dir *, const char *folder);
static int list_below(blob_walk *, const char *path, const char *folder);

static bool is_folder(const char *name)
{
    return strlen(name) == FOLDER_NAME_SIZE &&
           strspn(name, "0123456789abcdef") == FOLDER_NAME_SIZE;
}

/* Tells whether a blob can be in a file of that name in the folder in hand. */
static bool is_ours(const blob_walk *w, const char *name)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[HASH_SHA256_SIZE];
    uint64_t number;
    if (w->folder == NULL)
        return numbered_parse(name, PACK_SUFFIX, &number);
    CHECK(is_folder(w->folder));
    return cid_decode(slice_str(name), digest) &&
           w->folder[0] == digits[digest[0] >> 4] &&
           w->folder[1] == digits[digest[0] & 15];
}

static bool check_file(const blob_walk *w, const char *path, const char *name)
{
    verifier *v = w->verifier;
    os_stat stat;
    if (!is_ours(w, name))
        return w->counting ||
               verify_found(
                   v, &(persist_finding){.what = "a file that has no blob",
                                         .advice = "it is left alone",
                                         .path = path,
                                         .offset = STATUS_NO_OFFSET});
    if (!w->counting) {
        v->progress->files++;
    } else if (v->sys->stat(v->sys, w->dir, name, &stat) == 0) {
        v->progress->bytes_total += stat.size;
        v->blob_bytes += stat.size;
    }
    return true;
}

static int visit(void *context, const char *name)
{
    blob_walk *w = context;
    char path[PERSIST_PATH_MAX];
    int code = os_join(path, sizeof path, w->dir->path, name);
    if (code != 0)
        return code;
    if (w->folder != NULL || !is_folder(name))
        return check_file(w, path, name) ? 0 : -ECANCELED;
    const os_dir *above = w->dir;
    code = list_below(w, path, name);
    w->dir = above;
    w->folder = NULL;
    return code;
}

/* Nothing of the store is in it, but blobs would be. */
static int remark_on_place(const blob_walk *w, const char *path)
{
    const persist_finding f = {.what = "a file in the place of a folder",
                               .advice = "move it away, or blobs whose folder "
                                         "that is cannot be put",
                               .path = path,
                               .offset = STATUS_NO_OFFSET};
    CHECK(w->folder == NULL);
    return w->counting || verify_found(w->verifier, &f) ? 0 : -ECANCELED;
}

/* A folder that cannot be listed is reported and passed by. */
static int end_list(const blob_walk *w, int code, const char *path,
                    const char *folder)
{
    verifier *v = w->verifier;
    persist_error error;
    if (code == 0 || v->status != PERSIST_OK)
        return code == 0 ? 0 : -ECANCELED;
    if (w->counting || (code == -ENOENT && folder == NULL))
        return 0; /* reported later, or with the folders */
    os_failed(&error, code, "list", path);
    return verify_failed(
               v, &error,
               (persist_finding){.path = path, .offset = STATUS_NO_OFFSET})
               ? 0
               : -ECANCELED;
}

static int list(blob_walk *w, const os_dir *dir, const char *folder)
{
    const os *sys = w->verifier->sys;
    w->dir = dir;
    w->folder = folder;
    return end_list(w, sys->dir_list(sys, dir, visit, w), dir->path, folder);
}

static int list_below(blob_walk *w, const char *path, const char *folder)
{
    const os *sys = w->verifier->sys;
    os_dir *dir;
    int code = sys->dir_open(sys, w->dir, folder, &dir);
    if (code == -ENOTDIR)
        return remark_on_place(w, path);
    if (code != 0)
        return end_list(w, code, path, folder);
    code = list(w, dir, folder);
    sys->dir_close(sys, dir);
    return code;
}

bool verify_count_blobs(verifier *v)
{
    blob_walk w = {.verifier = v, .counting = true};
    return list(&w, v->blobs.dir, NULL) == 0 && v->status == PERSIST_OK;
}

bool verify_blob_files(verifier *v)
{
    blob_walk w = {.verifier = v};
    if (list(&w, v->blobs.dir, NULL) != 0 || v->status != PERSIST_OK)
        return false;
    uint64_t unread = v->blob_bytes; /* between blobs, and of none */
    v->blob_bytes = 0;
    return verify_read(v, unread);
}
