/* SPDX-License-Identifier: MIT */
/* A number that only rises, and who wants to know. */
#include "os/os_news.h"

#include "base/check.h"
#include "os/os_sleep.h"

#define CLOSED (1u << 31)

void os_news_init(os_news *n, const os *sys, pthread_mutex_t *lock,
                  uint64_t newest)
{
    *n = (os_news){.sys = sys, .lock = lock, .lowest = UINT64_MAX};
    atomic_init(&n->newest, newest);
    atomic_init(&n->over, false);
    atomic_init(&n->word, 0);
    atomic_init(&n->inside, 0);
    atomic_init(&n->tells, false);
    pthread_mutex_init(&n->telling, NULL);
}

void os_news_release(os_news *n)
{
    CHECK((atomic_load(&n->inside) & ~CLOSED) == 0);
    pthread_mutex_destroy(&n->telling);
}

/* ---- the owner -------------------------------------------------------- */

/* With the lock held: who has fallen asleep is to be woken. */
static void call_all(os_news *n)
{
    n->lowest = UINT64_MAX;
    atomic_fetch_add_explicit(&n->word, 1, memory_order_release);
}

bool os_news_rise(os_news *n, uint64_t newest)
{
    CHECK(newest >= atomic_load(&n->newest));
    atomic_store_explicit(&n->newest, newest, memory_order_release);
    bool wakes = newest > n->lowest;
    if (wakes)
        call_all(n);
    return wakes;
}

bool os_news_stop(os_news *n)
{
    bool wakes = n->lowest != UINT64_MAX;
    atomic_store(&n->over, true);
    if (wakes)
        call_all(n);
    return wakes;
}

void os_news_tell(os_news *n, bool wakes)
{
    if (wakes)
        os_wake_all(&n->word);
    if (!atomic_load(&n->tells))
        return;
    pthread_mutex_lock(&n->telling);
    if (n->told != NULL)
        n->told(n->context);
    pthread_mutex_unlock(&n->telling);
}

void os_news_listen(os_news *n, void (*told)(void *), void *context)
{
    pthread_mutex_lock(&n->telling);
    n->told = told;
    n->context = context;
    atomic_store(&n->tells, told != NULL);
    pthread_mutex_unlock(&n->telling);
}

/* ---- waiting ---------------------------------------------------------- */

/* How long a wait may go on. */
typedef struct patience {
    const os *sys;
    uint64_t until_us; /* UINT64_MAX: for ever */
} patience;

static patience patience_of(const os *sys, uint64_t timeout_ms)
{
    patience p = {sys, timeout_ms};
    if (timeout_ms == 0 || timeout_ms == OS_NEWS_FOREVER)
        return p;
    uint64_t now = sys->clock_us(sys), most = (UINT64_MAX - 1 - now) / 1000;
    p.until_us = now + (timeout_ms < most ? timeout_ms : most) * 1000;
    return p;
}

/* Microseconds; UINT64_MAX: for ever. */
static uint64_t left_us(const patience *p)
{
    if (p->until_us == 0 || p->until_us == UINT64_MAX)
        return p->until_us;
    uint64_t now = p->sys->clock_us(p->sys);
    return now < p->until_us ? p->until_us - now : 0;
}

bool os_news_is_closed(const os_news *n)
{
    return (atomic_load(&n->inside) & CLOSED) != 0;
}

/* Whether a wait is at its end, before its time is up. Once it is over the
 * number stays, so that is asked first. */
static bool has_ended(const os_news *n, uint64_t above, os_news_end *out)
{
    bool over = atomic_load(&n->over);
    if (os_news_is_closed(n))
        *out = OS_NEWS_CLOSED;
    else if (os_news_newest(n) > above)
        *out = OS_NEWS_ROSE;
    else if (over)
        *out = OS_NEWS_OVER;
    else
        return false;
    return true;
}

/* The same with the lock taken, behind whatever the owner has changed before:
 * if the wait goes on, the next change that matters changes the word. */
static bool has_ended_now(os_news *n, uint64_t above, uint64_t left,
                          os_news_end *out, uint32_t *word)
{
    pthread_mutex_lock(n->lock);
    bool ended = has_ended(n, above, out);
    if (!ended && left == 0) {
        *out = OS_NEWS_LATE;
        ended = true;
    }
    if (!ended && above < n->lowest)
        n->lowest = above;
    *word = atomic_load_explicit(&n->word, memory_order_relaxed);
    pthread_mutex_unlock(n->lock);
    return ended;
}

os_news_end os_news_await(os_news *n, uint64_t above, uint64_t timeout_ms)
{
    CHECK((atomic_load(&n->inside) & ~CLOSED) > 0);
    os_news_end end;
    uint32_t word;
    patience p = patience_of(n->sys, timeout_ms);
    while (!has_ended(n, above, &end)) {
        uint64_t left = left_us(&p);
        if (has_ended_now(n, above, left, &end, &word))
            break;
        n->sys->sleep_while(n->sys, &n->word, word, left);
    }
    return end;
}

void os_news_enter(os_news *n)
{
    uint32_t before = atomic_fetch_add(&n->inside, 1);
    CHECK((before & ~CLOSED) < CLOSED - 1);
}

/* Whoever closes may release all once the last one has left: nothing is read
 * behind that, and waking needs no more than the address. */
void os_news_leave(os_news *n)
{
    if (atomic_fetch_sub(&n->inside, 1) == (CLOSED | 1))
        os_wake_all(&n->inside);
}

void os_news_close(os_news *n)
{
    pthread_mutex_lock(n->lock);
    atomic_fetch_or(&n->inside, CLOSED);
    call_all(n);
    pthread_mutex_unlock(n->lock);
    os_wake_all(&n->word);
    for (uint32_t seen; (seen = atomic_load(&n->inside)) != CLOSED;)
        os_sleep_while(&n->inside, seen);
}
