/* SPDX-License-Identifier: MIT */
/* The simulated operating system: locks, and who may write. */
#include <errno.h>

#include "os_sim_disk.h"

enum { SIM_PID = 4711 };

void sim_unlock(os_sim *s, unsigned number, const void *handle, bool shares)
{
    sim_inode *inode = &s->inodes[number];
    CHECK(inode->shared_by >= shares);
    inode->shared_by -= shares;
    if (inode->locked_by == handle)
        inode->locked_by = NULL;
}

static int take(os_sim *s, unsigned number, const void *handle, bool shared,
                bool *shares)
{
    sim_inode *inode = &s->inodes[number];
    unsigned others = inode->shared_by - *shares;
    bool taken = inode->locked_by != NULL && inode->locked_by != handle;
    if (taken || (!shared && others > 0))
        return -EWOULDBLOCK;
    sim_unlock(s, number, handle, *shares);
    *shares = shared;
    if (shared)
        inode->shared_by++;
    else
        inode->locked_by = handle;
    return 0;
}

int sim_file_lock(const os *o, os_file *file, bool shared, int64_t *holder)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_LOCK, 0);
    *holder = 0;
    if (rc != 0)
        return rc;
    rc = take(s, file->inode, file, shared, &file->shares);
    if (rc != 0 && s->inodes[file->inode].locked_by != NULL)
        *holder = SIM_PID;
    return rc;
}

int sim_dir_lock(const os *o, const os_dir *dir, bool shared)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_DIR_LOCK, 0);
    sim_dir *held = (sim_dir *)(uintptr_t)sim_dir_of(dir);
    return rc != 0 ? rc : take(s, held->inode, held, shared, &held->shares);
}

int sim_dir_protect(const os *o, const os_dir *dir)
{
    CHECK(!dir->gone);
    return sim_refuse(sim_of(o), SIM_PROTECT, 0);
}

int sim_dir_may_write(const os *o, const os_dir *dir)
{
    os_sim *s = sim_of(o);
    CHECK(!dir->gone);
    int rc = sim_refuse(s, SIM_MAY_WRITE, 0);
    return rc == 0 && s->read_only ? -EROFS : rc;
}
