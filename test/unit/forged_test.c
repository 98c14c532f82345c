/* SPDX-License-Identifier: MIT */
/* What is made of tables whose checksums are right, and whose content is not:
 * a merge leaves them as they are, and nothing ends the process. */
#include "forge.h"

enum { EVERY_COMMIT = 1, FORGED = 3, COMMITS = 4 };

/* Three tables of one event each, with these times. */
static void begin_three(forge *f, const uint64_t times[FORGED])
{
    begin(f);
    for (uint64_t i = 0; i < FORGED; i++) {
        f->time = times[i];
        begin_table(f);
        put_stream(f, "a", stream_of(0, i + 1, 1));
        put_event(f, 0, i + 1, i + 1, i);
        put_order(f, i + 1, i + 1, "a");
        end_table(f);
    }
    f->manifest.time = times[0];
}

/* Commits make tables, and these are to be merged with those there. Tells how
 * many there are then. */
static uint64_t commit_on(forge *f)
{
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .memtable_size = EVERY_COMMIT,
                                     .merge_width = 2, .os = f->sys};
    const persist_edit edit = {
        .kind = PERSIST_APPEND, .name = slice_str("a"), .data = slice_str("x")};
    persist_store *store;
    persist_stats stats = {PERSIST_STATS};
    persist_error error;
    must(persist_open(&options, &store, &error), &error);
    for (unsigned i = 0; i < COMMITS; i++)
        must(persist_commit(store, &edit, 1, NULL, NULL, &error), &error);
    must(persist_get_stats(store, &stats, &error), &error);
    must(persist_close(store, &error), &error);
    return stats.tables;
}

static void a_whole_run_is_merged(void **state)
{
    (void)state;
    forge f;
    begin_three(&f, (uint64_t[]){8, 8, 8});
    list_tables(&f, 1, FORGED, FORGED + 1);
    assert_true(commit_on(&f) <= FORGED);
    clean_up(&f);
}

/* Times that fall from table to table, and beyond the highest there is. */
static void falling_times(void **state)
{
    (void)state;
    forge f;
    begin_three(&f, (uint64_t[]){9, 9, 8});
    list_tables(&f, 1, FORGED, FORGED + 1);
    assert_true(commit_on(&f) > FORGED);
    clean_up(&f);
}

/* More events than numbers: what comes next has no index. */
static void a_stream_of_too_many_events(void **state)
{
    (void)state;
    forge f;
    stream_entry e = stream_of(0, 1, 1);
    begin(&f);
    begin_table(&f);
    e.state.count = e.state.floor.index = UINT64_MAX;
    e.state.floor = (stream_floor){1, UINT64_MAX, 1, 0};
    put_stream(&f, "a", e);
    put_event(&f, 0, 1, 1, 0);
    put_order(&f, 1, 1, "a");
    end_table(&f);
    list_tables(&f, 1, 1, 2);
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .memtable_size = EVERY_COMMIT,
                                     .os = f.sys};
    const persist_edit edit = {.kind = PERSIST_APPEND, .name = slice_str("a")};
    persist_store *store;
    persist_error error;
    must(persist_open(&options, &store, &error), &error);
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, &error),
                     PERSIST_CORRUPT);
    must(persist_close(store, &error), &error);
    clean_up(&f);
}

/* Nothing but its block bounds an entry that was read: in one with others it
 * has no room. */
static void an_entry_longer_than_any(void **state)
{
    (void)state;
    forge f;
    buf value = {0};
    begin(&f);
    assert_true(buf_reserve(&value, BLOCK_RAW_MAX));
    memset(value.data, 0, BLOCK_RAW_MAX);
    begin_table(&f);
    table_add(&f.writer, TABLE_KEYS, slice_str("a"),
              slice_of(value.data, BLOCK_RAW_MAX / 3));
    table_add(&f.writer, TABLE_KEYS, slice_str("b"), slice_of(value.data, 200));
    end_table(&f);
    begin_table(&f);
    table_add(&f.writer, TABLE_KEYS, slice_str("c"),
              slice_of(value.data, BLOCK_RAW_MAX - 100));
    end_table(&f);
    buf_release(&value);
    f.manifest.keys = FORGED;
    list_tables(&f, 0, 0, 1);
    assert_true(commit_on(&f) > 2);
    clean_up(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_run_is_merged),
        cmocka_unit_test(falling_times),
        cmocka_unit_test(a_stream_of_too_many_events),
        cmocka_unit_test(an_entry_longer_than_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
