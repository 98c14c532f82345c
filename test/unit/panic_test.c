/* SPDX-License-Identifier: MIT */
/* The end of a process in which the library has found its own mistake. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "persist.h"
#include "sx.h"

static char said[1024];

static void fail_a_check(void)
{
    CHECK(said[0] == 'x');
}

static void (*mistake)(void) = fail_a_check;

/* A mistake in a child, whose standard error comes back; returns how it ended.
 */
static int fail_in_child(persist_panic_fn panic, void *context)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        persist_on_panic(panic, context);
        mistake();
        _exit(1);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t n;
         (n = read(ends[0], said + size, sizeof said - 1 - size)) > 0;)
        size += (size_t)n;
    said[size] = '\0';
    close(ends[0]);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

static void tell(void *context, const char *sentence)
{
    fprintf(stderr, "%s %s", (const char *)context, sentence);
}

static void leave(void *context, const char *sentence)
{
    (void)sentence;
    _exit(*(int *)context);
}

static void fail_again(void *context, const char *sentence)
{
    tell(context, sentence);
    CHECK(context == NULL);
}

static void is_told(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("not \"%s\": %s", text, said);
}

static void a_mistake_is_told_and_ends_the_process(void **state)
{
    (void)state;
    said[0] = '\0';
    assert_int_equal(WTERMSIG(fail_in_child(NULL, NULL)), SIGABRT);
    is_told("panic_test.c:");
    is_told("check failed: said[0] == 'x'; ");
    is_told("report it\n");
}

static void a_panic_function_is_called_instead(void **state)
{
    (void)state;
    char name[] = "sentence:";
    int code = 17;
    assert_int_equal(WTERMSIG(fail_in_child(tell, name)), SIGABRT);
    is_told("sentence: test/unit/panic_test.c:");
    assert_null(strstr(said, "\n"));
    assert_int_equal(WEXITSTATUS(fail_in_child(leave, &code)), 17);
    assert_string_equal(said, "");
}

static void one_that_fails_itself_is_told(void **state)
{
    (void)state;
    char name[] = "sentence:";
    assert_int_equal(WTERMSIG(fail_in_child(fail_again, name)), SIGABRT);
    is_told("check failed: said[0] == 'x'");
    is_told("check failed: context == NULL");
}

static void ask_nobody(void)
{
    (void)sx_run(NULL, 0);
}

static void ask_too_early(void)
{
    sx *m;
    assert_int_equal(sx_open(NULL, &m, NULL), PERSIST_OK);
    (void)sx_result(m);
}

static void answer_nothing(void)
{
    sx *m;
    assert_int_equal(sx_open(NULL, &m, NULL), PERSIST_OK);
    sx_resume(m, sx_nil());
}

static void take_nil_for_a_number(void)
{
    (void)sx_integer(sx_nil());
}

static void read_behind_the_end(void)
{
    sx *m;
    sx_value list;
    assert_int_equal(sx_open(NULL, &m, NULL), PERSIST_OK);
    assert_true(sx_make_list(m, 1, &list));
    (void)sx_list_at(list, 0);
}

/* Who calls is told that it is his, and where to look. */
static void the_mistake_of_a_caller_is_his(void **state)
{
    (void)state;
    static const struct {
        void (*make)(void);
        const char *told;
    } mistakes[] = {
        {ask_nobody, "sx_run: there is no machine; "},
        {ask_too_early, "sx_result: the machine is not SX_DONE; "},
        {answer_nothing, "sx_resume: the machine is not SX_SUSPENDED; "},
        {take_nil_for_a_number, "sx_integer: the value is no integer; "},
        {read_behind_the_end, "sx_list_at: the list has no such element; "},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        mistake = mistakes[i].make;
        assert_int_equal(WTERMSIG(fail_in_child(NULL, NULL)), SIGABRT);
        is_told(mistakes[i].told);
        is_told("this is a mistake of the program that called it\n");
        assert_null(strstr(said, "report it"));
    }
    mistake = fail_a_check;
}

static void the_library_says_its_version(void **state)
{
    (void)state;
    assert_string_equal(persist_version(), PERSIST_VERSION);
    assert_int_equal(persist_version_number(), PERSIST_VERSION_NUMBER);
    char *end;
    long number = strtol(PERSIST_VERSION, &end, 10) * 1000000;
    number += strtol(end + 1, &end, 10) * 1000;
    number += strtol(end + 1, &end, 10);
    assert_int_equal(number, PERSIST_VERSION_NUMBER);
    assert_string_equal(end, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_told_and_ends_the_process),
        cmocka_unit_test(a_panic_function_is_called_instead),
        cmocka_unit_test(one_that_fails_itself_is_told),
        cmocka_unit_test(the_mistake_of_a_caller_is_his),
        cmocka_unit_test(the_library_says_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
