/* SPDX-License-Identifier: MIT */
/* Verifying a store: the manifests, the folders, and the way through. */
#include "engine/verify/verify.h"

#include "engine/verify/verify_parts.h"

#include <errno.h>

#include "engine/files/files.h"

/* ---- manifests -------------------------------------------------------- */

/* A manifest of another version is no damage: the store is another program's.
 * spare: the other one is whole. */
static bool manifest_failed(verifier *v, persist_status status, bool spare,
                            const persist_error *error)
{
    CHECK(status > PERSIST_NONE);
    const char *advice = spare ? MANIFEST_SPARE_ADVICE : NULL;
    if (status != PERSIST_BAD_STORE)
        return verify_failed(v, error, (persist_finding){.advice = advice});
    v->status = status;
    if (v->error != NULL)
        *v->error = *error;
    return false;
}

/* Both are whole: whether they make a pair. */
static bool verify_pair(verifier *v)
{
    persist_error error;
    manifest newest, previous;
    persist_status status =
        manifest_load(v->sys, v->root, &newest, &previous, &error);
    manifest_release(&newest);
    manifest_release(&previous);
    v->newest_known = status == PERSIST_OK;
    return v->newest_known || verify_failed(v, &error, (persist_finding){0});
}

/* Takes the newest that can be read for the truth. */
static bool verify_manifests(verifier *v)
{
    persist_error error[2];
    persist_status status[2];
    manifest m[2];
    bool go_on = true;
    unsigned damaged = 0;
    for (unsigned i = 0; i < 2; i++) {
        status[i] = manifest_load_one(v->sys, v->root, i, &m[i], &error[i]);
        v->progress->files += status[i] != PERSIST_NONE;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (status[i] <= PERSIST_NONE)
            continue;
        manifest_release(&m[i]);
        damaged++;
        bool spare = manifest_is_spare(status[i], status[1 - i]);
        if (go_on)
            go_on = manifest_failed(v, status[i], spare, &error[i]);
    }
    unsigned newest = m[1].generation > m[0].generation;
    v->newest = m[newest];
    v->previous = m[!newest];
    v->newest_known = damaged == 0 && go_on;
    return v->newest_known ? verify_pair(v) : go_on;
}

/* ---- folders ---------------------------------------------------------- */

static bool missing(verifier *v, const layout_folder *f, bool replaced)
{
    persist_finding finding = {.damage = true,
                               .what = "a folder of the store is missing",
                               .advice = VERIFY_RESTORE,
                               .path = f->path,
                               .offset = STATUS_NO_OFFSET};
    CHECK(f->opened == NULL && f->path[0] != '\0');
    if (replaced) {
        finding.what = "a file is in the place of a folder";
        finding.advice = "put the folder that belongs there in its place, or "
                         "restore the store from a backup";
    }
    v->blobs_told = v->blobs_told || f == &v->blobs;
    return verify_found(v, &finding);
}

/* Copies may lack one in which nothing was. */
static bool open_folder(verifier *v, const char *name, bool needed,
                        layout_folder *f)
{
    persist_error error;
    int code = layout_find_folder(v->sys, v->root, name, f);
    if (code == 0 || (code == -ENOENT && !needed))
        return true;
    if (code == -ENOENT || code == -ENOTDIR)
        return missing(v, f, code == -ENOTDIR);
    os_failed(&error, code, "open", f->path);
    return verify_failed(v, &error, (persist_finding){0});
}

static bool verify_folders(verifier *v)
{
    const manifest *m = &v->newest;
    bool known = v->newest_known;
    return open_folder(v, LAYOUT_LOG, !known || manifest_needs_log(m),
                       &v->log) &&
           open_folder(v, LAYOUT_TABLES, !known || m->table_count > 0,
                       &v->tables) &&
           open_folder(v, LAYOUT_BLOBS, !known, &v->blobs) &&
           open_folder(v, LAYOUT_TEMPORARY, false, &v->temporary);
}

static void close_folders(verifier *v)
{
    const layout_folder *all[] = {&v->log, &v->tables, &v->blobs,
                                  &v->temporary};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->opened != NULL)
            v->sys->dir_close(v->sys, all[i]->opened);
}

/* ---- the way through -------------------------------------------------- */

/* With the locks held. */
static persist_status verify_parts(verifier *v)
{
    verify_look(v);
    hashmap_init(&v->late, 0);
    bool go_on =
        verify_manifests(v) && verify_folders(v) && verify_count_blobs(v);
    const manifest *m = &v->newest;
    for (size_t i = 0; i < m->table_count; i++)
        v->progress->bytes_total += m->tables[i].size;
    for (size_t i = 0; i < m->segment_count; i++)
        v->progress->bytes_total += m->segments[i].end;
    if (go_on && m->generation > 0)
        go_on = verify_tables(v) && verify_log(v);
    go_on = verify_late_blobs(v) && go_on;
    if (go_on && v->blobs.opened == NULL && v->newest_known &&
        v->progress->blobs > 0 && !v->blobs_told)
        go_on = missing(v, &v->blobs, false);
    if (go_on)
        go_on = verify_blob_files(v);
    CHECK(go_on == (v->status == PERSIST_OK));
    if (go_on && verify_rest(v) && verify_unread(v))
        verify_could_look(v);
    manifest_release(&v->newest);
    manifest_release(&v->previous);
    close_folders(v);
    return v->status;
}

persist_status verify_store(const persist_options *options,
                            const persist_watcher *watcher,
                            persist_progress *progress, persist_error *error)
{
    os own;
    char path[PERSIST_PATH_MAX];
    layout at = {0};
    verifier v = {.watcher = watcher, .progress = progress, .error = error};
    v.sys = system_of(options, &own);
    CHECK(v.sys->version == OS_VERSION);
    if (!layout_path(options->path, path, error))
        return PERSIST_BAD_REQUEST;
    persist_error why;
    persist_status status = layout_open(v.sys, path, false, &at, &why);
    v.dir = path;
    v.root = at.root;
    if (status == PERSIST_OK)
        status = layout_check(v.sys, v.root, false, &why);
    if (status == PERSIST_OK)
        status = layout_lock(v.sys, &at, false, &why);
    if (status == PERSIST_OK)
        status = verify_parts(&v);
    else if (status == PERSIST_CORRUPT)
        status = verify_failed(&v, &why, (persist_finding){0}) ? PERSIST_OK
                                                               : v.status;
    else if (error != NULL)
        *error = why;
    layout_release(v.sys, &at);
    return status;
}
