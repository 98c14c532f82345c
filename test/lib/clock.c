/* SPDX-License-Identifier: MIT */
/* Options and time of the crash programs. */
#include "clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STEP_SECONDS_MAX = 60 };

static const char *volatile word = "";

arguments arguments_read(int argc, char **argv, double budget)
{
    arguments a = {.seed = 1, .budget = budget};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--wait-each") == 0) {
            a.wait_each = true;
            continue;
        }
        if (value != NULL && strcmp(argv[i], "--seed") == 0)
            a.seed = strtoull(value, NULL, 10);
        else if (value != NULL && strcmp(argv[i], "--budget") == 0)
            a.budget = strtod(value, NULL);
        else if (value != NULL && strcmp(argv[i], "--replay") == 0)
            a.replay = value;
        else if (value != NULL && strcmp(argv[i], "--memtable") == 0)
            a.memtable = (unsigned)strtoul(value, NULL, 10);
        else if (value != NULL && strcmp(argv[i], "--bug") == 0)
            a.bug = value;
        else {
            fprintf(stderr,
                    "usage: %s [--seed N] [--budget SECONDS] "
                    "[--replay OPS] [--wait-each] [--memtable BYTES] "
                    "[--bug NAME]\n",
                    argv[0]);
            exit(2);
        }
        i++;
    }
    seconds();
    return a;
}

double seconds(void)
{
    static struct timespec first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (first.tv_sec == 0)
        first = now;
    return (double)(now.tv_sec - first.tv_sec) +
           (double)(now.tv_nsec - first.tv_nsec) / 1e9;
}

static void say(const char *text)
{
    ssize_t ignored = write(STDOUT_FILENO, text, strlen(text));
    (void)ignored;
}

static void on_signal(int number)
{
    say(number == SIGALRM ? "\nstuck in: " : "\nended in: ");
    say(word);
    say("\n0 passed, 1 failed\n");
    _exit(1);
}

void last_word(const char *text)
{
    if (word[0] == '\0') {
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
