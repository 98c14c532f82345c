/* SPDX-License-Identifier: MIT */
/* Reading the old host's files by line, and commits of many edits. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "cli/import.h"
#include "host/tags.h"

enum {
    READ_SIZE = 256 * 1024,
    COMMIT_SIZE = 1 << 20, /* as the store counts it */
    EDIT_SIZE = PERSIST_EDIT_OVERHEAD + PERSIST_NAME_OVERHEAD,
    LINE_SIZE_MAX = PERSIST_COMMIT_SIZE_MAX,
};

typedef struct import_edit {
    persist_edit_kind kind;
    uint64_t seq;
    /* in import.bytes, one behind the other; a byte before each tag says how
     * long it is */
    size_t name_at, name_size, data_size, type_size;
    size_t tag_count;
} import_edit;

persist_status import_failed(import *im, const char *path,
                             persist_status status, const char *what)
{
    char line[24] = "";
    if (im->line > 0)
        snprintf(line, sizeof line, ":%" PRIu64, im->line);
    return status_of_path(&im->error, status, path, "%.300s%s: %s", path, line,
                          what);
}

persist_status import_damaged(import *im, const char *path, const char *what)
{
    char text[128];
    snprintf(text, sizeof text, "%s; mend or remove it and import again", what);
    return import_failed(im, path, PERSIST_CORRUPT, text);
}

int import_keep_name(void *context, const char *name)
{
    buf *names = context;
    buf_put(names, name, strlen(name) + 1);
    return names->failed ? -ENOMEM : 0;
}

/* ---- whole files ------------------------------------------------------ */

static persist_status read_steps(import *im, const import_file *from,
                                 os_file *file, import_step_fn take,
                                 void *context)
{
    uint8_t *step = mem_alloc(READ_SIZE);
    if (step == NULL)
        return status_no_memory(&im->error);
    size_t got = READ_SIZE;
    persist_status status = PERSIST_OK;
    for (uint64_t at = 0; got == READ_SIZE && status == PERSIST_OK; at += got) {
        int code = os_read_all(im->os, file, step, READ_SIZE, at, &got);
        if (code != 0)
            status = os_failed(&im->error, code, "read", from->path);
        else
            status = take(im, context, slice_of(step, got));
    }
    mem_free(step);
    return status;
}

persist_status import_read(import *im, const import_file *from,
                           import_step_fn take, void *context)
{
    os_file *file;
    CHECK(from->dir != im->os->cwd); /* there links are followed */
    int code = im->os->file_open(im->os, from->dir, from->name, OS_READ, &file);
    if (code != 0)
        return os_failed(&im->error, code, "open", from->path);
    persist_status status = read_steps(im, from, file, take, context);
    (void)im->os->file_close(im->os, file);
    return status;
}

/* ---- what is left out ------------------------------------------------- */

persist_status import_leave_out(import *im, const char *path, bool unfinished)
{
    uint64_t named = im->counts.unfinished + im->counts.unknown;
    *(unfinished ? &im->counts.unfinished : &im->counts.unknown) += 1;
    if (im->store != NULL || named >= IMPORT_NAMED_MAX)
        return PERSIST_OK;
    buf_put(&im->left_out, path, strlen(path) + 1);
    buf_put_byte(&im->left_out, unfinished);
    return im->left_out.failed
               ? status_set(&im->error, PERSIST_LIMIT, "out of memory")
               : PERSIST_OK;
}

/* ---- lines ------------------------------------------------------------ */

typedef struct line_reader {
    const import_file *file;
    buf rest; /* a line whose end is still to come */
    import_line_fn take;
    void *context;
} line_reader;

/* Hands over the whole lines and keeps the rest. */
static persist_status take_bytes(import *im, void *context, slice bytes)
{
    line_reader *r = context;
    size_t at = 0;
    persist_status status = PERSIST_OK;
    buf_put_slice(&r->rest, bytes);
    if (r->rest.failed)
        return status_no_memory(&im->error);
    while (at < r->rest.size && status == PERSIST_OK) {
        const uint8_t *from = r->rest.data + at;
        const uint8_t *end = memchr(from, '\n', r->rest.size - at);
        if (end == NULL)
            break;
        size_t size = (size_t)(end - from);
        status = r->take(im, r->context, slice_of(from, size), true);
        at += size + 1;
        im->line += status == PERSIST_OK;
    }
    CHECK(at <= r->rest.size);
    if (at > 0)
        memmove(r->rest.data, r->rest.data + at, r->rest.size - at);
    r->rest.size -= at;
    if (status == PERSIST_OK && r->rest.size > LINE_SIZE_MAX)
        return import_damaged(im, r->file->path, "a line has no end");
    return status;
}

persist_status import_lines(import *im, const import_file *file,
                            import_line_fn take, void *context)
{
    line_reader r = {.file = file, .take = take, .context = context};
    im->line = 1;
    persist_status status = import_read(im, file, take_bytes, &r);
    if (status == PERSIST_OK && r.rest.size > 0)
        status = take(im, context, buf_slice(&r.rest), false);
    im->line = 0;
    buf_release(&r.rest);
    return status;
}

/* ---- commits ---------------------------------------------------------- */

persist_status import_add(import *im, const persist_edit *from)
{
    if (im->store == NULL)
        return PERSIST_OK;
    import_edit edit = {.kind = from->kind,
                        .seq = from->seq,
                        .name_at = im->bytes.size,
                        .name_size = from->name.size,
                        .data_size = from->data.size,
                        .type_size = from->type.size,
                        .tag_count = from->tag_count};
    buf_put_slice(&im->bytes, from->name);
    buf_put_slice(&im->bytes, from->data);
    buf_put_slice(&im->bytes, from->type);
    for (size_t i = 0; i < from->tag_count; i++) {
        CHECK(from->tags[i].size <= PERSIST_TAG_SIZE_MAX);
        buf_put_byte(&im->bytes, (uint8_t)from->tags[i].size);
        buf_put_slice(&im->bytes, from->tags[i]);
    }
    buf_put(&im->edits, &edit, sizeof edit);
    if (im->bytes.failed || im->edits.failed)
        return status_no_memory(&im->error);
    im->tags += from->tag_count;
    size_t count = im->edits.size / sizeof edit;
    return im->bytes.size + count * EDIT_SIZE < COMMIT_SIZE ? PERSIST_OK
                                                            : import_commit(im);
}

/* The old host knew of no tags: what is no list of them is kept in the event as
 * everything else is. */
persist_status import_add_event(import *im, const char *path, slice stream,
                                uint64_t seq)
{
    persist_error reading;
    const tag_taker taker = {im->machine, &im->index, &im->type, &reading};
    persist_edit edit = {.kind = PERSIST_APPEND_AT,
                         .name = stream,
                         .data = slice_of(im->text.data, im->text.size),
                         .seq = seq};
    persist_status status = tags_of_event(&taker, im->value, &edit);
    if (status == PERSIST_BAD_REQUEST)
        edit.tag_count = 0;
    else if (status != PERSIST_OK)
        return import_failed(im, path, status, reading.message);
    status = import_add(im, &edit);
    arena_release(&im->index);
    return status;
}

/* Takes bytes from the front of others. */
static slice split(slice *bytes, size_t size)
{
    slice front = slice_of(bytes->data, size);
    CHECK(size <= bytes->size);
    *bytes = slice_of((const uint8_t *)bytes->data + size, bytes->size - size);
    return front;
}

/* Makes the edit of what was added; its tags go to `tags`. */
static persist_edit make_edit(const import_edit *from, slice bytes, slice *tags)
{
    persist_edit edit = {.kind = from->kind,
                         .seq = from->seq,
                         .tags = tags,
                         .tag_count = from->tag_count};
    (void)split(&bytes, from->name_at);
    edit.name = split(&bytes, from->name_size);
    edit.data = split(&bytes, from->data_size);
    edit.type = split(&bytes, from->type_size);
    for (size_t i = 0; i < from->tag_count; i++) {
        slice size = split(&bytes, 1);
        tags[i] = split(&bytes, *(const uint8_t *)size.data);
    }
    return edit;
}

/* Commits what was added, with room for as many edits and tags. */
static persist_status commit(import *im, persist_edit *edits, size_t count,
                             slice *tags)
{
    const import_edit *from = (const import_edit *)(void *)im->edits.data;
    /* Names and data may all be empty: then there are no bytes. */
    slice bytes =
        im->bytes.data == NULL ? slice_of("", 0) : buf_slice(&im->bytes);
    size_t tag = 0;
    for (size_t i = 0; i < count; i++) {
        edits[i] = make_edit(&from[i], bytes, tags + tag);
        tag += from[i].tag_count;
    }
    CHECK(tag == im->tags);
    return persist_commit(im->store, edits, count, NULL, NULL, &im->error);
}

persist_status import_commit(import *im)
{
    size_t count = im->edits.size / sizeof(import_edit);
    if (count == 0)
        return PERSIST_OK;
    CHECK(im->store != NULL && im->edits.size % sizeof(import_edit) == 0);
    persist_edit *edits = mem_alloc(count * sizeof *edits);
    slice *tags = mem_alloc(im->tags * sizeof *tags + 1);
    persist_status status = edits == NULL || tags == NULL
                                ? status_no_memory(&im->error)
                                : commit(im, edits, count, tags);
    mem_free(edits);
    mem_free(tags);
    im->tags = 0;
    buf_clear(&im->edits);
    buf_clear(&im->bytes);
    return status;
}
