/* SPDX-License-Identifier: MIT */
/* What the crash programs share: options, the time they may take, and a last
 * word when the engine ends the process. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct arguments {
    uint64_t seed;
    double budget;      /* seconds of the processor */
    const char *replay; /* ops, or NULL */
    bool wait_each;
    unsigned memtable; /* bytes; 0: the default */
    unsigned segment;  /* bytes; 0: the smallest */
    bool aged, by_steps;
    const char *only;     /* one of the program's stages, or NULL */
    unsigned part, parts; /* this process does every so manieth sequence */
    const char *sites;    /* a file for sites_write, or NULL */
    bool first;           /* end at the first violation, and do not shrink it */
} arguments;

/* Reads --seed N, --budget SECONDS, --part I/N, --replay OPS, --wait-each,
 * --aged, --by-steps, --only STAGE, --sites FILE, --memtable BYTES, --segment
 * BYTES, --first; ends the process with a usage line on anything else. */
arguments arguments_read(int argc, char **argv, double budget);

/* True when a stage is to be done. */
bool arguments_want(const arguments *, const char *stage);

/* Seconds of the processor that this process has had: a budget buys as much on
 * a machine that others use. */
double seconds(void);

/* Seconds to wait for what must come, until it counts as never; $TEST_WAIT if
 * that is set, for those who expect it not to come. */
int patience(int usual);

/* Prints this text when the process is ended by a signal, or when one step
 * takes longer than a minute, then with the stacks of all threads (addr2line
 * turns them into lines); call it before each step. The text must live
 * until the next call. */
void last_word(const char *text);

/* Prints "N passed, N failed"; returns what main returns. */
int verdict(uint64_t passed, uint64_t failed);

#endif
