/* SPDX-License-Identifier: MIT */
/* How threads of one process wait for each other where it has to be quick. */
#ifndef OS_OS_SLEEP_H
#define OS_OS_SLEEP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Sleeps until somebody wakes the sleepers of a word; returns at once if the
 * word is not `value` any more, and now and then for no reason. It takes no
 * lock, so that many who are woken do not queue for one. */
void os_sleep_while(const _Atomic uint32_t *word, uint32_t value);

/* The same for so many microseconds at the most; UINT64_MAX: for ever. */
void os_sleep_for(const _Atomic uint32_t *word, uint32_t value, uint64_t us);

/* Wake one, or all, of those who sleep on a word that was changed before. */
void os_wake_one(const _Atomic uint32_t *word);
void os_wake_all(const _Atomic uint32_t *word);

/* The clocks of the system, in microseconds, and whether they can be read: 0 or
 * a negative errno. Where that is forbidden later, the one that never goes back
 * goes on by an hour with each look, so that whoever waits for it is done with
 * it, and the one on the wall shows 0, which is no time. */
int os_clock_check(void);
uint64_t os_clock_us(void);
uint64_t os_wall_us(void);

/* Sets up a lock that is held for moments only: who finds it taken looks again
 * a few times before sleeping. */
void os_brief_lock_init(pthread_mutex_t *);

#endif
