/* SPDX-License-Identifier: MIT */
/* The epoch protocol: commands in, replies out. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "base/buf.h"
#include "host/host.h"
#include "server/replies.h"
#include "server/source.h"

typedef struct session {
    host *host;
    replies replies;
    int64_t epoch;
    buf input; /* bytes read, from input_at on not yet handled */
    size_t input_at;
    size_t searched;    /* no newline before this offset */
    buf line;           /* an io-request in the making */
    bool begun;         /* the first line has come */
    int unread;         /* why standard input could not be read; 0: it could */
    bool skipping;      /* inside a line that there is no room for */
    bool bridging;      /* an io-request waits for its io-response */
    int64_t asked_in;   /* epoch of the command that asked */
    int64_t kept_epoch; /* the newest of the backlog */
    bool loading;       /* the command at work is a load, not an eval */
    int64_t runs_in;    /* its epoch */
    buf backlog;        /* lines that came while an io-request waited, from */
    size_t kept_at;     /* this offset on */
    buf eval;           /* the text of an eval */
    source files;       /* those of a load */
    sx_out text;        /* printed values */
} session;

/* Gets what it takes to read any line; false when memory is out. */
bool session_begin(session *);

/* Greets, then serves standard input until it ends, or cannot be read, or the
 * end comes (see os_stream.h). What was accepted is durable on PERSIST_OK. */
persist_status session_serve(session *, persist_error *);

/* Sends what a program prints to standard error, when all that it may rest on
 * is durable. */
void session_print(session *, slice text);

/* The epoch that the newest line read belongs to. */
int64_t session_epoch(const session *);

/* Handles one line without its newline; false if it must come again, behind
 * those of the backlog. */
bool session_line(session *, slice line);

/* Nobody is left to answer the io-request that waits: raises that. */
void session_unanswered(session *);

/* Releases the buffers, not the host. */
void session_release(session *);

#endif
