/* SPDX-License-Identifier: MIT */
/* Ranges of names: every prefix, bound and direction, of keys and of streams,
 * in memory and on disk, against what the words of the header say. */
#include "fixture.h"

enum { SEGMENT = 65536, EVERY_COMMIT = 1, NAMES = 14, BOUNDS = NAMES + 4 };

static fixture f;

/* In byte order. */
static const slice names[NAMES] = {
    {"", 0},     {"\0", 1},   {"a", 1},      {"a\0", 2},      {"a/", 2},
    {"a/b", 3},  {"a/c", 3},  {"a/\xff", 3}, {"a0", 2},       {"b", 1},
    {"\x7f", 1}, {"\x80", 1}, {"\xff", 1},   {"\xff\xff", 2},
};

/* What a name may be compared with: all of them, and some between. */
static slice bound(size_t i)
{
    static const slice more[] = {
        {"a/bc", 4}, {"\xff\xff\xff", 3}, {"a\0\0", 3}, {"c", 1}};
    return i < NAMES ? names[i] : more[i - NAMES];
}

static bool is_in(const persist_range *r, slice name)
{
    return slice_starts_with(name, r->prefix) &&
           !(r->from != NULL && slice_compare(name, *r->from) < 0) &&
           !(r->after != NULL && slice_compare(name, *r->after) <= 0) &&
           !(r->to != NULL && slice_compare(name, *r->to) > 0) &&
           !(r->before != NULL && slice_compare(name, *r->before) >= 0);
}

/* What a range holds is what is_in says, in order, and no more than the limit.
 */
static void expect_range(const persist_range *r, bool keys, uint64_t limit)
{
    persist_cursor *c;
    slice name, value;
    persist_status status =
        keys ? persist_scan(f.store, r, limit, PERSIST_LATEST, &c, NULL)
             : persist_streams(f.store, r, limit, PERSIST_LATEST, &c, NULL);
    assert_int_equal(status, PERSIST_OK);
    uint64_t count = 0;
    for (size_t n = 0; n < NAMES && count < limit; n++) {
        size_t i = r->backward ? NAMES - 1 - n : n;
        if (!is_in(r, names[i]))
            continue;
        count++;
        status = persist_next_key(c, &name, &value, NULL);
        if (status != PERSIST_OK || !slice_equal(name, names[i]))
            fail_msg("name %zu is missing", i);
        assert_true(slice_equal(value, keys ? name : slice_of(NULL, 0)));
    }
    assert_int_equal(persist_next_key(c, &name, &value, NULL), PERSIST_NONE);
    persist_cursor_close(c);
}

/* Each bound alone, and each pair of bounds. */
static void expect_all(persist_range r, bool keys, uint64_t limit)
{
    slice low, high;
    expect_range(&r, keys, limit);
    for (size_t i = 0; i < BOUNDS; i++)
        for (size_t k = 0; k < 4 * (BOUNDS + 1); k++) {
            persist_range with = r;
            low = bound(i);
            *(k % 2 == 0 ? &with.from : &with.after) = &low;
            if (k / 4 < BOUNDS) {
                high = bound(k / 4);
                *(k / 2 % 2 == 0 ? &with.to : &with.before) = &high;
            }
            expect_range(&with, keys, limit);
        }
}

static void put_names(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        size_t n = i * 5 % NAMES; /* so that they come in no order */
        const persist_edit edits[] = {
            {.kind = PERSIST_PUT, .name = names[n], .data = names[n]},
            {.kind = PERSIST_PUT, .name = bound(NAMES + i % 4)},
            {.kind = PERSIST_APPEND, .name = names[n], .data = names[n]}};
        assert_int_equal(persist_commit(f.store, edits, 3, NULL, NULL, NULL),
                         PERSIST_OK);
    }
    for (size_t i = NAMES; i < BOUNDS; i++) {
        const persist_edit edit = {.kind = PERSIST_DELETE, .name = bound(i)};
        assert_int_equal(persist_commit(f.store, &edit, 1, NULL, NULL, NULL),
                         PERSIST_OK);
    }
}

static void try_all(void)
{
    put_names();
    for (size_t prefix = 0; prefix < BOUNDS; prefix++)
        for (unsigned n = 0; n < 4; n++)
            expect_all((persist_range){PERSIST_RANGE, .prefix = bound(prefix),
                                       .backward = n % 2 == 1},
                       n / 2 == 0, prefix % 3 == 0 ? PERSIST_NO_LIMIT : 2);
}

static void on_disk(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, EVERY_COMMIT, 600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fixture_begin_tables(&f, sizes[i], 3);
        try_all();
        fixture_end(&f);
    }
}

static void in_memory(void **state)
{
    (void)state;
    const persist_options options = {PERSIST_OPTIONS};
    assert_int_equal(persist_open(&options, &f.store, NULL), PERSIST_OK);
    try_all();
    assert_int_equal(persist_close(f.store, NULL), PERSIST_OK);
}

/* The names are numbers behind so many zeros. */
static void read_both_ways(int zeros, unsigned many)
{
    for (int tables = 0; tables < 2; tables++) {
        fixture_begin_tables(&f, tables == 0 ? 0 : 20000, 2);
        for (unsigned i = 0; i < many; i++) {
            char name[512];
            snprintf(name, sizeof name, "%0*u", zeros + 6, i * 7919 % many);
            fixture_do(&f, PERSIST_PUT, name, name, 0);
        }
        assert_true(tables == 0 || fixture_stats(&f).tables > 0);
        for (int back = 0; back < 2; back++) {
            persist_cursor *c;
            slice name;
            const persist_range range = {PERSIST_RANGE, .backward = back == 1};
            assert_int_equal(persist_scan(f.store, &range, PERSIST_NO_LIMIT,
                                          PERSIST_LATEST, &c, NULL),
                             PERSIST_OK);
            for (unsigned i = 0; i < many; i++) {
                char expected[512];
                snprintf(expected, sizeof expected, "%0*u", zeros + 6,
                         back == 1 ? many - 1 - i : i);
                assert_int_equal(persist_next_key(c, &name, NULL, NULL),
                                 PERSIST_OK);
                assert_true(slice_equal(name, slice_str(expected)));
            }
            assert_int_equal(persist_next_key(c, &name, NULL, NULL),
                             PERSIST_NONE);
            persist_cursor_close(c);
        }
        fixture_end(&f);
    }
}

/* More names than a batch has, in a memtable and in a table of many leaves. */
static void many_names_are_read_both_ways(void **state)
{
    (void)state;
    read_both_ways(0, 3000);
    read_both_ways(400, 300);
}

/* A size that cannot be, a slice of nothing, a name that is too long. */
static void wrong_ranges_are_told(void **state)
{
    (void)state;
    static char bytes[PERSIST_NAME_SIZE_MAX + 1];
    const slice nothing = {NULL, 1}, longer = {bytes, sizeof bytes};
    persist_cursor *c;
    fixture_begin(&f, SEGMENT);
    const struct {
        persist_range range;
        persist_status status;
    } rows[] = {
        {{.size = 0}, PERSIST_BAD_REQUEST},
        {{.size = sizeof(size_t)}, PERSIST_BAD_REQUEST},
        {{PERSIST_RANGE, .prefix = nothing}, PERSIST_BAD_REQUEST},
        {{PERSIST_RANGE, .from = &nothing}, PERSIST_BAD_REQUEST},
        {{PERSIST_RANGE, .prefix = longer}, PERSIST_TOO_LARGE},
        {{PERSIST_RANGE, .after = &longer}, PERSIST_TOO_LARGE},
        {{PERSIST_RANGE, .to = &longer}, PERSIST_TOO_LARGE},
        {{PERSIST_RANGE, .before = &longer}, PERSIST_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(persist_scan(f.store, &rows[i].range, 1,
                                      PERSIST_LATEST, &c, &f.error),
                         rows[i].status);
        assert_null(c);
        assert_int_equal(persist_streams(f.store, &rows[i].range, 1,
                                         PERSIST_LATEST, &c, &f.error),
                         rows[i].status);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_disk),
        cmocka_unit_test(in_memory),
        cmocka_unit_test(many_names_are_read_both_ways),
        cmocka_unit_test(wrong_ranges_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
