/* SPDX-License-Identifier: MIT */
/* Blobs: addressed by content, whole or not there, verified when read. */
#include <errno.h>

#include "base/cid.h"
#include "fixture.h"

#define HELLO "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
#define EMPTY "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

static fixture f;

static void find_path(const char *cid, char out[128])
{
    uint8_t digest[HASH_SHA256_SIZE];
    assert_true(cid_decode(slice_str(cid), digest));
    snprintf(out, 128, "store/blobs/%02x/%02x/%s", digest[0], digest[1], cid);
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

static void known_cids(void **state)
{
    (void)state;
    persist_cid cid;
    fixture_begin(&f, 0);
    assert_int_equal(
        persist_blob_put(f.store, slice_str("hello world"), cid, &f.error),
        PERSIST_OK);
    assert_string_equal(cid, HELLO);
    assert_int_equal(
        persist_blob_put(f.store, slice_of(NULL, 0), cid, &f.error),
        PERSIST_OK);
    assert_string_equal(cid, EMPTY);
    for (size_t piece = 1; piece < 20; piece += 3) {
        assert_int_equal(read_blob(HELLO, piece), PERSIST_OK);
        assert_true(slice_equal(buf_slice(&f.text), slice_str("hello world")));
    }
    assert_int_equal(read_blob(EMPTY, 5), PERSIST_OK);
    fixture_end(&f);
}

/* A blob that was put survives any crash; one that was not finished leaves
 * nothing. */
static void a_blob_is_durable_when_it_is_put(void **state)
{
    (void)state;
    persist_cid cid;
    persist_blob_writer *w;
    fixture_begin(&f, 0);
    assert_int_equal(
        persist_blob_put(f.store, slice_str("hello world"), cid, NULL),
        PERSIST_OK);
    assert_int_equal(persist_blob_create(f.store, &w, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_write(w, slice_str("half"), NULL),
                     PERSIST_OK);
    os_sim *image = os_sim_kill(f.sim);
    persist_blob_abort(w);
    fixture_become(&f, image);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    uint64_t space = os_sim_space_used(f.sim);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_true(os_sim_space_used(f.sim) <= space);
    fixture_end(&f);
}

static void a_repeat_writes_nothing(void **state)
{
    (void)state;
    persist_cid cid;
    fixture_begin(&f, 0);
    persist_blob_put(f.store, slice_str("hello world"), cid, NULL);
    uint64_t writes = os_sim_calls(f.sim, SIM_WRITE);
    uint64_t syncs = os_sim_calls(f.sim, SIM_SYNC);
    assert_int_equal(
        persist_blob_put(f.store, slice_str("hello world"), cid, NULL),
        PERSIST_OK);
    assert_string_equal(cid, HELLO);
    assert_int_equal(os_sim_calls(f.sim, SIM_WRITE), writes);
    assert_int_equal(os_sim_calls(f.sim, SIM_SYNC), syncs);
    fixture_end(&f);
}

static void damage_is_named(void **state)
{
    (void)state;
    persist_cid cid;
    char path[128];
    fixture_begin(&f, 0);
    persist_blob_put(f.store, slice_str("hello world"), cid, NULL);
    find_path(HELLO, path);
    fixture_flip(&f, path, 3);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    assert_string_equal(f.error.path, path);
    fixture_flip(&f, path, 3);
    assert_int_equal(read_blob(HELLO, 100), PERSIST_OK);
    fixture_patch(&f, path, 11, slice_str("and more"));
    assert_int_equal(read_blob(HELLO, 100), PERSIST_CORRUPT);
    fixture_end(&f);
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
        HELLO "a",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_blob(bad[i], 1), PERSIST_BAD_CID);
        assert_int_equal(persist_blob_has(f.store, slice_str(bad[i]), NULL),
                         PERSIST_BAD_CID);
    }
    fixture_end(&f);
}

static void a_full_disk_leaves_nothing_behind(void **state)
{
    (void)state;
    persist_cid cid;
    slice bytes = slice_of(calloc(1, 10000), 10000);
    fixture_begin(&f, 0);
    fixture_append(&f, "s", "x");
    fixture_wait(&f);
    uint64_t space = os_sim_space_used(f.sim);
    os_sim_limit_space(f.sim, space + 100);
    assert_int_equal(persist_blob_put(f.store, bytes, cid, &f.error),
                     PERSIST_NO_SPACE);
    assert_int_equal(os_sim_space_used(f.sim), space);
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_int_equal(persist_blob_put(f.store, bytes, cid, &f.error),
                     PERSIST_OK);
    fixture_append(&f, "s", "still writes");
    fixture_end(&f);
    free((void *)(uintptr_t)bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_cids),
        cmocka_unit_test(a_blob_is_durable_when_it_is_put),
        cmocka_unit_test(a_repeat_writes_nothing),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(absent_and_malformed_differ),
        cmocka_unit_test(a_full_disk_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
