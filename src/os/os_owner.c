/* SPDX-License-Identifier: MIT */
/* Giving away what root makes. */
#include "os/os_owner.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os_fork.h"

/* The current directory has no descriptor of its own. */
static bool owner_of(int fd, struct statx *out)
{
    return statx(fd, fd == AT_FDCWD ? "." : "",
                 fd == AT_FDCWD ? 0 : AT_EMPTY_PATH, STATX_UID | STATX_GID,
                 out) == 0;
}

void os_give_to_owner(int made, int dir)
{
    struct statx now, wanted;
    if (geteuid() != 0 || !owner_of(dir, &wanted) || wanted.stx_uid == 0 ||
        !owner_of(made, &now) || now.stx_uid != 0)
        return;
    if (fchown(made, wanted.stx_uid, wanted.stx_gid) != 0)
        return; /* as root's it serves root; its owner is told of it later */
}

void os_give_folder(int dir, const char *name)
{
    os_held made;
    if (dir == AT_FDCWD || geteuid() != 0 ||
        os_held_open(&made, dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                     0) != 0)
        return;
    os_give_to_owner(made.fd, dir);
    os_held_close(&made, true);
}
