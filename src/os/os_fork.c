/* SPDX-License-Identifier: MIT */
/* What a forked process must not have. */
#include "os/os_fork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/check.h"
#include "os/os_again.h"

_Atomic uint32_t os_process_number;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static os_held *held;
static int watching;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    for (os_held *h = held; h != NULL; h = h->next) {
        close(h->fd);
        h->fd = -1;
    }
    held = NULL;
    atomic_fetch_add(&os_process_number, 1);
    pthread_mutex_unlock(&lock);
}

static void watch(void)
{
    watching = -pthread_atfork(before_fork, in_parent, in_child);
}

int os_fork_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int code = pthread_once(&once, watch);
    CHECK(code == 0);
    return watching;
}

static int above_streams(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int why = errno;
    close(fd);
    errno = why;
    return moved;
}

/* With the lock held: what a call has given. */
static int keep(os_held *h, int fd)
{
    h->fd = above_streams(fd);
    if (h->fd < 0)
        return -errno;
    h->next = held;
    h->link = &held;
    if (held != NULL)
        held->link = &h->next;
    held = h;
    return 0;
}

int os_held_open(os_held *h, int at, const char *name, int flags, unsigned mode)
{
    int code = os_fork_watch(), fd, again = 0;
    if (code != 0)
        return code;
    pthread_mutex_lock(&lock);
    do {
        fd = openat(at, name, flags | O_CLOEXEC, mode);
    } while (fd < 0 && os_again(-errno, &again));
    code = keep(h, fd);
    pthread_mutex_unlock(&lock);
    return code;
}

int os_held_watch(os_held *h)
{
    int code = os_fork_watch();
    if (code != 0)
        return code;
    pthread_mutex_lock(&lock);
    code = keep(h, inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    pthread_mutex_unlock(&lock);
    return code;
}

int os_held_close(os_held *h, bool ours)
{
    CHECK(h->fd > STDERR_FILENO);
    pthread_mutex_lock(&lock);
    *h->link = h->next;
    if (h->next != NULL)
        h->next->link = h->link;
    int code = ours && close(h->fd) < 0 ? -errno : 0;
    pthread_mutex_unlock(&lock);
    return code;
}
