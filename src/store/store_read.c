/* SPDX-License-Identifier: MIT */
/* The public functions that read: arguments are checked here, once. */
#include "base/check.h"
#include "base/sized.h"
#include "base/status.h"
#include "engine/files/files.h"
#include "os/os_thread.h"
#include "store/session.h"

static const sized range_size = {"persist_range", "PERSIST_RANGE",
                                 sizeof(persist_range),
                                 SIZED_UP_TO(persist_range, before)};

/* ---- snapshots -------------------------------------------------------- */

persist_status persist_snapshot_open(persist_store *store, persist_view view,
                                     persist_snapshot **out,
                                     persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status status = store_begin(store, &call, error);
    if (status != PERSIST_OK)
        return status;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    status = args_view(store, view, error);
    if (status == PERSIST_OK && STORE_IS_KEPT(view))
        status = status_set(error, PERSIST_BAD_REQUEST,
                            "a snapshot is taken of PERSIST_DURABLE or "
                            "PERSIST_LATEST, not of another snapshot");
    if (status == PERSIST_OK)
        status = call.root->backend->snapshot_open(call.root, view, out, error);
    if (status != PERSIST_OK)
        return status;
    (*out)->store = call.root;
    (*out)->process = store->process;
    return store_end_read(store, &call, view, PERSIST_OK);
}

persist_lsn persist_snapshot_lsn(const persist_snapshot *snapshot)
{
    bool is_one = STORE_IS_KEPT(snapshot) && STORE_IS_OPEN(snapshot);
    return is_one ? snapshot->lsn : 0;
}

void persist_snapshot_close(persist_snapshot *snapshot)
{
    OS_NO_CANCEL;
    if (STORE_IS_KEPT(snapshot) && STORE_IS_OPEN(snapshot))
        snapshot->backend->snapshot_close(snapshot);
}

/* ---- cursors ---------------------------------------------------------- */

static persist_status open_cursor(persist_store *store,
                                  const read_request *request,
                                  persist_cursor **out, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_status status = args_view(store, request->view, error);
    if (status == PERSIST_OK)
        status = args_name(request->name, "name", error);
    if (status == PERSIST_OK && request->kind == READ_QUERY)
        status = args_query(request->items, request->item_count, error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->read(call.root, request, out, error);
    (void)store_end_read(store, &call, request->view, status);
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
    const read_request request = {.kind = READ_STREAM,
                                  .name = stream,
                                  .from = from,
                                  .limit = limit,
                                  .view = view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_read_back(persist_store *store, persist_slice stream,
                                 uint64_t from, uint64_t limit,
                                 persist_view view, persist_cursor **out,
                                 persist_error *error)
{
    const read_request request = {.kind = READ_STREAM_BACK,
                                  .name = stream,
                                  .from = from,
                                  .limit = limit,
                                  .view = view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_read_all(persist_store *store, uint64_t from,
                                uint64_t limit, persist_view view,
                                persist_cursor **out, persist_error *error)
{
    const read_request request = {
        .kind = READ_ALL, .from = from, .limit = limit, .view = view};
    return open_cursor(store, &request, out, error);
}

persist_status persist_query(persist_store *store,
                             const persist_query_item *items, size_t count,
                             uint64_t from, uint64_t limit, persist_view view,
                             persist_cursor **out, persist_error *error)
{
    const read_request request = {.kind = READ_QUERY,
                                  .items = items,
                                  .item_count = count,
                                  .from = from,
                                  .limit = limit,
                                  .view = view};
    return open_cursor(store, &request, out, error);
}

size_t persist_event_tags(const persist_event *event,
                          persist_slice tags[PERSIST_TAGS_MAX],
                          persist_slice *type)
{
    slice ignored;
    if (type == NULL)
        type = &ignored;
    *type = slice_of("", 0);
    if (event == NULL || event->tagged == NULL)
        return 0;
    tag_set t = tagged_of(event->tagged);
    *type = t.type;
    size_t count = 0;
    while (tagged_next(&t, tags != NULL ? &tags[count] : &ignored))
        count++;
    return count;
}

static persist_status check_range(const persist_range *r, persist_error *error)
{
    const slice *bounds[] = {&r->prefix, r->from, r->after, r->to, r->before};
    const char *whats[] = {"prefix", "name to start from",
                           "name to start after", "name to end with",
                           "name to end before"};
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (status == PERSIST_OK && bounds[i] != NULL)
            status = args_name(*bounds[i], whats[i], error);
    return status;
}

static persist_status open_names(persist_store *store, read_kind kind,
                                 const persist_range *given, uint64_t limit,
                                 persist_view view, persist_cursor **out,
                                 persist_error *error)
{
    OS_NO_CANCEL;
    persist_range range = {PERSIST_RANGE};
    const read_request request = {
        .kind = kind, .range = &range, .limit = limit, .view = view};
    store_call call;
    persist_status status = store_begin(store, &call, error);
    if (status == PERSIST_OK && out != NULL)
        *out = NULL;
    if (status == PERSIST_OK && given != NULL)
        status = sized_take(&range_size, given, &range, error);
    if (status == PERSIST_OK)
        status = check_range(&range, error);
    return status == PERSIST_OK ? open_cursor(store, &request, out, error)
                                : status;
}

persist_status persist_streams(persist_store *store, const persist_range *range,
                               uint64_t limit, persist_view view,
                               persist_cursor **out, persist_error *error)
{
    return open_names(store, READ_STREAMS, range, limit, view, out, error);
}

persist_status persist_scan(persist_store *store, const persist_range *range,
                            uint64_t limit, persist_view view,
                            persist_cursor **out, persist_error *error)
{
    return open_names(store, READ_KEYS, range, limit, view, out, error);
}

persist_status persist_commands(persist_store *store, persist_slice prefix,
                                const persist_slice *after, uint64_t limit,
                                persist_view view, persist_cursor **out,
                                persist_error *error)
{
    const persist_range range = {PERSIST_RANGE, .prefix = prefix,
                                 .after = after};
    return open_names(store, READ_COMMANDS, &range, limit, view, out, error);
}

persist_status persist_blobs(persist_store *store, const persist_slice *after,
                             uint64_t limit, persist_view view,
                             persist_cursor **out, persist_error *error)
{
    const persist_range range = {PERSIST_RANGE, .after = after};
    if (after != NULL && args_cid(*after, error) != PERSIST_OK) {
        if (out != NULL)
            *out = NULL;
        return PERSIST_BAD_CID;
    }
    return open_names(store, READ_BLOBS, &range, limit, view, out, error);
}

static const char events[] = "events", names[] = "names",
                  commands[] = "command ids", blobs[] = "blobs";

static const char *what_is_read(const persist_cursor *cursor)
{
    if (cursor->kind == READ_COMMANDS)
        return commands;
    if (cursor->kind == READ_BLOBS)
        return blobs;
    return cursor->kind == READ_STREAMS || cursor->kind == READ_KEYS ? names
                                                                     : events;
}

static persist_status check_reads(const persist_cursor *cursor,
                                  const char *wanted, persist_error *error)
{
    const char *what = what_is_read(cursor);
    return what == wanted
               ? PERSIST_OK
               : status_set(error, PERSIST_BAD_REQUEST,
                            "the cursor reads %s, not %s", what, wanted);
}

persist_status persist_next_event(persist_cursor *cursor,
                                  const persist_event **out,
                                  persist_error *error)
{
    persist_status open = STORE_CHECK(cursor, "cursor", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    if (LIKELY(cursor->ready != cursor->ready_end)) {
        *out = cursor->ready++;
        return PERSIST_OK;
    }
    OS_NO_CANCEL;
    persist_status status = check_reads(cursor, events, error);
    return status == PERSIST_OK
               ? cursor->backend->next_event(cursor, out, error)
               : status;
}

persist_status persist_next_key(persist_cursor *cursor, persist_slice *name,
                                persist_slice *value, persist_error *error)
{
    /* Called for each key: only reading files could be cancelled here, and the
     * os does not let it be. */
    persist_status open = STORE_CHECK(cursor, "cursor", error);
    if (open != PERSIST_OK)
        return open;
    persist_status status = check_reads(cursor, names, error);
    if (status != PERSIST_OK)
        return status;
    slice ignored;
    return cursor->backend->next_key(cursor, name != NULL ? name : &ignored,
                                     value != NULL ? value : &ignored, error);
}

persist_status persist_next_command(persist_cursor *cursor,
                                    const persist_command **out,
                                    persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(cursor, "cursor", error);
    if (status != PERSIST_OK)
        return status;
    if (out == NULL)
        return args_missing(error, "out");
    status = check_reads(cursor, commands, error);
    return status == PERSIST_OK
               ? cursor->backend->next_command(cursor, out, error)
               : status;
}

persist_status persist_next_blob(persist_cursor *cursor,
                                 const persist_blob **out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(cursor, "cursor", error);
    if (status != PERSIST_OK)
        return status;
    if (out == NULL)
        return args_missing(error, "out");
    status = check_reads(cursor, blobs, error);
    return status == PERSIST_OK ? cursor->backend->next_blob(cursor, out, error)
                                : status;
}

void persist_cursor_close(persist_cursor *cursor)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(cursor))
        cursor->backend->cursor_close(cursor);
}

persist_status persist_position_at(persist_store *store, uint64_t time,
                                   persist_view view, uint64_t *position,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (position == NULL)
        return args_missing(error, "position");
    *position = 0;
    persist_status status = args_view(store, view, error);
    if (status != PERSIST_OK)
        return status;
    status =
        call.root->backend->position_at(call.root, time, view, position, error);
    return store_end_read(store, &call, view, status);
}

persist_status persist_info(persist_store *store, persist_slice stream,
                            persist_view view, persist_stream_info *info,
                            bool *known, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (info == NULL)
        return args_missing(error, "info");
    persist_status status = args_view(store, view, error);
    if (status == PERSIST_OK)
        status = args_name(stream, "stream name", error);
    if (status != PERSIST_OK)
        return status;
    bool ignored;
    *info = (persist_stream_info){0};
    status = call.root->backend->info(call.root, stream, view, info,
                                      known != NULL ? known : &ignored, error);
    return store_end_read(store, &call, view, status);
}

static persist_status get(persist_store *store, slice key, persist_view view,
                          slice *out, persist_error *error)
{
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    persist_status status = args_view(store, view, error);
    if (status == PERSIST_OK)
        status = args_name(key, "key", error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->get(call.root, key, view, out, error);
    return store_end_read(store, &call, view, status);
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
