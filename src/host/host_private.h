/* SPDX-License-Identifier: MIT */
/* The inside of a host, for the files of this folder. */
#ifndef HOST_HOST_PRIVATE_H
#define HOST_HOST_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/ops.h"

struct host {
    host_options options;
    sx *machine;
    _Atomic(persist_store *) store; /* NULL until the first op */
    pthread_mutex_t opening; /* held while it is opened anew, or settled */
    _Atomic persist_lsn durable_before; /* in the store that was closed then */
    host_state state;
    persist_lsn rests;           /* see host_rests */
    _Atomic persist_lsn highest; /* that any op ever made or saw */
    sx_out text;                 /* printed values of the op at work */
    bool no_memory;              /* host_equal_texts ran out of memory */
};

/* Runs the handler of a call, and notes what its answer, or its refusal, rests
 * on. */
persist_status host_serve(op_call *);

#endif
