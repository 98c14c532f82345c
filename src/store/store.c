/* SPDX-License-Identifier: MIT */
/* The public functions: arguments are checked here, once for all backends. */
#include "store/store.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/sized.h"
#include "base/status.h"
#include "engine/files/files.h"
#include "engine/verify/verify.h"
#include "os/os.h"
#include "os/os_thread.h"
#include "store/session.h"

/* What begins with its size, and which was its last field when it was first
 * released. */
static const sized options_size = {"persist_options", "PERSIST_OPTIONS",
                                   sizeof(persist_options),
                                   SIZED_UP_TO(persist_options, os)};
static const sized watcher_size = {"persist_watcher", "PERSIST_WATCHER",
                                   sizeof(persist_watcher),
                                   SIZED_UP_TO(persist_watcher, progress)};
static const sized progress_size = {"persist_progress", "PERSIST_PROGRESS",
                                    sizeof(persist_progress),
                                    SIZED_UP_TO(persist_progress, remarks)};
static const sized stats_size = {"persist_stats", "PERSIST_STATS",
                                 sizeof(persist_stats),
                                 SIZED_UP_TO(persist_stats, replayed)};

persist_status persist_open(const persist_options *given, persist_store **out,
                            persist_error *error)
{
    OS_NO_CANCEL;
    if (given == NULL || out == NULL)
        return args_missing(error, "options or out");
    *out = NULL;
    persist_options options;
    persist_status status = sized_take(&options_size, given, &options, error);
    if (status != PERSIST_OK)
        return status;
    if (options.path != NULL && options.path[0] == '\0')
        return status_set(error, PERSIST_BAD_REQUEST, "the path is empty");
    int code = os_fork_watch();
    if (code != 0)
        return os_failed(error, code, "open", "a store");
    status = options.path == NULL ? store_memory_open(&options, out, error)
                                  : store_disk_open(&options, out, error);
    if (status == PERSIST_OK) {
        (*out)->root = *out;
        (*out)->process = os_process();
    }
    return status;
}

void persist_on_panic(persist_panic_fn panic, void *context)
{
    check_on_panic(panic, context);
}

/* Says what is open of a store: each kind that there is of it. */
static persist_status refuse_close(const store_open *open, size_t sessions,
                                   persist_error *error)
{
    const struct {
        size_t count;
        const char *one, *many;
    } kinds[] = {
        {sessions, "session", "sessions"},
        {open->cursors, "cursor", "cursors"},
        {open->snapshots, "snapshot", "snapshots"},
        {open->blobs, "reader or writer of a blob",
         "readers and writers of blobs"},
        {open->backups, "backup", "backups"},
        {open->ships, "ship of the log", "ships of the log"},
    };
    size_t all = sessions + open->cursors + open->snapshots + open->blobs +
                 open->backups + open->ships;
    char list[256] = "";
    int size = 0;
    for (size_t i = 0, left = all; left > 0; left -= kinds[i++].count) {
        if (kinds[i].count == 0)
            continue;
        const char *joint = left == all              ? ""
                            : left == kinds[i].count ? " and "
                                                     : ", ";
        size += snprintf(list + size, sizeof list - (size_t)size, "%s%zu %s",
                         joint, kinds[i].count,
                         kinds[i].count == 1 ? kinds[i].one : kinds[i].many);
        CHECK((size_t)size < sizeof list);
    }
    return status_set(error, PERSIST_BAD_REQUEST,
                      "%s %s open; close %s, and then the store again", list,
                      all == 1 ? "is" : "are", all == 1 ? "it" : "them");
}

persist_status persist_close(persist_store *store, persist_error *error)
{
    OS_NO_CANCEL;
    /* another process has it; what is in memory of it cannot be trusted, for
     * a thread of that process may have been at work there */
    if (!STORE_IS_OPEN(store))
        return PERSIST_OK;
    if (store != store->root) {
        store_session_close(store);
        return PERSIST_OK;
    }
    store_open open;
    size_t sessions = atomic_load(&store->sessions);
    store->backend->count_open(store, &open);
    if (sessions + open.cursors + open.snapshots + open.blobs + open.backups +
            open.ships >
        0)
        return refuse_close(&open, sessions, error);
    return store->backend->close(store, error);
}

persist_status persist_verify(const persist_options *given,
                              const persist_watcher *watcher,
                              persist_progress *out, persist_error *error)
{
    OS_NO_CANCEL;
    if (given == NULL)
        return args_missing(error, "options");
    persist_options options;
    persist_watcher told = {PERSIST_WATCHER};
    persist_progress progress = {PERSIST_PROGRESS};
    persist_status status = sized_take(&options_size, given, &options, error);
    if (status == PERSIST_OK && watcher != NULL)
        status = sized_take(&watcher_size, watcher, &told, error);
    if (status == PERSIST_OK && out != NULL)
        status = sized_take(&progress_size, out, &progress, error);
    if (status != PERSIST_OK)
        return status;
    if (options.path == NULL || options.path[0] == '\0')
        return args_missing(error, "the path of a store");
    status = verify_store(&options, &told, &progress, error);
    if (out != NULL)
        sized_give(&progress_size, &progress, out);
    return status;
}

/* ---- writing ---------------------------------------------------------- */

persist_status persist_commit(persist_store *store, const persist_edit *edits,
                              size_t edit_count, const persist_once *once,
                              persist_outcome *outcome, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (outcome != NULL)
        *outcome = (persist_outcome){0};
    persist_status status =
        args_commit(edits, edit_count, once, outcome, error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->commit(call.root, edits, edit_count, once,
                                        outcome, error);
    return store_end(store, &call, status);
}

void persist_outcome_release(persist_outcome *outcome)
{
    if (outcome == NULL)
        return;
    mem_free(outcome->seqs);
    persist_free(outcome->actual_value.data);
    *outcome = (persist_outcome){0};
}

persist_status persist_once_find(persist_store *store, persist_slice id,
                                 uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                 persist_outcome *outcome, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (fingerprint == NULL || outcome == NULL)
        return args_missing(error, "fingerprint or outcome");
    *outcome = (persist_outcome){0};
    persist_status status = args_name(id, "command id", error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->once_find(call.root, id, fingerprint, outcome,
                                           error);
    return store_end(store, &call, status);
}

/* ---- waiting ---------------------------------------------------------- */

uint64_t persist_position(persist_store *store, persist_view view)
{
    OS_NO_CANCEL;
    if (!STORE_IS_OPEN(store) || args_view(store, view, NULL) != PERSIST_OK)
        return 0;
    store_call call = {.root = store->root};
    /* it has no error to tell that a session is lost; the next call does */
    (void)store_begin(store, &call, NULL);
    uint64_t position = STORE_IS_KEPT(view)
                            ? view->position
                            : call.root->backend->position(call.root, view);
    (void)store_end_read(store, &call, view, PERSIST_OK);
    return position;
}

persist_status persist_wait_position(persist_store *store, uint64_t position,
                                     uint64_t timeout_ms, uint64_t *newest,
                                     persist_error *error)
{
    OS_NO_CANCEL;
    uint64_t ignored;
    store_call call;
    persist_status status = store_begin(store, &call, error);
    if (status != PERSIST_OK)
        return status;
    os_news *news = call.root->backend->news(call.root);
    os_news_enter(news);
    status =
        call.root->backend->await(call.root, position, timeout_ms,
                                  newest != NULL ? newest : &ignored, error);
    os_news_leave(news);
    if (status == PERSIST_CLOSED)
        status_set(error, status,
                   "the store is about to be closed: waiting has ended");
    return status;
}

void persist_end_waits(persist_store *store)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(store))
        os_news_close(store->root->backend->news(store->root));
}

void persist_notify(persist_store *store, persist_notify_fn fn, void *context)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(store))
        os_news_listen(store->root->backend->news(store->root), fn, context);
}

/* ---- space that comes back -------------------------------------------- */

static const sized tidy_size = {"persist_tidy", "PERSIST_TIDY",
                                sizeof(persist_tidy),
                                SIZED_UP_TO(persist_tidy, timeout_ms)};
static const sized tidied_size = {"persist_tidied", "PERSIST_TIDIED",
                                  sizeof(persist_tidied),
                                  SIZED_UP_TO(persist_tidied, files)};

/* A close waits for it, as for who waits for an event; once it has left, the
 * store may be gone. */
static persist_status tidy_up(persist_store *store, const persist_tidy *given,
                              persist_tidied *out, bool purges,
                              persist_error *error)
{
    store_call call;
    persist_tidy tidy = {PERSIST_TIDY};
    persist_tidied tidied = {PERSIST_TIDIED};
    persist_status status = store_begin(store, &call, error);
    if (status == PERSIST_OK && given != NULL)
        status = sized_take(&tidy_size, given, &tidy, error);
    if (status == PERSIST_OK && out != NULL)
        status = sized_take(&tidied_size, out, &tidied, error);
    if (status != PERSIST_OK)
        return status;
    tidied = (persist_tidied){PERSIST_TIDIED};
    const store_backend *backend = call.root->backend;
    os_news *news = backend->news(call.root);
    os_news_enter(news);
    if (backend->compact != NULL)
        status = purges ? backend->purge(call.root, &tidy, &tidied, error)
                        : backend->compact(call.root, &tidy, &tidied, error);
    os_news_leave(news);
    if (status == PERSIST_CLOSED)
        status_set(error, status,
                   "the store is about to be closed: this was not done to its "
                   "end");
    if (out != NULL)
        sized_give(&tidied_size, &tidied, out);
    return status;
}

persist_status persist_compact(persist_store *store, const persist_tidy *tidy,
                               persist_tidied *out, persist_error *error)
{
    OS_NO_CANCEL;
    return tidy_up(store, tidy, out, false, error);
}

persist_status persist_purge(persist_store *store, const persist_tidy *tidy,
                             persist_tidied *out, persist_error *error)
{
    OS_NO_CANCEL;
    return tidy_up(store, tidy, out, true, error);
}

/* ---- the rest --------------------------------------------------------- */

void persist_free(const void *memory)
{
    mem_free((void *)(uintptr_t)memory);
}

bool store_is_shut(persist_store *store)
{
    CHECK(store != NULL);
    const store_backend *backend = store->root->backend;
    return backend->is_shut != NULL && backend->is_shut(store->root);
}

persist_status store_step(persist_store *store, bool *did, persist_error *error)
{
    OS_NO_CANCEL;
    CHECK(store != NULL && did != NULL);
    *did = false;
    return store->root->backend->step(store->root, did, error);
}

persist_status persist_get_stats(persist_store *store, persist_stats *out,
                                 persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(store, "store", error);
    if (status != PERSIST_OK)
        return status;
    if (out == NULL)
        return args_missing(error, "out");
    persist_stats own;
    status = sized_take(&stats_size, out, &own, error);
    if (status != PERSIST_OK)
        return status;
    own = (persist_stats){PERSIST_STATS};
    store->root->backend->stats(store->root, &own);
    sized_give(&stats_size, &own, out);
    return PERSIST_OK;
}
