/* SPDX-License-Identifier: MIT */
/* The engine with tables: what is flushed and merged reads as before, what is
 * truncated gives its space back, and a reader keeps its state. */
#include <errno.h>

#include "fixture.h"
#include "store/store.h"

enum { EVERY_COMMIT = 1, SMALL = 2000 };

static fixture f;

static int count_name(void *context, const char *name)
{
    uint64_t number;
    *(int *)context += table_number(name, &number);
    return 0;
}

static int table_files(void)
{
    int count = 0;
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(
        os_list_in(sys, sys->cwd, "store/tables", count_name, &count), 0);
    return count;
}

static void work(void)
{
    bool did = true;
    while (did)
        assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
}

static void commits_become_tables(void **state)
{
    (void)state;
    fixture_begin_tables(&f, EVERY_COMMIT, 64);
    for (int i = 0; i < 20; i++) {
        fixture_append(&f, i % 2 == 0 ? "even" : "odd", "data");
        assert_int_equal(fixture_stats(&f).tables, i + 1);
    }
    assert_int_equal(fixture_stats(&f).memory, 0);
    assert_int_equal(fixture_info(&f, "even").count, 10);
    assert_int_equal(fixture_info(&f, "even").bytes, 40);
    assert_int_equal(fixture_stats(&f).events, 20);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(fixture_stats(&f).replayed, 0);
    assert_int_equal(fixture_stats(&f).events, 20);
    assert_int_equal(fixture_stats(&f).streams, 2);
    assert_string_equal(fixture_events(&f, "odd", PERSIST_DURABLE),
                        "1:data 2:data 3:data 4:data 5:data 6:data 7:data "
                        "8:data 9:data 10:data");
    fixture_end(&f);
}

/* However small they are, and far from the size of a table. */
static void many_edits_become_a_table(void **state)
{
    (void)state;
    enum { EDITS = 1024, COMMITS = MEMTABLE_EDITS_MAX / EDITS };
    static persist_edit edits[EDITS];
    fixture_begin(&f, 0);
    for (int i = 0; i < EDITS; i++)
        edits[i] = (persist_edit){
            .kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str("")};
    for (int i = 1; i <= COMMITS; i++) {
        assert_int_equal(fixture_stats(&f).tables, 0);
        assert_true(fixture_stats(&f).memory < MEMTABLE_SIZE_DEFAULT);
        assert_int_equal(
            persist_commit(f.store, edits, EDITS, NULL, NULL, NULL),
            PERSIST_OK);
    }
    assert_int_equal(fixture_stats(&f).tables, 1);
    fixture_end(&f);
}

static void tables_are_merged(void **state)
{
    (void)state;
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    for (int i = 0; i < 50; i++) {
        fixture_append(&f, "s", "data");
        fixture_do(&f, PERSIST_PUT, "k", i % 2 == 0 ? "even" : "odd", 0);
        assert_true(fixture_stats(&f).tables < 6);
    }
    /* Those that were replaced wait for two manifests. */
    assert_true(table_files() < 12);
    assert_int_equal(fixture_info(&f, "s").count, 50);
    assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "odd");
    fixture_end(&f);
}

/* A store that was closed well holds no table that nothing needs. */
static void closing_deletes_what_was_merged(void **state)
{
    (void)state;
    persist_cursor *reader;
    fixture_begin_tables(&f, EVERY_COMMIT, 3);
    fixture_append(&f, "s", "data");
    assert_int_equal(persist_streams(f.store, NULL, PERSIST_NO_LIMIT,
                                     PERSIST_LATEST, &reader, NULL),
                     PERSIST_OK);
    for (int i = 0; i < 2; i++)
        fixture_append(&f, "s", "data");
    int tables = (int)fixture_stats(&f).tables;
    assert_true(table_files() > tables);
    persist_cursor_close(reader);
    assert_true(table_files() > tables);
    fixture_close(&f);
    assert_int_equal(table_files(), tables);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, 3);
    fixture_end(&f);
}

/* A table for each opening, none of which lives long enough for a merge in the
 * background: closing merges when they are too many. */
static void short_openings_merge_too(void **state)
{
    (void)state;
    enum { OPENINGS = TABLES_CROWDED + 20, LONG = 200 };
    char text[LONG + 1];
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    uint64_t most = 0;
    fixture_begin_tables(&f, LONG * CLOSE_LOG_SHARE / 2, 2);
    for (int i = 0; i < OPENINGS; i++) {
        fixture_append(&f, "s", text);
        fixture_close(&f);
        fixture_reopen(&f);
        most =
            fixture_stats(&f).tables > most ? fixture_stats(&f).tables : most;
    }
    assert_int_equal(most, TABLES_CROWDED - 1);
    assert_int_equal(fixture_info(&f, "s").count, OPENINGS);
    fixture_end(&f);
}

/* Short entries of many names are merged early, long ones late. */
static void long_runs_are_merged_late(void **state)
{
    (void)state;
    char text[1000], name[16];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fixture_begin_tables(&f, EVERY_COMMIT, 0);
    for (int i = 0; i < 31; i++)
        fixture_append(&f, "s", text);
    assert_int_equal(fixture_stats(&f).tables, 31);
    fixture_append(&f, "s", text);
    assert_int_equal(fixture_stats(&f).tables, 1);
    fixture_end(&f);
    fixture_begin_tables(&f, 8192, 0);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "k%d", i);
        fixture_do(&f, PERSIST_PUT, name, "", 0);
        assert_true(fixture_stats(&f).tables < 10);
    }
    fixture_end(&f);
}

/* A cursor that was opened before goes on in the state it saw. */
static void a_reader_keeps_its_state(void **state)
{
    (void)state;
    persist_cursor *events, *all, *keys;
    slice name, value;
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    fixture_append_many(&f, "s", "d", 5);
    fixture_do(&f, PERSIST_PUT, "k", "old", 0);
    assert_int_equal(persist_read(f.store, slice_str("s"), 0, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &events, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_read_all(f.store, 0, PERSIST_NO_LIMIT,
                                      PERSIST_LATEST, &all, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_scan(f.store, NULL, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &keys, NULL),
                     PERSIST_OK);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 5);
    fixture_do(&f, PERSIST_PUT, "k", "new", 0);
    fixture_append_many(&f, "s", "e", 20);
    assert_true(fixture_stats(&f).tables < 6);
    const char *before = "1:d1 2:d2 3:d3 4:d4 5:d5";
    assert_string_equal(fixture_drain(&f, events), before);
    assert_string_equal(fixture_drain(&f, all), before);
    assert_int_equal(persist_next_key(keys, &name, &value, NULL), PERSIST_OK);
    assert_true(slice_equal(value, slice_str("old")));
    persist_cursor_close(keys);
    assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "new");
    assert_int_equal(fixture_info(&f, "s").first, 6);
    fixture_end(&f);
}

/* What is overwritten leaves memory with its memtable and disk with a merge,
 * and so does what is deleted. */
static void old_values_give_their_space_back(void **state)
{
    (void)state;
    enum { KEYS = 300, ROUNDS = 20, MEMTABLE = 16384 };
    char name[16], data[SMALL + 1];
    memset(data, 'x', SMALL);
    data[SMALL] = '\0';
    fixture_begin_tables(&f, MEMTABLE, 8);
    for (int i = 0; i < KEYS * ROUNDS; i++) {
        snprintf(name, sizeof name, "%d", i % KEYS);
        fixture_do(&f, PERSIST_PUT, name, data, 0);
        assert_true(fixture_stats(&f).memory < 3 * MEMTABLE);
    }
    assert_int_equal(fixture_count_keys(&f), KEYS);
    assert_true(fixture_stats(&f).table_bytes < 4 * KEYS * SMALL);
    for (int i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "%d", i);
        fixture_do(&f, PERSIST_DELETE, name, "", 0);
    }
    assert_int_equal(fixture_count_keys(&f), 0);
    assert_true(fixture_stats(&f).table_bytes < KEYS * SMALL / 2);
    fixture_end(&f);
}

/* Each of them keeps its state, also those for whom there is no place without
 * a lock; what they used goes with the last of them. */
static void many_readers_keep_their_states(void **state)
{
    enum { CURSORS = 2 * READERS_MAX + 7 };
    (void)state;
    persist_cursor *open[CURSORS];
    fixture_begin_tables(&f, SMALL, 2);
    for (int i = 0; i < CURSORS; i++) {
        fixture_append(&f, "s", "data of about twenty");
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", (uint64_t)i / 2);
        fixture_wait(&f);
        assert_int_equal(persist_read(f.store, slice_str("s"), 0,
                                      PERSIST_NO_LIMIT, PERSIST_LATEST,
                                      &open[i], &f.error),
                         PERSIST_OK);
    }
    fixture_append_many(&f, "s", "later", 100);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", PERSIST_SEQ_MAX);
    int files = table_files();
    for (int n = 0, i = 0; n < CURSORS; n++, i = (i + 29) % CURSORS) {
        const persist_event *e;
        uint64_t seq = (uint64_t)i / 2;
        while (persist_next_event(open[i], &e, &f.error) == PERSIST_OK)
            assert_int_equal(e->seq, ++seq);
        assert_int_equal(seq, i + 1);
        persist_cursor_close(open[i]);
    }
    fixture_append_many(&f, "t", "enough to flush, and then some", 200);
    assert_true(table_files() < files);
    fixture_end(&f);
}

static void truncated_events_give_their_space_back(void **state)
{
    (void)state;
    char data[SMALL + 1];
    memset(data, 'x', SMALL);
    data[SMALL] = '\0';
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    for (int i = 0; i < 50; i++)
        fixture_append(&f, "s", data);
    assert_true(fixture_stats(&f).table_bytes > 50 * SMALL);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 49);
    for (int i = 0; i < 40; i++)
        fixture_do(&f, PERSIST_PUT, "k", "v", 0);
    fixture_append(&f, "s", "last");
    for (int i = 0; i < 40; i++)
        fixture_do(&f, PERSIST_DELETE, "k", "", 0);
    assert_true(fixture_stats(&f).table_bytes < 10 * SMALL);
    assert_int_equal(fixture_info(&f, "s").mark, 51);
    assert_int_equal(fixture_info(&f, "s").first, 50);
    assert_int_equal(fixture_info(&f, "s").bytes, SMALL + 4);
    assert_int_equal(fixture_stats(&f).events, 2);
    assert_int_equal(fixture_count_keys(&f), 0);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 51);
    fixture_append(&f, "other", "x");
    fixture_append(&f, "other", "y");
    assert_int_equal(fixture_info(&f, "s").mark, 51);
    assert_int_equal(fixture_info(&f, "s").count, 0);
    fixture_append(&f, "s", "after");
    assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST), "52:after");
    fixture_end(&f);
}

static void a_command_id_is_kept_for_ever(void **state)
{
    (void)state;
    persist_once id = {slice_str("id"), {1}};
    persist_edit edit = {
        .kind = PERSIST_APPEND, .name = slice_str("s"), .data = slice_str("x")};
    persist_outcome out;
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    assert_int_equal(persist_commit(f.store, &edit, 1, &id, &out, NULL),
                     PERSIST_OK);
    persist_outcome_release(&out);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 1);
    fixture_append_many(&f, "t", "d", 30);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(persist_commit(f.store, &edit, 1, &id, &out, NULL),
                         PERSIST_OK);
        assert_int_equal(out.kind, PERSIST_REPEATED);
        assert_int_equal(out.seq_count, 1);
        assert_int_equal(out.seqs[0], 1);
        assert_int_equal(out.lsn, 1);
        persist_outcome_release(&out);
        fixture_close(&f);
        fixture_reopen(&f);
    }
    id.fingerprint[0] = 2;
    assert_int_equal(persist_commit(f.store, &edit, 1, &id, &out, &f.error),
                     PERSIST_BAD_REQUEST);
    fixture_end(&f);
}

/* Tables that cannot be merged pile up; the store still closes, and all of the
 * commits are in tables by then. */
static void a_crowd_of_tables_closes(void **state)
{
    (void)state;
    fixture_begin_tables(&f, EVERY_COMMIT, 64);
    fixture_append(&f, "a", "first");
    fixture_close(&f);
    fixture_flip(&f, "store/tables/0000000000000001.tbl",
                 TABLE_HEADER_SIZE + 40);
    f.memtable_size = 4096;
    f.merge_width = 2;
    char data[600];
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\0';
    fixture_reopen(&f);
    while (fixture_stats(&f).tables < TABLES_CROWDED)
        fixture_append(&f, "s", data);
    fixture_append(&f, "s", data);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_true(fixture_stats(&f).tables > TABLES_CROWDED);
    fixture_end(&f);
}

/* A table that cannot be read as soon as it is written leaves no file behind:
 * steps that are tried again and again would fill the disk. */
static void an_unreadable_table_leaves_no_file(void **state)
{
    (void)state;
    static const sim_call calls[] = {SIM_READ, SIM_SIZE};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        bool hit = true;
        for (uint64_t n = 1; hit; n++) {
            fixture_begin_tables(&f, EVERY_COMMIT, 2);
            os_sim_refuse_maps(f.sim, 1);
            fixture_append(&f, "s", "one");
            os_sim_fail(
                f.sim,
                (sim_fault){.calls = 1u << calls[i], .nth = n, .error = EIO});
            for (int more = 0; more < 3; more++)
                (void)fixture_try(&f, PERSIST_APPEND, "s", "more", 0);
            hit = os_sim_faults(f.sim, SIM_CALLS) > 0;
            os_sim_fail(f.sim, (sim_fault){0});
            persist_close(f.store, NULL);
            f.store = NULL;
            int files = table_files();
            fixture_reopen(&f);
            assert_int_equal(files, fixture_stats(&f).tables);
            fixture_end(&f);
        }
    }
}

/* What a crash left is deleted; what we did not write is not. */
static void only_our_own_files_are_deleted(void **state)
{
    (void)state;
    uint8_t header[TABLE_HEADER_SIZE];
    const os *sys;
    os_stat stat;
    fixture_begin_tables(&f, EVERY_COMMIT, 64);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    sys = os_sim_os(f.sim);
    fixture_copy(&f, "store/tables/0000000000000001.tbl",
                 "store/tables/0000000000000009.tbl");
    table_header_encode(12345, 10, header);
    fixture_patch(&f, "store/tables/000000000000000a.tbl", 0,
                  slice_of(header, sizeof header));
    fixture_patch(&f, "store/tables/notes.txt", 0, slice_str("mine"));
    fixture_reopen(&f);
    assert_int_equal(table_files(), 5); /* who reads deletes nothing */
    fixture_append(&f, "s", "e");
    assert_int_equal(
        sys->stat(sys, sys->cwd, "store/tables/0000000000000009.tbl", &stat),
        -ENOENT);
    assert_int_equal(
        sys->stat(sys, sys->cwd, "store/tables/000000000000000a.tbl", &stat),
        0);
    assert_int_equal(sys->stat(sys, sys->cwd, "store/tables/notes.txt", &stat),
                     0);
    fixture_append_many(&f, "s", "e", 2); /* and their numbers are not taken */
    assert_int_equal(fixture_info(&f, "s").count, 6);
    fixture_end(&f);
}

/* What a killed opening left goes when the next one that writes is closed,
 * however short that is. */
static void closing_leaves_nothing_unfinished(void **state)
{
    (void)state;
    static const char *const left[] = {"store/tables/0000000000001000.tbl",
                                       "store/tables/0000000000001001.tbl"};
    os_stat stat;
    fixture_begin_tables(&f, SMALL, 64);
    fixture_append_many(&f, "s", "d", 200);
    fixture_close(&f);
    for (int i = 0; i < 2; i++)
        fixture_copy(&f, "store/tables/0000000000000001.tbl", left[i]);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    fixture_append(&f, "s", "e");
    const os *sys = os_sim_os(f.sim);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sys->stat(sys, sys->cwd, left[i], &stat), 0);
    fixture_close(&f);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sys->stat(sys, sys->cwd, left[i], &stat), -ENOENT);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, 201);
    fixture_end(&f);
}

/* No space for a table: commits go on while memory lasts, then they are
 * refused; and as soon as there is space, all goes on. */
static void a_full_disk_heals(void **state)
{
    (void)state;
    char data[200];
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\0';
    fixture_begin_tables(&f, SMALL, 4);
    fixture_append_many(&f, "s", "d", 3);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + 3000);
    int done = 0;
    persist_status status;
    while ((status = fixture_try(&f, PERSIST_APPEND, "s", data, 0)) ==
           PERSIST_OK)
        done++;
    assert_int_equal(status, PERSIST_NO_SPACE);
    assert_true(done > 0);
    assert_int_equal(fixture_info(&f, "s").count, 3 + done);
    os_sim_limit_space(f.sim, UINT64_MAX);
    for (int i = 0; i < 40; i++)
        fixture_append(&f, "s", data);
    assert_int_equal(fixture_info(&f, "s").count, 43 + done);
    assert_true(fixture_stats(&f).tables > 0);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, 43 + done);
    fixture_end(&f);
}

/* However much was written, opening replays no more than two memtables. */
static void replay_is_bounded(void **state)
{
    (void)state;
    char data[500];
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\0';
    fixture_begin_tables(&f, 20000, 4);
    for (int i = 0; i < 1000; i++)
        fixture_append(&f, "s", data);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_true(fixture_stats(&f).replayed <= 2 * 20000 + 2 * 4096);
    assert_int_equal(fixture_info(&f, "s").count, 1000);
    fixture_end(&f);
}

/* A truncation below what the table holds is logged in one memtable, what it
 * leaves came in the one before, and both are replayed as one. */
static void two_memtables_are_replayed_as_one(void **state)
{
    (void)state;
    fixture_begin_tables(&f, EVERY_COMMIT, 4);
    store_disk_by_steps(f.store);
    fixture_do(&f, PERSIST_SET_MARK, "s", "", 100);
    fixture_append(&f, "s", "data");
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 50);
    fixture_wait(&f);
    assert_int_equal(fixture_stats(&f).tables, 1);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "101:data");
    assert_int_equal(fixture_info(&f, "s").first, 101);
    assert_int_equal(fixture_info(&f, "s").count, 1);
    fixture_end(&f);
}

/* Closing flushes what waits for it, and what came since. */
static void closing_leaves_little_log(void **state)
{
    (void)state;
    enum { SIZE = 20000, COMMITS = 60 };
    char data[500];
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\0';
    fixture_begin_tables(&f, SIZE, 4);
    store_disk_by_steps(f.store);
    for (int i = 0; i < COMMITS; i++)
        fixture_append(&f, "s", data);
    assert_int_equal(fixture_stats(&f).tables, 0);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_true(fixture_stats(&f).replayed <= SIZE / CLOSE_LOG_SHARE);
    assert_int_equal(fixture_stats(&f).tables, 2);
    assert_int_equal(fixture_info(&f, "s").count, COMMITS);
    fixture_end(&f);
}

/* In one commit, so that a memtable takes all of them or none. */
static void append_at_once(const char *name, const char *data, size_t count)
{
    persist_edit edits[16];
    assert_in_range(count, 1, sizeof edits / sizeof *edits);
    for (size_t i = 0; i < count; i++)
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str(name),
                                  .data = slice_str(data)};
    assert_int_equal(persist_commit(f.store, edits, count, NULL, NULL, NULL),
                     PERSIST_OK);
}

/* A flush leaves out what commits behind it have truncated. Its table does not
 * join the one before then, and a merge of both counts right all the same. */
static void a_merge_over_truncated_events_counts(void **state)
{
    (void)state;
    enum { HALF = 10, GONE = HALF + 4, SIZE = 600 };
    persist_options options = {PERSIST_OPTIONS, .path = "store"};
    fixture_begin_tables(&f, SIZE, 2);
    options.os = os_sim_os(f.sim);
    store_disk_by_steps(f.store);
    append_at_once("s", "data", HALF);
    work();
    append_at_once("s", "data", HALF);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", GONE);
    work();
    assert_int_equal(fixture_stats(&f).tables, 1);
    for (uint64_t through = GONE + 1; through < GONE + 4; through++) {
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", through);
        assert_int_equal(fixture_info(&f, "s").first, through + 1);
        assert_int_equal(fixture_info(&f, "s").count, 2 * HALF - through);
    }
    fixture_close(&f);
    assert_int_equal(persist_verify(&options, NULL, NULL, &f.error),
                     PERSIST_OK);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_become_tables),
        cmocka_unit_test(many_edits_become_a_table),
        cmocka_unit_test(tables_are_merged),
        cmocka_unit_test(closing_deletes_what_was_merged),
        cmocka_unit_test(short_openings_merge_too),
        cmocka_unit_test(long_runs_are_merged_late),
        cmocka_unit_test(a_reader_keeps_its_state),
        cmocka_unit_test(old_values_give_their_space_back),
        cmocka_unit_test(many_readers_keep_their_states),
        cmocka_unit_test(truncated_events_give_their_space_back),
        cmocka_unit_test(a_command_id_is_kept_for_ever),
        cmocka_unit_test(a_crowd_of_tables_closes),
        cmocka_unit_test(an_unreadable_table_leaves_no_file),
        cmocka_unit_test(only_our_own_files_are_deleted),
        cmocka_unit_test(closing_leaves_nothing_unfinished),
        cmocka_unit_test(a_full_disk_heals),
        cmocka_unit_test(replay_is_bounded),
        cmocka_unit_test(two_memtables_are_replayed_as_one),
        cmocka_unit_test(closing_leaves_little_log),
        cmocka_unit_test(a_merge_over_truncated_events_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
