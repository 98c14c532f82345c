/* SPDX-License-Identifier: MIT */
/* The source texts that (load "path") names. */
#include "server/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

void source_clear(source *s)
{
    buf_clear(&s->text);
    buf_clear(&s->paths);
    buf_clear(&s->ends);
    s->at = 0;
    s->path = slice_of(NULL, 0);
}

void source_release(source *s)
{
    buf_release(&s->text);
    buf_release(&s->paths);
    buf_release(&s->ends);
}

/* ---- reading ---------------------------------------------------------- */

static int read_text(const char *path, size_t size_max, buf *out, char *failed)
{
    size_t start = out->size;
    size_t room = size_max > start ? size_max - start : 0;
    int result = os_file_slurp(path, room, out);
    if (result < 0)
        return fail(result, path, failed);
    size_t size = out->size - start;
    slice text = source_without_mark(slice_of(out->data + start, size));
    if (text.size > 0 && text.size < size)
        memmove(out->data + start, text.data, text.size);
    out->size = start + text.size;
    return out->failed ? fail(-ENOMEM, path, failed) : 0;
}

static int read_file(source *s, const char *path, size_t size_max, char *failed)
{
    int result = read_text(path, size_max, &s->text, failed);
    if (result < 0)
        return result;
    buf_put(&s->paths, path, strlen(path) + 1);
    size_t ends[2] = {s->text.size, s->paths.size};
    buf_put(&s->ends, ends, sizeof ends);
    return s->paths.failed || s->ends.failed ? fail(-ENOMEM, path, failed) : 0;
}

/* A line may end as on Windows. */
static int read_listed(source *s, const char *dir, const buf *order,
                       size_t size_max, char *failed)
{
    size_t at = 0;
    while (at < order->size) {
        const uint8_t *line = order->data + at;
        const uint8_t *end = memchr(line, '\n', order->size - at);
        size_t size = end == NULL ? order->size - at : (size_t)(end - line);
        char name[PERSIST_PATH_MAX], path[PERSIST_PATH_MAX];
        at += size + 1;
        if (size > 0 && line[size - 1] == '\r')
            size--;
        if (size == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)size, (const char *)line);
        int result = os_join(path, sizeof path, dir, name);
        if (result < 0)
            return fail(result, name, failed);
        result = read_file(s, path, size_max, failed);
        if (result < 0)
            return result;
    }
    return 0;
}

int source_read(source *s, const char *path, size_t size_max, char *failed)
{
    char list[PERSIST_PATH_MAX];
    buf order = {0};
    CHECK(s->ends.size == 0 && s->at == 0);
    int result = read_file(s, path, size_max, failed);
    if (result != -EISDIR)
        return result;
    result = os_join(list, sizeof list, path, "load-order");
    if (result < 0)
        return fail(result, path, failed);
    result = read_text(list, size_max, &order, failed);
    if (result == 0)
        result = read_listed(s, path, &order, size_max, failed);
    buf_release(&order);
    return result;
}

/* ---- taking ----------------------------------------------------------- */

bool source_next(source *s, slice *text)
{
    const size_t *ends = (const size_t *)(const void *)s->ends.data;
    size_t count = s->ends.size / (2 * sizeof *ends), i = s->at * 2;
    CHECK(s->at <= count);
    if (s->at == count)
        return false;
    size_t text_at = i == 0 ? 0 : ends[i - 2],
           path_at = i == 0 ? 0 : ends[i - 1];
    s->at++;
    *text = slice_of(s->text.data + text_at, ends[i] - text_at);
    s->path = slice_of(s->paths.data + path_at, ends[i + 1] - path_at - 1);
    return true;
}
