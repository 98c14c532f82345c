/* SPDX-License-Identifier: MIT */
/* Blobs listed by cid, in pages, from all layers: against the same list sorted
 * by who put them; what a page costs; digests that crowd into one part. And
 * blobs read in ranges. */
#include <string.h>

#include "base/cid.h"
#include "fixture.h"

enum { MANY = 3000, FORGED = 5000, PIECES = 300 << 10 };

typedef char cid_text[CID_SIZE + 1];

static fixture f;
static cid_text all[FORGED];
static size_t count;

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static uint64_t size_of(size_t i)
{
    return 8 + i % 50;
}

/* Blobs in tables, in what is frozen, and in the memtable. */
static void put_many(uint32_t memtable_size)
{
    char bytes[64];
    fixture_begin_tables(&f, memtable_size, 0);
    memset(bytes, 0, sizeof bytes);
    for (count = 0; count < MANY; count++) {
        memcpy(bytes, &count, sizeof count);
        assert_int_equal(persist_blob_add(f.store,
                                          slice_of(bytes, size_of(count)),
                                          all[count], NULL, &f.error),
                         PERSIST_OK);
    }
    qsort(all, count, sizeof *all, compare);
}

/* Lists at most `limit` behind a cid; they begin at all[at]. */
static size_t expect_page(const char *after, uint64_t limit, size_t at)
{
    slice text = slice_str(after == NULL ? "" : after);
    persist_cursor *cursor;
    const persist_blob *b;
    size_t listed = 0;
    assert_int_equal(persist_blobs(f.store, after == NULL ? NULL : &text, limit,
                                   PERSIST_LATEST, &cursor, &f.error),
                     PERSIST_OK);
    persist_status status;
    while ((status = persist_next_blob(cursor, &b, &f.error)) == PERSIST_OK) {
        uint64_t size;
        assert_true(at < count);
        assert_string_equal(b->cid, all[at++]);
        assert_int_equal(
            persist_blob_size(f.store, slice_str(b->cid), &size, NULL),
            PERSIST_OK);
        assert_int_equal(b->size, size);
        listed++;
    }
    assert_int_equal(status, PERSIST_NONE);
    persist_cursor_close(cursor);
    assert_int_equal(
        listed, count - (at - listed) < limit ? count - (at - listed) : limit);
    return listed;
}

static void all_are_listed_in_order(void **state)
{
    (void)state;
    put_many(16384);
    for (int round = 0; round < 2; round++) {
        static const size_t pages[] = {MANY + 1, 1000, 129, 128, 7};
        for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
            const char *after = NULL;
            size_t at = 0, got = 1;
            while (got > 0) {
                got = expect_page(after, pages[i], at);
                at += got;
                after = at > 0 ? all[at - 1] : NULL;
            }
            assert_int_equal(at, count);
        }
        fixture_close(&f); /* what the log has goes into a table */
        fixture_reopen(&f);
    }
    fixture_end(&f);
}

/* The place of what is not there is known, too. */
static void a_page_begins_behind_any_cid(void **state)
{
    (void)state;
    put_many(16384);
    for (uint64_t i = 0; i < 400; i++) {
        persist_cid cid;
        size_t at = 0;
        persist_cid_of(slice_of(&i, sizeof i), cid);
        while (at < count && strcmp(all[at], cid) <= 0)
            at++;
        expect_page(cid, 5, at);
    }
    expect_page(all[count - 1], 5, count);
    expect_page(all[0], 0, 1);
    fixture_end(&f);
}

static void what_comes_later_does_not_show(void **state)
{
    (void)state;
    persist_cursor *cursor;
    persist_snapshot *kept;
    persist_cid cid;
    const persist_blob *b;
    fixture_begin(&f, 0);
    assert_int_equal(persist_blob_put(f.store, slice_str("first"), cid, NULL),
                     PERSIST_OK);
    assert_int_equal(
        persist_snapshot_open(f.store, PERSIST_LATEST, &kept, NULL),
        PERSIST_OK);
    assert_int_equal(persist_blobs(f.store, NULL, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    persist_cid later;
    assert_int_equal(
        persist_blob_put(f.store, slice_str("second"), later, NULL),
        PERSIST_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(persist_next_blob(cursor, &b, NULL), PERSIST_OK);
        assert_string_equal(b->cid, cid);
        assert_int_equal(persist_next_blob(cursor, &b, NULL), PERSIST_NONE);
        assert_int_equal(persist_next_blob(cursor, &b, NULL), PERSIST_NONE);
        persist_cursor_close(cursor);
        assert_int_equal(
            persist_blobs(f.store, NULL, PERSIST_NO_LIMIT, kept, &cursor, NULL),
            PERSIST_OK);
    }
    persist_cursor_close(cursor);
    persist_snapshot_close(kept);
    fixture_end(&f);
}

/* ---- what a page costs -------------------------------------------------- */

static void list_ten(size_t at)
{
    slice after = slice_str(at == 0 ? "" : all[at - 1]);
    persist_cursor *cursor;
    const persist_blob *b;
    assert_int_equal(persist_blobs(f.store, at == 0 ? NULL : &after, 10,
                                   PERSIST_LATEST, &cursor, &f.error),
                     PERSIST_OK);
    for (size_t i = at; i < at + 10; i++) {
        assert_int_equal(persist_next_blob(cursor, &b, &f.error), PERSIST_OK);
        assert_string_equal(b->cid, all[i]);
    }
    persist_cursor_close(cursor);
}

/* How often the disk is read for a page: nothing is mapped, and the cache is
 * empty in a store that was opened anew. */
static uint64_t reads_of_page(size_t at)
{
    persist_options options = {PERSIST_OPTIONS, .path = "store",
                               .unmapped = true, .os = os_sim_os(f.sim)};
    fixture_close(&f);
    assert_int_equal(persist_open(&options, &f.store, NULL), PERSIST_OK);
    uint64_t before = os_sim_calls(f.sim, SIM_READ);
    list_ten(at);
    return os_sim_calls(f.sim, SIM_READ) - before;
}

static void a_page_costs_by_what_it_shows(void **state)
{
    (void)state;
    put_many(1u << 20); /* in one table */
    for (size_t at = 0; at < count; at += 500)
        assert_true(reads_of_page(at) < 10); /* of some 30 leaves */
    fixture_end(&f);
}

/* ---- digests that begin alike -------------------------------------------- */

/* No bytes are known that have such digests: the index is given them. */
static void forge(engine *e, size_t i, size_t alike)
{
    blob_entry entry = {.size = i};
    persist_lsn lsn;
    memset(entry.digest, 0xdb, sizeof entry.digest);
    uint64_t number = i * 0x9e3779b97f4a7c15;
    for (size_t k = 0; k < 8; k++)
        entry.digest[alike + k] = (uint8_t)(number >> 8 * k);
    cid_encode(entry.digest, all[count++]);
    assert_int_equal(engine_commit_blob(e, &entry, &lsn, &f.error), PERSIST_OK);
}

static void expect_listing(engine *e, size_t page)
{
    static engine_cursor cursor;
    slice after = {0};
    for (size_t at = 0; at <= count; at += page) {
        const persist_blob *b;
        assert_int_equal(
            engine_list_blobs(e, &cursor, after, page, VIEW_LATEST, &f.error),
            PERSIST_OK);
        for (size_t i = at; i < at + page && i < count; i++) {
            assert_int_equal(engine_next_blob(&cursor, &b, &f.error),
                             PERSIST_OK);
            assert_string_equal(b->cid, all[i]);
        }
        assert_int_equal(engine_next_blob(&cursor, &b, &f.error), PERSIST_NONE);
        engine_cursor_close(&cursor);
        if (at + page <= count)
            after = slice_of(all[at + page - 1], CID_SIZE);
    }
}

/* Those of a part are too many to be sorted at once. */
static void digests_that_crowd(void **state)
{
    (void)state;
    static const size_t alike[] = {0, 3, 17, 24};
    for (size_t k = 0; k < sizeof alike / sizeof *alike; k++) {
        engine *e;
        f = (fixture){.sim = os_sim_new(1)};
        const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                         .create = true, .memtable_size = 65536,
                                         .os = os_sim_os(f.sim)};
        assert_int_equal(engine_open(&options, &e, &f.error), PERSIST_OK);
        count = 0;
        for (size_t i = 0; i < FORGED; i++)
            forge(e, i, i % 10 == 0 ? 0 : alike[k]);
        qsort(all, count, sizeof *all, compare);
        expect_listing(e, FORGED + 1);
        expect_listing(e, 777);
        assert_int_equal(engine_close(e, NULL), PERSIST_OK);
        fixture_end(&f);
    }
}

/* ---- ranges -------------------------------------------------------------- */

static uint8_t bytes[PIECES];

static persist_blob_reader *put_and_open(size_t size, persist_cid cid)
{
    persist_blob_reader *r;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + i / 65536 * 3);
    assert_int_equal(
        persist_blob_put(f.store, slice_of(bytes, size), cid, NULL),
        PERSIST_OK);
    assert_int_equal(persist_blob_open(f.store, slice_str(cid), NULL, &r, NULL),
                     PERSIST_OK);
    return r;
}

static void expect_range(persist_blob_reader *r, size_t whole, uint64_t from,
                         size_t size)
{
    static uint8_t room[PIECES + 16];
    size_t got = 12345;
    size_t left = from < whole ? whole - (size_t)from : 0;
    memset(room, 0xee, sizeof room);
    assert_int_equal(persist_blob_read_at(r, from, room, size, &got, &f.error),
                     PERSIST_OK);
    assert_int_equal(got, left < size ? left : size);
    if (got > 0)
        assert_memory_equal(room, bytes + from, got);
    for (size_t i = got; i < got + 16; i++)
        assert_int_equal(room[i], 0xee);
}

static void any_range_is_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 65535, 65536, PIECES - 7};
    static const size_t steps[] = {0, 1, 65535, 65536, 65537, 131071, 131072};
    enum { STEPS = sizeof steps / sizeof *steps };
    for (int packs = 0; packs < 2; packs++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            persist_cid cid;
            char first[3];
            size_t got;
            fixture_begin(&f, 0);
            fixture_close(&f);
            f.packed_max = packs == 0 ? 1 : 1u << 20;
            fixture_reopen(&f);
            persist_blob_reader *r = put_and_open(sizes[i], cid);
            assert_int_equal(persist_blob_read(r, first, 1, &got, NULL),
                             PERSIST_OK);
            for (size_t from = 0; from < STEPS; from++)
                for (size_t to = from % 2; to < STEPS; to += 2)
                    expect_range(r, sizes[i], steps[from], steps[to]);
            for (size_t from = 0; from < STEPS; from++)
                expect_range(r, sizes[i], sizes[i] - steps[from], 7);
            expect_range(r, sizes[i], UINT64_MAX, 9);
            expect_range(r, sizes[i], 0, sizes[i]);
            if (sizes[i] > 2) { /* where the other way of reading goes on */
                assert_int_equal(persist_blob_read(r, first, 2, &got, NULL),
                                 PERSIST_OK);
                assert_memory_equal(first, bytes + 1, 2);
            }
            persist_blob_close(r);
            fixture_end(&f);
        }
}

static void flip(const char *cid, uint64_t at)
{
    char path[128];
    uint8_t digest[HASH_SHA256_SIZE], byte;
    os_file *file;
    size_t got;
    const os *sys = os_sim_os(f.sim);
    assert_true(cid_decode(slice_str(cid), digest));
    snprintf(path, sizeof path, "store/blobs/%02x/%s", digest[0], cid);
    assert_int_equal(
        sys->file_open(sys, sys->cwd, path, OS_READ | OS_WRITE, &file), 0);
    assert_int_equal(os_read_all(sys, file, &byte, 1, at, &got), 0);
    byte ^= 4;
    assert_int_equal(os_write_all(sys, file, &byte, 1, at), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
}

/* Damage is never given out, whether it was there before or came while the
 * reader was open: then the ranges beside it are still right. */
static void a_damaged_range_is_not_given(void **state)
{
    (void)state;
    static const uint64_t places[] = {0, 65535, 65536, 200000, PIECES - 1};
    uint8_t room[100];
    size_t got;
    fixture_begin(&f, 0);
    fixture_close(&f);
    f.packed_max = 1;
    fixture_reopen(&f);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        persist_cid cid;
        persist_blob_reader *r = put_and_open(PIECES, cid), *other;
        expect_range(r, PIECES, 70000, 10);
        flip(cid, places[i]);
        uint64_t from = places[i] / 65536 * 65536;
        assert_int_equal(
            persist_blob_read_at(r, from, room, 100, &got, &f.error),
            PERSIST_CORRUPT);
        assert_int_equal(got, 0);
        assert_non_null(strstr(f.error.path, cid));
        expect_range(r, PIECES, from == 131072 ? 0 : 131072, 65536);
        assert_int_equal(
            persist_blob_open(f.store, slice_str(cid), NULL, &other, NULL),
            PERSIST_OK);
        assert_int_equal(
            persist_blob_read_at(other, 140000, room, 100, &got, &f.error),
            PERSIST_CORRUPT);
        persist_blob_close(other);
        persist_blob_close(r);
        flip(cid, places[i]);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_listed_in_order),
        cmocka_unit_test(a_page_begins_behind_any_cid),
        cmocka_unit_test(what_comes_later_does_not_show),
        cmocka_unit_test(a_page_costs_by_what_it_shows),
        cmocka_unit_test(digests_that_crowd),
        cmocka_unit_test(any_range_is_read),
        cmocka_unit_test(a_damaged_range_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
