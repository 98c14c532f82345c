/* SPDX-License-Identifier: MIT */
/* What the tool writes: text for people, JSON for programs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/utf8.h"
#include "base/visible.h"
#include "cli/cli.h"
#include "os/os.h"
#include "os/os_stream.h"

enum { FLOW_SIZE = 64 * 1024 };

static void end_output(cli *c, const char *why)
{
    char line[128];
    c->closed = true;
    snprintf(line, sizeof line, "persist: the output is not whole: %s", why);
    os_stream_say(line);
}

/* A reader that went away, such as head, wants no message. */
bool cli_flush(cli *c)
{
    if (!c->closed && c->out.failed)
        end_output(c, "out of memory");
    int bad =
        c->closed ? 0 : os_stream_write(OS_STDOUT, c->out.data, c->out.size);
    if (bad == -EPIPE)
        c->closed = c->unread = true;
    else if (bad != 0)
        end_output(c, os_reason(bad));
    buf_clear(&c->out);
    return !c->closed;
}

bool cli_flow(cli *c)
{
    return c->out.size < FLOW_SIZE ? !c->closed : cli_flush(c);
}

int cli_fail(const persist_error *error)
{
    CHECK(error->status > PERSIST_NONE);
    char text[PERSIST_MESSAGE_MAX + 64];
    snprintf(text, sizeof text, "persist: %s: %s",
             persist_status_code(error->status), error->message);
    os_stream_say(text);
    return 1;
}

void cli_put_data(cli *c, slice s)
{
    if (c->terminal)
        visible_put(&c->out, s);
    else
        buf_put_slice(&c->out, s);
}

/* Runs of bytes that need no escape of SX go out as data. */
void cli_put_quoted(cli *c, slice s)
{
    static const char plain[] = {'"', '\\', '\n', '\t', '\r'};
    static const char escaped[] = {'"', '\\', 'n', 't', 'r'};
    const char *at = s.data;
    size_t from = 0;
    buf_put_byte(&c->out, '"');
    for (size_t i = 0; i < s.size; i++) {
        const char *found = memchr(plain, at[i], sizeof plain);
        if (found == NULL)
            continue;
        cli_put_data(c, slice_of(at + from, i - from));
        buf_put_byte(&c->out, '\\');
        buf_put_byte(&c->out, (uint8_t)escaped[found - plain]);
        from = i + 1;
    }
    if (from < s.size)
        cli_put_data(c, slice_of(at + from, s.size - from));
    buf_put_byte(&c->out, '"');
}

static bool is_utf8(slice s)
{
    const char *at = s.data;
    for (size_t i = 0; i < s.size;) {
        size_t n = utf8_length(at + i, s.size - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static void put_json_bytes(cli *c, slice s)
{
    const uint8_t *at = s.data;
    buf_put_str(&c->out, "{\"bytes\":\"");
    for (size_t i = 0; i < s.size; i++)
        buf_printf(&c->out, "%02x", at[i]);
    buf_put_str(&c->out, "\"}");
}

/* The control characters behind ASCII are two bytes of UTF-8, the second of
 * which is their number. */
void cli_put_json(cli *c, slice s)
{
    const char *at = s.data;
    if (!is_utf8(s)) {
        put_json_bytes(c, s);
        return;
    }
    buf_put_byte(&c->out, '"');
    for (size_t i = 0; i < s.size;) {
        size_t n = utf8_length(at + i, s.size - i);
        if (visible_length(at + i, n) == 0)
            buf_printf(&c->out, "\\u%04x", (uint8_t)at[i + n - 1]);
        else if (at[i] == '"' || at[i] == '\\')
            buf_printf(&c->out, "\\%c", at[i]);
        else
            buf_put(&c->out, at + i, n);
        i += n;
    }
    buf_put_byte(&c->out, '"');
}

void cli_progress(const char *format, ...)
{
    static const char clear[] = "\r\033[K";
    char text[256];
    va_list args;
    if (!os_stream_is_terminal(OS_STDERR))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)os_stream_write(OS_STDERR, clear, strlen(clear));
    (void)os_stream_write(OS_STDERR, text, strlen(text));
}
