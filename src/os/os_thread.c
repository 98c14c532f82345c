/* SPDX-License-Identifier: MIT */
/* Threads of a library, and those that call it. */
#include "os/os_thread.h"

#include <signal.h>

#include "base/check.h"

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
    CHECK(code == 0);
    /* A thread begins with the mask of the one that makes it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(out, &attributes, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -code;
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
