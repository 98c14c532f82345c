/* SPDX-License-Identifier: MIT */
/* Runs of postings: what is written is read, whatever neighbours share; runs
 * end by their size; and what is not well-formed is refused. */
#include "fixture.h"

#include "../lib/os_sim_disk.h"
#include "engine/table/table.h"

enum { NUMBER = 7, IDENTITY = 9, TABLE_BLOCK = 4096, MANY = 2000 };

static os_sim *sim;
static cache blocks;
static os_dir *folder;
static table_place place;
static table_writer writer;
static postings_writer runs;

static void begin(void)
{
    sim = os_sim_new(1);
    const os *sys = os_sim_os(sim);
    assert_int_equal(sys->dir_make(sys, sys->cwd, "t"), 0);
    assert_int_equal(sys->dir_open(sys, sys->cwd, "t", &folder), 0);
    cache_init(&blocks, 1 << 20);
    place = (table_place){.sys = sys, .dir = folder, .identity = IDENTITY};
    runs = (postings_writer){0};
    assert_int_equal(
        table_begin(&writer, &place, NUMBER, TABLE_BLOCK, false, MANY, NULL),
        PERSIST_OK);
}

/* Ends what is written, and opens it. */
static table *finish(void)
{
    table *t = NULL;
    postings_end(&runs, &writer);
    assert_int_equal(table_finish(&writer, 1, 1, NULL), PERSIST_OK);
    assert_int_equal(
        table_open(&place, &blocks, NUMBER, writer.footer.size, &t, NULL),
        PERSIST_OK);
    return t;
}

static void end(table *t)
{
    const os *sys = place.sys;
    table_unref(t);
    cache_release(&blocks);
    sys->dir_close(sys, folder);
    assert_int_equal(os_sim_open_files(sim), 0);
    os_sim_free(sim);
}

/* ---- written and read --------------------------------------------------- */

typedef struct kept {
    char tag[8], stream[16], type[8];
    uint64_t position, seq;
} kept;

static kept all[MANY];

/* Tags of one event and of hundreds; streams and types that stay, change, and
 * are empty; positions side by side and far apart. */
static void make(void)
{
    uint64_t random = 3, position = 0;
    for (size_t i = 0; i < MANY; i++) {
        kept *k = &all[i];
        size_t tag = i < MANY / 2 ? i / 500 : i;
        if (i == 0 || tag != (i - 1 < MANY / 2 ? (i - 1) / 500 : i - 1))
            position = 0;
        position += sim_random(&random) % 9 == 0 ? (uint64_t)1 << 40 : 1;
        snprintf(k->tag, sizeof k->tag, "t%05zu", tag);
        snprintf(k->stream, sizeof k->stream, "%.*s",
                 (int)(sim_random(&random) % 3 * 5), "stream-of-a-name");
        snprintf(k->type, sizeof k->type, "%.*s",
                 (int)(sim_random(&random) % 2 * 4), "type");
        k->position = position;
        k->seq = i % 7 == 0 ? PERSIST_SEQ_MAX - i : i;
        if (k->seq == 0)
            k->seq = 1;
    }
}

static void check(const kept *k, slice tag, const posting *p)
{
    assert_true(slice_equal(tag, slice_str(k->tag)));
    assert_int_equal(p->position, k->position);
    assert_int_equal(p->seq, k->seq);
    assert_true(slice_equal(p->type, slice_str(k->type)));
    assert_true(slice_equal(p->stream, slice_str(k->stream)));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    table_iter at;
    size_t count = 0, entries = 0;
    begin();
    make();
    for (size_t i = 0; i < MANY; i++) {
        const kept *k = &all[i];
        posting p = {k->position, k->seq, slice_str(k->type),
                     slice_str(k->stream)};
        postings_add(&runs, &writer, slice_str(k->tag), &p);
    }
    table *t = finish();
    table_iter_init(&at, t, TABLE_TAGS, false);
    persist_status status = table_seek(&at, slice_of(NULL, 0), NULL);
    for (; status == PERSIST_OK; status = table_next(&at, NULL), entries++) {
        postings_reader r;
        slice tag = entry_tag_of(table_key(&at));
        assert_true(postings_begin(&r, table_key(&at), table_value(&at)));
        assert_true(table_value(&at).size < POSTINGS_SIZE + 64);
        for (check(&all[count++], tag, &r.now); r.now.position < r.last;
             count++) {
            assert_true(postings_next(&r));
            check(&all[count], tag, &r.now);
        }
    }
    assert_int_equal(status, PERSIST_NONE);
    assert_int_equal(count, MANY);
    /* those of hundreds in a few runs */
    assert_in_range(entries, MANY / 2 + 4, MANY / 2 + 60);
    assert_int_equal(t->footer.tags, MANY / 2 + 2);
    end(t);
}

/* ---- refused ------------------------------------------------------------ */

/* The only run of a table, to be bent. */
static void one_run(uint8_t *name, size_t *name_size, uint8_t *value,
                    size_t *value_size)
{
    static const posting three[] = {{5, 1, {"k", 1}, {"s", 1}},
                                    {9, 2, {"k", 1}, {"other", 5}},
                                    {300, 3, {"", 0}, {"other", 5}}};
    table_iter at;
    begin();
    for (size_t i = 0; i < 3; i++)
        postings_add(&runs, &writer, slice_str("tag"), &three[i]);
    assert_false(postings_go_on(&runs, slice_str("tag"), 300));
    assert_true(postings_go_on(&runs, slice_str("tag"), 301));
    assert_true(postings_go_on(&runs, slice_str("tah"), 1));
    table *t = finish();
    table_iter_init(&at, t, TABLE_TAGS, false);
    assert_int_equal(table_seek(&at, slice_of(NULL, 0), NULL), PERSIST_OK);
    *name_size = table_key(&at).size;
    *value_size = table_value(&at).size;
    memcpy(name, table_key(&at).data, *name_size);
    memcpy(value, table_value(&at).data, *value_size);
    table_iter_release(&at);
    end(t);
}

/* How many events are read of an entry; -1: it is not well-formed. */
static int events_of(slice name, slice value)
{
    postings_reader r;
    int count = 1;
    if (!postings_begin(&r, name, value))
        return -1;
    for (; r.now.position < r.last; count++)
        if (!postings_next(&r))
            return -1;
    return count;
}

static void what_is_bent_is_refused(void **state)
{
    (void)state;
    uint8_t place_of[64], value[64];
    size_t name_size, size;
    one_run(place_of, &name_size, value, &size);
    slice name = slice_of(place_of, name_size);
    assert_int_equal(events_of(name, slice_of(value, size)), 3);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(events_of(name, slice_of(value, cut)), -1);
    value[size] = 0;
    assert_int_equal(events_of(name, slice_of(value, size + 1)), -1);
    value[0]++; /* the last one is where the key does not say */
    assert_int_equal(events_of(name, slice_of(value, size)), -1);
    value[0]--;
    /* no position; no tag */
    assert_int_equal(
        events_of(slice_of(place_of, name_size - 1), slice_of(value, size)),
        -1);
    assert_int_equal(events_of(slice_of("\0", 1), slice_of(value, size)), -1);
}

/* A string that stands again, where it should only be pointed to. */
static void a_repeated_string_is_refused(void **state)
{
    (void)state;
    static const uint8_t t_2[] = {1, 't', 1, 2};
    static const uint8_t twice[] = {1, 1, 1 + 1, 'k',   1 + 1, 's',
                                    1, 2, 0,     1 + 1, 's'};
    static const uint8_t pointed[] = {1, 1, 1 + 1, 'k', 1 + 1, 's', 1, 2, 0, 0};
    static const uint8_t none[] = {0, 1, 1, 0};
    static const uint8_t seq_0[] = {0, 0, 0, 0};
    slice name = slice_of(t_2, sizeof t_2);
    assert_int_equal(events_of(name, slice_of(pointed, sizeof pointed)), 2);
    assert_int_equal(events_of(name, slice_of(twice, sizeof twice)), -1);
    assert_int_equal(events_of(name, slice_of(none, sizeof none)), -1);
    assert_int_equal(events_of(name, slice_of(seq_0, sizeof seq_0)), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_bent_is_refused),
        cmocka_unit_test(a_repeated_string_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
