/* SPDX-License-Identifier: MIT */
/* Directories that are watched, with inotify: what happens to a name is in the
 * queue before the call that did it returns. */
#include "os/os_watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/os_fork.h"
#include "os/os_look.h"

enum { EVENTS_SIZE = 4096, PROC_PATH_SIZE = 40 };

struct os_watch {
    os_held held;
    struct stat is;
    bool lost; /* the program has closed the descriptor */
};

/* By its number: a path may lead elsewhere by now. */
static int add(const os_watch *w, int fd)
{
    char path[PROC_PATH_SIZE];
    const uint32_t mask = IN_ONLYDIR | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return inotify_add_watch(w->held.fd, path, mask) < 0 ? -errno : 0;
}

int os_watch_open(const int *fds, size_t count, os_watch **out)
{
    os_watch *w = mem_alloc_zero(sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    int code = os_held_watch(&w->held);
    if (code != 0) {
        mem_free(w);
        return code;
    }
    code = os_look(w->held.fd, NULL, 0, &w->is);
    for (size_t i = 0; i < count && code == 0; i++)
        code = add(w, fds[i]);
    if (code == 0)
        *out = w;
    else
        os_watch_close(w);
    return code;
}

static bool is_ours(const os_watch *w)
{
    struct stat now;
    return os_look(w->held.fd, NULL, 0, &now) == 0 &&
           now.st_dev == w->is.st_dev && now.st_ino == w->is.st_ino;
}

/* Takes what is in the queue out of it. */
static void drain(const os_watch *w, size_t size)
{
    char events[EVENTS_SIZE];
    for (size_t at = 0; at < size;) {
        ssize_t n = read(w->held.fd, events, sizeof events);
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

/* Nothing is read, so that nothing is taken from whoever may have this number
 * by now, unless there is something and the descriptor is what it was. */
bool os_watch_is_quiet(os_watch *w)
{
    int size;
    if (w->lost)
        return false;
    w->lost = ioctl(w->held.fd, FIONREAD, &size) < 0;
    if (!w->lost && size > 0)
        w->lost = !is_ours(w);
    if (w->lost)
        return false;
    if (size > 0)
        drain(w, (size_t)size);
    return size == 0;
}

void os_watch_close(os_watch *w)
{
    os_held_close(&w->held, is_ours(w));
    mem_free(w);
}
