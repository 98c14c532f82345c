/* SPDX-License-Identifier: MIT */
/* The index of tags of a memtable, which is made when somebody asks: it says
 * what a look at all events says, as far as it was asked for, also when memory
 * runs out; and who asks a store sees what he may see, whoever asked before,
 * while others ask and commit. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "../lib/failing_malloc.h"
#include "engine/memtable/memtable.h"
#include "fixture.h"
#include "folder.h"

enum {
    COMMITS = 400,
    COMMIT_EVENTS = 4,
    EVENT_TAGS = 3,
    NAMES = 40,
    READERS = 6,
    MANY = 4 * TAGS_A_STEP, /* events: several steps */
    MORE = 200              /* commits, while others ask */
};

/* ---- the index of a memtable -------------------------------------------- */

typedef struct made {
    arena_pool pool;
    memtable *table;
    stream *stream;
    uint64_t chance;
} made;

/* D. Knuth's, "MMIX"; its high bits. */
static uint64_t draw(made *m, uint64_t below)
{
    m->chance = m->chance * 6364136223846793005u + 1442695040888963407u;
    return (m->chance >> 33) % below;
}

static void begin(made *m)
{
    store_counts counts = {.next_position = 1};
    *m = (made){.chance = 1};
    arena_pool_init(&m->pool, 0, NULL);
    m->table = memtable_new(&m->pool, 0, 1, &counts, 4096);
    assert_non_null(m->table);
    m->stream = memtable_make_stream(m->table, slice_str("stream"), NULL);
    assert_non_null(m->stream);
}

static void end(made *m)
{
    memtable_unref(m->table);
    arena_pool_release(&m->pool);
}

static slice name_of(uint64_t number, char out[16])
{
    return slice_of(out, (size_t)snprintf(out, 16, "tag %d", (int)number));
}

/* Some events have no tag; or the commit is taken back when all are there. */
static void commit_some(made *m, persist_lsn lsn, bool back)
{
    memtable_edit done[COMMIT_EVENTS];
    persist_edit edits[COMMIT_EVENTS];
    char room[EVENT_TAGS][16];
    for (size_t i = 0; i < COMMIT_EVENTS; i++) {
        slice tags[EVENT_TAGS];
        size_t count = draw(m, EVENT_TAGS + 1);
        for (size_t k = 0; k < count; k++) /* all different */
            tags[k] = name_of(draw(m, NAMES) * EVENT_TAGS + k, room[k]);
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = m->stream->name,
                                  .tags = tags,
                                  .tag_count = count};
        done[i] = (memtable_edit){
            .edit = &edits[i], .target = m->stream, .seq = m->stream->mark + 1};
        assert_true(memtable_apply(m->table, &done[i], lsn, 1));
    }
    for (size_t i = COMMIT_EVENTS; back && i-- > 0;)
        memtable_undo(m->table, &done[i]);
}

static bool has_tag(const event *e, slice name)
{
    if (e->tagged_size == 0)
        return false;
    tag_set set = tagged_of(event_tagged(e));
    for (slice tag; tagged_next(&set, &tag);)
        if (slice_equal(tag, name))
            return true;
    return false;
}

/* Each list has the events of its tag in front of a position, and no others. */
static void check_before(const made *m, uint64_t end)
{
    const order *all = &m->table->order;
    char room[16];
    for (uint64_t n = 0; n < NAMES * EVENT_TAGS; n++) {
        slice name = name_of(n, room);
        const tag_list *l = tag_index_find(&m->table->tags, name);
        size_t count = 0;
        for (size_t i = 0; i < all->count; i++)
            for (uint32_t k = 0; k < all->blocks[i]->count; k++) {
                const event *e = all->blocks[i]->items[k].event;
                if (e->position >= end || !has_tag(e, name))
                    continue;
                assert_true(l != NULL && count < l->count);
                assert_ptr_equal(l->room->items[count++].event, e);
            }
        assert_int_equal(count, l == NULL ? 0 : l->count);
    }
}

static uint64_t end_of(const made *m, persist_lsn lsn)
{
    return stream_event(m->stream, stream_index_after_lsn(m->stream, lsn) - 1)
               ->position +
           1;
}

/* It never has more than somebody could ask for. */
static void it_has_what_was_asked_for(void **state)
{
    (void)state;
    made m;
    begin(&m);
    persist_lsn asked = 0;
    for (persist_lsn lsn = 1; lsn <= COMMITS; lsn++) {
        while (draw(&m, 4) == 0)
            commit_some(&m, lsn, true);
        commit_some(&m, lsn, false);
        if (draw(&m, 8) != 0)
            continue;
        persist_lsn now = lsn - draw(&m, lsn < 20 ? lsn : 20);
        while (!memtable_is_indexed(m.table, now))
            assert_true(memtable_index_some(m.table, now));
        asked = asked > now ? asked : now;
        check_before(&m, end_of(&m, asked));
    }
    assert_true(asked > COMMITS / 2);
    end(&m);
}

/* Whoever waits for it waits for a step. */
static void it_grows_in_steps(void **state)
{
    (void)state;
    made m;
    size_t steps = 0, before = 0;
    begin(&m);
    for (persist_lsn lsn = 1; lsn <= MANY; lsn++)
        commit_some(&m, lsn, false);
    for (; !memtable_is_indexed(m.table, MANY); steps++) {
        assert_true(memtable_index_some(m.table, MANY));
        assert_true(m.table->tags.count - before <= TAGS_A_STEP);
        before = m.table->tags.count;
    }
    assert_true(steps >= (m.table->tag_count + MANY) / TAGS_A_STEP);
    end(&m);
}

/* What is in it when memory runs out is whole, and it goes on from there. */
static void it_lacks_memory(void **state)
{
    (void)state;
    made m;
    uint64_t fails = 0;
    begin(&m);
    for (persist_lsn lsn = 1; lsn <= COMMITS; lsn++)
        commit_some(&m, lsn, false);
    for (uint64_t n = 1; !memtable_is_indexed(m.table, COMMITS); n++) {
        malloc_fail(1 + n % 2, false);
        bool whole = memtable_index_some(m.table, COMMITS);
        malloc_fail_no_more();
        fails += !whole;
        check_before(&m, m.table->tags.next);
    }
    assert_true(fails > 2);
    check_before(&m, end_of(&m, COMMITS));
    end(&m);
}

/* ---- a store ------------------------------------------------------------ */

static persist_store *store;
static atomic_bool goes_on;
static atomic_int failures;

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&failures, 1);
}

/* Commits events of two tags, the second of which is that of the commit. */
static void append(const char *tag, size_t count)
{
    slice tags[] = {slice_str("all"), slice_str(tag)};
    persist_edit *edits = calloc(count, sizeof *edits);
    for (size_t i = 0; i < count; i++)
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str("stream"),
                                  .tags = tags,
                                  .tag_count = 2};
    expect(persist_commit(store, edits, count, NULL, NULL, NULL) == PERSIST_OK);
    free(edits);
}

static uint64_t count_tagged(const char *tag, persist_view view)
{
    slice name = slice_str(tag);
    const persist_query_item item = {.tags = &name, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *e;
    uint64_t count = 0;
    expect(persist_query(store, &item, 1, 0, PERSIST_NO_LIMIT, view, &cursor,
                         NULL) == PERSIST_OK);
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK)
        count++;
    persist_cursor_close(cursor);
    return count;
}

static bool holds_none(const char *tag)
{
    slice name = slice_str(tag);
    const persist_query_item item = {.tags = &name, .tag_count = 1};
    const persist_edit edit = {
        .kind = PERSIST_EXPECT_NONE, .query = &item, .query_count = 1};
    persist_outcome out = {0};
    expect(persist_commit(store, &edit, 1, NULL, &out, NULL) == PERSIST_OK);
    bool holds = out.kind == PERSIST_COMMITTED;
    persist_outcome_release(&out);
    return holds;
}

static persist_snapshot *keep(void)
{
    persist_snapshot *s;
    assert_int_equal(persist_snapshot_open(store, PERSIST_LATEST, &s, NULL),
                     PERSIST_OK);
    return s;
}

/* The first who asks is a condition, or one who sees less than the next. */
static void each_sees_what_he_may(void **state)
{
    (void)state;
    fixture f;
    fixture_begin(&f, 0);
    store = f.store;
    assert_true(holds_none("one"));
    append("one", 3);
    assert_false(holds_none("one"));
    persist_snapshot *first = keep();
    append("two", 2);
    persist_snapshot *second = keep();
    append("three", 1);
    assert_int_equal(count_tagged("all", first), 3);
    assert_int_equal(count_tagged("all", PERSIST_LATEST), 6);
    assert_int_equal(count_tagged("all", second), 5);
    assert_int_equal(count_tagged("all", first), 3);
    assert_int_equal(count_tagged("three", second), 0);
    assert_int_equal(count_tagged("three", PERSIST_LATEST), 1);
    append("four", 1);
    assert_true(holds_none("five"));
    assert_false(holds_none("four"));
    assert_int_equal(count_tagged("all", second), 5);
    persist_snapshot_close(first);
    persist_snapshot_close(second);
    fixture_end(&f);
    assert_int_equal(atomic_load(&failures), 0);
}

static void append_plain(void)
{
    const persist_edit edit = {.kind = PERSIST_APPEND,
                               .name = slice_str("plain")};
    expect(persist_commit(store, &edit, 1, NULL, NULL, NULL) == PERSIST_OK);
}

/* One by one, and after each come more, with tags, without, or both. */
static void a_query_goes_on_beside_commits(void **state)
{
    (void)state;
    enum { BOTH = 3 };
    static const slice all = {"all", 3};
    const persist_query_item item = {.tags = &all, .tag_count = 1};
    for (unsigned before = 0; before <= BOTH; before++) {
        fixture f;
        fixture_begin(&f, 0);
        store = f.store;
        append("first", 2 * CURSOR_BATCH);
        assert_int_equal(count_tagged("all", PERSIST_LATEST), 2 * CURSOR_BATCH);
        append_plain();
        persist_cursor *cursor;
        const persist_event *e;
        uint64_t count = 0;
        assert_int_equal(persist_query(store, &item, 1, 0, PERSIST_NO_LIMIT,
                                       PERSIST_LATEST, &cursor, NULL),
                         PERSIST_OK);
        while (persist_next_event(cursor, &e, NULL) == PERSIST_OK) {
            count++;
            if ((before & 1) != 0)
                append_plain();
            if ((before & 2) != 0)
                append("later", 1);
        }
        assert_int_equal(count, 2 * CURSOR_BATCH);
        persist_cursor_close(cursor);
        assert_int_equal(count_tagged("later", PERSIST_LATEST),
                         (before & 2) != 0 ? count : 0);
        fixture_end(&f);
    }
    assert_int_equal(atomic_load(&failures), 0);
}

/* A memtable that nobody asks is not full of what it does not hold. */
static void it_has_its_weight(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        fixture f;
        fixture_begin_tables(&f, 130000, 2);
        store = f.store;
        append("first", 1000);
        uint64_t before = fixture_stats(&f).memory;
        if (asks)
            assert_int_equal(count_tagged("first", PERSIST_LATEST), 1000);
        uint64_t more = fixture_stats(&f).memory - before;
        assert_true(asks ? more > 64000 && more < 150000 : more == 0);
        assert_int_equal(fixture_stats(&f).tables, 0);
        append("second", 1);
        assert_int_equal(fixture_stats(&f).tables, asks);
        fixture_end(&f);
    }
    assert_int_equal(atomic_load(&failures), 0);
}

static void *ask(void *context)
{
    uint64_t before = 0;
    while (atomic_load(&goes_on)) {
        persist_snapshot *s = NULL;
        expect(persist_snapshot_open(store, PERSIST_LATEST, &s, NULL) ==
               PERSIST_OK);
        uint64_t count = count_tagged("all", s);
        expect(count == persist_position(store, s));
        expect(count >= before && count >= MANY);
        expect(count_tagged("first", s) == MANY);
        before = count;
        persist_snapshot_close(s);
    }
    return context;
}

/* All begin with an index of nothing. */
static void many_ask_at_once(void **state)
{
    (void)state;
    os_dir *dir = folder_make("index");
    const persist_options options = {PERSIST_OPTIONS, .path = dir->path,
                                     .create = true, .background = true};
    pthread_t threads[READERS];
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    append("first", MANY);
    atomic_store(&goes_on, true);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
    for (int i = 0; i < MORE; i++) {
        append("next", 1);
        expect(!holds_none("next"));
        expect(count_tagged("next", PERSIST_LATEST) == (uint64_t)i + 1);
    }
    atomic_store(&goes_on, false);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(folder_end(dir, store), 0);
    assert_int_equal(atomic_load(&failures), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_what_was_asked_for),
        cmocka_unit_test(it_grows_in_steps),
        cmocka_unit_test(it_lacks_memory),
        cmocka_unit_test(each_sees_what_he_may),
        cmocka_unit_test(a_query_goes_on_beside_commits),
        cmocka_unit_test(it_has_its_weight),
        cmocka_unit_test(many_ask_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
