/* SPDX-License-Identifier: MIT */
/* A cursor over all streams remembers its places in as many of them as it may
 * show events of, and takes memory for no more. */
#include <malloc.h>

#include "fixture.h"

enum { STREAMS = 200, ROUNDS = 3, ALL = ROUNDS * STREAMS, ODD = 7 };

static fixture f;

/* Events of one stream after the other, and so again, most in tables. */
static int begin(void **state)
{
    (void)state;
    fixture_begin_tables(&f, 20000, 8);
    for (int i = 0; i < ALL; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i % STREAMS);
        fixture_append(&f, name, name);
    }
    assert_true(fixture_stats(&f).tables > 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_end(&f);
    return 0;
}

static persist_cursor *open_cursor(uint64_t from, uint64_t limit)
{
    persist_cursor *c;
    assert_int_equal(
        persist_read_all(f.store, from, limit, PERSIST_LATEST, &c, NULL),
        PERSIST_OK);
    return c;
}

static void each_limit_shows_the_first_events(void **state)
{
    (void)state;
    for (uint64_t limit = 0; limit <= ALL + 1; limit++) {
        const persist_event *e;
        uint64_t from = limit % ODD + 1, shown = 0;
        persist_cursor *c = open_cursor(from, limit);
        while (persist_next_event(c, &e, NULL) == PERSIST_OK) {
            char name[16];
            snprintf(name, sizeof name, "s%d",
                     (int)(e->position - 1) % STREAMS);
            assert_int_equal(e->position, from + shown++);
            assert_true(slice_equal(e->stream, slice_str(name)));
            assert_true(slice_equal(e->data, slice_str(name)));
        }
        persist_cursor_close(c);
        uint64_t most = ALL + 1 - from;
        assert_int_equal(shown, limit < most ? limit : most);
    }
}

static size_t taken(void)
{
    struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

static size_t memory_of(uint64_t limit)
{
    size_t before = taken();
    persist_cursor *c = open_cursor(1, limit);
    size_t after = taken();
    persist_cursor_close(c);
    return after - before;
}

/* The figures of persist.h; a sanitizer's malloc tells none. */
static void a_small_limit_takes_little_memory(void **state)
{
    (void)state;
    enum { KIB = 1024 };
    size_t most = memory_of(PERSIST_NO_LIMIT);
    printf(
        "figure: a cursor takes %zu bytes, with a limit of 64 %zu, of 1 %zu\n",
        most, memory_of(64), memory_of(1));
    assert_true(most < 350 * KIB);
    assert_true(memory_of(1) < 32 * KIB);
    assert_true(memory_of(64) < 200 * KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_limit_shows_the_first_events,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_small_limit_takes_little_memory,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
