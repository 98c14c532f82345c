/* SPDX-License-Identifier: MIT */
/* Threads that commit while others look at snapshots, on the real system, in
 * memory and on disk: whatever is asked in one says the same, and that is what
 * its commit left. Each commit appends one event to a stream of its thread and
 * one, mostly with a tag, to a common one, and counts in a key: so the number
 * of the commit says all, and the keys how many have tags. Run it with a thread
 * sanitizer too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.h"
#include "folder.h"
#include "persist.h"

enum {
    WRITERS = 16,
    READERS = 3, /* the first of them only opens */
    COMMITS = 60,
    MEMTABLE = 4096,
    PLAIN = 6, /* after so many with a tag come as many without */
};

typedef struct place {
    bool in_memory;
    uint32_t memtable_size;
} place;

static os_dir *dir;
static persist_store *store;
static persist_snapshot *shared; /* all readers read in it at once */
static atomic_int writers_left, failures;
static const slice tag = {"tag", 3};

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&failures, 1);
}

static int set_up(void **state)
{
    const place *p = *state;
    dir = folder_make("snapshots");
    const persist_options options = {
        PERSIST_OPTIONS,       .path = p->in_memory ? NULL : dir->path,
        .create = true,        .background = true,
        .segment_size = 16384, .memtable_size = p->memtable_size,
        .merge_width = 3};
    atomic_store(&writers_left, WRITERS);
    return persist_open(&options, &store, NULL) == PERSIST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return folder_end(dir, store);
}

static slice stream_name(int number, char out[16])
{
    return slice_of(out, (size_t)snprintf(out, 16, "stream-%02d", number));
}

static bool is_tagged(uint64_t i)
{
    return (i - 1) / PLAIN % 2 == 0;
}

static void *writer(void *context)
{
    char name[16];
    slice own = stream_name((int)(intptr_t)context, name);
    for (uint64_t i = 1; i <= COMMITS; i++) {
        const persist_edit edits[] = {
            {.kind = PERSIST_APPEND, .name = own, .data = own},
            {.kind = PERSIST_APPEND,
             .name = slice_str("common"),
             .data = own,
             .tags = &tag,
             .tag_count = is_tagged(i)},
            {.kind = PERSIST_PUT, .name = own, .data = slice_of(&i, sizeof i)},
        };
        expect(persist_commit(store, edits, 3, NULL, NULL, NULL) == PERSIST_OK);
        if (i % 4 == 0)
            expect(persist_wait_durable(store, persist_latest(store), NULL) ==
                   PERSIST_OK);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static uint64_t count_events(persist_view view)
{
    const persist_query_item item = {.tags = &tag, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *event;
    uint64_t count = 0;
    expect(persist_query(store, &item, 1, 0, PERSIST_NO_LIMIT, view, &cursor,
                         NULL) == PERSIST_OK);
    while (persist_next_event(cursor, &event, NULL) == PERSIST_OK)
        count++;
    persist_cursor_close(cursor);
    return count;
}

/* What the keys say, and of each the stream of its name. */
static uint64_t sum_keys(persist_view view, bool backward, uint64_t *tagged)
{
    const persist_range range = {PERSIST_RANGE, .backward = backward,
                                 .prefix = slice_str("stream-")};
    persist_cursor *cursor;
    slice name, value;
    uint64_t sum = 0;
    *tagged = 0;
    expect(persist_scan(store, &range, PERSIST_NO_LIMIT, view, &cursor, NULL) ==
           PERSIST_OK);
    while (persist_next_key(cursor, &name, &value, NULL) == PERSIST_OK) {
        uint64_t counted;
        persist_stream_info info;
        expect(value.size == sizeof counted);
        memcpy(&counted, value.data, sizeof counted);
        expect(persist_info(store, name, view, &info, NULL, NULL) ==
               PERSIST_OK);
        expect(info.count == counted);
        sum += counted;
        for (uint64_t i = 1; i <= counted; i++)
            *tagged += is_tagged(i);
    }
    persist_cursor_close(cursor);
    return sum;
}

/* As many as the commits: there are no others. */
static void check(const persist_snapshot *s, bool backward)
{
    persist_lsn lsn = persist_snapshot_lsn(s);
    persist_stream_info info;
    expect(persist_info(store, slice_str("common"), s, &info, NULL, NULL) ==
           PERSIST_OK);
    expect(info.count == lsn);
    uint64_t tagged;
    expect(sum_keys(s, backward, &tagged) == lsn);
    expect(count_events(s) == tagged);
    expect(persist_position(store, s) == 2 * lsn);
}

static void *reader(void *context)
{
    bool latest = (intptr_t)context % 2 == 0;
    while (atomic_load(&writers_left) > 0) {
        persist_snapshot *own;
        persist_lsn before =
            latest ? persist_latest(store) : persist_durable(store);
        expect(persist_snapshot_open(store,
                                     latest ? PERSIST_LATEST : PERSIST_DURABLE,
                                     &own, NULL) == PERSIST_OK);
        expect(persist_snapshot_lsn(own) >= before);
        expect(latest || persist_snapshot_lsn(own) <= persist_durable(store));
        check(own, latest);
        persist_snapshot_close(own);
        check(shared, latest);
    }
    return NULL;
}

/* As many as there is time for, most of them while a commit is being made. */
static void *opener(void *context)
{
    (void)context;
    while (atomic_load(&writers_left) > 0) {
        persist_snapshot *own;
        expect(persist_snapshot_open(store, PERSIST_LATEST, &own, NULL) ==
               PERSIST_OK);
        persist_lsn lsn = persist_snapshot_lsn(own);
        expect(persist_position(store, own) == 2 * lsn);
        persist_snapshot_close(own);
    }
    return NULL;
}

static void all_agree_while_others_commit(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + READERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, writer, (void *)(intptr_t)i), 0);
    assert_int_equal(
        persist_snapshot_open(store, PERSIST_LATEST, &shared, NULL),
        PERSIST_OK);
    for (int i = WRITERS; i < WRITERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i == WRITERS ? opener : reader,
                                        (void *)(intptr_t)i),
                         0);
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    check(shared, false);
    persist_snapshot_close(shared);
    persist_snapshot *last;
    assert_int_equal(persist_snapshot_open(store, PERSIST_LATEST, &last, NULL),
                     PERSIST_OK);
    check(last, true);
    assert_int_equal(persist_snapshot_lsn(last), WRITERS * COMMITS);
    persist_snapshot_close(last);
    assert_int_equal(atomic_load(&failures), 0);
}

int main(void)
{
    static place memory = {true, 0}, log = {false, 0},
                 tables = {false, MEMTABLE};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(all_agree_while_others_commit,
                                                 set_up, tear_down, &memory),
        cmocka_unit_test_prestate_setup_teardown(all_agree_while_others_commit,
                                                 set_up, tear_down, &log),
        cmocka_unit_test_prestate_setup_teardown(all_agree_while_others_commit,
                                                 set_up, tear_down, &tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
