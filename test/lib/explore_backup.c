/* SPDX-License-Identifier: MIT */
/* Backups in a sequence of ops: begun, taken, and compared with the model. */
#include "explore.h"
#include "take.h"

static const char copy_path[] = "copy";

persist_status explore_back_up(explorer *x, persist_error *error)
{
    CHECK(x->backup == NULL && !x->in_memory);
    persist_status status =
        persist_backup_begin(x->store, &x->backup, &x->backed, error);
    CHECK((status == PERSIST_OK) == (x->backup != NULL));
    return status;
}

void explore_end_backup(explorer *x)
{
    persist_backup_end(x->backup);
    x->backup = NULL;
}

static bool note_damage(void *context, const persist_finding *f)
{
    explore_fail(context, "damage in a backup: %s at %lld: %s", f->path,
                 (long long)f->offset, f->what);
    return true;
}

/* What was taken is whole, and is the store after that commit. */
static void compare(explorer *x, os_sim *place)
{
    const persist_options options = {PERSIST_OPTIONS, .path = copy_path,
                                     .os = os_sim_os(place)};
    const persist_watcher watcher = {PERSIST_WATCHER, x, note_damage, NULL};
    persist_error error;
    persist_store *copy = NULL;
    buf why = {0};
    x->checks++;
    if (persist_verify(&options, &watcher, NULL, &error) != PERSIST_OK ||
        persist_open(&options, &copy, &error) != PERSIST_OK) {
        explore_fail(x, "a backup does not open: %s", error.message);
        return;
    }
    if (persist_latest(copy) != x->backed.lsn ||
        persist_position(copy, PERSIST_LATEST) != x->backed.position)
        explore_fail(x, "a backup of commit %llu is one of %llu",
                     (unsigned long long)x->backed.lsn,
                     (unsigned long long)persist_latest(copy));
    else if (!model_matches(&x->model, copy, PERSIST_LATEST, &why))
        explore_fail(x, "a backup shows something else: %.*s", (int)why.size,
                     (const char *)why.data);
    for (size_t i = 0; i < x->blob_count && !x->failed; i++)
        if (x->blobs[i].lsn <= x->backed.lsn &&
            op_read_blob(copy, x->blobs[i].op, &error) != PERSIST_OK)
            explore_fail(x, "a blob is not in a backup");
    persist_close(copy, NULL);
    buf_release(&why);
}

void explore_compare_backup(explorer *x, os_sim *place)
{
    if (place == NULL)
        return;
    compare(x, place);
    os_sim_free(place);
}

persist_status explore_take_backup(explorer *x, os_sim **out,
                                   persist_error *error)
{
    taken t = {0};
    os_sim *place = os_sim_new(x->seed);
    CHECK(x->backup != NULL);
    persist_status status =
        take_backup(os_sim_os(place), x->backup, copy_path, &t, error);
    explore_end_backup(x);
    CHECK(status != PERSIST_NONE);
    if (status != PERSIST_OK)
        os_sim_free(place);
    *out = status == PERSIST_OK ? place : NULL;
    return status;
}
