/* SPDX-License-Identifier: MIT */
/* Stores on the real system, and what is done to them from outside. */
#ifndef TEST_UNIT_WORLD_H
#define TEST_UNIT_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/slice.h"
#include "os/os.h"
#include "persist.h"

enum { CHILD_SECONDS_MAX = 60 };

static char top[64], data[96], here[4096];
static persist_error error;

static inline int set_up(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/persist-world-XXXXXX");
    if (mkdtemp(top) == NULL || getcwd(here, sizeof here) == NULL)
        return -1;
    snprintf(data, sizeof data, "%s/data", top);
    umask(022);
    return chmod(top, 0755);
}

__attribute__((format(printf, 1, 2))) static inline int run(const char *format,
                                                            ...)
{
    char command[512], text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(command, sizeof command, "cd %s && %s", top, text);
    return system(command);
}

static inline int tear_down(void **state)
{
    (void)state;
    return chdir(here) != 0 ? -1 : run("chmod -R u+w . && rm -rf %s", top);
}

/* ---- a store ---------------------------------------------------------- */

static inline persist_status try_open(const char *path, persist_store **out)
{
    persist_options options = {PERSIST_OPTIONS, .path = path, .create = true};
    error = (persist_error){0};
    return persist_open(&options, out, &error);
}

static inline persist_store *open_at(const char *path)
{
    persist_store *s;
    if (try_open(path, &s) != PERSIST_OK)
        fail_msg("open: %s", error.message);
    return s;
}

/* Puts a key, and waits for it. */
static inline persist_status put(persist_store *s, const char *key)
{
    persist_edit edit = {
        .kind = PERSIST_PUT, .name = slice_str(key), .data = slice_str("v")};
    persist_outcome out;
    error = (persist_error){0};
    persist_status status = persist_commit(s, &edit, 1, NULL, &out, &error);
    if (status != PERSIST_OK)
        return status;
    persist_lsn lsn = out.lsn;
    persist_outcome_release(&out);
    return persist_wait_durable(s, lsn, &error);
}

static inline bool has(persist_store *s, const char *key)
{
    return persist_has(s, slice_str(key), PERSIST_DURABLE, &error) ==
           PERSIST_OK;
}

/* What was begun after the world has moved is an error that tells of it. */
static inline void assert_noticed(persist_store *s, const char *what)
{
    assert_int_equal(put(s, "after"), PERSIST_READ_ONLY);
    if (strstr(error.message, what) == NULL)
        fail_msg("no word of \"%s\": %s", what, error.message);
    assert_int_equal(put(s, "again"), PERSIST_READ_ONLY);
    assert_true(has(s, "before"));
    assert_false(has(s, "after"));
}

/* ---- processes -------------------------------------------------------- */

/* Runs a function in a child; it returns 0, or the line that failed. */
static inline int in_child(int (*function)(void *), void *context)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS_MAX);
        _exit(function(context));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define SEE(condition)                                                         \
    do {                                                                       \
        if (!(condition))                                                      \
            return __LINE__ % 256 == 0 ? 255 : __LINE__ % 256;                 \
    } while (0)
#define SEE_CLOSED(call)                                                       \
    do {                                                                       \
        error = (persist_error){0};                                            \
        SEE((call) == PERSIST_CLOSED);                                         \
        SEE(strstr(error.message, "forked") != NULL);                          \
    } while (0)

#define WORLD(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
