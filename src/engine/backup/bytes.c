/* SPDX-License-Identifier: MIT */
/* Backups: bytes that are not those of a file. A segment of the log is copied
 * up to the point, with a header that says that it ends there: so nothing
 * behind it is in the copy, and nothing is missing. */
#include "engine/backup/backup.h"

#include <errno.h>

#include "base/mem.h"

persist_status backup_log_damaged(const engine *e, uint64_t number, uint64_t at,
                                  persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (segment_path(&e->wal.place, number, path) != 0)
        path[0] = '\0';
    status_of_path(error, PERSIST_CORRUPT, path,
                   "a log record is damaged, in %.300s at byte %llu; restore "
                   "the store from a backup",
                   path, (unsigned long long)at);
    status_at(error, path, at);
    return PERSIST_CORRUPT;
}

/* The records follow each other, and end where the list says. */
static persist_status check_records(const engine_backup *b,
                                    const segment_entry *s,
                                    persist_error *error)
{
    slice bytes = slice_of(b->bytes.data, (size_t)s->end);
    persist_lsn last = s->first - 1;
    uint64_t at = SEGMENT_HEADER_SIZE;
    while (at < s->end) {
        record_header h;
        if (!record_read(bytes, at, b->manifest.identity, s->number, &h,
                         NULL) ||
            !gaps_may_follow(&b->manifest.gaps, last, h.lsn))
            return backup_log_damaged(b->engine, s->number, at, error);
        last = h.lsn;
        at += record_size(h.body_size);
    }
    return last == s->last
               ? PERSIST_OK
               : backup_log_damaged(b->engine, s->number, at, error);
}

static int read_start(engine_backup *b, const segment_entry *s)
{
    const os *sys = b->engine->sys;
    os_file *file;
    size_t got = 0;
    int code = sys->file_open(sys, b->dir, os_name(b->name), OS_READ, &file);
    if (code != 0)
        return code;
    code = os_read_all(sys, file, b->bytes.data, (size_t)s->end, 0, &got);
    sys->file_close(sys, file);
    b->bytes.size = got;
    return code;
}

persist_status backup_load_log(engine_backup *b, const segment_entry *s,
                               persist_error *error)
{
    segment_header header;
    CHECK(s->end <= s->size && b->bytes.size == 0);
    if (!buf_reserve(&b->bytes, (size_t)s->size))
        return status_no_memory(error);
    int code = read_start(b, s);
    if (code == -ENOENT)
        return backup_log_damaged(b->engine, s->number, 0, error);
    if (code != 0)
        return os_failed(error, code, "read the log in", b->dir->path);
    if (b->bytes.size < s->end)
        return backup_log_damaged(b->engine, s->number, b->bytes.size, error);
    if (!segment_header_decode(buf_slice(&b->bytes), &header) ||
        header.identity != b->manifest.identity || header.number != s->number)
        return backup_log_damaged(b->engine, s->number, 0, error);
    persist_status status = check_records(b, s, error);
    header.size = s->size;
    segment_header_encode(&header, b->bytes.data);
    memset(b->bytes.data + s->end, 0, (size_t)(s->size - s->end));
    b->bytes.size = (size_t)s->size;
    return status;
}

persist_status backup_load_manifest(engine_backup *b, persist_error *error)
{
    manifest again = {0};
    manifest_encode(&b->manifest, &b->bytes);
    if (b->bytes.failed)
        return status_no_memory(error);
    persist_status status =
        manifest_decode(buf_slice(&b->bytes), &again, error);
    manifest_release(&again);
    return status;
}
