/* SPDX-License-Identifier: MIT */
/* Commits on the condition that a blob is there: in every layer of a store, and
 * while others put it. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "fixture.h"
#include "folder.h"

#include "base/slice.h"

enum { BLOBS = 24, RACED = 400, THREADS = 4 };

static fixture f;

static slice nth_bytes(int i, char out[32])
{
    int size = snprintf(out, 32, "blob %d", i);
    return slice_of(out, (size_t)size);
}

static void nth_cid(int i, persist_cid out)
{
    char bytes[32];
    persist_cid_of(nth_bytes(i, bytes), out);
}

/* Commits an event that names a blob, if that is there. */
static persist_status refer(persist_store *store, slice cid,
                            persist_outcome *out)
{
    persist_error error;
    const persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = slice_str("refs"), .data = cid},
        {.kind = PERSIST_EXPECT_BLOB, .name = cid}};
    return persist_commit(store, edits, 2, NULL, out, &error);
}

static persist_outcome_kind outcome_of(persist_store *store, int i)
{
    persist_cid cid;
    persist_outcome out;
    nth_cid(i, cid);
    assert_int_equal(refer(store, slice_str(cid), &out), PERSIST_OK);
    if (out.kind == PERSIST_CONFLICT) {
        assert_int_equal(out.edit, 1);
        assert_int_equal(out.seq_count + out.actual_seq + out.actual_present,
                         0);
    }
    persist_outcome_kind kind = out.kind;
    persist_outcome_release(&out);
    return kind;
}

/* Each blob is met or missed as blob_has says. */
static void check_all(persist_store *store, int from)
{
    for (int i = 0; i < BLOBS; i++)
        assert_int_equal(outcome_of(store, i),
                         i < from ? PERSIST_COMMITTED : PERSIST_CONFLICT);
}

static void put(persist_store *store, int i)
{
    char bytes[32];
    persist_cid cid;
    assert_int_equal(
        persist_blob_add(store, nth_bytes(i, bytes), cid, NULL, NULL),
        PERSIST_OK);
}

static void every_layer_is_asked(void **state)
{
    (void)state;
    for (uint32_t memory = 1; memory < 40000; memory *= 30) {
        fixture_begin_tables(&f, memory, 2);
        for (int i = 0; i < BLOBS; i++) {
            check_all(f.store, i);
            put(f.store, i);
            if (i % 5 == 0) {
                fixture_close(&f);
                fixture_reopen(&f);
            }
        }
        fixture_wait(&f);
        fixture_kill(&f);
        fixture_reopen(&f);
        check_all(f.store, BLOBS);
        fixture_end(&f);
    }
}

static void memory_says_the_same(void **state)
{
    (void)state;
    const persist_options options = {PERSIST_OPTIONS};
    persist_store *store;
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    check_all(store, 0);
    put(store, 0);
    check_all(store, 1);
    persist_close(store, NULL);
}

static void what_is_no_cid_is_refused(void **state)
{
    (void)state;
    persist_outcome out;
    persist_cid cid;
    nth_cid(0, cid);
    fixture_begin(&f, 4096);
    const slice none[] = {slice_of(NULL, 0), slice_str("x"),
                          slice_of(cid, PERSIST_CID_SIZE - 1),
                          slice_of(cid, PERSIST_CID_SIZE + 1)};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(refer(f.store, none[i], &out), PERSIST_BAD_CID);
    assert_int_equal(refer(f.store, slice_of(NULL, 1), &out),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_latest(f.store), 0);
    /* a refusal has to be told */
    const persist_edit edit = {.kind = PERSIST_EXPECT_BLOB,
                               .name = slice_str(cid)};
    assert_int_equal(persist_commit(f.store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    fixture_end(&f);
}

/* ---- while others put it ---------------------------------------------- */

static persist_store *raced;
static atomic_int turn, wrong;
static persist_lsn put_at[RACED]; /* the commits of the blobs */
static persist_outcome seen[THREADS][RACED];

static void *putter(void *context)
{
    for (int i = 0; i < RACED; i++) {
        char bytes[32];
        persist_cid cid;
        atomic_store(&turn, i);
        if (persist_blob_add(raced, nth_bytes(i, bytes), cid, &put_at[i],
                             NULL) != PERSIST_OK)
            atomic_fetch_add(&wrong, 1);
    }
    return context;
}

static void *referrer(void *context)
{
    persist_outcome *mine = context;
    for (int i = 0; i < RACED; i++) {
        persist_cid cid;
        nth_cid(i, cid);
        while (atomic_load(&turn) < i)
            sched_yield();
        if (refer(raced, slice_str(cid), &mine[i]) != PERSIST_OK)
            atomic_fetch_add(&wrong, 1);
    }
    return context;
}

/* Who commits has the blob before it, who is refused has seen no commit that
 * has it. */
static void check_race(void)
{
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < RACED; i++) {
            persist_outcome *out = &seen[t][i];
            if (out->kind == PERSIST_COMMITTED)
                assert_true(put_at[i] < out->lsn);
            else
                assert_true(out->lsn < put_at[i]);
            persist_outcome_release(out);
        }
}

static void race(const char *path)
{
    const persist_options options = {PERSIST_OPTIONS, .path = path,
                                     .create = true, .background = true,
                                     .memtable_size = 8192};
    pthread_t threads[THREADS + 1];
    atomic_store(&turn, -1);
    atomic_store(&wrong, 0);
    assert_int_equal(persist_open(&options, &raced, NULL), PERSIST_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, referrer, seen[i]),
                         0);
    assert_int_equal(pthread_create(&threads[THREADS], NULL, putter, NULL), 0);
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    check_race();
    assert_int_equal(persist_close(raced, NULL), PERSIST_OK);
}

static void a_reference_comes_behind_its_blob(void **state)
{
    (void)state;
    os_dir *dir = folder_make("refs");
    race(dir->path);
    folder_remove(dir);
    race(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_is_asked),
        cmocka_unit_test(memory_says_the_same),
        cmocka_unit_test(what_is_no_cid_is_refused),
        cmocka_unit_test(a_reference_comes_behind_its_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
