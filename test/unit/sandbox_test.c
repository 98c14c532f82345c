/* SPDX-License-Identifier: MIT */
/* A sandbox may forbid calls that nobody thinks of as ones that fail: reading
 * the clock, and which signals a thread takes. */
#include "world.h"

#include <sys/syscall.h>
#include <time.h>

#include "os/os_sleep.h"

static bool clock_is_forbidden, mask_is_forbidden;

/* These take the place of the C library's in this program. */
int clock_gettime(clockid_t which, struct timespec *out)
{
    if (clock_is_forbidden) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, which, out);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    if (mask_is_forbidden)
        return EPERM;
    return sigprocmask(how, set, before) == 0 ? 0 : errno;
}

static int begin(void **state)
{
    clock_is_forbidden = mask_is_forbidden = false;
    return set_up(state);
}

static int end(void **state)
{
    clock_is_forbidden = mask_is_forbidden = false;
    return tear_down(state);
}

static const persist_options created = {PERSIST_OPTIONS, .path = data,
                                        .create = true};

static void without_a_clock_nothing_is_opened(void **state)
{
    (void)state;
    persist_store *s;
    clock_is_forbidden = true;
    assert_int_equal(persist_open(&created, &s, &error), PERSIST_IO);
    assert_non_null(strstr(error.message, "cannot read the clock: Operation "
                                          "not permitted; "));
    assert_int_equal(access(data, F_OK), -1);
    clock_is_forbidden = false;
    assert_int_equal(persist_open(&created, &s, &error), PERSIST_OK);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* The store that is open goes on, and who waits has waited once. */
static void a_clock_may_be_forbidden_later(void **state)
{
    (void)state;
    enum { KEYS = 200 };
    char key[32];
    persist_store *s;
    assert_int_equal(persist_open(&created, &s, &error), PERSIST_OK);
    clock_is_forbidden = true;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(put(s, key), PERSIST_OK);
    }
    assert_int_equal(os_wall_us(), 0);
    assert_true(os_clock_us() < os_clock_us()); /* or no wait would end */
    uint64_t newest;
    assert_int_equal(persist_wait_position(s, 0, 20, &newest, &error),
                     PERSIST_NONE);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    clock_is_forbidden = false;
    assert_int_equal(persist_open(&created, &s, &error), PERSIST_OK);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_true(has(s, key));
    }
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

static void a_thread_may_not_be_masked(void **state)
{
    (void)state;
    persist_store *s;
    persist_options options = created;
    options.background = true;
    mask_is_forbidden = true;
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_LIMIT);
    assert_non_null(strstr(error.message, "Operation not permitted"));
    mask_is_forbidden = false;
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

#define FORBIDDEN(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORBIDDEN(without_a_clock_nothing_is_opened),
        FORBIDDEN(a_clock_may_be_forbidden_later),
        FORBIDDEN(a_thread_may_not_be_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
