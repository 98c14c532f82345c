/* SPDX-License-Identifier: MIT */
/* Options and time of the crash programs. */
#include "clock.h"

#include <dirent.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    STEP_SECONDS_MAX = 60,
    TELL_SECONDS_MAX = 30,
    FRAMES_MAX = 40,
    STACK_SECONDS = 1
};

static const char *volatile word = "";

static void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s [--seed N] [--budget SECONDS] [--part I/N] "
            "[--replay OPS] [--wait-each] [--aged] [--by-steps] [--only STAGE] "
            "[--memtable BYTES] "
            "[--segment BYTES] [--sites FILE] [--first]\n",
            name);
    exit(2);
}

static void read_part(const char *value, arguments *a)
{
    char *end;
    a->part = (unsigned)strtoul(value, &end, 10) - 1;
    a->parts = *end == '/' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
}

static bool read_option(const char *name, const char *value, arguments *a)
{
    if (strcmp(name, "--seed") == 0)
        a->seed = strtoull(value, NULL, 10);
    else if (strcmp(name, "--budget") == 0)
        a->budget = strtod(value, NULL);
    else if (strcmp(name, "--part") == 0)
        read_part(value, a);
    else if (strcmp(name, "--replay") == 0)
        a->replay = value;
    else if (strcmp(name, "--memtable") == 0)
        a->memtable = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--segment") == 0)
        a->segment = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--sites") == 0)
        a->sites = value;
    else if (strcmp(name, "--only") == 0)
        a->only = value;
    else
        return false;
    return true;
}

arguments arguments_read(int argc, char **argv, double budget)
{
    arguments a = {.seed = 1, .budget = budget, .parts = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--wait-each") == 0)
            a.wait_each = true;
        else if (strcmp(argv[i], "--aged") == 0)
            a.aged = true;
        else if (strcmp(argv[i], "--by-steps") == 0)
            a.by_steps = true;
        else if (strcmp(argv[i], "--first") == 0)
            a.first = true;
        else if (i + 1 == argc || !read_option(argv[i], argv[i + 1], &a))
            usage(argv[0]);
        else
            i++;
    }
    if (a.part >= a.parts)
        usage(argv[0]);
    return a;
}

bool arguments_want(const arguments *a, const char *stage)
{
    return a->only == NULL || strcmp(a->only, stage) == 0;
}

int patience(int usual)
{
    const char *set = getenv("TEST_WAIT");
    return set == NULL ? usual : (int)strtol(set, NULL, 10);
}

double seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void say(const char *text)
{
    ssize_t ignored = write(STDOUT_FILENO, text, strlen(text));
    (void)ignored;
}

/* ---- where all threads are --------------------------------------------- */

/* NOLINTBEGIN(bugprone-signal-handler): the process is stuck and at its end */
static void on_ask(int number)
{
    void *frames[FRAMES_MAX];
    (void)number;
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDOUT_FILENO);
}

/* What the kernel knows of a thread: one that waits for a disk cannot tell. */
static void say_file(const char *thread, const char *name)
{
    char path[128], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/%s", thread, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    say(fgets(text, sizeof text, file) == NULL ? "" : text);
    say("\n");
    fclose(file);
}

/* If this is stuck too, the next alarm ends the process. */
static void say_threads(void)
{
    signal(SIGALRM, SIG_DFL);
    alarm(TELL_SECONDS_MAX);
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *d; folder != NULL && (d = readdir(folder)) != NULL;) {
        if (d->d_name[0] == '.')
            continue;
        say("\nthread ");
        say_file(d->d_name, "stat");
        say_file(d->d_name, "wchan");
        syscall(SYS_tgkill, getpid(), strtol(d->d_name, NULL, 10), SIGUSR2);
        struct timespec second = {.tv_sec = STACK_SECONDS};
        while (nanosleep(&second, &second) != 0)
            ;
    }
}
/* NOLINTEND(bugprone-signal-handler) */

static void on_signal(int number)
{
    say(number == SIGALRM ? "\nstuck in: " : "\nended in: ");
    say(word);
    if (number == SIGALRM)
        say_threads();
    say("\n0 passed, 1 failed\n");
    _exit(1);
}

void last_word(const char *text)
{
    if (word[0] == '\0') {
        void *first[1];
        (void)backtrace(first, 1); /* loads what it needs */
        signal(SIGUSR2, on_ask);
        signal(SIGABRT, on_signal);
        signal(SIGALRM, on_signal);
        signal(SIGSEGV, on_signal);
    }
    word = text;
    alarm(STEP_SECONDS_MAX);
}

int verdict(uint64_t passed, uint64_t failed)
{
    alarm(0);
    printf("%llu passed, %llu failed\n", (unsigned long long)passed,
           (unsigned long long)failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
