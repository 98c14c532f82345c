/* SPDX-License-Identifier: MIT */
/* What did not survive keeps its lsn, which is never given again, and whoever
 * waits for it is told that it is lost, for ever. */
#include <errno.h>

#include "engine/files/files.h"
#include "engine/verify/verify.h"
#include "fixture.h"
#include "store/store.h"

static fixture f;

static persist_status wait(persist_lsn lsn)
{
    return persist_wait_durable(f.store, lsn, &f.error);
}

/* ---- stores ------------------------------------------------------------- */

/* Two durable commits and three that are lost with the power. */
static void lose_three(void)
{
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    for (int i = 0; i < 3; i++)
        fixture_append(&f, "s", "u");
    assert_int_equal(persist_latest(f.store), 5);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
}

static void expect_lost(void)
{
    assert_int_equal(wait(2), PERSIST_OK);
    for (persist_lsn lsn = 3; lsn <= 5; lsn++)
        assert_int_equal(wait(lsn), PERSIST_LOST);
    assert_string_equal(persist_status_code(PERSIST_LOST), "lost");
    assert_non_null(strstr(f.error.message, "5 is lost"));
    assert_int_equal(wait(LSN_AHEAD + 2), PERSIST_LOST);
}

static void what_is_lost_is_lost_for_ever(void **state)
{
    (void)state;
    lose_three();
    assert_int_equal(persist_latest(f.store), 2);
    assert_int_equal(persist_durable(f.store), 2);
    expect_lost();
    assert_int_equal(wait(LSN_AHEAD + 3), PERSIST_BAD_REQUEST);
    fixture_append(&f, "s", "n");
    assert_int_equal(persist_latest(f.store), LSN_AHEAD + 3);
    assert_int_equal(wait(LSN_AHEAD + 3), PERSIST_OK);
    assert_int_equal(wait(LSN_AHEAD + 4), PERSIST_BAD_REQUEST);
    expect_lost();
    fixture_kill(&f);
    fixture_reopen(&f);
    expect_lost();
    assert_int_equal(wait(LSN_AHEAD + 3), PERSIST_OK);
    assert_int_equal(wait(LSN_AHEAD + 4), PERSIST_LOST);
    fixture_close(&f);
    fixture_reopen(&f);
    expect_lost();
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:n");
    fixture_end(&f);
}

/* Tables that span gaps, and are merged. */
static void merging_forgets_no_gap(void **state)
{
    (void)state;
    bool did;
    fixture_begin_tables(&f, 400, 2);
    fixture_append_many(&f, "s", "d", 2);
    for (int round = 0; round < 6; round++) {
        fixture_append_many(&f, "s", "e", 3);
        fixture_append(&f, "s", "u");
        fixture_power_off(&f, SIM_KEEP_NONE);
        fixture_reopen(&f);
    }
    while (store_step(f.store, &did, &f.error) == PERSIST_OK && did)
        ;
    assert_true(fixture_stats(&f).tables > 0);
    const gaps *g = f.store->gaps;
    assert_int_equal(g->count, 6);
    persist_lsn before = 0;
    for (size_t i = 0; i < 6; i++) {
        assert_true(g->items[i].end > before);
        assert_int_equal(wait(g->items[i].end), PERSIST_OK);
        assert_int_equal(wait(g->items[i].end + 1), PERSIST_LOST);
        before = g->items[i].begin;
    }
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(wait(before - 1), PERSIST_LOST);
    fixture_end(&f);
}

static void a_clean_close_leaves_no_gap(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    for (persist_lsn next = 3; next < 6; next++) {
        fixture_close(&f);
        fixture_reopen(&f);
        assert_int_equal(wait(next), PERSIST_BAD_REQUEST);
        fixture_append(&f, "s", "n");
        assert_int_equal(persist_latest(f.store), next);
    }
    fixture_close(&f);
    fixture_reopen(&f); /* nothing is written, so nothing can be lost */
    fixture_kill(&f);
    fixture_reopen(&f);
    fixture_append(&f, "s", "n");
    assert_int_equal(persist_latest(f.store), 6);
    fixture_end(&f);
}

static void openings_that_leave_nothing_widen_one_gap(void **state)
{
    (void)state;
    lose_three();
    for (uint64_t i = 2; i < 5; i++) {
        fixture_append(&f, "s", "u");
        persist_lsn given = persist_latest(f.store);
        fixture_power_off(&f, SIM_KEEP_NONE);
        fixture_reopen(&f);
        assert_int_equal(wait(given), PERSIST_LOST);
        assert_int_equal(f.store->first_lsn, 3 + i * LSN_AHEAD);
        assert_int_equal(f.store->gaps->count, 1);
    }
    fixture_end(&f);
}

/* Where nothing was durable at all. */
static void a_first_commit_can_be_lost(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append(&f, "s", "u");
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(persist_latest(f.store), 0);
    assert_int_equal(wait(0), PERSIST_OK);
    assert_int_equal(wait(1), PERSIST_LOST);
    fixture_append(&f, "s", "n");
    assert_int_equal(wait(persist_latest(f.store)), PERSIST_OK);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "1:n");
    fixture_end(&f);
}

static void after_a_failed_sync_the_next_opening_tells(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    fixture_append(&f, "s", "u");
    os_sim_fail(f.sim,
                (sim_fault){.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO});
    assert_int_equal(wait(3), PERSIST_READ_ONLY);
    assert_int_equal(wait(3), PERSIST_READ_ONLY);
    persist_close(f.store, NULL);
    f.store = NULL;
    fixture_reopen(&f);
    bool there =
        strcmp(fixture_events(&f, "s", PERSIST_DURABLE), "1:d1 2:d2 3:u") == 0;
    assert_int_equal(wait(3), there ? PERSIST_OK : PERSIST_LOST);
    assert_int_equal(wait(4), PERSIST_LOST);
    fixture_end(&f);
}

static void too_many_that_are_not_durable_are_refused(void **state)
{
    (void)state;
    lose_three();
    store_disk_ahead_max(f.store, 3);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            fixture_append(&f, "s", "n");
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "n", 0),
                         PERSIST_LIMIT);
        assert_non_null(strstr(f.error.message, "not durable"));
        fixture_wait(&f);
    }
    fixture_append(&f, "s", "n");
    assert_int_equal(persist_latest(f.store), LSN_AHEAD + 9);
    fixture_end(&f);
}

/* ---- many unclean ends -------------------------------------------------- */

static persist_lsn command(persist_outcome_kind kind)
{
    persist_edit edit = {.kind = PERSIST_PUT, .name = slice_str("once")};
    persist_once id = {slice_str("id"), {1}};
    persist_outcome out;
    assert_int_equal(persist_commit(f.store, &edit, 1, &id, &out, &f.error),
                     PERSIST_OK);
    assert_int_equal(out.kind, kind);
    persist_lsn lsn = out.lsn;
    persist_outcome_release(&out);
    return lsn;
}

/* Whoever repeats a command gets an lsn to wait for, however old it is; of
 * others nobody says that they are durable who does not know. */
static void what_is_not_known_any_more_is_not_promised(void **state)
{
    enum { KEPT = 5 };
    (void)state;
    gaps_keep(KEPT);
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    fixture_kill(&f);
    fixture_reopen(&f);
    persist_lsn old = command(PERSIST_COMMITTED);
    fixture_wait(&f);
    for (unsigned i = 0; i < KEPT + 2; i++) {
        fixture_kill(&f);
        fixture_reopen(&f);
        fixture_do(&f, PERSIST_PUT, "k", "v", 0);
        fixture_wait(&f);
    }
    assert_true(f.store->gaps->merged);
    assert_int_equal(f.store->gaps->count, KEPT);
    assert_int_equal(wait(2), PERSIST_OK);
    assert_int_equal(wait(old), PERSIST_LOST);
    assert_non_null(strstr(f.error.message, "not known"));
    persist_lsn again = command(PERSIST_REPEATED);
    assert_true(again > old && again < persist_latest(f.store));
    assert_int_equal(wait(again), PERSIST_OK);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(command(PERSIST_REPEATED), again);
    fixture_end(&f);
    gaps_keep(GAPS_MAX);
}

/* ---- gaps and damage ---------------------------------------------------- */

/* Changes the gaps of both manifests, under the right checksum. */
static void forge(void (*change)(gaps *))
{
    static const char *const names[] = {"store/manifest.0", "store/manifest.1"};
    const os *sys = os_sim_os(f.sim);
    for (int i = 0; i < 2; i++) {
        buf bytes = {0};
        manifest m = {0};
        fixture_load(&f, names[i], &bytes);
        assert_int_equal(manifest_decode(buf_slice(&bytes), &m, &f.error),
                         PERSIST_OK);
        change(&m.gaps);
        buf_clear(&bytes);
        manifest_encode(&m, &bytes);
        sys->unlink(sys, sys->cwd, names[i]);
        fixture_patch(&f, names[i], 0, buf_slice(&bytes));
        manifest_release(&m);
        buf_release(&bytes);
    }
}

static bool count_damages(void *context, const persist_finding *found)
{
    *(int *)context += found->damage;
    return true;
}

static void expect_damaged(void)
{
    int damages = 0;
    persist_watcher watcher = {PERSIST_WATCHER, &damages, count_damages, NULL};
    persist_options options = {PERSIST_OPTIONS, .path = "store",
                               .os = os_sim_os(f.sim)};
    assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
    assert_int_equal(persist_verify(&options, &watcher, NULL, &f.error),
                     PERSIST_OK);
    assert_true(damages > 0);
}

static void take_first(gaps *g)
{
    if (g->count > 0)
        memmove(g->items, g->items + 1, --g->count * sizeof *g->items);
}

static void add_between(gaps *g)
{
    g->count = 0;
    assert_true(gaps_add(g, 1, LSN_AHEAD + 2));
}

static void move_begin(gaps *g)
{
    if (g->count > 0)
        g->items[0].begin--;
}

/* Four commits that survived, a gap behind the second, in a log. */
static void with_a_gap(void)
{
    lose_three();
    fixture_append_many(&f, "s", "n", 2);
    fixture_close(&f);
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "n", 1);
    fixture_close(&f);
}

static void a_gap_that_is_none_is_damage(void **state)
{
    (void)state;
    void (*const changes[])(gaps *) = {take_first, move_begin};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        with_a_gap();
        forge(changes[i]);
        expect_damaged();
        fixture_end(&f);
    }
    /* a gap in the middle of what survived */
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    forge(add_between);
    expect_damaged();
    fixture_end(&f);
}

/* ---- put back ----------------------------------------------------------- */

static void a_store_that_was_put_back_is_told(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    fixture_close(&f);
    os_sim *older = os_sim_kill(f.sim);
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "e", 2);
    assert_int_equal(store_check_told(f.store, 4, &f.error), PERSIST_OK);
    fixture_append(&f, "s", "u");
    assert_int_equal(store_check_told(f.store, 5, &f.error), PERSIST_CORRUPT);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(store_check_told(f.store, 4, &f.error), PERSIST_OK);
    assert_int_equal(store_check_told(f.store, 5, &f.error), PERSIST_CORRUPT);
    fixture_become(&f, older);
    fixture_reopen(&f);
    assert_int_equal(store_check_told(f.store, 2, &f.error), PERSIST_OK);
    assert_int_equal(store_check_told(f.store, 3, &f.error), PERSIST_CORRUPT);
    assert_non_null(strstr(f.error.message, "older state"));
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_lost_is_lost_for_ever),
        cmocka_unit_test(merging_forgets_no_gap),
        cmocka_unit_test(a_clean_close_leaves_no_gap),
        cmocka_unit_test(openings_that_leave_nothing_widen_one_gap),
        cmocka_unit_test(a_first_commit_can_be_lost),
        cmocka_unit_test(after_a_failed_sync_the_next_opening_tells),
        cmocka_unit_test(too_many_that_are_not_durable_are_refused),
        cmocka_unit_test(what_is_not_known_any_more_is_not_promised),
        cmocka_unit_test(a_gap_that_is_none_is_damage),
        cmocka_unit_test(a_store_that_was_put_back_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
