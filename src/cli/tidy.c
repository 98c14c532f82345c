/* SPDX-License-Identifier: MIT */
/* persist compact, persist purge: figures on standard output, progress on
 * standard error. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/bar.h"
#include "cli/cli.h"

static bool show_progress(void *context, const persist_tidied *t)
{
    cli_bar_show(context, t->done, t->total, "");
    return true;
}

static const char *const reached[] = {
    "events that are truncated, with their types and tags",
    "values that are overwritten",
    "keys that are deleted, with their names and values",
    "files of the log that were used, older tables and manifests",
};
static const char *const not_reached[] = {
    "blobs, which are not deleted",
    "names of streams",
    "command ids, and the hashes and numbers of their commits",
    "backups and other copies, those of hard links too",
    "what the file system and the disk keep of deleted files",
};

static void put_list(cli *c, const char *name, const char *const *list,
                     size_t count)
{
    if (c->json)
        buf_printf(&c->out, ",\"%s\":[", name);
    else
        buf_printf(&c->out, "%s:\n", name);
    for (size_t i = 0; i < count; i++)
        if (c->json)
            buf_printf(&c->out, "%s\"%s\"", i == 0 ? "" : ",", list[i]);
        else
            buf_printf(&c->out, "  %s\n", list[i]);
    if (c->json)
        buf_put_byte(&c->out, ']');
}

#define PUT_LIST(c, name, list)                                                \
    put_list(c, name, list, sizeof(list) / sizeof *(list))

static void put_summary(cli *c, const persist_tidied *t, bool purges,
                        double seconds)
{
    const struct {
        const char *name, *key;
        uint64_t value;
    } rows[] = {
        {"before, bytes", "before_bytes", t->before},
        {"now, bytes", "now_bytes", t->now},
    };
    if (c->json)
        buf_put_byte(&c->out, '{');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (c->json)
            buf_printf(&c->out, "\"%s\":%" PRIu64 ",", rows[i].key,
                       rows[i].value);
        else
            buf_printf(&c->out, "%-14s%15" PRIu64 "\n", rows[i].name,
                       rows[i].value);
    buf_printf(&c->out, c->json ? "\"seconds\":%.3f" : "seconds       %15.3f\n",
               seconds);
    if (purges) {
        PUT_LIST(c, c->json ? "reached" : "no file has any more", reached);
        PUT_LIST(c, c->json ? "not_reached" : "not reached", not_reached);
    }
    if (c->json)
        buf_put_str(&c->out, "}\n");
}

static int run(cli *c, bool purges)
{
    persist_error error;
    cli_bar bar;
    persist_tidied out = {PERSIST_TIDIED};
    const char *dir = c->arg_count == 1 ? c->args[0] : c->store;
    const persist_tidy how = {PERSIST_TIDY, &bar, show_progress, c->timeout_ms};
    persist_store *store = cli_open(dir, false);
    if (store == NULL)
        return 1;
    cli_bar_begin(&bar, c->quiet);
    persist_status status = purges ? persist_purge(store, &how, &out, &error)
                                   : persist_compact(store, &how, &out, &error);
    cli_bar_clear(&bar);
    CHECK(status != PERSIST_NONE);
    if (status != PERSIST_OK)
        return cli_close(store, cli_fail(&error));
    int code = cli_close(store, 0);
    if (code == 0 && !c->quiet)
        put_summary(c, &out, purges, cli_bar_seconds(&bar));
    return cli_flush(c) ? code : 1;
}

int cli_compact(cli *c)
{
    return run(c, false);
}

int cli_purge(cli *c)
{
    return run(c, true);
}
