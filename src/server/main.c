/* SPDX-License-Identifier: MIT */
/* sx_server: runs SX programs sent over standard input, and keeps what they
 * store. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os.h"
#include "os/os_stream.h"
#include "server/session.h"

static const char help[] =
    "sx_server " PERSIST_VERSION
    ": runs SX programs and keeps what they store\n"
    "\n"
    "usage: sx_server [options]\n"
    "\n"
    "It reads commands from standard input, one s-expression a line, and\n"
    "writes replies to standard output. Try it: type (eval \"(+ 1 2)\").\n"
    "\n"
    "options:\n"
    "  --store DIR        where the data is kept; made when the first op\n"
    "                     needs it. Default: $SX_PERSIST_DIR if that is not\n"
    "                     empty, else persist-data in this directory\n"
    "  --unknown-op=WHAT  an op that this host does not own:\n"
    "                     error   raises unknown-op (the default)\n"
    "                     nil     returns nil: the write is lost silently\n"
    "                     bridge  asks you: prints (io-request N \"op\" args)\n"
    "                             and waits for (io-response N value)\n"
    "  --heap-max SIZE    memory for values, such as 512M or 2G; default 1G\n"
    "  --depth-max N      frames, or levels of nested data; default 1000000\n"
    "  --memtable SIZE    commits kept in memory before they become a table,\n"
    "                     and as much log to replay after a crash; default 8M\n"
    "  --cache SIZE       blocks of tables kept in memory; default 8M\n"
    "  --segment SIZE     a log file; default 4M\n"
    "  --merge-width N    tables of one size that become one; default 8, or\n"
    "                     32 where names have blocks of their own\n"
    "  --compress         compress tables (zstd)\n"
    "  --group            your group may use the files that are made, as far\n"
    "                     as the umask lets it; default: you alone\n"
    "  --help, --version  this text; the version\n"
    "\n"
    "commands:\n"
    "  (eval \"text\")      runs a text: (ok-len N L) and L bytes, the value\n"
    "                     of its last form, printed\n"
    "  (load \"path\")      runs a file, or the files that load-order in a\n"
    "                     directory names: (ok N)\n"
    "  (epoch N)          later replies carry N\n"
    "  (ping)             (ok N)\n"
    "  what fails         (error N \"code: message\")\n"
    "\n"
    "A reply leaves when everything it rests on is on disk. To end: close\n"
    "the input (control-D) or send SIGTERM; nothing accepted is lost.\n";

/* What is left of the 100 ms within which the end ends the server is for the
 * sync of what was accepted. */
enum { END_MS = 40 };

static int usage_error(const char *what, const char *value)
{
    char text[256];
    snprintf(text, sizeof text, "sx_server: %s%.150s; see sx_server --help",
             what, value);
    os_stream_say(text);
    return 2;
}

static int cannot(const char *what, int code)
{
    char text[256];
    snprintf(text, sizeof text, "sx_server: cannot %s: %s", what,
             os_reason(code));
    os_stream_say(text);
    return 1;
}

static int no_thread(int code)
{
    persist_error error;
    os_no_thread(&error, code, "sx_server");
    os_stream_say(error.message);
    return 1;
}

static int show(const char *text)
{
    int code = os_stream_write(OS_STDOUT, text, strlen(text));
    return code == 0 ? 0 : cannot("write to standard output", code);
}

CHECK_STATIC(HOST_UNKNOWN_ERROR == 0 && HOST_UNKNOWN_NIL == 1 &&
                 HOST_UNKNOWN_BRIDGE == 2,
             "the order of the names below");

static bool parse_unknown(const char *text, host_unknown *out)
{
    static const char *const names[] = {"error", "nil", "bridge"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (host_unknown)i;
            return true;
        }
    return false;
}

/* A positive number with an optional K, M or G. */
static bool parse_size(const char *text, size_t *out)
{
    static const char units[] = "KMG";
    size_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > SIZE_MAX / 20)
            return false;
        value = value * 10 + (size_t)(*at - '0');
    }
    const char *unit = *at == '\0' ? NULL : strchr(units, *at);
    if (at == text || value == 0 || (*at != '\0' && unit == NULL) ||
        (unit != NULL && at[1] != '\0'))
        return false;
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned)(unit - units + 1);
    if (value > SIZE_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

/* The options that are sizes, or counts; false if the text is none that they
 * can have. */
static bool take_size(host_options *options, int c, const char *text)
{
    size_t size;
    uint32_t *small = NULL;
    if (!parse_size(text, &size))
        return false;
    switch (c) {
    case 'm':
        options->machine.heap_max = size;
        return true;
    case 'd':
        options->machine.depth_max = size;
        return true;
    case 'M':
        small = &options->store.memtable_size;
        break;
    case 'C':
        small = &options->store.cache_size;
        break;
    case 'S':
        small = &options->store.segment_size;
        break;
    case 'W':
        small = &options->store.merge_width;
        break;
    default:
        return false;
    }
    *small = (uint32_t)size;
    return size <= UINT32_MAX;
}

static const struct option table[] = {
    {"store", required_argument, NULL, 's'},
    {"unknown-op", required_argument, NULL, 'u'},
    {"heap-max", required_argument, NULL, 'm'},
    {"depth-max", required_argument, NULL, 'd'},
    {"memtable", required_argument, NULL, 'M'},
    {"cache", required_argument, NULL, 'C'},
    {"segment", required_argument, NULL, 'S'},
    {"merge-width", required_argument, NULL, 'W'},
    {"compress", no_argument, NULL, 'z'},
    {"group", no_argument, NULL, 'g'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static int bad_size(const char *option, bool large, const char *text)
{
    char line[256];
    snprintf(line, sizeof line,
             "--%s wants a number from 1 to %s, which K, M or G may follow, "
             "not ",
             option, large ? "all that memory has" : "4294967295");
    return usage_error(line, text);
}

/* Returns -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, host_options *options)
{
    opterr = 0;
    bool given[sizeof table / sizeof *table] = {false};
    int at = -1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no thread yet */
    for (int c; (c = getopt_long(argc, argv, "h", table, &at)) != -1; at = -1) {
        if (at >= 0 && c != '?' && given[at])
            return usage_error("given twice: --", table[at].name);
        if (at >= 0)
            given[at] = true;
        if (c == 's') {
            if (*optarg == '\0')
                return usage_error("--store wants a directory", "");
            options->store.path = optarg;
        } else if (c == 'u') {
            if (!parse_unknown(optarg, &options->unknown))
                return usage_error("--unknown-op wants error, nil or bridge, "
                                   "not ",
                                   optarg);
        } else if (c == 'z') {
            options->store.compress = true;
        } else if (c == 'g') {
            options->store.group = true;
        } else if (c == 'h' || c == 'v') {
            return show(c == 'h' ? help : "sx_server " PERSIST_VERSION "\n");
        } else if (c == '?') {
            return usage_error("unknown or incomplete option ",
                               argv[optind - 1]);
        } else if (!take_size(options, c, optarg)) {
            return bad_size(table[at].name, c == 'm' || c == 'd', optarg);
        }
    }
    if (optind < argc)
        return usage_error("unexpected argument ", argv[optind]);
    return -1;
}

static int ended_with(const char *what, const persist_error *error)
{
    char text[PERSIST_MESSAGE_MAX + 96];
    snprintf(text, sizeof text, "sx_server: %s: %s: %s", what,
             persist_status_code(error->status), error->message);
    os_stream_say(text);
    return 1;
}

static int not_durable(const persist_error *error)
{
    return ended_with("not all could be made durable", error);
}

/* The end has come, and the session is too long about it. */
static int end_now(void *s)
{
    persist_error error;
    persist_status status = host_settle(((session *)s)->host, &error);
    return status == PERSIST_OK ? 0 : not_durable(&error);
}

static void print(void *s, slice text)
{
    session_print(s, text);
}

/* A standard output that is closed is the end that a client chose. */
static int serve_session(session *s)
{
    persist_error error, closing;
    int written = 0, code = 0;
    persist_status status = session_serve(s, &error);
    if (s->replies.closed && !os_stream_is_closed(s->replies.why))
        written = s->replies.why;
    if (status != PERSIST_OK)
        code = not_durable(&error);
    else if (written != 0)
        code = cannot("write to standard output", written);
    else if (s->unread != 0)
        code = cannot("read standard input", s->unread);
    os_stream_leave(code);
    if (host_close(s->host, &closing) != PERSIST_OK && code == 0)
        code =
            ended_with("all is durable, but the store is not closed", &closing);
    return code;
}

static int serve(const host_options *wanted)
{
    session s = {0};
    host_options options = *wanted;
    persist_error error;
    if (host_check(&options, &error) != PERSIST_OK)
        return usage_error("", error.message);
    int code = os_stream_catch();
    if (code != 0)
        return cannot("catch signals", code);
    options.machine.write = print;
    options.machine.write_context = &s;
    s.host = host_open(&options);
    if (s.host == NULL || !session_begin(&s)) {
        os_stream_say("sx_server: out of memory; free some and try again, or "
                      "raise --heap-max");
        (void)host_close(s.host, &error);
        return 1;
    }
    code = os_stream_watch(END_MS, end_now, &s);
    code = code == 0 ? serve_session(&s) : no_thread(code);
    session_release(&s);
    return code;
}

int main(int argc, char **argv)
{
    if (!os_stream_begin("sx_server"))
        return OS_CANNOT_RUN;
    const char *place = os_env("SX_PERSIST_DIR");
    host_options options = {
        .store.path = place != NULL && *place != '\0' ? place : "persist-data",
    };
    int code = parse_options(argc, argv, &options);
    return code >= 0 ? code : serve(&options);
}
