/* SPDX-License-Identifier: MIT */
/* persist: looks into a store, keeps it tidy, and brings old data into a new
 * one. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/command.h"
#include "os/os_stream.h"

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

static int usage(const char *text)
{
    char line[256];
    snprintf(line, sizeof line, "usage: %s; see persist help", text);
    os_stream_say(line);
    return 2;
}

/* Of a command of two words the first may be known. */
static int no_command(const cli *c)
{
    for (const command *k = command_table; k < command_table + COMMANDS; k++)
        if (command_is(k, c->args, 1))
            return usage("persist kv get KEY, or persist kv keys");
    return wrong(c->args[0], "is no command", NULL);
}

int cli_help(cli *c)
{
    bool found = c->arg_count == 0;
    if (found)
        command_put_overview(&c->out);
    for (int i = 0; i < COMMANDS && c->arg_count > 0; i++) {
        if (!command_is(&command_table[i], c->args, c->arg_count))
            continue;
        if (found)
            buf_put_byte(&c->out, '\n');
        found = true;
        command_put_help(&c->out, &command_table[i]);
    }
    if (!found)
        return no_command(c);
    return cli_flush(c) ? 0 : 1;
}

int cli_version(cli *c)
{
    buf_put_str(&c->out, "persist " PERSIST_VERSION "\n");
    return cli_flush(c) ? 0 : 1;
}

persist_store *cli_open(const char *dir, bool create)
{
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = create,
                               .unmapped = true};
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

static int usage_of(const command *k)
{
    buf text = {0};
    command_put_usage(&text, k);
    buf_put_byte(&text, '\0');
    int code = usage(text.failed ? k->name : (const char *)text.data);
    buf_release(&text);
    return code;
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

/* A number and its unit: 0s, 10m, 24h. */
bool cli_parse_span(const char *text, uint64_t *out_ms)
{
    char digits[24];
    size_t size = strlen(text);
    uint64_t unit_ms = 0, count;
    if (size < 2 || size > sizeof digits)
        return false;
    switch (text[size - 1]) {
    case 's':
        unit_ms = 1000;
        break;
    case 'm':
        unit_ms = UINT64_C(60) * 1000;
        break;
    case 'h':
        unit_ms = UINT64_C(60) * 60 * 1000;
        break;
    default:
        return false;
    }
    memcpy(digits, text, size - 1);
    digits[size - 1] = '\0';
    if (!parse_number(digits, &count) || count > INT64_MAX / unit_ms)
        return false;
    *out_ms = count * unit_ms;
    return true;
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
    case 'c':
        c->copy = true;
        break;
    case 'w':
        c->at = true;
        c->at_time = !parse_number(value, &c->at_value);
        return c->at_time && !cli_parse_when(value, &c->at_value)
                   ? "wants a position, or a time: 2026-12-01T10:20:30Z, or "
                     "\"10m ago\""
                   : NULL;
    case 't':
        return cli_parse_span(value, &c->timeout_ms)
                   ? NULL
                   : "wants a time, such as 0s, 10m or 24h";
    default:
        CHECK(letter == 'h' || letter == 'v');
        c->topic = letter == 'h' ? cli_help : cli_version;
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
    else if (value != NULL && option_table[i].value == NULL)
        why = "takes no value";
    else if (value == NULL && option_table[i].value != NULL && ++at >= argc)
        why = "wants a value";
    if (why != NULL) {
        (void)wrong(text, why, NULL);
        return 0;
    }
    given[i] = true;
    if (value == NULL)
        value = option_table[i].value != NULL ? argv[at] : "";
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
            c->topic = cli_help;
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
        command_words name;
        snprintf(why, sizeof why, "takes no --%s", option_table[i].name);
        return wrong(command_name(k, name), why, NULL);
    }
    bool takes_dir =
        k->run == cli_verify || k->run == cli_compact || k->run == cli_purge;
    bool two_stores = takes_dir && c->arg_count > 0 && given[OPTION_STORE];
    bool other_import = k->run == cli_import && !c->legacy;
    if (c->arg_count < k->least || c->arg_count > k->most || two_stores ||
        other_import)
        return usage_of(k);
    return k->run(c);
}

static int run(cli *c, const bool given[OPTIONS])
{
    if (c->arg_count == 0)
        return usage("persist COMMAND [arguments] [options]");
    for (const command *k = command_table; k < command_table + COMMANDS; k++) {
        int words = k->part == NULL ? 1 : 2;
        if (words > c->arg_count || !command_is(k, c->args, c->arg_count))
            continue;
        c->args += words;
        c->arg_count -= words;
        return run_command(k, c, given);
    }
    return no_command(c);
}

int main(int argc, char **argv)
{
    if (!os_stream_begin("persist"))
        return OS_CANNOT_RUN;
    const char *place = os_env("SX_PERSIST_DIR");
    cli c = {
        .store = place != NULL && *place != '\0' ? place : "persist-data",
        .limit = PERSIST_NO_LIMIT,
        .timeout_ms = UINT64_C(60) * 1000,
        .terminal = os_stream_is_terminal(OS_STDOUT),
    };
    bool given[OPTIONS] = {false};
    if (!parse_options(argc, argv, &c, given))
        return 2;
    int code = c.topic != NULL ? c.topic(&c) : run(&c, given);
    buf_release(&c.out);
    return code;
}
