/* SPDX-License-Identifier: MIT */
/* Verifying a store: the files that nothing needs. A crash leaves some, and
 * somebody may have put others there: remarks, no damage. */
#include <string.h>

#include "engine/blob/blob.h"
#include "engine/files/files.h"
#include "engine/log/log.h"
#include "engine/verify/verify_parts.h"

typedef struct folder_check {
    verifier *verifier;
    const os_dir *dir;
    /* What a name is: NULL, or what to say of it. */
    const char *(*judge)(const verifier *, const char *name);
} folder_check;

static const char foreign[] = "a file that is no part of the store",
                  foreign_folder[] = "a folder that is no part of the store";
static const char unfinished[] = "an unfinished file, as a crash leaves it";

/* What the store makes are files; a name is nothing of itself. */
static bool is_no_file(const verifier *v, const os_dir *dir, const char *name)
{
    os_stat stat;
    return v->sys->stat(v->sys, dir, name, &stat) == 0 && !stat.is_file;
}

static const char *judge_store(const verifier *v, const char *name)
{
    CHECK(v->dir[0] != '\0');
    if (manifest_is_temporary(name))
        return unfinished;
    if (strcmp(name, LAYOUT_RESERVE) == 0 && is_no_file(v, v->root, name))
        return foreign;
    return layout_has(name) ? NULL : foreign;
}

/* What the log needs, or an opening would read to its end, was looked at. */
static const char *judge_segment(const verifier *v, const char *name)
{
    uint64_t number;
    const manifest *m = &v->newest;
    CHECK(v->log.dir != NULL);
    if (!segment_number(name, &number))
        return foreign;
    if (!v->newest_known)
        return NULL;
    if (!numbered_is_near(number, m->next_segment))
        return foreign;
    bool idle = number < m->next_segment && !manifest_lists(m, number);
    return idle && is_no_file(v, v->log.dir, name) ? foreign : NULL;
}

static const char *judge_table(const verifier *v, const char *name)
{
    uint64_t number;
    if (!table_number(name, &number))
        return foreign;
    if (v->newest_known && !numbered_is_near(number, v->newest.next_table))
        return foreign;
    bool known = manifest_lists_table(&v->newest, number) ||
                 manifest_lists_table(&v->previous, number) || !v->newest_known;
    const table_place place = {
        .sys = v->sys, .dir = v->tables.dir, .identity = v->newest.identity};
    return known ? NULL : table_is_ours(&place, number) ? unfinished : foreign;
}

static const char *judge_temporary(const verifier *v, const char *name)
{
    CHECK(v->temporary.dir != NULL);
    return blob_is_temporary(name) ? unfinished : foreign;
}

/* A folder is nothing that the store has made; where it writes its next
 * manifest, it is in the way. */
static persist_finding describe(const folder_check *c, const char *name,
                                const char *what)
{
    os_stat stat;
    const os *sys = c->verifier->sys;
    bool folder = sys->stat(sys, c->dir, name, &stat) == 0 && stat.is_dir;
    persist_finding f = {.what = what, .offset = STATUS_NO_OFFSET};
    f.damage = folder && manifest_is_temporary(name);
    if (f.damage)
        f.what = "a folder is in the place of a file";
    else if (folder)
        f.what = foreign_folder;
    f.advice = f.damage                      ? "move it away"
               : folder || f.what == foreign ? "it is left alone"
                                             : "the store removes it";
    return f;
}

static int visit(void *context, const char *name)
{
    folder_check *c = context;
    char path[PERSIST_PATH_MAX];
    const char *what = c->judge(c->verifier, name);
    if (what == NULL || os_join(path, sizeof path, c->dir->path, name) != 0)
        return 0;
    persist_finding f = describe(c, name, what);
    f.path = path;
    return verify_found(c->verifier, &f) ? 0 : 1;
}

bool verify_rest(verifier *v)
{
    const folder_check checks[] = {
        {v, v->root, judge_store},
        {v, v->log.dir, judge_segment},
        {v, v->tables.dir, judge_table},
        {v, v->temporary.dir, judge_temporary},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        folder_check c = checks[i];
        /* a folder that is missing has been reported */
        v->sys->dir_list(v->sys, c.dir, visit, &c);
        if (v->status != PERSIST_OK)
            return false;
    }
    return true;
}
