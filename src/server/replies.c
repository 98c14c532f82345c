/* SPDX-License-Identifier: MIT */
/* Replies that wait for their sync. */
#include "server/replies.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/seeded_bug.h"
#include "base/status.h"
#include "os/os_stream.h"

/* Enough to share a sync among, and little enough to keep no one waiting. */
enum { FULL_COUNT = 4096, FULL_SIZE = 1 << 20 };

typedef struct reply_mark {
    persist_lsn needs; /* durable before it leaves; 0: nothing */
    int64_t epoch;
    size_t end; /* offset of its end in the text */
} reply_mark;

void replies_release(replies *r)
{
    buf_release(&r->text);
    buf_release(&r->marks);
}

static void add_mark(replies *r, int64_t epoch, persist_lsn needs)
{
    CHECK(r->marks.size % sizeof(reply_mark) == 0);
    reply_mark mark = {needs, epoch, r->text.size};
    if (needs <= r->lost)
        mark.needs = 0;
    buf_put(&r->marks, &mark, sizeof mark);
}

static void put_ok(replies *r, int64_t epoch)
{
    buf_printf(&r->text, "(ok %" PRId64 ")\n", epoch);
}

static void put_error(buf *text, int64_t epoch, slice message)
{
    const char *at = message.data;
    buf_printf(text, "(error %" PRId64 " \"", epoch);
    for (size_t i = 0; i < message.size; i++) {
        if (at[i] == '\n') {
            buf_put_str(text, "\\n");
            continue;
        }
        if (at[i] == '\\' || at[i] == '"')
            buf_put_byte(text, '\\');
        buf_put_byte(text, (uint8_t)at[i]);
    }
    buf_put_str(text, "\")\n");
}

void replies_ok(replies *r, int64_t epoch)
{
    put_ok(r, epoch);
    add_mark(r, epoch, host_latest(r->host));
}

void replies_free_ok(replies *r, int64_t epoch)
{
    put_ok(r, epoch);
    add_mark(r, epoch, 0);
}

void replies_value(replies *r, int64_t epoch, slice printed)
{
    buf_printf(&r->text, "(ok-len %" PRId64 " %zu)\n", epoch, printed.size);
    buf_put_slice(&r->text, printed);
    buf_put_byte(&r->text, '\n');
    add_mark(r, epoch, host_latest(r->host));
}

void replies_error(replies *r, int64_t epoch, slice message)
{
    put_error(&r->text, epoch, message);
    add_mark(r, epoch, SEEDED_BUG(REFUSAL_EARLY) ? 0 : host_latest(r->host));
}

bool replies_waiting(const replies *r)
{
    return r->marks.size > 0;
}

bool replies_full(const replies *r)
{
    return r->marks.size >= FULL_COUNT * sizeof(reply_mark) ||
           r->text.size >= FULL_SIZE;
}

static bool send(replies *r, slice bytes)
{
    if (!r->closed && os_stream_write(OS_STDOUT, bytes.data, bytes.size) != 0)
        r->closed = true;
    return !r->closed;
}

/* After a failed sync: keeps the replies that rest on durable commits only and
 * turns the others into errors. */
static void send_survivors(replies *r)
{
    const reply_mark *marks = (const reply_mark *)(void *)r->marks.data;
    size_t count = r->marks.size / sizeof *marks, start = 0;
    persist_lsn durable = host_durable(r->host);
    buf out = {0};
    char message[PERSIST_MESSAGE_MAX + 32];
    int size = snprintf(message, sizeof message, "%s: %s",
                        persist_status_code(r->last_error.status),
                        r->last_error.message);
    CHECK(size > 0 && (size_t)size < sizeof message);
    for (size_t i = 0; i < count; i++) {
        CHECK(start <= marks[i].end && marks[i].end <= r->text.size);
        if (marks[i].needs <= durable || SEEDED_BUG(LOST_SAYS_OK))
            buf_put(&out, r->text.data + start, marks[i].end - start);
        else
            put_error(&out, marks[i].epoch, slice_of(message, (size_t)size));
        start = marks[i].end;
    }
    CHECK(start == r->text.size);
    if (out.failed)
        r->closed = true; /* no reply is better than a wrong one */
    (void)send(r, buf_slice(&out));
    buf_release(&out);
}

static persist_status sync(replies *r, persist_lsn lsn)
{
    persist_status status = host_sync(r->host, lsn, &r->last_error);
    if (status != PERSIST_OK)
        r->failed = true;
    return status;
}

static persist_lsn needed(const replies *r)
{
    const reply_mark *marks = (const reply_mark *)(void *)r->marks.data;
    persist_lsn needs = 0;
    for (size_t i = 0; i < r->marks.size / sizeof *marks; i++)
        if (marks[i].needs > needs)
            needs = marks[i].needs;
    return needs;
}

bool replies_flush(replies *r)
{
    if (!replies_waiting(r))
        return !r->closed;
    if (r->text.failed || r->marks.failed) {
        r->closed = true; /* out of memory for the replies themselves */
    } else if (SEEDED_BUG(REPLY_EARLY)) {
        (void)send(r, buf_slice(&r->text));
        (void)sync(r, needed(r));
    } else if (sync(r, needed(r)) == PERSIST_OK) {
        (void)send(r, buf_slice(&r->text));
    } else {
        send_survivors(r);
        r->lost = host_latest(r->host);
    }
    buf_clear(&r->text);
    buf_clear(&r->marks);
    return !r->closed;
}

persist_status replies_send_line(replies *r, slice line, persist_error *error)
{
    CHECK(line.size > 0 && ((const char *)line.data)[line.size - 1] == '\n');
    (void)replies_flush(r);
    if (SEEDED_BUG(REQUEST_EARLY)) {
        (void)send(r, line);
        return PERSIST_OK;
    }
    persist_lsn latest = host_latest(r->host);
    persist_status status = latest <= r->lost ? PERSIST_OK : sync(r, latest);
    if (status != PERSIST_OK) {
        *error = r->last_error;
        return status;
    }
    (void)send(r, line);
    return PERSIST_OK;
}
