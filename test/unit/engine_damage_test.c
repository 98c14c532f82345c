/* SPDX-License-Identifier: MIT */
/* The engine with tables that are damaged: only what needs the damaged bytes is
 * refused, and it comes back when they do. */
#include "fixture.h"

static fixture f;

static const char first_table[] = "store/tables/0000000000000001.tbl";
static char long_data[200];

/* Two streams by turns, until there is a table. */
static void begin_with_table(const char *a, const char *b)
{
    memset(long_data, 'x', sizeof long_data - 1);
    fixture_begin_tables(&f, 4096, 64);
    for (int i = 0; fixture_stats(&f).tables == 0; i++)
        fixture_append(&f, i % 2 == 0 ? a : b, long_data);
}

/* One block is damaged: only what lies in it cannot be read. */
static void damage_stays_local(void **state)
{
    (void)state;
    begin_with_table("a", "b");
    fixture_close(&f);
    fixture_flip(&f, first_table,
                 TABLE_HEADER_SIZE + 40); /* the first block: a's */
    fixture_reopen(&f);
    persist_cursor *cursor;
    const persist_event *seen;
    assert_int_equal(persist_read(f.store, slice_str("a"), 0, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    for (int i = 0; i < 2; i++) /* and it goes on saying so */
        assert_int_equal(persist_next_event(cursor, &seen, &f.error),
                         PERSIST_CORRUPT);
    persist_cursor_close(cursor);
    assert_int_equal(persist_read(f.store, slice_str("a"), 0, 1, PERSIST_LATEST,
                                  &cursor, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &seen, &f.error),
                     PERSIST_CORRUPT);
    persist_cursor_close(cursor);
    assert_string_equal(f.error.path, first_table);
    assert_int_equal(f.error.offset, TABLE_HEADER_SIZE);
    assert_true(fixture_info(&f, "a").count > 3);
    assert_true(strlen(fixture_events(&f, "b", PERSIST_LATEST)) > 600);
    fixture_append(&f, "a", "more");
    fixture_end(&f);
}

/* The events of a tag are looked up together: those in front of the one that
 * cannot be read come before it is told. */
static void a_query_gives_what_is_in_front(void **state)
{
    (void)state;
    slice tags[] = {slice_str("tag")};
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .data = slice_of(long_data, sizeof long_data),
                         .tags = tags,
                         .tag_count = 1};
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    const char *names[] = {"b", "a", "c"}; /* a's block is the first */
    fixture_begin_tables(&f, 4096, 64);
    for (int i = 0; fixture_stats(&f).tables == 0; i++) {
        edit.name = slice_str(names[i % 3]);
        assert_int_equal(
            persist_commit(f.store, &edit, 1, NULL, NULL, &f.error),
            PERSIST_OK);
    }
    fixture_close(&f);
    fixture_flip(&f, first_table, TABLE_HEADER_SIZE + 40);
    fixture_reopen(&f);
    persist_cursor *cursor;
    const persist_event *seen;
    assert_int_equal(persist_query(f.store, &item, 1, 0, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &seen, &f.error), PERSIST_OK);
    assert_int_equal(seen->position, 1);
    for (int i = 0; i < 2; i++) /* and it goes on saying so */
        assert_int_equal(persist_next_event(cursor, &seen, &f.error),
                         PERSIST_CORRUPT);
    persist_cursor_close(cursor);
    fixture_end(&f);
}

/* Names so long that the states of two streams lie in two blocks. */
static const char name_a[] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char name_b[] =
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/* Puts one text in the place of another in a record of the log, and seals
 * it. */
static void forge_log(slice from, slice to)
{
    char path[64];
    const os *sys = os_sim_os(f.sim);
    os_stat stat;
    buf bytes = {0};
    uint8_t *place = NULL;
    assert_int_equal(from.size, to.size);
    for (unsigned number = 64; number > 0 && place == NULL; number--) {
        snprintf(path, sizeof path, "store/wal/%016x.log", number);
        if (sys->stat(sys, sys->cwd, path, &stat) != 0)
            continue;
        fixture_load(&f, path, &bytes);
        place = memmem(bytes.data, bytes.size, from.data, from.size);
    }
    assert_non_null(place);
    memcpy(place, to.data, to.size);
    record_header h = {0};
    uint64_t at = 0, offset = (uint64_t)(place - bytes.data);
    for (int n = 0; at + record_size(h.body_size) <= offset || at == 0; n++)
        at = fixture_record(&f, path, n, &h);
    record_seal(bytes.data + at, &h, at);
    fixture_patch(&f, path, 0, buf_slice(&bytes));
    buf_release(&bytes);
}

static persist_status mark_of(const char *name)
{
    persist_stream_info info;
    return persist_info(f.store, slice_str(name), PERSIST_LATEST, &info, NULL,
                        &f.error);
}

static uint64_t table_size(void)
{
    os_stat stat;
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->stat(sys, sys->cwd, first_table, &stat), 0);
    return stat.size;
}

/* Damages the state of the one stream and not that of the other; returns
 * where. */
static uint64_t damage_state(const char *of, const char *not_of)
{
    uint64_t size = table_size(), at = TABLE_HEADER_SIZE;
    for (; at + TABLE_FOOTER_SIZE < size; at += BLOCK_HEADER_SIZE) {
        fixture_flip(&f, first_table, at);
        bool found = fixture_open(&f) == PERSIST_OK &&
                     mark_of(of) == PERSIST_CORRUPT &&
                     mark_of(not_of) == PERSIST_OK;
        fixture_kill(&f);
        if (found)
            break;
        fixture_flip(&f, first_table, at);
    }
    assert_true(at + TABLE_FOOTER_SIZE < size);
    return at;
}

/* Replay reads no table: what is damaged there keeps no commit from coming
 * back, nor the next ones from being made, and is told to whoever reads it. */
static void replay_reads_no_table(void **state)
{
    (void)state;
    begin_with_table(name_a, name_b);
    uint64_t mark = fixture_info(&f, name_a).mark;
    fixture_kill(&f);
    uint64_t at = damage_state(name_a, name_b);
    fixture_flip(&f, first_table, at);
    fixture_reopen(&f);
    fixture_append(&f, name_a, "later");
    fixture_do(&f, PERSIST_TRUNCATE, name_a, "", 2);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_flip(&f, first_table, at);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, name_a).mark, mark + 1);
    assert_int_equal(fixture_info(&f, name_a).first, 3);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, name_a, "", 3),
                     PERSIST_CORRUPT);
    assert_string_equal(f.error.path, first_table);
    while (fixture_stats(&f).tables < 2)
        fixture_append(&f, name_a, long_data);
    mark = fixture_info(&f, name_a).mark;
    fixture_close(&f);
    fixture_flip(&f, first_table, at);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, name_a).mark, mark);
    assert_int_equal(fixture_info(&f, name_a).first, 3);
    assert_int_equal(fixture_info(&f, name_a).count, mark - 2);
    fixture_end(&f);
}

/* Two truncations found in the table what they leave of a stream. Whatever of
 * it is damaged before they are replayed, the stream is what it was. */
static void truncations_are_replayed_without_tables(void **state)
{
    (void)state;
    begin_with_table(name_a, name_b);
    uint64_t mark = fixture_info(&f, name_a).mark, size = table_size(),
             opened = 0, others = fixture_info(&f, name_b).count;
    const persist_edit edits[] = {{.kind = PERSIST_TRUNCATE,
                                   .name = slice_str(name_a),
                                   .data = slice_str(""),
                                   .seq = 1},
                                  {.kind = PERSIST_TRUNCATE,
                                   .name = slice_str(name_a),
                                   .data = slice_str(""),
                                   .seq = mark - 1}};
    assert_int_equal(persist_commit(f.store, edits, 2, NULL, NULL, &f.error),
                     PERSIST_OK);
    persist_stream_info before = fixture_info(&f, name_a);
    fixture_wait(&f);
    fixture_kill(&f);
    for (uint64_t at = 0; at < size; at += BLOCK_HEADER_SIZE) {
        fixture_flip(&f, first_table, at);
        persist_status status = fixture_open(&f);
        assert_true(status == PERSIST_OK || status == PERSIST_CORRUPT);
        if (status == PERSIST_OK) {
            persist_stream_info info = fixture_info(&f, name_a);
            assert_memory_equal(&info, &before, sizeof info);
            opened++;
        }
        fixture_kill(&f);
        fixture_flip(&f, first_table, at);
    }
    assert_true(opened > size / BLOCK_HEADER_SIZE / 2);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, name_a).first, mark);
    assert_int_equal(fixture_info(&f, name_b).count, others);
    fixture_end(&f);
}

/* A floor in the log that cannot be one, under a checksum that holds. */
static void a_floor_that_contradicts_its_stream(void **state)
{
    (void)state;
    enum { LEFT_OUT = RECORD_HEADER_SIZE + 1 };
    static const uint8_t zeros[LEFT_OUT];
    const stream_floor made = {1, 1, sizeof long_data - 1, 2};
    stream_floor forged = made;
    buf from = {0}, to = {0};
    forged.first = 0;
    begin_with_table(name_a, name_b);
    fixture_do(&f, PERSIST_TRUNCATE, name_a, "", 1);
    fixture_wait(&f);
    fixture_kill(&f);
    buf_put(&from, zeros, sizeof zeros);
    buf_put(&to, zeros, sizeof zeros);
    record_put_floor(&from, &made);
    record_put_floor(&to, &forged);
    forge_log(slice_of(from.data + LEFT_OUT, from.size - LEFT_OUT),
              slice_of(to.data + LEFT_OUT, to.size - LEFT_OUT));
    assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
    buf_release(&from);
    buf_release(&to);
    fixture_end(&f);
}

/* ---- strays ------------------------------------------------------------- */

static uint64_t brought_in; /* bytes */
static os counting;

static ssize_t read_counting(const os *o, os_file *file, void *data,
                             size_t size, uint64_t at)
{
    (void)o;
    brought_in += size;
    return os_sim_os(f.sim)->file_read(o, file, data, size, at);
}

static int map_counting(const os *o, os_file *file, uint64_t size, os_map *out)
{
    brought_in += size;
    return os_sim_os(f.sim)->file_map(o, file, size, out);
}

/* Files of nothing but zeros, with names that the next segments would have. */
static void plant(unsigned count, uint64_t size)
{
    const os *sys = os_sim_os(f.sim);
    for (unsigned i = 0; i < count; i++) {
        char name[64];
        os_file *file;
        snprintf(name, sizeof name, "store/wal/%016x.log", 64 + i);
        assert_int_equal(sys->file_open(sys, sys->cwd, name,
                                        OS_READ | OS_WRITE | OS_CREATE, &file),
                         0);
        assert_int_equal(sys->file_allocate(sys, file, size), 0);
        assert_int_equal(sys->file_close(sys, file), 0);
    }
}

static void strays_are_not_read_whole(void **state)
{
    enum { STRAYS = 6, STRAY = 4 << 20 };
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "v", 4);
    fixture_wait(&f);
    fixture_kill(&f);
    plant(STRAYS, STRAY);
    counting = *os_sim_os(f.sim);
    counting.file_read = read_counting;
    counting.file_map = map_counting;
    persist_options options = {PERSIST_OPTIONS, .path = "store",
                               .os = &counting};
    brought_in = 0;
    assert_int_equal(persist_open(&options, &f.store, &f.error), PERSIST_OK);
    assert_true(brought_in > 0 && brought_in < STRAYS * (uint64_t)STRAY / 8);
    assert_int_equal(fixture_info(&f, "s").count, 4);
    fixture_end(&f);
}

static void a_missing_table_is_corrupt(void **state)
{
    (void)state;
    const os *sys;
    fixture_begin_tables(&f, 1, 64);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    sys = os_sim_os(f.sim);
    assert_int_equal(
        sys->unlink(sys, sys->cwd, "store/tables/0000000000000002.tbl"), 0);
    assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
    assert_string_equal(f.error.path, "store/tables/0000000000000002.tbl");
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_stays_local),
        cmocka_unit_test(a_query_gives_what_is_in_front),
        cmocka_unit_test(replay_reads_no_table),
        cmocka_unit_test(truncations_are_replayed_without_tables),
        cmocka_unit_test(a_floor_that_contradicts_its_stream),
        cmocka_unit_test(strays_are_not_read_whole),
        cmocka_unit_test(a_missing_table_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
