/* SPDX-License-Identifier: MIT */
/* The commands of the epoch protocol. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os.h"
#include "os/os_stream.h"
#include "server/session.h"

enum {
    /* Between two looks around: so many times a number of steps, or one op;
     * less where that takes longer. A step may be long: few while a reply
     * waits. */
    STEPS_AT_ONCE = 1024,
    STEPS_WAITED_FOR = 32,
    TIMES_MAX = 64,
    LOOK_MS_MAX = 5,
    BACKLOG_SIZE_MAX = 64 << 20,
    FAULT_SHOWN = 300, /* bytes of what is wrong with a line */
};

/* ---- replies ---------------------------------------------------------- */

static void reply_status(session *s, int64_t epoch, const persist_error *error,
                         persist_lsn needs)
{
    char text[PERSIST_MESSAGE_MAX + 32];
    int n = snprintf(text, sizeof text, "%s: %s",
                     persist_status_code(error->status), error->message);
    CHECK(n > 0 && (size_t)n < sizeof text);
    replies_error(&s->replies, epoch, slice_of(text, (size_t)n), needs);
}

/* What is wrong with a line itself rests on nothing stored. */
static void bad_line(session *s, const persist_error *error)
{
    reply_status(s, session_epoch(s), error, 0);
}

static void bad_command(session *s, persist_status status, const char *message)
{
    persist_error error;
    status_set(&error, status, "%s", message);
    bad_line(s, &error);
}

/* What anything that the machine says now rests on. */
static persist_lsn rests(const session *s)
{
    return host_rests(s->host);
}

void session_print(session *s, slice text)
{
    replies_print(&s->replies, text, rests(s));
}

static void reply_done(session *s)
{
    persist_error error;
    persist_lsn needs = rests(s);
    if (s->loading) {
        replies_ok(&s->replies, s->runs_in, needs);
        return;
    }
    s->text.size = 0;
    if (sx_print(host_machine(s->host), host_value(s->host), 0, &s->text,
                 &error) == PERSIST_OK)
        replies_value(&s->replies, s->runs_in,
                      slice_of(s->text.data, s->text.size), needs);
    else
        reply_status(s, s->runs_in, &error, needs);
}

/* Tells an error from other values that are raised: those stay as they are. */
static bool is_error(sx *m, sx_value raised)
{
    sx_value code;
    return sx_type_of(raised) == SX_DICT &&
           sx_dict_find(m, raised, slice_str("error"), &code);
}

static void reply_failed(session *s)
{
    persist_error error;
    persist_lsn needs = rests(s);
    s->text.size = 0;
    sx *m = host_machine(s->host);
    persist_status status =
        sx_print_failure(m, host_value(s->host), &s->text, &error);
    buf_clear(&s->line);
    buf_put(&s->line, s->text.data, s->text.size);
    if (s->loading && is_error(m, host_value(s->host)))
        buf_printf(&s->line, ", in the form at %.*s:%zu",
                   (int)s->files.path.size, (const char *)s->files.path.data,
                   sx_line(m));
    if (status == PERSIST_OK && s->line.failed)
        status = status_set(&error, PERSIST_LIMIT, "out of memory");
    if (status == PERSIST_OK)
        replies_error(&s->replies, s->runs_in, buf_slice(&s->line), needs);
    else
        reply_status(s, s->runs_in, &error, needs);
}

/* ---- the bridge ------------------------------------------------------- */

static persist_status print_request(session *s, persist_error *error)
{
    sx *m = host_machine(s->host);
    sx_value request = host_value(s->host), op, args = sx_nil();
    char head[64];
    int n =
        snprintf(head, sizeof head, "(io-request %lld ", (long long)s->runs_in);
    CHECK(n > 0 && (size_t)n < sizeof head);
    buf_clear(&s->line);
    buf_put(&s->line, head, (size_t)n);
    s->text.size = 0;
    bool found = sx_dict_find(m, request, slice_str("op"), &op);
    CHECK(found);
    (void)sx_dict_find(m, request, slice_str("args"), &args);
    persist_status status = sx_print(m, op, SX_PRINT_STORABLE, &s->text, error);
    bool list = sx_type_of(args) == SX_LIST;
    size_t count = list ? sx_list_size(args) : 1;
    if (sx_type_of(args) == SX_NIL)
        count = 0;
    for (size_t i = 0; i < count && status == PERSIST_OK; i++) {
        buf_put(&s->line, s->text.data, s->text.size);
        buf_put_byte(&s->line, ' ');
        s->text.size = 0;
        status = sx_print(m, list ? sx_list_at(args, i) : args,
                          SX_PRINT_STORABLE, &s->text, error);
    }
    buf_put(&s->line, s->text.data, s->text.size);
    buf_put_str(&s->line, ")\n");
    if (status == PERSIST_OK && s->line.failed)
        status = status_no_memory(error);
    return status;
}

/* Sends the request out, or raises why it cannot be sent. */
static void ask_outside(session *s)
{
    CHECK(!s->bridging);
    persist_error error;
    persist_status status = print_request(s, &error);
    if (status == PERSIST_OK)
        status = replies_send_line(&s->replies, buf_slice(&s->line), rests(s),
                                   &error);
    if (status != PERSIST_OK) {
        host_refuse(s->host, &error);
        return;
    }
    s->bridging = true;
    s->asked_in = s->runs_in;
    s->kept_epoch = s->epoch;
}

/* ---- running ---------------------------------------------------------- */

static uint64_t now_ms(void)
{
    return os_posix()->clock_us(os_posix()) / 1000;
}

/* Replies that wait leave while a long evaluation runs; false when the end has
 * come. */
static bool look_around(session *s)
{
    if (os_stream_stopped())
        return false;
    bool due = replies_due(&s->replies);
    return due ? replies_flush(&s->replies) : !s->replies.closed;
}

/* An evaluation waits, so all that is earlier leaves; false when the end has
 * come. */
static bool await_news(session *s)
{
    return replies_flush(&s->replies) && os_stream_pause(host_wait_ms(s->host));
}

/* Loads the next of the files of a load. */
static bool load_next(session *s)
{
    slice text;
    if (!source_next(&s->files, &text))
        return false;
    host_load(s->host, text);
    return true;
}

/* Runs what is loaded as far as it goes; at the end it is left where it is. */
static void run(session *s)
{
    uint64_t looked_ms = now_ms();
    CHECK(!s->bridging);
    for (int times = 1;; times++) {
        bool waited_for = replies_waiting(&s->replies);
        switch (
            host_run(s->host, waited_for ? STEPS_WAITED_FOR : STEPS_AT_ONCE)) {
        case HOST_RUNNING:
            if (times < TIMES_MAX && now_ms() - looked_ms < LOOK_MS_MAX)
                break;
            if (!look_around(s))
                return;
            looked_ms = now_ms();
            times = 0;
            break;
        case HOST_WAITING:
            if (!await_news(s))
                return;
            break;
        case HOST_BRIDGE:
            ask_outside(s);
            if (s->bridging)
                return;
            break;
        case HOST_FAILED:
            reply_failed(s);
            return;
        case HOST_DONE:
        case HOST_IDLE:
            if (s->loading && load_next(s))
                break;
            reply_done(s);
            return;
        }
    }
}

static void start(session *s, bool loading)
{
    CHECK(!s->bridging && !s->eval.failed);
    s->loading = loading;
    s->runs_in = s->epoch;
    if (s->replies.failed)
        host_forget(s->host);
    if (loading && !load_next(s))
        host_load(s->host, slice_of(NULL, 0));
    if (!loading)
        host_load(s->host, buf_slice(&s->eval));
    run(s);
}

/* ---- commands --------------------------------------------------------- */

static void do_epoch(session *s, sx_value command)
{
    s->epoch = sx_integer(sx_list_at(command, 1));
}

static void do_ping(session *s, sx_value command)
{
    (void)command;
    replies_ok(&s->replies, s->epoch, 0);
}

static void do_eval(session *s, sx_value command)
{
    buf_clear(&s->eval);
    buf_put_slice(&s->eval, sx_bytes(sx_list_at(command, 1)));
    if (s->eval.failed)
        bad_command(s, PERSIST_LIMIT,
                    "out of memory for the source text; free some and try "
                    "again");
    else
        start(s, false);
}

static void tell_unloaded(const session *s, int why, const char *path,
                          persist_error *error)
{
    CHECK(why < 0);
    if (why == -ENOMEM)
        status_set(error, PERSIST_LIMIT,
                   "out of memory for %s; free some and try again", path);
    else if (why == -EFBIG)
        status_set(error, PERSIST_TOO_LARGE,
                   "cannot load %s: what is loaded at once may have %zu bytes, "
                   "as many as the machine's heap; raise --heap-max, or load "
                   "it in parts",
                   path, sx_heap_max(host_machine(s->host)));
    else if (why == -ENOENT || why == -ENOTDIR)
        status_set(error, PERSIST_IO,
                   "cannot load %s: %s; the path is relative to the directory "
                   "that the server was started in",
                   path, os_reason(why));
    else
        (void)os_failed(error, why, "load", path);
}

static void do_load(session *s, sx_value command)
{
    char path[PERSIST_PATH_MAX], failed[PERSIST_PATH_MAX];
    persist_error error;
    slice given = sx_bytes(sx_list_at(command, 1));
    if (given.size >= sizeof path ||
        (given.size > 0 && memchr(given.data, '\0', given.size) != NULL)) {
        bad_command(s, PERSIST_BAD_REQUEST, "load: not a path");
        return;
    }
    snprintf(path, sizeof path, "%.*s", (int)given.size,
             (const char *)given.data);
    source_clear(&s->files);
    /* What comes from a pipe may come late: nobody waits for it. */
    (void)replies_flush(&s->replies);
    int result = source_read(&s->files, path,
                             sx_heap_max(host_machine(s->host)), failed);
    if (result == 0) {
        start(s, true);
        return;
    }
    tell_unloaded(s, result, failed, &error);
    reply_status(s, s->epoch, &error, 0);
}

/* (io-response N V) must name the epoch that asked. What nobody waits for is
 * dropped. */
static void do_response(session *s, sx_value command)
{
    size_t size = sx_list_size(command);
    if (!s->bridging ||
        (size == 3 && sx_integer(sx_list_at(command, 1)) != s->asked_in))
        return;
    s->bridging = false;
    host_answer(s->host, sx_list_at(command, size - 1));
    run(s);
}

static const struct command {
    const char *name, *usage;
    size_t args_min, args_max;
    sx_type type; /* of the first argument; SX_NIL: any */
    void (*run)(session *, sx_value);
} commands[] = {
    {"epoch", "(epoch N), N being an integer from 0", 1, 1, SX_INTEGER,
     do_epoch},
    {"load", "(load \"path\")", 1, 1, SX_STRING, do_load},
    {"eval", "(eval \"source text\")", 1, 1, SX_STRING, do_eval},
    {"ping", "(ping)", 0, 0, SX_NIL, do_ping},
    {"io-response", "(io-response V) or (io-response N V)", 1, 2, SX_NIL,
     do_response},
};

static bool is_written_right(const struct command *c, sx_value line)
{
    size_t given = sx_list_size(line) - 1;
    if (given < c->args_min || given > c->args_max)
        return false;
    if (c->run == do_response) /* its number is the epoch */
        return given == 1 || sx_type_of(sx_list_at(line, 1)) == SX_INTEGER;
    if (c->run == do_epoch && sx_type_of(sx_list_at(line, 1)) == SX_INTEGER)
        return sx_integer(sx_list_at(line, 1)) >= 0;
    return c->type == SX_NIL || sx_type_of(sx_list_at(line, 1)) == c->type;
}

/* Tells what is wrong with a line that is no command, and gives NULL. */
static const struct command *find_command(session *s, sx_value line)
{
    char message[128];
    const struct command *c = NULL;
    if (sx_type_of(line) == SX_LIST && sx_list_size(line) > 0 &&
        sx_type_of(sx_list_at(line, 0)) == SX_SYMBOL) {
        slice name = sx_bytes(sx_list_at(line, 0));
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
            if (slice_equal(name, slice_str(commands[i].name)))
                c = &commands[i];
    }
    if (c == NULL) {
        bad_command(s, PERSIST_BAD_REQUEST,
                    "not a command; the commands are (epoch N) (load "
                    "\"path\") (eval \"source\") (ping) (io-response V)");
        return NULL;
    }
    if (is_written_right(c, line))
        return c;
    snprintf(message, sizeof message, "the command is written %s", c->usage);
    bad_command(s, PERSIST_BAD_REQUEST, message);
    return NULL;
}

/* ---- while an io-request waits ---------------------------------------- */

static void refuse_request(session *s, persist_status status, const char *why)
{
    persist_error error;
    CHECK(s->bridging);
    s->bridging = false;
    status_set(&error, status, "%s", why);
    host_refuse(s->host, &error);
    run(s);
}

/* Other commands keep their place behind the one that waits; false if there
 * is no room for one. */
static bool keep_for_later(session *s, slice text)
{
    buf *b = &s->backlog;
    const char *why = "too many commands came before the io-response; answer "
                      "the io-request first";
    if (b->size - s->kept_at + text.size <= BACKLOG_SIZE_MAX) {
        if (buf_reserve(b, text.size + 1)) {
            buf_put_slice(b, text);
            buf_put_byte(b, '\n');
            return true;
        }
        b->failed = false;
        why = "out of memory for the commands that came before the "
              "io-response; answer the io-request first";
    }
    refuse_request(s, PERSIST_LIMIT, why);
    return false;
}

void session_unanswered(session *s)
{
    refuse_request(s, PERSIST_IO,
                   "the input ended before the io-response came; keep it open "
                   "until all is answered");
}

/* Of a line that there is no memory for. */
static bool seems_response(slice text)
{
    return slice_starts_with(text, slice_str("(io-response"));
}

int64_t session_epoch(const session *s)
{
    return s->bridging ? s->kept_epoch : s->epoch;
}

/* Most who send what does not read have sent a part: their program has lines of
 * its own. */
static void bad_syntax(session *s, const persist_error *fault)
{
    persist_error error;
    size_t size = status_fault_size(fault->message);
    status_set(&error, SX_SYNTAX,
               "%.*s; a command is one line: inside its strings write \\n "
               "for a newline, \\\" for \" and \\\\ for \\",
               (int)(size < FAULT_SHOWN ? size : FAULT_SHOWN), fault->message);
    bad_line(s, &error);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static slice without_space(slice text)
{
    const char *at = text.size == 0 ? "" : text.data;
    size_t from = 0, to = text.size;
    while (from < to && is_space(at[from]))
        from++;
    while (to > from && is_space(at[to - 1]))
        to--;
    CHECK(from <= to);
    return slice_of(at + from, to - from);
}

/* Whether the text is (epoch N) as clients write it. */
static bool is_epoch(slice text, int64_t *epoch)
{
    const slice head = slice_str("(epoch ");
    const char *at = text.data;
    if (!slice_starts_with(text, head) || text.size < head.size + 2 ||
        at[text.size - 1] != ')')
        return false;
    *epoch = 0;
    for (size_t i = head.size; i + 1 < text.size; i++) {
        int digit = at[i] - '0';
        if (digit < 0 || digit > 9 || *epoch > (INT64_MAX - digit) / 10)
            return false;
        *epoch = *epoch * 10 + digit;
    }
    return true;
}

/* What asks for no evaluation is done without memory, too; else a client would
 * take the reply to its epoch for that to its command. */
static bool done_without_memory(session *s, slice line)
{
    slice text = without_space(line);
    int64_t epoch;
    if (is_epoch(text, &epoch))
        *(s->bridging ? &s->kept_epoch : &s->epoch) = epoch;
    else if (slice_equal(text, slice_str("(ping)")) && !s->bridging)
        replies_ok(&s->replies, s->epoch, 0);
    else
        return false;
    return !s->bridging;
}

/* A line that cannot be read. What there was no memory for may be read when
 * the request is answered. */
static bool unreadable_line(session *s, slice text, persist_status status,
                            const persist_error *error)
{
    bool limit = status == PERSIST_LIMIT;
    if (limit && done_without_memory(s, text))
        return true;
    if (limit && s->bridging && seems_response(text))
        refuse_request(s, PERSIST_LIMIT, error->message);
    else if (limit && s->bridging)
        return keep_for_later(s, text);
    else if (!limit)
        bad_syntax(s, error);
    else if (!seems_response(text))
        bad_line(s, error);
    return true;
}

bool session_line(session *s, slice text)
{
    sx *m = host_machine(s->host);
    persist_error error;
    sx_value line;
    persist_status status = sx_read(m, text, &line, &error);
    if (status == PERSIST_LIMIT) {
        sx_collect(m, NULL, 0);
        status = sx_read(m, text, &line, &error);
    }
    if (status == PERSIST_NONE)
        return true;
    if (status != PERSIST_OK)
        return unreadable_line(s, text, status, &error);
    const struct command *c = find_command(s, line);
    if (c == NULL)
        return true;
    if (s->bridging && c->run != do_response) {
        if (c->run == do_epoch)
            s->kept_epoch = sx_integer(sx_list_at(line, 1));
        return keep_for_later(s, text);
    }
    c->run(s, line);
    return true;
}
