// SPDX-License-Identifier: MIT
// The same in C++11, with no macro in braces: as persist.h says it.
#include <persist.h>
#include <sx.h>

static bool find(void *count, const persist_finding *)
{
    ++*static_cast<int *>(count);
    return true;
}

static bool commits(persist_store *store)
{
    persist_error error;
    persist_edit edits[2] = {};
    edits[0].kind = PERSIST_APPEND;
    edits[0].name = {"s", 1};
    edits[0].data = {"x", 1};
    edits[1].kind = PERSIST_PUT;
    edits[1].name = {"k", 1};
    persist_once once = {};
    once.id = {"id", 2};
    persist_outcome outcome = {};
    bool right = persist_commit(store, edits, 2, &once, &outcome, &error) ==
                     PERSIST_OK &&
                 outcome.kind == PERSIST_COMMITTED && outcome.seq_count == 1;
    persist_outcome_release(&outcome);
    return right;
}

static bool reads(persist_store *store)
{
    persist_error error;
    persist_cursor *cursor;
    persist_stats stats = {};
    stats.size = sizeof stats;
    persist_range range = {};
    range.size = sizeof range;
    range.prefix = {"k", 1};
    persist_slice tag = {"t", 1};
    persist_query_item item = {};
    item.tags = &tag;
    item.tag_count = 1;
    if (persist_get_stats(store, &stats, &error) != PERSIST_OK ||
        stats.events != 1 ||
        persist_query(store, &item, 1, 1, PERSIST_NO_LIMIT, PERSIST_LATEST,
                      &cursor, &error) != PERSIST_OK)
        return false;
    persist_cursor_close(cursor);
    if (persist_scan(store, &range, 1, PERSIST_LATEST, &cursor, &error) !=
        PERSIST_OK)
        return false;
    persist_status status = persist_next_key(cursor, nullptr, nullptr, &error);
    persist_cursor_close(cursor);
    return status == PERSIST_OK;
}

int main()
{
    persist_options options = {};
    options.size = sizeof options;
    options.create = true;
    persist_store *store;
    persist_error error;
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        return 1;
    bool right = commits(store) && reads(store);
    right = persist_close(store, &error) == PERSIST_OK && right;

    int found = 0;
    persist_progress progress = {};
    progress.size = sizeof progress;
    persist_watcher watcher = {};
    watcher.size = sizeof watcher;
    watcher.context = &found;
    watcher.found = find;
    options.path = "/nowhere";
    right = right &&
            persist_verify(&options, &watcher, &progress, &error) != PERSIST_OK;

    sx_options limits = {};
    limits.size = sizeof limits;
    limits.heap_max = 1 << 20;
    sx *machine;
    right = right && sx_open(&limits, &machine, &error) == PERSIST_OK;
    sx_close(machine);
    return right && found == 0 ? 0 : 1;
}
