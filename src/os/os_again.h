/* SPDX-License-Identifier: MIT */
/* Calls of the system that a signal has interrupted. */
#ifndef OS_OS_AGAIN_H
#define OS_OS_AGAIN_H

#include <errno.h>
#include <stdbool.h>

/* So often in a row no signal comes that means no harm. */
enum { OS_AGAIN_MAX = 100 };

/* Tells whether a call that gave this is to be made again at once. times: how
 * often it was, 0 at first. */
static inline bool os_again(int code, int *times)
{
    return code == -EINTR && ++*times < OS_AGAIN_MAX;
}

#endif
