/* SPDX-License-Identifier: MIT */
/* persist verify: findings on standard output, progress on standard error. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/bar.h"
#include "cli/cli.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_DAMAGED = 1,
    EXIT_UNREAD = 1, /* as every command */
    EXIT_NOT_RUN = 2,
};

typedef struct reporter {
    cli *cli;
    cli_bar bar;
} reporter;

/* ---- progress --------------------------------------------------------- */

static bool show_progress(void *context, const persist_progress *p)
{
    reporter *r = context;
    char damaged[40];
    snprintf(damaged, sizeof damaged, "%" PRIu64 " damaged", p->damages);
    cli_bar_show(&r->bar, p->bytes, p->bytes_total, damaged);
    return true;
}

/* ---- findings --------------------------------------------------------- */

static const struct {
    const char *one, *many, *name, *number; /* for people; for programs */
} touched[] = {
    [PERSIST_TOUCHED_UNKNOWN] = {"", "", "name", "number"},
    [PERSIST_TOUCHED_EVENTS] = {"event", "events", "stream", "seq"},
    [PERSIST_TOUCHED_STREAMS] = {"stream", "streams", "stream", "seq"},
    [PERSIST_TOUCHED_KEYS] = {"key", "keys", "key", "number"},
    [PERSIST_TOUCHED_IDS] = {"command id", "command ids", "id", "number"},
    [PERSIST_TOUCHED_POSITIONS] = {"position", "positions", "name", "position"},
    [PERSIST_TOUCHED_COMMITS] = {"commit", "commits", "name", "lsn"},
    [PERSIST_TOUCHED_BLOB] = {"blob", "blobs", "cid", "number"},
    [PERSIST_TOUCHED_TAGS] = {"tag", "tags", "tag", "position"},
};

static void put_place(cli *c, slice name, uint64_t number)
{
    if (name.data != NULL)
        cli_put_quoted(c, name);
    if (name.data != NULL && number != 0)
        buf_put_byte(&c->out, ' ');
    if (number != 0)
        buf_printf(&c->out, "%" PRIu64, number);
}

/* "events "a" 3 to 7", "keys "k" to before "m"" */
static void put_touched(cli *c, const persist_finding *f)
{
    CHECK((size_t)f->touched < sizeof touched / sizeof *touched);
    bool same = f->end_name.data == NULL || slice_equal(f->name, f->end_name);
    bool numbers = same && f->end_number > f->number;
    bool many = f->end_name.data != NULL || f->end_number > f->number + 1;
    bool all = f->name.data == NULL && f->number == 0;
    if (f->touched == PERSIST_TOUCHED_UNKNOWN)
        return;
    buf_printf(&c->out, "; touched: %s%s ", all ? "all " : "",
               many || all ? touched[f->touched].many
                           : touched[f->touched].one);
    if (all)
        buf_put_str(&c->out, "of this file");
    if (f->touched == PERSIST_TOUCHED_COMMITS) {
        buf_printf(&c->out, "%" PRIu64, f->number);
        if (many)
            buf_printf(&c->out, " to %" PRIu64, f->end_number - 1);
        if (f->name.data != NULL) {
            buf_put_str(&c->out, ", it seems of ");
            cli_put_quoted(c, f->name);
        }
        return;
    }
    put_place(c, f->name, f->number);
    if (numbers && many)
        buf_printf(&c->out, " to %" PRIu64, f->end_number - 1);
    if (!same) {
        buf_put_str(&c->out, " to before ");
        put_place(c, f->end_name, f->end_number);
    }
}

static void put_finding(cli *c, const persist_finding *f)
{
    buf_printf(&c->out, "%s: ", f->damage ? "damage" : "remark");
    cli_put_data(c, slice_str(f->path));
    if (f->offset != STATUS_NO_OFFSET)
        buf_printf(&c->out, ", byte %" PRIu64, f->offset);
    buf_put_str(&c->out, ": ");
    cli_put_data(c, slice_str(f->what));
    put_touched(c, f);
    buf_put_str(&c->out, "; ");
    cli_put_data(c, slice_str(f->advice));
    buf_put_byte(&c->out, '\n');
}

static void put_json_place(cli *c, const persist_finding *f, const char *end,
                           slice name, uint64_t number)
{
    if (name.data != NULL) {
        buf_printf(&c->out, ",\"%s%s\":", end, touched[f->touched].name);
        cli_put_json(c, name);
    }
    if (number != 0)
        buf_printf(&c->out, ",\"%s%s\":%" PRIu64, end,
                   touched[f->touched].number, number);
}

static void put_json_finding(cli *c, const persist_finding *f)
{
    buf_printf(&c->out, "{\"finding\":\"%s\",\"path\":",
               f->damage ? "damage" : "remark");
    cli_put_json(c, slice_str(f->path));
    if (f->offset != STATUS_NO_OFFSET)
        buf_printf(&c->out, ",\"offset\":%" PRIu64, f->offset);
    buf_put_str(&c->out, ",\"what\":");
    cli_put_json(c, slice_str(f->what));
    if (f->touched != PERSIST_TOUCHED_UNKNOWN)
        buf_printf(&c->out, ",\"touched\":\"%s\"", touched[f->touched].many);
    put_json_place(c, f, "", f->name, f->number);
    put_json_place(c, f, "end_", f->end_name, f->end_number);
    buf_put_str(&c->out, ",\"advice\":");
    cli_put_json(c, slice_str(f->advice));
    buf_put_str(&c->out, "}\n");
}

static bool show_finding(void *context, const persist_finding *f)
{
    reporter *r = context;
    cli_bar_clear(&r->bar);
    if (r->cli->json)
        put_json_finding(r->cli, f);
    else
        put_finding(r->cli, f);
    return cli_flush(r->cli);
}

/* ---- summary ---------------------------------------------------------- */

static void put_summary(cli *c, const persist_progress *p, double seconds)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"files", p->files},   {"blocks", p->blocks},   {"commits", p->commits},
        {"events", p->events}, {"keys", p->keys},       {"blobs", p->blobs},
        {"bytes", p->bytes},   {"damages", p->damages}, {"remarks", p->remarks},
    };
    if (c->json)
        buf_put_byte(&c->out, '{');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buf_printf(&c->out,
                   c->json ? "\"%s\":%" PRIu64 "," : "%-12s%15" PRIu64 "\n",
                   rows[i].name, rows[i].value);
    buf_printf(&c->out,
               c->json ? "\"seconds\":%.3f}\n" : "seconds     %15.3f\n",
               seconds);
    if (c->json)
        return;
    buf_put_str(&c->out, p->damages == 0 ? "nothing is damaged\n"
                                         : "the store is damaged, see above\n");
}

int cli_verify(cli *c)
{
    persist_error error;
    persist_progress p = {PERSIST_PROGRESS};
    reporter r = {.cli = c};
    const char *dir = c->arg_count == 1 ? c->args[0] : c->store;
    persist_options options = {PERSIST_OPTIONS, .path = dir, .unmapped = true};
    persist_watcher watcher = {PERSIST_WATCHER, &r, show_finding,
                               show_progress};
    cli_bar_begin(&r.bar, c->quiet);
    persist_status status = persist_verify(&options, &watcher, &p, &error);
    cli_bar_clear(&r.bar);
    CHECK(status != PERSIST_NONE || c->closed);
    if (status > PERSIST_NONE) {
        (void)cli_fail(&error);
        return EXIT_NOT_RUN;
    }
    if (!c->quiet)
        put_summary(c, &p, cli_bar_seconds(&r.bar));
    if (!cli_flush(c))
        return c->unread ? EXIT_UNREAD : EXIT_NOT_RUN;
    return p.damages == 0 ? EXIT_CLEAN : EXIT_DAMAGED;
}
