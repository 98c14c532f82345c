/* SPDX-License-Identifier: MIT */
/* Readers of layers that were replaced: each leaves without a look at the
 * others, and the last one takes the layers with him. And who looks at the
 * active memtable, while others change it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "engine/state/readers.h"

enum {
    FEW = 2000,
    MANY = 20000,
    A_SET = 50,
    LOOKERS = 6,
    CHANGES = 1000,
};

static arena_pool pool;
static readers r;

static void bring_nothing(void *at, size_t size)
{
    (void)at;
    (void)size;
}

static layers *make(void)
{
    static const store_counts none = {.next_position = 1};
    memtable *m = memtable_new(&pool, 1, 1, &none, 4096);
    layers *v = layers_new(m, NULL, NULL, 0);
    memtable_unref(m);
    assert_non_null(v);
    return v;
}

static size_t retired(void)
{
    size_t count = 0;
    for (const layers *v = r.retired; v != NULL; v = v->retired_next)
        count++;
    return count;
}

/* Opens so many, with layers that are replaced now and then, and closes them in
 * another order. Returns how many the closes have looked at. */
static uint64_t open_and_close(size_t count)
{
    read_place *own = mem_alloc_zero(count * sizeof *own);
    read_place **at = mem_alloc_zero(count * sizeof(read_place *));
    layers *used;
    CHECK(own != NULL && at != NULL);
    arena_pool_init(&pool, 1 << 20, bring_nothing);
    readers_init(&r);
    readers_set_layers(&r, make());
    for (size_t i = 0; i < count; i++) {
        at[i] = readers_enter(&r, &own[i], &used);
        assert_ptr_equal(used, atomic_load(&at[i]->layers));
        if (i % A_SET == 0)
            readers_set_layers(&r, make());
    }
    assert_int_equal(retired(), count / A_SET);
    uint64_t before = r.looked;
    for (size_t n = 0, i = 0; n < count; n++, i = (i + 7919) % count)
        readers_leave(&r, at[i]);
    assert_int_equal(retired(), 0);
    uint64_t looked = r.looked - before;
    readers_release(&r);
    arena_pool_release(&pool);
    mem_free(own);
    mem_free(at);
    return looked;
}

static void a_close_costs_the_same_however_many_are_open(void **state)
{
    (void)state;
    uint64_t few = open_and_close(FEW), many = open_and_close(MANY);
    assert_true(few > FEW / 2);
    assert_true(many < 2 * few * (MANY / FEW));
}

/* At once, and not with the next layers, which may never come. */
static void what_is_kept_goes_with_the_last_who_lets_go(void **state)
{
    (void)state;
    arena_pool_init(&pool, 1 << 20, bring_nothing);
    readers_init(&r);
    readers_set_layers(&r, make());
    layers *first = readers_keep(&r), *second = readers_keep(&r);
    assert_ptr_equal(first, second);
    readers_set_layers(&r, make());
    assert_int_equal(retired(), 1);
    readers_unkeep(&r, first);
    assert_int_equal(retired(), 1);
    readers_unkeep(&r, second);
    assert_int_equal(retired(), 0);
    readers_release(&r);
    arena_pool_release(&pool);
}

/* ---- looking and changing ------------------------------------------------ */

static _Atomic uint64_t left, right; /* alike, when nobody changes them */
static atomic_bool over;

/* Longer than what is waited for by looking again at once; and than by looking
 * again a few times. */
enum { SHORT = 10, LONG = 100 };

static void let_others_run(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        sched_yield();
}

static void *look_again_and_again(void *context)
{
    (void)context;
    layers *used;
    read_place own, *at = readers_enter(&r, &own, &used);
    uint64_t apart = 0;
    while (!atomic_load(&over)) {
        readers_look(&r, at);
        uint64_t seen = left;
        let_others_run(SHORT);
        apart += seen != left || seen != right;
        readers_look_end(&r, at);
    }
    readers_leave(&r, at);
    return apart > 0 ? &r : NULL;
}

static void change(void)
{
    readers_change(&r);
    left++;
    let_others_run(LONG);
    right++;
    readers_change_end(&r);
}

/* Some of them find a place, and some do not. */
static void nobody_looks_at_a_change(void **state)
{
    (void)state;
    pthread_t threads[LOOKERS];
    layers *used;
    read_place own[READERS_MAX], *taken[READERS_MAX];
    arena_pool_init(&pool, 1 << 20, bring_nothing);
    readers_init(&r);
    readers_set_layers(&r, make());
    for (size_t i = 0; i < READERS_MAX; i++)
        taken[i] = readers_enter(&r, &own[i], &used);
    for (size_t i = 0; i < LOOKERS / 2; i++)
        readers_leave(&r, taken[i]);
    for (size_t i = 0; i < LOOKERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, look_again_and_again, NULL), 0);
    for (size_t i = 0; i < CHANGES; i++)
        change();
    atomic_store(&over, true);
    for (size_t i = 0; i < LOOKERS; i++) {
        void *apart;
        pthread_join(threads[i], &apart);
        assert_null(apart);
    }
    for (size_t i = LOOKERS / 2; i < READERS_MAX; i++)
        readers_leave(&r, taken[i]);
    assert_int_equal(readers_count(&r), 0);
    readers_release(&r);
    arena_pool_release(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_costs_the_same_however_many_are_open),
        cmocka_unit_test(what_is_kept_goes_with_the_last_who_lets_go),
        cmocka_unit_test(nobody_looks_at_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
