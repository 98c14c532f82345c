/* SPDX-License-Identifier: MIT */
/* The source texts that (load "path") names. */
#include "server/source.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "os/os.h"
#include "os/os_stream.h"

static int fail(int result, const char *path, char *failed)
{
    CHECK(result < 0);
    snprintf(failed, PERSIST_PATH_MAX, "%s", path);
    return result;
}

slice source_without_mark(slice text)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t size = sizeof mark - 1;
    if (text.size < size || memcmp(text.data, mark, size) != 0)
        return text;
    return slice_of((const char *)text.data + size, text.size - size);
}

/* A file ends its last line itself, whatever its author did. */
static int read_file(const char *path, size_t size_max, buf *out, char *failed)
{
    size_t start = out->size;
    size_t room = size_max > start ? size_max - start : 0;
    int result = os_file_slurp(path, room, out);
    if (result < 0)
        return fail(result, path, failed);
    size_t size = out->size - start;
    slice text = source_without_mark(slice_of(out->data + start, size));
    if (text.size < size)
        memmove(out->data + start, text.data, text.size);
    out->size = start + text.size;
    buf_put_byte(out, '\n');
    return out->failed ? fail(-ENOMEM, path, failed) : 0;
}

static int read_listed(const char *dir, const buf *order, size_t size_max,
                       buf *out, char *failed)
{
    size_t at = 0;
    while (at < order->size) {
        const uint8_t *line = order->data + at;
        const uint8_t *end = memchr(line, '\n', order->size - at);
        size_t size = end == NULL ? order->size - at : (size_t)(end - line);
        char name[PERSIST_PATH_MAX], path[PERSIST_PATH_MAX];
        at += size + 1;
        if (size == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)size, (const char *)line);
        int result = os_join(path, sizeof path, dir, name);
        if (result < 0)
            return fail(result, name, failed);
        result = read_file(path, size_max, out, failed);
        if (result < 0)
            return result;
    }
    return 0;
}

int source_read(const char *path, size_t size_max, buf *out, char *failed)
{
    char list[PERSIST_PATH_MAX];
    buf order = {0};
    int result = read_file(path, size_max, out, failed);
    if (result != -EISDIR)
        return result;
    result = os_join(list, sizeof list, path, "load-order");
    if (result < 0)
        return fail(result, path, failed);
    result = read_file(list, size_max, &order, failed);
    if (result == 0)
        result = read_listed(path, &order, size_max, out, failed);
    buf_release(&order);
    return result;
}
