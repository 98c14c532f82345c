/* SPDX-License-Identifier: MIT */
/* What leaves the server, and waits for its sync (output commit).
 *
 * A reply, and a text that a program prints, rests on commits: it *needs* the
 * newest of them to be durable. It is queued here and leaves with
 * replies_flush, which makes that so first: one sync for all that wait. Where
 * the sync fails, the replies that need what was lost become errors, and the
 * prints are dropped. What finds no memory in the queue leaves at once, after a
 * sync of its own: no reply is lost for that. */
#ifndef SERVER_REPLIES_H
#define SERVER_REPLIES_H

#include "base/buf.h"
#include "host/host.h"

typedef struct replies {
    host *host;
    buf text;          /* of all that is queued, one after the other */
    buf marks;         /* of struct reply_mark, one for each */
    uint64_t since_ms; /* when the oldest of them came */
    bool failed;       /* a sync has failed; last_error says why */
    bool closed;       /* standard output is gone: */
    int why;           /* the negative errno */
    persist_error last_error;
} replies;

/* Releases the queues, not the host. */
void replies_release(replies *);

/* Queue a reply to the command of an epoch. needs: a commit; 0: none. */
void replies_ok(replies *, int64_t epoch, persist_lsn needs);
void replies_value(replies *, int64_t epoch, slice printed, persist_lsn needs);
void replies_error(replies *, int64_t epoch, slice message, persist_lsn needs);

/* Sends a text to standard error, at once where nothing is in its way. */
void replies_print(replies *, slice text, persist_lsn needs);

/* Tells whether anything waits, and whether it should leave now: it is much,
 * or it is old. */
bool replies_waiting(const replies *);
bool replies_due(const replies *);

/* Makes durable what the queued replies need and sends them. Returns false
 * when standard output is closed. */
bool replies_flush(replies *);

/* Sends a line now, behind all that waits. On an error nothing of the line is
 * sent. */
persist_status replies_send_line(replies *, slice line, persist_lsn needs,
                                 persist_error *);

#endif
