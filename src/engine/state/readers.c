/* SPDX-License-Identifier: MIT */
/* Who reads.
 *
 * Each rule here is one of two threads that both write first and look at what
 * the other one wrote then: at least one of them sees the other. All these
 * reads and writes are sequentially consistent, which is what makes it so. */
#include "engine/state/readers.h"

#include <sched.h>

enum {
    LOOKS = 16,    /* that find a change, before one that waits for its end */
    GLANCES = 1000 /* half a microsecond */
};

unsigned readers_thread(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine;
    if (mine == 0)
        mine = 1 + atomic_fetch_add(&threads, 1) % READERS_MAX;
    return mine - 1;
}

void readers_init(readers *r)
{
    atomic_init(&r->current, NULL);
    atomic_init(&r->used, 0);
    atomic_init(&r->changes, false);
    r->more = r->kept = 0;
    r->retired = NULL;
    r->looked = 0;
    for (size_t i = 0; i < READERS_MAX; i++) {
        read_place *place = &r->places[i].place;
        atomic_init(&place->layers, NULL);
        atomic_init(&place->looks, false);
        place->wasted = 0;
    }
    int code = pthread_mutex_init(&r->change, NULL);
    CHECK(code == 0);
    code = pthread_mutex_init(&r->lock, NULL);
    CHECK(code == 0);
}

void readers_release(readers *r)
{
    for (size_t i = 0; i < READERS_MAX; i++)
        CHECK(atomic_load(&r->places[i].place.layers) == NULL);
    CHECK(r->more == 0 && r->kept == 0);
    readers_sweep(r);
    layers_free(atomic_load(&r->current));
    pthread_mutex_destroy(&r->change);
    pthread_mutex_destroy(&r->lock);
}

/* ---- layers ----------------------------------------------------------- */

/* With the lock held. */
static bool is_used(readers *r, const layers *v)
{
    unsigned used = atomic_load(&r->used);
    CHECK(used <= READERS_MAX);
    r->looked++;
    if (v->users > 0)
        return true;
    r->looked += used;
    for (unsigned i = 0; i < used; i++)
        if (atomic_load(&r->places[i].place.layers) == v)
            return true;
    return false;
}

/* With the lock held. */
static void retire(readers *r, layers *v)
{
    v->retired_link = &r->retired;
    v->retired_next = r->retired;
    if (v->retired_next != NULL)
        v->retired_next->retired_link = &v->retired_next;
    r->retired = v;
}

/* With the lock held: takes it off the list if nobody uses it. */
static bool is_done_with(readers *r, layers *v)
{
    if (v->retired_link == NULL || is_used(r, v))
        return false;
    *v->retired_link = v->retired_next;
    if (v->retired_next != NULL)
        v->retired_next->retired_link = v->retired_link;
    return true;
}

/* With the lock held, which it lets go of: one who used the layers is gone. The
 * last one frees them, without it. */
static void unlock_done(readers *r, layers *v)
{
    bool last = is_done_with(r, v);
    pthread_mutex_unlock(&r->lock);
    if (last)
        layers_free(v);
}

void readers_sweep(readers *r)
{
    layers *free = NULL;
    pthread_mutex_lock(&r->lock);
    for (layers *v = r->retired, *next; v != NULL; v = next) {
        next = v->retired_next;
        if (!is_done_with(r, v))
            continue;
        v->retired_next = free;
        free = v;
    }
    pthread_mutex_unlock(&r->lock);
    while (free != NULL) {
        layers *v = free;
        free = v->retired_next;
        layers_free(v);
    }
}

void readers_set_layers(readers *r, layers *next)
{
    layers *old = atomic_exchange(&r->current, next);
    if (old == NULL)
        return;
    CHECK(old != next);
    pthread_mutex_lock(&r->lock);
    retire(r, old);
    pthread_mutex_unlock(&r->lock);
    readers_sweep(r);
}

/* ---- places ----------------------------------------------------------- */

static void note_use(readers *r, unsigned place)
{
    unsigned used = atomic_load(&r->used);
    while (used <= place &&
           !atomic_compare_exchange_weak(&r->used, &used, place + 1))
        ;
}

static read_place *take_place(readers *r, layers *v)
{
    unsigned first = readers_thread(); /* most often free */
    for (unsigned i = 0; i < READERS_MAX; i++) {
        unsigned at = (first + i) % READERS_MAX;
        read_place *place = &r->places[at].place;
        layers *none = NULL;
        if (atomic_load_explicit(&place->layers, memory_order_relaxed) !=
                NULL ||
            !atomic_compare_exchange_strong(&place->layers, &none, v))
            continue;
        note_use(r, at);
        return place;
    }
    return NULL;
}

/* Whoever retires layers has the lock then: those that are current now stay,
 * once they are said to be used. kept: layers that stay in any case; NULL: the
 * current ones. */
static read_place *add_more(readers *r, read_place *own, layers *kept)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): r was read */
    pthread_mutex_lock(&r->lock);
    layers *v = kept != NULL ? kept : atomic_load(&r->current);
    v->users++;
    r->more++;
    pthread_mutex_unlock(&r->lock);
    atomic_init(&own->layers, v);
    atomic_init(&own->looks, false);
    own->wasted = 0;
    return own;
}

static bool has_place(const readers *r, const read_place *one)
{
    uintptr_t at = (uintptr_t)one, first = (uintptr_t)r->places;
    return at >= first && at < first + sizeof r->places;
}

/* Who reads says which layers, and then asks whether they are still the
 * current ones; who replaces them says so, and then asks who reads. */
read_place *readers_enter(readers *r, read_place *own, layers **used)
{
    layers *v = atomic_load(&r->current);
    read_place *place = take_place(r, v);
    if (UNLIKELY(place == NULL)) {
        place = add_more(r, own, NULL);
        *used = atomic_load(&place->layers);
        return place;
    }
    layers *first = v;
    for (layers *now; (now = atomic_load(&r->current)) != v; v = now)
        atomic_store(&place->layers, now);
    CHECK(v != NULL);
    /* who replaced the others may have seen them used */
    if (UNLIKELY(v != first))
        readers_sweep(r);
    *used = v;
    return place;
}

read_place *readers_enter_kept(readers *r, read_place *own, layers *v)
{
    CHECK(v != NULL);
    read_place *place = take_place(r, v);
    return LIKELY(place != NULL) ? place : add_more(r, own, v);
}

/* With the lock held: gives up what keeps the layers. */
static void leave_locked(readers *r, read_place *one, layers *v)
{
    if (has_place(r, one)) {
        atomic_store(&one->layers, NULL);
        return;
    }
    CHECK(v->users > 0 && r->more > 0);
    v->users--;
    r->more--;
}

/* Whoever leaves looks after the layers that he used, and no others. */
void readers_leave(readers *r, read_place *one)
{
    layers *v = atomic_load_explicit(&one->layers, memory_order_relaxed);
    CHECK(v != NULL &&
          !atomic_load_explicit(&one->looks, memory_order_relaxed));
    if (LIKELY(has_place(r, one) && atomic_load(&r->current) == v)) {
        atomic_store_explicit(&one->layers, NULL, memory_order_release);
        /* who has replaced them since may still have seen them used */
        if (UNLIKELY(atomic_load(&r->current) != v))
            readers_sweep(r);
        return;
    }
    pthread_mutex_lock(&r->lock);
    leave_locked(r, one, v);
    unlock_done(r, v);
}

size_t readers_count(readers *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->more;
    unsigned used = atomic_load(&r->used);
    CHECK(used <= READERS_MAX);
    for (unsigned i = 0; i < used; i++)
        count += atomic_load(&r->places[i].place.layers) != NULL;
    pthread_mutex_unlock(&r->lock);
    return count;
}

/* ---- what is kept ------------------------------------------------------ */

layers *readers_keep(readers *r)
{
    pthread_mutex_lock(&r->lock);
    layers *v = atomic_load(&r->current);
    CHECK(v != NULL);
    v->users++;
    r->kept++;
    pthread_mutex_unlock(&r->lock);
    return v;
}

void readers_unkeep(readers *r, layers *v)
{
    pthread_mutex_lock(&r->lock);
    CHECK(v->users > 0 && r->kept > 0);
    v->users--;
    r->kept--;
    unlock_done(r, v);
}

size_t readers_count_kept(readers *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->kept;
    pthread_mutex_unlock(&r->lock);
    return count;
}

/* ---- looking and changing --------------------------------------------- */

void readers_hold_up(readers *r)
{
    pthread_mutex_lock(&r->change);
}

void readers_go_on(readers *r)
{
    pthread_mutex_unlock(&r->change);
}

/* Tells whether it is false, or becomes so in less time than it takes to let
 * others run: most of what one meets does, for who makes it runs as well. */
static bool ends_soon(const atomic_bool *is)
{
    for (unsigned i = 0; i < GLANCES; i++)
        if (!atomic_load(is))
            return true;
    return false;
}

/* A change is short, but when who makes it is not running, or waits for a
 * reader who is not, all others meet it. Those who slept then would be woken by
 * the lock one after the other, each to hold it till it runs: so they let
 * others run, and look again. Who found no place waits for the writer in any
 * case: it is not seen. */
void readers_look(readers *r, read_place *one)
{
    one->waited = false;
    for (unsigned i = 0; i < LOOKS && LIKELY(has_place(r, one)); i++) {
        atomic_store(&one->looks, true);
        if (LIKELY(!atomic_load(&r->changes)))
            return;
        atomic_store_explicit(&one->looks, false, memory_order_release);
        if (!ends_soon(&r->changes))
            sched_yield();
    }
    pthread_mutex_lock(&r->change);
    one->waited = true;
}

void readers_look_end(readers *r, read_place *one)
{
    if (one->waited)
        pthread_mutex_unlock(&r->change);
    else
        atomic_store_explicit(&one->looks, false, memory_order_release);
}

/* A look is short: a name, or a batch. */
void readers_change(readers *r)
{
    pthread_mutex_lock(&r->change);
    atomic_store(&r->changes, true);
    unsigned used = atomic_load(&r->used);
    CHECK(used <= READERS_MAX);
    for (unsigned i = 0; i < used; i++)
        while (!ends_soon(&r->places[i].place.looks))
            sched_yield();
}

void readers_change_end(readers *r)
{
    CHECK(atomic_load_explicit(&r->changes, memory_order_relaxed));
    atomic_store_explicit(&r->changes, false, memory_order_release);
    pthread_mutex_unlock(&r->change);
}
