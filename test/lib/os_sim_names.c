/* SPDX-License-Identifier: MIT */
/* The simulated operating system: the calls that change names. */
#include <errno.h>
#include <string.h>

#include "os_sim_disk.h"

/* Begins a change of names: 0, and it is to be made, or it is refused. *answer
 * is what the call then returns: the server of a network's file system may have
 * done what its client tells an error of. */
static int does(os_sim *s, sim_call call, int *answer)
{
    int rc = sim_refuse(s, call, 0);
    bool done = s->fault.done && rc == -s->fault.error && !s->read_only;
    *answer = done ? rc : 0;
    return done ? 0 : rc;
}

int sim_rename(const os *o, const os_dir *from_at, const char *from,
               const os_dir *to_at, const char *to)
{
    os_sim *s = sim_of(o);
    char from_name[SIM_NAME_MAX], to_name[SIM_NAME_MAX];
    unsigned from_dir, to_dir, inode;
    int answer;
    s->name = from;
    int rc = does(s, SIM_RENAME, &answer);
    if (rc == 0)
        rc = sim_find_parent(s, from_at, from, &from_dir, from_name);
    if (rc == 0)
        rc = sim_find_parent(s, to_at, to, &to_dir, to_name);
    if (rc == 0)
        rc = sim_find(s, from_at, from, &inode);
    if (rc != 0)
        return rc;
    CHECK(from_name[0] != '\0' && to_name[0] != '\0');
    if (from_dir == to_dir && strcmp(from_name, to_name) == 0)
        return answer;
    if (from_dir == to_dir) {
        sim_disk_change(s, to_dir, from_name, to_name, inode);
        return answer;
    }
    sim_disk_change(s, to_dir, "", to_name, inode);
    sim_disk_change(s, from_dir, from_name, "", 0);
    return answer;
}

int sim_link(const os *o, const os_dir *from_at, const char *from,
             const os_dir *to_at, const char *to)
{
    os_sim *s = sim_of(o);
    char name[SIM_NAME_MAX];
    unsigned dir, inode;
    int answer;
    s->name = from;
    int rc = does(s, SIM_LINK, &answer);
    if (rc == 0)
        rc = sim_find(s, from_at, from, &inode);
    if (rc == 0)
        rc = s->inodes[inode].is_dir
                 ? -EPERM
                 : sim_find_parent(s, to_at, to, &dir, name);
    if (rc != 0)
        return rc;
    if (name[0] == '\0' || sim_entry_find(&s->inodes[dir].entries, name))
        return -EEXIST;
    sim_disk_change(s, dir, "", name, inode);
    return answer;
}

int sim_unlink(const os *o, const os_dir *from, const char *path)
{
    os_sim *s = sim_of(o);
    char name[SIM_NAME_MAX];
    unsigned dir, inode;
    int answer;
    s->name = path;
    int rc = does(s, SIM_UNLINK, &answer);
    if (rc == 0)
        rc = sim_find(s, from, path, &inode);
    if (rc == 0)
        rc = s->inodes[inode].is_dir
                 ? -EISDIR
                 : sim_find_parent(s, from, path, &dir, name);
    if (rc != 0)
        return rc;
    sim_disk_change(s, dir, name, "", 0);
    return answer;
}

int sim_dir_make(const os *o, const os_dir *from, const char *path)
{
    os_sim *s = sim_of(o);
    char name[SIM_NAME_MAX];
    unsigned dir;
    int answer;
    int rc = does(s, SIM_MKDIR, &answer);
    if (rc == 0)
        rc = sim_find_parent(s, from, path, &dir, name);
    if (rc != 0)
        return rc;
    if (name[0] == '\0' || sim_entry_find(&s->inodes[dir].entries, name))
        return -EEXIST;
    rc = sim_may_make(s);
    if (rc != 0)
        return rc;
    unsigned inode = sim_inode_new(s, true);
    s->inodes[inode].fresh = true;
    sim_disk_change(s, dir, "", name, inode);
    return answer;
}
