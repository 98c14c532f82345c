/* SPDX-License-Identifier: MIT */
/* sx_server: runs SX programs sent over standard input, and keeps what they
 * store. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/help.h"
#include "base/status.h"
#include "os/os.h"
#include "os/os_stream.h"
#include "server/session.h"

/* The options: one table, from which the help comes, too. */
typedef struct row {
    const char *name;
    int letter;
    const char *value; /* what follows it, or NULL */
    const char *what;
    size_t least, most; /* of a number */
} row;

/* With less there is no room for what the language itself brings. */
enum { HEAP_LEAST = 512 * 1024 };

/* What host_check takes, so that each option has one range. */
enum { SEGMENT_LEAST = 4096, SEGMENT_MOST = 1 << 30, WIDTH_MOST = 64 };

static const row rows[] = {
    {"store", 's', "DIR",
     "where the data is kept; made when the first op needs it. Default: "
     "$SX_PERSIST_DIR if that is not empty, else persist-data in this "
     "directory",
     0, 0},
    {"unknown-op", 'u', "WHAT",
     "an op that this host does not own:\n"
     "error   raises unknown-op (the default)\n"
     "nil     returns nil: the write is lost silently\n"
     "bridge  asks you: prints (io-request N \"op\" args)\n"
     "        and waits for (io-response N value)",
     0, 0},
    {"heap-max", 'm', "SIZE",
     "memory for values, such as 512M or 2G; default 1G", HEAP_LEAST, SIZE_MAX},
    {"depth-max", 'd', "N", "frames, or levels of nested data; default 1000000",
     1, SIZE_MAX},
    {"memtable", 'M', "SIZE",
     "commits kept in memory before they become a table, and as much log to "
     "replay after a crash; default 8M. Less than 64K is for tests: with 1 "
     "each commit is written as a table, and waits for it",
     1, UINT32_MAX},
    {"cache", 'C', "SIZE", "blocks of tables kept in memory; default 8M", 1,
     UINT32_MAX},
    {"segment", 'S', "SIZE", "a log file; default 4M", SEGMENT_LEAST,
     SEGMENT_MOST},
    {"merge-width", 'W', "N",
     "tables of one size that become one; default 8, or 32 where names have "
     "blocks of their own",
     2, WIDTH_MOST},
    {"compress", 'z', NULL, "compress tables (zstd)", 0, 0},
    {"group", 'g', NULL,
     "your group may use the files that are made, as far as the umask lets "
     "it; default: you alone",
     0, 0},
    {"help", 'h', NULL, "this text; -h too", 0, 0},
    {"version", 'v', NULL, "the version", 0, 0},
};

enum { ROWS = sizeof rows / sizeof *rows };

static const char before_options[] =
    "sx_server " PERSIST_VERSION
    ": runs SX programs and keeps what they store\n"
    "\n"
    "usage: sx_server [options]\n"
    "\n"
    "It reads commands from standard input, one s-expression a line, and\n"
    "writes replies to standard output. Try it: type (eval \"(+ 1 2)\").\n"
    "\n"
    "options:\n";

static const char behind_options[] =
    "\n"
    "A SIZE is a number of bytes, which K, M or G may follow.\n"
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
    "the input (control-D) or send SIGTERM; nothing accepted is lost. Exit\n"
    "code: 0 done, 1 it failed, or not all could be made durable, 2 wrong\n"
    "usage.\n";

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

static void put_help(buf *text)
{
    buf_put_str(text, before_options);
    for (const row *r = rows; r < rows + ROWS; r++) {
        char head[32];
        snprintf(head, sizeof head, "  --%s %s", r->name,
                 r->value == NULL ? "" : r->value);
        help_put(text, 21, head, r->what);
    }
    buf_put_str(text, behind_options);
}

static int show(bool help)
{
    buf text = {0};
    if (help)
        put_help(&text);
    else
        buf_put_str(&text, "sx_server " PERSIST_VERSION "\n");
    int code = text.failed ? -ENOMEM
                           : os_stream_write(OS_STDOUT, text.data, text.size);
    buf_release(&text);
    /* a signal to end is no failure */
    return code == 0 || code == -EINTR
               ? 0
               : cannot("write to standard output", code);
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
static bool take_size(host_options *options, const row *r, const char *text)
{
    size_t size;
    if (!parse_size(text, &size) || size < r->least || size > r->most)
        return false;
    if (r->letter == 'm')
        options->machine.heap_max = size;
    else if (r->letter == 'd')
        options->machine.depth_max = size;
    else if (r->letter == 'M')
        options->store.memtable_size = (uint32_t)size;
    else if (r->letter == 'C')
        options->store.cache_size = (uint32_t)size;
    else if (r->letter == 'S')
        options->store.segment_size = (uint32_t)size;
    else
        options->store.merge_width = (uint32_t)size;
    return true;
}

static void fill_table(struct option table[ROWS + 1])
{
    for (int i = 0; i < ROWS; i++)
        table[i] = (struct option){rows[i].name,
                                   rows[i].value == NULL ? no_argument
                                                         : required_argument,
                                   NULL, rows[i].letter};
    table[ROWS] = (struct option){0};
}

typedef char size_words[32];

/* As it can be typed. */
static const char *put_size(size_t size, size_words out)
{
    static const char *const units[] = {"", "K", "M", "G"};
    size_t unit = 0;
    while (unit < 3 && size >= 1024 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    snprintf(out, sizeof(size_words), "%zu%s", size, units[unit]);
    return out;
}

static int bad_size(const row *r, const char *text)
{
    char line[256];
    size_words least, most;
    snprintf(line, sizeof line, "--%s wants a number from %s to %s%s, not ",
             r->name, put_size(r->least, least),
             r->most == SIZE_MAX ? "all that memory has"
                                 : put_size(r->most, most),
             r->most < 1024 ? "" : ", which K, M or G may follow");
    return usage_error(line, text);
}

/* getopt takes any beginning that only one name has, and each new option would
 * change what those mean. */
static bool is_whole(const char *word, const char *name)
{
    size_t size = strlen(name);
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, size) == 0 &&
           (word[2 + size] == '\0' || word[2 + size] == '=');
}

static int part_of_name(const char *name)
{
    return usage_error("write the whole name of the option: --", name);
}

/* What getopt has no place for; optopt: the option, where it is known. */
static int bad_option(const char *word, bool wants_value)
{
    char line[128];
    const row *r = rows;
    while (r < rows + ROWS && r->letter != optopt)
        r++;
    if (r == rows + ROWS || strncmp(word, "--", 2) != 0) {
        snprintf(line, sizeof line, "%.100s is no option", word);
        return usage_error(line, "");
    }
    if (!is_whole(word, r->name))
        return part_of_name(r->name);
    snprintf(line, sizeof line, "--%s %s", r->name,
             wants_value ? "wants a value" : "takes no value");
    return usage_error(line, "");
}

/* Returns -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, host_options *options)
{
    opterr = 0;
    bool given[ROWS] = {false};
    struct option table[ROWS + 1];
    fill_table(table);
    int c, at = -1;
    for (;; at = -1) {
        const char *word = argv[optind];
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no thread yet */
        c = getopt_long(argc, argv, "+:h", table, &at);
        if (c == -1)
            break;
        if (c == '?' || c == ':')
            return bad_option(word, c == ':');
        if (at >= 0 && !is_whole(word, table[at].name))
            return part_of_name(table[at].name);
        if (at >= 0 && given[at])
            return usage_error("given twice: --", table[at].name);
        if (at >= 0)
            given[at] = true;
        if (c == 's') {
            if (*optarg == '\0')
                return usage_error("--store wants a path, not an empty one",
                                   "");
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
            return show(c == 'h');
        } else if (!take_size(options, &rows[at], optarg)) {
            return bad_size(&rows[at], optarg);
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

static void rouse(void *unused)
{
    (void)unused;
    os_stream_rouse();
}

static void print(void *s, slice text)
{
    session_print(s, text);
}

/* A standard output that is closed is the end that a client chose. When closing
 * fails, all was synced before; but whether it is still there is not known: its
 * files may be what is gone. */
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
        code = ended_with("the store could not be closed", &closing);
    return code;
}

static int serve(const host_options *wanted)
{
    session s = {0};
    host_options options = *wanted;
    persist_error error;
    if (host_check(&options, &error) != PERSIST_OK)
        return usage_error("", error.message);
    options.machine.write = print;
    options.machine.write_context = &s;
    options.news = rouse;
    s.host = host_open(&options);
    if (s.host == NULL || !session_begin(&s)) {
        os_stream_say("sx_server: out of memory; free some and try again, or "
                      "raise --heap-max");
        (void)host_close(s.host, &error);
        return 1;
    }
    int code = os_stream_watch(END_MS, end_now, &s);
    code = code == 0 ? serve_session(&s) : no_thread(code);
    session_release(&s);
    return code;
}

int main(int argc, char **argv)
{
    os_stream_hold();
    if (!os_stream_begin("sx_server"))
        return OS_CANNOT_RUN;
    int code = os_stream_catch();
    if (code != 0)
        return cannot("catch signals", code);
    const char *place = os_env("SX_PERSIST_DIR");
    host_options options = {
        .store = {PERSIST_OPTIONS, .path = place != NULL && *place != '\0'
                                               ? place
                                               : "persist-data"},
        .machine = {SX_OPTIONS},
    };
    code = parse_options(argc, argv, &options);
    return code >= 0 ? code : serve(&options);
}
