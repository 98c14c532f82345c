/* SPDX-License-Identifier: MIT */
/* persist: looks into a store, and brings old data into a new one. */
#include <getopt.h>
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
    "                         the new store NEW; never writes to OLD\n"
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
    "  --after NAME    kv keys, streams: those greater than NAME\n"
    "\n"
    "A store is opened by one process at a time: stop the program that uses\n"
    "it first. Exit code: 0 done, 1 failed, 2 wrong usage; of verify: 0 all "
    "is\n"
    "well, 1 something is damaged, 2 it could not run.\n";

typedef struct command {
    const char *name;
    int (*run)(cli *);
    const char *options; /* those that it takes, by their letters below */
    bool has_arguments;
} command;

static const command commands[] = {
    {"stat", cli_stat, "sj", false},
    {"streams", cli_streams, "sjla", false},
    {"read", cli_read, "sjfl", true},
    {"log", cli_log, "sjfl", false},
    {"kv", cli_kv, "sjlpa", true},
    {"import", cli_import, "jL", true},
    {"verify", cli_verify, "sjq", true},
};

static const struct option option_table[] = {
    {"store", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"from", required_argument, NULL, 'f'},
    {"limit", required_argument, NULL, 'l'},
    {"prefix", required_argument, NULL, 'p'},
    {"after", required_argument, NULL, 'a'},
    {"legacy", no_argument, NULL, 'L'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

enum { OPTIONS = sizeof option_table / sizeof option_table[0] - 1 };

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

static bool parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (*text == '\0' || strlen(text) > 18)
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    *out = value;
    return *text == '\0';
}

/* Says what is wrong with a command or an option. */
static int wrong(const char *what, const char *why)
{
    char text[256];
    snprintf(text, sizeof text, "COMMAND [arguments] [options]: %s %s", what,
             why);
    return cli_usage(text);
}

/* Takes an option over; false if its value is no number. */
static bool take(cli *c, int option)
{
    switch (option) {
    case 's':
        c->store = optarg;
        break;
    case 'j':
        c->json = true;
        break;
    case 'q':
        c->quiet = true;
        break;
    case 'f':
        return parse_number(optarg, &c->from);
    case 'l':
        return parse_number(optarg, &c->limit);
    case 'p':
        c->prefix = optarg;
        break;
    case 'a':
        c->after = optarg;
        break;
    case 'L':
        c->legacy = true;
        break;
    default:
        CHECK(option == 'h' || option == 'v');
        c->topic = option == 'h' ? "help" : "version";
    }
    return true;
}

/* Returns false after saying what is wrong. given: for each option whether it
 * was there. */
static bool parse_options(int argc, char **argv, cli *c, bool given[OPTIONS])
{
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", option_table, NULL)) != -1;) {
        const char *text = argv[optind - 1];
        if (o == '?') {
            (void)wrong(text, "is no option, or its value is missing");
            return false;
        }
        if (!take(c, o)) {
            (void)wrong(text, "is no number");
            return false;
        }
        for (int i = 0; i < OPTIONS; i++)
            given[i] = given[i] || option_table[i].val == o;
    }
    c->args = argv + optind;
    c->arg_count = argc - optind;
    return true;
}

/* What a command would pass over in silence is refused. */
static int run_command(const command *k, cli *c, const bool given[OPTIONS])
{
    char text[64];
    for (int i = 0; i < OPTIONS; i++) {
        if (!given[i] || strchr(k->options, option_table[i].val) != NULL)
            continue;
        snprintf(text, sizeof text, "takes no --%s", option_table[i].name);
        return wrong(k->name, text);
    }
    if (!k->has_arguments && c->arg_count > 0)
        return wrong(k->name, "takes no argument");
    return k->run(c);
}

static int run(cli *c, const bool given[OPTIONS])
{
    const char *name = c->topic;
    if (name == NULL && c->arg_count > 0)
        name = c->args[0];
    if (name == NULL)
        return cli_usage("COMMAND [arguments] [options]");
    if (strcmp(name, "help") == 0 || strcmp(name, "version") == 0) {
        buf_put_str(&c->out,
                    *name == 'h' ? help : "persist " PERSIST_VERSION "\n");
        return cli_flush(c) ? 0 : 1;
    }
    CHECK(c->arg_count > 0);
    c->args++;
    c->arg_count--;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0)
            return run_command(&commands[i], c, given);
    return wrong(name, "is no command");
}

int main(int argc, char **argv)
{
    const char *place = os_env("SX_PERSIST_DIR");
    cli c = {
        .store = place != NULL && *place != '\0' ? place : "persist-data",
        .limit = PERSIST_NO_LIMIT,
    };
    os_stream_begin();
    bool given[OPTIONS] = {false};
    if (!parse_options(argc, argv, &c, given))
        return 2;
    int code = run(&c, given);
    buf_release(&c.out);
    return code;
}
