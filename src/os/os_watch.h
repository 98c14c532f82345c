/* SPDX-License-Identifier: MIT */
/* Whether somebody has taken names out of directories, put others there, or
 * written to their files. */
#ifndef OS_OS_WATCH_H
#define OS_OS_WATCH_H

#include <stdbool.h>
#include <stddef.h>

typedef struct os os;
typedef struct os_watch os_watch;

/* Watches the directories of these descriptors. Returns 0 or a negative errno:
 * the system has no watches, or none left, or no /proc. */
int os_watch_open(const int *fds, size_t count, os_watch **out);

/* True: this system has taken no name away or put another in its place since
 * the last call, and closed no file that was open to be written to, whoever
 * asked it to. Of what is done elsewhere, to a network's file system, it knows
 * nothing. */
bool os_watch_is_quiet(const os *, os_watch *);

/* Ends it; a descriptor that is not ours any more stays as it is. */
void os_watch_close(const os *, os_watch *);

#endif
