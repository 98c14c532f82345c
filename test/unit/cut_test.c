/* SPDX-License-Identifier: MIT */
/* Files of an open store that somebody empties or cuts where they are, as who
 * rotates logs does it with whatever is called *.log; and what a store does
 * with its own files, which must never be taken for that. */
#include "world.h"

static persist_status put_blob(persist_store *s, slice bytes)
{
    persist_cid cid;
    error = (persist_error){0};
    return persist_blob_put(s, bytes, cid, &error);
}

static void assert_kept(persist_store *s, const char *key)
{
    if (put(s, key) != PERSIST_OK)
        fail_msg("%s: %s", key, error.message);
}

/* ---- what others do --------------------------------------------------- */

static void a_file_that_is_cut_is_noticed(void **state)
{
    (void)state;
    static const char *const files[] = {
        "wal/$(ls data/wal | tail -1)", "wal/$(ls data/wal | head -1)",
        "manifest.0", "manifest.1", "blobs/$(ls data/blobs | grep pak)"};
    static const char *const words[] = {
        ".log was cut short", "1.log was cut short", "manifest.0 was cut short",
        "manifest.1 was cut short", ".pak was cut short"};
    static const char *const ways[] = {": >", "truncate -s -1"};
    persist_options options = {PERSIST_OPTIONS, .path = data, .create = true,
                               .segment_size = 4096};
    for (size_t i = 0; i < 2 * (sizeof files / sizeof *files); i++) {
        persist_store *s;
        assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
        assert_kept(s, "before");
        assert_int_equal(put_blob(s, slice_str("one")), PERSIST_OK);
        for (int k = 0; k < 60; k++)
            assert_kept(s, "k");
        assert_int_equal(run("test $(ls data/wal | wc -l) -gt 1"), 0);
        assert_int_equal(run("%s data/%s", ways[i % 2], files[i / 2]), 0);
        if (put(s, "after") == PERSIST_OK)
            fail_msg("%s %s: said", ways[i % 2], files[i / 2]);
        assert_noticed(s, words[i / 2]);
        (void)persist_close(s, NULL);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

/* A blob that is added would make it as long as it was. */
static void a_pack_that_is_cut_does_not_grow_again(void **state)
{
    (void)state;
    persist_store *s = open_at(data);
    assert_kept(s, "before");
    assert_int_equal(put_blob(s, slice_str("one")), PERSIST_OK);
    assert_int_equal(run("truncate -s 0 data/blobs/*.pak"), 0);
    assert_int_not_equal(put_blob(s, slice_str("two")), PERSIST_OK);
    assert_non_null(strstr(error.message, ".pak was cut short"));
    assert_noticed(s, ".pak was cut short");
    assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
}

/* truncate(2) opens nothing, and closes nothing: no watch hears it. */
static void cut_unheard(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", data, name);
    assert_int_equal(truncate(path, 0), 0);
}

/* A sync that is over asks whether the descriptor still is ours, and is told
 * how long the file is. The look at all names, ten times a second, might see it
 * first: so it is tried more than once. */
static void a_cut_that_nobody_hears_of_is_met_by_the_sync(void **state)
{
    (void)state;
    enum { TIMES = 10 };
    for (int i = 0; i < TIMES; i++) {
        bool pack = i % 2 == 1;
        persist_cid cid;
        slice one = slice_str("one");
        persist_store *s = open_at(data);
        assert_kept(s, "before");
        if (pack)
            assert_int_equal(persist_blob_add(s, one, cid, NULL, &error),
                             PERSIST_OK);
        cut_unheard(pack ? "blobs/0000000100000001.pak"
                         : "wal/0000000000000001.log");
        assert_noticed(s, pack ? ".pak was cut short" : ".log was cut short");
        assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

/* What goes behind the last sync is told by the close, and by each opening
 * after it. */
static void the_close_looks_once_more(void **state)
{
    (void)state;
    static const char *const strikes[] = {
        "rm data/wal/*", "truncate -s 0 data/wal/*", "rm data/blobs/*.pak"};
    for (size_t i = 0; i < sizeof strikes / sizeof *strikes; i++) {
        persist_store *s = open_at(data);
        assert_kept(s, "before");
        assert_int_equal(put_blob(s, slice_str("one")), PERSIST_OK);
        assert_int_equal(run("%s", strikes[i]), 0);
        assert_int_equal(persist_close(s, &error), PERSIST_READ_ONLY);
        assert_non_null(strstr(error.message, " while the store was open"));
        if (i < 2)
            assert_int_equal(try_open(data, &s), PERSIST_CORRUPT);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

/* Whoever notices it first: each opening after it hears of it. `behind`: there
 * are commits since the last sync, which nobody was told are durable. */
static void noticed_before_the_close(bool background, bool behind,
                                     const char *strike)
{
    enum { WAIT_MS = 300, MANY = 40 };
    persist_options options = {PERSIST_OPTIONS,
                               .path = data,
                               .create = true,
                               .segment_size = 4096,
                               .memtable_size = 64 << 10,
                               .background = true};
    persist_store *s;
    uint64_t newest;
    options.background = background;
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
    for (int i = 0; i < MANY; i++)
        assert_kept(s, "before");
    assert_int_equal(run("%s", strike), 0);
    persist_edit edit = {.kind = PERSIST_PUT,
                         .name = slice_str("behind"),
                         .data = slice_str("v")};
    for (int i = 0; i < MANY && behind; i++)
        (void)persist_commit(s, &edit, 1, NULL, NULL, &error);
    if (background)
        (void)persist_wait_position(s, 1, WAIT_MS, &newest, &error);
    else
        assert_noticed(s, "");
    assert_int_equal(persist_close(s, &error), PERSIST_READ_ONLY);
    assert_non_null(strstr(error.message, " while the store was open"));
    for (int i = 0; i < 2; i++)
        if (try_open(data, &s) != PERSIST_CORRUPT)
            fail_msg("%s, background %d, behind %d: opened", strike, background,
                     behind);
    assert_int_equal(run("rm -rf data"), 0);
}

static void each_opening_hears_of_what_was_noticed(void **state)
{
    (void)state;
    static const char *const strikes[] = {
        "rm data/wal/*", "truncate -s 0 data/wal/*",
        "rm data/wal/$(ls data/wal | head -1)",
        "mv data/wal data/was && cp -r data/was data/wal && rm data/wal/*"};
    for (unsigned i = 0; i < 4 * (sizeof strikes / sizeof *strikes); i++)
        noticed_before_the_close(i % 2 == 1, i / 2 % 2 == 1, strikes[i / 4]);
}

/* ---- what is no cut --------------------------------------------------- */

/* Something that a watch hears, so that the next commit looks at all names. */
static void make_noise(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/noise", data);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(rmdir(path), 0);
}

/* It has a place of its own in a pack, behind the last byte of the file. */
static void an_empty_blob_is_no_cut(void **state)
{
    (void)state;
    static const char *const blobs[] = {"", "one", "", "two", ""};
    for (size_t first = 0; first < 3; first++) {
        persist_store *s = open_at(data);
        for (size_t i = first; i < sizeof blobs / sizeof *blobs; i++) {
            assert_int_equal(put_blob(s, slice_str(blobs[i])), PERSIST_OK);
            make_noise();
            assert_kept(s, "k");
        }
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

/* Segments that are made ready, used again and deleted, manifests that are
 * replaced, packs that are full, blobs of all sizes. */
static void a_busy_store_is_not_taken_for_cut(void **state)
{
    (void)state;
    enum { OPENED = 3, MANY = 250, EACH = 5, BLOB_MAX = 6000 };
    static char bytes[BLOB_MAX];
    persist_options options = {PERSIST_OPTIONS,      .path = data,
                               .create = true,       .background = true,
                               .segment_size = 4096, .memtable_size = 16384,
                               .packed_max = 4096};
    unsigned number = 1;
    for (int opened = 0; opened < OPENED; opened++) {
        persist_store *s;
        assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
        for (int i = 0; i < MANY; i++) {
            char key[16];
            snprintf(key, sizeof key, "%u", number);
            number = number * 1664525 + 1013904223;
            memcpy(bytes, &number, sizeof number);
            size_t size = number >> 8 & 1 ? (number >> 9) % BLOB_MAX : 0;
            make_noise();
            assert_kept(s, key);
            if (i % EACH == 0 &&
                put_blob(s, slice_of(bytes, size)) != PERSIST_OK)
                fail_msg("a blob of %zu: %s", size, error.message);
        }
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_file_that_is_cut_is_noticed),
        WORLD(a_pack_that_is_cut_does_not_grow_again),
        WORLD(a_cut_that_nobody_hears_of_is_met_by_the_sync),
        WORLD(the_close_looks_once_more),
        WORLD(each_opening_hears_of_what_was_noticed),
        WORLD(an_empty_blob_is_no_cut),
        WORLD(a_busy_store_is_not_taken_for_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
