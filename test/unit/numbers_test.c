/* SPDX-License-Identifier: MIT */
/* File systems that number what is in memory (FUSE, some of networks): a file
 * that nobody has open has another number later. That alone is no sign that
 * somebody has put another one in its place; who does so is noticed. */
#include "fixture.h"

enum { MEMTABLE = 4096, WIDTH = 4, LIVES = 4, APPENDS = 300 };

static fixture f;

static void numbers_may_change(void **state)
{
    (void)state;
    persist_stats stats = {PERSIST_STATS};
    fixture_begin_tables(&f, MEMTABLE, WIDTH);
    os_sim_forget_numbers(f.sim, true);
    for (int life = 0; life < LIVES; life++) {
        fixture_append_many(&f, "s", "d", APPENDS);
        persist_get_stats(f.store, &stats, NULL);
        assert_true(stats.tables > 0 && stats.tables < WIDTH * WIDTH);
        fixture_close(&f);
        fixture_reopen(&f);
        persist_stream_info info;
        assert_int_equal(persist_info(f.store, slice_str("s"), PERSIST_LATEST,
                                      &info, NULL, NULL),
                         PERSIST_OK);
        assert_int_equal(info.count, (life + 1) * APPENDS);
    }
    fixture_end(&f);
}

/* A copy with the same bytes too: they may not be durable. */
static void replacing_is_noticed(void **state)
{
    (void)state;
    static const char *const paths[] = {"store/manifest.0", "store/manifest.1"};
    for (int i = 0; i < 4; i++) {
        fixture_begin(&f, 0);
        os_sim_forget_numbers(f.sim, i >= 2);
        fixture_append_many(&f, "s", "d", 2);
        const os *sys = os_sim_os(f.sim);
        fixture_copy(&f, paths[i % 2], "copy");
        assert_int_equal(
            sys->rename(sys, sys->cwd, "copy", sys->cwd, paths[i % 2]), 0);
        persist_edit edit = {.kind = PERSIST_PUT,
                             .name = slice_str("k"),
                             .data = slice_str("v")};
        persist_outcome out;
        persist_status status =
            persist_commit(f.store, &edit, 1, NULL, &out, &f.error);
        if (status == PERSIST_OK) {
            status = persist_wait_durable(f.store, out.lsn, &f.error);
            persist_outcome_release(&out);
        }
        assert_int_equal(status, PERSIST_READ_ONLY);
        assert_non_null(strstr(f.error.message, paths[i % 2]));
        assert_non_null(strstr(f.error.message, "was replaced"));
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_may_change),
        cmocka_unit_test(replacing_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
