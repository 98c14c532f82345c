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
    os_identity is;
    bool lost; /* the program has closed the descriptor */
};

/* By its number: a path may lead elsewhere by now. That a file is written to is
 * heard once it is closed: those that a store writes stay open. */
static int add(const os_watch *w, int fd)
{
    char path[PROC_PATH_SIZE];
    const uint32_t mask =
        IN_ONLYDIR | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return inotify_add_watch(w->held.fd, path, mask) < 0 ? -errno : 0;
}

static void end(os_watch *w, bool ours)
{
    os_held_close(&w->held, ours);
    mem_free(w);
}

int os_watch_open(const int *fds, size_t count, os_watch **out)
{
    os_watch *w = mem_alloc_zero(sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    struct stat info;
    int code = os_held_watch(&w->held);
    if (code != 0) {
        mem_free(w);
        return code;
    }
    code = os_look(w->held.fd, NULL, 0, &info);
    if (code == 0)
        w->is = os_identity_of(&info);
    for (size_t i = 0; i < count && code == 0; i++)
        code = add(w, fds[i]);
    if (code == 0)
        *out = w;
    else
        end(w, true);
    return code;
}

static int look(const os_watch *w)
{
    struct stat ignored;
    return os_look_again(w->held.fd, &w->is, &ignored);
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
bool os_watch_is_quiet(const os *sys, os_watch *w)
{
    (void)sys;
    int size;
    if (w->lost)
        return false;
    w->lost = ioctl(w->held.fd, FIONREAD, &size) < 0;
    if (w->lost || size == 0)
        return !w->lost;
    int code = look(w);
    w->lost = code == -EBADF;
    if (code == 0)
        drain(w, (size_t)size);
    return false;
}

void os_watch_close(const os *sys, os_watch *w)
{
    (void)sys;
    end(w, look(w) != -EBADF);
}
