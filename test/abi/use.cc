// SPDX-License-Identifier: MIT
// A program in C++: the headers are for it too, macros and literals included.
#include <persist.h>
#include <sx.h>

#include <cstdio>
#include <cstring>

static bool has_refused(const persist_options &options)
{
    persist_store *store;
    persist_error error;
    persist_status status = persist_open(&options, &store, &error);
    return status == PERSIST_BAD_REQUEST && error.message[0] != '\0';
}

int main()
{
    persist_options options = {PERSIST_OPTIONS, .path = nullptr,
                               .create = true};
    persist_options sizeless = {};
    persist_store *store;
    persist_error error;
    if (!has_refused(sizeless) ||
        persist_open(&options, &store, &error) != PERSIST_OK)
        return 1;
    persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = {"s", 1}, .data = {"x", 1}},
        {.kind = PERSIST_PUT, .name = {"k", 1}},
    };
    persist_cursor *cursor, *names;
    persist_snapshot *snapshot;
    persist_range range = {PERSIST_RANGE, .backward = true,
                           .prefix = {"k", 1}};
    const persist_event *event;
    persist_stats stats = {PERSIST_STATS};
    bool right =
        persist_commit(store, edits, 2, nullptr, nullptr, &error) ==
            PERSIST_OK &&
        persist_read_all(store, 1, PERSIST_NO_LIMIT, PERSIST_DURABLE, &cursor,
                         &error) == PERSIST_OK &&
        persist_next_event(cursor, &event, &error) == PERSIST_OK &&
        event->seq == 1 &&
        persist_get_stats(store, &stats, &error) == PERSIST_OK &&
        stats.events == 1 &&
        persist_snapshot_open(store, PERSIST_DURABLE, &snapshot, &error) ==
            PERSIST_OK &&
        persist_snapshot_lsn(snapshot) == 1 &&
        persist_scan(store, &range, 1, snapshot, &names, &error) ==
            PERSIST_OK &&
        persist_next_key(names, nullptr, nullptr, &error) == PERSIST_OK &&
        persist_close(store, &error) == PERSIST_BAD_REQUEST;
    persist_snapshot_close(snapshot);
    persist_cursor_close(names);
    persist_cursor_close(cursor);
    sx_options limits = {SX_OPTIONS, .heap_max = 1 << 20};
    sx *machine;
    sx_value value;
    right = right && persist_close(store, &error) == PERSIST_OK &&
            sx_open(&limits, &machine, &error) == PERSIST_OK &&
            sx_read(machine, {")", 1}, &value, &error) == SX_SYNTAX &&
            std::strcmp(persist_status_code(SX_SYNTAX), "syntax") == 0 &&
            std::strcmp(persist_version(), PERSIST_VERSION) == 0;
    sx_close(machine);
    return right ? 0 : 1;
}
