/* SPDX-License-Identifier: MIT */
/* Checks of arguments that the public functions share. Each returns
 * PERSIST_OK or fills the error. */
#ifndef STORE_ARGS_H
#define STORE_ARGS_H

#include "base/slice.h"
#include "persist.h"

/* PERSIST_BAD_REQUEST: a pointer that must be given is NULL. */
persist_status args_missing(persist_error *, const char *what);

/* PERSIST_CLOSED: a handle is NULL. */
persist_status args_closed(persist_error *, const char *what);

/* PERSIST_CLOSED: a handle is of another process, from which this one was
 * forked. */
persist_status args_forked(persist_error *, const char *what);

/* PERSIST_BAD_REQUEST for a NULL with a size, PERSIST_TOO_LARGE. */
persist_status args_slice(slice, size_t size_max, const char *what,
                          persist_error *);

/* The same for the name of a stream, key or command. */
persist_status args_name(slice, const char *what, persist_error *);

/* PERSIST_BAD_REQUEST for a view that is none. */
persist_status args_view(persist_view, persist_error *);

#endif
