/* SPDX-License-Identifier: MIT */
/* The inside of a host, for the files of this folder. */
#ifndef HOST_HOST_PRIVATE_H
#define HOST_HOST_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "host/ops.h"

struct host {
    host_options options;
    sx *machine;
    _Atomic(persist_store *) store; /* NULL until the first op */
    persist_store *session;         /* over it; anew with each text */
    pthread_mutex_t opening; /* held while it is opened anew, or settled */
    _Atomic persist_lsn durable_before; /* in the store that was closed then */
    host_state state;
    persist_lsn rests;           /* see host_rests */
    _Atomic persist_lsn highest; /* that any op ever made or saw */
    sx_out text;                 /* printed values of the op at work */
    sx_out type_text;            /* and the type of an event */
    arena_pool pool;
    arena index;             /* tags and queries of the op at work */
    bool no_memory;          /* host_equal_texts ran out of memory */
    bool waits;              /* the op at work, until there is news or it is */
    uint64_t waits_until_us; /* as late as that */
};

/* Runs the handler of a call, and notes what its answer, or its refusal, rests
 * on. */
persist_status host_serve(op_call *);

/* Closes the store, if it is open. */
persist_status host_close_store(host *, persist_error *);

/* The time of host_options.store.os. */
uint64_t host_clock_us(const host *);

#endif
