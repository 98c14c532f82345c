/* SPDX-License-Identifier: MIT */
/* The public functions: arguments are checked here, once for all backends. */
#include "store/store.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "engine/files/files.h"
#include "engine/verify/verify.h"
#include "os/os.h"
#include "os/os_thread.h"
#include "store/args.h"

CHECK_STATIC(PERSIST_NAME_SIZE_MAX + PERSIST_VALUE_SIZE_MAX +
                     PERSIST_EDIT_OVERHEAD + PERSIST_NAME_OVERHEAD <=
                 PERSIST_COMMIT_SIZE_MAX,
             "the largest edit fits into a commit");

persist_status persist_open(const persist_options *options, persist_store **out,
                            persist_error *error)
{
    OS_NO_CANCEL;
    if (options == NULL || out == NULL)
        return args_missing(error, "options or out");
    *out = NULL;
    if (options->path != NULL && options->path[0] == '\0')
        return status_set(error, PERSIST_BAD_REQUEST, "the path is empty");
    int code = os_fork_watch();
    if (code != 0)
        return os_failed(error, code, "open", "a store");
    persist_status status = options->path == NULL
                                ? store_memory_open(options, out, error)
                                : store_disk_open(options, out, error);
    if (status == PERSIST_OK)
        (*out)->process = os_process();
    return status;
}

persist_status persist_close(persist_store *store, persist_error *error)
{
    OS_NO_CANCEL;
    /* another process has it; what is in memory of it cannot be trusted, for
     * a thread of that process may have been at work there */
    if (store == NULL || STORE_FORKED(store))
        return PERSIST_OK;
    return store->backend->close(store, error);
}

persist_status persist_verify(const persist_options *options,
                              const persist_watcher *watcher,
                              persist_progress *out, persist_error *error)
{
    OS_NO_CANCEL;
    if (options == NULL || options->path == NULL || options->path[0] == '\0')
        return args_missing(error, "the path of a store");
    static const persist_watcher nobody;
    persist_progress progress;
    return verify_store(options, watcher == NULL ? &nobody : watcher,
                        out == NULL ? &progress : out, error);
}

/* ---- writing ---------------------------------------------------------- */

static persist_status check_edit(const persist_edit *edit, persist_error *error)
{
    if ((unsigned)edit->kind > PERSIST_EXPECT_ABSENT)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "unknown kind of edit: %d", (int)edit->kind);
    persist_status status = args_name(edit->name, "name", error);
    if (status == PERSIST_OK)
        status = args_slice(edit->data, PERSIST_VALUE_SIZE_MAX,
                            "event or value", error);
    if (status != PERSIST_OK)
        return status;
    if (edit->seq > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the number %llu is over the highest, %llu",
                          (unsigned long long)edit->seq,
                          (unsigned long long)PERSIST_SEQ_MAX);
    return PERSIST_OK;
}

/* What an edit adds to its commit: its bytes, and about what it takes of memory
 * besides, so that small ones are bounded too. A stream or key that perhaps has
 * to be entered takes more. */
static uint64_t edit_size(const persist_edit *edit, const persist_edit *before)
{
    bool same = before != NULL && slice_equal(edit->name, before->name);
    return (uint64_t)edit->name.size + edit->data.size + PERSIST_EDIT_OVERHEAD +
           (same ? 0 : PERSIST_NAME_OVERHEAD);
}

static persist_status check_commit(const persist_edit *edits, size_t count,
                                   const persist_once *once,
                                   const persist_outcome *outcome,
                                   persist_error *error)
{
    if (edits == NULL && count > 0)
        return args_missing(error, "edits");
    uint64_t size = 0;
    bool needs_outcome = once != NULL;
    if (once != NULL) {
        persist_status status = args_name(once->id, "command id", error);
        if (status != PERSIST_OK)
            return status;
        size += once->id.size;
    }
    for (size_t i = 0; i < count; i++) {
        persist_status status = check_edit(&edits[i], error);
        if (status != PERSIST_OK)
            return status;
        size += edit_size(&edits[i], i == 0 ? NULL : &edits[i - 1]);
        needs_outcome = needs_outcome || edit_is_expectation(&edits[i]);
    }
    if (size > PERSIST_COMMIT_SIZE_MAX)
        return status_set(error, PERSIST_TOO_LARGE,
                          "a commit of %llu bytes, with what its edits take "
                          "besides, is over the limit of %u; make several",
                          (unsigned long long)size, PERSIST_COMMIT_SIZE_MAX);
    if (needs_outcome && outcome == NULL)
        return args_missing(error, "outcome");
    return PERSIST_OK;
}

persist_status persist_commit(persist_store *store, const persist_edit *edits,
                              size_t edit_count, const persist_once *once,
                              persist_outcome *outcome, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (outcome != NULL)
        *outcome = (persist_outcome){0};
    persist_status status =
        check_commit(edits, edit_count, once, outcome, error);
    if (status != PERSIST_OK)
        return status;
    return store->backend->commit(store, edits, edit_count, once, outcome,
                                  error);
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
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (fingerprint == NULL || outcome == NULL)
        return args_missing(error, "fingerprint or outcome");
    *outcome = (persist_outcome){0};
    persist_status status = args_name(id, "command id", error);
    if (status != PERSIST_OK)
        return status;
    return store->backend->once_find(store, id, fingerprint, outcome, error);
}

persist_status persist_wait_durable(persist_store *store, persist_lsn lsn,
                                    persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (lsn > store->backend->latest(store))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "no commit has the lsn %llu yet; wait for one that "
                          "persist_commit gave",
                          (unsigned long long)lsn);
    return lsn == 0 ? PERSIST_OK
                    : store->backend->wait_durable(store, lsn, error);
}

persist_lsn store_visible(persist_store *store)
{
    CHECK(store != NULL);
    return store->backend->visible(store);
}

persist_lsn persist_latest(persist_store *store)
{
    CHECK(store != NULL);
    return STORE_FORKED(store) ? 0 : store->backend->latest(store);
}

persist_lsn persist_durable(persist_store *store)
{
    CHECK(store != NULL);
    return STORE_FORKED(store) ? 0 : store->backend->durable(store);
}

/* ---- reading ---------------------------------------------------------- */

static persist_status open_cursor(persist_store *store,
                                  const read_request *request,
                                  persist_cursor **out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_status status = args_view(request->view, error);
    if (status == PERSIST_OK)
        status = args_name(request->name, "name", error);
    if (status == PERSIST_OK && request->after != NULL)
        status = args_name(*request->after, "name to start after", error);
    if (status == PERSIST_OK)
        status = store->backend->read(store, request, out, error);
    if (status != PERSIST_OK)
        return status;
    (*out)->kind = request->kind;
    (*out)->process = store->process;
    (*out)->ready = (*out)->ready_end = NULL;
    return PERSIST_OK;
}

persist_status persist_read(persist_store *store, persist_slice stream,
                            uint64_t from, uint64_t limit, persist_view view,
                            persist_cursor **out, persist_error *error)
{
    const read_request request = {READ_STREAM, stream, NULL, from, limit, view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_read_back(persist_store *store, persist_slice stream,
                                 uint64_t from, uint64_t limit,
                                 persist_view view, persist_cursor **out,
                                 persist_error *error)
{
    const read_request request = {
        READ_STREAM_BACK, stream, NULL, from, limit, view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_read_all(persist_store *store, uint64_t from,
                                uint64_t limit, persist_view view,
                                persist_cursor **out, persist_error *error)
{
    const read_request request = {
        READ_ALL, slice_of(NULL, 0), NULL, from, limit, view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_streams(persist_store *store, const persist_slice *after,
                               persist_view view, persist_cursor **out,
                               persist_error *error)
{
    const read_request request = {
        READ_STREAMS, slice_of(NULL, 0), after, 0, PERSIST_NO_LIMIT, view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_scan(persist_store *store, persist_slice prefix,
                            const persist_slice *after, uint64_t limit,
                            persist_view view, persist_cursor **out,
                            persist_error *error)
{
    const read_request request = {READ_KEYS, prefix, after, 0, limit, view};
    return open_cursor(store, &request, out, error);
}

static bool reads_names(const persist_cursor *cursor)
{
    return cursor->kind == READ_STREAMS || cursor->kind == READ_KEYS;
}

persist_status persist_next_event(persist_cursor *cursor, persist_event *out,
                                  persist_error *error)
{
    persist_status open = STORE_CHECK(cursor, "cursor", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    if (LIKELY(cursor->ready != cursor->ready_end)) {
        *out = *cursor->ready++;
        return PERSIST_OK;
    }
    OS_NO_CANCEL;
    if (reads_names(cursor))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the cursor reads names, not events");
    return cursor->backend->next_event(cursor, out, error);
}

persist_status persist_next_key(persist_cursor *cursor, persist_slice *name,
                                persist_slice *value, persist_error *error)
{
    /* Called for each key: only reading files could be cancelled here, and the
     * os does not let it be. */
    persist_status open = STORE_CHECK(cursor, "cursor", error);
    if (open != PERSIST_OK)
        return open;
    if (!reads_names(cursor))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the cursor reads events, not names");
    slice ignored;
    return cursor->backend->next_key(cursor, name != NULL ? name : &ignored,
                                     value != NULL ? value : &ignored, error);
}

void persist_cursor_close(persist_cursor *cursor)
{
    OS_NO_CANCEL;
    if (cursor != NULL && !STORE_FORKED(cursor))
        cursor->backend->cursor_close(cursor);
}

persist_status persist_info(persist_store *store, persist_slice stream,
                            persist_view view, persist_stream_info *info,
                            bool *known, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (info == NULL)
        return args_missing(error, "info");
    persist_status status = args_view(view, error);
    if (status == PERSIST_OK)
        status = args_name(stream, "stream name", error);
    if (status != PERSIST_OK)
        return status;
    bool ignored;
    *info = (persist_stream_info){0};
    return store->backend->info(store, stream, view, info,
                                known != NULL ? known : &ignored, error);
}

static persist_status get(persist_store *store, slice key, persist_view view,
                          slice *out, persist_error *error)
{
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    persist_status status = args_view(view, error);
    if (status == PERSIST_OK)
        status = args_name(key, "key", error);
    if (status != PERSIST_OK)
        return status;
    return store->backend->get(store, key, view, out, error);
}

persist_status persist_get(persist_store *store, persist_slice key,
                           persist_view view, persist_slice *out,
                           persist_error *error)
{
    OS_NO_CANCEL;
    if (out == NULL)
        return args_missing(error, "out");
    *out = slice_of(NULL, 0);
    return get(store, key, view, out, error);
}

persist_status persist_has(persist_store *store, persist_slice key,
                           persist_view view, persist_error *error)
{
    OS_NO_CANCEL;
    return get(store, key, view, NULL, error);
}

void persist_free(const void *memory)
{
    mem_free((void *)(uintptr_t)memory);
}

bool store_is_shut(persist_store *store)
{
    CHECK(store != NULL);
    return store->backend->is_shut != NULL && store->backend->is_shut(store);
}

persist_status store_step(persist_store *store, bool *did, persist_error *error)
{
    OS_NO_CANCEL;
    CHECK(store != NULL && did != NULL);
    *did = false;
    return store->backend->step(store, did, error);
}

void persist_get_stats(persist_store *store, persist_stats *out)
{
    OS_NO_CANCEL;
    CHECK(store != NULL && out != NULL);
    *out = (persist_stats){0};
    if (!STORE_FORKED(store))
        store->backend->stats(store, out);
}
