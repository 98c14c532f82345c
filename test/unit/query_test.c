/* SPDX-License-Identifier: MIT */
/* The matches of a query that are in hand together: what they were read from
 * stays in memory while they are looked up, though the tag's list goes on in
 * other leaves, and the cache has room for one block. */
#include <malloc.h>

#include "fixture.h"

enum {
    EVENTS = 400,
    NAME = 48,
    EVERY_COMMIT = 1, /* a table of each */
    ONE_BLOCK = 1,
    FREED = 0xa5, /* what is freed is overwritten with that, or its opposite */
};

static char names[EVENTS][NAME], data[EVENTS][NAME];

/* One table, in which the tag has many leaves; each event is of a stream of its
 * own, whose name is in these leaves. */
static void fill(persist_store *store)
{
    static persist_edit edits[EVENTS];
    static const slice tag = {"tag", 3};
    for (int i = 0; i < EVENTS; i++) {
        snprintf(names[i], NAME, "a stream of the name %d", i);
        snprintf(data[i], NAME, "data %d", i);
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str(names[i]),
                                  .data = slice_str(data[i]),
                                  .tags = &tag,
                                  .tag_count = 1};
    }
    assert_int_equal(persist_commit(store, edits, EVENTS, NULL, NULL, NULL),
                     PERSIST_OK);
}

static void find_all(persist_store *store)
{
    static const slice tag = {"tag", 3};
    const persist_query_item item = {.tags = &tag, .tag_count = 1};
    const persist_event *e;
    persist_cursor *c;
    persist_error error = {0};
    assert_int_equal(persist_query(store, &item, 1, 0, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &c, &error),
                     PERSIST_OK);
    for (int i = 0; i < EVENTS; i++) {
        if (persist_next_event(c, &e, &error) != PERSIST_OK)
            fail_msg("event %d: %s", i, error.message);
        assert_int_equal(e->position, i + 1);
        assert_true(slice_equal(e->stream, slice_str(names[i])));
        assert_true(slice_equal(e->data, slice_str(data[i])));
    }
    assert_int_equal(persist_next_event(c, &e, &error), PERSIST_NONE);
    persist_cursor_close(c);
}

static void what_is_in_hand_stays(bool compress, bool unmapped)
{
    os_sim *sim = os_sim_new(1);
    const persist_options options = {
        PERSIST_OPTIONS,         .path = "store",
        .create = true,          .memtable_size = EVERY_COMMIT,
        .cache_size = ONE_BLOCK, .compress = compress,
        .unmapped = unmapped,    .os = os_sim_os(sim)};
    persist_store *store;
    persist_stats stats = {PERSIST_STATS};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    fill(store);
    assert_int_equal(persist_get_stats(store, &stats, NULL), PERSIST_OK);
    assert_int_equal(stats.tables, 1);
    (void)mallopt(M_PERTURB, FREED); /* a sanitizer has its own way */
    find_all(store);
    find_all(store); /* that know by now where some of the events lie */
    (void)mallopt(M_PERTURB, 0);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    os_sim_free(sim);
}

static void of_unpacked_blocks(void **state)
{
    (void)state;
    what_is_in_hand_stays(true, false);
    what_is_in_hand_stays(true, true);
}

static void of_blocks_that_were_read(void **state)
{
    (void)state;
    what_is_in_hand_stays(false, true);
}

static void of_mapped_blocks(void **state)
{
    (void)state;
    what_is_in_hand_stays(false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_unpacked_blocks),
        cmocka_unit_test(of_blocks_that_were_read),
        cmocka_unit_test(of_mapped_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
