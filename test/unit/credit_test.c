/* SPDX-License-Identifier: MIT */
/* Merging that reading pays for: when it comes, and when it must not. */
#include <errno.h>

#include "fixture.h"
#include "store/store.h"

enum {
    EVERY_COMMIT = 1, /* a table of each */
    TABLES = 6,
    WIDTH = 64, /* so nothing but reading leads to a merge */
    SOME = 50,
    ENOUGH = 2000, /* reads that pay for a merge of all */
    BIG = 20000,
    MUCH = 10 * ENOUGH,
    JOBS = 1000,
    PEEKS = FLUSH_WORTH / ENTRY_WORTH / JOBS /* that pay for a flush */
};

static fixture f;

static uint64_t tables(void)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(f.store, &stats, NULL);
    return stats.tables;
}

/* Makes all steps that are due; tells whether there were any. */
static bool work(void)
{
    bool did = true, any = false;
    while (did && store_step(f.store, &did, &f.error) == PERSIST_OK)
        any = any || did;
    return any;
}

static void begin(void)
{
    fixture_begin_tables(&f, EVERY_COMMIT, WIDTH);
    char name[16];
    for (int i = 0; i < TABLES; i++) {
        snprintf(name, sizeof name, "key%d", i);
        fixture_do(&f, PERSIST_PUT, name, name, 0);
        fixture_do(&f, PERSIST_PUT, "all", name, 0);
        fixture_append(&f, "s", name);
    }
    work();
    assert_int_equal(tables(), 3 * TABLES);
}

static void end(void)
{
    fixture_end(&f);
}

static void get(int times)
{
    for (int i = 0; i < times; i++)
        assert_string_equal(fixture_value(&f, "absent", PERSIST_LATEST), "-");
}

static void check_all(void)
{
    char name[16];
    for (int i = 0; i < TABLES; i++) {
        snprintf(name, sizeof name, "key%d", i);
        assert_string_equal(fixture_value(&f, name, PERSIST_LATEST), name);
    }
    assert_string_equal(fixture_value(&f, "all", PERSIST_LATEST), "key5");
    assert_string_equal(fixture_events(&f, "s", PERSIST_LATEST),
                        "1:key0 2:key1 3:key2 4:key3 5:key4 6:key5");
}

static void scan(int times)
{
    for (int i = 0; i < times; i++) {
        persist_cursor *cursor;
        slice name, value;
        int found = 0;
        assert_int_equal(persist_scan(f.store, NULL, PERSIST_NO_LIMIT,
                                      PERSIST_LATEST, &cursor, &f.error),
                         PERSIST_OK);
        while (persist_next_key(cursor, &name, &value, &f.error) == PERSIST_OK)
            found++;
        persist_cursor_close(cursor);
        assert_int_equal(found, TABLES + 1);
    }
}

static void read_stream(int times)
{
    for (int i = 0; i < times; i++)
        fixture_events(&f, "s", PERSIST_LATEST);
}

static void ask_stream(int times)
{
    persist_stream_info info;
    for (int i = 0; i < times; i++)
        assert_int_equal(persist_info(f.store, slice_str("absent"),
                                      PERSIST_LATEST, &info, NULL, &f.error),
                         PERSIST_OK);
}

static void (*const reads[])(int) = {get, scan, read_stream, ask_stream};

/* Not before it is paid for, and not within a read. */
static void each_kind_of_read_pays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        begin();
        uint64_t before = tables();
        reads[i](5);
        assert_false(work());
        reads[i](ENOUGH);
        assert_int_equal(tables(), before);
        assert_true(work());
        assert_int_equal(tables(), 1);
        check_all();
        end();
    }
}

/* Reads the events with a tag, so many times. */
static void query(const char *tag, int times)
{
    slice tags[] = {slice_str(tag)};
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    for (int i = 0; i < times; i++) {
        persist_cursor *cursor;
        const persist_event *e;
        assert_int_equal(persist_query(f.store, &item, 1, 0, PERSIST_NO_LIMIT,
                                       PERSIST_LATEST, &cursor, &f.error),
                         PERSIST_OK);
        while (persist_next_event(cursor, &e, &f.error) == PERSIST_OK)
            ;
        assert_int_equal(f.error.status, PERSIST_OK);
        persist_cursor_close(cursor);
    }
}

/* Commits on condition that no event with a tag has a type, which holds, and is
 * looked for in all tables. */
static void commit_if_none(const char *tag, int times)
{
    slice tags[] = {slice_str(tag)}, types[] = {slice_str("other")};
    const persist_query_item item = {
        .tags = tags, .tag_count = 1, .types = types, .type_count = 1};
    const persist_edit edit = {
        .kind = PERSIST_EXPECT_NONE, .query = &item, .query_count = 1};
    for (int i = 0; i < times; i++) {
        persist_outcome out;
        assert_int_equal(
            persist_commit(f.store, &edit, 1, NULL, &out, &f.error),
            PERSIST_OK);
        assert_int_equal(out.kind, PERSIST_COMMITTED);
        persist_outcome_release(&out);
    }
}

/* A tag is sought in each table that has it: that pays much sooner than asking
 * each whether it has. */
static void a_query_pays_for_each_table_it_enters(void **state)
{
    (void)state;
    slice tags[] = {slice_str("tag")};
    const persist_edit tagged = {.kind = PERSIST_APPEND,
                                 .name = slice_str("s"),
                                 .data = slice_str("tagged"),
                                 .tags = tags,
                                 .tag_count = 1};
    begin();
    for (int i = 0; i < TABLES; i++)
        assert_int_equal(
            persist_commit(f.store, &tagged, 1, NULL, NULL, &f.error),
            PERSIST_OK);
    work();
    assert_int_equal(tables(), 4 * TABLES);
    query("absent", SOME);
    assert_false(work());
    commit_if_none("tag", SOME); /* its writing shall not lead to more */
    assert_false(work());
    query("tag", SOME);
    assert_true(work());
    assert_int_equal(tables(), 1);
    end();
}

/* ---- what is gone ------------------------------------------------------- */

/* The first one that is there, as who takes from a queue does. */
static void peek_key(void)
{
    persist_cursor *cursor;
    slice name, value;
    assert_int_equal(
        persist_scan(f.store, NULL, 1, PERSIST_LATEST, &cursor, &f.error),
        PERSIST_OK);
    assert_int_equal(persist_next_key(cursor, &name, &value, &f.error),
                     PERSIST_OK);
    persist_cursor_close(cursor);
}

static void peek_event(void)
{
    persist_cursor *cursor;
    const persist_event *e;
    assert_int_equal(
        persist_read_all(f.store, 0, 1, PERSIST_LATEST, &cursor, &f.error),
        PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, &f.error), PERSIST_OK);
    persist_cursor_close(cursor);
}

static void peek_tagged(void)
{
    slice tags[] = {slice_str("tag")};
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *e;
    assert_int_equal(persist_query(f.store, &item, 1, 0, 1, PERSIST_LATEST,
                                   &cursor, &f.error),
                     PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, &f.error), PERSIST_OK);
    persist_cursor_close(cursor);
}

static void (*const peeks[])(void) = {peek_key, peek_event, peek_tagged};

/* Jobs, as keys and as events with a tag, of which all but the last are done:
 * a table has them, or the memtable still does. */
static void begin_queue(uint32_t memtable_size)
{
    slice tags[] = {slice_str("tag")};
    char name[16];
    fixture_begin_tables(&f, memtable_size, WIDTH);
    for (int i = 0; i < JOBS; i++) {
        snprintf(name, sizeof name, "job%04d", i);
        const persist_edit edits[] = {{.kind = PERSIST_APPEND,
                                       .name = slice_str("jobs"),
                                       .data = slice_str(name),
                                       .tags = tags,
                                       .tag_count = 1},
                                      {.kind = PERSIST_PUT,
                                       .name = slice_str(name),
                                       .data = slice_str(name)}};
        assert_int_equal(
            persist_commit(f.store, edits, 2, NULL, NULL, &f.error),
            PERSIST_OK);
    }
    for (int i = 0; i < JOBS - 1; i++) {
        snprintf(name, sizeof name, "job%04d", i);
        fixture_do(&f, PERSIST_DELETE, name, "", 0);
    }
    fixture_do(&f, PERSIST_TRUNCATE, "jobs", "", JOBS - 1);
    work();
}

/* A memtable with much that readers pass over is written before it is full. */
static void what_is_gone_is_flushed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof peeks / sizeof *peeks; i++) {
        begin_queue(1 << 20);
        fixture_do(&f, PERSIST_PUT, "key", "value", 0);
        assert_int_equal(tables(), 0);
        for (int n = 0; n < PEEKS / 2; n++)
            peeks[i]();
        fixture_do(&f, PERSIST_PUT, "key", "value", 0);
        assert_int_equal(tables(), 0);
        for (int n = 0; n < PEEKS; n++)
            peeks[i]();
        fixture_do(&f, PERSIST_PUT, "key", "value", 0);
        work();
        assert_int_equal(tables(), 1);
        peeks[i]();
        end();
    }
}

static uint64_t table_bytes(void)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(f.store, &stats, NULL);
    return stats.table_bytes;
}

/* What a table has and is done with goes by itself: first what says so is
 * flushed, then they are merged. */
static void what_is_gone_is_merged_away(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof peeks / sizeof *peeks; i++) {
        begin_queue(1 << 18);
        assert_int_equal(tables(), 1);
        uint64_t before = table_bytes();
        for (int n = 0; table_bytes() > before / 4; n++) {
            assert_true(n < 2 * PEEKS);
            peeks[i]();
            fixture_do(&f, PERSIST_PUT, "key", "value", 0);
            (void)work();
        }
        assert_int_equal(tables(), 1);
        end();
    }
}

/* What was paid is used up, and one table costs nothing more. */
static void credit_is_spent(void **state)
{
    (void)state;
    begin();
    get(ENOUGH);
    assert_true(work());
    get(ENOUGH);
    assert_false(work());
    fixture_do(&f, PERSIST_PUT, "key0", "key0", 0);
    work();
    assert_int_equal(tables(), 2);
    end();
}

/* A commit without a thread takes the wish up with its own work. */
static void a_commit_takes_it_up(void **state)
{
    (void)state;
    begin();
    get(ENOUGH);
    fixture_do(&f, PERSIST_PUT, "key0", "key0", 0);
    assert_int_equal(tables(), 1);
    check_all();
    end();
}

static void who_reads_a_little_changes_nothing(void **state)
{
    (void)state;
    begin();
    uint64_t before = tables();
    fixture_close(&f);
    fixture_reopen(&f);
    uint64_t hash = os_sim_hash(f.sim);
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
        reads[i](5);
    assert_false(work());
    assert_int_equal(tables(), before);
    assert_true(os_sim_hash(f.sim) == hash);
    end();
}

/* What an earlier opening has left is merged for who reads it a lot, though
 * nothing is ever written any more. */
static void who_only_reads_pays_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        begin();
        fixture_close(&f);
        fixture_reopen(&f);
        reads[i](ENOUGH);
        assert_true(work());
        assert_int_equal(tables(), 1);
        check_all();
        fixture_close(&f);
        fixture_reopen(&f);
        assert_int_equal(tables(), 1);
        check_all();
        end();
    }
}

/* A store that must not be written to is not. */
static void a_reader_only_never_pays(void **state)
{
    (void)state;
    begin();
    uint64_t before = tables();
    fixture_close(&f);
    os_sim_read_only(f.sim, true);
    fixture_reopen(&f);
    uint64_t hash = os_sim_hash(f.sim);
    get(MUCH);
    assert_false(work());
    assert_int_equal(tables(), before);
    fixture_close(&f);
    assert_true(os_sim_hash(f.sim) == hash);
    os_sim_read_only(f.sim, false);
    fixture_reopen(&f);
    end();
}

/* An opening that cannot begin to write reads on, and tries it again when as
 * much was paid once more. */
static void who_cannot_begin_puts_it_off(void **state)
{
    (void)state;
    begin();
    uint64_t before = tables();
    fixture_close(&f);
    fixture_reopen(&f);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    get(ENOUGH);
    assert_false(work());
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_false(work()); /* it was spent */
    check_all();
    assert_int_equal(tables(), before);
    get(ENOUGH);
    assert_true(work());
    assert_int_equal(tables(), 1);
    check_all();
    end();
}

/* An opening that adds no table merges none for their size alone. */
static void who_adds_no_table_merges_what_is_paid(void **state)
{
    (void)state;
    begin();
    uint64_t before = tables();
    fixture_close(&f);
    f.memtable_size = 1 << 20;
    f.merge_width = 2;
    fixture_reopen(&f);
    fixture_do(&f, PERSIST_PUT, "key0", "key0", 0);
    work();
    assert_int_equal(tables(), before);
    get(ENOUGH);
    assert_true(work());
    assert_int_equal(tables(), 1);
    end();
}

/* Closing leaves such a merge where it is. */
static void a_close_does_not_wait(void **state)
{
    (void)state;
    bool did;
    begin();
    uint64_t before = tables();
    get(ENOUGH);
    assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
    assert_true(did);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(tables(), before);
    check_all();
    end();
}

/* The last manifest lets go what a merge right before it replaced. */
static void a_close_leaves_no_merged_table(void **state)
{
    (void)state;
    os_file *file;
    begin();
    get(ENOUGH);
    assert_true(work());
    fixture_close(&f);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->file_open(sys, sys->cwd,
                                    "store/tables/0000000000000001.tbl",
                                    OS_READ, &file),
                     -ENOENT);
    fixture_reopen(&f);
    check_all();
    end();
}

/* The newest table is no small one: those are merged on a full disk, paid for
 * or not. */
static void add_a_big_one(void)
{
    static char big[BIG];
    memset(big, 'b', sizeof big - 1);
    fixture_do(&f, PERSIST_PUT, "big", big, 0);
    work();
}

/* What does not fit is not begun; it is asked again when more was paid, and not
 * before. */
static void a_full_disk_only_puts_it_off(void **state)
{
    (void)state;
    begin();
    add_a_big_one();
    uint64_t before = tables();
    const os *sys = os_sim_os(f.sim); /* which the merge would fit in */
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + 1);
    get(MUCH);
    uint64_t hash = os_sim_hash(f.sim);
    assert_false(work());
    assert_true(os_sim_hash(f.sim) == hash);
    assert_int_equal(tables(), before);
    check_all();
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_false(work());
    fixture_do(&f, PERSIST_PUT, "key0", "key0", 0);
    work();
    assert_int_equal(tables(), before + 1);
    get(MUCH);
    assert_true(work());
    assert_int_equal(tables(), 1);
    check_all();
    end();
}

/* Reads go on for hours, and a merge that fails, for want of room or since a
 * table is damaged, mostly fails again: what each try costs does not come as
 * often as what its success would save. */
static void merges_in_vain_get_rarer(void **state)
{
    (void)state;
    static const char path[] = "store/tables/0000000000000003.tbl";
    int tries = 0;
    begin();
    uint64_t before = tables();
    fixture_flip(&f, path, 600);
    for (int i = 0; i < 60; i++) {
        get(ENOUGH);
        f.error.status = PERSIST_OK;
        (void)work();
        tries += f.error.status == PERSIST_CORRUPT;
    }
    assert_in_range(tries, 2, 12);
    assert_int_equal(tables(), before);
    fixture_flip(&f, path, 600);
    for (int i = 0; i < 100 && tables() == before; i++) {
        get(ENOUGH);
        (void)work();
    }
    assert_int_equal(tables(), 1);
    fixture_do(&f, PERSIST_PUT, "key0", "key0", 0); /* and as before: */
    work();
    get(MUCH);
    assert_true(work());
    assert_int_equal(tables(), 1);
    check_all();
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_read_pays),
        cmocka_unit_test(a_query_pays_for_each_table_it_enters),
        cmocka_unit_test(what_is_gone_is_flushed),
        cmocka_unit_test(what_is_gone_is_merged_away),
        cmocka_unit_test(credit_is_spent),
        cmocka_unit_test(a_commit_takes_it_up),
        cmocka_unit_test(who_reads_a_little_changes_nothing),
        cmocka_unit_test(who_only_reads_pays_too),
        cmocka_unit_test(a_reader_only_never_pays),
        cmocka_unit_test(who_cannot_begin_puts_it_off),
        cmocka_unit_test(who_adds_no_table_merges_what_is_paid),
        cmocka_unit_test(a_close_does_not_wait),
        cmocka_unit_test(a_close_leaves_no_merged_table),
        cmocka_unit_test(a_full_disk_only_puts_it_off),
        cmocka_unit_test(merges_in_vain_get_rarer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
