/* SPDX-License-Identifier: MIT */
/* A backup that begins while the file of a deleted blob goes: it does not list
 * what is gone before it is read. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/slice.h"
#include "folder.h"
#include "os/os.h"

enum { LARGE = 4000, PACKED_MAX = 1000, A_WHILE = 100 * 1000 * 1000 };

static os_dir *dir;
static os sys;
static persist_store *store;
static persist_backup *backup;
static pthread_t beginner;
static atomic_bool begun, early, gone;

static void *begin_backup(void *context)
{
    persist_point point;
    if (persist_backup_begin(store, &backup, &point, NULL) != PERSIST_OK)
        backup = NULL;
    atomic_store(&begun, true);
    return context;
}

/* The file goes a while after somebody has begun a backup, or wants to. */
static int unlink_late(const os *o, const os_dir *in, const char *name)
{
    const struct timespec t = {.tv_nsec = A_WHILE};
    if (strncmp(name, "bafk", 4) == 0 && !atomic_exchange(&gone, true)) {
        pthread_create(&beginner, NULL, begin_backup, NULL);
        nanosleep(&t, NULL);
        atomic_store(&early, atomic_load(&begun));
    }
    return os_posix()->unlink(o, in, name);
}

static void it_waits_for_files_that_go(void **state)
{
    char path[128], bytes[LARGE] = "large";
    persist_cid cid;
    persist_error error = {0};
    (void)state;
    dir = folder_make("backup-blobs");
    snprintf(path, sizeof path, "%s/store", dir->path);
    sys = *os_posix();
    sys.unlink = unlink_late;
    const persist_options options = {
        PERSIST_OPTIONS,          .path = path,
        .create = true,           .background = true,
        .packed_max = PACKED_MAX, .os = &sys};
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    assert_int_equal(
        persist_blob_put(store, slice_of(bytes, sizeof bytes), cid, &error),
        PERSIST_OK);
    assert_int_equal(
        persist_blob_delete(store, slice_str(cid), 0, NULL, &error),
        PERSIST_OK);
    const struct timespec t = {.tv_nsec = 1000 * 1000};
    for (int i = 0; i < 30000 && !atomic_load(&begun); i++)
        nanosleep(&t, NULL);
    assert_true(atomic_load(&gone) && atomic_load(&begun));
    pthread_join(beginner, NULL);
    assert_false(atomic_load(&early));
    const persist_backup_file *file;
    persist_status status;
    assert_non_null(backup);
    while ((status = persist_backup_next(backup, &file, &error)) == PERSIST_OK)
        assert_null(strstr(file->name, "bafk"));
    assert_int_equal(status, PERSIST_NONE);
    persist_backup_end(backup);
    assert_int_equal(persist_close(store, &error), PERSIST_OK);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_files_that_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
