/* SPDX-License-Identifier: MIT */
/* Backups while sixteen threads commit, on the real system, linked and copied:
 * each of them opens to its commit, and shows what the first so many commits
 * have left, no more and no less. Each commit appends one event to the stream
 * of its thread and counts in a key; so the sum of the keys is the number of
 * the commit. With blobs each event names one that was put before it. Run it
 * with a thread sanitizer too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/take.h"
#include "base/slice.h"
#include "folder.h"

enum {
    WRITERS = 16,
    TAKERS = 2,
    COMMITS = 100,
    MEMTABLE = 16384,
    BACKUPS_MAX = 64,
    BLOB_MAX = 6000, /* some are packed, some have files of their own */
    PACKED_MAX = 3000,
};

static os_dir *dir;
static persist_store *store;
static atomic_int writers_left, failures, backups;
static bool with_blobs;
static persist_point points[BACKUPS_MAX];

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&failures, 1);
}

static int set_up(void **state)
{
    char path[128];
    with_blobs = *state != NULL;
    dir = folder_make("backups");
    snprintf(path, sizeof path, "%s/store", dir->path);
    const persist_options options = {
        PERSIST_OPTIONS,       .path = path,
        .create = true,        .background = true,
        .segment_size = 16384, .memtable_size = MEMTABLE,
        .merge_width = 3,      .packed_max = PACKED_MAX};
    atomic_store(&writers_left, WRITERS);
    atomic_store(&backups, 0);
    return persist_open(&options, &store, NULL) == PERSIST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(dir);
    return 0;
}

static slice blob_of(int writer, uint64_t i, char room[BLOB_MAX])
{
    size_t size = 100 + (size_t)(i * 977 + (unsigned)writer) % (BLOB_MAX - 100);
    memset(room, writer, size);
    memcpy(room, &i, sizeof i);
    return slice_of(room, size);
}

static void *writer(void *context)
{
    int number = (int)(intptr_t)context;
    char name[16], room[BLOB_MAX];
    slice own =
        slice_of(name, (size_t)snprintf(name, sizeof name, "s%02d", number));
    persist_cid cid = "";
    for (uint64_t i = 1; i <= COMMITS; i++) {
        if (with_blobs)
            expect(persist_blob_add(store, blob_of(number, i, room), cid, NULL,
                                    NULL) == PERSIST_OK);
        const persist_edit edits[] = {
            {.kind = PERSIST_APPEND, .name = own, .data = slice_str(cid)},
            {.kind = PERSIST_PUT, .name = own, .data = slice_of(&i, sizeof i)},
        };
        expect(persist_commit(store, edits, 2, NULL, NULL, NULL) == PERSIST_OK);
        if (i % 8 == 0)
            expect(persist_wait_durable(store, persist_latest(store), NULL) ==
                   PERSIST_OK);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void place_of(int number, char path[128])
{
    snprintf(path, 128, "%s/%d", dir->path, number);
}

/* Takes one backup after the other, until nobody writes any more. */
static void *taker(void *context)
{
    bool links = context != NULL;
    for (bool more = true; more;) {
        persist_backup *backup;
        taken t = {.link = links};
        char path[128];
        more = atomic_load(&writers_left) > 0;
        int number = atomic_fetch_add(&backups, 1);
        if (number >= BACKUPS_MAX)
            break;
        place_of(number, path);
        expect(persist_backup_begin(store, &backup, &points[number], NULL) ==
               PERSIST_OK);
        expect(take_backup(os_posix(), backup, path, &t, NULL) == PERSIST_OK);
        persist_backup_end(backup);
    }
    return NULL;
}

/* The event names a blob that is there, and whole. */
static void expect_blob(persist_store *copy, const persist_event *e, int number)
{
    char expected[BLOB_MAX], found[BLOB_MAX + 1];
    persist_blob_reader *r;
    size_t got;
    slice bytes = blob_of(number, e->seq, expected);
    assert_int_equal(persist_blob_open(copy, e->data, NULL, &r, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_read(r, found, sizeof found, &got, NULL),
                     PERSIST_OK);
    assert_true(slice_equal(bytes, slice_of(found, got)));
    persist_blob_close(r);
}

/* Events from 1 on, so many as the key says. */
static uint64_t count_writer(persist_store *copy, int number)
{
    char name[16];
    slice own =
        slice_of(name, (size_t)snprintf(name, sizeof name, "s%02d", number));
    persist_cursor *c;
    const persist_event *e;
    slice value;
    uint64_t seen = 0, counted = 0;
    if (persist_get(copy, own, PERSIST_LATEST, &value, NULL) == PERSIST_OK) {
        memcpy(&counted, value.data, sizeof counted);
        persist_free(value.data);
    }
    assert_int_equal(
        persist_read(copy, own, 0, PERSIST_NO_LIMIT, PERSIST_LATEST, &c, NULL),
        PERSIST_OK);
    while (persist_next_event(c, &e, NULL) == PERSIST_OK) {
        assert_int_equal(e->seq, ++seen);
        if (with_blobs)
            expect_blob(copy, e, number);
    }
    persist_cursor_close(c);
    assert_int_equal(seen, counted);
    return seen;
}

static void check_backup(int number)
{
    char path[128];
    persist_store *copy;
    persist_error error;
    place_of(number, path);
    const persist_options options = {PERSIST_OPTIONS, .path = path};
    persist_progress p = {PERSIST_PROGRESS};
    assert_int_equal(persist_verify(&options, NULL, &p, NULL), PERSIST_OK);
    assert_int_equal(p.damages, 0);
    if (persist_open(&options, &copy, &error) != PERSIST_OK)
        fail_msg("backup %d: %s", number, error.message);
    assert_int_equal(persist_latest(copy), points[number].lsn);
    uint64_t sum = 0;
    for (int i = 0; i < WRITERS; i++)
        sum += count_writer(copy, i);
    assert_int_equal(sum, points[number].position);
    if (!with_blobs)
        assert_int_equal(sum, points[number].lsn);
    assert_int_equal(persist_close(copy, NULL), PERSIST_OK);
}

static void each_is_the_store_at_its_point(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + TAKERS];
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, writer, (void *)(intptr_t)i);
    for (int i = 0; i < TAKERS; i++)
        pthread_create(&threads[WRITERS + i], NULL, taker, (void *)(intptr_t)i);
    for (int i = 0; i < WRITERS + TAKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    int count = atomic_load(&backups);
    count = count > BACKUPS_MAX ? BACKUPS_MAX : count;
    assert_true(count >= 2 * TAKERS);
    for (int i = 0; i < count; i++)
        check_backup(i);
    printf("%d backups\n", count);
}

int main(void)
{
    static char blobs[] = "blobs";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_the_store_at_its_point, set_up,
                                        tear_down),
        cmocka_unit_test_prestate_setup_teardown(each_is_the_store_at_its_point,
                                                 set_up, tear_down, blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
