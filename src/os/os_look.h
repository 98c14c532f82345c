/* SPDX-License-Identifier: MIT */
/* What a file is, without asking for its times. */
#ifndef OS_OS_LOOK_H
#define OS_OS_LOOK_H

#include <sys/stat.h>

/* As fstatat; name NULL: as fstat. Fills device, inode, mode, links and size
 * alone: since Linux 6.13 whoever asks for a file's times has the next write
 * note its own exactly, and the sync after it write the inode, too. Returns 0
 * or a negative errno. */
int os_look(int fd, const char *name, int flags, struct stat *out);

#endif
