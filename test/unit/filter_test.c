/* SPDX-License-Identifier: MIT */
/* The filter of a table: bounded, as small as its names are few, and never
 * wrong about what is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/files/files.h"
#include "engine/table/filter.h"

static uint64_t hash_of(uint64_t n)
{
    char name[32];
    snprintf(name, sizeof name, "name-%llu", (unsigned long long)n);
    return filter_hash(0, slice_str(name));
}

static void a_filter_is_bounded(void **state)
{
    (void)state;
    const uint64_t counts[] = {0,       1,       100,       1 << 20,
                               7 << 20, 1 << 28, UINT64_MAX};
    size_t before = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        filter f = {0};
        assert_true(filter_init(&f, counts[i]));
        assert_true(f.size >= before && f.size <= FILTER_SIZE_MAX);
        assert_true(f.part_size <= FILTER_PART_SIZE);
        before = f.size;
        filter_add(&f, hash_of(0));
        filter_end(&f);
        uint64_t hash = hash_of(0);
        uint64_t part = filter_part(hash, f.size / f.part_size);
        assert_true(filter_test(
            slice_of(f.bits + part * f.part_size, f.part_size), hash));
        filter_release(&f);
    }
    assert_int_equal(before, FILTER_SIZE_MAX);
}

/* A merge that drops most of its names leaves a filter for the others, which
 * denies none of them, and most that are not there. */
static void a_filter_of_few_names_is_small(void **state)
{
    static const uint64_t kept[] = {0, 1, 100, 10000, 40000, 90000};
    const uint64_t most = 140000; /* some parts, a number without divisors */
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        filter f = {0}, exact = {0};
        uint64_t maybe = 0;
        assert_true(filter_init(&f, most));
        assert_true(filter_init(&exact, kept[i]));
        for (uint64_t n = 0; n < kept[i]; n++)
            filter_add(&f, hash_of(n));
        filter_end(&f);
        assert_true(f.size < 2 * exact.size);
        for (uint64_t n = 0; n < 2 * kept[i]; n++) {
            uint64_t hash = hash_of(n);
            uint64_t part = filter_part(hash, f.size / f.part_size);
            bool may = filter_test(
                slice_of(f.bits + part * f.part_size, f.part_size), hash);
            assert_true(may || n >= kept[i]);
            maybe += may && n >= kept[i];
        }
        assert_true(maybe <= 10 + kept[i] / 20);
        filter_release(&exact);
        filter_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_is_bounded),
        cmocka_unit_test(a_filter_of_few_names_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
