/* SPDX-License-Identifier: MIT */
/* Everything that reads can tell of a store, as text. */
#include <stdio.h>

#include "base/hash.h"
#include "base/status.h"
#include "ops.h"

enum { SHOWN_MAX = 24, LINES_MAX = 6 };

typedef struct dumper {
    persist_store *store;
    persist_view view;
    buf *out;
    persist_error *error;
} dumper;

/* Bytes in full when they are few, else their start, length and hash. */
static void put_bytes(buf *out, slice s)
{
    buf_put(out, s.data, s.size < SHOWN_MAX ? s.size : SHOWN_MAX);
    if (s.size > SHOWN_MAX)
        buf_printf(out, "...%zu:%016llx", s.size,
                   (unsigned long long)hash_xxh3(s));
}

static void put_event(buf *out, const persist_event *event)
{
    buf_put_slice(out, event->stream);
    buf_printf(out, " %llu @%llu ", (unsigned long long)event->seq,
               (unsigned long long)event->position);
    put_bytes(out, event->data);
}

/* Closes the cursor; returns the number of events and a sum over them that
 * does not depend on their order. */
static persist_status drain(persist_cursor *cursor, const char *head, buf *out,
                            uint64_t *count, uint64_t *sum,
                            persist_error *error)
{
    persist_event event;
    persist_status status;
    buf line = {0};
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK) {
        buf_clear(&line);
        put_event(&line, &event);
        if (line.failed) {
            status = status_set(error, PERSIST_LIMIT, "out of memory");
            break;
        }
        *sum += hash_xxh3(buf_slice(&line));
        ++*count;
        if (out == NULL)
            continue;
        buf_put_str(out, head);
        buf_put_slice(out, buf_slice(&line));
        buf_put_byte(out, '\n');
    }
    buf_release(&line);
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status disagree(dumper *d, const char *what, slice name)
{
    return status_set(d->error, PERSIST_ERROR, "%s disagrees on %.*s", what,
                      (int)name.size, (const char *)name.data);
}

static persist_status dump_stream(dumper *d, slice name)
{
    persist_stream_info info = {0};
    bool known = false;
    uint64_t count = 0, sum = 0, back = 0, back_sum = 0;
    persist_cursor *cursor = NULL;
    persist_status status =
        persist_info(d->store, name, d->view, &info, &known, d->error);
    if (status == PERSIST_OK && !known)
        status = disagree(d, "info", name);
    buf_put_str(d->out, "stream ");
    put_bytes(d->out, name);
    buf_printf(d->out, " mark %llu first %llu count %llu bytes %llu\n",
               (unsigned long long)info.mark, (unsigned long long)info.first,
               (unsigned long long)info.count, (unsigned long long)info.bytes);
    if (status == PERSIST_OK)
        status = persist_read(d->store, name, 0, PERSIST_NO_LIMIT, d->view,
                              &cursor, d->error);
    if (status == PERSIST_OK)
        status = drain(cursor, "  ", d->out, &count, &sum, d->error);
    if (status == PERSIST_OK)
        status = persist_read_back(d->store, name, UINT64_MAX, PERSIST_NO_LIMIT,
                                   d->view, &cursor, d->error);
    if (status == PERSIST_OK)
        status = drain(cursor, "", NULL, &back, &back_sum, d->error);
    if (status == PERSIST_OK && (back != count || back_sum != sum))
        status = disagree(d, "reading backwards", name);
    if (status == PERSIST_OK && info.count != count)
        status = disagree(d, "the count", name);
    return status;
}

static persist_status dump_streams(dumper *d)
{
    persist_cursor *cursor = NULL;
    persist_status status =
        persist_streams(d->store, NULL, d->view, &cursor, d->error);
    slice name;
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, &name, NULL, d->error);
        if (status == PERSIST_OK)
            status = dump_stream(d, name);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status dump_all(dumper *d)
{
    persist_cursor *cursor = NULL;
    uint64_t count = 0, sum = 0;
    persist_status status = persist_read_all(d->store, 0, PERSIST_NO_LIMIT,
                                             d->view, &cursor, d->error);
    return status == PERSIST_OK
               ? drain(cursor, "all ", d->out, &count, &sum, d->error)
               : status;
}

static persist_status dump_keys(dumper *d)
{
    persist_cursor *cursor = NULL;
    persist_status status =
        persist_scan(d->store, slice_of(NULL, 0), NULL, PERSIST_NO_LIMIT,
                     d->view, &cursor, d->error);
    slice key, value, got;
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, &key, &value, d->error);
        if (status != PERSIST_OK)
            break;
        buf_put_str(d->out, "key ");
        put_bytes(d->out, key);
        buf_put_str(d->out, " = ");
        put_bytes(d->out, value);
        buf_put_byte(d->out, '\n');
        status = persist_get(d->store, key, d->view, &got, d->error);
        if (status == PERSIST_NONE)
            status = disagree(d, "get", key);
        else if (status == PERSIST_OK && !slice_equal(got, value))
            status = disagree(d, "the value got", key);
        persist_free(got.data);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status dump_onces(dumper *d)
{
    for (int i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "once-%d", i);
        uint8_t print[PERSIST_FINGERPRINT_SIZE];
        persist_outcome out;
        persist_status status =
            persist_once_find(d->store, slice_str(id), print, &out, d->error);
        if (status == PERSIST_NONE)
            continue;
        if (status != PERSIST_OK)
            return status;
        buf_printf(d->out, "%s %d lsn %llu", id, print[0],
                   (unsigned long long)out.lsn);
        for (size_t k = 0; k < out.seq_count; k++)
            buf_printf(d->out, " #%llu", (unsigned long long)out.seqs[k]);
        buf_put_byte(d->out, '\n');
        persist_outcome_release(&out);
    }
    return PERSIST_OK;
}

persist_status store_dump(persist_store *store, persist_view view, buf *out,
                          persist_error *error)
{
    dumper d = {store, view, out, error};
    persist_status status = dump_streams(&d);
    if (status == PERSIST_OK)
        status = dump_all(&d);
    if (status == PERSIST_OK)
        status = dump_keys(&d);
    if (status == PERSIST_OK && view == PERSIST_LATEST)
        status = dump_onces(&d);
    return status == PERSIST_OK && out->failed
               ? status_set(error, PERSIST_LIMIT, "out of memory")
               : status;
}

static slice next_line(slice *text)
{
    const char *start = text->data;
    const char *end = text->size == 0 ? NULL : memchr(start, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - start) + 1;
    *text = slice_of(start + size, text->size - size);
    return slice_of(start, size);
}

void dump_difference(slice expected, slice actual, buf *out)
{
    int shown = 0;
    while ((expected.size > 0 || actual.size > 0) && shown < LINES_MAX) {
        slice want = next_line(&expected), got = next_line(&actual);
        if (slice_equal(want, got))
            continue;
        shown++;
        buf_put_str(out, "  expected ");
        buf_put_slice(out, want);
        buf_put_str(out, want.size == 0 ? "\n  actual   " : "  actual   ");
        buf_put_slice(out, got);
        buf_put_str(out, got.size == 0 ? "\n" : "");
    }
}
