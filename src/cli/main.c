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

static const struct {
    const char *name;
    int (*run)(cli *);
} commands[] = {
    {"stat", cli_stat},     {"streams", cli_streams}, {"read", cli_read},
    {"log", cli_log},       {"kv", cli_kv},           {"import", cli_import},
    {"verify", cli_verify},
};

persist_store *cli_open(const char *dir, bool create)
{
    persist_options options = {.path = dir, .create = create};
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

/* Returns false after saying what is wrong. */
static bool parse_options(int argc, char **argv, cli *c)
{
    static const struct option table[] = {
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
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
        bool good = true;
        if (o == 's')
            c->store = optarg;
        else if (o == 'j')
            c->json = true;
        else if (o == 'q')
            c->quiet = true;
        else if (o == 'f')
            good = parse_number(optarg, &c->from);
        else if (o == 'l')
            good = parse_number(optarg, &c->limit);
        else if (o == 'p')
            c->prefix = optarg;
        else if (o == 'a')
            c->after = optarg;
        else if (o == 'L')
            c->legacy = true;
        else if (o == 'h' || o == 'v')
            c->topic = o == 'h' ? "help" : "version";
        else
            good = false;
        if (!good) {
            (void)cli_usage("COMMAND [arguments] [options]: an option is "
                            "unknown, or its value is no number");
            return false;
        }
    }
    c->args = argv + optind;
    c->arg_count = argc - optind;
    return true;
}

static int run(cli *c)
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
            return commands[i].run(c);
    return cli_usage("COMMAND [arguments] [options]: no such command");
}

int main(int argc, char **argv)
{
    const char *place = os_env("SX_PERSIST_DIR");
    cli c = {
        .store = place != NULL && *place != '\0' ? place : "persist-data",
        .limit = PERSIST_NO_LIMIT,
    };
    os_stream_begin();
    if (!parse_options(argc, argv, &c))
        return 2;
    int code = run(&c);
    buf_release(&c.out);
    return code;
}
