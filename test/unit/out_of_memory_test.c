/* SPDX-License-Identifier: MIT */
/* The first, second, third ... allocation fails, in every read and every
 * commit, on memory and on disk: it is `limit` and nothing has happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/model.h"
#include "../lib/os_sim.h"
#include "base/mem.h"
#include "base/slice.h"
#include "store/store.h"

typedef struct world {
    os_sim *sim; /* NULL: the store is in memory */
    persist_store *store;
    model model;
} world;

static uint64_t until; /* allocations that succeed before the one that fails */
static bool failed;

static int fail_one(void *context)
{
    (void)context;
    failed = failed || until == 0;
    return until-- == 0;
}

static void arm(uint64_t nth)
{
    until = nth;
    failed = false;
    mem_set_fail(fail_one, NULL);
}

static void disarm(void)
{
    mem_set_fail(NULL, NULL);
}

static persist_status open_store(world *w, bool on_disk)
{
    if (on_disk && w->sim == NULL)
        w->sim = os_sim_new(1);
    persist_options options = {.path = on_disk ? "store" : NULL,
                               .create = true,
                               .segment_size = 4096,
                               .memtable_size = 2000,
                               .merge_width = 2,
                               .cache_size = 1,
                               .compress = true,
                               .os = on_disk ? os_sim_os(w->sim) : NULL};
    persist_status status = persist_open(&options, &w->store, NULL);
    if (status != PERSIST_OK)
        w->store = NULL;
    return status;
}

static void end(world *w)
{
    assert_int_equal(persist_close(w->store, NULL), PERSIST_OK);
    if (w->sim != NULL)
        assert_int_equal(os_sim_open_files(w->sim), 0);
    os_sim_free(w->sim);
    *w = (world){0};
}

/* ---- what is done ----------------------------------------------------- */

static const op workload[] = {
    {OP_APPEND_A, 1},      {OP_PUT_K, 2},         {OP_BATCH, 3},
    {OP_ONCE_APPEND, 0},   {OP_BLOB_SMALL, 4},    {OP_APPEND_LARGE, 5},
    {OP_STEP, 0},          {OP_APPEND_B, 6},      {OP_APPEND_LARGE, 7},
    {OP_ONCE_OTHER, 0},    {OP_TRUNCATE_HALF, 0}, {OP_EXPECT_KEY, 9},
    {OP_EXPECT_HOLDS, 1},  {OP_EXPECT_FAILS, 2},  {OP_STEP, 0},
    {OP_DELETE_K, 0},      {OP_PUT_LARGE, 10},    {OP_BLOB_READ, 4},
    {OP_MIXED, 17},        {OP_STEP, 0},          {OP_SET_MARK, 3},
    {OP_ONCE_APPEND, 0},   {OP_APPEND_AT, 12},    {OP_APPEND_LARGE, 13},
    {OP_BATCH_REFUSED, 1}, {OP_PUT_DELETE, 14},   {OP_STEP, 0},
};
enum { WORKLOAD_SIZE = sizeof workload / sizeof *workload };

static void build(world *w)
{
    buf answer = {0};
    persist_error error;
    bool did = true;
    for (size_t i = 0; i < WORKLOAD_SIZE; i++)
        if (workload[i].kind != OP_STEP)
            (void)op_apply(w->store, workload[i], &answer, &error);
    while (did)
        assert_int_equal(store_step(w->store, &did, NULL), PERSIST_OK);
    (void)op_apply(w->store, (op){OP_APPEND_A, 90}, &answer, &error);
    (void)op_apply(w->store, (op){OP_PUT_K, 91}, &answer, &error);
    buf_release(&answer);
}

/* ---- reads ------------------------------------------------------------ */

static void check_reads(bool on_disk)
{
    world w = {0};
    buf wanted = {0}, said = {0};
    persist_error error = {0};
    assert_int_equal(open_store(&w, on_disk), PERSIST_OK);
    build(&w);
    assert_int_equal(store_dump(w.store, PERSIST_LATEST, &wanted, &error),
                     PERSIST_OK);
    for (uint64_t nth = 0; nth == 0 || failed; nth++) {
        buf_release(&said);
        arm(nth);
        persist_status status =
            store_dump(w.store, PERSIST_LATEST, &said, &error);
        disarm();
        assert_true(status == PERSIST_OK || status == PERSIST_LIMIT);
        assert_true(status == PERSIST_OK || error.message[0] != '\0');
        if (status == PERSIST_OK && !failed)
            assert_true(slice_equal(buf_slice(&wanted), buf_slice(&said)));
    }
    buf_release(&wanted);
    buf_release(&said);
    end(&w);
}

static void reads_fail_whole(void **state)
{
    (void)state;
    check_reads(false);
    check_reads(true);
}

/* ---- commits ---------------------------------------------------------- */

/* An op for which there is no memory leaves no trace in the model either. */
static void apply(world *w, op o)
{
    buf said = {0}, wanted = {0};
    persist_error error = {0};
    bool did;
    if (o.kind == OP_STEP) {
        persist_status status = store_step(w->store, &did, &error);
        assert_true(status == PERSIST_OK || status == PERSIST_LIMIT);
        return;
    }
    persist_status status = op_apply(w->store, o, &said, &error);
    uint64_t left = until;
    bool so_far = failed;
    disarm();
    assert_true(status != PERSIST_LIMIT || so_far);
    if (status != PERSIST_LIMIT)
        assert_int_equal(model_apply(&w->model, o, &wanted), status);
    buf_release(&said);
    buf_release(&wanted);
    if (!so_far)
        arm(left);
}

static void check_commits(bool on_disk, uint64_t nth)
{
    world w = {0};
    buf why = {0};
    model_begin(&w.model, false);
    if (on_disk)
        w.sim = os_sim_new(1);
    arm(nth);
    persist_status status = open_store(&w, on_disk);
    assert_true(status == PERSIST_OK || (status == PERSIST_LIMIT && failed));
    if (status != PERSIST_OK) {
        disarm();
        assert_int_equal(open_store(&w, on_disk), PERSIST_OK);
    }
    for (size_t i = 0; i < WORKLOAD_SIZE; i++)
        apply(&w, workload[i]);
    disarm();
    bool same = model_matches(&w.model, w.store, PERSIST_LATEST, &why);
    if (!same)
        fail_msg("allocation %llu: %.*s", (unsigned long long)nth,
                 (int)why.size, (const char *)why.data);
    buf_release(&why);
    model_end(&w.model);
    w.model = (model){0};
    end(&w);
}

static void commits_happen_whole_or_not(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++)
        for (uint64_t nth = 0; nth == 0 || failed; nth++)
            check_commits(on_disk, nth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_fail_whole),
        cmocka_unit_test(commits_happen_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
