/* SPDX-License-Identifier: MIT */
/* The list of gaps between lsns, and its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "engine/files/files.h"

static void a_gap_is_above_all_that_may_have_been_given(void **state)
{
    (void)state;
    gaps g = {0};
    assert_int_equal(gaps_next(&g, 7), 8);
    assert_true(gaps_note(&g, 7));
    assert_int_equal(gaps_next(&g, 7), 8 + LSN_AHEAD);
    assert_int_equal(gaps_next(&g, 6), 7);
    assert_int_equal(gaps_judge(&g, 7), LSN_SURVIVED);
    assert_int_equal(gaps_judge(&g, 8), LSN_LOST);
    assert_int_equal(gaps_judge(&g, 7 + LSN_AHEAD), LSN_LOST);
    assert_int_equal(gaps_judge(&g, 8 + LSN_AHEAD), LSN_SURVIVED);
    assert_true(gaps_may_follow(&g, 6, 7));
    assert_true(gaps_may_follow(&g, 7, 8 + LSN_AHEAD));
    assert_false(gaps_may_follow(&g, 7, 8));
    assert_false(gaps_may_follow(&g, 7, 7 + LSN_AHEAD));
    assert_false(gaps_may_follow(&g, 6, 8 + LSN_AHEAD));
    /* nothing survived of the one that began there */
    assert_true(gaps_note(&g, 7));
    assert_int_equal(g.count, 1);
    assert_int_equal(gaps_next(&g, 7), 8 + 2 * LSN_AHEAD);
    /* one commit did */
    assert_true(gaps_note(&g, 8 + 2 * LSN_AHEAD));
    assert_int_equal(g.count, 2);
    assert_false(gaps_may_end(&g, 7));
    assert_true(gaps_may_end(&g, 8 + 2 * LSN_AHEAD));
    gaps_release(&g);
}

/* Fills a list: gaps with one commit between each two. */
static persist_lsn fill(gaps *g, unsigned count)
{
    persist_lsn last = 5;
    for (unsigned i = 0; i < count; i++) {
        assert_true(gaps_note(g, last));
        last = gaps_next(g, last);
    }
    return last;
}

static void the_oldest_gaps_become_one(void **state)
{
    (void)state;
    gaps g = {0};
    fill(&g, GAPS_MAX);
    assert_false(g.merged);
    persist_lsn middle = g.items[0].begin, second = g.items[1].begin;
    persist_lsn last = gaps_next(&g, g.items[GAPS_MAX - 1].end);
    assert_int_equal(middle, g.items[1].end);
    assert_true(gaps_note(&g, last));
    assert_true(g.merged && g.count == GAPS_MAX);
    assert_int_equal(g.items[0].end, 5);
    assert_int_equal(g.items[0].begin, second);
    assert_int_equal(gaps_judge(&g, 5), LSN_SURVIVED);
    assert_int_equal(gaps_judge(&g, middle), LSN_UNKNOWN);
    assert_int_equal(gaps_judge(&g, second), LSN_SURVIVED);
    assert_int_equal(gaps_judge(&g, second + 1), LSN_LOST);
    assert_int_equal(gaps_cover(&g, middle), second);
    assert_int_equal(gaps_cover(&g, 5), 5);
    assert_int_equal(gaps_cover(&g, second), second);
    /* records of that time may be in the log still */
    assert_true(gaps_may_follow(&g, 5, middle));
    assert_true(gaps_may_follow(&g, middle, second));
    assert_false(gaps_may_follow(&g, middle, middle));
    assert_false(gaps_may_follow(&g, 4, middle));
    assert_false(gaps_may_follow(&g, middle, second + 1));
    gaps_release(&g);
}

static bool decode(slice bytes, uint64_t count)
{
    gaps g = {0};
    bool memory;
    cursor c = cursor_of(bytes);
    bool done = gaps_decode(&c, count, &g, &memory) && cursor_done(&c);
    assert_true(memory);
    gaps_release(&g);
    return done;
}

static void the_bytes_of_gaps(void **state)
{
    (void)state;
    gaps g = {0}, again = {0};
    buf bytes = {0}, second = {0};
    bool memory;
    fill(&g, 100);
    gaps_encode(&g, &bytes);
    assert_true(bytes.size < 100 * 6);
    cursor c = cursor_of(buf_slice(&bytes));
    assert_true(gaps_decode(&c, 100, &again, &memory));
    gaps_encode(&again, &second);
    assert_memory_equal(bytes.data, second.data, bytes.size);
    assert_true(decode(buf_slice(&bytes), 100));
    assert_false(decode(buf_slice(&bytes), 99));
    assert_false(decode(buf_slice(&bytes), 101));
    assert_false(decode(buf_slice(&bytes), GAPS_MAX + 1));
    buf_clear(&bytes); /* too narrow, and beyond the numbers */
    buf_put_varint(&bytes, 3);
    buf_put_varint(&bytes, LSN_AHEAD);
    assert_false(decode(buf_slice(&bytes), 1));
    buf_clear(&bytes);
    buf_put_varint(&bytes, UINT64_MAX);
    buf_put_varint(&bytes, LSN_AHEAD + 1);
    assert_false(decode(buf_slice(&bytes), 1));
    buf_release(&bytes);
    buf_release(&second);
    gaps_release(&g);
    gaps_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_is_above_all_that_may_have_been_given),
        cmocka_unit_test(the_oldest_gaps_become_one),
        cmocka_unit_test(the_bytes_of_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
