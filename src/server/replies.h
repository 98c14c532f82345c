/* SPDX-License-Identifier: MIT */
/* Replies that wait for their sync (output commit).
 *
 * A reply rests on every commit made before it. It is queued here and leaves
 * with replies_flush, which makes those commits durable first: one sync for
 * all that wait. Where the sync fails, the replies that rest on what was lost
 * become errors. */
#ifndef SERVER_REPLIES_H
#define SERVER_REPLIES_H

#include "base/buf.h"
#include "host/host.h"

typedef struct replies {
    host *host;
    buf text;         /* of the queued replies, one after the other */
    buf marks;        /* of struct reply_mark, one for each */
    persist_lsn lost; /* after a failed sync: commits nobody can wait for */
    bool failed;      /* a sync has failed; last_error says why */
    bool closed;      /* standard output is gone */
    persist_error last_error;
} replies;

/* Releases the queues, not the host. */
void replies_release(replies *);

/* Queue a reply to the command of an epoch. */
void replies_ok(replies *, int64_t epoch);
void replies_value(replies *, int64_t epoch, slice printed);
void replies_error(replies *, int64_t epoch, slice message);
/* A reply that rests on nothing: it survives a failed sync. */
void replies_free_ok(replies *, int64_t epoch);

/* Tells whether any reply waits, and whether so many do that they should
 * leave now. */
bool replies_waiting(const replies *);
bool replies_full(const replies *);

/* Makes durable what the queued replies rest on and sends them. Returns
 * false when standard output is closed. */
bool replies_flush(replies *);

/* Sends a line now, behind all that waits. Before it leaves, everything
 * committed is made durable; on an error nothing of the line is sent. */
persist_status replies_send_line(replies *, slice line, persist_error *);

#endif
