/* SPDX-License-Identifier: MIT */
/* Spots: a table knows where the events lie that were found in it, others are
 * not taken for them, and who knows where an event lies still sees that it is
 * truncated. */
#include "engine/table/spots.h"
#include "fixture.h"

enum {
    EVERY_COMMIT = 1,
    EVENTS = 200,
    FILE_SIZE = 1 << 16,
    CACHE_SIZE = 64 << 10,
};

/* ---- of one table ------------------------------------------------------ */

static uint8_t file[FILE_SIZE];
static cache blocks;

static void make(table *t, uint64_t events)
{
    *t = (table){.cache = &blocks};
    t->map.data = file;
    t->footer.size = sizeof file;
    t->footer.roots[TABLE_ORDER].entries = events;
}

static uint64_t place_of(const table *t, uint64_t position)
{
    slice value = spots_find(t, position);
    if (value.size == 0)
        return 0;
    assert_int_equal(value.size, position % 100 + 1);
    return (uint64_t)((const uint8_t *)value.data - file);
}

static void note(table *t, uint64_t position, size_t offset)
{
    spots_note(t, position, slice_of(file + offset, position % 100 + 1));
}

static void what_was_found_is_known(void **state)
{
    (void)state;
    table t;
    cache_init(&blocks, CACHE_SIZE);
    make(&t, EVENTS);
    spots_fetch(&t, 1); /* nothing, and no harm */
    for (uint64_t i = 1; i <= EVENTS; i++)
        assert_int_equal(place_of(&t, 1000 + i), 0);
    for (uint64_t i = 1; i <= EVENTS; i++)
        note(&t, 1000 + i, 300 * i);
    spots_fetch(&t, 1001);
    for (uint64_t i = 1; i <= EVENTS; i++)
        assert_int_equal(place_of(&t, 1000 + i), 300 * i);
    spots_release(&t);
    cache_release(&blocks);
}

/* Positions of a table may have gaps: then two have one place. */
static void the_last_one_takes_the_place(void **state)
{
    (void)state;
    table t;
    cache_init(&blocks, CACHE_SIZE);
    make(&t, 2);
    note(&t, 100, 500);
    note(&t, 100 + 100 * SPOTS_MIN, 900);
    assert_int_equal(place_of(&t, 100), 900);
    spots_release(&t);
    cache_release(&blocks);
}

/* All tables together take half of the cache's room, and give it back. */
static void the_memory_is_bounded(void **state)
{
    (void)state;
    table t[3];
    cache_init(&blocks, CACHE_SIZE);
    for (int i = 0; i < 3; i++) {
        make(&t[i], CACHE_SIZE / 4 / sizeof(uint64_t));
        note(&t[i], 7, 700);
    }
    assert_int_equal(place_of(&t[0], 7), 700);
    assert_int_equal(place_of(&t[1], 7), 700);
    assert_int_equal(place_of(&t[2], 7), 0);
    assert_int_equal(cache_size(&blocks), CACHE_SIZE / 2);
    spots_release(&t[0]);
    note(&t[2], 7, 700); /* once refused, it waits a while */
    assert_int_equal(place_of(&t[2], 7), 0);
    for (unsigned i = 0; i < SPOTS_PATIENCE; i++)
        note(&t[2], 7, 700);
    assert_int_equal(place_of(&t[2], 7), 700);
    make(&t[0], EVENTS);
    note(&t[0], 7, 700); /* there is none left */
    assert_int_equal(place_of(&t[0], 7), 0);
    for (int i = 0; i < 3; i++)
        spots_release(&t[i]);
    make(&t[0], 100 * CACHE_SIZE); /* has what there is */
    note(&t[0], 7, 700);
    assert_int_equal(place_of(&t[0], 7), 700);
    assert_int_equal(cache_size(&blocks), CACHE_SIZE / 2);
    spots_release(&t[0]);
    assert_int_equal(cache_size(&blocks), 0);
    cache_release(&blocks);
}

static void add_block(uint64_t number, size_t size)
{
    block *b = block_new(size);
    assert_non_null(b);
    b->table = number;
    cache_add(&blocks, b);
    block_unref(b);
}

/* Blocks that were there before make room, and no more come than fit. */
static void blocks_make_room(void **state)
{
    (void)state;
    cache_init(&blocks, CACHE_SIZE);
    for (uint64_t i = 1; i <= 20; i++)
        add_block(i, CACHE_SIZE / 10);
    assert_true(cache_size(&blocks) <= CACHE_SIZE);
    assert_true(cache_lend(&blocks, CACHE_SIZE / 2));
    assert_false(cache_lend(&blocks, 1));
    assert_true(cache_size(&blocks) <= CACHE_SIZE);
    add_block(21, CACHE_SIZE / 10);
    assert_true(cache_size(&blocks) <= CACHE_SIZE);
    cache_take_back(&blocks, CACHE_SIZE / 2);
    cache_release(&blocks);
}

/* ---- queries ----------------------------------------------------------- */

static fixture f;

/* Appends an event to each stream, of that number, with the tag, in one commit,
 * and so in one table; the next position is `apart` further on each time. */
static void append_all(const char *const *names, int count, int number,
                       uint64_t apart)
{
    enum { MOST = 8 };
    char data[MOST][32];
    persist_edit edits[2 * MOST];
    size_t used = 0;
    slice tags[] = {slice_str("tag")};
    assert_true(count <= MOST);
    for (int i = 0; i < count; i++) {
        int size = snprintf(data[i], sizeof data[i], "%s-%d", names[i], number);
        edits[used++] = (persist_edit){.kind = PERSIST_APPEND,
                                       .name = slice_str(names[i]),
                                       .data = slice_of(data[i], (size_t)size),
                                       .tags = tags,
                                       .tag_count = 1,
                                       .type = slice_str("type")};
        if (apart > 0)
            edits[used++] =
                (persist_edit){.kind = PERSIST_SET_POSITION,
                               .seq = 1 + apart * ((uint64_t)i + 1)};
    }
    if (persist_commit(f.store, edits, used, NULL, NULL, &f.error) !=
        PERSIST_OK)
        fail_msg("commit: %s", f.error.message);
}

/* The events with the tag: their data, one after the other. */
static const char *query(void)
{
    slice tags[] = {slice_str("tag")};
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *e;
    buf_clear(&f.text);
    assert_int_equal(persist_query(f.store, &item, 1, 0, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, &f.error),
                     PERSIST_OK);
    f.error.status = PERSIST_OK;
    while (persist_next_event(cursor, &e, &f.error) == PERSIST_OK) {
        buf_put_slice(&f.text, e->data);
        buf_put_byte(&f.text, ' ');
    }
    assert_int_equal(f.error.status, PERSIST_OK);
    persist_cursor_close(cursor);
    buf_put_byte(&f.text, '\0');
    return (const char *)f.text.data;
}

static void work(void)
{
    bool did = true;
    while (did)
        assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
}

static void begin(void)
{
    fixture_begin_tables(&f, EVERY_COMMIT, 64);
}

static const char *const streams[] = {"cut", "kept", "cut", "other", "cut"};
enum { STREAMS = sizeof streams / sizeof *streams };

/* Whoever asks again is told the same, and no more of a stream that is cut
 * since, by a commit in the memtable, */
static void what_is_cut_is_not_shown(void **state)
{
    (void)state;
    begin();
    append_all(streams, STREAMS, 1, 0);
    work();
    fixture_close(&f);
    f.memtable_size = 1 << 20;
    fixture_reopen(&f);
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "cut-1 kept-1 cut-1 other-1 cut-1 ");
    fixture_do(&f, PERSIST_TRUNCATE, "cut", "", 2);
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "kept-1 other-1 cut-1 ");
    fixture_do(&f, PERSIST_TRUNCATE, "kept", "", 1);
    assert_string_equal(query(), "other-1 cut-1 ");
    fixture_close(&f);
    fixture_reopen(&f);
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "other-1 cut-1 ");
    fixture_end(&f);
}

/* or in a newer table. */
static void what_a_newer_table_cuts_is_not_shown(void **state)
{
    (void)state;
    begin();
    append_all(streams, STREAMS, 1, 0);
    work();
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "cut-1 kept-1 cut-1 other-1 cut-1 ");
    fixture_do(&f, PERSIST_TRUNCATE, "cut", "", 2);
    work();
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "kept-1 other-1 cut-1 ");
    append_all(streams, STREAMS, 2, 0);
    work();
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "kept-1 other-1 cut-1 "
                                     "cut-2 kept-2 cut-2 other-2 cut-2 ");
    fixture_end(&f);
}

/* Events whose positions share a place are told apart. */
static void events_that_share_a_place(void **state)
{
    (void)state;
    begin();
    append_all(streams, STREAMS, 1, SPOTS_MIN);
    work();
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "cut-1 kept-1 cut-1 other-1 cut-1 ");
    fixture_do(&f, PERSIST_TRUNCATE, "cut", "", 2);
    for (int again = 0; again < 3; again++)
        assert_string_equal(query(), "kept-1 other-1 cut-1 ");
    fixture_end(&f);
}

static uint64_t cached(void)
{
    return fixture_stats(&f).cached;
}

/* Tables that others have taken the place of wait for the next manifest, maybe
 * for long; and for their readers. */
static void what_is_merged_gives_its_room_back(void **state)
{
    (void)state;
    persist_cursor *cursor;
    static char big[1 << 16];
    memset(big, 'b', sizeof big - 1);
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    fixture_do(&f, PERSIST_PUT, "big", big, 0); /* what goes is little to it */
    append_all(streams, STREAMS, 1, 0);
    work();
    (void)query();
    assert_int_equal(cached(), SPOTS_MIN * sizeof(uint64_t));
    assert_int_equal(persist_read_all(f.store, 0, PERSIST_NO_LIMIT,
                                      PERSIST_LATEST, &cursor, &f.error),
                     PERSIST_OK);
    append_all(streams, STREAMS, 2, 0);
    work();
    assert_int_equal(fixture_stats(&f).tables, 2);
    assert_int_equal(cached(), SPOTS_MIN * sizeof(uint64_t));
    persist_cursor_close(cursor);
    work();
    assert_int_equal(cached(), 0);
    (void)query();
    assert_int_equal(cached(), SPOTS_MIN * sizeof(uint64_t));
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_found_is_known),
        cmocka_unit_test(the_last_one_takes_the_place),
        cmocka_unit_test(the_memory_is_bounded),
        cmocka_unit_test(blocks_make_room),
        cmocka_unit_test(what_is_cut_is_not_shown),
        cmocka_unit_test(what_a_newer_table_cuts_is_not_shown),
        cmocka_unit_test(events_that_share_a_place),
        cmocka_unit_test(what_is_merged_gives_its_room_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
