/* SPDX-License-Identifier: MIT */
/* The simulated operating system: paths, and directories that are held open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os_sim_disk.h"

const sim_dir *sim_dir_of(const os_dir *dir)
{
    CHECK(!dir->gone);
    return (const sim_dir *)dir;
}

/* The directory that a directory is in. */
static unsigned above(const os_sim *s, unsigned inode)
{
    for (unsigned i = 0; i < s->inode_count && inode != SIM_ROOT; i++) {
        const sim_entries *entries = &s->inodes[i].entries;
        for (size_t k = 0; k < entries->count; k++)
            if (entries->items[k].inode == inode)
                return i;
    }
    return SIM_ROOT;
}

/* Steps into a directory; an empty name stays where it is. */
static int step(const os_sim *s, unsigned *at, const char *name)
{
    if (name[0] == '\0')
        return 0;
    const sim_entry *entry = sim_entry_find(&s->inodes[*at].entries, name);
    if (entry == NULL)
        return -ENOENT;
    *at = entry->inode;
    return s->inodes[*at].is_dir ? 0 : -ENOTDIR;
}

/* Finds the directory that holds the last component, which goes to name. */
int sim_find_parent(const os_sim *s, const os_dir *from, const char *path,
                    unsigned *dir, char name[SIM_NAME_MAX])
{
    if (from->gone)
        return -ENOENT;
    unsigned at = sim_dir_of(from)->inode;
    name[0] = '\0';
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        if (size >= SIM_NAME_MAX)
            return -ENAMETOOLONG;
        bool up = size == 2 && memcmp(path, "..", 2) == 0;
        if (up || (size > 0 && !(size == 1 && *path == '.'))) {
            int rc = step(s, &at, name);
            if (rc != 0)
                return rc;
            at = up ? above(s, at) : at;
            memcpy(name, path, up ? 0 : size);
            name[up ? 0 : size] = '\0';
        }
        path += size;
        path += *path == '/';
    }
    *dir = at;
    return 0;
}

int sim_find(const os_sim *s, const os_dir *from, const char *path,
             unsigned *inode)
{
    char name[SIM_NAME_MAX];
    unsigned dir;
    int rc = sim_find_parent(s, from, path, &dir, name);
    if (rc != 0)
        return rc;
    *inode = dir;
    if (name[0] == '\0')
        return 0;
    const sim_entry *entry = sim_entry_find(&s->inodes[dir].entries, name);
    if (entry == NULL)
        return -ENOENT;
    *inode = entry->inode;
    return 0;
}

sim_dir *sim_dir_new(unsigned inode, const char *above_path, const char *name)
{
    size_t size = strlen(above_path) + strlen(name) + 2;
    sim_dir *dir = sim_alloc(sizeof *dir + size);
    snprintf(dir->path, size, "%s%s%s", above_path,
             above_path[0] == '\0' ? "" : "/", name);
    dir->head.path = dir->path;
    dir->inode = inode;
    return dir;
}

int sim_dir_open(const os *o, const os_dir *from, const char *name,
                 os_dir **out)
{
    os_sim *s = sim_of(o);
    unsigned inode;
    int rc = sim_refuse(s, SIM_DIR_OPEN, 0);
    if (rc == 0)
        rc = sim_find(s, from, name, &inode);
    if (rc == 0 && !s->inodes[inode].is_dir)
        rc = -ENOTDIR;
    if (rc != 0)
        return rc;
    s->inodes[inode].opens++;
    s->open_files++;
    *out = &sim_dir_new(inode, from->path, name)->head;
    return 0;
}

void sim_dir_close(const os *o, os_dir *dir)
{
    os_sim *s = sim_of(o);
    sim_inode *inode = &s->inodes[sim_dir_of(dir)->inode];
    CHECK(inode->opens > 0 && s->open_files > 0 && dir != o->cwd);
    sim_unlock(s, sim_dir_of(dir)->inode, dir, sim_dir_of(dir)->shares);
    inode->opens--;
    s->open_files--;
    free(dir);
}

int sim_dir_remove(const os *o, const os_dir *from, const char *path)
{
    os_sim *s = sim_of(o);
    char name[SIM_NAME_MAX];
    unsigned dir, inode;
    int rc = sim_refuse(s, SIM_UNLINK, 0);
    if (rc == 0)
        rc = sim_find(s, from, path, &inode);
    if (rc == 0 && !s->inodes[inode].is_dir)
        rc = -ENOTDIR;
    if (rc == 0 && s->inodes[inode].entries.count > 0)
        rc = -ENOTEMPTY;
    if (rc == 0)
        rc = sim_find_parent(s, from, path, &dir, name);
    if (rc == 0)
        sim_disk_change(s, dir, name, "", 0);
    return rc;
}
