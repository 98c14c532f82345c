/* SPDX-License-Identifier: MIT */
/* What the real system tells of names that go or come. */
#include "world.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* ---- the calls of a watch, each of which can be refused --------------- */

static const char *refused; /* the call, or NULL */
static int refused_with;
static unsigned met;   /* how often it was */
static int queue = -1; /* the descriptor of the last watch */

static bool refuses(const char *call)
{
    if (refused == NULL || strcmp(refused, call) != 0)
        return false;
    met++;
    errno = refused_with;
    return true;
}

static void refuse(const char *call, int why)
{
    refused = call;
    refused_with = why;
    met = 0;
}

/* These take the place of the C library's in this program. */
int inotify_init1(int flags)
{
    return refuses("inotify_init1")
               ? -1
               : (queue = (int)syscall(SYS_inotify_init1, flags));
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return refuses("inotify_add_watch")
               ? -1
               : (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fd == queue && refuses("ioctl")
               ? -1
               : (int)syscall(SYS_ioctl, fd, request, argument);
}

ssize_t read(int fd, void *to, size_t size)
{
    return fd == queue && refuses("read") ? -1
                                          : syscall(SYS_read, fd, to, size);
}

int close(int fd)
{
    queue = fd == queue ? -1 : queue;
    return (int)syscall(SYS_close, fd);
}

int statx(int fd, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict out)
{
    return fd == queue && refuses("statx")
               ? -1
               : (int)syscall(SYS_statx, fd, path, flags, mask, out);
}

static const struct {
    const char *call;
    int errors[6];
} refusals[] = {
    {"inotify_init1", {EMFILE, ENFILE, ENOMEM}},
    {"inotify_add_watch", {ENOMEM, ENOSPC, EACCES, ENOENT, ENAMETOOLONG}},
    {"ioctl", {EBADF, EINVAL, ENOTTY}},
    {"read", {EAGAIN, EINTR, EIO, EINVAL, EBADF}},
    {"statx", {EBADF, ENOMEM, EACCES}},
};

static void each_refusal(void (*see)(const char *call, int why))
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        for (const int *why = refusals[i].errors; *why != 0; why++)
            see(refusals[i].call, *why);
}

/* ---- */

static const os *sys;
static os_dir *dir;
static os_watch *watch;
static int number; /* of the watch's descriptor */

static void begin(void)
{
    sys = os_posix();
    assert_int_equal(run("mkdir -p data && touch data/there other"), 0);
    assert_int_equal(sys->dir_open(sys, sys->cwd, data, &dir), 0);
    number = open("/dev/null", O_RDONLY);
    close(number);
    const os_dir *dirs[] = {dir};
    assert_int_equal(sys->watch_open(sys, dirs, 1, &watch), 0);
    assert_true(fcntl(number, F_GETFD) >= 0);
}

static void end(void)
{
    sys->watch_close(sys, watch);
    sys->dir_close(sys, dir);
}

static void what_happens_to_a_name_is_heard(void **state)
{
    (void)state;
    static const char *const loud[] = {
        "mv data/there data/here",
        "mv -T other data/there",
        "rm data/there",
        "mv data/here .",
        "mkdir data/folder",
        "rmdir data/folder",
        ": > data/new",
        "truncate -s 0 data/new",
        "rm data/new",
    };
    begin();
    assert_true(sys->watch_is_quiet(sys, watch));
    for (size_t i = 0; i < sizeof loud / sizeof *loud; i++) {
        assert_int_equal(run("%s", loud[i]), 0);
        if (sys->watch_is_quiet(sys, watch) != (i == 4))
            fail_msg("%s", loud[i]);
        assert_true(sys->watch_is_quiet(sys, watch));
    }
    assert_int_equal(run("cd data && mkdir $(seq 2000)"), 0);
    assert_true(sys->watch_is_quiet(sys, watch));
    assert_int_equal(run("rmdir data/*"), 0);
    assert_false(sys->watch_is_quiet(sys, watch));
    assert_true(sys->watch_is_quiet(sys, watch));
    end();
}

/* It is the directory that is watched, not its path. */
static void a_directory_is_watched_wherever_it_goes(void **state)
{
    (void)state;
    begin();
    assert_int_equal(run("mv data moved && mkdir data"), 0);
    assert_true(sys->watch_is_quiet(sys, watch));
    assert_int_equal(run("touch data/x && rm data/x"), 0);
    assert_true(sys->watch_is_quiet(sys, watch));
    assert_int_equal(run("rm moved/there"), 0);
    assert_false(sys->watch_is_quiet(sys, watch));
    end();
}

/* Who has the number by now loses nothing, and keeps it. */
static void a_closed_descriptor_is_never_quiet(void **state)
{
    (void)state;
    int ends[2];
    char byte = 'x';
    begin();
    close(number);
    assert_false(sys->watch_is_quiet(sys, watch));
    end();
    begin();
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], number), number);
    assert_int_equal(write(ends[1], &byte, 1), 1);
    assert_false(sys->watch_is_quiet(sys, watch));
    assert_false(sys->watch_is_quiet(sys, watch));
    end();
    assert_int_equal(read(number, &byte, 1), 1);
    close(number);
    close(ends[0]);
    close(ends[1]);
}

static int see_closed(void *context)
{
    SEE(fcntl(*(int *)context, F_GETFD) < 0);
    return 0;
}

static void a_child_has_no_watch(void **state)
{
    (void)state;
    begin();
    assert_int_equal(in_child(see_closed, &number), 0);
    assert_true(sys->watch_is_quiet(sys, watch));
    end();
}

/* Nothing is left open by one that could not be made. */
static void what_cannot_be_watched_is_an_error(void **state)
{
    (void)state;
    begin();
    os_watch *other;
    os_dir *gone;
    assert_int_equal(sys->dir_open(sys, sys->cwd, data, &gone), 0);
    int next = open("/dev/null", O_RDONLY);
    close(next - 1);
    const os_dir *dirs[] = {dir, gone};
    assert_true(sys->watch_open(sys, dirs, 2, &other) < 0);
    assert_int_equal(open("/dev/null", O_RDONLY), next - 1);
    close(next - 1);
    close(next);
    sys->dir_close(sys, gone);
    end();
}

static int next_descriptor(void)
{
    int next = open("/dev/null", O_RDONLY);
    assert_int_equal(close(next), 0);
    return next;
}

/* Nothing is said to be quiet that could not be asked, and nothing stays
 * open. */
static void see_no_quiet(const char *call, int why)
{
    int next = next_descriptor();
    begin();
    const os_dir *dirs[] = {dir};
    assert_int_equal(run("touch data/x && rm data/x"), 0);
    refuse(call, why);
    if (strncmp(call, "inotify", 7) == 0) {
        os_watch *other;
        assert_int_equal(sys->watch_open(sys, dirs, 1, &other), -why);
    } else {
        assert_false(sys->watch_is_quiet(sys, watch));
        assert_false(sys->watch_is_quiet(sys, watch));
    }
    assert_true(met > 0);
    refuse(NULL, 0);
    end();
    assert_int_equal(next_descriptor(), next);
}

/* Of what was just opened it is known whose it is. */
static void see_no_watch(const char *call, int why)
{
    os_watch *other;
    begin();
    int next = next_descriptor(), mine = queue;
    const os_dir *dirs[] = {dir};
    refuse(call, why);
    int code = sys->watch_open(sys, dirs, 1, &other);
    bool used = met > 0;
    refuse(NULL, 0);
    assert_int_equal(code, used ? -why : 0);
    if (code == 0)
        sys->watch_close(sys, other);
    assert_int_equal(next_descriptor(), next);
    queue = mine;
    end();
}

/* What others do is met all the same, by a look at each name. */
static void see_a_store_that_looks(const char *call, int why)
{
    refuse(call, why);
    persist_store *store = open_at(data);
    assert_int_equal(put(store, "a"), PERSIST_OK);
    assert_int_equal(run("touch data/x && rm data/x"), 0);
    assert_int_equal(put(store, "b"), PERSIST_OK);
    assert_int_equal(run("touch data/x && rm data/x"), 0);
    assert_int_equal(put(store, "c"), PERSIST_OK);
    assert_true(met > 0);
    assert_int_equal(run("mv data/blobs aside"), 0);
    assert_int_not_equal(put(store, "d"), PERSIST_OK);
    assert_non_null(strstr(error.message, "blobs"));
    assert_int_equal(run("mv aside data/blobs"), 0);
    (void)persist_close(store, NULL);
    refuse(NULL, 0);
    store = open_at(data);
    assert_true(has(store, "a") && has(store, "b") && has(store, "c"));
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    assert_int_equal(run("rm -r data"), 0);
}

static void each_call_of_it_may_be_refused(void **state)
{
    (void)state;
    each_refusal(see_no_quiet);
    each_refusal(see_no_watch);
    assert_int_equal(run("rm -r data"), 0);
    each_refusal(see_a_store_that_looks);
}

/* The kernel drops what no queue has room for, and says so in the queue. */
static void a_queue_that_overflows_is_heard(void **state)
{
    (void)state;
    unsigned long room = 0;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    assert_non_null(limit);
    assert_int_equal(fscanf(limit, "%lu", &room), 1);
    fclose(limit);
    begin();
    assert_int_equal(chdir(data), 0);
    for (unsigned long i = 0; i <= room; i += 2) {
        assert_int_equal(rename("there", "here"), 0);
        assert_int_equal(rename("here", "there"), 0);
    }
    int size = 0;
    assert_int_equal(ioctl(queue, FIONREAD, &size), 0);
    assert_true((unsigned long)size >= room * sizeof(struct inotify_event));
    assert_int_equal(run("rm data/there"), 0); /* not in the queue */
    assert_false(sys->watch_is_quiet(sys, watch));
    assert_true(sys->watch_is_quiet(sys, watch));
    assert_int_equal(run("touch data/x && rm data/x"), 0);
    assert_false(sys->watch_is_quiet(sys, watch));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(what_happens_to_a_name_is_heard),
        WORLD(a_directory_is_watched_wherever_it_goes),
        WORLD(a_closed_descriptor_is_never_quiet),
        WORLD(a_child_has_no_watch),
        WORLD(what_cannot_be_watched_is_an_error),
        WORLD(each_call_of_it_may_be_refused),
        WORLD(a_queue_that_overflows_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
