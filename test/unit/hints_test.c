/* SPDX-License-Identifier: MIT */
/* Hints: what was kept is found, nothing else is, and what is kept stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/table/filter.h"
#include "engine/table/hints.h"

static table t;

static slice name_of(uint64_t number, char text[16])
{
    return slice_of(
        text, (size_t)snprintf(text, 16, "s%llu", (unsigned long long)number));
}

static bool found(slice name, uint64_t hash, uint64_t *events)
{
    stream_entry e;
    bool is = hints_find(&t, name, hash, &e);
    *events = is ? e.events : 0;
    return is;
}

static void what_is_kept_is_found(void **state)
{
    (void)state;
    char text[16];
    uint64_t events, kept = 0;
    for (uint64_t i = 0; i < 3 * (uint64_t)TABLE_HINTS; i++) {
        const stream_entry e = {.events = i + 1};
        slice name = name_of(i, text);
        assert_false(found(name, filter_hash(0, name), &events));
        hints_keep(&t, name, filter_hash(0, name), &e);
    }
    for (uint64_t i = 0; i < 3 * (uint64_t)TABLE_HINTS; i++) {
        slice name = name_of(i, text);
        if (!found(name, filter_hash(0, name), &events))
            continue;
        assert_int_equal(events, i + 1);
        kept++;
    }
    assert_in_range(kept, TABLE_HINTS * 3 / 4, TABLE_HINTS);
    hints_release(&t);
    t = (table){0};
}

/* Names of the same hash take two places; the third finds none. */
static void names_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    char text[16];
    uint64_t events;
    for (uint64_t i = 1; i <= 3; i++)
        hints_keep(&t, name_of(i, text), 7, &(stream_entry){.events = i});
    assert_true(found(name_of(1, text), 7, &events) && events == 1);
    assert_true(found(name_of(2, text), 7, &events) && events == 2);
    assert_false(found(name_of(3, text), 7, &events));
    assert_false(found(name_of(1, text), 6, &events)); /* the same places */
    assert_false(found(slice_of("s", 1), 7, &events));
    hints_release(&t);
    t = (table){0};
}

static int fail_always(void *context)
{
    (void)context;
    return 1;
}

static void what_cannot_be_kept_is_not(void **state)
{
    (void)state;
    char text[HINT_NAME_MAX + 1] = {0};
    const stream_entry e = {.events = 1};
    uint64_t events;
    slice longest = slice_of(text, HINT_NAME_MAX);
    hints_keep(&t, slice_of(text, sizeof text), 1, &e);
    assert_false(found(slice_of(text, sizeof text), 1, &events));
    mem_set_fail(fail_always, NULL);
    hints_keep(&t, longest, 1, &e);
    mem_set_fail(NULL, NULL);
    assert_false(found(longest, 1, &events));
    hints_keep(&t, longest, 1, &e);
    assert_true(found(longest, 1, &events));
    hints_keep(&t, slice_of(NULL, 0), 3, &e);
    assert_true(found(slice_of(NULL, 0), 3, &events));
    hints_release(&t);
    t = (table){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_found),
        cmocka_unit_test(names_of_one_hash_are_told_apart),
        cmocka_unit_test(what_cannot_be_kept_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
