/* SPDX-License-Identifier: MIT */
/* A folder of the real system, for as long as a test takes. */
#ifndef TEST_UNIT_FOLDER_H
#define TEST_UNIT_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "os/os.h"
#include "persist.h"

/* Makes a folder whose name tells of the test, and opens it. */
static inline os_dir *folder_make(const char *test)
{
    char path[64];
    os_dir *out;
    const os *sys = os_posix();
    int size = snprintf(path, sizeof path, "/tmp/persist-%s-XXXXXX", test);
    assert_true(size > 0 && (size_t)size < sizeof path);
    assert_non_null(mkdtemp(path));
    assert_int_equal(sys->dir_open(sys, sys->cwd, path, &out), 0);
    return out;
}

/* Closes it, and removes it with what is in it. */
static inline void folder_remove(const os_dir *dir)
{
    char command[128];
    int size = snprintf(command, sizeof command, "rm -rf %s", dir->path);
    assert_true(size > 0 && (size_t)size < sizeof command);
    os_posix()->dir_close(os_posix(), (os_dir *)(uintptr_t)dir);
    assert_int_equal(system(command), 0);
}

/* Closes a store that lies there, and removes the folder: how a test is torn
 * down. */
static inline int folder_end(const os_dir *dir, persist_store *store)
{
    persist_status status = persist_close(store, NULL);
    folder_remove(dir);
    return status == PERSIST_OK ? 0 : -1;
}

#endif
