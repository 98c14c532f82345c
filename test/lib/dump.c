/* SPDX-License-Identifier: MIT */
/* Everything that reads can tell of a store, as text. */
#include "base/hash.h"
#include "base/status.h"
#include "ops.h"
#include "sx.h"

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
    pool_put_tags(out, event);
}

/* Closes the cursor; returns the number of events and a sum over them that
 * does not depend on their order. */
static persist_status drain(persist_cursor *cursor, const char *head, buf *out,
                            uint64_t *count, uint64_t *sum,
                            persist_error *error)
{
    const persist_event *event;
    persist_status status;
    buf line = {0};
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK) {
        buf_clear(&line);
        put_event(&line, event);
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
        if (event->time != 0)
            buf_printf(out, " at %llu", (unsigned long long)event->time);
        buf_put_byte(out, '\n');
    }
    buf_release(&line);
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status disagree(dumper *d, const char *what, slice name)
{
    return status_set(d->error, SX_ERROR, "%s disagrees on %.*s", what,
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

/* Adds a name to a sum that depends on the order. */
static uint64_t with_name(uint64_t sum, slice name)
{
    return sum * 31 + hash_xxh3(name);
}

/* Reads names backwards, each in a page of its own, where they are few: they
 * are those that were read forwards. */
static persist_status check_back(dumper *d, bool keys, uint64_t sum)
{
    enum { PAGES_MAX = 2 };
    uint64_t back = 0, factor = 1, pages = 0;
    buf last = {0};
    persist_status status = PERSIST_OK;
    while (status == PERSIST_OK) {
        persist_cursor *cursor = NULL;
        slice name, before = buf_slice(&last);
        const persist_range range = {PERSIST_RANGE, .backward = true,
                                     .before = pages > 0 ? &before : NULL};
        uint64_t limit = pages++ < PAGES_MAX ? 1 : PERSIST_NO_LIMIT, n = 0;
        status = keys ? persist_scan(d->store, &range, limit, d->view, &cursor,
                                     d->error)
                      : persist_streams(d->store, &range, limit, d->view,
                                        &cursor, d->error);
        for (; status == PERSIST_OK && n < limit; n++) {
            status = persist_next_key(cursor, &name, NULL, d->error);
            if (status != PERSIST_OK)
                break;
            back += factor * hash_xxh3(name);
            factor *= 31;
            buf_clear(&last);
            buf_put_slice(&last, name);
        }
        persist_cursor_close(cursor);
        if (status == PERSIST_OK && last.failed)
            status = status_set(d->error, PERSIST_LIMIT, "out of memory");
    }
    buf_release(&last);
    if (status == PERSIST_NONE && back != sum)
        return disagree(d, "reading backwards",
                        slice_str(keys ? "the keys" : "the streams"));
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status dump_streams(dumper *d)
{
    persist_cursor *cursor = NULL;
    persist_status status = persist_streams(d->store, NULL, PERSIST_NO_LIMIT,
                                            d->view, &cursor, d->error);
    uint64_t sum = 0;
    slice name;
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, &name, NULL, d->error);
        if (status != PERSIST_OK)
            break;
        sum = with_name(sum, name);
        status = dump_stream(d, name);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? check_back(d, false, sum) : status;
}

/* Where the times around that of each event lead, or of some if they are many.
 */
static persist_status dump_times(dumper *d)
{
    persist_cursor *cursor = NULL;
    const persist_event *event;
    uint64_t n = 0;
    persist_status status = persist_read_all(d->store, 0, PERSIST_NO_LIMIT,
                                             d->view, &cursor, d->error);
    while (status == PERSIST_OK) {
        status = persist_next_event(cursor, &event, d->error);
        if (status != PERSIST_OK || n++ % 5 != 0)
            continue;
        for (uint64_t time = event->time == 0 ? 0 : event->time - 1;
             time <= event->time + 1 && status == PERSIST_OK; time++) {
            uint64_t position;
            status = persist_position_at(d->store, time, d->view, &position,
                                         d->error);
            buf_printf(d->out, "time %llu @%llu\n", (unsigned long long)time,
                       (unsigned long long)position);
        }
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
    if (status == PERSIST_OK)
        status = drain(cursor, "all ", d->out, &count, &sum, d->error);
    return status == PERSIST_OK ? dump_times(d) : status;
}

/* What some queries find. */
static persist_status dump_queries(dumper *d)
{
    static const uint64_t draws[] = {1, 2, 4, 12, 25};
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
        size_t items;
        uint64_t count = 0, sum = 0;
        persist_cursor *cursor = NULL;
        const persist_query_item *query = pool_query(draws[i], &items);
        status = persist_query(d->store, query, items, 0, PERSIST_NO_LIMIT,
                               d->view, &cursor, d->error);
        if (status == PERSIST_OK)
            status = drain(cursor, "", NULL, &count, &sum, d->error);
        if (status != PERSIST_OK)
            break;
        buf_printf(d->out, "query %zu: %llu events %016llx\n", i,
                   (unsigned long long)count, (unsigned long long)sum);
    }
    return status;
}

static persist_status dump_keys(dumper *d)
{
    persist_cursor *cursor = NULL;
    persist_status status = persist_scan(d->store, NULL, PERSIST_NO_LIMIT,
                                         d->view, &cursor, d->error);
    uint64_t sum = 0;
    slice key, value, got;
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, &key, &value, d->error);
        if (status != PERSIST_OK)
            break;
        sum = with_name(sum, key);
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
    return status == PERSIST_NONE ? check_back(d, true, sum) : status;
}

/* What is found by an id is what the cursor tells of it. */
static persist_status compare_command(dumper *d, const persist_command *c)
{
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_outcome out;
    persist_status status =
        persist_once_find(d->store, c->id, print, &out, d->error);
    if (status == PERSIST_NONE)
        return disagree(d, "finding a command", c->id);
    if (status != PERSIST_OK)
        return status;
    bool same = out.lsn == c->lsn && out.seq_count == c->seq_count &&
                memcmp(print, c->fingerprint, sizeof print) == 0;
    for (size_t i = 0; same && i < out.seq_count; i++)
        same = out.seqs[i] == c->seqs[i];
    persist_outcome_release(&out);
    return same ? PERSIST_OK : disagree(d, "a command found", c->id);
}

static persist_status dump_commands(dumper *d)
{
    persist_cursor *cursor = NULL;
    const persist_command *c;
    persist_status status =
        persist_commands(d->store, slice_of(NULL, 0), NULL, PERSIST_NO_LIMIT,
                         d->view, &cursor, d->error);
    while (status == PERSIST_OK) {
        status = persist_next_command(cursor, &c, d->error);
        if (status != PERSIST_OK)
            break;
        buf_put_str(d->out, "command ");
        put_bytes(d->out, c->id);
        buf_printf(d->out, " %d lsn %llu", c->fingerprint[0],
                   (unsigned long long)c->lsn);
        for (size_t i = 0; i < c->seq_count; i++)
            buf_printf(d->out, " #%llu", (unsigned long long)c->seqs[i]);
        buf_put_byte(d->out, '\n');
        status = compare_command(d, c);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status dump_blobs(dumper *d)
{
    persist_cursor *cursor = NULL;
    const persist_blob *b;
    persist_status status = persist_blobs(d->store, NULL, PERSIST_NO_LIMIT,
                                          d->view, &cursor, d->error);
    while (status == PERSIST_OK) {
        status = persist_next_blob(cursor, &b, d->error);
        if (status == PERSIST_OK)
            buf_printf(d->out, "blob %s %llu\n", b->cid,
                       (unsigned long long)b->size);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status store_dump(persist_store *store, persist_view view, buf *out,
                          persist_error *error)
{
    dumper d = {store, view, out, error};
    persist_status status = dump_streams(&d);
    if (status == PERSIST_OK)
        status = dump_all(&d);
    if (status == PERSIST_OK)
        status = dump_queries(&d);
    if (status == PERSIST_OK)
        status = dump_keys(&d);
    if (status == PERSIST_OK)
        status = dump_commands(&d);
    if (status == PERSIST_OK)
        status = dump_blobs(&d);
    buf_printf(out, "position %llu\n",
               (unsigned long long)persist_position(store, view));
    return status == PERSIST_OK && out->failed
               ? status_set(error, PERSIST_LIMIT, "out of memory")
               : status;
}

persist_status store_check_references(persist_store *store, persist_view view,
                                      persist_error *error)
{
    dumper d = {store, view, NULL, error};
    persist_cursor *cursor = NULL;
    const persist_event *event;
    persist_status status = persist_read(
        store, slice_str("refs"), 0, PERSIST_NO_LIMIT, view, &cursor, error);
    while (status == PERSIST_OK) {
        status = persist_next_event(cursor, &event, error);
        if (status != PERSIST_OK)
            break;
        status = persist_blob_has(store, event->data, error);
        if (status == PERSIST_NONE)
            status = disagree(&d, "an event, which names a blob,", event->data);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
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
