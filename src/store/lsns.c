/* SPDX-License-Identifier: MIT */
/* Lsns: the newest ones, and what became of one that somebody holds, for all
 * backends.
 *
 * What an earlier opening gave is below first_lsn, and either survived or lies
 * in a gap. That is decided when the store is opened, so waiting for it costs
 * one comparison, and its answer never changes. */
#include "base/check.h"
#include "base/status.h"
#include "os/os_thread.h"
#include "store/args.h"
#include "store/store.h"

persist_lsn store_visible(persist_store *store)
{
    CHECK(store != NULL);
    return store->root->backend->visible(store->root);
}

persist_lsn persist_latest(persist_store *store)
{
    return STORE_IS_OPEN(store) ? store->root->backend->latest(store->root) : 0;
}

persist_lsn persist_durable(persist_store *store)
{
    return STORE_IS_OPEN(store) ? store->root->backend->durable(store->root)
                                : 0;
}

/* Of an lsn that an earlier opening gave, or may have given. */
static persist_status judge(const persist_store *store, persist_lsn lsn,
                            persist_error *error)
{
    CHECK(lsn < store->first_lsn);
    switch (gaps_judge(store->gaps, lsn)) {
    case LSN_SURVIVED:
        return PERSIST_OK;
    case LSN_LOST:
        return status_set(error, PERSIST_LOST,
                          "the commit %llu is lost: the opening that made it "
                          "ended before it was durable",
                          (unsigned long long)lsn);
    case LSN_UNKNOWN:
        break;
    }
    return status_set(error, PERSIST_LOST,
                      "whether the commit %llu is lost is not known any more: "
                      "the store was not closed %u times since",
                      (unsigned long long)lsn, GAPS_MAX);
}

persist_status persist_wait_durable(persist_store *store, persist_lsn lsn,
                                    persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    persist_store *root = store->root;
    if (lsn < root->first_lsn)
        return judge(root, lsn, error);
    if (lsn > root->backend->latest(root))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "no commit has the lsn %llu yet; wait for one that "
                          "persist_commit gave",
                          (unsigned long long)lsn);
    return root->backend->wait_durable(root, lsn, error);
}

/* What is not known any more is not held against the store: it goes on beyond
 * that, and only the oldest gap is so. */
persist_status store_check_told(persist_store *store, persist_lsn told,
                                persist_error *error)
{
    bool earlier = told < store->first_lsn;
    bool lost = earlier ? gaps_judge(store->gaps, told) == LSN_LOST
                        : told > store->backend->durable(store);
    if (!lost)
        return PERSIST_OK;
    return status_set(error, PERSIST_CORRUPT,
                      "the commit %llu was durable and is not in the store any "
                      "more: the store was put back to an older state",
                      (unsigned long long)told);
}
