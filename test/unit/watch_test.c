/* SPDX-License-Identifier: MIT */
/* What the real system tells of names that go or come. */
#include "world.h"

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
        "mv data/there data/here", "mv -T other data/there",
        "rm data/there",           "mv data/here .",
        "mkdir data/folder",       "rmdir data/folder",
    };
    begin();
    assert_true(sys->watch_is_quiet(sys, watch));
    for (size_t i = 0; i < sizeof loud / sizeof *loud; i++) {
        assert_int_equal(run("%s", loud[i]), 0);
        if (sys->watch_is_quiet(sys, watch) != (i == 4))
            fail_msg("%s", loud[i]);
        assert_true(sys->watch_is_quiet(sys, watch));
    }
    assert_int_equal(run("for i in $(seq 2000); do :> data/$i; done"), 0);
    assert_true(sys->watch_is_quiet(sys, watch));
    assert_int_equal(run("rm data/*"), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(what_happens_to_a_name_is_heard),
        WORLD(a_directory_is_watched_wherever_it_goes),
        WORLD(a_closed_descriptor_is_never_quiet),
        WORLD(a_child_has_no_watch),
        WORLD(what_cannot_be_watched_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
