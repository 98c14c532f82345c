/* SPDX-License-Identifier: MIT */
/* Whether a descriptor is still ours cannot always be seen: what is closed then
 * is closed all the same, and its locks are given back. */
#include "world.h"

#include <sys/syscall.h>

#include "../lib/process.h"

/* ---- looks, one of which fails ---------------------------------------- */

/* What the manual page of statx names, and what a disk may say; but for EBADF,
 * by which a descriptor is known that is not ours any more. */
static const int errors[] = {EACCES, EFAULT, EINVAL,  ELOOP, ENAMETOOLONG,
                             ENOENT, ENOMEM, ENOTDIR, EIO};
enum { ERRORS = sizeof errors / sizeof *errors };

static unsigned left; /* looks up to the one that fails; 0: none does */
static int fails_with;

/* Takes the place of the C library's in this program. */
int statx(int fd, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict out)
{
    if (left > 0 && --left == 0) {
        errno = fails_with;
        return -1;
    }
    return (int)syscall(SYS_statx, fd, path, flags, mask, out);
}

static void fail_look(unsigned nth, int why)
{
    left = nth;
    fails_with = why;
}

/* Tells whether it was met, and ends it. */
static bool failed_look(void)
{
    bool met = left == 0;
    left = 0;
    return met;
}

/* ---- one handle ------------------------------------------------------- */

static void a_file_is_closed_unseen(void **state)
{
    (void)state;
    const os *sys = os_posix();
    const int flags = OS_READ | OS_WRITE | OS_CREATE;
    int64_t holder;
    os_dir *dir;
    assert_int_equal(sys->dir_open(sys, sys->cwd, top, &dir), 0);
    unsigned before = process_descriptors();
    for (int i = 0; i < ERRORS; i++) {
        os_file *file;
        assert_int_equal(sys->file_open(sys, dir, "f", flags, &file), 0);
        assert_int_equal(sys->file_lock(sys, file, false, &holder), 0);
        fail_look(1, errors[i]);
        assert_int_equal(sys->file_close(sys, file), 0);
        assert_true(failed_look());
        assert_int_equal(process_descriptors(), before);
    }
    sys->dir_close(sys, dir);
}

static void a_directory_is_closed_unseen(void **state)
{
    (void)state;
    const os *sys = os_posix();
    unsigned before = process_descriptors();
    for (int i = 0; i < ERRORS; i++) {
        os_dir *dir;
        assert_int_equal(sys->dir_open(sys, sys->cwd, top, &dir), 0);
        assert_int_equal(sys->dir_lock(sys, dir, false), 0);
        fail_look(1, errors[i]);
        sys->dir_close(sys, dir);
        assert_true(failed_look());
        assert_int_equal(process_descriptors(), before);
    }
}

/* What it has heard, and could not be asked for, it tells later. */
static void a_watch_is_asked_and_closed_unseen(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_dir *dir;
    assert_int_equal(sys->dir_open(sys, sys->cwd, top, &dir), 0);
    unsigned before = process_descriptors();
    for (int i = 0; i < ERRORS; i++) {
        const os_dir *dirs[] = {dir};
        os_watch *watch;
        assert_int_equal(sys->watch_open(sys, dirs, 1, &watch), 0);
        assert_int_equal(run("touch x && rm x"), 0);
        fail_look(1, errors[i]);
        assert_false(sys->watch_is_quiet(sys, watch));
        assert_true(failed_look());
        assert_false(sys->watch_is_quiet(sys, watch));
        assert_true(sys->watch_is_quiet(sys, watch));
        fail_look(1, errors[i]);
        sys->watch_close(sys, watch);
        assert_true(failed_look());
        assert_int_equal(process_descriptors(), before);
    }
    sys->dir_close(sys, dir);
}

/* ---- a store ---------------------------------------------------------- */

/* Returns whether its closing has so many looks. */
static bool close_unseen(unsigned nth, int why)
{
    unsigned before = process_descriptors();
    persist_cid cid;
    persist_store *s = open_at(data);
    assert_int_equal(put(s, "k"), PERSIST_OK);
    assert_int_equal(persist_blob_put(s, slice_str("b"), cid, &error),
                     PERSIST_OK);
    fail_look(nth, why);
    (void)persist_close(s, NULL);
    bool met = failed_look();
    if (process_descriptors() != before)
        fail_msg("look %u, %s: %u descriptors more", nth, strerror(why),
                 process_descriptors() - before);
    s = open_at(data);
    assert_true(has(s, "k"));
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    return met;
}

static void a_store_is_closed_unseen(void **state)
{
    (void)state;
    unsigned looks = 0;
    for (int i = 0; i < ERRORS; i++)
        for (unsigned nth = 1; close_unseen(nth, errors[i]); nth++)
            looks++;
    assert_true(looks >= 5 * ERRORS);
    printf("figure: %u looks of a closing failed, nothing stayed open\n",
           looks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_file_is_closed_unseen),
        WORLD(a_directory_is_closed_unseen),
        WORLD(a_watch_is_asked_and_closed_unseen),
        WORLD(a_store_is_closed_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
