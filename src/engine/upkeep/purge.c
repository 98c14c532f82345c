/* SPDX-License-Identifier: MIT */
/* Purging: compacting, and then no file has what was deleted before.
 *
 * The log goes on in new files that no other ones were made of, so that what
 * was committed by then is in files of lower numbers alone. All of it is put
 * into one table, which has what lives and no more. Two manifests later, when
 * those who read the older tables have left, the folders are looked through,
 * and every file of the store that is older goes, whoever was to delete it: a
 * deletion that failed is nobody's business else. A kill at any point leaves a
 * store like any other, and files that the next purge deletes.
 *
 * Each kind of file that can have such bytes has its place in `purge`: a store
 * that deletes blobs lets go of its packs there. */
#include <errno.h>

#include "base/mem.h"
#include "engine/upkeep/tidy.h"

/* ---- beginning -------------------------------------------------------- */

static persist_status begin(engine *e, const layers *v, void *context,
                            bool *did, persist_error *error)
{
    tidying *j = context;
    persist_status status = tidy_use(e, v, error);
    if (status != PERSIST_OK)
        return status;
    pthread_mutex_lock(&e->writer);
    status = wal_renew(&e->wal, &j->log_from, error);
    j->through = e->latest;
    pthread_mutex_unlock(&e->writer);
    j->done = j->renewed = *did = status == PERSIST_OK;
    j->failed += status == PERSIST_NO_SPACE;
    return status;
}

/* ---- what nobody needs goes ------------------------------------------- */

/* Whether a manifest may still list files of the log, or a table, that are to
 * go: there are two, and each is written anew. */
static bool is_listed(engine *e, const tidying *j)
{
    pthread_mutex_lock(&e->writer);
    bool has = wal_has_before(&e->wal, j->log_from);
    pthread_mutex_unlock(&e->writer);
    return has || dead_replaced(e, false) > 0 || e->leftovers.copied.count > 0;
}

/* Whether somebody still reads a table that is to go, or holds the log. */
static bool is_read(engine *e, const tidying *j)
{
    const upkeep *u = &e->upkeep;
    for (size_t i = 0; i < u->dropped_count; i++)
        if (u->dropped[i].table->footer.number < j->old)
            return true;
    return wal_holds_before(&e->wal, j->log_from);
}

static persist_status too_late(const tidying *j, persist_error *error)
{
    return status_set(error, PERSIST_BAD_REQUEST,
                      "%llu bytes of older tables, or files of the log, are "
                      "still in use, by cursors, snapshots or backups that "
                      "were opened before; close them, or wait longer for "
                      "them, and purge again",
                      (unsigned long long)j->out->kept);
}

static persist_status let_go(engine *e, const layers *v, void *context,
                             bool *did, persist_error *error)
{
    tidying *j = context;
    persist_status status = tidy_use(e, v, error);
    tidy_look(j, v);
    j->waits = false;
    if (status != PERSIST_OK)
        return status;
    *did = leftovers_step(e);
    if (*did)
        return PERSIST_OK;
    (void)upkeep_sweep(e);
    if (is_listed(e, j)) {
        status = upkeep_settle(e, error);
        *did = status == PERSIST_OK;
        j->failed += status == PERSIST_NO_SPACE;
        return status;
    }
    j->waits = is_read(e, j);
    j->done = !j->waits || e->sys->clock_us(e->sys) >= j->until_us;
    return PERSIST_OK;
}

/* ---- every older file goes -------------------------------------------- */

typedef struct listing {
    const tidying *job;
    const layers *layers;
    bool of_log;
    number_list list;
} listing;

/* Tables that are in no manifest, and in nobody's hands. */
static bool is_table_needed(const engine *e, const layers *v, uint64_t number)
{
    const upkeep *u = &e->upkeep;
    bool needed = u->merging && u->merge.writer.footer.number == number;
    for (size_t i = 0; i < v->table_count; i++)
        needed = needed || v->tables[i]->footer.number == number;
    for (size_t i = 0; i < u->dropped_count; i++)
        needed = needed || u->dropped[i].table->footer.number == number;
    return needed;
}

static int note(void *context, const char *name)
{
    listing *l = context;
    const engine *e = l->job->e;
    number_list *list = &l->list;
    uint64_t number;
    bool goes = l->of_log
                    ? segment_number(name, &number) && number < l->job->log_from
                    : table_number(name, &number) && number < e->next_table &&
                          !is_table_needed(e, l->layers, number);
    if (!goes)
        return 0;
    CHECK(!l->of_log || !manifest_lists(&e->manifest, number));
    if (!mem_grow(&list->numbers, list->count, 1, &list->capacity,
                  sizeof *list->numbers))
        return -ENOMEM;
    list->numbers[list->count++] = number;
    return 0;
}

static int delete_table(engine *e, uint64_t number)
{
    char path[PERSIST_PATH_MAX];
    int code = table_path(&e->table_place, number, path);
    return code == 0 && table_is_ours(&e->table_place, number)
               ? e->sys->unlink(e->sys, e->at.tables.dir, os_name(path))
               : code;
}

/* Of a folder; and that they are gone is durable. */
static int delete_older(tidying *j, const layers *v, bool of_log,
                        const os_dir *dir)
{
    engine *e = j->e;
    CHECK(j->renewed && j->log_from > 0);
    listing l = {.job = j, .layers = v, .of_log = of_log};
    int code = e->sys->dir_list(e->sys, dir, note, &l);
    for (size_t i = 0; i < l.list.count && code == 0; i++) {
        uint64_t number = l.list.numbers[i];
        code = of_log ? leftovers_delete_segment(&e->wal.place, number)
                      : delete_table(e, number);
        j->out->files += code == 0;
        if (code == -ENOENT)
            code = 0;
    }
    mem_free(l.list.numbers);
    return code == 0 ? os_dir_sync(e->sys, dir) : code;
}

static persist_status delete_all(engine *e, const layers *v, void *context,
                                 bool *did, persist_error *error)
{
    tidying *j = context;
    const char *path = e->at.log.dir->path;
    persist_status status = tidy_use(e, v, error);
    if (status != PERSIST_OK)
        return status;
    wal_drop_free(&e->wal, 0);
    int code = delete_older(j, v, true, e->at.log.dir);
    if (code == 0) {
        path = e->at.tables.dir->path;
        code = delete_older(j, v, false, e->at.tables.dir);
    }
    if (code == 0) {
        path = e->at.root->path;
        code = manifest_drop_temporary(e->sys, e->at.root);
    }
    j->done = *did = code == 0;
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "delete older files in", path);
}

/* ---- the whole -------------------------------------------------------- */

static persist_status purge(tidying *j, persist_error *error)
{
    persist_status status = tidy_go_on(j, begin, error);
    if (status == PERSIST_OK)
        status = tidy_go_on(j, tidy_compact, error);
    if (status == PERSIST_OK)
        status = tidy_go_on(j, let_go, error);
    if (status == PERSIST_OK && j->waits)
        status = too_late(j, error);
    return status == PERSIST_OK ? tidy_go_on(j, delete_all, error) : status;
}

persist_status upkeep_purge(engine *e, const persist_tidy *tidy,
                            persist_tidied *out, persist_error *error)
{
    tidying j = {.e = e, .tidy = tidy, .out = out, .anew = true};
    uint64_t now = e->sys->clock_us(e->sys);
    uint64_t most = (UINT64_MAX - 1 - now) / 1000;
    j.until_us =
        tidy->timeout_ms <= most ? now + tidy->timeout_ms * 1000 : UINT64_MAX;
    persist_status status = tidy_run(&j, purge, error);
    if (j.renewed)
        wal_renew_end(&e->wal);
    return status;
}
