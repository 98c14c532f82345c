/* SPDX-License-Identifier: MIT */
/* The tool for people: its commands, and how they write. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"
#include "persist.h"

/* What the command line said. */
typedef struct cli {
    const char *store; /* the directory */
    bool json, quiet;
    uint64_t from;              /* --from: a seq or position */
    uint64_t limit;             /* --limit */
    const char *after, *prefix; /* --after, --prefix; NULL: not given */
    bool legacy, group;         /* --legacy, --group */
    uint64_t timeout_ms;        /* --timeout */
    bool copy;                  /* --copy */
    bool at, at_time;           /* --at was given, and is a time: */
    uint64_t at_value;          /* microseconds since 1970, or a position */
    int (*topic)(struct cli *); /* --help, --version; NULL: neither */
    char **args;                /* what is left, without options */
    int arg_count;
    buf out;       /* standard output that is not written yet */
    bool closed;   /* it takes no more, and that has been said; */
    bool unread;   /* or is not: who read it went away, as head does */
    bool terminal; /* it goes to one */
} cli;

/* Each returns an exit code: 0 done, 1 failed, 2 wrong usage; cli_verify: 1
 * damage was found, 2 it could not run. */
int cli_stat(cli *);
int cli_streams(cli *);
int cli_read(cli *);
int cli_log(cli *);
int cli_get(cli *);
int cli_keys(cli *);
int cli_import(cli *);
int cli_verify(cli *);
int cli_compact(cli *);
int cli_purge(cli *);
int cli_backup(cli *);
int cli_restore(cli *);
int cli_help(cli *);
int cli_version(cli *);

/* Opens the store that the command line names; on failure says why and
 * returns NULL. */
persist_store *cli_open(const char *dir, bool create);

/* Closes it; returns code, or 1 with a message if closing fails. */
int cli_close(persist_store *, int code);

/* Counts the keys of a store by reading them; too few after a signal to end. */
persist_status cli_count_keys(persist_store *, uint64_t *count,
                              persist_error *);

/* Appends a time in microseconds since 1970 as RFC 3339 has it; "-" for 0. */
void cli_put_time(buf *, uint64_t us);

/* Take a span of time, such as 10m, in milliseconds; and a time, such as
 * 2026-12-01T10:20:30Z or "10m ago", in microseconds since 1970. False: it is
 * none. */
bool cli_parse_span(const char *, uint64_t *ms);
bool cli_parse_when(const char *, uint64_t *us);

/* Says on standard error what failed; returns 1. */
int cli_fail(const persist_error *);

/* Append to cli->out. Data: bytes as they are; quoted: as an SX string, or as
 * a JSON string; bytes that are no UTF-8 become {"bytes":"hex"} in JSON. Of
 * all, a terminal gets only what it shows. */
void cli_put_data(cli *, slice);
void cli_put_quoted(cli *, slice);
void cli_put_json(cli *, slice);

/* Writes out when there is much of it, or all of it. Both return false after
 * saying why when that failed, or a signal to end has come. */
bool cli_flow(cli *);
bool cli_flush(cli *);

/* Writes a line of progress on standard error if that is a terminal. */
void cli_progress(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#endif
