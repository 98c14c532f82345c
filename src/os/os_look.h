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

/* When a file was changed last, in nanoseconds since 1970; 0 if that is not
 * known. *settled: so long ago that the clock of the file system has moved on.
 */
uint64_t os_look_changed(int fd, bool *settled);

#endif
