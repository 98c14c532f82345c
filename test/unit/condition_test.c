/* SPDX-License-Identifier: MIT */
/* Conditions that read tables, as the first who do: others commit meanwhile,
 * and whether what they commit conflicts is decided as if they had been before.
 */
#include <unistd.h>

#include "base/mem.h"
#include "fixture.h"

enum {
    MANY = 200,   /* events: more than are gone through */
    PATIENCE = 30 /* seconds; who waits for himself waits for ever */
};

static fixture f;
static os hooked;
static void (*meanwhile)(void); /* once, as soon as a table is read */

static void hook(void)
{
    void (*now)(void) = meanwhile;
    meanwhile = NULL;
    if (now != NULL)
        now();
}

static int map_load(const os *o, const os_map *map, uint64_t at, uint64_t size)
{
    (void)o;
    hook();
    return os_sim_os(f.sim)->map_load(os_sim_os(f.sim), map, at, size);
}

static ssize_t file_read(const os *o, os_file *file, void *data, size_t size,
                         uint64_t at)
{
    (void)o;
    hook();
    return os_sim_os(f.sim)->file_read(os_sim_os(f.sim), file, data, size, at);
}

static void append(const char *name, const char *tag)
{
    slice tags[] = {slice_str(tag)};
    const persist_edit edit = {.kind = PERSIST_APPEND,
                               .name = slice_str(name),
                               .tags = tags,
                               .tag_count = 1};
    assert_int_equal(persist_commit(f.store, &edit, 1, NULL, NULL, &f.error),
                     PERSIST_OK);
}

/* A table with four events, of which nothing was read yet. */
static void begin(void (*then)(void))
{
    static const char *const tags[] = {"a", "b", "a", "c"};
    fixture_begin_tables(&f, 1, 2);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        append("s", tags[i]);
    fixture_work(&f, 100);
    fixture_close(&f);
    hooked = *os_sim_os(f.sim);
    hooked.map_load = map_load;
    hooked.file_read = file_read;
    persist_options options = {PERSIST_OPTIONS, .path = "store", .os = &hooked};
    assert_int_equal(persist_open(&options, &f.store, &f.error), PERSIST_OK);
    meanwhile = then;
}

static persist_edit none_since(const persist_query_item *item, uint64_t seq)
{
    return (persist_edit){.kind = PERSIST_EXPECT_NONE,
                          .seq = seq,
                          .query = item,
                          .query_count = 1};
}

/* Appends on the condition that there is no event of a tag behind one position,
 * and none of another tag behind another one. */
static persist_outcome decide(const char *tag, uint64_t seq, const char *other,
                              uint64_t other_seq)
{
    slice tags[] = {slice_str(tag), slice_str(other)};
    const persist_query_item items[] = {{.tags = &tags[0], .tag_count = 1},
                                        {.tags = &tags[1], .tag_count = 1}};
    const persist_edit edits[] = {
        none_since(&items[0], seq),
        none_since(&items[1], other_seq),
        {.kind = PERSIST_APPEND, .name = slice_str("decided")}};
    persist_outcome out;
    alarm(PATIENCE);
    assert_int_equal(persist_commit(f.store, edits, 3, NULL, &out, &f.error),
                     PERSIST_OK);
    alarm(0);
    assert_null(meanwhile);
    mem_free(out.seqs);
    out.seqs = NULL;
    return out;
}

static void check_holds(void (*then)(void), uint64_t seq)
{
    begin(then);
    assert_int_equal(decide("a", seq, "b", 2).kind, PERSIST_COMMITTED);
    fixture_end(&f);
}

static void check_conflict(void (*then)(void), uint64_t seq, size_t edit,
                           uint64_t position)
{
    begin(then);
    persist_outcome out = decide("a", seq, "b", 2);
    assert_int_equal(out.kind, PERSIST_CONFLICT);
    assert_int_equal(out.edit, edit);
    assert_int_equal(out.actual_seq, position);
    assert_int_equal(out.lsn, persist_latest(f.store));
    fixture_end(&f);
}

static void add_another(void)
{
    append("s", "c");
}

static void add_match(void)
{
    append("s", "c");
    append("s", "a");
}

static void add_match_of_other(void)
{
    append("s", "b");
}

static void add_match_of_each(void)
{
    append("s", "a");
    append("s", "b");
}

static void add_match_behind_many(void)
{
    for (int i = 0; i < MANY; i++)
        append("s", "c");
    append("s", "a");
}

static void cut(uint64_t through)
{
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", through);
}

static void cut_match(void)
{
    cut(3);
}

static void add_match_and_cut_it(void)
{
    append("s", "a");
    cut(5);
}

static void others_commit_meanwhile(void **state)
{
    (void)state;
    check_holds(add_another, 3);
}

static void what_comes_meanwhile_conflicts(void **state)
{
    (void)state;
    check_conflict(add_match, 3, 0, 6);
    check_conflict(add_match_of_other, 3, 1, 5);
    check_conflict(add_match_of_each, 3, 0, 5);
    check_conflict(add_match_behind_many, 3, 0, 5 + MANY);
    check_conflict(add_match, 1, 0, 3); /* this one was there before */
}

static void what_is_cut_meanwhile_holds(void **state)
{
    (void)state;
    check_holds(cut_match, 0);
    check_holds(add_match_and_cut_it, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_commit_meanwhile),
        cmocka_unit_test(what_comes_meanwhile_conflicts),
        cmocka_unit_test(what_is_cut_meanwhile_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
