/* SPDX-License-Identifier: MIT */
/* The engine at work: views and snapshots, the log's room, what a full disk
 * and a failed sync do. */
#include <errno.h>

#include "base/mem.h"
#include "fixture.h"
#include "store/store.h"

enum { TINY = 4096 };

static fixture f;

/* ---- views ------------------------------------------------------------ */

static void durable_reads_show_what_is_durable(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append(&f, "s", "a");
    fixture_do(&f, PERSIST_PUT, "k", "old", 0);
    fixture_wait(&f);
    fixture_append(&f, "s", "b");
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 1);
    fixture_do(&f, PERSIST_PUT, "k", "new", 0);
    fixture_append(&f, "t", "c");
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "1:a");
    assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "2:b");
    assert_string_equal(fixture_value(&f, "k", PERSIST_DURABLE), "old");
    assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "new");
    bool known;
    persist_stream_info info;
    persist_info(f.store, slice_str("t"), PERSIST_DURABLE, &info, &known, NULL);
    assert_false(known);
    persist_info(f.store, slice_str("s"), PERSIST_DURABLE, &info, &known, NULL);
    assert_int_equal(info.mark, 1);
    assert_int_equal(info.count, 1);
    fixture_wait(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "2:b");
    assert_string_equal(fixture_value(&f, "k", PERSIST_DURABLE), "new");
    fixture_end(&f);
}

/* An open cursor sees one state, whatever is committed, truncated, deleted
 * and freed meanwhile. */
static void a_cursor_sees_one_state(void **state)
{
    (void)state;
    persist_cursor *events, *all, *keys, *streams;
    slice name, value;
    fixture_begin(&f, 0);
    for (int i = 0; i < 1000; i++) {
        fixture_append(&f, "s", "event");
        char named[16];
        snprintf(named, sizeof named, "k%03d", i);
        fixture_do(&f, PERSIST_PUT, named, "v", 0);
    }
    fixture_wait(&f);
    persist_view v = PERSIST_DURABLE;
    uint64_t no = PERSIST_NO_LIMIT;
    persist_read(f.store, slice_str("s"), 1, no, v, &events, NULL);
    persist_read_all(f.store, 1, no, v, &all, NULL);
    persist_scan(f.store, NULL, no, v, &keys, NULL);
    persist_streams(f.store, NULL, PERSIST_NO_LIMIT, v, &streams, NULL);
    const persist_event *e;
    assert_int_equal(persist_next_event(events, &e, NULL), PERSIST_OK);
    assert_int_equal(persist_next_key(keys, &name, &value, NULL), PERSIST_OK);

    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 1000);
    for (int i = 0; i < 1000; i++) {
        char named[16];
        snprintf(named, sizeof named, "k%03d", i);
        fixture_do(&f, i % 2 ? PERSIST_DELETE : PERSIST_PUT, named,
                   i % 2 ? "" : "other", 0);
        fixture_append(&f, "t", "later");
    }
    fixture_wait(&f);
    fixture_append(&f, "t", "collects what nobody sees");

    int count = 1;
    while (persist_next_event(events, &e, NULL) == PERSIST_OK) {
        assert_int_equal(e->seq, ++count);
        assert_true(slice_equal(e->data, slice_str("event")));
    }
    assert_int_equal(count, 1000);
    for (count = 0; persist_next_event(all, &e, NULL) == PERSIST_OK; count++)
        assert_true(slice_equal(e->stream, slice_str("s")));
    assert_int_equal(count, 1000);
    count = 1;
    while (persist_next_key(keys, &name, &value, NULL) == PERSIST_OK) {
        assert_true(slice_equal(value, slice_str("v")));
        count++;
    }
    assert_int_equal(count, 1000);
    assert_int_equal(persist_next_key(streams, &name, &value, NULL),
                     PERSIST_OK);
    assert_true(slice_equal(name, slice_str("s")));
    assert_int_equal(persist_next_key(streams, &name, &value, NULL),
                     PERSIST_NONE);
    persist_cursor_close(events);
    persist_cursor_close(all);
    persist_cursor_close(keys);
    persist_cursor_close(streams);
    fixture_end(&f);
}

static void reads_have_bounds(void **state)
{
    (void)state;
    persist_cursor *c;
    fixture_begin(&f, 0);
    for (uint64_t seq = 10; seq <= 50; seq += 10)
        fixture_do(&f, PERSIST_APPEND_AT, "s", "e", seq);
    struct {
        uint64_t from, limit;
        const char *forwards, *backwards;
    } cases[] = {
        {0, PERSIST_NO_LIMIT, "10:e 20:e 30:e 40:e 50:e", ""},
        {11, 2, "20:e 30:e", "10:e"},
        {30, 2, "30:e 40:e", "30:e 20:e"},
        {30, 0, "", ""},
        {51, 2, "", "50:e 40:e"},
        {UINT64_MAX, PERSIST_NO_LIMIT, "", "50:e 40:e 30:e 20:e 10:e"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        persist_read(f.store, slice_str("s"), cases[i].from, cases[i].limit,
                     PERSIST_LATEST, &c, NULL);
        assert_string_equal(fixture_drain(&f, c), cases[i].forwards);
        persist_read_back(f.store, slice_str("s"), cases[i].from,
                          cases[i].limit, PERSIST_LATEST, &c, NULL);
        assert_string_equal(fixture_drain(&f, c), cases[i].backwards);
    }
    fixture_end(&f);
}

/* Positions may jump, and truncation leaves holes. */
static void positions_never_change(void **state)
{
    (void)state;
    persist_cursor *c;
    const persist_event *e;
    fixture_begin(&f, 0);
    fixture_append(&f, "a", "1");
    fixture_append(&f, "b", "2");
    fixture_do(&f, PERSIST_SET_POSITION, "", "", 1u << 20);
    fixture_append(&f, "a", "3");
    assert_int_equal(fixture_try(&f, PERSIST_SET_POSITION, "", "", 7),
                     PERSIST_SEQ_CONFLICT);
    fixture_append(&f, "b", "4");
    fixture_do(&f, PERSIST_TRUNCATE, "a", "", 1);
    for (int round = 0; round < 2; round++) {
        static const uint64_t positions[] = {2, 1u << 20, (1u << 20) + 1};
        persist_read_all(f.store, 0, PERSIST_NO_LIMIT, PERSIST_LATEST, &c,
                         NULL);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(persist_next_event(c, &e, NULL), PERSIST_OK);
            assert_int_equal(e->position, positions[i]);
        }
        assert_int_equal(persist_next_event(c, &e, NULL), PERSIST_NONE);
        persist_cursor_close(c);
        fixture_close(&f);
        fixture_reopen(&f);
    }
    fixture_end(&f);
}

/* All of them: what is stored is read and closed all the same, also when it was
 * replayed. */
static void positions_run_out(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_do(&f, PERSIST_SET_POSITION, "", "", PERSIST_SEQ_MAX);
    fixture_append(&f, "s", "last");
    fixture_wait(&f);
    fixture_kill(&f);
    for (int round = 0; round < 2; round++) {
        fixture_reopen(&f);
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "t", "more", 0),
                         PERSIST_BAD_REQUEST);
        assert_non_null(strstr(f.error.message, "no positions left"));
        fixture_do(&f, PERSIST_PUT, "k", "v", 0);
        assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "1:last");
        assert_true(persist_position(f.store, PERSIST_LATEST) ==
                    PERSIST_SEQ_MAX);
        fixture_close(&f);
    }
    fixture_end(&f);
}

/* ---- commits ---------------------------------------------------------- */

static void edits_apply_in_order(void **state)
{
    (void)state;
    slice s = slice_str("s"), none = {NULL, 0};
    persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = s, .data = slice_str("a")},
        {.kind = PERSIST_TRUNCATE,
         .name = s,
         .data = none,
         .seq = PERSIST_SEQ_MAX},
        {.kind = PERSIST_APPEND, .name = s, .data = slice_str("b")},
        {.kind = PERSIST_SET_MARK, .name = s, .data = none, .seq = 10},
        {.kind = PERSIST_APPEND, .name = s, .data = slice_str("c")},
        {.kind = PERSIST_PUT, .name = s, .data = slice_str("1")},
        {.kind = PERSIST_DELETE, .name = s, .data = none},
        {.kind = PERSIST_PUT, .name = s, .data = slice_str("2")},
        {.kind = PERSIST_PUT, .name = slice_str("t"), .data = slice_str("1")},
        {.kind = PERSIST_DELETE, .name = slice_str("t"), .data = none},
    };
    persist_outcome out;
    fixture_begin(&f, 0);
    assert_int_equal(persist_commit(f.store, edits, 10, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.seq_count, 3);
    assert_int_equal(out.seqs[0], 1);
    assert_int_equal(out.seqs[1], 2);
    assert_int_equal(out.seqs[2], 11);
    persist_outcome_release(&out);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST),
                            "2:b 11:c");
        assert_string_equal(fixture_value(&f, "s", PERSIST_LATEST), "2");
        assert_string_equal(fixture_value(&f, "t", PERSIST_LATEST), "-");
        fixture_close(&f);
        fixture_reopen(&f);
    }
    fixture_end(&f);
}

static int allocations_left;

static int fail_when_none_left(void *context)
{
    (void)context;
    return allocations_left-- <= 0;
}

/* Memory that runs out at any point of a commit leaves nothing of it. */
static void a_commit_is_all_or_nothing(void **state)
{
    (void)state;
    slice s = slice_str("s"), t = slice_str("new");
    slice k = slice_str("k"), none = {NULL, 0};
    persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = s, .data = slice_str("b")},
        {.kind = PERSIST_TRUNCATE, .name = s, .data = none, .seq = 1},
        {.kind = PERSIST_APPEND, .name = t, .data = slice_str("c")},
        {.kind = PERSIST_SET_MARK, .name = s, .data = none, .seq = 20},
        {.kind = PERSIST_PUT, .name = k, .data = slice_str("new")},
        {.kind = PERSIST_PUT, .name = t, .data = slice_str("new")},
        {.kind = PERSIST_DELETE, .name = k, .data = none},
        {.kind = PERSIST_SET_POSITION, .name = none, .data = none, .seq = 1000},
    };
    persist_once id = {slice_str("id"), {7}};
    int failures = 0;
    for (int n = 0;; n++) {
        persist_outcome out;
        persist_stats before = {PERSIST_STATS}, after = {PERSIST_STATS};
        fixture_begin(&f, 0);
        fixture_append(&f, "s", "a");
        fixture_do(&f, PERSIST_PUT, "k", "old", 0);
        persist_get_stats(f.store, &before, NULL);
        allocations_left = n;
        mem_set_fail(fail_when_none_left, NULL);
        persist_status status =
            persist_commit(f.store, edits, 8, &id, &out, NULL);
        mem_set_fail(NULL, NULL);
        if (status == PERSIST_OK) {
            persist_outcome_release(&out);
            fixture_end(&f);
            break;
        }
        failures++;
        assert_int_equal(status, PERSIST_LIMIT);
        persist_get_stats(f.store, &after, NULL);
        assert_int_equal(after.memory, before.memory);
        assert_int_equal(after.streams, 1);
        assert_int_equal(after.events, 1);
        assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "1:a");
        assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "old");
        fixture_append(&f, "s", "c");
        assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "1:a 2:c");
        assert_int_equal(persist_commit(f.store, edits, 8, &id, &out, NULL),
                         PERSIST_OK);
        assert_int_equal(out.seqs[0], 3);
        persist_outcome_release(&out);
        fixture_end(&f);
    }
    assert_true(failures > 5);
}

/* ---- the log ---------------------------------------------------------- */

/* A record that no segment holds gets one of its own size. */
static void big_records_have_their_own_segment(void **state)
{
    (void)state;
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    fixture_begin(&f, TINY);
    for (int i = 0; i < 4; i++) {
        fixture_append_many(&f, "s", "small", 30);
        fixture_append(&f, "big", big);
    }
    fixture_wait(&f);
    for (int round = 0; round < 3; round++) {
        persist_stream_info info;
        persist_info(f.store, slice_str("big"), PERSIST_DURABLE, &info, NULL,
                     NULL);
        assert_int_equal(info.bytes, 400000);
        persist_info(f.store, slice_str("s"), PERSIST_DURABLE, &info, NULL,
                     NULL);
        assert_int_equal(info.count, 120);
        if (round == 0)
            fixture_close(&f);
        else
            fixture_kill(&f);
        fixture_reopen(&f);
    }
    fixture_end(&f);
    free(big);
}

/* The first commit fills a small segment; after 10 MB they are of 4 MiB. */
static void segments_grow_with_what_is_written(void **state)
{
    (void)state;
    char data[10001];
    persist_stats stats = {PERSIST_STATS};
    memset(data, 'x', sizeof data - 1);
    data[sizeof data - 1] = '\0';
    f = (fixture){.sim = os_sim_new(1), .memtable_size = 64 << 20};
    fixture_reopen(&f);
    uint64_t space = os_sim_space_used(f.sim);
    fixture_append(&f, "s", data);
    space = os_sim_space_used(f.sim) - space;
    space -= 136 << 10; /* the reserve */
    assert_true(space > 10000 && space < 80000);
    for (int i = 0; i < 1000; i++)
        fixture_append(&f, "s", data);
    persist_get_stats(f.store, &stats, NULL);
    assert_true(stats.segments >= 4 && stats.segments <= 6);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(persist_durable(f.store), 1001);
    fixture_end(&f);
}

/* More than the log buffer holds, without a wait: it is written, not synced,
 * and nothing is lost. */
static void the_buffer_is_bounded(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20, COUNT = 8 };
    char *data = malloc(SIZE + 1);
    memset(data, 'x', SIZE);
    data[SIZE] = '\0';
    fixture_begin_tables(&f, 1u << 30, 0); /* a table would be synced */
    uint64_t syncs = os_sim_calls(f.sim, SIM_SYNC);
    for (int i = 0; i < COUNT; i++)
        fixture_append(&f, "s", data);
    assert_int_equal(persist_durable(f.store), 0);
    assert_true(os_sim_space_used(f.sim) > 5 * (uint64_t)SIZE);
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(f.store, &stats, NULL);
    assert_int_equal(stats.syncs, 0);
    fixture_wait(&f);
    persist_get_stats(f.store, &stats, NULL);
    assert_int_equal(stats.syncs, 1);
    assert_true(os_sim_calls(f.sim, SIM_SYNC) > syncs);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    persist_stream_info info;
    persist_info(f.store, slice_str("s"), PERSIST_DURABLE, &info, NULL, NULL);
    assert_int_equal(info.count, COUNT);
    fixture_end(&f);
    free(data);
}

static void a_full_disk_refuses_and_heals(void **state)
{
    (void)state;
    fixture_begin(&f, TINY);
    fixture_append(&f, "s", "a");
    fixture_wait(&f);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    persist_status status = PERSIST_OK;
    uint64_t fitted = 1;
    while ((status = fixture_try(&f, PERSIST_APPEND, "s", "b", 0)) ==
           PERSIST_OK)
        fitted++;
    assert_int_equal(status, PERSIST_NO_SPACE);
    assert_true(fitted > 10);
    assert_int_equal(persist_latest(f.store), fitted);
    fixture_wait(&f);
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "b", 0),
                     PERSIST_NO_SPACE);
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_append(&f, "s", "c");
    fixture_wait(&f);
    fixture_close(&f);
    fixture_reopen(&f);
    persist_stream_info info;
    persist_info(f.store, slice_str("s"), PERSIST_DURABLE, &info, NULL, NULL);
    assert_int_equal(info.mark, fitted + 1);
    fixture_end(&f);
}

static void a_failed_sync_ends_writing(void **state)
{
    (void)state;
    persist_cid cid;
    fixture_begin(&f, 0);
    fixture_append(&f, "s", "a");
    fixture_do(&f, PERSIST_PUT, "k", "old", 0);
    fixture_wait(&f);
    fixture_append(&f, "s", "b");
    fixture_do(&f, PERSIST_PUT, "k", "new", 0);
    os_sim_fail(f.sim,
                (sim_fault){.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO});
    assert_int_equal(
        persist_wait_durable(f.store, persist_latest(f.store), &f.error),
        PERSIST_READ_ONLY);
    /* what has failed, without its own advice, which is another one */
    const char *advice = strstr(f.error.message, "; ");
    assert_non_null(advice);
    assert_null(strstr(advice + 1, "; "));
    assert_non_null(strstr(advice, "open the store again"));
    /* what is lost stays the newest: who waits for it is told, for ever */
    assert_int_equal(persist_latest(f.store), 4);
    assert_int_equal(store_visible(f.store), 2);
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "c", 0),
                     PERSIST_READ_ONLY);
    assert_int_equal(persist_blob_put(f.store, slice_str("x"), cid, NULL),
                     PERSIST_READ_ONLY);
    assert_int_equal(persist_wait_durable(f.store, 2, NULL), PERSIST_OK);
    for (persist_lsn lost = 3; lost <= 4; lost++)
        assert_int_equal(persist_wait_durable(f.store, lost, NULL),
                         PERSIST_READ_ONLY);
    assert_int_equal(persist_wait_durable(f.store, 5, NULL),
                     PERSIST_BAD_REQUEST);
    assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "1:a");
    assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "old");
    assert_int_equal(persist_close(f.store, NULL), PERSIST_READ_ONLY);
    f.store = NULL;
    fixture_reopen(&f);
    fixture_append(&f, "s", "d");
    fixture_wait(&f);
    fixture_end(&f);
}

/* With preallocation kept up, a commit and its wait are one write, one sync,
 * and a look at who holds the store: no file is made, grown or renamed. */
static void a_commit_moves_data_only(void **state)
{
    (void)state;
    bool did;
    persist_error error;
    persist_options options = {PERSIST_OPTIONS, .path = "store", .create = true,
                               .segment_size = TINY, .os = NULL};
    f = (fixture){.sim = os_sim_new(1)};
    options.os = os_sim_os(f.sim);
    engine *e;
    assert_int_equal(engine_open(&options, &e, &error), PERSIST_OK);
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str("s"),
                         .data = slice_str("data")};
    for (int i = 0; i < 500; i++) {
        if (i > 60)
            os_sim_fail(
                f.sim, (sim_fault){.calls = ~(1u << SIM_WRITE | 1u << SIM_SYNC |
                                              1u << SIM_CLOSE | 1u << SIM_STAT |
                                              1u << SIM_FILE_STAT),
                                   .nth = 1,
                                   .from_then_on = true,
                                   .error = EIO});
        assert_int_equal(engine_commit(e, &edit, 1, NULL, NULL, &error),
                         PERSIST_OK);
        uint64_t writes = os_sim_calls(f.sim, SIM_WRITE);
        uint64_t syncs = os_sim_calls(f.sim, SIM_SYNC);
        assert_int_equal(wal_wait(&e->wal, e->latest, &error), PERSIST_OK);
        assert_int_equal(os_sim_calls(f.sim, SIM_WRITE), writes + 1);
        assert_int_equal(os_sim_calls(f.sim, SIM_SYNC), syncs + 1);
        os_sim_fail(f.sim, (sim_fault){0});
        do {
            assert_int_equal(engine_step(e, &did, &error), PERSIST_OK);
        } while (did);
    }
    assert_int_equal(engine_close(e, &error), PERSIST_OK);
    fixture_end(&f);
}

/* What is frozen becomes a table without what was done away with since. */
static void a_flush_leaves_out_what_is_gone(void **state)
{
    (void)state;
    enum { BIG = 20000, STEPS = 100 };
    static char big[BIG + 1];
    memset(big, 'b', BIG);
    for (int is_key = 0; is_key < 2; is_key++) {
        persist_edit_kind adds = is_key ? PERSIST_PUT : PERSIST_APPEND;
        persist_edit_kind frees = is_key ? PERSIST_DELETE : PERSIST_TRUNCATE;
        bool did = true;
        fixture_begin_tables(&f, BIG, 2);
        store_disk_by_steps(f.store);
        fixture_do(&f, adds, "s", big, 0);
        fixture_do(&f, frees, "s", "", is_key ? 0 : 1);
        for (int i = 0; i < STEPS && did; i++)
            assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
        assert_int_equal(fixture_stats(&f).tables, 1);
        assert_in_range(fixture_stats(&f).table_bytes, 1, BIG / 2);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durable_reads_show_what_is_durable),
        cmocka_unit_test(a_cursor_sees_one_state),
        cmocka_unit_test(reads_have_bounds),
        cmocka_unit_test(positions_never_change),
        cmocka_unit_test(positions_run_out),
        cmocka_unit_test(edits_apply_in_order),
        cmocka_unit_test(a_commit_is_all_or_nothing),
        cmocka_unit_test(big_records_have_their_own_segment),
        cmocka_unit_test(segments_grow_with_what_is_written),
        cmocka_unit_test(the_buffer_is_bounded),
        cmocka_unit_test(a_full_disk_refuses_and_heals),
        cmocka_unit_test(a_failed_sync_ends_writing),
        cmocka_unit_test(a_commit_moves_data_only),
        cmocka_unit_test(a_flush_leaves_out_what_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
