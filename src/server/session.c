/* SPDX-License-Identifier: MIT */
/* From bytes to lines: reading ahead, sharing syncs, ending well. */
#include "server/session.h"

#include "base/check.h"
#include "base/status.h"
#include "os/os_stream.h"

enum { READ_SIZE = 64 * 1024 };

/* Moves what is not handled yet to the beginning. */
static void close_up(session *s)
{
    size_t at = s->input_at, left = s->input.size - at;
    if (at > 0 && left > 0)
        memmove(s->input.data, s->input.data + at, left);
    s->input.size = left;
    s->searched -= at < s->searched ? at : s->searched;
    s->input_at = 0;
}

static void consume(session *s, size_t to)
{
    CHECK(to >= s->input_at);
    CHECK(to <= s->input.size);
    s->input_at = to;
    if (to >= s->input.size / 2)
        close_up(s);
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

/* There is no room for a line: what is there of it goes, the rest too. */
static void refuse_line(session *s, const char *why)
{
    if (!s->skipping)
        replies_error(&s->replies, session_epoch(s), slice_str(why), 0);
    s->skipping = true;
    consume(s, s->input.size);
}

static bool going_on(const session *s)
{
    return !s->replies.closed && !os_stream_stopped();
}

static void handle_line(session *s, size_t end)
{
    slice line = slice_of(s->input.data + s->input_at, end - s->input_at);
    if (!s->begun)
        line = source_without_mark(line);
    s->begun = true;
    if (!s->skipping && !session_line(s, line)) {
        s->searched = s->input_at;
        return;
    }
    s->skipping = false;
    consume(s, end + 1);
}

static void handle_kept(session *s)
{
    const uint8_t *at = s->backlog.data + s->kept_at;
    const uint8_t *end = memchr(at, '\n', s->backlog.size - s->kept_at);
    CHECK(end != NULL);
    bool handled = session_line(s, slice_of(at, (size_t)(end - at)));
    CHECK(handled);
    s->kept_at = (size_t)(end - s->backlog.data) + 1;
    if (s->kept_at < s->backlog.size)
        return;
    buf_clear(&s->backlog);
    s->kept_at = 0;
}

/* Lines that waited for an io-response come first. */
static void handle_lines(session *s)
{
    size_t end;
    while (going_on(s)) {
        if (!s->bridging && s->backlog.size > 0)
            handle_kept(s);
        else if (find_line(s, &end))
            handle_line(s, end);
        else
            break;
        if (replies_due(&s->replies))
            (void)replies_flush(&s->replies);
    }
    if (s->input.size - s->input_at > sx_heap_max(host_machine(s->host)))
        refuse_line(s, "too-large: the line is longer than the machine's "
                       "heap; raise --heap-max, or send less at once");
    else if (s->skipping)
        consume(s, s->input.size);
}

/* Returns how many bytes can be read behind those that are there. */
static size_t make_room(session *s)
{
    static const char no_memory[] =
        "limit: out of memory for the line; free some, or send less at once";
    if (buf_reserve(&s->input, READ_SIZE))
        return READ_SIZE;
    s->input.failed = false;
    close_up(s);
    if (s->input.size == s->input.capacity)
        refuse_line(s, no_memory);
    size_t room = s->input.capacity - s->input.size;
    return room < READ_SIZE ? room : READ_SIZE;
}

/* Reads more; nobody who waits for a reply waits for input that is not
 * there. */
static bool read_more(session *s)
{
    if (os_stream_wait(OS_STDIN, 0) != 1 && !replies_flush(&s->replies))
        return false;
    size_t room = make_room(s);
    ssize_t n = os_stream_read(OS_STDIN, s->input.data + s->input.size, room);
    if (n < 0 && !os_stream_stopped())
        s->unread = (int)n;
    if (n <= 0)
        return false;
    CHECK(s->input.capacity - s->input.size >= (size_t)n);
    s->input.size += (size_t)n;
    return true;
}

bool session_begin(session *s)
{
    CHECK(s->host != NULL && s->input.capacity == 0);
    return buf_reserve(&s->input, READ_SIZE);
}

persist_status session_serve(session *s, persist_error *error)
{
    CHECK(s->input.capacity > 0 && s->input.size == 0 && !s->bridging);
    static const char greeting[] = "(ready)\n";
    s->replies.host = s->host;
    s->replies.why = os_stream_write(OS_STDOUT, greeting, sizeof greeting - 1);
    s->replies.closed = s->replies.why != 0;
    while (going_on(s) && read_more(s))
        handle_lines(s);
    while (going_on(s) && s->bridging) {
        session_unanswered(s);
        handle_lines(s);
    }
    (void)replies_flush(&s->replies);
    return host_settle(s->host, error);
}

void session_release(session *s)
{
    replies_release(&s->replies);
    buf_release(&s->input);
    buf_release(&s->line);
    buf_release(&s->backlog);
    buf_release(&s->eval);
    source_release(&s->files);
    sx_out_release(&s->text);
}
