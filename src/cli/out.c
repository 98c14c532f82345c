/* SPDX-License-Identifier: MIT */
/* What the tool writes: text for people, JSON for programs. */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "cli/cli.h"
#include "os/os_stream.h"

enum { FLOW_SIZE = 64 * 1024 };

bool cli_flush(cli *c)
{
    if (!c->closed && os_stream_write(OS_STDOUT, c->out.data, c->out.size) != 0)
        c->closed = true;
    buf_clear(&c->out);
    return !c->closed;
}

bool cli_flow(cli *c)
{
    return c->out.size < FLOW_SIZE ? !c->closed : cli_flush(c);
}

static void say(const char *text)
{
    (void)os_stream_write(OS_STDERR, text, strlen(text));
}

int cli_fail(const persist_error *error)
{
    CHECK(error->status > PERSIST_NONE);
    char text[2 * PERSIST_MESSAGE_MAX + PERSIST_PATH_MAX];
    int n = snprintf(text, sizeof text, "persist: %s: %s",
                     persist_status_code(error->status), error->message);
    if ((error->has & PERSIST_HAS_OFFSET) != 0 &&
        strstr(error->message, error->path) == NULL && n > 0 &&
        (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, " (%s, byte %llu)",
                 error->path, (unsigned long long)error->offset);
    say(text);
    say("\n");
    return 1;
}

int cli_usage(const char *text)
{
    say("usage: persist ");
    say(text);
    say("\nsee persist help\n");
    return 2;
}

void cli_put_quoted(cli *c, slice s)
{
    static const char plain[] = "\"\\\n\t\r", escaped[] = "\"\\ntr";
    const char *at = s.data;
    buf_put_byte(&c->out, '"');
    for (size_t i = 0; i < s.size; i++) {
        const char *found =
            at[i] == '\0' ? NULL : memchr(plain, at[i], sizeof plain - 1);
        if (found != NULL)
            buf_put_byte(&c->out, '\\');
        buf_put_byte(&c->out,
                     (uint8_t)(found == NULL ? at[i] : escaped[found - plain]));
    }
    buf_put_byte(&c->out, '"');
}

/* Length of the UTF-8 sequence at the start of s (RFC 3629), 0 if there is
 * none. */
static size_t utf8_size(const uint8_t *s, size_t left)
{
    CHECK(left > 0);
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n <= 1 || n > left)
        return n == 1 ? 1 : 0;
    uint32_t code = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[n] || code > 0x10ffff || surrogate ? 0 : n;
}

static bool is_utf8(slice s)
{
    const uint8_t *at = s.data;
    for (size_t i = 0; i < s.size;) {
        size_t n = utf8_size(at + i, s.size - i);
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

void cli_put_json(cli *c, slice s)
{
    const uint8_t *at = s.data;
    if (!is_utf8(s)) {
        put_json_bytes(c, s);
        return;
    }
    buf_put_byte(&c->out, '"');
    for (size_t i = 0; i < s.size; i++) {
        if (at[i] < 0x20)
            buf_printf(&c->out, "\\u%04x", at[i]);
        else if (at[i] == '"' || at[i] == '\\')
            buf_printf(&c->out, "\\%c", at[i]);
        else
            buf_put_byte(&c->out, at[i]);
    }
    buf_put_byte(&c->out, '"');
}

void cli_progress(const char *format, ...)
{
    char text[256];
    va_list args;
    if (!os_stream_is_terminal(OS_STDERR))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("\r\033[K");
    say(text);
}
