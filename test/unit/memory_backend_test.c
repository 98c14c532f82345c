/* SPDX-License-Identifier: MIT */
/* The memory backend of lib/persist: a change that is cut off after any step of
 * the machine, or runs out of memory anywhere, is there whole or not at all,
 * and made again it comes out as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/slice.h"
#include "sx.h"

enum { FILE_SIZE_MAX = 1 << 20, STEPS_MAX = 100000 };

static const char *const library[] = {"event", "backend", "log", "kv"};

static const char helpers[] =
    "(define (built)"
    "  (let ((b (persist/mem-backend)))"
    "    (for-each (fn (n) (persist/append b \"s\" \"x\" n n)) (range 0 6 1))"
    "    (for-each (fn (n) (persist/kv-put b (str \"k\" n) n)) (range 0 40 1))"
    "    (for-each (fn (n) (persist/kv-delete b (str \"k\" n))) (range 0 33 1))"
    "    (persist/append b \"t\" \"y\" 0 nil)"
    "    (persist/truncate b \"s\" 2)"
    "    b))"
    "(define (dump b)"
    "  (sx-serialize"
    "    (list (map (fn (s) (list s (persist/stream-info b s)))"
    "               ((get b :streams)))"
    "          (persist/read b \"s\") (persist/read-all b nil nil)"
    "          (persist/kv-keys b) (persist/kv-scan b \"\" nil nil))))";

static const char *const changes[] = {
    "(persist/append b \"s\" \"x\" 0 1)",
    "(persist/append b \"new\" \"x\" 0 1)",
    "(persist/backend-append b \"s\" (persist/event \"s\" 90 \"x\" 0 1))",
    "(persist/kv-put b \"k39\" \"other\")",
    "(persist/kv-put b \"new\" 1)",
    "(persist/kv-delete b \"k39\")",
    "(persist/truncate b \"s\" 5)",
    "(persist/truncate b \"s\" 90)",
    "((get b :commit)"
    "  (list {:once \"id\"} {:put \"a\" :value 1} {:delete \"k39\"}"
    "        {:append \"s\" :events (list {:type 1 :at 2 :data 3}"
    "                                     {:type 1 :at 2 :data 4})}"
    "        {:truncate \"s\" :through 4} {:put \"k38\" :value 2}"
    "        {:append \"u\" :events (list {:type 1 :at 2 :data 5})}))",
};
enum { CHANGES = sizeof changes / sizeof *changes };

static uint64_t until; /* allocations that succeed before all others fail */
static bool refused;

static int fail_from(void *context)
{
    (void)context;
    bool fails = until == 0;
    until -= until > 0;
    refused = refused || fails;
    return fails;
}

static void run(sx *m, const char *text)
{
    sx_load(m, slice_str(text));
    sx_state state = sx_run(m, 0);
    if (state == SX_DONE)
        return;
    sx_out out = {0};
    sx_print_failure(m, sx_failure(m), &out, NULL);
    fail_msg("%s: %.*s", text, (int)out.size, out.data);
}

/* What a text gives, a string that the caller frees. */
static char *tell(sx *m, const char *text)
{
    run(m, text);
    slice s = sx_bytes(sx_result(m));
    char *copy = calloc(1, s.size + 1);
    memcpy(copy, s.data, s.size);
    return copy;
}

static int open_machine(void **state)
{
    static char text[FILE_SIZE_MAX];
    sx *m;
    assert_int_equal(sx_open(NULL, &m, NULL), PERSIST_OK);
    for (size_t i = 0; i < sizeof library / sizeof *library; i++) {
        char path[64];
        snprintf(path, sizeof path, "lib/persist/%s.sx", library[i]);
        FILE *f = fopen(path, "rb");
        if (f == NULL)
            fail_msg("no %s: run this where lib/persist is", path);
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);
        run(m, text);
    }
    run(m, helpers);
    *state = m;
    return 0;
}

static int close_machine(void **state)
{
    sx_close(*state);
    return 0;
}

/* Returns true when the change was not cut off. */
typedef bool (*cut_fn)(sx *, const char *change, uint64_t nth);

static bool cut_by_steps(sx *m, const char *change, uint64_t nth)
{
    sx_load(m, slice_str(change));
    sx_state state = sx_run(m, nth + 1);
    sx_reset(m);
    assert_int_not_equal(state, SX_FAILED);
    return state == SX_DONE;
}

static bool cut_by_memory(sx *m, const char *change, uint64_t nth)
{
    until = nth;
    refused = false;
    mem_set_fail(fail_from, NULL);
    sx_state state = sx_load(m, slice_str(change));
    if (state == SX_READY)
        state = sx_run(m, 0);
    mem_set_fail(NULL, NULL);
    assert_true(state == SX_DONE || (state == SX_FAILED && refused));
    sx_reset(m);
    return state == SX_DONE && !refused;
}

static void cut(sx *m, const char *change, cut_fn cut_off)
{
    run(m, "(define b (built))");
    char *before = tell(m, "(dump b)");
    run(m, change);
    char *after = tell(m, "(dump b)");
    assert_string_not_equal(before, after);
    bool done = false, made = false;
    for (uint64_t nth = 0; !done; nth++) {
        assert_true(nth < STEPS_MAX);
        run(m, "(define b (built))");
        done = cut_off(m, change, nth);
        char *now = tell(m, "(dump b)");
        bool whole = strcmp(now, after) == 0;
        if (!whole && strcmp(now, before) != 0)
            fail_msg("half of %s: %s", change, now);
        /* once it is there, it is there for all later cuts; its error is not */
        assert_true(whole || !made);
        made = made || (whole && cut_off == cut_by_steps);
        if (!whole)
            run(m, change);
        free(now);
        now = tell(m, "(dump b)");
        assert_string_equal(now, after);
        free(now);
    }
    free(before);
    free(after);
}

static void a_step_is_the_last(void **state)
{
    for (size_t i = 0; i < CHANGES; i++)
        cut(*state, changes[i], cut_by_steps);
}

static void memory_runs_out(void **state)
{
    for (size_t i = 0; i < CHANGES; i++)
        cut(*state, changes[i], cut_by_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_the_last),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, open_machine, close_machine);
}
