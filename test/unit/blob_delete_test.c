/* SPDX-License-Identifier: MIT */
/* Blobs that are deleted: gone for who looks, and for the disk; put again they
 * are there again; whatever fails or ends in between, each is whole or not
 * there, and what nobody deleted stays. */
#include <errno.h>
#include <string.h>

#include "../lib/wall.h"
#include "base/cid.h"
#include "base/mem.h"
#include "engine/files/manifest.h"
#include "fixture.h"

enum { SMALL = 60, LARGE = 4000, PACKED = 100 };

static fixture f;
static char bytes[LARGE];

static void begin(void)
{
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 7 % 251);
    fixture_begin(&f, 0);
    fixture_close(&f);
    f.packed_max = PACKED;
    fixture_reopen(&f);
}

static void make_cid(size_t size, persist_cid cid)
{
    persist_cid_of(slice_of(bytes, size), cid);
}

static persist_status put(size_t size)
{
    persist_cid cid;
    return persist_blob_put(f.store, slice_of(bytes, size), cid, &f.error);
}

/* Waits until it is durable, too. */
static persist_status delete_blob(size_t size)
{
    persist_cid cid;
    persist_lsn lsn = 0;
    make_cid(size, cid);
    persist_status status =
        persist_blob_delete(f.store, slice_str(cid), 0, &lsn, &f.error);
    return status == PERSIST_OK ? persist_wait_durable(f.store, lsn, &f.error)
                                : status;
}

static persist_status has(size_t size)
{
    persist_cid cid;
    make_cid(size, cid);
    return persist_blob_has(f.store, slice_str(cid), &f.error);
}

/* PERSIST_NONE: it is not there. */
static persist_status reads(size_t size)
{
    static char room[LARGE + 1];
    persist_cid cid;
    persist_blob_reader *r;
    size_t got = 0;
    make_cid(size, cid);
    persist_status status =
        persist_blob_open(f.store, slice_str(cid), NULL, &r, &f.error);
    if (status != PERSIST_OK)
        return status;
    status = persist_blob_read(r, room, sizeof room, &got, &f.error);
    persist_blob_close(r);
    if (status == PERSIST_OK) {
        assert_int_equal(got, size);
        assert_memory_equal(room, bytes, size);
    }
    return status;
}

static size_t listed(persist_view view)
{
    persist_cursor *cursor;
    const persist_blob *b;
    size_t count = 0;
    assert_int_equal(
        persist_blobs(f.store, NULL, PERSIST_NO_LIMIT, view, &cursor, &f.error),
        PERSIST_OK);
    while (persist_next_blob(cursor, &b, &f.error) == PERSIST_OK)
        count++;
    persist_cursor_close(cursor);
    return count;
}

static void file_path(size_t size, char path[128])
{
    persist_cid cid;
    uint8_t digest[HASH_SHA256_SIZE];
    make_cid(size, cid);
    assert_true(cid_decode(slice_str(cid), digest));
    snprintf(path, 128, "store/blobs/%02x/%s", digest[0], cid);
}

static bool has_file(size_t size)
{
    char path[128];
    os_stat stat;
    const os *sys = os_sim_os(f.sim);
    file_path(size, path);
    return sys->stat(sys, sys->cwd, path, &stat) == 0;
}

/* All of the background work that is due. */
static void work(void)
{
    bool did = true;
    for (int i = 0; did && i < 1000; i++)
        if (store_step(f.store, &did, &f.error) != PERSIST_OK)
            break;
}

static void expect_gone(size_t size)
{
    assert_int_equal(has(size), PERSIST_NONE);
    assert_int_equal(reads(size), PERSIST_NONE);
    assert_int_equal(delete_blob(size), PERSIST_NONE);
}

static void it_is_as_if_it_had_never_been_put(void **state)
{
    (void)state;
    for (size_t size = SMALL; size <= LARGE; size += LARGE - SMALL)
        for (int flushed = 0; flushed < 3; flushed++) {
            begin();
            assert_int_equal(put(size), PERSIST_OK);
            assert_int_equal(put(size - 1), PERSIST_OK);
            if (flushed == 1) {
                fixture_close(&f);
                fixture_reopen(&f);
            }
            assert_int_equal(listed(PERSIST_LATEST), 2);
            assert_int_equal(delete_blob(size), PERSIST_OK);
            expect_gone(size);
            assert_int_equal(listed(PERSIST_LATEST), 1);
            if (flushed == 2) {
                fixture_close(&f);
                fixture_reopen(&f);
                expect_gone(size);
            }
            fixture_kill(&f);
            fixture_reopen(&f);
            expect_gone(size);
            assert_int_equal(reads(size - 1), PERSIST_OK);
            assert_int_equal(put(size), PERSIST_OK);
            assert_int_equal(reads(size), PERSIST_OK);
            fixture_kill(&f);
            fixture_reopen(&f);
            assert_int_equal(reads(size), PERSIST_OK);
            assert_int_equal(listed(PERSIST_DURABLE), 2);
            fixture_end(&f);
        }
}

/* A file goes once the deletion is durable, not before: the next opening may
 * still need it. */
static void its_file_goes_when_that_is_durable(void **state)
{
    (void)state;
    persist_cid cid;
    begin();
    store_disk_by_steps(f.store);
    assert_int_equal(put(LARGE), PERSIST_OK);
    make_cid(LARGE, cid);
    assert_int_equal(
        persist_blob_delete(f.store, slice_str(cid), 0, NULL, NULL),
        PERSIST_OK);
    assert_int_equal(has(LARGE), PERSIST_NONE);
    os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_SYNC,
                                   .nth = 1,
                                   .from_then_on = true,
                                   .error = EIO});
    work();
    os_sim_fail(f.sim, (sim_fault){0});
    assert_true(has_file(LARGE));
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(reads(LARGE), PERSIST_OK);
    assert_int_equal(delete_blob(LARGE), PERSIST_OK);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(put(SMALL), PERSIST_OK); /* the store is in use */
    work();
    assert_false(has_file(LARGE));
    expect_gone(LARGE);
    fixture_end(&f);
}

static void closing_takes_the_file_away(void **state)
{
    (void)state;
    begin();
    assert_int_equal(put(LARGE), PERSIST_OK);
    assert_int_equal(delete_blob(LARGE), PERSIST_OK);
    fixture_close(&f);
    assert_false(has_file(LARGE));
    fixture_reopen(&f);
    expect_gone(LARGE);
    fixture_end(&f);
}

static void what_is_put_again_keeps_its_file(void **state)
{
    (void)state;
    begin();
    store_disk_by_steps(f.store);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(LARGE), PERSIST_OK);
        assert_int_equal(delete_blob(LARGE), PERSIST_OK);
    }
    assert_int_equal(put(LARGE), PERSIST_OK);
    work();
    assert_int_equal(reads(LARGE), PERSIST_OK);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(reads(LARGE), PERSIST_OK);
    fixture_end(&f);
}

static void who_reads_it_goes_on(void **state)
{
    (void)state;
    char room[LARGE];
    persist_cid cid;
    persist_blob_reader *r;
    size_t got;
    begin();
    store_disk_by_steps(f.store);
    assert_int_equal(put(LARGE), PERSIST_OK);
    make_cid(LARGE, cid);
    assert_int_equal(persist_blob_open(f.store, slice_str(cid), NULL, &r, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_read(r, room, 10, &got, NULL), PERSIST_OK);
    assert_int_equal(delete_blob(LARGE), PERSIST_OK);
    work();
    assert_false(has_file(LARGE));
    assert_int_equal(persist_blob_read(r, room, LARGE, &got, NULL), PERSIST_OK);
    assert_int_equal(got, LARGE - 10);
    assert_memory_equal(room, bytes + 10, got);
    assert_int_equal(persist_blob_read_at(r, 1000, room, 10, &got, NULL),
                     PERSIST_OK);
    assert_memory_equal(room, bytes + 1000, 10);
    persist_blob_close(r);
    fixture_end(&f);
}

static void a_snapshot_lists_what_was_there(void **state)
{
    (void)state;
    persist_snapshot *kept;
    begin();
    assert_int_equal(put(LARGE), PERSIST_OK);
    assert_int_equal(put(SMALL), PERSIST_OK);
    assert_int_equal(
        persist_snapshot_open(f.store, PERSIST_LATEST, &kept, NULL),
        PERSIST_OK);
    assert_int_equal(delete_blob(LARGE), PERSIST_OK);
    assert_int_equal(delete_blob(SMALL), PERSIST_OK);
    assert_int_equal(listed(kept), 2);
    assert_int_equal(listed(PERSIST_LATEST), 0);
    expect_gone(LARGE);
    persist_snapshot_close(kept);
    fixture_end(&f);
}

/* Nothing of a deletion stays once all tables are one. */
static void a_merge_forgets_it(void **state)
{
    (void)state;
    begin();
    fixture_close(&f);
    f.memtable_size = 4096;
    f.merge_width = 2;
    fixture_reopen(&f);
    for (size_t i = 0; i < 90; i++)
        assert_int_equal(put(i + 1), PERSIST_OK);
    for (size_t i = 0; i < 90; i += 2)
        assert_int_equal(delete_blob(i + 1), PERSIST_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(fixture_try(&f, PERSIST_PUT, "key", bytes, 0),
                         PERSIST_OK);
    work();
    for (int round = 0; round < 2; round++) {
        assert_int_equal(listed(PERSIST_LATEST), 45);
        for (size_t i = 0; i < 90; i++)
            assert_int_equal(has(i + 1),
                             i % 2 == 0 ? PERSIST_NONE : PERSIST_OK);
        fixture_close(&f);
        fixture_reopen(&f);
    }
    fixture_end(&f);
}

/* ---- when it was put ----------------------------------------------------- */

static uint64_t time_of(size_t size)
{
    persist_cursor *cursor;
    const persist_blob *b;
    persist_cid cid;
    uint64_t time = 0;
    make_cid(size, cid);
    assert_int_equal(persist_blobs(f.store, NULL, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    while (persist_next_blob(cursor, &b, NULL) == PERSIST_OK)
        if (strcmp(b->cid, cid) == 0)
            time = b->time;
    persist_cursor_close(cursor);
    return time;
}

static persist_status delete_before(size_t size, uint64_t time)
{
    persist_cid cid;
    make_cid(size, cid);
    return persist_blob_delete(f.store, slice_str(cid), time, NULL, &f.error);
}

static void only_what_was_not_put_since(void **state)
{
    (void)state;
    begin();
    assert_int_equal(put(SMALL), PERSIST_OK);
    uint64_t time = time_of(SMALL);
    assert_true(time > 0);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(time_of(SMALL), time);
    assert_int_equal(delete_before(SMALL, 1), PERSIST_NONE);
    assert_int_equal(delete_before(SMALL, time), PERSIST_NONE);
    assert_int_equal(delete_before(SMALL, time + BLOB_RENEW_US), PERSIST_NONE);
    assert_int_equal(has(SMALL), PERSIST_OK);
    assert_int_equal(delete_before(SMALL, time + BLOB_RENEW_US + 1),
                     PERSIST_OK);
    assert_int_equal(has(SMALL), PERSIST_NONE);
    fixture_end(&f);
}

/* Put again it is as new as that; but not each repeat is a commit. */
static void a_repeat_renews_the_age(void **state)
{
    (void)state;
    const size_t sizes[] = {SMALL, LARGE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin();
        wall_set(WALL_BEGIN);
        assert_int_equal(put(sizes[i]), PERSIST_OK);
        assert_int_equal(time_of(sizes[i]), WALL_BEGIN);
        wall_set(WALL_BEGIN + BLOB_RENEW_US / 2);
        assert_int_equal(put(sizes[i]), PERSIST_OK);
        assert_int_equal(time_of(sizes[i]), WALL_BEGIN);
        wall_set(WALL_BEGIN + 2 * BLOB_RENEW_US);
        assert_int_equal(put(sizes[i]), PERSIST_OK);
        assert_int_equal(time_of(sizes[i]), WALL_BEGIN + 2 * BLOB_RENEW_US);
        fixture_end(&f);
    }
    wall_set(WALL_BEGIN);
}

/* ---- faults -------------------------------------------------------------- */

/* Every call fails in turn; then the power goes. Who was told that it was
 * deleted does not see it again, who was not sees it whole or not at all. */
static void every_call_fails(size_t size, int error, bool lasting)
{
    for (uint64_t at = 1; at < 10000; at++) {
        begin();
        store_disk_by_steps(f.store);
        assert_int_equal(put(size), PERSIST_OK);
        assert_int_equal(put(size - 1), PERSIST_OK);
        os_sim_fail(f.sim, (sim_fault){.calls = ~(1u << SIM_CLOSE),
                                       .nth = at,
                                       .error = error,
                                       .from_then_on = lasting});
        persist_status told = delete_blob(size);
        work();
        bool struck = os_sim_faults(f.sim, SIM_CALLS) > 0;
        os_sim_fail(f.sim, (sim_fault){0});
        if (told != PERSIST_OK && has(size) == PERSIST_OK)
            assert_int_equal(reads(size), PERSIST_OK);
        fixture_power_off(&f, at % 2 == 0 ? SIM_KEEP_NONE : SIM_KEEP_ALL);
        fixture_reopen(&f);
        persist_status there = reads(size);
        assert_true(there <= PERSIST_NONE);
        if (told == PERSIST_OK)
            assert_int_equal(there, PERSIST_NONE);
        assert_int_equal(reads(size - 1), PERSIST_OK);
        assert_int_equal(put(size), PERSIST_OK);
        assert_int_equal(reads(size), PERSIST_OK);
        fixture_end(&f);
        if (!struck)
            return;
    }
    fail_msg("it never ends");
}

static void whatever_fails(void **state)
{
    (void)state;
    for (size_t size = SMALL; size <= LARGE; size += LARGE - SMALL)
        for (int lasting = 0; lasting < 2; lasting++) {
            every_call_fails(size, EIO, lasting != 0);
            every_call_fails(size, ENOSPC, lasting != 0);
        }
}

static int refuse(void *context)
{
    uint64_t *left = context;
    return *left > 0 && --*left == 0;
}

static void each_allocation_fails(void **state)
{
    (void)state;
    uint64_t left = 0;
    for (uint64_t n = 1; left == 0; n++) {
        begin();
        store_disk_by_steps(f.store);
        assert_int_equal(put(LARGE), PERSIST_OK);
        left = n;
        mem_set_fail(refuse, &left);
        persist_status told = delete_blob(LARGE);
        work();
        mem_set_fail(NULL, NULL);
        assert_true(told == PERSIST_OK || told == PERSIST_LIMIT);
        if (told == PERSIST_LIMIT && has(LARGE) == PERSIST_OK)
            assert_int_equal(delete_blob(LARGE), PERSIST_OK);
        work();
        expect_gone(LARGE);
        assert_false(has_file(LARGE));
        fixture_end(&f);
    }
}

/* What is damaged is kept in mind while verifying: newer layers may tell that
 * it is not needed. */
static void each_allocation_of_a_verify_fails(void **state)
{
    (void)state;
    uint64_t left = 0;
    char path[128];
    os_file *file;
    begin();
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(put(LARGE), PERSIST_OK);
    fixture_close(&f);
    file_path(LARGE, path);
    assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &file), 0);
    assert_int_equal(os_write_all(sys, file, "damage", 6, 5), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = sys};
    for (uint64_t n = 1; left == 0; n++) {
        persist_progress p = {PERSIST_PROGRESS};
        left = n;
        mem_set_fail(refuse, &left);
        persist_status told = persist_verify(&options, NULL, &p, &f.error);
        mem_set_fail(NULL, NULL);
        if (left == 0)
            assert_int_equal(told, PERSIST_LIMIT);
        else
            assert_true(told == PERSIST_OK && p.damages == 1);
    }
    fixture_end(&f);
}

/* ---- a full disk --------------------------------------------------------- */

/* The i-th of many blobs of that size. */
static persist_status put_one(size_t i, size_t size, persist_cid cid)
{
    bytes[0] = (char)i;
    bytes[1] = (char)(i >> 8);
    return persist_blob_put(f.store, slice_of(bytes, size), cid, &f.error);
}

/* All can be deleted, and what large ones took is there for others. */
static void a_full_disk_is_made_empty(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static persist_cid cids[MANY];
    begin();
    fixture_close(&f);
    f.memtable_size = 65536;
    fixture_reopen(&f);
    assert_int_equal(put(SMALL), PERSIST_OK);
    work();
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + (2u << 20));
    size_t count = 0;
    persist_status status = PERSIST_OK;
    while (count < MANY &&
           (status = put_one(count, LARGE, cids[count])) == PERSIST_OK)
        count++;
    assert_int_equal(status, PERSIST_NO_SPACE);
    assert_true(count > 300);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++)
            assert_int_equal(persist_blob_delete(f.store, slice_str(cids[i]), 0,
                                                 NULL, &f.error),
                             PERSIST_OK);
        work();
        assert_int_equal(listed(PERSIST_LATEST), 1);
        if (round == 0)
            for (size_t i = 0; i < count / 2; i++)
                assert_int_equal(put_one(i, LARGE, cids[i]), PERSIST_OK);
        count /= 2;
    }
    fixture_end(&f);
}

/* ---- who does not know of it ----------------------------------------------
 */

static uint64_t features(void)
{
    manifest newest = {0}, previous = {0};
    os_dir *dir;
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->dir_open(sys, sys->cwd, "store", &dir), 0);
    assert_int_equal(manifest_load(sys, dir, &newest, &previous, NULL),
                     PERSIST_OK);
    uint64_t bits = newest.features;
    manifest_release(&newest);
    manifest_release(&previous);
    sys->dir_close(sys, dir);
    return bits;
}

static void a_store_says_what_it_may_hold(void **state)
{
    (void)state;
    begin();
    assert_int_equal(fixture_try(&f, PERSIST_PUT, "k", "v", 0), PERSIST_OK);
    assert_int_equal(features(), 0);
    assert_int_equal(put(SMALL), PERSIST_OK);
    assert_int_equal(features(), 0); /* the log had such records before */
    assert_int_equal(delete_blob(SMALL), PERSIST_OK);
    assert_int_equal(features(), FEATURE_BLOBS_GO);
    fixture_kill(&f);
    fixture_reopen(&f);
    fixture_close(&f);
    assert_int_equal(features(), FEATURE_BLOBS_GO);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_as_if_it_had_never_been_put),
        cmocka_unit_test(its_file_goes_when_that_is_durable),
        cmocka_unit_test(closing_takes_the_file_away),
        cmocka_unit_test(what_is_put_again_keeps_its_file),
        cmocka_unit_test(who_reads_it_goes_on),
        cmocka_unit_test(a_snapshot_lists_what_was_there),
        cmocka_unit_test(a_merge_forgets_it),
        cmocka_unit_test(only_what_was_not_put_since),
        cmocka_unit_test(a_repeat_renews_the_age),
        cmocka_unit_test(whatever_fails),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(each_allocation_of_a_verify_fails),
        cmocka_unit_test(a_full_disk_is_made_empty),
        cmocka_unit_test(a_store_says_what_it_may_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
