/* SPDX-License-Identifier: MIT */
/* The first, second, third ... allocation of the process fails, libraries
 * included, or all from there on, in every read, every commit and every blob,
 * on memory and on disk: it is `limit` and nothing has happened. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/failing_malloc.h"
#include "../lib/model.h"
#include "../lib/process.h"
#include "../lib/wall.h"
#include "base/slice.h"
#include "store/store.h"

typedef struct world {
    bool on_disk;
    persist_store *store;
    model model;
} world;

/* The nth allocation that comes fails; 0: none. */
typedef struct fault {
    uint64_t nth;
    bool for_good;
    bool failed; /* it has */
} fault;

static char folder[64], store_path[80];

static void arm(const fault *f)
{
    if (f->nth > 0)
        malloc_fail(f->nth, f->for_good);
}

static void disarm(fault *f)
{
    uint64_t used = malloc_fail_no_more();
    if (f->nth == 0)
        return;
    f->failed |= used >= f->nth;
    if (f->failed)
        f->nth = f->for_good;
    else
        f->nth -= used;
}

/* Faults one after the other, until one has found no allocation to fail. */
static bool next_fault(fault *f, uint64_t *nth)
{
    if (*nth > 0 && !f->failed)
        return false;
    *f = (fault){.nth = ++*nth, .for_good = f->for_good};
    return true;
}

/* ---- places ----------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int type,
                      struct FTW *at)
{
    (void)info;
    (void)type;
    return at->level == 0 ? 0 : remove(path);
}

static void clear_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* In memory where that can be: the disk has no part in this. */
static int make_folder(void **state)
{
    (void)state;
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/persist-memory-XXXXXX", place);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(store_path, sizeof store_path, "%s/store", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    clear_folder();
    return rmdir(folder);
}

static persist_options options_of(bool on_disk)
{
    return (persist_options){
        PERSIST_OPTIONS,       .path = on_disk ? store_path : NULL,
        .create = true,        .segment_size = 4096,
        .memtable_size = 2000, .merge_width = 2,
        .cache_size = 1,       .packed_max = 4096,
        .compress = true,      .os = wall_os()};
}

static persist_status open_store(world *w)
{
    persist_options options = options_of(w->on_disk);
    persist_status status = persist_open(&options, &w->store, NULL);
    if (status != PERSIST_OK)
        w->store = NULL;
    return status;
}

static void end(world *w)
{
    assert_int_equal(persist_close(w->store, NULL), PERSIST_OK);
    w->store = NULL;
}

/* ---- what is done ----------------------------------------------------- */

static const op workload[] = {
    {OP_BLOB_LARGE, 20},   {OP_BLOB_WRITE, 21},   {OP_BLOB_READ, 20},
    {OP_APPEND_A, 1},      {OP_PUT_K, 2},         {OP_BATCH, 3},
    {OP_ONCE_APPEND, 0},   {OP_BLOB_SMALL, 4},    {OP_APPEND_LARGE, 5},
    {OP_STEP, 0},          {OP_APPEND_B, 6},      {OP_APPEND_LARGE, 7},
    {OP_ONCE_OTHER, 0},    {OP_TRUNCATE_HALF, 0}, {OP_EXPECT_KEY, 9},
    {OP_EXPECT_HOLDS, 1},  {OP_EXPECT_FAILS, 2},  {OP_STEP, 0},
    {OP_DELETE_K, 0},      {OP_PUT_LARGE, 10},    {OP_BLOB_READ, 4},
    {OP_MIXED, 17},        {OP_STEP, 0},          {OP_SET_MARK, 3},
    {OP_ONCE_APPEND, 0},   {OP_APPEND_AT, 12},    {OP_APPEND_LARGE, 13},
    {OP_BATCH_REFUSED, 1}, {OP_PUT_DELETE, 14},   {OP_STEP, 0},
    {OP_TAGGED, 9},        {OP_TAGGED, 31},       {OP_DECIDED, 1},
    {OP_STEP, 0},          {OP_TAGGED, 10},       {OP_UNDECIDED, 12},
    {OP_SET_ONCE, 5},      {OP_REFER, 4},         {OP_STEP, 0},
    {OP_SET_ONCE, 4},      {OP_REFER, 8},
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

static void check_reads(bool on_disk, bool for_good)
{
    world w = {.on_disk = on_disk};
    buf wanted = {0}, said = {0};
    persist_error error = {0};
    fault f = {.for_good = for_good};
    uint64_t nth = 0;
    assert_int_equal(open_store(&w), PERSIST_OK);
    build(&w);
    assert_int_equal(store_dump(w.store, PERSIST_LATEST, &wanted, &error),
                     PERSIST_OK);
    while (next_fault(&f, &nth)) {
        buf_release(&said);
        arm(&f);
        persist_status status =
            store_dump(w.store, PERSIST_LATEST, &said, &error);
        disarm(&f);
        assert_true(status == PERSIST_OK || status == PERSIST_LIMIT);
        assert_true(status == PERSIST_OK || error.message[0] != '\0');
        if (status == PERSIST_OK && !said.failed)
            assert_true(slice_equal(buf_slice(&wanted), buf_slice(&said)));
    }
    buf_release(&wanted);
    buf_release(&said);
    end(&w);
    clear_folder();
}

static void reads_fail_whole(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++)
        for (int for_good = 0; for_good < 2; for_good++)
            check_reads(on_disk, for_good);
}

/* ---- commits ---------------------------------------------------------- */

/* An op for which there is no memory leaves no trace in the model either. */
static void apply(world *w, op o, fault *f)
{
    buf said = {0}, wanted = {0};
    persist_error error = {0};
    bool did;
    arm(f);
    persist_status status = o.kind == OP_STEP
                                ? store_step(w->store, &did, &error)
                                : op_apply(w->store, o, &said, &error);
    disarm(f);
    if (status == PERSIST_LIMIT)
        assert_true(f->failed && error.message[0] != '\0');
    else if (o.kind == OP_STEP)
        assert_int_equal(status, PERSIST_OK);
    else
        assert_int_equal(model_apply(&w->model, o, &wanted), status);
    buf_release(&said);
    buf_release(&wanted);
}

static void check_commits(bool on_disk, fault *f)
{
    world w = {.on_disk = on_disk};
    buf why = {0};
    uint64_t nth = f->nth;
    unsigned files = process_descriptors();
    model_begin(&w.model, false);
    arm(f);
    persist_status status = open_store(&w);
    disarm(f);
    assert_true(status == PERSIST_OK || (status == PERSIST_LIMIT && f->failed));
    if (status != PERSIST_OK)
        assert_int_equal(open_store(&w), PERSIST_OK);
    for (size_t i = 0; i < WORKLOAD_SIZE; i++)
        apply(&w, workload[i], f);
    bool same = model_matches(&w.model, w.store, PERSIST_LATEST, &why);
    if (!same)
        fail_msg("allocation %llu: %.*s", (unsigned long long)nth,
                 (int)why.size, (const char *)why.data);
    buf_release(&why);
    model_end(&w.model);
    end(&w);
    assert_int_equal(process_descriptors(), files);
    clear_folder();
}

static void commits_happen_whole_or_not(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        fault f = {.for_good = i / 2};
        uint64_t nth = 0;
        while (next_fault(&f, &nth))
            check_commits(i % 2, &f);
    }
}

/* ---- the whole store -------------------------------------------------- */

static bool no_finding(void *context, const persist_finding *found)
{
    (void)context;
    return !found->damage;
}

static void check_whole(bool for_good, bool (*look)(persist_error *))
{
    fault f = {.for_good = for_good};
    uint64_t nth = 0;
    persist_error error;
    while (next_fault(&f, &nth)) {
        unsigned files = process_descriptors();
        arm(&f);
        bool good = look(&error);
        disarm(&f);
        if (!good)
            assert_int_equal(error.status, PERSIST_LIMIT);
        assert_true(good || f.failed);
        assert_int_equal(process_descriptors(), files);
    }
}

static bool verifies(persist_error *error)
{
    persist_options options = options_of(true);
    persist_watcher watcher = {PERSIST_WATCHER, .found = no_finding};
    persist_progress done = {PERSIST_PROGRESS};
    persist_status status = persist_verify(&options, &watcher, &done, error);
    assert_int_not_equal(status, PERSIST_NONE); /* it was not stopped */
    return status == PERSIST_OK;
}

static bool opens_and_closes(persist_error *error)
{
    persist_options options = options_of(true);
    persist_store *store;
    persist_status status = persist_open(&options, &store, error);
    if (status == PERSIST_OK)
        status = persist_close(store, error);
    return status == PERSIST_OK;
}

static void nothing_is_called_damaged(void **state)
{
    (void)state;
    world w = {.on_disk = true};
    assert_int_equal(open_store(&w), PERSIST_OK);
    build(&w);
    end(&w);
    for (int for_good = 0; for_good < 2; for_good++) {
        check_whole(for_good, verifies);
        check_whole(for_good, opens_and_closes);
    }
    clear_folder();
}

static void a_hash_takes_no_memory(void **state)
{
    (void)state;
    persist_cid cid, wanted;
    persist_cid_of(slice_str("abc"), wanted);
    malloc_fail(1, true);
    persist_cid_of(slice_str("abc"), cid);
    assert_int_equal(malloc_fail_no_more(), 0);
    assert_string_equal(cid, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_takes_no_memory),
        cmocka_unit_test(reads_fail_whole),
        cmocka_unit_test(commits_happen_whole_or_not),
        cmocka_unit_test(nothing_is_called_damaged),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
