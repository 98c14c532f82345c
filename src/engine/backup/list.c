/* SPDX-License-Identifier: MIT */
/* Backups: what there is to take, one file after the other.
 *
 * Packs and large blobs are those that lie in the folder of blobs: what is
 * there that no entry names is nothing, in a copy as well. A pack that was
 * begun behind the point has a higher number than all before it. */
#include "engine/backup/backup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cid.h"
#include "base/mem.h"

enum { HEX_FOLDER = 3 };

/* ---- the file in hand --------------------------------------------------- */

void backup_close_file(engine_backup *b)
{
    const os *sys = b->engine->sys;
    if (b->open != NULL)
        sys->file_close(sys, b->open);
    b->open = NULL;
    b->in_memory = false;
    b->read = 0;
    buf_clear(&b->bytes);
}

static persist_status failed(const engine_backup *b, int code, const char *what,
                             persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    int joined = os_join(path, sizeof path, b->dir->path, os_name(b->name));
    CHECK(joined == 0);
    if (code == -ENOENT || code == -ERANGE)
        return status_of_path(
            error, PERSIST_CORRUPT, path,
            "%.300s is %s; restore the store from a backup "
            "that has it",
            path, code == -ENOENT ? "missing" : "shorter than it was");
    return os_failed(error, code, what, path);
}

/* Opens the file in hand; it has so many bytes. */
static int open_file(engine_backup *b, uint64_t size)
{
    const os *sys = b->engine->sys;
    uint64_t now;
    int code = sys->file_open(sys, b->dir, os_name(b->name), OS_READ, &b->open);
    if (code != 0) {
        b->open = NULL;
        return code;
    }
    code = sys->file_size(sys, b->open, &now);
    return code == 0 && now < size ? -ERANGE : code;
}

/* Takes a file in hand whose end tells which it is. */
static persist_status take(engine_backup *b, const os_dir *dir, uint64_t size,
                           bool sealed, persist_error *error)
{
    uint64_t mark = 0;
    b->dir = dir;
    int code = open_file(b, size);
    if (code == 0 && sealed)
        code = file_mark(b->engine->sys, b->open, size, &mark);
    if (code != 0)
        return failed(b, code, "read", error);
    b->file = (persist_backup_file){b->name, size, sealed, mark};
    return PERSIST_OK;
}

/* ---- tables ------------------------------------------------------------- */

static void set_name(engine_backup *b, const char *folder, const char *path)
{
    int size =
        snprintf(b->name, sizeof b->name, "%s/%s", folder, os_name(path));
    CHECK(size > 0 && (size_t)size < sizeof b->name);
}

static persist_status next_table(engine_backup *b, persist_error *error)
{
    const engine *e = b->engine;
    char path[PERSIST_PATH_MAX];
    if (b->at == b->table_count)
        return PERSIST_NONE;
    const table_footer *f = &b->tables[b->at++]->footer;
    int code = table_path(&e->table_place, f->number, path);
    CHECK(code == 0);
    set_name(b, LAYOUT_TABLES, path);
    return take(b, e->at.tables.dir, f->size, true, error);
}

/* ---- packs -------------------------------------------------------------- */

static int note_pack(void *context, const char *name)
{
    engine_backup *b = context;
    number_list *l = &b->packs;
    uint64_t number;
    if (!numbered_parse(name, PACK_SUFFIX, &number) || number > b->pack)
        return 0;
    if (!mem_grow(&l->numbers, l->count, 1, &l->capacity, sizeof *l->numbers))
        return -ENOMEM;
    l->numbers[l->count++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static persist_status list_packs(engine_backup *b, persist_error *error)
{
    const engine *e = b->engine;
    const os_dir *dir = e->at.blobs.dir;
    b->packs.count = 0;
    int code = e->sys->dir_list(e->sys, dir, note_pack, b);
    if (code != 0)
        return os_failed(error, code, "list", dir->path);
    if (b->packs.count > 1)
        qsort(b->packs.numbers, b->packs.count, sizeof *b->packs.numbers,
              compare_numbers);
    return PERSIST_OK;
}

static persist_status next_pack(engine_backup *b, persist_error *error)
{
    const engine *e = b->engine;
    const os_dir *dir = e->at.blobs.dir;
    persist_status status = b->at == 0 ? list_packs(b, error) : PERSIST_OK;
    while (status == PERSIST_OK && b->at < b->packs.count) {
        char path[PERSIST_PATH_MAX];
        os_stat found;
        uint64_t number = b->packs.numbers[b->at++];
        bool open = b->pack_is_open && number == b->pack;
        int code = pack_path(dir, number, path);
        CHECK(code == 0);
        set_name(b, LAYOUT_BLOBS, path);
        b->dir = dir;
        code = e->sys->stat(e->sys, dir, os_name(path), &found);
        if (code != 0)
            return failed(b, code, "look at", error);
        if (found.is_file)
            return take(b, dir, open ? b->pack_size : found.size, !open, error);
    }
    return status == PERSIST_OK ? PERSIST_NONE : status;
}

/* ---- large blobs -------------------------------------------------------- */

static int note_blob(void *context, const char *name)
{
    engine_backup *b = context;
    uint8_t digest[HASH_SHA256_SIZE];
    if (!cid_decode(slice_str(name), digest) || digest[0] + 1u != b->folder)
        return 0;
    buf_put(&b->names, name, CID_SIZE + 1);
    return b->names.failed ? -ENOMEM : 0;
}

static void leave_folder(engine_backup *b)
{
    const os *sys = b->engine->sys;
    CHECK(b->folder <= BACKUP_FOLDERS);
    if (b->blob_folder != NULL)
        sys->dir_close(sys, b->blob_folder);
    b->blob_folder = NULL;
    b->at = 0;
    buf_clear(&b->names);
}

/* Opens the next folder of blobs that is there, and lists it. */
static persist_status next_folder(engine_backup *b, persist_error *error)
{
    const engine *e = b->engine;
    char name[HEX_FOLDER];
    leave_folder(b);
    while (b->folder < BACKUP_FOLDERS) {
        snprintf(name, sizeof name, "%02x", b->folder++);
        int code =
            e->sys->dir_open(e->sys, e->at.blobs.dir, name, &b->blob_folder);
        if (code == -ENOENT || code == -ENOTDIR || code == -ELOOP) {
            b->blob_folder = NULL;
            continue;
        }
        if (code == 0)
            code = e->sys->dir_list(e->sys, b->blob_folder, note_blob, b);
        else
            b->blob_folder = NULL;
        return code == 0 ? PERSIST_OK
                         : os_failed(error, code, "list a folder of",
                                     e->at.blobs.dir->path);
    }
    return PERSIST_NONE;
}

/* What has a file of its own is named by what it holds. */
static persist_status next_blob(engine_backup *b, persist_error *error)
{
    const os *sys = b->engine->sys;
    persist_status status = PERSIST_OK;
    for (;;) {
        while (status == PERSIST_OK && b->at == b->names.size)
            status = next_folder(b, error);
        if (status != PERSIST_OK)
            return status;
        const char *cid = (const char *)b->names.data + b->at;
        os_stat found;
        b->at += CID_SIZE + 1;
        int size = snprintf(b->name, sizeof b->name, LAYOUT_BLOBS "/%02x/%s",
                            b->folder - 1, cid);
        CHECK(size > 0 && (size_t)size < sizeof b->name);
        b->dir = b->blob_folder;
        int code = sys->stat(sys, b->dir, cid, &found);
        if (code != 0)
            return failed(b, code, "look at", error);
        if (!found.is_file)
            continue;
        b->file = (persist_backup_file){b->name, found.size, true, 0};
        return PERSIST_OK;
    }
}

/* ---- what is in memory -------------------------------------------------- */

static persist_status take_bytes(engine_backup *b)
{
    CHECK(b->open == NULL && b->bytes.size > 0);
    b->in_memory = true;
    b->file = (persist_backup_file){b->name, b->bytes.size, false, 0};
    return PERSIST_OK;
}

static persist_status next_segment(engine_backup *b, persist_error *error)
{
    const engine *e = b->engine;
    char path[PERSIST_PATH_MAX];
    if (b->at == b->manifest.segment_count)
        return PERSIST_NONE;
    const segment_entry *s = &b->manifest.segments[b->at++];
    int code = segment_path(&e->wal.place, s->number, path);
    CHECK(code == 0);
    set_name(b, LAYOUT_LOG, path);
    b->dir = e->at.log.dir;
    persist_status status = backup_load_log(b, s, error);
    return status == PERSIST_OK ? take_bytes(b) : status;
}

static persist_status next_manifest(engine_backup *b, persist_error *error)
{
    if (b->at++ > 0)
        return PERSIST_NONE;
    persist_status status = backup_load_manifest(b, error);
    int size = snprintf(b->name, sizeof b->name, "%s",
                        manifest_name(b->manifest.generation % 2));
    CHECK(size > 0 && (size_t)size < sizeof b->name);
    return status == PERSIST_OK ? take_bytes(b) : status;
}

/* ---- all of it ---------------------------------------------------------- */

persist_status engine_backup_next(engine_backup *b, persist_error *error)
{
    static persist_status (*const next[])(engine_backup *, persist_error *) = {
        [BACKUP_TABLES] = next_table,
        [BACKUP_PACKS] = next_pack,
        [BACKUP_BLOBS] = next_blob,
        [BACKUP_LOG] = next_segment,
        [BACKUP_MANIFEST] = next_manifest};
    backup_close_file(b);
    while (b->stage < BACKUP_DONE) {
        persist_status status = next[b->stage](b, error);
        if (status != PERSIST_NONE)
            return status;
        leave_folder(b);
        b->stage++;
    }
    return PERSIST_NONE;
}

int engine_backup_link(const engine_backup *b, const os_dir *to,
                       const char *name)
{
    const os *sys = b->engine->sys;
    CHECK(b->file.sealed);
    return sys->link(sys, b->dir, os_name(b->name), to, name);
}

/* A file that was cut ends before its size. */
static persist_status read_file(engine_backup *b, void *buffer, size_t size,
                                size_t *got, persist_error *error)
{
    int code = b->open == NULL ? open_file(b, b->file.size) : 0;
    if (code == 0)
        code = os_read_all(b->engine->sys, b->open, buffer, size, b->read, got);
    if (code == 0 && *got < size)
        code = -ERANGE;
    return code == 0 ? PERSIST_OK : failed(b, code, "read", error);
}

persist_status engine_backup_read(engine_backup *b, void *buffer, size_t size,
                                  size_t *got, persist_error *error)
{
    persist_status status = PERSIST_OK;
    CHECK(b->stage < BACKUP_DONE && b->read <= b->file.size);
    *got = 0;
    if (size > b->file.size - b->read)
        size = (size_t)(b->file.size - b->read);
    if (size == 0)
        return PERSIST_OK;
    if (b->in_memory) {
        memcpy(buffer, b->bytes.data + b->read, size);
        *got = size;
    } else {
        status = read_file(b, buffer, size, got, error);
    }
    b->read += *got;
    return status;
}
