/* SPDX-License-Identifier: MIT */
/* Sessions: handles that do not go on after they have lost something.
 *
 * A session is a number, the newest commit that it may have made or seen. It is
 * lost when that commit is: when a failed sync made what is visible fall below
 * it, or, in a store that somebody else has opened meanwhile, when it lies in a
 * gap. Both stay so, hence nothing more is kept. */
#include "store/session.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "os/os_thread.h"

persist_status persist_session(persist_store *store, persist_store **out,
                               persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_store *s = mem_alloc_zero(sizeof *s);
    if (s == NULL)
        return status_no_memory(error);
    s->root = store->root;
    s->process = store->process;
    atomic_fetch_add(&s->root->sessions, 1);
    *out = s;
    return PERSIST_OK;
}

void store_session_close(persist_store *session)
{
    CHECK(session != session->root && session->backend == NULL);
    size_t before = atomic_fetch_sub(&session->root->sessions, 1);
    CHECK(before > 0);
    mem_free(session);
}

persist_status persist_resync(persist_store *session, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(session, "session", error);
    if (open == PERSIST_OK)
        atomic_store(&session->seen, 0);
    return open;
}

/* After a failed sync that is no longer what was given. */
static bool is_whole(persist_store *root)
{
    return root->backend->visible(root) >= root->backend->latest(root);
}

static bool is_lost(const persist_store *s)
{
    persist_lsn seen = atomic_load(&s->seen);
    return seen > s->root->backend->visible(s->root) ||
           (seen < s->root->first_lsn &&
            gaps_judge(s->root->gaps, seen) != LSN_SURVIVED);
}

persist_status store_session_begin(persist_store *s, store_call *call,
                                   persist_error *error)
{
    CHECK(s->backend == NULL && call->root == s->root);
    call->whole = is_whole(s->root);
    return !is_lost(s) ? PERSIST_OK
                       : status_set(error, PERSIST_LOST,
                                    "the commit %llu, which this session made "
                                    "or saw, is lost; begin anew "
                                    "(persist_resync)",
                                    (unsigned long long)atomic_load(&s->seen));
}

static void note(persist_store *s, persist_lsn lsn)
{
    persist_lsn seen = atomic_load(&s->seen);
    while (seen < lsn && !atomic_compare_exchange_weak(&s->seen, &seen, lsn))
        ;
}

/* What a call saw while all was visible is not above the newest one now. */
void store_session_end(persist_store *s, const store_call *call)
{
    if (call->whole)
        note(s, s->root->backend->latest(s->root));
}

void store_session_end_read(persist_store *s, const store_call *call,
                            persist_view view)
{
    if (STORE_IS_KEPT(view))
        note(s, view->lsn); /* which may be lost already */
    else if (view != PERSIST_DURABLE)
        store_session_end(s, call);
}
