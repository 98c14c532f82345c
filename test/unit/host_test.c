/* SPDX-License-Identifier: MIT */
/* The host over a simulated system: what a program sees when the disk fails. */
/* Before cmocka, which has a macro named fail. */
#include "sx/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/os_sim.h"
#include "base/mem.h"
#include "host/host_private.h"

typedef struct world {
    os_sim *sim;
    host *host;
    char text[4096]; /* of the last value, printed */
} world;

static host *open_host(os_sim *sim, host_unknown unknown, size_t heap_max)
{
    host_options options = {
        .store = {PERSIST_OPTIONS, .path = "/store", .os = os_sim_os(sim)},
        .unknown = unknown,
        .machine = {SX_OPTIONS, .heap_max = heap_max},
    };
    host *h = host_open(&options);
    assert_non_null(h);
    return h;
}

static int set_up(void **state)
{
    world *w = test_calloc(1, sizeof *w);
    w->sim = os_sim_new(7);
    w->host = open_host(w->sim, HOST_UNKNOWN_ERROR, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    (void)host_close(w->host, NULL);
    os_sim_free(w->sim);
    test_free(w);
    return 0;
}

static void reopen(world *w, host_unknown unknown, size_t heap_max)
{
    (void)host_close(w->host, NULL);
    w->host = open_host(w->sim, unknown, heap_max);
}

static const char *keep(world *w)
{
    sx_out out = {0};
    sx *m = host_machine(w->host);
    assert_int_equal(sx_print_failure(m, host_value(w->host), &out, NULL),
                     PERSIST_OK);
    assert_true(out.size < sizeof w->text);
    memcpy(w->text, out.data, out.size);
    w->text[out.size] = '\0';
    sx_out_release(&out);
    return w->text;
}

/* Runs a text to its end and returns the printed value, or the failure. */
static const char *eval(world *w, const char *source)
{
    host_load(w->host, slice_str(source));
    host_state end = host_run(w->host, 0);
    assert_true(end == HOST_DONE || end == HOST_FAILED);
    return keep(w);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static persist_status sync_all(world *w)
{
    return host_sync(w->host, host_rests(w->host), NULL);
}

#define APPEND(seq)                                                            \
    "(get (perform {:op \"persist/append\" :args (list \"s\" {:stream \"s\" "  \
    ":seq " seq " :type \"t\" :at 0 :data nil})}) :seq)"
#define READ "(len (perform {:op \"persist/read\" :args \"s\"}))"
#define MARK "(perform {:op \"persist/last-seq\" :args (list \"s\")})"
#define CODE(body) "(guard (e (else (get e :error))) " body ")"

static void a_failed_sync_takes_back_what_was_shown(void **state)
{
    world *w = *state;
    assert_string_equal(eval(w, APPEND("1")), "1");
    assert_int_equal(sync_all(w), PERSIST_OK);
    assert_string_equal(eval(w, APPEND("2")), "2");
    assert_string_equal(eval(w, READ), "2");
    sim_fault fault = {.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO};
    os_sim_fail(w->sim, fault);
    assert_int_equal(sync_all(w), PERSIST_READ_ONLY);
    assert_string_equal(eval(w, READ), "1");
    assert_string_equal(eval(w, MARK), "1");
    assert_string_equal(eval(w, CODE(APPEND("3"))), "\"read-only\"");
    assert_string_equal(eval(w, READ), "1");
    reopen(w, HOST_UNKNOWN_ERROR, 0);
    assert_string_equal(eval(w, CODE(APPEND("9"))), "9");
}

static void a_full_disk_refuses_and_heals(void **state)
{
    world *w = *state;
    assert_string_equal(eval(w, APPEND("1")), "1");
    assert_int_equal(sync_all(w), PERSIST_OK);
    os_sim_limit_space(w->sim, os_sim_space_used(w->sim));
    const char *fill = "(define big (join \"\" (map (fn (i) \"0123456789\") "
                       "(range 0 100000))))"
                       "(define (fill n) (if (= n 0) nil (begin (perform "
                       "{:op \"persist/kv-put\" :args (list (str n) big)}) "
                       "(fill (- n 1)))))"
                       "(guard (e (else (get e :error))) (fill 100))";
    assert_string_equal(eval(w, fill), "\"no-space\"");
    assert_string_equal(eval(w, READ), "1");
    os_sim_limit_space(w->sim, UINT64_MAX);
    assert_string_equal(eval(w, APPEND("2")), "2");
    assert_int_equal(sync_all(w), PERSIST_OK);
    reopen(w, HOST_UNKNOWN_ERROR, 0);
    assert_string_equal(eval(w, READ), "2");
}

static void a_store_that_cannot_be_opened_is_tried_again(void **state)
{
    world *w = *state;
    sim_fault fault = {.calls = 1u << SIM_MKDIR, .nth = 1, .error = EACCES};
    os_sim_fail(w->sim, fault);
    assert_string_equal(eval(w, CODE(APPEND("1"))), "\"io\"");
    assert_string_equal(eval(w, APPEND("1")), "1");
}

static void an_answer_too_large_for_the_heap_is_a_limit(void **state)
{
    world *w = *state;
    const char *write =
        "(define (go n) (if (= n 0) nil (begin (perform {:op "
        "\"persist/append\" :args (list \"s\" {:stream \"s\" :seq (- 40001 n) "
        ":type \"t\" :at 0 :data (list n n n n n n n n)})}) (go (- n 1)))))"
        "(go 40000)";
    assert_string_equal(eval(w, write), "nil");
    reopen(w, HOST_UNKNOWN_ERROR, 4 << 20);
    assert_string_equal(eval(w, CODE(READ)), "\"limit\"");
    assert_string_equal(eval(w, MARK), "40000");
    assert_true(begins(eval(w, READ), "limit: "));
    const char *range = "(get (last (perform {:op \"persist/read-range\" :args "
                        "(list \"s\" 39999 nil)})) :seq)";
    assert_string_equal(eval(w, range), "40000");
}

/* ---- what a C program has stored -------------------------------------- */

static const char *const foreign[] = {"", " \n", "hello (world",
                                      "{\"id\":5 \"name\":}", "1 2"};
enum { FOREIGN = sizeof foreign / sizeof *foreign };

static void store_foreign(world *w)
{
    persist_store *store;
    persist_options options = {PERSIST_OPTIONS, .path = "/store",
                               .create = true, .os = os_sim_os(w->sim)};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    for (unsigned i = 0; i < FOREIGN; i++) {
        char name[8];
        snprintf(name, sizeof name, "k\n%u", i);
        const slice text = slice_str(foreign[i]);
        const persist_edit edits[] = {
            {.kind = PERSIST_PUT, .name = slice_str(name), .data = text},
            {.kind = PERSIST_APPEND, .name = slice_str("s"), .data = text}};
        assert_int_equal(persist_commit(store, edits, 2, NULL, NULL, NULL),
                         PERSIST_OK);
    }
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

static void refuses(world *w, const char *op, const char *arguments,
                    const char *what, const char *why)
{
    char source[512], wanted[256];
    snprintf(source, sizeof source,
             "(guard (e (else (list (get e :error) (get e :stream) "
             "(get e :seq) (get e :message)))) "
             "(perform {:op \"persist/%s\" :args (list %s)}))",
             op, arguments);
    const char *said = eval(w, source);
    snprintf(wanted, sizeof wanted, "(\"not-storable\" %s is no SX value (%s",
             what, why);
    if (!begins(said, wanted))
        fail_msg("%s, not %s", said, wanted);
}

/* What is no SX text was not damaged: it is named, and it is no corruption. */
static void what_a_c_program_has_stored_is_named(void **state)
{
    world *w = *state;
    store_foreign(w);
    for (unsigned i = 0; i < FOREIGN; i++) {
        char arguments[64], what[96];
        const char *why = i < 2 ? "it is empty)" : "";
        snprintf(arguments, sizeof arguments, "\"k\\n%u\"", i);
        snprintf(what, sizeof what,
                 "nil nil \"persist/kv-get: the value of k?%u", i);
        refuses(w, "kv-get", arguments, what, why);
        snprintf(arguments, sizeof arguments, "\"k\\n%u\" nil nil", i);
        snprintf(what, sizeof what,
                 "nil nil \"persist/kv-scan: the value of k?%u", i);
        refuses(w, "kv-scan", arguments, what, why);
        snprintf(arguments, sizeof arguments, "\"s\" %u %u", i + 1, i + 1);
        snprintf(what, sizeof what,
                 "\"s\" %u \"persist/read-range: event %u of s", i + 1, i + 1);
        refuses(w, "read-range", arguments, what, why);
        snprintf(arguments, sizeof arguments, "%u 1", i + 1);
        snprintf(what, sizeof what,
                 "\"s\" %u \"persist/read-all: event %u of s", i + 1, i + 1);
        refuses(w, "read-all", arguments, what, why);
    }
}

/* ---- ops -------------------------------------------------------------- */

static void nothing_is_opened_without_an_op(void **state)
{
    world *w = *state;
    assert_string_equal(eval(w, "(+ 1 2)"), "3");
    assert_int_equal(host_rests(w->host), 0);
    /* the seed of the hash */
    assert_int_equal(os_sim_calls(w->sim, SIM_CALLS), 1);
}

static void requests_that_are_none_are_refused(void **state)
{
    world *w = *state;
    static const char *const bad[] = {
        "(perform 42)",
        "(perform nil)",
        "(perform {:args (list 1)})",
        "(perform {:op 7})",
        "(perform {:op \"persist/read\"})",
        "(perform {:op \"persist/read\" :args (list 1 2)})",
        "(perform {:op \"persist/read\" :args 5})",
        "(perform {:op \"persist/kv-put\" :args (list \"k\")})",
        "(perform {:op \"persist/append\" :args (list \"s\" 1)})",
        "(perform {:op \"persist/commit\" :args (list (list 1))})",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(begins(eval(w, bad[i]), "bad-request: "));
    assert_int_equal(host_rests(w->host), 0);
}

static void an_op_that_nobody_owns(void **state)
{
    world *w = *state;
    const char *op = "(perform {:op \"clock/now\" :args (list 1)})";
    assert_true(begins(eval(w, op), "unknown-op: "));
    reopen(w, HOST_UNKNOWN_NIL, 0);
    assert_string_equal(eval(w, op), "nil");
    reopen(w, HOST_UNKNOWN_BRIDGE, 0);
    host_load(w->host, slice_str(op));
    assert_int_equal(host_run(w->host, 0), HOST_BRIDGE);
    host_answer(w->host, sx_boolean(true));
    assert_int_equal(host_run(w->host, 0), HOST_DONE);
    assert_true(sx_is_true(host_value(w->host)));
    host_load(w->host, slice_str(op));
    assert_int_equal(host_run(w->host, 0), HOST_BRIDGE);
    persist_error error = {.status = PERSIST_READ_ONLY, .message = "why"};
    host_refuse(w->host, &error);
    assert_int_equal(host_run(w->host, 0), HOST_FAILED);
    assert_string_equal(keep(w), "read-only: why");
}

/* Fails each allocation in turn: an error or the right answer, no crash. */
static int fail_nth(void *context)
{
    uint64_t *left = context;
    return *left > 0 && --*left == 0;
}

static void a_long_op_is_cut_in_its_error(void **state)
{
    world *w = *state;
    eval(w, "(define (perform-long s)"
            "  (guard (e (else (list (len (get e :message)) (get e :op))))"
            "    (perform {:op s})))"
            "(define (double s n) (if (= n 0) s (double (str s s) (- n 1))))");
    assert_string_equal(
        eval(w, "(len (nth (perform-long (double \"x\" 20)) 1))"), "203");
    assert_string_equal(
        eval(w, "(< (first (perform-long (double \"x\" 20))) 300)"), "true");
    assert_string_equal(eval(w, "(nth (perform-long \"a/b\") 1)"), "\"a/b\"");
}

static void each_host_has_a_seed_of_its_own(void **state)
{
    world *w = *state;
    uint64_t first = host_machine(w->host)->options.hash_seed;
    reopen(w, HOST_UNKNOWN_ERROR, 0);
    uint64_t second = host_machine(w->host)->options.hash_seed;
    assert_true(first != 0 && second != 0 && first != second);
    assert_true(first >> 32 != 0 && second >> 32 != 0);
    os_sim *twin = os_sim_new(7); /* the same system: the same bits */
    host *h = open_host(twin, HOST_UNKNOWN_ERROR, 0);
    assert_int_equal(host_machine(h)->options.hash_seed, first);
    (void)host_close(h, NULL);
    os_sim_free(twin);
}

static void every_allocation_may_fail(void **state)
{
    world *w = *state;
    const char *commit =
        "(len (get (perform {:op \"persist/commit\" :args (list (list {:once "
        "\"id\"} {:append \"s\" :events (list {:type 1 :at 2 :data 3})} {:put "
        "\"k\" :value (list 1 2)}))}) :results))";
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        uint64_t left = n;
        mem_set_fail(fail_nth, &left);
        host_load(w->host, slice_str(commit));
        host_state end = host_run(w->host, 0);
        mem_set_fail(NULL, NULL);
        failed = left == 0;
        assert_true(end == HOST_DONE || end == HOST_FAILED);
        if (end == HOST_FAILED)
            assert_true(begins(keep(w), "limit"));
    }
    assert_string_equal(eval(w, commit), "3");
    assert_string_equal(eval(w, READ), "1");
}

/* ---- waiting ------------------------------------------------------------ */

#define WAIT(above, ms)                                                        \
    "(perform {:op \"persist/wait\" :args (list " above " " ms ")})"

static void note(void *counter)
{
    ++*(int *)counter;
}

static void begin_wait(world *w, const char *source)
{
    host_load(w->host, slice_str(source));
    assert_int_equal(host_run(w->host, 0), HOST_WAITING);
}

static void pass(world *w, uint64_t ms)
{
    static const _Atomic uint32_t word;
    const os *sys = os_sim_os(w->sim);
    sys->sleep_while(sys, &word, 0, ms * 1000);
}

static void what_was_written_is_durable_before_a_wait(void **state)
{
    world *w = *state;
    begin_wait(w, "(do " APPEND("1") WAIT("1", "3600000") ")");
    assert_int_equal(host_durable(w->host), 1);
    assert_in_range(host_wait_ms(w->host), 3500000, 3600000);
    begin_wait(w, "(do " APPEND("2") WAIT("2", "1000") ")"); /* the other one
                                                                 is dropped */
    pass(w, 500);
    assert_int_equal(host_run(w->host, 1), HOST_WAITING);
    assert_in_range(host_wait_ms(w->host), 1, 500);
    pass(w, 500);
    assert_int_equal(host_wait_ms(w->host), 0);
    assert_int_equal(host_run(w->host, 0), HOST_DONE);
    assert_string_equal(keep(w), "2");
    assert_string_equal(eval(w, WAIT("1", "1000")), "2");
    assert_string_equal(eval(w, WAIT("2", "0")), "2");
    eval(w, APPEND("3"));
    sim_fault fault = {.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO};
    os_sim_fail(w->sim, fault);
    assert_string_equal(eval(w, CODE(WAIT("1", "1000"))), "\"read-only\"");
    assert_string_equal(eval(w, CODE("(perform {:op \"persist/sync\"})")),
                        "\"read-only\"");
    assert_string_equal(eval(w, "(perform {:op \"persist/position\"})"), "2");
}

static void append_beside(persist_store *store)
{
    const persist_edit edit = {
        .kind = PERSIST_APPEND, .name = slice_str("s"), .data = slice_str("1")};
    persist_outcome out;
    assert_int_equal(persist_commit(store, &edit, 1, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_wait_durable(store, out.lsn, NULL), PERSIST_OK);
    persist_outcome_release(&out);
}

/* Somebody else has the store too. */
static void news_ends_a_wait(void **state)
{
    world *w = *state;
    int told = 0;
    w->host->options.news = note;
    w->host->options.news_context = &told;
    begin_wait(w, WAIT("1", "3600000"));
    append_beside(w->host->store);
    assert_int_equal(told, 1);
    assert_int_equal(host_run(w->host, 0), HOST_WAITING);
    append_beside(w->host->store);
    assert_int_equal(host_run(w->host, 0), HOST_DONE);
    assert_string_equal(keep(w), "2");
    begin_wait(w, CODE(WAIT("2", "3600000")));
    told = 0;
    sim_fault fault = {.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO};
    os_sim_fail(w->sim, fault);
    const persist_edit put = {.kind = PERSIST_PUT, .name = slice_str("k")};
    assert_int_equal(persist_commit(w->host->store, &put, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_wait_durable(w->host->store, 3, NULL),
                     PERSIST_READ_ONLY);
    assert_int_equal(told, 1);
    assert_int_equal(host_run(w->host, 0), HOST_DONE);
    assert_string_equal(keep(w), "\"read-only\"");
}

/* One past the newest is then no integer. */
static void the_highest_position_has_none_behind_it(void **state)
{
    world *w = *state;
    const persist_edit edits[] = {
        {.kind = PERSIST_SET_POSITION, .seq = PERSIST_SEQ_MAX},
        {.kind = PERSIST_APPEND,
         .name = slice_str("s"),
         .data =
             slice_str("{:stream \"s\" :seq 1 :type \"t\" :at 0 :data nil}")}};
    assert_string_equal(eval(w, "(perform {:op \"persist/position\"})"), "0");
    assert_int_equal(persist_commit(w->host->store, edits, 2, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_string_equal(eval(w, "(perform {:op \"persist/position\"})"),
                        "9223372036854775807");
    assert_string_equal(
        eval(w, "(perform {:op \"persist/position-at\" :args (list 0)})"),
        "9223372036854775807");
    assert_string_equal(eval(w, WAIT("0", "0")), "9223372036854775807");
    assert_string_equal(eval(w, CODE("(perform {:op \"persist/position-at\" "
                                     ":args (list 9223372036854775807)})")),
                        "\"bad-request\"");
}

/* Where not even the dict of an error fits, it has its code and words. That of
 * a stream with a long name does not before the heap is full. */
static void an_error_without_memory_has_words(void **state)
{
    world *w = *state;
    reopen(w, HOST_UNKNOWN_ERROR, 1 << 20);
    eval(w, "(define keep nil) (define whole 0) (define brief 0)"
            "(define other 0) (define s (join \"sssssssss\" (range 5000)))"
            "(define wrong {:op \"persist/append\" :args (list s {:stream s"
            "  :seq 0 :type \"t\" :at 0 :data 1})}) 1");
    assert_true(begins(
        eval(w, "(let loop () (set! keep (list keep))"
                "  (guard (e ((not (= (get e :error) \"seq-conflict\"))"
                "             (set! other (+ other 1)))"
                "            ((starts-with? (get e :message) \"the number is "
                "taken\")"
                "             (set! brief (+ brief 1)))"
                "            ((starts-with? (get e :message) \"the number \")"
                "             (set! whole (+ whole 1)))"
                "            (else (set! other (+ other 1)))) (perform wrong))"
                "  (loop))"),
        "limit: "));
    assert_string_equal(eval(w, "(list (> whole 0) (> brief 0) other)"),
                        "(true true 0)");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_error_without_memory_has_words),
        TEST(a_failed_sync_takes_back_what_was_shown),
        TEST(a_full_disk_refuses_and_heals),
        TEST(a_store_that_cannot_be_opened_is_tried_again),
        TEST(an_answer_too_large_for_the_heap_is_a_limit),
        TEST(what_a_c_program_has_stored_is_named),
        TEST(nothing_is_opened_without_an_op),
        TEST(requests_that_are_none_are_refused),
        TEST(an_op_that_nobody_owns),
        TEST(a_long_op_is_cut_in_its_error),
        TEST(each_host_has_a_seed_of_its_own),
        TEST(every_allocation_may_fail),
        TEST(what_was_written_is_durable_before_a_wait),
        TEST(news_ends_a_wait),
        TEST(the_highest_position_has_none_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
