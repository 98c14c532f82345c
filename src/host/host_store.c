/* SPDX-License-Identifier: MIT */
/* The store of a host: opened late, opened anew, and what answers rest on. */
#include "host/host_private.h"

#include "base/check.h"
#include "store/store.h"

persist_status host_store(host *h, persist_store **out, persist_error *error)
{
    if (h->store == NULL) {
        persist_options options = h->options.store;
        options.create = true;
        options.background = options.os == NULL;
        options.unmapped = true; /* no fault of a disk ends the host */
        if (options.cache_size == 0)
            options.cache_size = HOST_CACHE_SIZE;
        options.equal = host_equal_texts;
        options.equal_context = h;
        persist_store *opened;
        persist_status status = persist_open(&options, &opened, error);
        if (status != PERSIST_OK)
            return status;
        status = persist_session(opened, &h->session, error);
        if (status != PERSIST_OK) {
            (void)persist_close(opened, NULL);
            return status;
        }
        persist_notify(opened, h->options.news, h->options.news_context);
        h->store = opened;
    }
    *out = h->session;
    return PERSIST_OK;
}

persist_status host_close_store(host *h, persist_error *error)
{
    persist_store *store = h->store;
    (void)persist_close(h->session, NULL);
    h->session = NULL;
    h->store = NULL;
    return persist_close(store, error);
}

/* All that a store shows which is shut is durable: what rested on it still
 * does. The thread that ends the process may be about to settle it. */
persist_status host_open_anew(host *h, persist_store **out,
                              persist_error *error)
{
    persist_store *shut = h->store;
    CHECK(store_is_shut(shut));
    pthread_mutex_lock(&h->opening);
    h->durable_before = persist_durable(shut);
    (void)host_close_store(h, NULL);
    persist_status status = host_store(h, out, error);
    pthread_mutex_unlock(&h->opening);
    return status;
}

/* Only ops commit, so what one sees was visible before it; after a failed sync
 * that is what is durable. What it makes has a number that was not given
 * before, whatever has become of it. */
persist_status host_serve(op_call *call)
{
    host *h = call->host;
    persist_lsn rests = store_visible(call->store);
    persist_lsn given = persist_latest(call->store);
    CHECK(rests <= given);
    arena_release(&h->index);
    persist_status status = call->row->run(call);
    if (persist_latest(call->store) > given)
        rests = persist_latest(call->store);
    if (rests > h->rests)
        h->rests = rests;
    if (rests > h->highest)
        h->highest = rests;
    return status;
}
