/* SPDX-License-Identifier: MIT */
/* What leaves the server, and waits for its sync. */
#include "server/replies.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os.h"
#include "os/os_stream.h"

enum {
    /* Enough to share a sync among, and little enough to keep no one
     * waiting. */
    FULL_COUNT = 4096,
    FULL_SIZE = 1 << 20,
    WAIT_MS_MAX = 50,
};

typedef struct reply_mark {
    persist_lsn needs; /* durable before it leaves; 0: nothing */
    int64_t epoch;
    size_t end; /* offset of its end in the text */
    int stream; /* where it goes */
} reply_mark;

void replies_release(replies *r)
{
    buf_release(&r->text);
    buf_release(&r->marks);
}

/* ---- the queue -------------------------------------------------------- */

static reply_mark *marks_of(const replies *r, size_t *count)
{
    CHECK(r->marks.size % sizeof(reply_mark) == 0);
    *count = r->marks.size / sizeof(reply_mark);
    return (reply_mark *)(void *)r->marks.data;
}

static uint64_t now_ms(void)
{
    return os_posix()->clock_us(os_posix()) / 1000;
}

static void add_mark(replies *r, int stream, int64_t epoch, persist_lsn needs)
{
    reply_mark mark = {needs, epoch, r->text.size, stream};
    if (r->marks.size == 0)
        r->since_ms = now_ms();
    buf_put(&r->marks, &mark, sizeof mark);
}

void replies_ok(replies *r, int64_t epoch, persist_lsn needs)
{
    buf_printf(&r->text, "(ok %" PRId64 ")\n", epoch);
    add_mark(r, OS_STDOUT, epoch, needs);
}

void replies_value(replies *r, int64_t epoch, slice printed, persist_lsn needs)
{
    buf_printf(&r->text, "(ok-len %" PRId64 " %zu)\n", epoch, printed.size);
    buf_put_slice(&r->text, printed);
    buf_put_byte(&r->text, '\n');
    add_mark(r, OS_STDOUT, epoch, needs);
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

void replies_error(replies *r, int64_t epoch, slice message, persist_lsn needs)
{
    put_error(&r->text, epoch, message);
    add_mark(r, OS_STDOUT, epoch, needs);
}

bool replies_waiting(const replies *r)
{
    return r->marks.size > 0;
}

bool replies_due(const replies *r)
{
    if (r->marks.size == 0)
        return false;
    return r->marks.size >= FULL_COUNT * sizeof(reply_mark) ||
           r->text.size >= FULL_SIZE || now_ms() - r->since_ms >= WAIT_MS_MAX;
}

/* Prints come in many small pieces: those that follow each other are one. */
static void queue_print(replies *r, slice text, persist_lsn needs)
{
    size_t count;
    reply_mark *marks = marks_of(r, &count);
    buf_put_slice(&r->text, text);
    if (count == 0 || marks[count - 1].stream != OS_STDERR) {
        add_mark(r, OS_STDERR, 0, needs);
        return;
    }
    marks[count - 1].end = r->text.size;
    if (needs > marks[count - 1].needs)
        marks[count - 1].needs = needs;
}

void replies_print(replies *r, slice text, persist_lsn needs)
{
    if (r->marks.size == 0 && needs <= host_durable(r->host)) {
        (void)os_stream_write(OS_STDERR, text.data, text.size);
        return;
    }
    queue_print(r, text, needs);
    if (replies_due(r))
        (void)replies_flush(r);
}

/* ---- sending ---------------------------------------------------------- */

/* Nobody has to read what is printed. */
static void send(replies *r, int stream, const void *bytes, size_t size)
{
    if (size == 0 || (stream == OS_STDOUT && r->closed))
        return;
    int code = os_stream_write(stream, bytes, size);
    if (code == 0 || stream != OS_STDOUT)
        return;
    r->closed = true;
    r->why = code;
}

/* Out of memory: no reply is better than a wrong one. */
static void give_up(replies *r)
{
    r->closed = true;
    r->why = -ENOMEM;
}

/* In place of a reply that needs what was lost. */
static void send_lost(replies *r, int64_t epoch)
{
    buf out = {0};
    char message[PERSIST_MESSAGE_MAX + 32];
    int size = snprintf(message, sizeof message, "%s: %s",
                        persist_status_code(r->last_error.status),
                        r->last_error.message);
    CHECK(size > 0 && (size_t)size < sizeof message);
    put_error(&out, epoch, slice_of(message, (size_t)size));
    if (out.failed)
        give_up(r);
    send(r, OS_STDOUT, out.data, out.size);
    buf_release(&out);
}

/* Sends what needs nothing beyond an lsn, and tells of the rest. */
static void send_queue(replies *r, persist_lsn durable)
{
    size_t count, from = 0, to = 0;
    const reply_mark *marks = marks_of(r, &count);
    for (size_t i = 0; i < count; i++) {
        CHECK(to <= marks[i].end && marks[i].end <= r->text.size);
        bool lost = marks[i].needs > durable;
        if (lost || (i > 0 && marks[i].stream != marks[i - 1].stream)) {
            if (i > 0)
                send(r, marks[i - 1].stream, r->text.data + from, to - from);
            from = to;
        }
        to = marks[i].end;
        if (lost && marks[i].stream == OS_STDOUT)
            send_lost(r, marks[i].epoch);
        if (lost)
            from = to;
    }
    CHECK(count > 0 && to == r->text.size);
    send(r, marks[count - 1].stream, r->text.data + from, to - from);
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
    size_t count;
    const reply_mark *marks = marks_of(r, &count);
    persist_lsn needs = 0;
    for (size_t i = 0; i < count; i++)
        if (marks[i].needs > needs)
            needs = marks[i].needs;
    return needs;
}

bool replies_flush(replies *r)
{
    bool failed = r->text.failed || r->marks.failed;
    if (r->marks.size == 0 && !failed)
        return !r->closed;
    if (failed)
        give_up(r);
    persist_status status = sync(r, needed(r));
    if (!r->closed)
        send_queue(r,
                   status == PERSIST_OK ? UINT64_MAX : host_durable(r->host));
    buf_clear(&r->text);
    buf_clear(&r->marks);
    return !r->closed;
}

persist_status replies_send_line(replies *r, slice line, persist_lsn needs,
                                 persist_error *error)
{
    CHECK(line.size > 0 && ((const char *)line.data)[line.size - 1] == '\n');
    (void)replies_flush(r);
    persist_status status = sync(r, needs);
    if (status != PERSIST_OK) {
        *error = r->last_error;
        return status;
    }
    send(r, OS_STDOUT, line.data, line.size);
    return PERSIST_OK;
}
