/* SPDX-License-Identifier: MIT */
/* Arenas: what is handed out stays apart, goes back as a whole or to a point,
 * and its blocks are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"

enum { THINGS = 4000, KEPT = 1 << 20 };

static uint8_t *things[THINGS];
static int allocations, refused_from, brought_in;

static int count_allocation(void *context)
{
    (void)context;
    return ++allocations >= refused_from;
}

static void bring_in(void *memory, size_t size)
{
    memset(memory, 255, size);
    brought_in++;
}

/* Mostly small ones, some that need a block of their own. */
static size_t size_of(int i)
{
    return i % 97 == 0 ? 40000 + (size_t)i * 64 : 1 + (size_t)i % 300;
}

static void take(arena *a, int from, int to)
{
    for (int i = from; i < to; i++) {
        things[i] = arena_alloc(a, size_of(i));
        assert_non_null(things[i]);
        assert_int_equal((uintptr_t)things[i] % 8, 0);
        memset(things[i], i % 251, size_of(i));
    }
}

static void check(int from, int to)
{
    for (int i = from; i < to; i++)
        for (size_t at = 0; at < size_of(i); at++)
            assert_int_equal(things[i][at], i % 251);
}

static void things_stay_apart(void **state)
{
    (void)state;
    arena_pool pool;
    arena_pool_init(&pool, KEPT, bring_in);
    arena a = arena_of(&pool), b = arena_of(&pool);
    take(&a, 0, THINGS / 2);
    take(&b, THINGS / 2, THINGS);
    check(0, THINGS);
    arena_release(&b);
    check(0, THINGS / 2);
    arena_release(&a);
    arena_pool_release(&pool);
}

static void it_goes_back_to_a_point(void **state)
{
    (void)state;
    arena_pool pool;
    arena_pool_init(&pool, KEPT, bring_in);
    arena a = arena_of(&pool);
    for (int begin = 0; begin < THINGS / 2; begin += 111) {
        arena_release(&a);
        take(&a, 0, begin);
        arena then = a;
        take(&a, begin, THINGS / 2);
        arena_rewind(&a, &then);
        assert_memory_equal(&a, &then, sizeof a);
        uint8_t *next = arena_alloc(&a, 8);
        assert_non_null(next);
        memset(next, 255, 8);
        check(0, begin);
    }
    arena_release(&a);
    arena_pool_release(&pool);
}

static void blocks_are_used_again(void **state)
{
    (void)state;
    arena_pool pool;
    arena_pool_init(&pool, KEPT, bring_in);
    arena a = arena_of(&pool);
    allocations = brought_in = 0;
    refused_from = THINGS;
    mem_set_fail(count_allocation, NULL);
    for (int i = 0; i < THINGS; i++)
        assert_non_null(arena_alloc(&a, 100));
    int first = allocations;
    arena_release(&a);
    for (int i = 0; i < THINGS; i++)
        assert_non_null(arena_alloc(&a, 100));
    mem_set_fail(NULL, NULL);
    assert_true(first > 0);
    assert_int_equal(allocations, pool.kept > 0 ? first : 2 * first);
    assert_int_equal(brought_in, allocations);
    arena_release(&a);
    arena_pool_release(&pool);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    arena_pool pool;
    arena_pool_init(&pool, KEPT, bring_in);
    arena a = arena_of(&pool);
    allocations = 0;
    refused_from = 3;
    mem_set_fail(count_allocation, NULL);
    int got = 0;
    while (got < THINGS && (things[got] = arena_alloc(&a, 1000)) != NULL) {
        memset(things[got], got % 251, 1000);
        got++;
    }
    mem_set_fail(NULL, NULL);
    assert_true(got > 0 && got < THINGS);
    assert_non_null(arena_alloc(&a, 1000));
    for (int i = 0; i < got; i++)
        assert_int_equal(things[i][999], i % 251);
    arena_release(&a);
    arena_pool_release(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_stay_apart),
        cmocka_unit_test(it_goes_back_to_a_point),
        cmocka_unit_test(blocks_are_used_again),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
