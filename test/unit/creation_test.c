/* SPDX-License-Identifier: MIT */
/* Making a store over what an interrupted making has left, while any of the
 * calls fails: it is refused with a reason, and made by the next opening. */
#include <errno.h>

#include "fixture.h"

static const char *const folders[] = {"store", "store/wal", "store/tables",
                                      "store/blobs", "store/tmp"};

/* The first so many folders are there, and nothing else. */
static os_sim *half_made(size_t count)
{
    os_sim *sim = os_sim_new(1);
    const os *sys = os_sim_os(sim);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(sys->dir_make(sys, sys->cwd, folders[i]), 0);
    return sim;
}

static bool try_at(size_t count, uint64_t nth, int error)
{
    fixture f = {
        .sim = half_made(count), .segment_size = 4096, .memtable_size = 4096};
    os_sim_fail(
        f.sim,
        (sim_fault){.calls = ~(1u << SIM_CLOSE), .nth = nth, .error = error});
    persist_status status = fixture_open(&f);
    bool hit = os_sim_faults(f.sim, SIM_CALLS) > 0;
    os_sim_fail(f.sim, (sim_fault){0});
    if (status == PERSIST_OK)
        persist_close(f.store, NULL);
    else if (!hit || f.error.message[0] == '\0')
        fail_msg("call %d, error %d: %s", (int)nth, error, f.error.message);
    f.store = NULL;
    fixture_reopen(&f);
    fixture_append(&f, "s", "data");
    fixture_wait(&f);
    fixture_end(&f);
    return hit;
}

static void each_call_fails(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EACCES, EMFILE, ENOENT};
    for (size_t count = 0; count <= sizeof folders / sizeof *folders; count++)
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
            for (uint64_t nth = 1; try_at(count, nth, errors[i]); nth++)
                continue;
}

/* The folder that a store is to be in is missing, and what it takes to see that
 * fails too: it is told, and nothing is made. */
static void nowhere_to_make_it(void **state)
{
    (void)state;
    os_sim *sim = os_sim_new(1);
    const persist_options options = {PERSIST_OPTIONS, .path = "above/store",
                                     .create = true, .os = os_sim_os(sim)};
    bool hit = true;
    for (uint64_t nth = 1; hit; nth++) {
        uint64_t before = os_sim_faults(sim, SIM_CALLS);
        persist_store *store;
        persist_error error;
        os_sim_fail(sim, (sim_fault){.calls = ~0u, .nth = nth, .error = EIO});
        persist_status status = persist_open(&options, &store, &error);
        hit = os_sim_faults(sim, SIM_CALLS) > before;
        os_sim_fail(sim, (sim_fault){0});
        assert_true(status == PERSIST_BAD_STORE ||
                    (hit && status == PERSIST_IO));
        assert_non_null(strstr(error.message, "above"));
    }
    os_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_call_fails),
                                       cmocka_unit_test(nowhere_to_make_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
