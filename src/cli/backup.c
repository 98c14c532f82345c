/* SPDX-License-Identifier: MIT */
/* persist backup, persist restore: progress on standard error, and what was
 * done on standard output. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "os/os_stream.h"

/* While files are taken nobody knows how many there will be. */
static bool show_progress(void *context, const persist_kept *k)
{
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64 " copied, %" PRIu64 " linked",
             k->files, k->linked);
    if (k->to_verify > 0)
        cli_bar_show(context, k->verified, k->to_verify, "verified");
    else
        cli_bar_show(context, k->bytes + k->linked_bytes, 0, text);
    return true;
}

static void put_time(cli *c, uint64_t us)
{
    if (c->json) {
        buf_printf(&c->out, ",\"time\":%" PRIu64, us);
        return;
    }
    buf_put_str(&c->out, "time        ");
    cli_put_time(&c->out, us);
    buf_put_byte(&c->out, '\n');
}

static void put_summary(cli *c, const char *name, slice path,
                        const persist_kept *k)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"number", k->number}, {"lsn", k->lsn},     {"position", k->position},
        {"copied", k->files},  {"bytes", k->bytes}, {"linked", k->linked},
    };
    if (c->json) {
        buf_printf(&c->out, "{\"%s\":", name);
        cli_put_json(c, path);
    } else {
        buf_printf(&c->out, "%-12s", name);
        cli_put_data(c, path);
        buf_put_byte(&c->out, '\n');
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buf_printf(&c->out, c->json ? ",\"%s\":%" PRIu64 : "%-12s%" PRIu64 "\n",
                   rows[i].name, rows[i].value);
    put_time(c, k->time);
    if (c->json)
        buf_put_str(&c->out, "}\n");
}

/* What whoever links should know, once for each backup that does. */
static void warn_of_links(const cli *c, const persist_kept *k)
{
    if (!c->copy && !c->quiet && !c->json && k->linked > 0)
        os_stream_say("persist: linked files share the disk with the store, "
                      "and what a purge removes stays in them; --copy copies "
                      "all");
}

static int end(cli *c, const char *name, const char *path,
               const persist_kept *k)
{
    CHECK(path[0] != '\0');
    if (!c->quiet)
        put_summary(c, name, slice_str(path), k);
    return cli_flush(c) ? 0 : 1;
}

int cli_backup(cli *c)
{
    persist_error error;
    persist_kept k = {PERSIST_KEPT};
    cli_bar bar;
    char path[PERSIST_PATH_MAX];
    persist_store *store = cli_open(c->args[0], false);
    if (store == NULL)
        return 1;
    cli_bar_begin(&bar, c->quiet);
    const persist_back_up_options options = {
        PERSIST_BACK_UP, .path = c->args[1], .copy = c->copy,
        .progress = show_progress, .context = &bar};
    persist_status status = persist_back_up(store, &options, &k, &error);
    cli_bar_clear(&bar);
    int code = cli_close(store, 0);
    CHECK(status != PERSIST_NONE);
    if (status != PERSIST_OK)
        return cli_fail(&error);
    if (code != 0)
        return code;
    warn_of_links(c, &k);
    snprintf(path, sizeof path, "%s/%06" PRIu64, c->args[1], k.number);
    return end(c, "backup", path, &k);
}

int cli_restore(cli *c)
{
    persist_error error;
    persist_kept k = {PERSIST_KEPT};
    cli_bar bar;
    cli_bar_begin(&bar, c->quiet);
    const persist_restore_options options = {PERSIST_RESTORE,
                                             .path = c->args[0],
                                             .into = c->args[1],
                                             .at = !c->at ? PERSIST_AT_NEWEST
                                                   : c->at_time
                                                       ? PERSIST_AT_TIME
                                                       : PERSIST_AT_POSITION,
                                             .value = c->at_value,
                                             .progress = show_progress,
                                             .context = &bar};
    persist_status status = persist_restore(&options, &k, &error);
    cli_bar_clear(&bar);
    CHECK(status != PERSIST_NONE);
    return status == PERSIST_OK ? end(c, "restored", c->args[1], &k)
                                : cli_fail(&error);
}
