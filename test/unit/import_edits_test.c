/* SPDX-License-Identifier: MIT */
/* The edits that an import is made of: what they set, and what they refuse, in
 * memory and on disk alike. */
#include "fixture.h"

#include "../lib/wall.h"
#include "base/slice.h"

static persist_store *store;
static persist_error error;

static void in_memory(void (*check)(void))
{
    const persist_options options = {PERSIST_OPTIONS, .os = wall_os()};
    wall_set(1000);
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    check();
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

/* With tables of one commit each, and without any. */
static void on_disk(void (*check)(void))
{
    for (uint32_t memory = 0; memory < 2; memory++) {
        os_sim *sim = os_sim_new(1);
        os timed = *os_sim_os(sim);
        timed.wall_us = wall_now;
        const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                         .create = true,
                                         .memtable_size = memory, .os = &timed};
        wall_set(1000);
        assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
        check();
        assert_int_equal(persist_close(store, NULL), PERSIST_OK);
        os_sim_free(sim);
    }
}

static persist_edit edit(persist_edit_kind kind, const char *name, uint64_t seq)
{
    return (persist_edit){.kind = kind, .name = slice_str(name), .seq = seq};
}

static persist_status commit(const persist_edit *edits, size_t count)
{
    persist_outcome out;
    error = (persist_error){0};
    persist_lsn before = persist_latest(store);
    persist_status status =
        persist_commit(store, edits, count, NULL, &out, &error);
    persist_outcome_release(&out);
    assert_true(status == PERSIST_OK || persist_latest(store) == before);
    return status;
}

static persist_status set(persist_edit_kind kind, const char *name,
                          uint64_t seq)
{
    const persist_edit one = edit(kind, name, seq);
    return commit(&one, 1);
}

static void expect_numbers(uint64_t expected, uint64_t actual)
{
    assert_int_equal(error.status, PERSIST_SEQ_CONFLICT);
    assert_true((error.has & PERSIST_HAS_NUMBERS) != 0);
    assert_int_equal(error.expected, expected);
    assert_int_equal(error.actual, actual);
}

/* The newest event, and the mark of the stream "s". */
static void expect_newest(uint64_t seq, uint64_t position, uint64_t time)
{
    persist_cursor *cursor;
    const persist_event *e;
    assert_int_equal(persist_position(store, PERSIST_LATEST), position);
    assert_int_equal(
        persist_read_all(store, position, 1, PERSIST_LATEST, &cursor, NULL),
        PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, NULL), PERSIST_OK);
    assert_int_equal(e->seq, seq);
    assert_int_equal(e->position, position);
    assert_int_equal(e->time, time);
    persist_cursor_close(cursor);
}

static void check_upwards(void)
{
    assert_int_equal(set(PERSIST_SET_MARK, "s", 7), PERSIST_OK);
    assert_int_equal(set(PERSIST_SET_MARK, "s", 7), PERSIST_OK);
    assert_int_equal(set(PERSIST_SET_MARK, "s", 6), PERSIST_SEQ_CONFLICT);
    expect_numbers(6, 7);
    assert_int_equal(error.stream_size, 1);
    assert_int_equal(error.stream[0], 's');
    assert_int_equal(set(PERSIST_SET_POSITION, "", 0), PERSIST_SEQ_CONFLICT);
    expect_numbers(0, 1);
    assert_int_equal(set(PERSIST_SET_POSITION, "", 50), PERSIST_OK);
    assert_int_equal(set(PERSIST_SET_POSITION, "", 50), PERSIST_OK);
    assert_int_equal(set(PERSIST_SET_POSITION, "", 49), PERSIST_SEQ_CONFLICT);
    expect_numbers(49, 50);
    assert_int_equal(set(PERSIST_APPEND, "s", 0), PERSIST_OK);
    expect_newest(8, 50, 1000);
    assert_int_equal(set(PERSIST_SET_TIME, "", 999), PERSIST_SEQ_CONFLICT);
    expect_numbers(999, 1000);
    assert_int_equal(set(PERSIST_SET_TIME, "", 3000), PERSIST_OK);
    assert_int_equal(set(PERSIST_SET_TIME, "", 3000), PERSIST_OK);
    assert_int_equal(set(PERSIST_APPEND, "s", 0), PERSIST_OK);
    expect_newest(9, 51, 3000);
}

static void nothing_goes_down(void **state)
{
    (void)state;
    in_memory(check_upwards);
    on_disk(check_upwards);
}

/* Events with gaps between, in one commit, keep numbers and positions. */
static void check_order(void)
{
    const persist_edit apart[] = {
        edit(PERSIST_SET_TIME, "", 2000), edit(PERSIST_SET_POSITION, "", 4),
        edit(PERSIST_APPEND_AT, "s", 3),  edit(PERSIST_SET_POSITION, "", 9),
        edit(PERSIST_APPEND_AT, "s", 5),  edit(PERSIST_SET_MARK, "s", 8)};
    assert_int_equal(commit(apart, 6), PERSIST_OK);
    expect_newest(5, 9, 2000);
    assert_int_equal(set(PERSIST_APPEND, "s", 0), PERSIST_OK);
    expect_newest(9, 10, 2000);
    /* what a commit has done counts behind it, in the same commit */
    const persist_edit back[] = {edit(PERSIST_APPEND, "s", 0),
                                 edit(PERSIST_SET_MARK, "s", 9)};
    assert_int_equal(commit(back, 2), PERSIST_SEQ_CONFLICT);
    expect_numbers(9, 10);
    const persist_edit below[] = {edit(PERSIST_APPEND, "s", 0),
                                  edit(PERSIST_SET_POSITION, "", 11)};
    assert_int_equal(commit(below, 2), PERSIST_SEQ_CONFLICT);
    expect_numbers(11, 12);
    const persist_edit twice[] = {edit(PERSIST_SET_TIME, "", 5000),
                                  edit(PERSIST_APPEND, "s", 0),
                                  edit(PERSIST_SET_TIME, "", 5000)};
    assert_int_equal(commit(twice, 3), PERSIST_BAD_REQUEST);
    /* the time is of the whole commit, wherever it stands */
    const persist_edit late[] = {edit(PERSIST_APPEND, "s", 0),
                                 edit(PERSIST_SET_TIME, "", 5000)};
    assert_int_equal(commit(late, 2), PERSIST_OK);
    expect_newest(10, 11, 5000);
}

static void edits_see_those_before_them(void **state)
{
    (void)state;
    in_memory(check_order);
    on_disk(check_order);
}

/* ---- command ids ------------------------------------------------------ */

static const uint64_t gave[] = {3, 9, PERSIST_SEQ_MAX};

static persist_command command(const char *id, uint8_t print, size_t count)
{
    persist_command c = {.id = slice_str(id), .seqs = gave, .seq_count = count};
    memset(c.fingerprint, print, sizeof c.fingerprint);
    return c;
}

static persist_status set_once(const persist_command *c)
{
    const persist_edit one = {.kind = PERSIST_SET_ONCE, .command = c};
    return commit(&one, 1);
}

static void expect_repeat(const char *id, uint8_t print, size_t count,
                          persist_lsn lsn)
{
    persist_once own_id = {.id = slice_str(id)};
    persist_outcome out;
    const persist_edit append = edit(PERSIST_APPEND, "s", 0);
    memset(own_id.fingerprint, print, sizeof own_id.fingerprint);
    assert_int_equal(persist_commit(store, &append, 1, &own_id, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_REPEATED);
    assert_int_equal(out.lsn, lsn);
    assert_int_equal(out.seq_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(out.seqs[i], gave[i]);
    persist_outcome_release(&out);
}

static void check_once(void)
{
    const persist_command c = command("id", 1, 3), none = command("no", 2, 0),
                          other = command("id", 2, 3),
                          fewer = command("id", 1, 2);
    assert_int_equal(set_once(&c), PERSIST_OK);
    assert_int_equal(set_once(&none), PERSIST_OK);
    expect_repeat("id", 1, 3, 1);
    expect_repeat("no", 2, 0, 2);
    /* again, the same: it stays as it is; another: refused */
    assert_int_equal(set_once(&c), PERSIST_OK);
    expect_repeat("id", 1, 3, 1);
    assert_int_equal(set_once(&other), PERSIST_BAD_REQUEST);
    assert_int_equal(set_once(&fewer), PERSIST_BAD_REQUEST);
    /* twice in one commit; and what is refused takes all back */
    const persist_command a = command("a", 1, 1), b = command("b", 1, 2);
    const persist_edit pairs[][2] = {
        {{.kind = PERSIST_SET_ONCE, .command = &a},
         {.kind = PERSIST_SET_ONCE, .command = &other}},
        {{.kind = PERSIST_SET_ONCE, .command = &a},
         {.kind = PERSIST_SET_ONCE, .command = &a}},
        {{.kind = PERSIST_SET_ONCE, .command = &b},
         {.kind = PERSIST_APPEND, .name = slice_str("s")}}};
    assert_int_equal(commit(pairs[0], 2), PERSIST_BAD_REQUEST);
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_outcome out;
    assert_int_equal(
        persist_once_find(store, slice_str("a"), print, &out, NULL),
        PERSIST_NONE);
    const persist_command again = command("a", 1, 1),
                          not_a = command("a", 7, 0);
    const persist_edit refused[] = {
        {.kind = PERSIST_SET_ONCE, .command = &not_a},
        {.kind = PERSIST_SET_MARK, .name = slice_str("s"), .seq = 5},
        {.kind = PERSIST_SET_MARK, .name = slice_str("s"), .seq = 4}};
    assert_int_equal(commit(refused, 3), PERSIST_SEQ_CONFLICT);
    assert_int_equal(commit(pairs[1], 2), PERSIST_OK);
    assert_int_equal(set_once(&again), PERSIST_OK);
    assert_int_equal(commit(pairs[2], 2), PERSIST_OK);
    expect_repeat("a", 1, 1, 4);
    expect_repeat("b", 1, 2, 6);
}

static void a_command_that_is_set_repeats(void **state)
{
    (void)state;
    in_memory(check_once);
    on_disk(check_once);
}

/* From the log alone: no table was made. */
static void what_is_set_survives(void **state)
{
    (void)state;
    static fixture f;
    fixture_begin(&f, 0);
    store = f.store;
    const persist_command a = command("a", 1, 3), b = command("b", 2, 0);
    assert_int_equal(set_once(&a), PERSIST_OK);
    assert_int_equal(set_once(&b), PERSIST_OK);
    fixture_wait(&f);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    store = f.store;
    expect_repeat("a", 1, 3, 1);
    expect_repeat("b", 2, 0, 2);
    fixture_end(&f);
}

/* A commit may bring ids of others, not its own. */
static void check_own(void)
{
    const persist_command own = command("own", 1, 1), a = command("a", 1, 1);
    persist_edit edits[] = {{.kind = PERSIST_SET_ONCE, .command = &own},
                            {.kind = PERSIST_APPEND, .name = slice_str("s")}};
    persist_once own_id = {.id = slice_str("own")};
    persist_outcome out;
    memset(own_id.fingerprint, 1, sizeof own_id.fingerprint);
    assert_int_equal(persist_commit(store, edits, 2, &own_id, &out, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_latest(store), 0);
    edits[0].command = &a;
    assert_int_equal(persist_commit(store, edits, 2, &own_id, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    assert_int_equal(out.seq_count, 1);
    persist_outcome_release(&out);
    assert_int_equal(set_once(&own), PERSIST_BAD_REQUEST);
}

static void a_commit_does_not_set_its_own_id(void **state)
{
    (void)state;
    in_memory(check_own);
    on_disk(check_own);
}

static void what_no_commit_gave_is_refused(void **state)
{
    (void)state;
    static const uint64_t zero, high = PERSIST_SEQ_MAX + 1;
    static char longest[PERSIST_NAME_SIZE_MAX + 1];
    const persist_command bad[] = {
        {.id = slice_of(NULL, 1)},
        {.id = slice_str("x"), .seq_count = 1},
        {.id = slice_str("x"), .seqs = &zero, .seq_count = 1},
        {.id = slice_str("x"), .seqs = &high, .seq_count = 1},
        {.id = slice_str("x"), .reserved = {1, 0}},
        {.id = slice_str("x"), .reserved = {0, 1}},
    };
    const persist_command large[] = {
        {.id = slice_of(longest, sizeof longest)},
        {.id = slice_str("x"), .seqs = gave, .seq_count = SIZE_MAX}};
    const persist_options options = {PERSIST_OPTIONS};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    assert_int_equal(set_once(NULL), PERSIST_BAD_REQUEST);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(set_once(&bad[i]), PERSIST_BAD_REQUEST);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        assert_int_equal(set_once(&large[i]), PERSIST_TOO_LARGE);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

/* ---- a copy ----------------------------------------------------------- */

/* Ids with a prefix, behind one of them, so many; as text. */
static const char *list(const char *prefix, const char *after, uint64_t limit,
                        persist_view view)
{
    static char text[256];
    persist_cursor *cursor;
    const persist_command *c;
    const slice from = slice_str(after == NULL ? "" : after);
    size_t size = 0;
    text[0] = '\0';
    assert_int_equal(persist_commands(store, slice_str(prefix),
                                      after == NULL ? NULL : &from, limit, view,
                                      &cursor, NULL),
                     PERSIST_OK);
    while (persist_next_command(cursor, &c, NULL) == PERSIST_OK)
        size += (size_t)snprintf(text + size, sizeof text - size, "%.*s:%zu ",
                                 (int)c->id.size, (const char *)c->id.data,
                                 c->seq_count);
    persist_cursor_close(cursor);
    return text;
}

static void check_list(void)
{
    static const char *const ids[] = {"b/2", "a", "", "b", "b/1", "c"};
    assert_string_equal(list("", NULL, PERSIST_NO_LIMIT, PERSIST_LATEST), "");
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const persist_command c = command(ids[i], 1, i % 4);
        assert_int_equal(set_once(&c), PERSIST_OK);
    }
    assert_string_equal(list("", NULL, PERSIST_NO_LIMIT, PERSIST_LATEST),
                        ":2 a:1 b:3 b/1:0 b/2:0 c:1 ");
    assert_string_equal(list("b", NULL, PERSIST_NO_LIMIT, PERSIST_LATEST),
                        "b:3 b/1:0 b/2:0 ");
    assert_string_equal(list("b", "b", 1, PERSIST_LATEST), "b/1:0 ");
    assert_string_equal(list("b", "a", 9, PERSIST_LATEST), "b:3 b/1:0 b/2:0 ");
    assert_string_equal(list("b", "c", 9, PERSIST_LATEST), "");
    assert_string_equal(list("", "b/1", 9, PERSIST_LATEST), "b/2:0 c:1 ");
    assert_string_equal(list("", NULL, 0, PERSIST_LATEST), "");
    assert_int_equal(persist_wait_durable(store, persist_latest(store), NULL),
                     PERSIST_OK);
    assert_string_equal(list("b/", NULL, 9, PERSIST_DURABLE), "b/1:0 b/2:0 ");
}

static void ids_are_listed_in_order(void **state)
{
    (void)state;
    in_memory(check_list);
    on_disk(check_list);
}

/* The cursor is of one state, and only of ids. */
static void check_cursor(void)
{
    persist_cursor *cursor, *keys;
    const persist_event *e;
    const persist_command *c;
    const persist_command a = command("a", 1, 2), b = command("b", 1, 2);
    assert_int_equal(set_once(&a), PERSIST_OK);
    assert_int_equal(persist_commands(store, slice_of(NULL, 0), NULL,
                                      PERSIST_NO_LIMIT, PERSIST_LATEST, &cursor,
                                      NULL),
                     PERSIST_OK);
    assert_int_equal(set_once(&b), PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, &error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_key(cursor, NULL, NULL, &error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_command(cursor, NULL, &error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_command(cursor, &c, &error), PERSIST_OK);
    assert_int_equal(c->lsn, 1);
    assert_int_equal(c->seq_count, 2);
    assert_int_equal(persist_next_command(cursor, &c, &error), PERSIST_NONE);
    persist_cursor_close(cursor);
    assert_int_equal(persist_scan(store, NULL, PERSIST_NO_LIMIT, PERSIST_LATEST,
                                  &keys, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_next_command(keys, &c, &error),
                     PERSIST_BAD_REQUEST);
    persist_cursor_close(keys);
}

static void a_cursor_of_ids_sees_one_state(void **state)
{
    (void)state;
    in_memory(check_cursor);
    on_disk(check_cursor);
}

static void what_is_not_durable_is_not_listed(void **state)
{
    (void)state;
    static fixture f;
    const persist_command a = command("a", 1, 2), b = command("b", 1, 1);
    fixture_begin(&f, 4096);
    store = f.store;
    assert_int_equal(set_once(&b), PERSIST_OK);
    assert_string_equal(list("", NULL, 9, PERSIST_DURABLE), "");
    fixture_wait(&f);
    assert_int_equal(set_once(&a), PERSIST_OK);
    assert_string_equal(list("", NULL, 9, PERSIST_DURABLE), "b:1 ");
    assert_string_equal(list("", NULL, 9, PERSIST_LATEST), "a:2 b:1 ");
    fixture_end(&f);
}

/* All ids of one store are set in another, which then says the same, also when
 * it has been killed and has merged. */
static void ids_are_copied(void **state)
{
    (void)state;
    enum { IDS = 60 };
    static fixture from, to;
    persist_cursor *cursor;
    const persist_command *c;
    fixture_begin_tables(&from, 600, 2);
    fixture_begin_tables(&to, 900, 2);
    store = from.store;
    for (int i = 0; i < IDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i * 7919 % 97);
        persist_once own_id = {.id = slice_str(id),
                               .fingerprint = {(uint8_t)i}};
        const persist_edit edits[] = {edit(PERSIST_APPEND, "s", 0),
                                      edit(PERSIST_APPEND, "s", 0)};
        persist_outcome out;
        assert_int_equal(
            persist_commit(store, edits, (size_t)i % 3, &own_id, &out, NULL),
            PERSIST_OK);
        persist_outcome_release(&out);
    }
    assert_int_equal(persist_commands(store, slice_of(NULL, 0), NULL,
                                      PERSIST_NO_LIMIT, PERSIST_LATEST, &cursor,
                                      NULL),
                     PERSIST_OK);
    store = to.store;
    while (persist_next_command(cursor, &c, NULL) == PERSIST_OK)
        assert_int_equal(set_once(c), PERSIST_OK);
    persist_cursor_close(cursor);
    fixture_wait(&to);
    fixture_kill(&to);
    fixture_reopen(&to);
    for (int i = 0; i < IDS; i++) {
        uint8_t print[2][PERSIST_FINGERPRINT_SIZE];
        persist_outcome out[2];
        char id[16];
        snprintf(id, sizeof id, "%d", i * 7919 % 97);
        assert_int_equal(persist_once_find(from.store, slice_str(id), print[0],
                                           &out[0], NULL),
                         PERSIST_OK);
        assert_int_equal(
            persist_once_find(to.store, slice_str(id), print[1], &out[1], NULL),
            PERSIST_OK);
        assert_memory_equal(print[0], print[1], sizeof print[0]);
        assert_int_equal(out[0].seq_count, (size_t)i % 3);
        assert_int_equal(out[1].seq_count, (size_t)i % 3);
        if (i % 3 > 0)
            assert_memory_equal(out[0].seqs, out[1].seqs,
                                out[0].seq_count * sizeof(uint64_t));
        persist_outcome_release(&out[0]);
        persist_outcome_release(&out[1]);
    }
    fixture_end(&from);
    fixture_end(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_down),
        cmocka_unit_test(edits_see_those_before_them),
        cmocka_unit_test(a_command_that_is_set_repeats),
        cmocka_unit_test(what_is_set_survives),
        cmocka_unit_test(a_commit_does_not_set_its_own_id),
        cmocka_unit_test(what_no_commit_gave_is_refused),
        cmocka_unit_test(ids_are_listed_in_order),
        cmocka_unit_test(a_cursor_of_ids_sees_one_state),
        cmocka_unit_test(what_is_not_durable_is_not_listed),
        cmocka_unit_test(ids_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
