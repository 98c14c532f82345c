/* SPDX-License-Identifier: MIT */
/* Tags, queries and conditions: what is refused, what it costs, and that of
 * many who decide from the same query one wins. That queries find what they
 * should is told by the model.
 *
 *     usage: tags_test [ROUNDS]   of the races; 10,000 */
#include <pthread.h>
#include <stdatomic.h>

#include "fixture.h"
#include "folder.h"
#include "store/store.h"

enum { EVERY_COMMIT = 1, RACERS = 16 };

static fixture f;
static int rounds = 10000;

static persist_edit tagged(const char *name, const slice *tags, size_t count,
                           const char *type)
{
    return (persist_edit){.kind = PERSIST_APPEND,
                          .name = slice_str(name),
                          .data = slice_str("data"),
                          .tags = tags,
                          .tag_count = count,
                          .type = slice_str(type)};
}

static persist_status commit_one(persist_store *store, const persist_edit *edit,
                                 persist_outcome *out)
{
    persist_error error = {0};
    persist_status status = persist_commit(store, edit, 1, NULL, out, &error);
    assert_int_equal(error.status, status);
    assert_true(status == PERSIST_OK || error.message[0] != '\0');
    return status;
}

static void must_append(const char *name, const char *tag)
{
    slice tags[] = {slice_str(tag)};
    persist_edit edit = tagged(name, tags, 1, "type");
    assert_int_equal(commit_one(f.store, &edit, NULL), PERSIST_OK);
}

/* How many events with a tag there are behind a position, which becomes that of
 * the last one. */
static int count_tagged(persist_store *store, const char *tag, uint64_t *last)
{
    slice tags[] = {slice_str(tag)}, type;
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *e;
    int count = 0;
    assert_int_equal(persist_query(store, &item, 1, *last + 1, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK) {
        slice of_event[PERSIST_TAGS_MAX];
        assert_true(persist_event_tags(e, of_event, &type) > 0);
        *last = e->position;
        count++;
    }
    persist_cursor_close(cursor);
    return count;
}

/* ---- what is refused -------------------------------------------------- */

static persist_store *open_memory(void)
{
    const persist_options options = {PERSIST_OPTIONS};
    persist_store *store;
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    return store;
}

static void tags_are_checked(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    static char bytes[PERSIST_TAGS_MAX + 1][PERSIST_TAG_SIZE_MAX + 1];
    slice tags[PERSIST_TAGS_MAX + 1];
    for (size_t i = 0; i <= PERSIST_TAGS_MAX; i++) {
        bytes[i][0] = (char)i;
        tags[i] = slice_of(bytes[i], PERSIST_TAG_SIZE_MAX);
    }
    persist_edit edit = tagged("s", tags, PERSIST_TAGS_MAX, "");
    edit.type = slice_of(bytes[0], PERSIST_TYPE_SIZE_MAX);
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_OK);
    edit.type.size++;
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_TOO_LARGE);
    edit.type = slice_of(NULL, 1);
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    edit.type = slice_of("", 0);
    edit.tag_count++;
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    edit.tag_count = 3;
    tags[2].size++;
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_TOO_LARGE);
    tags[2].size = 0;
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    tags[2] = tags[0];
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    edit.tags = NULL;
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    edit = tagged("s", NULL, 0, "type");
    assert_int_equal(commit_one(store, &edit, NULL), PERSIST_BAD_REQUEST);
    persist_close(store, NULL);
}

static persist_status ask(persist_store *store, const persist_query_item *items,
                          size_t count)
{
    persist_cursor *cursor = NULL;
    persist_outcome out;
    const persist_edit edit = {
        .kind = PERSIST_EXPECT_NONE, .query = items, .query_count = count};
    persist_status status = persist_query(store, items, count, 0, 1,
                                          PERSIST_DURABLE, &cursor, NULL);
    assert_int_equal(status == PERSIST_OK, cursor != NULL);
    persist_cursor_close(cursor);
    assert_int_equal(commit_one(store, &edit, &out), status);
    persist_outcome_release(&out);
    return status;
}

static void queries_are_checked(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    static persist_query_item items[PERSIST_QUERY_MAX + 1];
    slice tags[] = {slice_str("a"), slice_str("b")}, types[1025] = {{0}};
    for (size_t i = 0; i <= PERSIST_QUERY_MAX; i++)
        items[i] = (persist_query_item){.tags = tags, .tag_count = 1};
    assert_int_equal(ask(store, NULL, 0), PERSIST_OK);
    assert_int_equal(ask(store, NULL, 1), PERSIST_BAD_REQUEST);
    assert_int_equal(ask(store, items, PERSIST_QUERY_MAX), PERSIST_OK);
    assert_int_equal(ask(store, items, PERSIST_QUERY_MAX + 1),
                     PERSIST_TOO_LARGE);
    items[1].tag_count = 0;
    assert_int_equal(ask(store, items, 2), PERSIST_BAD_REQUEST);
    items[1].tag_count = 2;
    tags[1].size = 0;
    assert_int_equal(ask(store, items, 2), PERSIST_BAD_REQUEST);
    tags[1].size = SIZE_MAX;
    assert_int_equal(ask(store, items, 2), PERSIST_TOO_LARGE);
    items[1].tag_count = SIZE_MAX;
    assert_int_equal(ask(store, items, 2), PERSIST_TOO_LARGE);
    items[1] = (persist_query_item){.tags = tags,
                                    .tag_count = 1,
                                    .types = types,
                                    .type_count = PERSIST_QUERY_MAX};
    assert_int_equal(ask(store, items, 2), PERSIST_OK);
    items[1].type_count++;
    assert_int_equal(ask(store, items, 2), PERSIST_TOO_LARGE);
    items[1] = (persist_query_item){
        .tags = tags, .tag_count = 1, .types = NULL, .type_count = 1};
    assert_int_equal(ask(store, items, 2), PERSIST_BAD_REQUEST);
    types[0] = slice_of("", PERSIST_TYPE_SIZE_MAX + 1);
    items[1] = (persist_query_item){
        .tags = tags, .tag_count = 1, .types = types, .type_count = 1};
    assert_int_equal(ask(store, items, 2), PERSIST_TOO_LARGE);
    persist_close(store, NULL);
}

/* The log is believed only where it says what a commit can say. */
static void a_record_with_a_tag_twice_is_refused(void **state)
{
    (void)state;
    slice tags[] = {slice_str("a"), slice_str("b"), slice_str("a")};
    for (size_t count = 2; count <= 3; count++) {
        persist_edit edit = tagged("s", tags, count, "type");
        buf record = {0};
        record_body body = {0};
        for (size_t i = 0; i < RECORD_HEADER_SIZE; i++)
            buf_put_byte(&record, 0);
        record_put_position(&record, 1, 0);
        record_put_edit(&record, &edit, 1);
        slice bytes = slice_of(record.data + RECORD_HEADER_SIZE,
                               record.size - RECORD_HEADER_SIZE);
        assert_int_equal(record_decode_body(bytes, &body),
                         count == 2 ? RECORD_OK : RECORD_MALFORMED);
        record_body_release(&body);
        buf_release(&record);
    }
}

/* ---- what is kept, and what it costs ----------------------------------- */

static void check_first(const char *name)
{
    persist_cursor *cursor;
    const persist_event *e;
    slice tags[PERSIST_TAGS_MAX], type;
    assert_int_equal(persist_read(f.store, slice_str(name), 0, 1,
                                  PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, NULL), PERSIST_OK);
    assert_int_equal(persist_event_tags(e, tags, &type), 2);
    assert_true(slice_equal(type, slice_str("type")));
    assert_true(slice_equal(tags[0], slice_str("second")));
    assert_true(slice_equal(tags[1], slice_str("first")));
    memset(tags, 0, sizeof tags);
    type = slice_of(NULL, 0);
    assert_int_equal(persist_event_tags(e, NULL, NULL), 2);
    assert_int_equal(persist_event_tags(e, tags, NULL), 2);
    assert_true(slice_equal(tags[1], slice_str("first")));
    assert_int_equal(persist_event_tags(e, NULL, &type), 2);
    assert_true(slice_equal(type, slice_str("type")));
    assert_true(slice_equal(e->data, slice_str("data")));
    persist_cursor_close(cursor);
}

static void an_event_gives_its_tags_back(void **state)
{
    (void)state;
    slice tags[] = {slice_str("second"), slice_str("first")};
    fixture_begin(&f, 0);
    persist_edit edit = tagged("s", tags, 2, "type");
    assert_int_equal(commit_one(f.store, &edit, NULL), PERSIST_OK);
    check_first("s");
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    check_first("s"); /* from the log */
    fixture_close(&f);
    f.memtable_size = EVERY_COMMIT;
    fixture_reopen(&f);
    fixture_append(&f, "t", "a table");
    assert_true(fixture_stats(&f).tables > 0);
    check_first("s");
    fixture_end(&f);
}

/* A store on disk, as disk.c has it. */
typedef struct opened {
    persist_store head;
    engine *engine;
} opened;

static const engine *engine_of(void)
{
    const opened *o = (const opened *)f.store;
    return o->engine;
}

static uint64_t entries_of(table_section section)
{
    const engine *e = engine_of();
    uint64_t entries = 0;
    for (size_t i = 0; i < e->layers->table_count; i++)
        entries += e->layers->tables[i]->footer.roots[section].entries;
    return entries;
}

/* How many events all tables have by tags, an event with two of them twice. */
static uint64_t count_postings(void)
{
    const engine *e = engine_of();
    uint64_t count = 0;
    for (size_t i = 0; i < e->layers->table_count; i++) {
        table_iter at;
        postings_reader r;
        table_iter_init(&at, e->layers->tables[i], TABLE_TAGS, false);
        persist_status status = table_seek(&at, slice_of(NULL, 0), &f.error);
        for (; status == PERSIST_OK; status = table_next(&at, &f.error)) {
            assert_true(postings_begin(&r, table_key(&at), table_value(&at)));
            for (count++; r.now.position < r.last; count++)
                assert_true(postings_next(&r));
        }
        assert_int_equal(status, PERSIST_NONE);
    }
    return count;
}

static void merging_drops_what_was_truncated(void **state)
{
    (void)state;
    uint64_t last = 0;
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    for (int i = 0; i < 16; i++)
        must_append(i % 2 == 0 ? "kept" : "cut", "tag");
    assert_int_equal(count_postings(), 16);
    fixture_do(&f, PERSIST_TRUNCATE, "cut", "", 8);
    for (int i = 0; i < 16; i++)
        fixture_append(&f, "untagged", "data");
    assert_int_equal(count_tagged(f.store, "tag", &last), 8);
    assert_int_equal(count_postings(), 8);
    fixture_end(&f);
}

/* A flush leaves out what commits behind its memtable have truncated. */
static void a_flush_drops_what_was_truncated(void **state)
{
    (void)state;
    bool did = true;
    fixture_begin_tables(&f, 500, 2);
    store_disk_by_steps(f.store);
    while (engine_of()->layers->frozen == NULL)
        must_append("s", "tag");
    must_append("t", "tag");
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 1000);
    fixture_wait(&f);
    while (did)
        assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
    assert_int_equal(fixture_stats(&f).tables, 1);
    assert_int_equal(entries_of(TABLE_EVENTS), 0);
    assert_int_equal(entries_of(TABLE_TAGS), 0);
    fixture_end(&f);
}

/* Without tags there is not a byte more, in the log and in tables. */
static void events_without_tags_cost_nothing(void **state)
{
    (void)state;
    const event_entry plain = {
        .ordinal = 1, .seq = 1, .position = 1000, .data = slice_str("data")};
    const persist_edit edit = tagged("stream", NULL, 0, "");
    buf bytes = {0};
    entry_put_event(&bytes, &plain);
    assert_int_equal(bytes.size, 2 + 4);
    buf_clear(&bytes);
    record_put_edit(&bytes, &edit, 5);
    assert_int_equal(bytes.size, 1 + 7 + 1 + 5);
    buf_release(&bytes);
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    fixture_append(&f, "s", "data");
    assert_int_equal(fixture_stats(&f).tables, 1);
    assert_int_equal(entries_of(TABLE_EVENTS), 1);
    assert_int_equal(entries_of(TABLE_TAGS), 0);
    fixture_end(&f);
}

/* However small they are: what a memtable takes is bounded. */
static void many_tags_become_a_table(void **state)
{
    (void)state;
    static char names[PERSIST_TAGS_MAX];
    slice tags[PERSIST_TAGS_MAX];
    fixture_begin(&f, 0);
    for (size_t i = 0; i < PERSIST_TAGS_MAX; i++) {
        names[i] = (char)i;
        tags[i] = slice_of(&names[i], 1);
    }
    persist_edit edit = tagged("s", tags, PERSIST_TAGS_MAX, "");
    edit.data = slice_of(NULL, 0);
    uint64_t events = 0;
    for (; fixture_stats(&f).tables == 0; events++) {
        assert_int_equal(commit_one(f.store, &edit, NULL), PERSIST_OK);
        assert_true(fixture_stats(&f).memory < 2 * MEMTABLE_SIZE_DEFAULT);
    }
    assert_true(events <= MEMTABLE_EDITS_MAX / (PERSIST_TAGS_MAX / 4));
    fixture_end(&f);
}

/* ---- conditions ------------------------------------------------------- */

static persist_outcome_kind expect_none(const char *tag, uint64_t after,
                                        uint64_t *actual)
{
    slice tags[] = {slice_str(tag)};
    const persist_query_item item = {.tags = tags, .tag_count = 1};
    const persist_edit edit = {.kind = PERSIST_EXPECT_NONE,
                               .seq = after,
                               .query = &item,
                               .query_count = 1};
    persist_outcome out;
    assert_int_equal(commit_one(f.store, &edit, &out), PERSIST_OK);
    *actual = out.actual_seq;
    persist_outcome_kind kind = out.kind;
    persist_outcome_release(&out);
    return kind;
}

/* Also of what is not durable yet, in memory and in tables. */
static void a_condition_sees_every_commit(void **state)
{
    (void)state;
    uint64_t at;
    for (int tables = 0; tables < 2; tables++) {
        fixture_begin_tables(&f, tables == 0 ? 0 : EVERY_COMMIT, 2);
        must_append("s", "other");
        assert_int_equal(expect_none("tag", 0, &at), PERSIST_COMMITTED);
        must_append("s", "tag");
        must_append("s", "tag");
        assert_int_equal(expect_none("tag", 0, &at), PERSIST_CONFLICT);
        assert_int_equal(at, 2);
        assert_int_equal(expect_none("tag", 2, &at), PERSIST_CONFLICT);
        assert_int_equal(at, 3);
        assert_int_equal(expect_none("tag", 3, &at), PERSIST_COMMITTED);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", 2);
        assert_int_equal(expect_none("tag", 0, &at), PERSIST_CONFLICT);
        assert_int_equal(at, 3);
        fixture_end(&f);
    }
}

/* ---- the races -------------------------------------------------------- */

static persist_store *raced;
static pthread_barrier_t line;
static atomic_int won, failures;

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&failures, 1);
}

/* Appends on the condition that nothing that has both tags came behind a
 * position, which is the event's data, too. Returns true if it did. */
static bool decide(uint64_t seen)
{
    slice tags[] = {slice_str("race"), slice_str("round")};
    const persist_query_item item = {.tags = tags, .tag_count = 2};
    persist_outcome out = {0};
    persist_edit edits[] = {{.kind = PERSIST_EXPECT_NONE,
                             .seq = seen,
                             .query = &item,
                             .query_count = 1},
                            tagged("s", tags, 2, "t")};
    edits[1].data = slice_of(&seen, sizeof seen);
    expect(persist_commit(raced, edits, 2, NULL, &out, NULL) == PERSIST_OK);
    bool winner = out.kind == PERSIST_COMMITTED;
    expect(winner || out.actual_seq > seen);
    persist_outcome_release(&out);
    return winner;
}

/* Each round everybody reads by a query, and appends on the condition that
 * nobody has done so since. What was there in earlier rounds is read again now
 * and then, or the rounds would take longer and longer. */
static void *racer(void *context)
{
    enum { ALL_OVER = 500 };
    uint64_t last = 0;
    for (int round = 0; round < rounds; round++) {
        bool whole = round % ALL_OVER == 0;
        last = whole ? 0 : last;
        expect(count_tagged(raced, "race", &last) == (whole ? round : 1));
        pthread_barrier_wait(&line); /* all have read the same */
        atomic_fetch_add(&won, decide(last));
        pthread_barrier_wait(&line);
        expect(atomic_load(&won) == round + 1);
        pthread_barrier_wait(&line);
    }
    return context;
}

/* The same with nobody waiting for the others: some read while others commit.
 */
static void *free_racer(void *context)
{
    uint64_t last = 0;
    while (atomic_load(&won) < rounds) {
        (void)count_tagged(raced, "race", &last);
        atomic_fetch_add(&won, decide(last));
    }
    return context;
}

/* Whoever has won had seen the winner before: each event names the place of the
 * one in front of it. */
static void check_chain(void)
{
    persist_cursor *cursor;
    const persist_event *e;
    uint64_t last = 0;
    int count = 0;
    assert_int_equal(persist_read_all(raced, 0, PERSIST_NO_LIMIT,
                                      PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    for (; persist_next_event(cursor, &e, NULL) == PERSIST_OK; count++) {
        uint64_t seen;
        assert_int_equal(e->data.size, sizeof seen);
        memcpy(&seen, e->data.data, sizeof seen);
        assert_int_equal(seen, last);
        last = e->position;
    }
    persist_cursor_close(cursor);
    assert_int_equal(count, atomic_load(&won));
}

static void race(void *(*run)(void *), bool in_memory)
{
    os_dir *dir = folder_make("tags");
    const persist_options options = {
        PERSIST_OPTIONS, .path = in_memory ? NULL : dir->path, .create = true,
        .background = true, .memtable_size = 8192};
    pthread_t threads[RACERS];
    atomic_store(&won, 0);
    assert_int_equal(persist_open(&options, &raced, NULL), PERSIST_OK);
    assert_int_equal(pthread_barrier_init(&line, NULL, RACERS), 0);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&line);
    assert_int_equal(atomic_load(&failures), 0);
    assert_true(atomic_load(&won) >= rounds);
    check_chain();
    assert_int_equal(persist_close(raced, NULL), PERSIST_OK);
    folder_remove(dir);
}

static void of_many_who_decide_one_wins(void **state)
{
    (void)state;
    race(racer, true);
    race(racer, false);
    print_message("figure: %d rounds of %d threads, one won each\n",
                  atomic_load(&won), RACERS);
}

static void who_wins_has_seen_all_before(void **state)
{
    (void)state;
    race(free_racer, true);
    race(free_racer, false);
    print_message("figure: %d commits on condition of %d threads at once\n",
                  atomic_load(&won), RACERS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_checked),
        cmocka_unit_test(queries_are_checked),
        cmocka_unit_test(a_record_with_a_tag_twice_is_refused),
        cmocka_unit_test(an_event_gives_its_tags_back),
        cmocka_unit_test(merging_drops_what_was_truncated),
        cmocka_unit_test(a_flush_drops_what_was_truncated),
        cmocka_unit_test(events_without_tags_cost_nothing),
        cmocka_unit_test(many_tags_become_a_table),
        cmocka_unit_test(a_condition_sees_every_commit),
        cmocka_unit_test(of_many_who_decide_one_wins),
        cmocka_unit_test(who_wins_has_seen_all_before),
    };
    if (argc > 1)
        rounds = (int)strtol(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
