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

/* For the tags and the type of an append, and the items of a query:
 * PERSIST_BAD_REQUEST, PERSIST_TOO_LARGE. */
persist_status args_tags(const persist_edit *, persist_error *);
persist_status args_query(const persist_query_item *, size_t count,
                          persist_error *);

/* PERSIST_BAD_CID. */
persist_status args_cid(slice, persist_error *);

/* All of the arguments of persist_commit but the store. */
persist_status args_commit(const persist_edit *, size_t count,
                           const persist_once *, const persist_outcome *,
                           persist_error *);

/* PERSIST_BAD_REQUEST for a view that is none, or a snapshot of another store;
 * PERSIST_CLOSED for one that a fork has brought. */
persist_status args_view(const persist_store *, persist_view, persist_error *);

#endif
