/* SPDX-License-Identifier: MIT */
/* Sleeping and waking, by the kernel's futex. */
#include "os/os_sleep.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

CHECK_STATIC(sizeof(_Atomic uint32_t) == 4, "the kernel compares four bytes");

static int read_clock(clockid_t which, uint64_t *us)
{
    struct timespec now;
    *us = 0;
    if (clock_gettime(which, &now) != 0)
        return -errno;
    if (now.tv_sec >= 0)
        *us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    return 0;
}

int os_clock_check(void)
{
    uint64_t ignored;
    int code = read_clock(CLOCK_MONOTONIC, &ignored);
    return code == 0 ? read_clock(CLOCK_REALTIME, &ignored) : code;
}

uint64_t os_clock_us(void)
{
    static _Atomic uint64_t unseen = INT64_MAX; /* beyond all that was shown */
    const uint64_t hour = UINT64_C(3600) * 1000000;
    uint64_t us;
    return read_clock(CLOCK_MONOTONIC, &us) == 0
               ? us
               : atomic_fetch_add(&unseen, hour);
}

uint64_t os_wall_us(void)
{
    uint64_t us;
    (void)read_clock(CLOCK_REALTIME, &us);
    return us;
}

void os_sleep_for(const _Atomic uint32_t *word, uint32_t value, uint64_t us)
{
    struct timespec most = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
                  us == UINT64_MAX ? NULL : &most, NULL, 0);
}

void os_sleep_while(const _Atomic uint32_t *word, uint32_t value)
{
    os_sleep_for(word, value, UINT64_MAX);
}

/* Where the system refuses this it refuses to let sleep, too. */
static void wake(const _Atomic uint32_t *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void os_wake_one(const _Atomic uint32_t *word)
{
    wake(word, 1);
}

void os_wake_all(const _Atomic uint32_t *word)
{
    wake(word, INT_MAX);
}

void os_brief_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    int code = pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
    CHECK(code == 0);
    code = pthread_mutex_init(lock, &kind);
    CHECK(code == 0);
    pthread_mutexattr_destroy(&kind);
}
