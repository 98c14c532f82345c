/* SPDX-License-Identifier: MIT */
/* What lies in the folders of a store on a simulated disk. */
#include "space.h"

#include <stdio.h>
#include <string.h>

#include "engine/files/layout.h"
#include "engine/log/segment.h"
#include "engine/table/table_file.h"
#include "sim_files.h"

/* Files of others: their numbers are higher than any that a trial gives. */
static const struct {
    const char *folder, *name, *bytes;
} strays[] = {
    {LAYOUT_LOG, "notes.txt", "somebody's"},
    {LAYOUT_LOG, "00000000000a0000.log", "no segment"},
    {LAYOUT_TABLES, "00000000000a0000.tbl",
     "no table, although it has a name like one and is longer than a header"},
    {LAYOUT_TABLES, "readme", ""},
    {LAYOUT_TEMPORARY, "mine", "kept"},
    {LAYOUT_BLOBS, "ffffffff00000000.pack", "no pack"},
};
enum { STRAYS = sizeof strays / sizeof *strays };

static const sim_inode *below(const os_sim *s, const sim_inode *in,
                              const char *name)
{
    const sim_entry *e = in == NULL ? NULL : sim_entry_find(&in->entries, name);
    return e == NULL ? NULL : &s->inodes[e->inode];
}

static const sim_inode *store_of(const os_sim *s)
{
    return below(s, &s->inodes[SIM_ROOT], "store");
}

static bool is_stray(const char *name)
{
    for (size_t i = 0; i < STRAYS; i++)
        if (strcmp(strays[i].name, name) == 0)
            return true;
    return false;
}

static void load(const os_sim *s, const char *name, manifest *out)
{
    const sim_inode *file = below(s, store_of(s), name);
    persist_error ignored;
    if (file != NULL)
        (void)manifest_decode(slice_of(file->now->data, file->now->size), out,
                              &ignored);
}

static bool lists_table(const manifest *m, uint64_t number)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].number == number)
            return true;
    return false;
}

space_files space_count(const os_sim *s)
{
    space_files n = {0};
    manifest m[2] = {{0}, {0}};
    load(s, "manifest.0", &m[0]);
    load(s, "manifest.1", &m[1]);
    const sim_inode *folder = below(s, store_of(s), LAYOUT_LOG);
    uint64_t number;
    for (size_t i = 0; folder != NULL && i < folder->entries.count; i++) {
        const char *name = folder->entries.items[i].name;
        if (is_stray(name) || !segment_number(name, &number))
            continue;
        n.segments++;
        n.segments_unlisted +=
            !manifest_lists(&m[0], number) && !manifest_lists(&m[1], number);
    }
    folder = below(s, store_of(s), LAYOUT_TABLES);
    for (size_t i = 0; folder != NULL && i < folder->entries.count; i++) {
        const char *name = folder->entries.items[i].name;
        if (is_stray(name) || !table_number(name, &number))
            continue;
        n.tables++;
        n.tables_unlisted +=
            !lists_table(&m[0], number) && !lists_table(&m[1], number);
    }
    folder = below(s, store_of(s), LAYOUT_TEMPORARY);
    for (size_t i = 0; folder != NULL && i < folder->entries.count; i++)
        n.temporary += !is_stray(folder->entries.items[i].name);
    manifest_release(&m[0]);
    manifest_release(&m[1]);
    return n;
}

void space_add_strays(os_sim *s)
{
    for (size_t i = 0; i < STRAYS; i++) {
        const sim_inode *in = below(s, store_of(s), strays[i].folder);
        if (in == NULL)
            continue;
        sim_file folder = {.inode = (unsigned)(in - s->inodes), .is_dir = true};
        sim_file_put(s, &folder, strays[i].name, slice_str(strays[i].bytes));
    }
}

/* ---- while a fault lasts ---------------------------------------------- */

enum { UNLISTED_MAX = 8 }; /* in the making, waiting, or of an earlier try */

void space_note_let_go(persist_store *store, space_let_go *l)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(store, &stats, NULL);
    if (stats.tables > l->tables)
        l->tables = stats.tables;
    if (stats.segments > l->segments)
        l->segments = stats.segments;
}

bool space_is_bounded(const os_sim *sim, persist_store *store,
                      const space_let_go *l, char why[SPACE_WHY])
{
    space_files n = space_count(sim);
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(store, &stats, NULL);
    uint64_t segments = stats.segments + stats.segments_spare;
    bool tables = n.tables_unlisted <= UNLISTED_MAX + l->tables;
    bool log = n.segments <= segments + UNLISTED_MAX + l->segments;
    if (!tables)
        snprintf(why, SPACE_WHY, "%zu tables in no manifest",
                 n.tables_unlisted);
    else if (!log)
        snprintf(why, SPACE_WHY, "%zu files of the log for %llu segments",
                 n.segments, (unsigned long long)stats.segments);
    return tables && log;
}

bool space_is_clean(const os_sim *sim, char why[SPACE_WHY])
{
    space_files n = space_count(sim);
    snprintf(why, SPACE_WHY,
             "left on the disk: %zu tables, %zu segments, %zu temporary files",
             n.tables_unlisted, n.segments_unlisted, n.temporary);
    return n.tables_unlisted + n.segments_unlisted + n.temporary == 0;
}
