/* SPDX-License-Identifier: MIT */
/* What a forked process inherits and must not have: the descriptors of a
 * store, for a lock goes with any of them; and its handles, for they speak of
 * locks and threads that are in the other process.
 *
 * Every descriptor is opened and closed here, so that a fork comes before or
 * behind each of these: the child closes all of its copies, and counts itself
 * as another process. */
#ifndef OS_OS_FORK_H
#define OS_OS_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A descriptor that a child of this process closes. */
typedef struct os_held {
    int fd;
    struct os_held *next, **link;
} os_held;

/* Changes in the child of a fork: a number of this process. */
extern _Atomic uint32_t os_process_number;

/* Watches forks from now on. Returns 0 or a negative errno. */
int os_fork_watch(void);

/* Opens as openat does; with O_CLOEXEC, and never one of the first three: what
 * the program prints would stand in the file. Returns 0 or a negative errno. */
int os_held_open(os_held *, int at, const char *name, int flags, unsigned mode);

/* Opens a queue of inotify in the same way; reading it does not wait. */
int os_held_watch(os_held *);

/* Closes it, as close does, unless it is not ours any more. */
int os_held_close(os_held *, bool ours);

static inline uint32_t os_process(void)
{
    return atomic_load_explicit(&os_process_number, memory_order_relaxed);
}

#endif
