/* SPDX-License-Identifier: MIT */
/* A number that only rises, and who wants to know: threads that wait until it
 * is above theirs, and one function that is told of each change.
 *
 * The owner changes the number, with a lock of its own held, and tells of it
 * when it has given that back. Whoever waits takes the lock only before it
 * falls asleep: thousands that are woken at once do not queue for it. */
#ifndef OS_OS_NEWS_H
#define OS_OS_NEWS_H

#include <pthread.h>
#include <stdatomic.h>

#include "os/os.h"

#define OS_NEWS_FOREVER UINT64_MAX

typedef struct os_news {
    const os *sys;
    pthread_mutex_t *lock;   /* the owner's: */
    _Atomic uint64_t newest; /* changes with it held, as does all up to word */
    uint64_t lowest;         /* number that somebody sleeps on; UINT64_MAX:
                                nobody sleeps */
    atomic_bool over;        /* the number will not rise any more */
    _Atomic uint32_t word;   /* changes when all that sleep are woken */
    _Atomic uint32_t inside; /* threads that have entered; and a bit that says
                                that waiting has ended */
    pthread_mutex_t telling; /* held while the function runs: */
    void (*told)(void *context);
    void *context;
    atomic_bool tells; /* there is one */
} os_news;

/* How a wait has ended. */
typedef enum os_news_end {
    OS_NEWS_ROSE,
    OS_NEWS_LATE,   /* the time is up */
    OS_NEWS_OVER,   /* it is where it was, and will stay there */
    OS_NEWS_CLOSED, /* os_news_close was called */
} os_news_end;

/* Sets up; releases when nobody waits. */
void os_news_init(os_news *, const os *, pthread_mutex_t *lock,
                  uint64_t newest);
void os_news_release(os_news *);

/* With the lock held: the number is that now, or is over. The owner calls
 * os_news_tell when it has given the lock back, with what they return. */
bool os_news_rise(os_news *, uint64_t newest);
bool os_news_stop(os_news *);

/* Without the lock: wakes who sleeps if `wakes` says so, and calls the
 * function. */
void os_news_tell(os_news *, bool wakes);

/* Without the lock: waits until the number is above another one, between the
 * two others, which keep os_news_close from returning. */
void os_news_enter(os_news *);
os_news_end os_news_await(os_news *, uint64_t above, uint64_t timeout_ms);
void os_news_leave(os_news *);

/* Ends all waits, those that come later too; when it returns, all that had
 * entered have left. */
void os_news_close(os_news *);
bool os_news_is_closed(const os_news *);

/* Whether that has been called. */
bool os_news_is_closed(const os_news *);

/* The function to call, in place of the one before; NULL: none. When it
 * returns, the one before is not called any more. */
void os_news_listen(os_news *, void (*told)(void *), void *context);

/* The number, as whoever is inside a wait may see it. */
static inline uint64_t os_news_newest(const os_news *n)
{
    return atomic_load_explicit(&n->newest, memory_order_acquire);
}

#endif
