/* SPDX-License-Identifier: MIT */
/* What a library does with threads: its own, which shall not disturb the
 * program that it is part of, and those that call it. */
#ifndef OS_OS_THREAD_H
#define OS_OS_THREAD_H

#include <pthread.h>

/* Starts a thread that takes no signals, with a stack of its own size, however
 * small those of the program are. Returns 0 or a negative errno. */
int os_thread_start(pthread_t *, void *(*run)(void *), void *context);

/* Puts off the cancellation of the calling thread; returns what the other
 * function needs to let it in again. */
int os_cancel_put_off(void);
void os_cancel_let_in(const int *was);

/* Until the end of the block that it stands in, a pthread_cancel of the calling
 * thread waits: a call that ended in the middle would keep its locks. */
#define OS_NO_CANCEL                                                           \
    __attribute__((cleanup(os_cancel_let_in), unused)) const int cancel_was =  \
        os_cancel_put_off()

#endif
