/* SPDX-License-Identifier: MIT */
/* What the language costs: CPU nanoseconds a call, a perform, an append through
 * lib/persist that C answers at once, a read and a print of an event. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sx.h"

enum { ROUNDS = 5 };

static const char event_text[] =
    "{:stream \"orders\" :seq 1234 :type \"order-placed\" :at 1700000000 "
    ":data {:customer \"c-1029384756\" :items (1 2 3 4) :note \"please ring "
    "twice, the bell is old\" :total 1999 :currency \"EUR\" :vat 0.19}}";

static const char *const library[] = {"event",  "backend", "log",    "kv",
                                      "commit", "project", "durable"};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "sx_bench: %s\n", what);
    exit(1);
}

static persist_slice text_of(const char *text)
{
    return (persist_slice){text, strlen(text)};
}

/* What the host says: numbers climb, events come back. */
static sx_value answer(sx *m, int64_t *mark)
{
    sx_value request = sx_request(m), op, args, v;
    if (!sx_dict_find(m, request, text_of("op"), &op) ||
        !sx_dict_find(m, request, text_of("args"), &args))
        die("a request without :op and :args");
    const char *name = sx_bytes(op).data;
    if (strcmp(name, "persist/append") == 0) {
        ++*mark;
        return sx_list_at(args, 1);
    }
    if (strcmp(name, "persist/last-seq") == 0 && sx_make_integer(m, *mark, &v))
        return v;
    return sx_nil();
}

static void run(sx *m, const char *text)
{
    int64_t mark = 0;
    sx_load(m, text_of(text));
    while (sx_run(m, 0) == SX_SUSPENDED)
        sx_resume(m, answer(m, &mark));
    if (sx_get_state(m) == SX_DONE)
        return;
    sx_out out = {0};
    sx_print_failure(m, sx_failure(m), &out, NULL);
    fprintf(stderr, "%.*s\n", (int)out.size, out.data);
    die("the program failed");
}

static void load_library(sx *m)
{
    for (size_t i = 0; i < sizeof library / sizeof *library; i++) {
        char path[256], *text = malloc(1 << 20);
        snprintf(path, sizeof path, "lib/persist/%s.sx", library[i]);
        FILE *f = fopen(path, "rb");
        if (f == NULL || text == NULL)
            die("run it where lib/persist is");
        text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
        fclose(f);
        run(m, text);
        free(text);
    }
}

static void time_program(sx *m, const char *what, const char *text, int count)
{
    double best = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        run(m, text);
        double ns = (now_ns() - start) / count;
        best = ns < best ? ns : best;
    }
    printf("%-32s %8.1f ns\n", what, best);
}

static double read_one(sx *m, int count)
{
    sx_value v;
    double start = now_ns();
    for (int i = 0; i < count; i++) {
        if (sx_read(m, text_of(event_text), &v, NULL) != PERSIST_OK)
            die("the event does not read");
    }
    return (now_ns() - start) / count;
}

static double print_one(sx *m, int count)
{
    sx_value v;
    sx_out out = {0};
    if (sx_read(m, text_of(event_text), &v, NULL) != PERSIST_OK)
        die("the event does not read");
    double start = now_ns();
    for (int i = 0; i < count; i++) {
        out.size = 0;
        sx_print(m, v, SX_PRINT_STORABLE, &out, NULL);
    }
    double ns = (now_ns() - start) / count;
    if (out.size != strlen(event_text))
        die("the event does not print as it was");
    sx_out_release(&out);
    return ns;
}

static void time_text(sx *m, const char *what, double (*once)(sx *, int))
{
    enum { COUNT = 2000 };
    double best = 1e18;
    for (int i = 0; i < ROUNDS * 20; i++) {
        double ns = once(m, COUNT);
        best = ns < best ? ns : best;
        sx_collect(m, NULL, 0);
    }
    printf("%-32s %8.1f ns\n", what, best);
}

int main(void)
{
    sx *m;
    if (sx_open(NULL, &m, NULL) != PERSIST_OK)
        die("no memory");
    load_library(m);
    run(m,
        "(define (count i n) (if (< i n) (count (+ i 1) n) i))"
        "(define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))"
        "(define (ask i n) (if (< i n) (begin (perform {:op \"x\" :args nil})"
        "  (ask (+ i 1) n)) i))"
        "(define b (persist/durable-backend))"
        "(define old (dissoc b :commit))"
        "(define (appends b i n) (if (< i n) (begin"
        "  (persist/append b \"s\" \"x\" 0 {:a i :b 2}) (appends b (+ i 1) n))"
        "  i))"
        "(define lst (range 100000))");
    time_program(m, "a turn of a loop", "(count 0 1000000)", 1000000);
    time_program(m, "a call in (fib 25)", "(fib 25)", 242785);
    time_program(m, "map, an element", "(map (fn (x) (+ x 1)) lst)", 100000);
    time_program(m, "a perform in a loop", "(ask 0 200000)", 200000);
    time_program(m, "persist/append, two performs", "(appends old 0 100000)",
                 100000);
    printf("an event of %zu bytes:\n", strlen(event_text));
    time_text(m, "sx_read", read_one);
    time_text(m, "sx_print", print_one);
    sx_close(m);
    return 0;
}
