/* SPDX-License-Identifier: MIT */
/* What a library does with threads: its own, which shall not disturb the
 * program that it is part of, and those that call it. */
#ifndef OS_OS_THREAD_H
#define OS_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts a thread that takes no signals, with a stack of its own size, however
 * small those of the program are. Returns 0 or a negative errno. */
int os_thread_start(pthread_t *, void *(*run)(void *), void *context);

/* A thread that works, and sleeps on `work` with a lock of its owner held,
 * until it is told to stop. */
typedef struct os_worker {
    pthread_t thread;
    pthread_cond_t work;
    bool runs, stops; /* under the owner's lock */
} os_worker;

/* Sets up; releases one that does not run. */
void os_worker_init(os_worker *);
void os_worker_release(os_worker *);
/* Starts the thread, as os_thread_start does; makes it stop, and waits until it
 * has ended, if there is one. The caller does not hold the lock. */
int os_worker_start(os_worker *, pthread_mutex_t *lock, void *(*run)(void *),
                    void *context);
void os_worker_stop(os_worker *, pthread_mutex_t *lock);
/* With the lock held: sleeps for so many microseconds at the most, and tells
 * whether they have passed. */
bool os_worker_rest(os_worker *, pthread_mutex_t *lock, uint64_t us);

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
