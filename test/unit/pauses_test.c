/* SPDX-License-Identifier: MIT */
/* A store whose threads lose time at the worst moments: whenever one has let go
 * of a lock it pauses, now and then for long, and others do what the lock kept
 * them from. What was read under a lock and is used behind it is found so, by
 * the sanitizers. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/slice.h"
#include "folder.h"
#include "persist.h"

enum { COMMITS = 2000, WRITERS = 2, MEMTABLE = 4096, LONG_US = 1500 };

static os_dir *dir;
static persist_store *store;
static atomic_bool pausing;

/* ---- pauses -------------------------------------------------------------- */

/* Takes the place of the C library's. */
int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    static int (*unlock)(pthread_mutex_t *);
    static _Thread_local uint64_t chance;
    if (unlock == NULL)
        *(void **)(&unlock) = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int code = unlock(lock);
    if (!atomic_load(&pausing))
        return code;
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    if (chance >> 61 == 0) {
        struct timespec nap = {.tv_nsec = LONG_US * 1000L};
        nanosleep(&nap, NULL);
    }
    return code;
}

/* ---- the work ------------------------------------------------------------ */

static void *write_many(void *context)
{
    const char *name = context;
    char data[200];
    for (int i = 0; i < COMMITS; i++) {
        snprintf(data, sizeof data, "%s %d %0100d", name, i, i);
        const persist_edit edits[] = {{.kind = PERSIST_APPEND,
                                       .name = slice_str(name),
                                       .data = slice_str(data)},
                                      {.kind = PERSIST_PUT,
                                       .name = slice_str(name),
                                       .data = slice_str(data)},
                                      {.kind = PERSIST_TRUNCATE,
                                       .name = slice_str(name),
                                       .seq = (uint64_t)i / 2}};
        persist_error error = {0};
        if (persist_commit(store, edits, 3, NULL, NULL, &error) != PERSIST_OK)
            return context;
    }
    return NULL;
}

static const char *check(const char *name)
{
    persist_cursor *cursor;
    const persist_event *e;
    uint64_t seq = (COMMITS - 1) / 2;
    if (persist_read(store, slice_str(name), 0, PERSIST_NO_LIMIT,
                     PERSIST_LATEST, &cursor, NULL) != PERSIST_OK)
        return "cannot be read";
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK)
        if (e->seq != ++seq)
            return "a number is missing";
    persist_cursor_close(cursor);
    return seq == COMMITS ? NULL : "events are missing";
}

static void what_a_lock_gave_is_not_used_behind_it(void **state)
{
    (void)state;
    static const char *const names[WRITERS] = {"one", "two"};
    pthread_t writers[WRITERS];
    persist_error error = {0};
    persist_options options = {
        PERSIST_OPTIONS,    .path = dir->path,         .create = true,
        .background = true, .memtable_size = MEMTABLE, .merge_width = 3};
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    atomic_store(&pausing, true);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many,
                                        (void *)(uintptr_t)names[i]),
                         0);
    for (int i = 0; i < WRITERS; i++) {
        void *what;
        assert_int_equal(pthread_join(writers[i], &what), 0);
        assert_null(what);
    }
    atomic_store(&pausing, false);
    for (int i = 0; i < WRITERS; i++)
        assert_null(check(names[i]));
    assert_int_equal(persist_close(store, &error), PERSIST_OK);
}

static int make(void **state)
{
    (void)state;
    dir = folder_make("pauses");
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        what_a_lock_gave_is_not_used_behind_it, make, end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
