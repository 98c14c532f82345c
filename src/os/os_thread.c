/* SPDX-License-Identifier: MIT */
/* Threads of a library, and those that call it. */
#include "os/os_thread.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/check.h"
#include "os/os_sleep.h"

/* Merging and flushing need less than 64 KiB; sanitizers several times that. */
enum { STACK_SIZE = 1 << 20 };

int os_thread_start(pthread_t *out, void *(*run)(void *), void *context)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int code = pthread_attr_init(&attributes);
    if (code != 0)
        return -code;
    code = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* A thread begins with the mask of the one that makes it. */
    sigfillset(&all);
    if (code == 0)
        code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code == 0) {
        code = pthread_create(out, &attributes, run, context);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return -code;
}

void os_worker_init(os_worker *w)
{
    pthread_condattr_t attributes;
    w->runs = w->stops = false;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &attributes);
    pthread_condattr_destroy(&attributes);
}

void os_worker_release(os_worker *w)
{
    CHECK(!w->runs);
    pthread_cond_destroy(&w->work);
}

int os_worker_start(os_worker *w, pthread_mutex_t *lock, void *(*run)(void *),
                    void *context)
{
    CHECK(!w->runs);
    int code = os_thread_start(&w->thread, run, context);
    if (code != 0)
        return code;
    pthread_mutex_lock(lock);
    w->runs = true;
    pthread_mutex_unlock(lock);
    return 0;
}

void os_worker_stop(os_worker *w, pthread_mutex_t *lock)
{
    if (!w->runs)
        return;
    pthread_mutex_lock(lock);
    w->stops = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(lock);
    pthread_join(w->thread, NULL);
    w->runs = false;
}

bool os_worker_rest(os_worker *w, pthread_mutex_t *lock, uint64_t us)
{
    enum { SECOND_US = 1000000 };
    us += os_clock_us();
    struct timespec until = {.tv_sec = (time_t)(us / SECOND_US),
                             .tv_nsec = (long)(us % SECOND_US) * 1000};
    return pthread_cond_timedwait(&w->work, lock, &until) == ETIMEDOUT;
}

int os_cancel_put_off(void)
{
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    return was;
}

void os_cancel_let_in(const int *was)
{
    pthread_setcancelstate(*was, NULL);
}
