/* SPDX-License-Identifier: MIT */
/* The matches of a query that are in hand together: what they were read from
 * stays in memory while they are looked up, though the tag's list goes on in
 * other leaves, and the cache has room for one block. And queries over many
 * small tables: which of them are looked at, and what is asked there. */
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

/* ---- tags that few events have ------------------------------------------ */

enum {
    SMALL = 200,
    AT_ONCE = 5,
    CUSTOMERS = 6,
    ORDERS = 4,
    KINDS = 3,
    TAG = 16
};

static slice put(char out[TAG], const char *what, int number)
{
    snprintf(out, TAG, "%s%d", what, number);
    return slice_str(out);
}

static void append_small(persist_store *store, int from)
{
    char room[AT_ONCE][3][TAG];
    slice tags[AT_ONCE][2];
    persist_edit edits[AT_ONCE];
    for (int k = 0; k < AT_ONCE; k++) {
        int i = from + k;
        tags[k][0] = put(room[k][0], "customer", i % CUSTOMERS);
        tags[k][1] = put(room[k][1], "order", i % ORDERS);
        edits[k] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str("stream"),
                                  .tags = tags[k],
                                  .tag_count = 2,
                                  .type = put(room[k][2], "type", i % KINDS)};
    }
    assert_int_equal(persist_commit(store, edits, AT_ONCE, NULL, NULL, NULL),
                     PERSIST_OK);
}

/* A table of each commit, of which some are merged: in the others a tag leads
 * to one event or two, which may not have the other tags of a query. */
static persist_store *fill_small(os_sim *sim)
{
    const persist_options options = {
        PERSIST_OPTIONS, .path = "store", .create = true,
        .memtable_size = EVERY_COMMIT, .os = os_sim_os(sim)};
    persist_store *store;
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    for (int i = 0; i < SMALL; i += AT_ONCE)
        append_small(store, i);
    return store;
}

/* A query for one customer's order, or for another one's events of one type. */
typedef struct asked {
    int customer, order, other, type;
    int turned; /* 1: the order first */
} asked;

static bool is_asked_for(const asked *a, int i)
{
    return (i % CUSTOMERS == a->customer && i % ORDERS == a->order) ||
           (i % CUSTOMERS == a->other && i % KINDS == a->type);
}

static void check_asked(persist_store *store, const asked *a, int from,
                        uint64_t limit)
{
    char room[4][TAG];
    const slice pair[] = {put(room[0], "customer", a->customer),
                          put(room[1], "order", a->order), pair[0]};
    const slice other = put(room[2], "customer", a->other);
    const slice type = put(room[3], "type", a->type);
    const persist_query_item items[] = {
        {.tags = pair + a->turned, .tag_count = 2},
        {.tags = &other, .tag_count = 1, .types = &type, .type_count = 1}};
    const persist_event *e;
    persist_cursor *c;
    assert_int_equal(persist_query(store, items, 2, (uint64_t)from + 1, limit,
                                   PERSIST_LATEST, &c, NULL),
                     PERSIST_OK);
    for (int i = from; i < SMALL && limit > 0; i++) {
        if (!is_asked_for(a, i))
            continue;
        assert_int_equal(persist_next_event(c, &e, NULL), PERSIST_OK);
        assert_int_equal(e->position, i + 1);
        limit--;
    }
    assert_int_equal(persist_next_event(c, &e, NULL), PERSIST_NONE);
    persist_cursor_close(c);
}

static void an_event_tells_which_tags_it_has(void **state)
{
    (void)state;
    os_sim *sim = os_sim_new(1);
    persist_store *store = fill_small(sim);
    persist_stats stats = {PERSIST_STATS};
    assert_int_equal(persist_get_stats(store, &stats, NULL), PERSIST_OK);
    assert_true(stats.tables > 2);
    for (int i = 0; i < CUSTOMERS * ORDERS * CUSTOMERS * KINDS; i++) {
        const asked a = {i % CUSTOMERS, i / CUSTOMERS % ORDERS,
                         i / CUSTOMERS / ORDERS % CUSTOMERS,
                         i / CUSTOMERS / ORDERS / CUSTOMERS, i % 5 % 2};
        check_asked(store, &a, 0, PERSIST_NO_LIMIT);
        check_asked(store, &a, i % SMALL, PERSIST_NO_LIMIT);
        check_asked(store, &a, i % SMALL, (uint64_t)i % 4);
    }
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    os_sim_free(sim);
}

/* Where reading begins, older tables are not looked at. */
static void each_position_is_where_a_query_begins(void **state)
{
    (void)state;
    os_sim *sim = os_sim_new(1);
    persist_store *store = fill_small(sim);
    for (int round = 0; round < 2; round++)
        for (int from = 0; from <= SMALL; from++)
            for (int i = 0; i < CUSTOMERS; i++)
                check_asked(store, &(asked){i, i % ORDERS, -1, 0, 0}, from,
                            PERSIST_NO_LIMIT);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    os_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_unpacked_blocks),
        cmocka_unit_test(of_blocks_that_were_read),
        cmocka_unit_test(of_mapped_blocks),
        cmocka_unit_test(an_event_tells_which_tags_it_has),
        cmocka_unit_test(each_position_is_where_a_query_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
