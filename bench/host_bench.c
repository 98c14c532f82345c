/* SPDX-License-Identifier: MIT */
/* What an SX program sees: durable appends and reads a second, through the
 * language, the host and the engine, beside the way of the old file adapter
 * (rewrite the mark, append a line) in the same run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "os/os_stream.h"

enum { ROUNDS = 5, EVENTS = 100000, OLD_EVENTS = 5000 };

static char place[] = "/tmp/host-bench-XXXXXX";
static int rounds = ROUNDS;

static const char *const library[] = {
    "event",   "backend",     "log",      "kv",         "commit",
    "project", "concurrency", "snapshot", "compaction", "durable",
};

/* About 200 bytes a printed event. */
static const char append_text[] =
    "(define b (persist/durable-backend))"
    "(define (go stream n)"
    "  (if (= n 0) nil"
    "    (begin"
    "      (persist/append b stream \"order-placed\" n"
    "        {:customer \"c-1029384756\" :items (list 1 2 3 4)"
    "         :note \"please ring twice, the bell is old\""
    "         :total 1999 :currency \"EUR\"})"
    "      (go stream (- n 1)))))";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int remove_place(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", place);
    return system(command) == 0 ? 0 : 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "host_bench: %s\n", what);
    (void)remove_place();
    exit(1);
}

static sx_value eval(host *h, slice text)
{
    sx_out out = {0};
    host_load(h, text);
    if (host_run(h, 0) != HOST_DONE) {
        (void)sx_print_failure(host_machine(h), host_value(h), &out, NULL);
        fprintf(stderr, "%.*s\n", (int)out.size, out.data);
        fail("the program failed");
    }
    return host_value(h);
}

static void load_library(host *h, const char *dir)
{
    for (size_t i = 0; i < sizeof library / sizeof library[0]; i++) {
        char path[512];
        buf text = {0};
        snprintf(path, sizeof path, "%s/%s.sx", dir, library[i]);
        if (os_file_slurp(path, 1 << 20, &text) != 0)
            fail("cannot read lib/persist; run from the project's directory");
        (void)eval(h, buf_slice(&text));
        buf_release(&text);
    }
}

/* Seconds for EVENTS appends in one evaluation, made durable. */
static double append_round(host *h, int round)
{
    char text[64];
    persist_error error;
    snprintf(text, sizeof text, "(go \"bench-%d\" %d)", round, EVENTS);
    double start = now();
    (void)eval(h, slice_str(text));
    if (host_sync(h, host_rests(h), &error) != PERSIST_OK)
        fail(error.message);
    return now() - start;
}

static double read_round(host *h, int round)
{
    char text[64];
    snprintf(text, sizeof text, "(len (persist/read b \"bench-%d\"))", round);
    double start = now();
    if (sx_integer(eval(h, slice_str(text))) != EVENTS)
        fail("events are missing");
    return now() - start;
}

static double old_round(int round)
{
    char log[600], mark[600], line[256];
    int size = snprintf(line, sizeof line, "%0199d\n", round);
    snprintf(log, sizeof log, "%s/old-%d.log", place, round);
    snprintf(mark, sizeof mark, "%s/old-%d.seq", place, round);
    double start = now();
    for (int i = 0; i < OLD_EVENTS; i++) {
        char text[32];
        int digits = snprintf(text, sizeof text, "%d", i);
        int fd = open(mark, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd < 0 || write(fd, text, (size_t)digits) != digits)
            fail(strerror(errno));
        close(fd);
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (fd < 0 || write(fd, line, (size_t)size) != size)
            fail(strerror(errno));
        close(fd);
    }
    return now() - start;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *values)
{
    qsort(values, (size_t)rounds, sizeof *values, by_value);
    return values[rounds / 2];
}

int main(int argc, char **argv)
{
    char store[64];
    double append_s[ROUNDS], read_s[ROUNDS], old_s[ROUNDS];
    persist_error error;
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--quick") != 0)) {
        fprintf(stderr, "usage: host_bench [--quick], in the project's "
                        "directory; --quick: one round\n");
        return 2;
    }
    if (argc == 2)
        rounds = 1;
    if (mkdtemp(place) == NULL) {
        perror("host_bench: a directory in /tmp");
        return 1;
    }
    snprintf(store, sizeof store, "%s/store", place);
    host_options options = {.store = {PERSIST_OPTIONS, .path = store},
                            .machine = {SX_OPTIONS}};
    host *h = host_open(&options);
    if (h == NULL)
        fail("the host cannot be opened");
    load_library(h, "lib/persist");
    (void)eval(h, slice_str(append_text));
    for (int i = 0; i < rounds; i++) {
        old_s[i] = old_round(i);
        append_s[i] = append_round(h, i);
        read_s[i] = read_round(h, i);
    }
    if (host_close(h, &error) != PERSIST_OK)
        fail(error.message);
    double appends = EVENTS / median(append_s);
    double reads = EVENTS / median(read_s);
    double old = OLD_EVENTS / median(old_s);
    printf("median of %d rounds, %d events of about 200 bytes, one "
           "evaluation a round\n",
           rounds, EVENTS);
    printf("%-44s %12s %8s\n", "", "events/s", "ratio");
    printf("%-44s %12.0f %8.1f\n", "old file adapter's way, not synced", old,
           1.0);
    printf("%-44s %12.0f %8.1f\n", "persist/append, durable", appends,
           appends / old);
    printf("%-44s %12.0f %8.1f\n", "persist/read to SX values", reads,
           reads / old);
    return remove_place();
}
