/* SPDX-License-Identifier: MIT */
/* The inside of a host, for the files of this folder. */
#ifndef HOST_HOST_PRIVATE_H
#define HOST_HOST_PRIVATE_H

#include "host/ops.h"

struct host {
    host_options options;
    sx *machine;
    persist_store *store; /* NULL until the first op */
    host_state state;
    sx_out text;    /* printed values of the op at work */
    bool no_memory; /* host_equal_texts ran out of memory */
};

#endif
