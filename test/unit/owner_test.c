/* SPDX-License-Identifier: MIT */
/* Root opens a store of somebody else's, who goes on with it. */
#include "world.h"

#include <sys/syscall.h>

#include "../lib/process.h"

enum { NOBODY = 65534, NOT_HIS = 200 };

/* ---- calls that fail -------------------------------------------------- */

typedef enum refused {
    NOTHING,
    GIVING,       /* the look at either file, or giving it away */
    OPENING_AGAIN /* of a file that was to be made, and is there */
} refused;

static refused refuses;
static unsigned met, until; /* calls of that kind; which one, 0: all */
static int refused_with;

static bool is_refused(refused kind)
{
    if (refuses != kind || (++met != until && until != 0))
        return false;
    errno = refused_with;
    return true;
}

static void refuse(refused kind, unsigned nth, int why)
{
    refuses = kind;
    met = 0;
    until = nth;
    refused_with = why;
}

/* These take the place of the C library's in this program. */
int statx(int fd, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict out)
{
    if (mask == (STATX_UID | STATX_GID) && is_refused(GIVING))
        return -1;
    return (int)syscall(SYS_statx, fd, path, flags, mask, out);
}

int fchown(int fd, uid_t user, gid_t group)
{
    return is_refused(GIVING) ? -1 : (int)syscall(SYS_fchown, fd, user, group);
}

int openat(int at, const char *path, int flags, ...)
{
    static _Thread_local bool was_there;
    va_list more;
    va_start(more, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(more, unsigned) : 0;
    va_end(more);
    if (was_there && is_refused(OPENING_AGAIN)) {
        was_there = false;
        return -1;
    }
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    was_there = fd < 0 && errno == EEXIST;
    return fd;
}

/* ---- whose it is ------------------------------------------------------ */

static int use_as_another(void *context)
{
    const char *key = context;
    persist_store *s;
    SEE(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    SEE(try_open(data, &s) == PERSIST_OK);
    SEE(put(s, key) == PERSIST_OK);
    SEE(has(s, "k"));
    return 0;
}

/* Root finishes what was killed, and makes files, folders and a store; all of
 * it is its owner's. What root has at another place stays root's. */
static void what_root_makes_is_the_owners(void **state)
{
    (void)state;
    if (getuid() != 0)
        return;
    char key[] = "k";
    assert_int_equal(
        run("mkdir data && touch roots && chown %d:%d data", NOBODY, NOBODY),
        0);
    for (int i = 0; i < 3; i++) {
        persist_cid cid;
        if (i > 0)
            assert_int_equal(in_child(use_as_another, key), 0);
        if (i == 2)
            assert_int_equal(run("rm -rf data/reserve.tmp data/tmp "
                                 "&& ln roots data/reserve.tmp"),
                             0);
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "k"), PERSIST_OK);
        assert_int_equal(persist_blob_put(s, slice_str("b"), cid, &error),
                         PERSIST_OK);
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        assert_int_equal(run("[ $(stat -c %%u roots) = 0 ] && find data "
                             "! -path data/reserve.tmp ! -uid %d | "
                             "{ ! grep .; }",
                             NOBODY),
                         0);
    }
}

/* It works, or says which file is not his. Who may not write reads. */
static int try_as_another(void *unused)
{
    (void)unused;
    persist_store *s;
    SEE(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    persist_status status = try_open(data, &s);
    if (status == PERSIST_OK && has(s, "k"))
        status = put(s, "more");
    if (status == PERSIST_OK)
        return 0;
    SEE(status == PERSIST_IO || status == PERSIST_READ_ONLY);
    SEE(strstr(error.message, data) != NULL);
    SEE(strstr(error.message, ": Permission denied; ") != NULL);
    return NOT_HIS;
}

/* It serves root, and its owner is told which file is not his; once it is given
 * to him, all is there. */
static void what_cannot_be_given_away_loses_nothing(void **state)
{
    (void)state;
    char key[] = "k";
    unsigned calls = 1, told = 0;
    if (getuid() != 0)
        return;
    for (unsigned nth = 0; nth <= calls; nth++) { /* all of them, then each */
        assert_int_equal(run("rm -rf data && mkdir data && chown %d:%d data",
                             NOBODY, NOBODY),
                         0);
        refuse(GIVING, nth, EPERM);
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "k"), PERSIST_OK);
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        if (nth == 0)
            assert_int_equal(run("find data -uid 0 | grep -q ."), 0);
        calls = met;
        refuse(NOTHING, 0, 0);
        s = open_at(data);
        assert_true(has(s, "k"));
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        int end = in_child(try_as_another, NULL);
        assert_true(end == 0 || end == NOT_HIS);
        told += end == NOT_HIS;
        assert_int_equal(run("chown -R --reference=data data"), 0);
        assert_int_equal(in_child(use_as_another, key), 0);
    }
    printf("figure: of %u calls that give files away each was refused, and "
           "their owner told of a file %u times\n",
           calls, told);
    assert_true(calls > 10 && told > 6);
}

/* ---- made twice ------------------------------------------------------- */

/* Who finds it made already opens it; where that fails, it is an error. */
static void a_file_that_is_there_may_not_open(void **state)
{
    (void)state;
    const os *sys = os_posix();
    static const int errors[] = {EACCES, EIO, ELOOP, EMFILE, ENOENT, ENOMEM};
    const int flags = OS_READ | OS_WRITE | OS_CREATE;
    os_dir *dir;
    os_file *file;
    assert_int_equal(run("echo bytes > f"), 0);
    assert_int_equal(sys->dir_open(sys, sys->cwd, top, &dir), 0);
    unsigned before = process_descriptors();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        refuse(OPENING_AGAIN, 1, errors[i]);
        assert_int_equal(sys->file_open(sys, dir, "f", flags, &file),
                         -errors[i]);
        assert_int_equal(met, 1);
        assert_int_equal(process_descriptors(), before);
        assert_int_equal(sys->file_open(sys, dir, "f", flags, &file), 0);
        assert_int_equal(sys->file_close(sys, file), 0);
    }
    refuse(NOTHING, 0, 0);
    assert_int_equal(run("[ $(cat f) = bytes ]"), 0);
    sys->dir_close(sys, dir);
}

/* The first such file of an opening is that of the lock. */
static void a_store_whose_lock_does_not_open(void **state)
{
    (void)state;
    persist_store *s = open_at(data);
    assert_int_equal(put(s, "k"), PERSIST_OK);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    refuse(OPENING_AGAIN, 1, EMFILE);
    assert_int_equal(try_open(data, &s), PERSIST_IO);
    assert_non_null(strstr(error.message, "/lock: Too many open files; raise"));
    refuse(OPENING_AGAIN, 1, ENOMEM);
    assert_int_equal(try_open(data, &s), PERSIST_LIMIT);
    refuse(NOTHING, 0, 0);
    s = open_at(data);
    assert_true(has(s, "k"));
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(what_root_makes_is_the_owners),
        WORLD(what_cannot_be_given_away_loses_nothing),
        WORLD(a_file_that_is_there_may_not_open),
        WORLD(a_store_whose_lock_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
