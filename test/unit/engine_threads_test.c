/* SPDX-License-Identifier: MIT */
/* Many threads on one store, on the real system: group commit wakes everybody
 * and gives no number twice, readers see whole states while writers go on.
 * Run it with a thread sanitizer too. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/slice.h"
#include "folder.h"
#include "persist.h"
#include "store/store.h"

enum {
    WRITERS = 8,
    READERS = 2,
    APPENDS = 300,
    SEGMENT = 16 << 10,
    SMALL = 4096,
    PACKED = 32, /* four blobs a pack */
    LEFT = 12,
    OPENINGS = 20,
    ROUNDS = 10,
    SLOW_COMMITS = 300,
    MADE_MAX = 8 * ROUNDS, /* segments */
    NAP = 2 * 1000 * 1000  /* nanoseconds */
};

static os_dir *dir;
static persist_store *store;
static uint32_t memtable_size; /* 0: the default */
static const os *sys;          /* NULL: the real one */
static atomic_int writers_left, failures, made;

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&failures, 1);
}

static void open_store(void)
{
    persist_error error = {0};
    persist_options options = {PERSIST_OPTIONS,
                               .path = dir->path,
                               .create = true,
                               .background = true,
                               .segment_size = SEGMENT,
                               .memtable_size = memtable_size,
                               .merge_width = 3,
                               .packed_max = PACKED,
                               .os = sys,
                               .cache_size = 64 << 10};
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
    store_disk_reads_pay(store, 10);
}

static int set_up(void **state)
{
    memtable_size = *state == NULL ? 0 : SMALL;
    dir = folder_make("threads");
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return folder_end(dir, store);
}

static slice stream_name(int number, char out[16])
{
    int size = snprintf(out, 16, "stream-%d", number);
    return slice_of(out, (size_t)size);
}

/* Each commit has one event in a stream of its own and one in a common one,
 * and a key that holds the number of the first: they always go together. */
static void *writer(void *context)
{
    int number = (int)(intptr_t)context;
    char name[16];
    slice own = stream_name(number, name);
    for (uint64_t i = 1; i <= APPENDS; i++) {
        persist_edit edits[] = {
            {.kind = PERSIST_APPEND,
             .name = own,
             .data = slice_of(&i, sizeof i)},
            {.kind = PERSIST_APPEND, .name = slice_str("common"), .data = own},
            {.kind = PERSIST_PUT, .name = own, .data = slice_of(&i, sizeof i)},
        };
        persist_outcome out;
        persist_error error;
        bool done =
            persist_commit(store, edits, 3, NULL, &out, &error) == PERSIST_OK;
        expect(done && out.seqs[0] == i);
        if (!done)
            break;
        bool waits = i % 3 != 0; /* some do not wait for each */
        if (waits) {
            expect(persist_wait_durable(store, out.lsn, NULL) == PERSIST_OK);
            expect(persist_durable(store) >= out.lsn);
        }
        persist_outcome_release(&out);
        if (i % 50 == 0) {
            persist_edit cut = {
                .kind = PERSIST_TRUNCATE, .name = own, .seq = i - 10};
            expect(persist_commit(store, &cut, 1, NULL, NULL, NULL) ==
                   PERSIST_OK);
        }
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

/* The numbers of a stream follow each other, in any view at any time. */
static uint64_t check_stream(slice name, persist_view view)
{
    persist_cursor *cursor;
    const persist_event *e;
    uint64_t last = 0, count = 0;
    expect(persist_read(store, name, 0, PERSIST_NO_LIMIT, view, &cursor,
                        NULL) == PERSIST_OK);
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK) {
        expect(last == 0 || e->seq == last + 1);
        last = e->seq;
        count++;
    }
    persist_cursor_close(cursor);
    return last;
}

static void check_positions(void)
{
    persist_cursor *cursor;
    const persist_event *e;
    uint64_t last = 0;
    expect(persist_read_all(store, 0, PERSIST_NO_LIMIT, PERSIST_LATEST, &cursor,
                            NULL) == PERSIST_OK);
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK) {
        expect(e->position > last);
        last = e->position;
    }
    persist_cursor_close(cursor);
}

static void *reader(void *context)
{
    uint64_t before = 0;
    (void)context;
    while (atomic_load(&writers_left) > 0) {
        char name[16];
        slice own = stream_name(before % WRITERS, name), value;
        uint64_t last = check_stream(own, PERSIST_DURABLE);
        if (persist_get(store, own, PERSIST_LATEST, &value, NULL) ==
            PERSIST_OK) {
            uint64_t number;
            memcpy(&number, value.data, sizeof number);
            expect(number >= last);
            persist_free(value.data);
        }
        uint64_t common = check_stream(slice_str("common"), PERSIST_LATEST);
        expect(common >= before);
        before = common;
        check_positions();
        slice found;
        persist_cursor *keys;
        const persist_range range = {PERSIST_RANGE,
                                     .prefix = slice_str("stream-")};
        expect(persist_scan(store, &range, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                            &keys, NULL) == PERSIST_OK);
        while (persist_next_key(keys, &found, &value, NULL) == PERSIST_OK)
            expect(value.size == sizeof(uint64_t));
        persist_cursor_close(keys);
    }
    return NULL;
}

static void writers_and_readers_at_once(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + READERS];
    atomic_store(&writers_left, WRITERS);
    for (int i = 0; i < WRITERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < WRITERS ? writer : reader,
                                        (void *)(intptr_t)i),
                         0);
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(check_stream(slice_str("common"), PERSIST_LATEST),
                     WRITERS * APPENDS);
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(store, &stats, NULL);
    assert_true(stats.syncs < stats.commits);

    assert_true(memtable_size == 0 || stats.tables > 0);

    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    open_store();
    assert_int_equal(check_stream(slice_str("common"), PERSIST_DURABLE),
                     WRITERS * APPENDS);
    for (int i = 0; i < WRITERS; i++) {
        char name[16];
        assert_int_equal(check_stream(stream_name(i, name), PERSIST_DURABLE),
                         APPENDS);
    }
    assert_int_equal(atomic_load(&failures), 0);
}

/* Every other one is put by all threads. Packs are turned over meanwhile. */
static void *put_blob(void *context)
{
    persist_cid cid;
    int number = (int)(intptr_t)context;
    for (int i = 0; i < 40; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "blob %d of %d", i,
                            i % 2 == 0 ? WRITERS : number);
        expect(persist_blob_put(store, slice_of(text, (size_t)size), cid,
                                NULL) == PERSIST_OK);
        expect(persist_blob_has(store, slice_str(cid), NULL) == PERSIST_OK);
    }
    return NULL;
}

static void blobs_from_many_threads(void **state)
{
    (void)state;
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, put_blob, (void *)(intptr_t)i),
            0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

/* Files that an opening may have left behind: segments with nothing in them,
 * where the number is free. */
static void leave_segments(void)
{
    char path[128];
    for (int number = 1; number <= LEFT; number++) {
        snprintf(path, sizeof path, "%s/wal/%016x.log", dir->path, number);
        FILE *file = fopen(path, "wbx");
        if (file == NULL)
            continue;
        assert_int_equal(ftruncate(fileno(file), SEGMENT), 0);
        fclose(file);
    }
}

static void append_bytes(size_t size)
{
    static char data[2 * SEGMENT];
    const persist_edit edit = {.kind = PERSIST_APPEND,
                               .name = slice_str("large"),
                               .data = slice_of(data, size)};
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
}

/* The thread takes up what was left behind, while commits need segments. */
static void leftovers_are_taken_while_it_is_written(void **state)
{
    (void)state;
    for (int i = 0; i < LEFT; i++)
        append_bytes(SEGMENT / 2);
    for (int round = 0; round < OPENINGS; round++) {
        assert_int_equal(persist_close(store, NULL), PERSIST_OK);
        leave_segments();
        open_store();
        for (int i = 0; i < LEFT; i++)
            append_bytes(SEGMENT / 2);
    }
    persist_stream_info info;
    bool known;
    assert_int_equal(persist_info(store, slice_str("large"), PERSIST_LATEST,
                                  &info, &known, NULL),
                     PERSIST_OK);
    assert_true(known && info.count == LEFT * (1 + OPENINGS));
}

static void nap(long nanoseconds)
{
    const struct timespec time = {.tv_nsec = nanoseconds};
    nanosleep(&time, NULL);
}

/* Slow, and full when a commit has had far more than its share. */
static int allocate_slowly(const os *o, os_file *file, uint64_t size)
{
    nap(NAP);
    if (atomic_fetch_add(&made, 1) >= MADE_MAX)
        return -ENOSPC;
    return os_posix()->file_allocate(o, file, size);
}

static int rename_slowly(const os *o, const os_dir *from_dir, const char *from,
                         const os_dir *to_dir, const char *to)
{
    nap(10 * NAP);
    return os_posix()->rename(o, from_dir, from, to_dir, to);
}

static int set_up_slow(void **state)
{
    static os slow;
    slow = *os_posix();
    slow.file_allocate = allocate_slowly;
    slow.rename = rename_slowly;
    sys = &slow;
    atomic_store(&made, 0);
    return set_up(state);
}

static int tear_down_slow(void **state)
{
    sys = NULL;
    return tear_down(state);
}

/* The thread makes segments of the usual size, one after the other; a record
 * that is bigger must find its own in between. */
static void large_records_do_not_wait_for_luck(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        append_bytes(SEGMENT / 2);
        append_bytes(2 * SEGMENT);
    }
}

/* Who commits and never waits is held back while a manifest is on its way, too,
 * which begins while there is room: what is in memory, and to be replayed, is
 * two memtables. */
static void memory_is_bounded_on_a_slow_disk(void **state)
{
    (void)state;
    for (int i = 0; i < SLOW_COMMITS; i++) {
        persist_stats stats = {PERSIST_STATS};
        append_bytes(SMALL / 16);
        persist_get_stats(store, &stats, NULL);
        assert_in_range(stats.memory, 0, 3 * SMALL);
        nap(NAP / 8);
    }
}

int main(void)
{
    static bool tables = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writers_and_readers_at_once, set_up,
                                        tear_down),
        /* The same while memtables are flushed and tables merged. */
        cmocka_unit_test_prestate_setup_teardown(writers_and_readers_at_once,
                                                 set_up, tear_down, &tables),
        cmocka_unit_test_setup_teardown(blobs_from_many_threads, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(leftovers_are_taken_while_it_is_written,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_records_do_not_wait_for_luck,
                                        set_up_slow, tear_down_slow),
        cmocka_unit_test_prestate_setup_teardown(
            memory_is_bounded_on_a_slow_disk, set_up_slow, tear_down_slow,
            &tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
