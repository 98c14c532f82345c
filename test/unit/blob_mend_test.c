/* SPDX-License-Identifier: MIT */
/* A blob whose bytes were lost is put again while any of the calls, or of the
 * allocations, fails: who was told that it is there reads it, also after the
 * power has gone, and a later put mends what this one could not. */
#include <errno.h>
#include <string.h>

#include "base/cid.h"
#include "base/mem.h"
#include "fixture.h"

enum { SMALL = 60, LARGE = 4000, PACKED = 100, LOSSES = 3 };

#define PACK "store/blobs/0000000100000001.pak"

static char bytes[LARGE];
static persist_cid large_cid;
static unsigned struck;

static persist_status put(fixture *f, size_t size)
{
    persist_cid cid;
    return persist_blob_put(f->store, slice_of(bytes, size), cid, &f->error);
}

static bool reads(fixture *f, size_t size)
{
    static char got_bytes[LARGE + 1];
    persist_cid cid;
    persist_blob_reader *r;
    size_t got = 0;
    persist_cid_of(slice_of(bytes, size), cid);
    if (persist_blob_open(f->store, slice_str(cid), NULL, &r, NULL) !=
        PERSIST_OK)
        return false;
    persist_status status =
        persist_blob_read(r, got_bytes, sizeof got_bytes, &got, NULL);
    persist_blob_close(r);
    return status == PERSIST_OK && got == size &&
           memcmp(got_bytes, bytes, size) == 0;
}

static void change(fixture *f, const char *path, unsigned loss)
{
    os_file *file;
    const os *sys = os_sim_os(f->sim);
    if (loss == 0) {
        assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
        return;
    }
    assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &file), 0);
    if (loss == 1)
        assert_int_equal(sys->file_truncate(sys, file, 10), 0);
    else
        assert_int_equal(os_write_all(sys, file, "damage", 6, 5), 0);
    assert_int_equal(os_sync(sys, file), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
}

static void change_large(fixture *f, unsigned loss)
{
    char path[128];
    uint8_t digest[HASH_SHA256_SIZE];
    const os *sys = os_sim_os(f->sim);
    persist_cid_of(slice_of(bytes, LARGE), large_cid);
    assert_true(cid_decode(slice_str(large_cid), digest));
    snprintf(path, sizeof path, "store/blobs/%02x/%s", digest[0], large_cid);
    change(f, path, loss);
    snprintf(path, sizeof path, "store/blobs/%02x", digest[0]);
    assert_int_equal(os_sync_in(sys, sys->cwd, path), 0);
}

/* A store that was closed, and has lost both of its blobs. */
static void lose(fixture *f, unsigned loss)
{
    const os *sys;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 7 % 251);
    fixture_begin(f, 0);
    fixture_close(f);
    f->packed_max = PACKED;
    fixture_reopen(f);
    assert_int_equal(put(f, SMALL), PERSIST_OK);
    assert_int_equal(put(f, LARGE), PERSIST_OK);
    fixture_close(f);
    sys = os_sim_os(f->sim);
    change(f, PACK, loss);
    assert_int_equal(os_sync_in(sys, sys->cwd, "store/blobs"), 0);
    change_large(f, loss);
}

static uint64_t reads_of_a_put(fixture *f)
{
    uint64_t before = os_sim_calls(f->sim, SIM_READ);
    assert_int_equal(put(f, LARGE), PERSIST_OK);
    return os_sim_calls(f->sim, SIM_READ) - before;
}

/* What was written, or compared with its file, is not read again by the next
 * put, but for when somebody has written to the file meanwhile, or taken it
 * away. */
static void a_repeat_is_read_once(void **state)
{
    (void)state;
    for (unsigned loss = 0; loss < LOSSES; loss++) {
        fixture f = {0};
        lose(&f, loss);
        fixture_reopen(&f);
        assert_int_equal(put(&f, LARGE), PERSIST_OK);
        assert_int_equal(reads_of_a_put(&f), 0);
        fixture_close(&f);
        fixture_reopen(&f);
        assert_int_not_equal(reads_of_a_put(&f), 0);
        assert_int_equal(reads_of_a_put(&f), 0);
        change_large(&f, loss);
        assert_int_equal(put(&f, LARGE), PERSIST_OK);
        assert_true(reads(&f, LARGE));
        fixture_end(&f);
    }
}

static void check(fixture *f, bool told[2], const char *what, uint64_t nth)
{
    const size_t sizes[2] = {SMALL, LARGE};
    fixture_power_off(f, SIM_KEEP_NONE);
    fixture_reopen(f);
    for (int i = 0; i < 2; i++) {
        if (told[i] && !reads(f, sizes[i]))
            fail_msg("%s %d: blob %d was put, and cannot be read", what,
                     (int)nth, i);
        if (put(f, sizes[i]) != PERSIST_OK || !reads(f, sizes[i]))
            fail_msg("%s %d: blob %d is not mended: %s", what, (int)nth, i,
                     f->error.message);
    }
    fixture_end(f);
}

static bool fail_call(const fixture *lost, uint64_t nth, int error)
{
    fixture f = {.sim = os_sim_kill(lost->sim), .packed_max = PACKED};
    bool told[2];
    fixture_reopen(&f);
    os_sim_fail(
        f.sim,
        (sim_fault){.calls = ~(1u << SIM_CLOSE), .nth = nth, .error = error});
    told[0] = put(&f, SMALL) == PERSIST_OK;
    told[1] = put(&f, LARGE) == PERSIST_OK;
    bool hit = os_sim_faults(f.sim, SIM_CALLS) > 0;
    os_sim_fail(f.sim, (sim_fault){0});
    check(&f, told, "call", nth);
    struck += hit;
    return hit;
}

static int refuse(void *context)
{
    uint64_t *left = context;
    return *left > 0 && --*left == 0;
}

static bool fail_allocation(const fixture *lost, uint64_t nth)
{
    uint64_t left = nth;
    fixture f = {.sim = os_sim_kill(lost->sim), .packed_max = PACKED};
    bool told[2];
    fixture_reopen(&f);
    mem_set_fail(refuse, &left);
    told[0] = put(&f, SMALL) == PERSIST_OK;
    told[1] = put(&f, LARGE) == PERSIST_OK;
    mem_set_fail(NULL, NULL);
    check(&f, told, "allocation", nth);
    struck += left == 0;
    return left == 0;
}

static void each_call_fails(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EMFILE, EROFS};
    for (unsigned loss = 0; loss < LOSSES; loss++) {
        fixture lost;
        lose(&lost, loss);
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
            for (uint64_t n = 1; fail_call(&lost, n, errors[i]); n++)
                continue;
        fixture_end(&lost);
    }
    print_message("figure: %u calls failed while lost blobs were put\n",
                  struck);
    assert_true(struck > 100);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    for (unsigned loss = 0; loss < LOSSES; loss++) {
        fixture lost;
        lose(&lost, loss);
        for (uint64_t n = 1; fail_allocation(&lost, n); n++)
            continue;
        fixture_end(&lost);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_is_read_once),
        cmocka_unit_test(each_call_fails),
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
