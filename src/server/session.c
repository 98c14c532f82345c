/* SPDX-License-Identifier: MIT */
/* From bytes to lines: reading ahead, sharing syncs, ending well. */
#include "server/session.h"

#include <errno.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os_stream.h"
#include "server/source.h"

enum { READ_SIZE = 64 * 1024 };

static void consume(session *s, size_t to)
{
    CHECK(to >= s->input_at);
    CHECK(to <= s->input.size);
    s->input_at = to;
    if (to < s->input.size && to < s->input.size / 2)
        return;
    size_t left = s->input.size - to;
    if (left > 0)
        memmove(s->input.data, s->input.data + to, left);
    s->input.size = left;
    s->searched -= to < s->searched ? to : s->searched;
    s->input_at = 0;
}

/* Finds the end of the next line; false if it is not there yet. */
static bool find_line(session *s, size_t *end)
{
    CHECK(s->input_at <= s->input.size && s->searched <= s->input.size);
    size_t from = s->searched > s->input_at ? s->searched : s->input_at;
    const uint8_t *at = s->input.data;
    const uint8_t *newline =
        from == s->input.size ? NULL
                              : memchr(at + from, '\n', s->input.size - from);
    s->searched = s->input.size;
    if (newline == NULL)
        return false;
    *end = (size_t)(newline - at);
    CHECK(s->input_at <= *end && *end < s->input.size);
    s->searched = *end + 1;
    return true;
}

static void refuse_long_line(session *s)
{
    static const char text[] =
        "too-large: the line is longer than the machine's heap; raise "
        "--heap-max, or send less at once";
    if (!s->skipping)
        replies_error(&s->replies, s->epoch, slice_str(text), 0);
    s->skipping = true;
    consume(s, s->input.size);
}

/* Lines that waited for an io-response come first again. */
static void take_backlog(session *s)
{
    if (s->bridging || s->backlog.size == 0)
        return;
    CHECK(s->input_at <= s->input.size);
    buf_put(&s->backlog, s->input.data + s->input_at,
            s->input.size - s->input_at);
    buf old = s->input;
    s->input = s->backlog;
    s->backlog = old;
    buf_clear(&s->backlog);
    s->input_at = s->searched = 0;
}

static bool going_on(const session *s)
{
    return !s->replies.closed && !os_stream_stopped();
}

/* The line is copied: handling it may change the input buffer's contents. */
static void handle_line(session *s, size_t end)
{
    buf_clear(&s->line);
    buf_put(&s->line, s->input.data + s->input_at, end - s->input_at);
    consume(s, end + 1);
    slice line = buf_slice(&s->line);
    if (!s->begun)
        line = source_without_mark(line);
    s->begun = true;
    if (!s->skipping)
        session_line(s, line);
    s->skipping = false;
    take_backlog(s);
    if (replies_due(&s->replies))
        (void)replies_flush(&s->replies);
}

static void handle_lines(session *s)
{
    size_t end;
    while (going_on(s) && find_line(s, &end))
        handle_line(s, end);
    if (s->input.size - s->input_at > sx_heap_max(host_machine(s->host)))
        refuse_long_line(s);
    else if (s->skipping)
        consume(s, s->input.size);
}

/* Reads more; nobody who waits for a reply waits for input that is not
 * there. */
static bool read_more(session *s)
{
    if (os_stream_wait(OS_STDIN, 0) != 1 && !replies_flush(&s->replies))
        return false;
    if (!buf_reserve(&s->input, READ_SIZE)) {
        s->unread = -ENOMEM;
        return false;
    }
    ssize_t n =
        os_stream_read(OS_STDIN, s->input.data + s->input.size, READ_SIZE);
    if (n < 0 && !os_stream_stopped())
        s->unread = (int)n;
    if (n <= 0)
        return false;
    CHECK(s->input.capacity - s->input.size >= (size_t)n);
    s->input.size += (size_t)n;
    return true;
}

persist_status session_serve(session *s, persist_error *error)
{
    CHECK(s->host != NULL && s->input.size == 0 && !s->bridging);
    static const char greeting[] = "(ready)\n";
    s->replies.host = s->host;
    s->replies.why = os_stream_write(OS_STDOUT, greeting, sizeof greeting - 1);
    s->replies.closed = s->replies.why != 0;
    while (going_on(s) && read_more(s))
        handle_lines(s);
    (void)replies_flush(&s->replies);
    return host_settle(s->host, error);
}

void session_release(session *s)
{
    replies_release(&s->replies);
    buf_release(&s->input);
    buf_release(&s->line);
    buf_release(&s->backlog);
    buf_release(&s->source);
    sx_out_release(&s->text);
}
