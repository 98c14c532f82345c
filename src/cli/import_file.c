/* SPDX-License-Identifier: MIT */
/* Reading the old host's files by line, and commits of many edits. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "cli/import.h"

enum {
    READ_SIZE = 256 * 1024,
    COMMIT_SIZE = 1 << 20,
    LINE_SIZE_MAX = PERSIST_COMMIT_SIZE_MAX,
};

typedef struct import_edit {
    persist_edit_kind kind;
    uint64_t seq;
    size_t name_at, name_size, data_size; /* in import.bytes, data behind */
} import_edit;

persist_status import_io(import *im, const char *what, const char *path,
                         int result)
{
    CHECK(result < 0);
    status_set(&im->error, PERSIST_IO, "cannot %s %s: %s", what, path,
               strerror(-result));
    status_at(&im->error, path, STATUS_NO_OFFSET);
    return PERSIST_IO;
}

persist_status import_damaged(import *im, const char *path, uint64_t offset,
                              const char *what)
{
    status_set(&im->error, PERSIST_CORRUPT,
               "%s: %s; mend or remove it and import again", path, what);
    status_at(&im->error, path, offset);
    return PERSIST_CORRUPT;
}

/* ---- lines ------------------------------------------------------------ */

/* Hands over the whole lines in the buffer and keeps the rest. */
static persist_status hand_over(import *im, buf *b, uint64_t *offset,
                                import_line_fn take, void *context)
{
    size_t at = 0;
    persist_status status = PERSIST_OK;
    while (at < b->size && status == PERSIST_OK) {
        const uint8_t *end = memchr(b->data + at, '\n', b->size - at);
        if (end == NULL)
            break;
        size_t size = (size_t)(end - b->data) - at;
        status = take(im, context, slice_of(b->data + at, size), *offset, true);
        at += size + 1;
        *offset += size + 1;
    }
    CHECK(at <= b->size);
    memmove(b->data, b->data + at, b->size - at);
    b->size -= at;
    return status;
}

static persist_status read_lines(import *im, os_file *file, const char *path,
                                 import_line_fn take, void *context)
{
    buf b = {0};
    uint64_t offset = 0, at = 0;
    size_t got = 1;
    persist_status status = PERSIST_OK;
    while (got > 0 && status == PERSIST_OK) {
        if (b.size > LINE_SIZE_MAX || !buf_reserve(&b, READ_SIZE)) {
            status = import_damaged(im, path, offset, "a line has no end");
            break;
        }
        int result =
            os_read_all(im->os, file, b.data + b.size, READ_SIZE, at, &got);
        if (result < 0) {
            status = import_io(im, "read", path, result);
            break;
        }
        CHECK(got <= READ_SIZE);
        at += got;
        b.size += got;
        status = hand_over(im, &b, &offset, take, context);
    }
    if (status == PERSIST_OK && b.size > 0)
        status = take(im, context, buf_slice(&b), offset, false);
    buf_release(&b);
    return status;
}

persist_status import_lines(import *im, const char *path, import_line_fn take,
                            void *context)
{
    os_file *file;
    int result = im->os->file_open(im->os, im->os->cwd, path, OS_READ, &file);
    if (result < 0)
        return import_io(im, "open", path, result);
    persist_status status = read_lines(im, file, path, take, context);
    (void)im->os->file_close(im->os, file);
    return status;
}

/* ---- commits ---------------------------------------------------------- */

persist_status import_add(import *im, persist_edit_kind kind, slice name,
                          slice data, uint64_t seq)
{
    if (im->store == NULL)
        return PERSIST_OK;
    import_edit edit = {kind, seq, im->bytes.size, name.size, data.size};
    buf_put_slice(&im->bytes, name);
    buf_put_slice(&im->bytes, data);
    buf_put(&im->edits, &edit, sizeof edit);
    if (im->bytes.failed || im->edits.failed)
        return status_set(&im->error, PERSIST_LIMIT, "out of memory");
    return im->bytes.size < COMMIT_SIZE ? PERSIST_OK : import_commit(im);
}

persist_status import_commit(import *im)
{
    const import_edit *from = (const import_edit *)(void *)im->edits.data;
    size_t count = im->edits.size / sizeof *from;
    if (count == 0)
        return PERSIST_OK;
    CHECK(im->store != NULL && im->edits.size % sizeof *from == 0);
    persist_edit *edits = mem_alloc(count * sizeof *edits);
    if (edits == NULL)
        return status_set(&im->error, PERSIST_LIMIT, "out of memory");
    /* Names and data may all be empty: then there are no bytes. */
    const uint8_t *bytes =
        im->bytes.data == NULL ? (const uint8_t *)"" : im->bytes.data;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *name = bytes + from[i].name_at;
        CHECK(from[i].name_at + from[i].name_size + from[i].data_size <=
              im->bytes.size);
        edits[i] = (persist_edit){
            .kind = from[i].kind,
            .name = slice_of(name, from[i].name_size),
            .data = slice_of(name + from[i].name_size, from[i].data_size),
            .seq = from[i].seq,
        };
    }
    persist_status status =
        persist_commit(im->store, edits, count, NULL, NULL, &im->error);
    mem_free(edits);
    buf_clear(&im->edits);
    buf_clear(&im->bytes);
    return status;
}
