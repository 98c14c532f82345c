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

/* ---- a reply ---------------------------------------------------------- */

typedef struct reply {
    int stream;
    int64_t epoch;
    persist_lsn needs;
    char head[48];
    slice body;
    bool escaped; /* as in a string of SX, the body is */
    const char *tail;
} reply;

static reply make_reply(int64_t epoch, persist_lsn needs, slice body)
{
    return (reply){OS_STDOUT, epoch, needs, "", body, false, ""};
}

static reply make_error(int64_t epoch, persist_lsn needs, slice message)
{
    reply made = make_reply(epoch, needs, message);
    snprintf(made.head, sizeof made.head, "(error %" PRId64 " \"", epoch);
    made.escaped = true;
    made.tail = "\")\n";
    return made;
}

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

/* The parts of a reply go to its stream or, with `queued`, into the queue. */
static void put(replies *r, const reply *of, bool queued, slice part)
{
    if (queued)
        buf_put_slice(&r->text, part);
    else
        send(r, of->stream, part.data, part.size);
}

static void put_body(replies *r, const reply *of, bool queued)
{
    const char *at = of->body.data;
    size_t from = 0;
    for (size_t i = 0; of->escaped && i < of->body.size; i++) {
        if (at[i] != '\n' && at[i] != '\\' && at[i] != '"')
            continue;
        const char escape[] = {'\\', at[i] == '\n' ? 'n' : at[i]};
        put(r, of, queued, slice_of(at + from, i - from));
        put(r, of, queued, slice_of(escape, sizeof escape));
        from = i + 1;
    }
    if (from < of->body.size)
        put(r, of, queued, slice_of(at + from, of->body.size - from));
}

static void put_reply(replies *r, const reply *of, bool queued)
{
    put(r, of, queued, slice_str(of->head));
    put_body(r, of, queued);
    put(r, of, queued, slice_str(of->tail));
}

static persist_status sync(replies *r, persist_lsn lsn)
{
    persist_status status = host_sync(r->host, lsn, &r->last_error);
    if (status != PERSIST_OK)
        r->failed = true;
    return status;
}

/* In place of a reply that needs what was lost. */
static void send_lost(replies *r, int64_t epoch)
{
    char message[PERSIST_MESSAGE_MAX + 32];
    int size = snprintf(message, sizeof message, "%s: %s",
                        persist_status_code(r->last_error.status),
                        r->last_error.message);
    CHECK(size > 0 && (size_t)size < sizeof message);
    reply made = make_error(epoch, 0, slice_of(message, (size_t)size));
    put_reply(r, &made, false);
}

static void send_when_durable(replies *r, const reply *now)
{
    if (sync(r, now->needs) == PERSIST_OK)
        put_reply(r, now, false);
    else if (now->stream == OS_STDOUT)
        send_lost(r, now->epoch);
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

/* Prints come in many small pieces: those that follow each other are one. */
static void add_mark(replies *r, const reply *of)
{
    size_t count;
    reply_mark *marks = marks_of(r, &count);
    reply_mark *last = count == 0 ? NULL : &marks[count - 1];
    reply_mark mark = {of->needs, of->epoch, r->text.size, of->stream};
    if (last == NULL)
        r->since_ms = now_ms();
    if (last == NULL || of->stream != OS_STDERR || last->stream != OS_STDERR) {
        buf_put(&r->marks, &mark, sizeof mark);
        return;
    }
    last->end = mark.end;
    if (mark.needs > last->needs)
        last->needs = mark.needs;
}

/* What finds no memory in the queue leaves now, behind what is there. */
static void add(replies *r, const reply *added)
{
    size_t before = r->text.size;
    put_reply(r, added, true);
    if (!r->text.failed)
        add_mark(r, added);
    if (!r->text.failed && !r->marks.failed)
        return;
    r->text.size = before;
    r->text.failed = r->marks.failed = false;
    (void)replies_flush(r);
    send_when_durable(r, added);
}

void replies_ok(replies *r, int64_t epoch, persist_lsn needs)
{
    reply made = make_reply(epoch, needs, slice_of(NULL, 0));
    snprintf(made.head, sizeof made.head, "(ok %" PRId64 ")\n", epoch);
    add(r, &made);
}

void replies_value(replies *r, int64_t epoch, slice printed, persist_lsn needs)
{
    reply made = make_reply(epoch, needs, printed);
    snprintf(made.head, sizeof made.head, "(ok-len %" PRId64 " %zu)\n", epoch,
             printed.size);
    made.tail = "\n";
    add(r, &made);
}

void replies_error(replies *r, int64_t epoch, slice message, persist_lsn needs)
{
    reply made = make_error(epoch, needs, message);
    add(r, &made);
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

void replies_print(replies *r, slice text, persist_lsn needs)
{
    if (r->marks.size == 0 && needs <= host_durable(r->host)) {
        (void)os_stream_write(OS_STDERR, text.data, text.size);
        return;
    }
    reply made = make_reply(0, needs, text);
    made.stream = OS_STDERR;
    add(r, &made);
    if (replies_due(r))
        (void)replies_flush(r);
}

/* ---- sending ---------------------------------------------------------- */

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
    CHECK(!r->text.failed && !r->marks.failed);
    if (r->marks.size == 0)
        return !r->closed;
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
