/* SPDX-License-Identifier: MIT */
/* Calls on a store, and on a session over one: who is lost is told so. */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "store/args.h"
#include "store/store.h"

/* A call in progress. */
typedef struct store_call {
    persist_store *root; /* what the backend is given */
    bool whole;          /* nothing was lost when it began */
} store_call;

/* The rest of those below, for a session. */
persist_status store_session_begin(persist_store *, store_call *,
                                   persist_error *);
void store_session_end(persist_store *, const store_call *);
void store_session_end_read(persist_store *, const store_call *, persist_view);

/* Begins a call: PERSIST_CLOSED; PERSIST_LOST when what the session has made or
 * seen did not survive. */
static inline persist_status store_begin(persist_store *store, store_call *call,
                                         persist_error *error)
{
    persist_status status = STORE_CHECK(store, "store", error);
    if (status != PERSIST_OK)
        return status;
    *call = (store_call){.root = store->root};
    return LIKELY(store == store->root)
               ? PERSIST_OK
               : store_session_begin(store, call, error);
}

/* Ends it, with its status: a session notes what it may have made or seen. */
static inline persist_status
store_end(persist_store *store, const store_call *call, persist_status status)
{
    if (!LIKELY(store == call->root))
        store_session_end(store, call);
    return status;
}

/* The same of a read, of a view that was checked: by PERSIST_DURABLE it sees
 * nothing that can be lost, and in a snapshot no more than that shows. */
static inline persist_status store_end_read(persist_store *store,
                                            const store_call *call,
                                            persist_view view,
                                            persist_status status)
{
    if (!LIKELY(store == call->root))
        store_session_end_read(store, call, view);
    return status;
}

#endif
