/* SPDX-License-Identifier: MIT */
/* The host: one SX machine, one store, and the drive loop between them.
 *
 * host_load a text, host_run it until it is done, failed, or (with
 * HOST_UNKNOWN_BRIDGE) asks for an op that somebody outside must answer. Every
 * op that the store owns is answered inside host_run. Answers may rest on
 * commits that are not durable yet: before anything leaves the process,
 * host_sync what host_rests says. */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/slice.h"
#include "persist.h"
#include "sx.h"

typedef struct host host;

/* What becomes of an op that nobody owns. */
typedef enum host_unknown {
    HOST_UNKNOWN_ERROR,  /* it is raised as unknown-op */
    HOST_UNKNOWN_NIL,    /* it returns nil: the old hosts' silent loss */
    HOST_UNKNOWN_BRIDGE, /* host_run returns HOST_BRIDGE */
} host_unknown;

/* Bytes of table blocks that a host keeps, unless it is told otherwise. They
 * are in the system's cache too: the language has more use for the memory. */
#define HOST_CACHE_SIZE (8u << 20)

typedef struct host_options {
    /* The store, opened by the first op that needs it: path and sizes; the
     * rest is the host's. With os set, a simulation, it has no threads. */
    persist_options store;
    host_unknown unknown;
    sx_options machine;
    /* Called when a HOST_WAITING may be over, by any thread: it must be quick,
     * and call nothing of this header. NULL: nobody wants to know. */
    void (*news)(void *context);
    void *news_context;
} host_options;

typedef enum host_state {
    HOST_IDLE,    /* nothing is loaded */
    HOST_RUNNING, /* the bound was reached: call host_run again */
    HOST_DONE,    /* host_value is the value of the last form */
    HOST_FAILED,  /* host_value is what was raised */
    HOST_BRIDGE,  /* host_value is the request {:op :args}; host_answer it */
    HOST_WAITING, /* for an event: call host_run again when there is news, or
                     host_wait_ms have passed; what came before is durable */
} host_state;

/* Tells what is wrong with options, before the first op would: the store opens
 * late. PERSIST_BAD_REQUEST. */
persist_status host_check(const host_options *, persist_error *);

/* Makes a host; strings in options must live as long as it does. The machine's
 * hash is seeded with random bits if options have no seed. Returns NULL when
 * memory is out. */
host *host_open(const host_options *);

/* Closes machine and store: what was committed is durable when this returns
 * PERSIST_OK. The handle is gone in any case. NULL is fine. */
persist_status host_close(host *, persist_error *);

/* Loads a text; what was loaded or waiting before is dropped. */
void host_load(host *, slice text);

/* The longest that an op waits, an hour. */
#define HOST_WAIT_MS_MAX 3600000

/* Runs to the end, or where steps is not 0 no more than so many machine steps
 * and one op. */
host_state host_run(host *, uint64_t steps);

/* How long a HOST_WAITING goes on if there is no news; rounded up. */
int host_wait_ms(const host *);

/* See host_state; valid until the next host_run. */
sx_value host_value(const host *);

/* Gives the value that a HOST_BRIDGE waits for. */
void host_answer(host *, sx_value);

/* Raises an error in place of the value that a HOST_BRIDGE waits for. */
void host_refuse(host *, const persist_error *);

/* Returns the newest commit that an op, since host_forget, made or saw (by
 * reading it, or by being refused for it): what the machine holds may rest on
 * it. 0: none. A failed sync does not change it. */
persist_lsn host_rests(const host *);

/* What rests on lost commits has been told to be lost: the next evaluation
 * rests on what it makes and sees itself. */
void host_forget(host *);

/* Makes every commit up to lsn durable. After an error nothing that rests on
 * commits after host_durable may be shown. */
persist_status host_sync(host *, persist_lsn lsn, persist_error *);

/* Makes everything that any op made or saw durable; PERSIST_READ_ONLY if some
 * of it is lost. From any thread, until host_close is called. */
persist_status host_settle(host *, persist_error *);

/* Returns the commit up to which everything is durable; 0: none. */
persist_lsn host_durable(const host *);

/* The machine, for reading and printing values. Lives as long as the host. */
sx *host_machine(host *);

#endif
