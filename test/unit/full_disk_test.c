/* SPDX-License-Identifier: MIT */
/* A disk with no byte left: what is there is read, what frees space is taken,
 * and what it frees is free for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "store/store.h"

enum { MEMTABLE = 16 << 10, SEGMENT = 16 << 10, COUNT = 600, SIZE = 400 };

static fixture f;
static char data[SIZE + 1];

static void work(void)
{
    bool did = true;
    persist_error error;
    for (int i = 0; i < 1000 && did; i++)
        if (store_step(f.store, &did, &error) != PERSIST_OK)
            return;
}

static void begin(void)
{
    memset(data, 'x', SIZE);
    fixture_begin_tables(&f, MEMTABLE, 4);
    fixture_close(&f);
    f.segment_size = SEGMENT;
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    for (int i = 0; i < COUNT; i++) {
        fixture_append(&f, "s", data);
        work();
    }
}

/* Leaves no byte, and fills what the store has ahead. Returns how many events
 * there are. */
static uint64_t fill(void)
{
    persist_status status;
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    do {
        status = fixture_try(&f, PERSIST_APPEND, "s", data, 0);
        work();
    } while (status == PERSIST_OK);
    assert_int_equal(status, PERSIST_NO_SPACE);
    return fixture_info(&f, "s").count;
}

static void what_frees_space_is_taken(void **state)
{
    (void)state;
    begin();
    uint64_t count = fill();
    assert_true(count >= COUNT);
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", data, 0),
                     PERSIST_NO_SPACE);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", count - 1),
                     PERSIST_OK);
    assert_int_equal(fixture_try(&f, PERSIST_DELETE, "k", "", 0), PERSIST_OK);
    assert_int_equal(fixture_info(&f, "s").count, 1);
    work();
    for (int i = 0; i < COUNT / 2; i++) {
        fixture_append(&f, "s", data);
        work();
    }
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, COUNT / 2 + 1);
    fixture_end(&f);
}

static void what_is_there_is_read(void **state)
{
    (void)state;
    begin();
    uint64_t count = fill();
    fixture_wait(&f);
    fixture_kill(&f);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, count);
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", data, 0), PERSIST_OK);
    fixture_end(&f);
}

/* Not even the end of the log can be written again. */
static void it_is_read_without_any_room(void **state)
{
    (void)state;
    fixture_begin(&f, SEGMENT);
    fixture_append_many(&f, "s", "v", 4);
    fixture_kill(&f);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    for (int again = 0; again < 3; again++) {
        fixture_reopen(&f);
        assert_true(store_is_shut(f.store));
        assert_int_equal(fixture_info(&f, "s").count, 4);
        assert_int_equal(persist_durable(f.store), 4);
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "x", 0),
                         PERSIST_NO_SPACE);
        assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", 1),
                         PERSIST_NO_SPACE);
        fixture_wait(&f);
        if (again == 0)
            fixture_close(&f);
        else /* what it has shown was durable */
            fixture_power_off(&f, SIM_KEEP_NONE);
        os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    }
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_reopen(&f);
    assert_false(store_is_shut(f.store));
    assert_int_equal(fixture_info(&f, "s").count, 4);
    fixture_append(&f, "s", "x");
    fixture_wait(&f);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_frees_space_is_taken),
        cmocka_unit_test(what_is_there_is_read),
        cmocka_unit_test(it_is_read_without_any_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
