/* SPDX-License-Identifier: MIT */
/* persist: looks into a store, and brings old data into a new one. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/cli.h"
#include "os/os_stream.h"

static const char help[] =
    "persist " PERSIST_VERSION ": looks into a store of events, keys and "
    "blobs\n"
    "\n"
    "usage: persist COMMAND [arguments] [options]\n"
    "\n"
    "  stat                   how much is in the store\n"
    "  streams                every stream: events stored, last number\n"
    "  read STREAM            the events of one stream, oldest first\n"
    "  log                    the events of all streams, in commit order\n"
    "  kv keys                every key, in byte order\n"
    "  kv get KEY             the value of one key\n"
    "  verify [DIR]           reads every byte of the store and names all "
    "that\n"
    "                         is damaged; changes nothing\n"
    "  import --legacy OLD NEW\n"
    "                         reads the directory OLD of the old host into\n"
    "                         the new store NEW, which is made as\n"
    "                         NEW.importing; never writes to OLD\n"
    "  help, version          this text; the version\n"
    "\n"
    "options:\n"
    "  --store DIR     the store; default: $SX_PERSIST_DIR if that is not\n"
    "                  empty, else persist-data in this directory\n"
    "  --json          one JSON value a line; names and texts that are no\n"
    "                  UTF-8 show as {\"bytes\":\"hex\"}\n"
    "  --quiet         verify: no progress and no summary, findings only\n"
    "  --from N        read: from this number on; log: from this position on\n"
    "  --limit N       at most so many\n"
    "  --prefix P      kv keys: those that begin with P\n"
    "  --group         import: your group may use NEW, as far as the umask\n"
    "                  lets it; default: you alone\n"
    "  --after NAME    kv keys, streams: those greater than NAME\n"
    "\n"
    "A name that begins with a dash stands behind --. On a terminal control\n"
    "characters show as \\xNN; elsewhere bytes come as they are stored.\n"
    "\n"
    "A copy of a store, made while that is closed, is to be synced before it\n"
    "is opened: cp -r OLD NEW && sync -f NEW.\n"
    "\n"
    "A store is opened by one process at a time: stop the program that uses\n"
    "it first. Exit code: 0 done, 1 failed, 2 wrong usage; of verify: 0 all "
    "is\n"
    "well, 1 something is damaged, 2 it could not look at all of it; of "
    "import:\n"
    "1 too if anything was left out, which it names. Who reads the output and\n"
    "goes away, as head does, ends persist: without a word, exit code 1.\n";

static int show_help(cli *c)
{
    buf_put_str(&c->out, help);
    return cli_flush(c) ? 0 : 1;
}

static int show_version(cli *c)
{
    buf_put_str(&c->out, "persist " PERSIST_VERSION "\n");
    return cli_flush(c) ? 0 : 1;
}

typedef struct command {
    const char *name, *part; /* part: a second word, or NULL */
    int (*run)(cli *);
    const char *options; /* those that it takes, by their letters below */
    int least, most;     /* arguments */
    const char *usage;
} command;

static const command commands[] = {
    {"stat", NULL, cli_stat, "sj", 0, 0, "stat [--json]"},
    {"streams", NULL, cli_streams, "sjla", 0, 0,
     "streams [--after NAME] [--limit N] [--json]"},
    {"read", NULL, cli_read, "sjfl", 1, 1,
     "read STREAM [--from SEQ] [--limit N] [--json]"},
    {"log", NULL, cli_log, "sjfl", 0, 0,
     "log [--from POSITION] [--limit N] [--json]"},
    {"kv", "get", cli_get, "sj", 1, 1, "kv get KEY [--json]"},
    {"kv", "keys", cli_keys, "sjlpa", 0, 0,
     "kv keys [--prefix P] [--after KEY] [--limit N] [--json]"},
    {"import", NULL, cli_import, "jLg", 2, 2,
     "import --legacy OLD NEW [--group] [--json]"},
    {"verify", NULL, cli_verify, "sjq", 0, 1,
     "verify [DIR | --store DIR] [--json] [--quiet]"},
    {"help", NULL, show_help, "", 0, 0, "help"},
    {"version", NULL, show_version, "", 0, 0, "version"},
};

typedef struct option {
    const char *name;
    char letter; /* in command.options */
    bool has_value;
} option;

static const option option_table[] = {
    {"store", 's', true},    {"json", 'j', false},   {"quiet", 'q', false},
    {"from", 'f', true},     {"limit", 'l', true},   {"prefix", 'p', true},
    {"after", 'a', true},    {"legacy", 'L', false}, {"help", 'h', false},
    {"version", 'v', false}, {"group", 'g', false},
};

enum { OPTION_STORE, OPTIONS = sizeof option_table / sizeof *option_table };

persist_store *cli_open(const char *dir, bool create)
{
    persist_options options = {.path = dir, .create = create, .unmapped = true};
    persist_store *store;
    persist_error error;
    if (persist_open(&options, &store, &error) == PERSIST_OK)
        return store;
    (void)cli_fail(&error);
    return NULL;
}

int cli_close(persist_store *store, int code)
{
    persist_error error;
    if (persist_close(store, &error) == PERSIST_OK)
        return code;
    return cli_fail(&error);
}

static int usage(const char *text)
{
    char line[256];
    snprintf(line, sizeof line, "usage: persist %s; see persist help", text);
    os_stream_say(line);
    return 2;
}

/* Says what is wrong with a command or an option. value: what stood there
 * instead, or NULL. */
static int wrong(const char *what, const char *why, const char *value)
{
    char line[256];
    snprintf(line, sizeof line, "persist: %.80s %s%s%.80s; see persist help",
             what, why, value == NULL ? "" : ", not ",
             value == NULL ? "" : value);
    os_stream_say(line);
    return 2;
}

/* Decimal digits; so large as a number of the store can be. */
static bool parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return at > text && *at == '\0';
}

/* Takes an option over; returns what is wrong with its value, or NULL. */
static const char *take(cli *c, char letter, const char *value)
{
    static const char number[] = "wants a number from 0 to "
                                 "9223372036854775807";
    switch (letter) {
    case 's':
        c->store = value;
        return *value == '\0' ? "wants a path" : NULL;
    case 'j':
        c->json = true;
        break;
    case 'q':
        c->quiet = true;
        break;
    case 'f':
        return parse_number(value, &c->from) ? NULL : number;
    case 'l':
        return parse_number(value, &c->limit) ? NULL : number;
    case 'p':
        c->prefix = value;
        break;
    case 'a':
        c->after = value;
        break;
    case 'L':
        c->legacy = true;
        break;
    case 'g':
        c->group = true;
        break;
    default:
        CHECK(letter == 'h' || letter == 'v');
        c->topic = letter == 'h' ? show_help : show_version;
    }
    return NULL;
}

/* --NAME, --NAME=VALUE or --NAME VALUE: argv[at]. Returns the place of its
 * last part, or 0 after saying what is wrong. */
static int parse_option(int argc, char **argv, int at, cli *c,
                        bool given[OPTIONS])
{
    char shown[32];
    const char *text = argv[at], *name = text + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    int i = 0;
    while (i < OPTIONS && (strlen(option_table[i].name) != size ||
                           memcmp(option_table[i].name, name, size) != 0))
        i++;
    const char *why = NULL;
    if (i == OPTIONS)
        why = "is no option";
    else if (given[i])
        why = "is given twice";
    else if (value != NULL && !option_table[i].has_value)
        why = "takes no value";
    else if (value == NULL && option_table[i].has_value && ++at >= argc)
        why = "wants a value";
    if (why != NULL) {
        (void)wrong(text, why, NULL);
        return 0;
    }
    given[i] = true;
    if (value == NULL)
        value = option_table[i].has_value ? argv[at] : "";
    why = take(c, option_table[i].letter, value);
    if (why == NULL)
        return at;
    snprintf(shown, sizeof shown, "--%s", option_table[i].name);
    (void)wrong(shown, why, *value == '\0' ? "an empty one" : value);
    return 0;
}

/* Returns false after saying what is wrong. given: for each option whether it
 * was there. Names may begin with a dash: behind "--". */
static bool parse_options(int argc, char **argv, cli *c, bool given[OPTIONS])
{
    bool names_only = false;
    c->args = argv + 1;
    for (int at = 1; at < argc; at++) {
        char *text = argv[at];
        if (names_only || text[0] != '-' || text[1] == '\0')
            c->args[c->arg_count++] = text;
        else if (strcmp(text, "--") == 0)
            names_only = true;
        else if (strcmp(text, "-h") == 0)
            c->topic = show_help;
        else if (text[1] != '-')
            return wrong(text,
                         "is no option; a name that begins with a dash "
                         "stands behind --",
                         NULL) == 0;
        else if ((at = parse_option(argc, argv, at, c, given)) == 0)
            return false;
    }
    return true;
}

/* What a command would pass over in silence is refused. */
static int run_command(const command *k, cli *c, const bool given[OPTIONS])
{
    for (int i = 0; i < OPTIONS; i++) {
        if (!given[i] || strchr(k->options, option_table[i].letter) != NULL)
            continue;
        char why[64];
        snprintf(why, sizeof why, "takes no --%s", option_table[i].name);
        return wrong(k->usage, why, NULL);
    }
    bool two_stores =
        k->run == cli_verify && c->arg_count > 0 && given[OPTION_STORE];
    bool other_import = k->run == cli_import && !c->legacy;
    if (c->arg_count < k->least || c->arg_count > k->most || two_stores ||
        other_import)
        return usage(k->usage);
    return k->run(c);
}

/* A command of two words is told by both. */
static int run(cli *c, const bool given[OPTIONS])
{
    const char *known = NULL;
    if (c->arg_count == 0)
        return usage("COMMAND [arguments] [options]");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const command *k = &commands[i];
        int words = k->part == NULL ? 1 : 2;
        if (strcmp(c->args[0], k->name) != 0)
            continue;
        known = k->usage;
        if (words > c->arg_count ||
            (words == 2 && strcmp(c->args[1], k->part) != 0))
            continue;
        c->args += words;
        c->arg_count -= words;
        return run_command(k, c, given);
    }
    return known != NULL ? usage("kv get KEY, or persist kv keys")
                         : wrong(c->args[0], "is no command", NULL);
}

int main(int argc, char **argv)
{
    if (!os_stream_begin("persist"))
        return OS_CANNOT_RUN;
    const char *place = os_env("SX_PERSIST_DIR");
    cli c = {
        .store = place != NULL && *place != '\0' ? place : "persist-data",
        .limit = PERSIST_NO_LIMIT,
    };
    bool given[OPTIONS] = {false};
    if (!parse_options(argc, argv, &c, given))
        return 2;
    int code = c.topic != NULL ? c.topic(&c) : run(&c, given);
    buf_release(&c.out);
    return code;
}
