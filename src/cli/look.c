/* SPDX-License-Identifier: MIT */
/* The commands that look into a store. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "cli/cli.h"
#include "sx.h"

/* A cursor's end is PERSIST_NONE; anything else but PERSIST_OK failed. */
static int finish(cli *c, persist_store *store, persist_cursor *cursor,
                  persist_status status, const persist_error *error)
{
    CHECK(status <= PERSIST_NONE || error->status == status);
    int code = 0;
    persist_cursor_close(cursor);
    if (!cli_flush(c))
        code = 1;
    if (status != PERSIST_OK && status != PERSIST_NONE)
        code = cli_fail(error);
    return cli_close(store, code);
}

/* ---- stat ------------------------------------------------------------- */

/* Nobody counts keys as they are put; so they are read. */
persist_status cli_count_keys(persist_store *store, uint64_t *count,
                              persist_error *error)
{
    persist_cursor *cursor = NULL;
    *count = 0;
    persist_status status = persist_scan(store, NULL, PERSIST_NO_LIMIT,
                                         PERSIST_LATEST, &cursor, error);
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, NULL, NULL, error);
        *count += status == PERSIST_OK;
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

/* In JSON a store that came of no other has null for its parent. */
static void put_identity(cli *c, persist_store *store)
{
    persist_identity_text self, parent;
    persist_status status = persist_identity(store, self, parent, NULL);
    CHECK(status == PERSIST_OK);
    bool has_parent = parent[0] != '\0';
    if (c->json)
        buf_printf(&c->out, "{\"identity\":\"%s\",\"parent\":%s%s%s", self,
                   has_parent ? "\"" : "", has_parent ? parent : "null",
                   has_parent ? "\"" : "");
    else
        buf_printf(&c->out, "%-11s%32s\n%-11s%32s\n", "identity", self,
                   "parent", has_parent ? parent : "none");
}

int cli_stat(cli *c)
{
    persist_stats s = {PERSIST_STATS};
    uint64_t keys;
    persist_error error;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    if (cli_count_keys(store, &keys, &error) != PERSIST_OK)
        return cli_close(store, cli_fail(&error));
    persist_get_stats(store, &s, NULL);
    const struct {
        const char *name, *key;
        uint64_t value;
    } rows[] = {
        {"streams", "streams", s.streams},
        {"events", "events", s.events},
        {"keys", "keys", keys},
        {"last commit", "last_commit", persist_latest(store)},
        {"log files", "log_files", s.segments},
        {"log files, spare", "log_files_spare", s.segments_spare},
        {"tables", "tables", s.tables},
        {"tables, at the most", "tables_max", s.tables_max},
        {"tables, bytes", "table_bytes", s.table_bytes},
        {"dead in tables, bytes", "dead_bytes", s.dead},
        {"dead, at the most", "dead_bytes_max", s.dead_max},
        {"replaced tables, bytes", "replaced_bytes", s.replaced},
        {"flushed, bytes", "flushed_bytes", s.flushed},
        {"merged, bytes", "merged_bytes", s.merged},
        {"merges of a byte at the most", "merge_passes", s.merge_passes},
        {"log read at opening, bytes", "replayed_bytes", s.replayed},
        {"memory of memtables, bytes", "memory_bytes", s.memory},
    };
    size_t count = sizeof rows / sizeof rows[0];
    put_identity(c, store);
    for (size_t i = 0; i < count; i++)
        if (c->json)
            buf_printf(&c->out, ",\"%s\":%" PRIu64, rows[i].key, rows[i].value);
        else
            buf_printf(&c->out, "%-28s%15" PRIu64 "\n", rows[i].name,
                       rows[i].value);
    if (c->json)
        buf_put_str(&c->out, "}\n");
    return cli_close(store, cli_flush(c) ? 0 : 1);
}

/* ---- streams ---------------------------------------------------------- */

static void put_stream(cli *c, slice name, const persist_stream_info *info)
{
    if (c->json) {
        buf_put_str(&c->out, "{\"stream\":");
        cli_put_json(c, name);
        buf_printf(&c->out,
                   ",\"last_seq\":%" PRIu64 ",\"first_seq\":%" PRIu64
                   ",\"count\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
                   info->mark, info->first, info->count, info->bytes);
        return;
    }
    buf_printf(&c->out, "%12" PRIu64 " %s last %-12" PRIu64 " ", info->count,
               info->count == 1 ? "event, " : "events,", info->mark);
    cli_put_quoted(c, name);
    buf_put_byte(&c->out, '\n');
}

/* The names that the options want; `after` has to stay. */
static persist_range range_of(const cli *c, slice *after)
{
    persist_range range = {PERSIST_RANGE};
    *after = slice_str(c->after == NULL ? "" : c->after);
    range.after = c->after == NULL ? NULL : after;
    range.prefix = slice_str(c->prefix == NULL ? "" : c->prefix);
    return range;
}

int cli_streams(cli *c)
{
    persist_error error;
    persist_cursor *cursor = NULL;
    slice name;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    slice after;
    const persist_range range = range_of(c, &after);
    persist_status status = persist_streams(store, &range, c->limit,
                                            PERSIST_DURABLE, &cursor, &error);
    while (status == PERSIST_OK && cli_flow(c)) {
        persist_stream_info info;
        status = persist_next_key(cursor, &name, NULL, &error);
        if (status == PERSIST_OK)
            status =
                persist_info(store, name, PERSIST_DURABLE, &info, NULL, &error);
        if (status == PERSIST_OK)
            put_stream(c, name, &info);
    }
    return finish(c, store, cursor, status, &error);
}

/* ---- read, log -------------------------------------------------------- */

static void put_event(cli *c, const persist_event *event, bool timed)
{
    if (!c->json) {
        if (timed) {
            cli_put_time(&c->out, event->time);
            buf_put_byte(&c->out, ' ');
        }
        cli_put_data(c, event->data);
        buf_put_byte(&c->out, '\n');
        return;
    }
    buf_put_str(&c->out, "{\"stream\":");
    cli_put_json(c, event->stream);
    buf_printf(&c->out, ",\"seq\":%" PRIu64 ",\"position\":%" PRIu64,
               event->seq, event->position);
    if (timed)
        buf_printf(&c->out, ",\"time\":%" PRIu64, event->time);
    buf_put_str(&c->out, ",\"event\":");
    cli_put_json(c, event->data);
    buf_put_str(&c->out, "}\n");
}

static int put_events(cli *c, persist_store *store, persist_cursor *cursor,
                      bool timed, persist_status status, persist_error *error)
{
    const persist_event *event;
    while (status == PERSIST_OK && cli_flow(c)) {
        status = persist_next_event(cursor, &event, error);
        if (status == PERSIST_OK)
            put_event(c, event, timed);
    }
    return finish(c, store, cursor, status, error);
}

int cli_read(cli *c)
{
    persist_error error;
    persist_cursor *cursor = NULL;
    persist_stream_info info;
    bool known;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    persist_status status = persist_info(
        store, slice_str(c->args[0]), PERSIST_DURABLE, &info, &known, &error);
    if (status == PERSIST_OK && !known)
        status = status_set(&error, SX_ERROR,
                            "there is no such stream; persist streams lists "
                            "them");
    if (status == PERSIST_OK)
        status = persist_read(store, slice_str(c->args[0]), c->from, c->limit,
                              PERSIST_DURABLE, &cursor, &error);
    return put_events(c, store, cursor, false, status, &error);
}

int cli_log(cli *c)
{
    persist_error error;
    persist_cursor *cursor = NULL;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    persist_status status = persist_read_all(store, c->from, c->limit,
                                             PERSIST_DURABLE, &cursor, &error);
    return put_events(c, store, cursor, true, status, &error);
}

/* ---- kv --------------------------------------------------------------- */

int cli_get(cli *c)
{
    persist_error error;
    slice value;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    persist_status status = persist_get(store, slice_str(c->args[0]),
                                        PERSIST_DURABLE, &value, &error);
    if (status == PERSIST_NONE)
        status = status_set(&error, SX_ERROR,
                            "there is no such key; persist kv keys lists them");
    if (status == PERSIST_OK) {
        if (c->json)
            cli_put_json(c, value);
        else
            cli_put_data(c, value);
        buf_put_byte(&c->out, '\n');
        persist_free(value.data);
    }
    return finish(c, store, NULL, status, &error);
}

int cli_keys(cli *c)
{
    persist_error error;
    persist_cursor *cursor = NULL;
    slice key;
    persist_store *store = cli_open(c->store, false);
    if (store == NULL)
        return 1;
    slice after;
    const persist_range range = range_of(c, &after);
    persist_status status =
        persist_scan(store, &range, c->limit, PERSIST_DURABLE, &cursor, &error);
    while (status == PERSIST_OK && cli_flow(c)) {
        status = persist_next_key(cursor, &key, NULL, &error);
        if (status != PERSIST_OK)
            break;
        if (c->json)
            cli_put_json(c, key);
        else
            cli_put_quoted(c, key);
        buf_put_byte(&c->out, '\n');
    }
    return finish(c, store, cursor, status, &error);
}
