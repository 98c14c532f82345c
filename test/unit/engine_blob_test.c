/* SPDX-License-Identifier: MIT */
/* Blobs: addressed by content, whole or not there, verified when read; small
 * ones in packs, large ones in files of their own. */
#include <errno.h>

#include "base/cid.h"
#include "fixture.h"

#define HELLO "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
#define EMPTY "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

#define PACK "store/blobs/0000000100000001.pak"

static fixture f;

/* "hello world" has 11 bytes. */
enum { PACKED = 11, OWN_FILE = 10 };

static void begin(uint32_t packed_max)
{
    fixture_begin(&f, 0);
    fixture_close(&f);
    f.packed_max = packed_max;
    fixture_reopen(&f);
}

static void find_path(const char *cid, char out[128])
{
    uint8_t digest[HASH_SHA256_SIZE];
    assert_true(cid_decode(slice_str(cid), digest));
    snprintf(out, 128, "store/blobs/%02x/%s", digest[0], cid);
}

/* Reads in pieces; the text so far is in f.text. */
static persist_status read_blob(const char *cid, size_t piece)
{
    persist_blob_reader *r;
    uint64_t size;
    buf_clear(&f.text);
    persist_status status =
        persist_blob_open(f.store, slice_str(cid), &size, &r, &f.error);
    if (status != PERSIST_OK)
        return status;
    for (;;) {
        char bytes[256];
        size_t got;
        status = persist_blob_read(r, bytes, piece, &got, &f.error);
        if (status != PERSIST_OK || got == 0)
            break;
        buf_put(&f.text, bytes, got);
    }
    persist_blob_close(r);
    if (status == PERSIST_OK)
        assert_int_equal(f.text.size, size);
    return status;
}

static persist_status put(const char *text)
{
    persist_cid cid;
    return persist_blob_put(f.store, slice_str(text), cid, &f.error);
}

static void known_cids(void **state)
{
    (void)state;
    persist_cid cid;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++) {
        begin(most);
        assert_int_equal(
            persist_blob_put(f.store, slice_str("hello world"), cid, NULL),
            PERSIST_OK);
        assert_string_equal(cid, HELLO);
        assert_int_equal(
            persist_blob_put(f.store, slice_of(NULL, 0), cid, NULL),
            PERSIST_OK);
        assert_string_equal(cid, EMPTY);
        for (size_t piece = 1; piece < 20; piece += 3) {
            assert_int_equal(read_blob(HELLO, piece), PERSIST_OK);
            assert_true(
                slice_equal(buf_slice(&f.text), slice_str("hello world")));
        }
        assert_int_equal(read_blob(EMPTY, 5), PERSIST_OK);
        fixture_end(&f);
    }
}

static int found_one(void *context, const char *name)
{
    (void)context;
    (void)name;
    return 1;
}

/* A blob that was put survives any crash; one that was not finished leaves
 * nothing. */
static void a_blob_is_durable_when_it_is_put(void **state)
{
    (void)state;
    persist_blob_writer *w;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++) {
        begin(most);
        assert_int_equal(put("hello world"), PERSIST_OK);
        uint64_t space = os_sim_space_used(f.sim);
        assert_int_equal(persist_blob_create(f.store, &w, NULL), PERSIST_OK);
        assert_int_equal(
            persist_blob_write(w, slice_str("half of a blob"), NULL),
            PERSIST_OK);
        assert_true(os_sim_space_used(f.sim) > space);
        os_sim *image = os_sim_kill(f.sim);
        persist_blob_abort(w);
        fixture_become(&f, image);
        fixture_power_off(&f, SIM_KEEP_NONE);
        fixture_reopen(&f);
        assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
        const os *sys = os_sim_os(f.sim);
        assert_int_equal(
            os_list_in(sys, sys->cwd, "store/tmp", found_one, NULL), 0);
        fixture_end(&f);
    }
}

/* A blob that is added is a commit: it shows at once, and is durable with the
 * next sync, which covers all that were added. */
static void blobs_that_are_added_share_a_sync(void **state)
{
    (void)state;
    persist_cid cid;
    persist_lsn lsn = 0;
    begin(1000);
    assert_int_equal(put("makes a pack"), PERSIST_OK);
    uint64_t syncs = os_sim_calls(f.sim, SIM_SYNC);
    for (int i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(
            persist_blob_add(f.store, slice_str(text), cid, &lsn, NULL),
            PERSIST_OK);
        assert_int_equal(read_blob(cid, 4), PERSIST_OK);
    }
    assert_int_equal(os_sim_calls(f.sim, SIM_SYNC), syncs);
    assert_int_equal(persist_latest(f.store), lsn);
    assert_true(persist_durable(f.store) < lsn);
    assert_int_equal(persist_wait_durable(f.store, lsn, NULL), PERSIST_OK);
    assert_int_equal(os_sim_calls(f.sim, SIM_SYNC), syncs + 2);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(persist_latest(f.store), lsn);
    assert_int_equal(read_blob(cid, 4), PERSIST_OK);
    fixture_end(&f);
}

/* What was added and not synced goes, with all that came later. */
static void a_blob_never_dangles(void **state)
{
    (void)state;
    persist_cid cid;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++) {
        for (int keep = SIM_KEEP_NONE; keep <= SIM_KEEP_NAMES; keep++) {
            begin(most);
            assert_int_equal(persist_blob_add(f.store, slice_str("hello world"),
                                              cid, NULL, NULL),
                             PERSIST_OK);
            fixture_append(&f, "refers", cid);
            fixture_power_off(&f, (sim_keep)keep);
            fixture_reopen(&f);
            bool refers = persist_latest(f.store) == 2;
            assert_true(refers || persist_latest(f.store) <= 1);
            if (refers)
                assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
            fixture_end(&f);
        }
    }
}

static void a_repeat_writes_nothing(void **state)
{
    (void)state;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++) {
        begin(most);
        assert_int_equal(put("hello world"), PERSIST_OK);
        assert_int_equal(put("another one"), PERSIST_OK);
        uint64_t writes = os_sim_calls(f.sim, SIM_WRITE);
        uint64_t syncs = os_sim_calls(f.sim, SIM_SYNC);
        uint64_t space = os_sim_space_used(f.sim);
        assert_int_equal(put("hello world"), PERSIST_OK);
        assert_int_equal(os_sim_calls(f.sim, SIM_WRITE), writes);
        assert_int_equal(os_sim_calls(f.sim, SIM_SYNC), syncs);
        assert_int_equal(os_sim_space_used(f.sim), space);
        fixture_close(&f);
        fixture_reopen(&f);
        writes = os_sim_calls(f.sim, SIM_WRITE);
        assert_int_equal(put("hello world"), PERSIST_OK);
        assert_int_equal(put("another one"), PERSIST_OK);
        assert_int_equal(os_sim_calls(f.sim, SIM_WRITE), writes);
        fixture_end(&f);
    }
}

/* Written in pieces it is the same blob, wherever it comes to lie. */
static void a_streamed_blob_is_the_same(void **state)
{
    (void)state;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++) {
        persist_cid cid;
        persist_blob_writer *w;
        begin(most);
        assert_int_equal(persist_blob_create(f.store, &w, NULL), PERSIST_OK);
        for (const char *at = "hello world"; *at != '\0'; at++)
            assert_int_equal(persist_blob_write(w, slice_of(at, 1), NULL),
                             PERSIST_OK);
        assert_int_equal(persist_blob_finish(w, cid, NULL), PERSIST_OK);
        assert_string_equal(cid, HELLO);
        assert_int_equal(persist_latest(f.store), 1);
        assert_int_equal(put("hello world"), PERSIST_OK);
        assert_int_equal(persist_latest(f.store), 1);
        assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
        fixture_end(&f);
    }
}

/* A pack that is full is followed by another, and each opening has its own;
 * tables and merges lose none of them. */
static void packs_follow_each_other(void **state)
{
    (void)state;
    enum { BLOBS = 40 };
    persist_cid cids[BLOBS];
    char text[16];
    fixture_begin_tables(&f, 512, 2);
    fixture_close(&f);
    f.packed_max = 16;
    fixture_reopen(&f);
    for (int i = 0; i < BLOBS; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(
            persist_blob_put(f.store, slice_str(text), cids[i], NULL),
            PERSIST_OK);
        if (i % 7 == 6) {
            fixture_close(&f);
            fixture_reopen(&f);
        }
    }
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(f.store, &stats, NULL);
    assert_true(stats.tables > 0);
    assert_int_equal(persist_latest(f.store), BLOBS);
    for (int i = 0; i < BLOBS; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(read_blob(cids[i], 3), PERSIST_OK);
        assert_true(slice_equal(buf_slice(&f.text), slice_str(text)));
    }
    fixture_end(&f);
}

static void damage_is_named(void **state)
{
    (void)state;
    char path[128];
    begin(PACKED);
    put("another");
    put("hello world");
    fixture_flip(&f, PACK, PACK_ALIGN + 3);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_string_equal(f.error.path, PACK);
    assert_int_equal(f.error.offset, PACK_ALIGN);
    fixture_flip(&f, PACK, PACK_ALIGN + 3);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    fixture_end(&f);

    begin(OWN_FILE);
    put("hello world");
    find_path(HELLO, path);
    fixture_flip(&f, path, 3);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_string_equal(f.error.path, path);
    fixture_end(&f);
}

/* A file that is missing or too short is told, and mended by a put. */
static void a_lost_file_can_be_put_again(void **state)
{
    (void)state;
    char path[128];
    begin(OWN_FILE);
    put("hello world");
    find_path(HELLO, path);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_string_equal(f.error.path, path);
    assert_int_equal(put("hello world"), PERSIST_OK);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    assert_int_equal(persist_latest(f.store), 1);
    os_file *file;
    assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &file), 0);
    assert_int_equal(sys->file_truncate(sys, file, 4), 0);
    sys->file_close(sys, file);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_int_equal(put("hello world"), PERSIST_OK);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    fixture_end(&f);
}

/* The file that has the blob: gone, shorter, or with a flipped bit. */
static void harm(uint32_t most, int kind)
{
    char path[128] = PACK;
    if (most == OWN_FILE)
        find_path(HELLO, path);
    const os *sys = os_sim_os(f.sim);
    os_file *file;
    if (kind == 0) {
        assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
    } else if (kind == 1) {
        fixture_flip(&f, path, 3);
    } else {
        assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &file),
                         0);
        assert_int_equal(sys->file_truncate(sys, file, (uint64_t)kind - 2), 0);
        assert_int_equal(sys->file_sync(sys, file), 0);
        sys->file_close(sys, file);
    }
}

static persist_status put_in_pieces(const char *text)
{
    persist_blob_writer *w;
    persist_cid cid;
    persist_status status = persist_blob_create(f.store, &w, &f.error);
    for (; status == PERSIST_OK && *text != '\0'; text++)
        status = persist_blob_write(w, slice_of(text, 1), &f.error);
    return status == PERSIST_OK ? persist_blob_finish(w, cid, &f.error)
                                : status;
}

static void reopen_with(uint32_t most, bool killed)
{
    if (killed)
        fixture_kill(&f);
    else
        fixture_close(&f);
    f.packed_max = most;
    fixture_reopen(&f);
}

/* One way for a blob to be lost, and to be put again. */
static void lose_and_put(uint32_t most, int kind, int when, uint32_t then,
                         bool streamed)
{
    begin(most);
    assert_int_equal(put("hello world"), PERSIST_OK);
    if (when > 0)
        reopen_with(then, when == 1);
    harm(most, kind);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_int_equal((streamed ? put_in_pieces : put)("hello world"),
                     PERSIST_OK);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    assert_int_equal(persist_latest(f.store), 1);
    uint64_t writes = os_sim_calls(f.sim, SIM_WRITE);
    if (!streamed)
        assert_int_equal(put("hello world"), PERSIST_OK);
    assert_int_equal(os_sim_calls(f.sim, SIM_WRITE), writes);
    assert_int_equal(put("behind it"), PERSIST_OK);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    persist_lsn latest = persist_latest(f.store);
    assert_int_equal(put_in_pieces("behind it"), PERSIST_OK);
    assert_int_equal(persist_latest(f.store), latest); /* it was there */
    fixture_end(&f);
}

/* A put does not take the index's word: what is there is compared, and stored
 * anew where it is missing or damaged, whatever the options are by then. */
static void a_put_leaves_what_can_be_read(void **state)
{
    (void)state;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++)
        for (int kind = 0; kind < 2 + 11; kind++)
            for (int when = 0; when < 3; when++)
                for (uint32_t then = OWN_FILE; then <= PACKED; then++)
                    for (int streamed = 0; streamed < 2; streamed++)
                        if (when > 0 || then == most)
                            lose_and_put(most, kind, when, then, streamed);
}

/* Nobody takes for whole what a failed sync may have lost again. */
static void a_mend_that_fails_is_told(void **state)
{
    (void)state;
    for (uint32_t most = OWN_FILE; most <= PACKED; most++)
        for (unsigned call = SIM_SYNC; call <= SIM_DIR_SYNC;
             call += SIM_DIR_SYNC - SIM_SYNC) {
            begin(most);
            assert_int_equal(put("hello world"), PERSIST_OK);
            harm(most, 0);
            os_sim_fail(
                f.sim,
                (sim_fault){.calls = 1u << call, .nth = 1, .error = EIO});
            assert_int_equal(put("hello world"), PERSIST_IO);
            for (int i = 0; i < 2; i++)
                assert_int_equal(put("hello world"), PERSIST_READ_ONLY);
            fixture_end(&f);
        }
}

static void absent_and_malformed_differ(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    assert_int_equal(read_blob(HELLO, 1), PERSIST_NONE);
    assert_int_equal(persist_blob_has(f.store, slice_str(HELLO), NULL),
                     PERSIST_NONE);
    static const char *const bad[] = {
        "",
        "hello",
        "../../../../../../../../../../../../../../../../etc/passwd",
        "BAFKREIFZJUT3TE2NHYEKKLSS27NH3K72YSCO7Y32KOAO5EEI66WOF36N5E",
        (HELLO "a"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_blob(bad[i], 1), PERSIST_BAD_CID);
        assert_int_equal(persist_blob_has(f.store, slice_str(bad[i]), NULL),
                         PERSIST_BAD_CID);
    }
    fixture_end(&f);
}

static void full_disk(bool own_file)
{
    persist_cid cid;
    slice bytes = slice_of(calloc(1, 10000), 10000);
    begin(own_file ? 10 : 10000);
    put("small");
    fixture_append(&f, "s", "x");
    fixture_wait(&f);
    uint64_t space = os_sim_space_used(f.sim);
    os_sim_limit_space(f.sim, space + 100);
    assert_int_equal(persist_blob_put(f.store, bytes, cid, &f.error),
                     PERSIST_NO_SPACE);
    if (own_file) /* in a pack the next blob is written over it */
        assert_int_equal(os_sim_space_used(f.sim), space);
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_int_equal(persist_blob_put(f.store, bytes, cid, &f.error),
                     PERSIST_OK);
    fixture_append(&f, "s", "still writes");
    fixture_end(&f);
    free((void *)(uintptr_t)bytes.data);
}

static void a_full_disk_leaves_nothing_behind(void **state)
{
    (void)state;
    full_disk(false);
    full_disk(true);
}

/* The folder is there, whether its name is durable nobody knows any more: the
 * next sync might succeed without it. */
static void a_lost_name_of_a_folder_ends_writing(void **state)
{
    (void)state;
    begin(OWN_FILE);
    os_sim_fail(
        f.sim,
        (sim_fault){.calls = 1u << SIM_DIR_SYNC, .nth = 1, .error = EIO});
    assert_int_equal(put("hello world"), PERSIST_IO);
    assert_int_equal(put("hello world"), PERSIST_READ_ONLY);
    assert_int_equal(fixture_try(&f, PERSIST_PUT, "key", "value", 0),
                     PERSIST_READ_ONLY);
    fixture_end(&f);
}

/* Nor is a piece that was refused as none. */
static void a_piece_that_was_refused_ends_the_blob(void **state)
{
    (void)state;
    persist_blob_writer *w;
    persist_cid cid;
    begin(OWN_FILE);
    assert_int_equal(persist_blob_create(f.store, &w, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_write(w, slice_str("first "), NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_write(w, slice_of(NULL, 5), NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_blob_write(w, slice_str("third"), NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_blob_finish(w, cid, NULL), PERSIST_BAD_REQUEST);
    fixture_end(&f);
}

/* A piece that had no room would be missing in the middle. */
static void a_write_that_failed_ends_the_blob(void **state)
{
    (void)state;
    persist_blob_writer *w;
    persist_cid cid;
    for (int by_finish = 0; by_finish < 2; by_finish++) {
        begin(OWN_FILE);
        assert_int_equal(persist_blob_create(f.store, &w, NULL), PERSIST_OK);
        assert_int_equal(persist_blob_write(w, slice_str("first "), NULL),
                         PERSIST_OK);
        os_sim_fail(
            f.sim,
            (sim_fault){.calls = 1u << SIM_WRITE, .nth = 1, .error = ENOSPC});
        persist_status status = PERSIST_OK;
        for (int i = 0; i < 3 && status == PERSIST_OK; i++)
            status = persist_blob_write(w, slice_str("second "), NULL);
        assert_int_equal(status, PERSIST_NO_SPACE);
        assert_int_equal(persist_blob_write(w, slice_str("third"), NULL),
                         PERSIST_NO_SPACE);
        if (by_finish)
            assert_int_equal(persist_blob_finish(w, cid, NULL),
                             PERSIST_NO_SPACE);
        else
            persist_blob_abort(w);
        assert_int_equal(put("first third"), PERSIST_OK);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_cids),
        cmocka_unit_test(a_blob_is_durable_when_it_is_put),
        cmocka_unit_test(blobs_that_are_added_share_a_sync),
        cmocka_unit_test(a_blob_never_dangles),
        cmocka_unit_test(a_repeat_writes_nothing),
        cmocka_unit_test(a_streamed_blob_is_the_same),
        cmocka_unit_test(packs_follow_each_other),
        cmocka_unit_test(a_lost_file_can_be_put_again),
        cmocka_unit_test(a_put_leaves_what_can_be_read),
        cmocka_unit_test(a_mend_that_fails_is_told),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(absent_and_malformed_differ),
        cmocka_unit_test(a_full_disk_leaves_nothing_behind),
        cmocka_unit_test(a_lost_name_of_a_folder_ends_writing),
        cmocka_unit_test(a_piece_that_was_refused_ends_the_blob),
        cmocka_unit_test(a_write_that_failed_ends_the_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
