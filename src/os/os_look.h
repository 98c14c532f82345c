/* SPDX-License-Identifier: MIT */
/* What a file is, without asking for its times. */
#ifndef OS_OS_LOOK_H
#define OS_OS_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* As fstatat; name NULL: as fstat. Fills device, inode, mode, links and size
 * alone: since Linux 6.13 whoever asks for a file's times has the next write
 * note its own exactly, and the sync after it write the inode, too. Returns 0
 * or a negative errno. */
int os_look(int fd, const char *name, int flags, struct stat *out);

/* Which file a descriptor led to when it was opened. */
typedef struct os_identity {
    dev_t device;
    ino_t inode;
} os_identity;

/* The one that a look at the descriptor has found. */
os_identity os_identity_of(const struct stat *);

/* Looks at a descriptor that is held for long: a program may have closed it
 * with others that are not its own, and opened something else. -EBADF: it has;
 * any other error: that could not be seen. */
int os_look_again(int fd, const os_identity *, struct stat *now);

/* Calls a function for each name in a directory, until it gives another code
 * than 0. */
int os_look_through(int dir, int (*each)(void *context, const char *name),
                    void *context);

/* Takes blocks for a file up to a size; *from: where the new ones begin.
 * Returns 0 or a negative errno, -EOPNOTSUPP where they can only be written to.
 */
int os_take_room(int fd, uint64_t size, uint64_t *from);

/* When a file was changed last, in nanoseconds since 1970; 0 if that is not
 * known. *settled: so long ago that the clock of the file system has moved on.
 */
uint64_t os_look_changed(int fd, bool *settled);

#endif
