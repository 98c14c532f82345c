/* SPDX-License-Identifier: MIT */
/* Directories of backups: where a backup ends. Its manifest tells of the
 * commit, and of the state after the last table; what the log behind it adds is
 * read there, without opening the store. */
#include <errno.h>

#include "base/check.h"
#include "engine/log/log.h"
#include "keep/keep.h"

/* What has been read so far. */
typedef struct walk {
    const manifest *m;
    segment_place place;
    segment_image image;
    record_body body;
    persist_point point;
} walk;

static void count(walk *w, persist_lsn lsn)
{
    const record_body *b = &w->body;
    CHECK(w->m != NULL);
    uint64_t next = b->position;
    for (size_t i = 0; i < b->edit_count; i++) {
        if (b->edits[i].kind == PERSIST_APPEND_AT)
            next++;
        else if (b->edits[i].kind == PERSIST_SET_POSITION &&
                 b->edits[i].seq > next)
            next = b->edits[i].seq;
    }
    w->point.lsn = lsn;
    w->point.position = next - 1;
    w->point.time = b->time;
}

static persist_status damaged(const walk *w, uint64_t number, uint64_t at,
                              persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (segment_path(&w->place, number, path) != 0)
        path[0] = '\0';
    status_of_path(error, PERSIST_CORRUPT, path,
                   "the log of a backup is damaged, in %.300s at byte %llu; "
                   "restore an older one",
                   path, (unsigned long long)at);
    status_at(error, path, at);
    return PERSIST_CORRUPT;
}

/* Reads the records of a segment up to where the manifest says it ends. */
static persist_status walk_segment(walk *w, const segment_entry *s,
                                   persist_error *error)
{
    persist_status status =
        segment_load(&w->place, s->number, SEGMENT_SIZE_MAX, &w->image, error);
    if (status == PERSIST_NONE ||
        (status == PERSIST_OK && w->image.bytes.size < s->end))
        return damaged(w, s->number, 0, error);
    if (status != PERSIST_OK)
        return status;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < s->end;) {
        record_header h;
        if (!record_read(w->image.bytes, at, w->m->identity, s->number, &h,
                         NULL))
            return damaged(w, s->number, at, error);
        slice body =
            slice_part(w->image.bytes, at + RECORD_HEADER_SIZE, h.body_size);
        record_result result = record_decode_body(body, &w->body);
        if (result == RECORD_NO_MEMORY)
            return status_no_memory(error);
        if (result != RECORD_OK)
            return damaged(w, s->number, at, error);
        if (h.lsn > manifest_tables_last(w->m))
            count(w, h.lsn);
        at += record_size(h.body_size);
    }
    return PERSIST_OK;
}

static persist_status walk_log(walk *w, const os_dir *dir, persist_error *error)
{
    const manifest *m = w->m;
    os_dir *log;
    int code = w->place.sys->dir_open(w->place.sys, dir, LAYOUT_LOG, &log);
    if (code == -ENOENT && m->segment_count == 0)
        return PERSIST_OK;
    if (code != 0)
        return os_failed(error, code, "open the log in", dir->path);
    w->place.dir = log;
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < m->segment_count && status == PERSIST_OK; i++)
        status = walk_segment(w, &m->segments[i], error);
    segment_release(&w->place, &w->image);
    record_body_release(&w->body);
    w->place.sys->dir_close(w->place.sys, log);
    return status;
}

persist_status keep_point(const os *sys, const os_dir *dir, persist_point *out,
                          manifest *m, persist_error *error)
{
    manifest previous = {0};
    persist_status status = manifest_load(sys, dir, m, &previous, error);
    manifest_release(&previous);
    if (status == PERSIST_NONE)
        return status_of_path(error, PERSIST_BAD_STORE, dir->path,
                              "%.300s is no backup: it has no manifest",
                              dir->path);
    if (status != PERSIST_OK)
        return status;
    if (!m->clean)
        return status_of_path(error, PERSIST_BAD_STORE, dir->path,
                              "%.300s is a store that is in use, or was not "
                              "closed; open and close it first, and restore "
                              "from a copy",
                              dir->path);
    walk w = {.m = m, .place = {.sys = sys, .identity = m->identity}};
    w.point = (persist_point){
        manifest_tables_last(m), m->next_position - 1, m->time, {0}};
    status = walk_log(&w, dir, error);
    *out = w.point;
    if (status == PERSIST_OK && out->lsn != m->watermark)
        return status_of_path(error, PERSIST_CORRUPT, dir->path,
                              "the log of the backup %.300s ends with another "
                              "commit than its manifest says; restore an older "
                              "one",
                              dir->path);
    return status;
}
