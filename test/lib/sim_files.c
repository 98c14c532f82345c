/* SPDX-License-Identifier: MIT */
/* The files of a simulated disk. */
#include "sim_files.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

static size_t list(const os_sim *s, unsigned folder, const char *path,
                   sim_file *out, size_t count)
{
    const sim_entries *entries = &s->inodes[folder].entries;
    for (size_t i = 0; i < entries->count; i++) {
        const sim_entry *e = &entries->items[i];
        sim_file f = {.folder = folder, .inode = e->inode};
        const sim_inode *inode = &s->inodes[e->inode];
        int size = snprintf(f.path, sizeof f.path, "%s%s%s", path,
                            *path == '\0' ? "" : "/", e->name);
        CHECK(size > 0 && (size_t)size < sizeof f.path);
        f.is_dir = inode->is_dir;
        if (f.is_dir)
            count = list(s, e->inode, f.path, out, count);
        else
            f.bytes = slice_of(inode->now->data, inode->now->size);
        CHECK(count < SIM_FILES_MAX);
        out[count++] = f;
    }
    return count;
}

size_t sim_files(const os_sim *s, sim_file out[SIM_FILES_MAX])
{
    return list(s, SIM_ROOT, "", out, 0);
}

const sim_file *sim_files_find(const sim_file *files, size_t count,
                               const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

uint8_t *sim_file_set(os_sim *s, const sim_file *f, slice bytes)
{
    sim_inode *inode = &s->inodes[f->inode];
    CHECK(!inode->is_dir);
    sim_bytes *old = inode->now, *own = sim_bytes_new();
    sim_bytes_resize(&own, bytes.size);
    if (bytes.size > 0)
        memcpy(own->data, bytes.data, bytes.size);
    own->hash = 0;
    sim_bytes_unref(old);
    sim_bytes_unref(inode->durable);
    inode->now = own;
    inode->durable = sim_bytes_ref(own);
    inode->version_count = inode->size_count = 0;
    return own->data;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

void sim_file_put(os_sim *s, const sim_file *folder, const char *path,
                  slice bytes)
{
    CHECK(folder->is_dir);
    const char *name = name_of(path);
    const sim_entry *there =
        sim_entry_find(&s->inodes[folder->inode].entries, name);
    sim_file f = {.folder = folder->inode};
    if (there != NULL) {
        f.inode = there->inode;
    } else {
        f.inode = sim_inode_new(s, false);
        s->inodes[f.inode].links = 1;
        sim_entry_set(&s->inodes[folder->inode].entries, name, f.inode);
        sim_entry_set(&s->inodes[folder->inode].durable_entries, name, f.inode);
    }
    sim_file_set(s, &f, bytes);
}

void sim_file_delete(os_sim *s, const sim_file *f)
{
    const char *name = name_of(f->path);
    sim_inode *folder = &s->inodes[f->folder];
    CHECK(folder->is_dir);
    sim_entry_remove(&folder->entries, name);
    sim_entry_remove(&folder->durable_entries, name);
    folder->change_count = 0;
    s->inodes[f->inode].links--;
}
