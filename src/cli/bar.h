/* SPDX-License-Identifier: MIT */
/* A line of progress on a terminal: a bar, how much is done, the rate, and the
 * time that is left. */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

typedef struct cli_bar {
    const os *sys;
    uint64_t begun_ms, shown_ms;
    bool quiet; /* nothing is shown */
    bool shown; /* one is on the screen */
} cli_bar;

/* Begins with nothing on the screen; the time counts from now on. */
void cli_bar_begin(cli_bar *, bool quiet);

/* Shows so many bytes of all (0: nobody knows how many), and what else there is
 * to say: mostly nothing, for it was done a moment ago. */
void cli_bar_show(cli_bar *, uint64_t done, uint64_t total, const char *more);

/* Takes the line away. */
void cli_bar_clear(cli_bar *);

/* Since it began. */
double cli_bar_seconds(const cli_bar *);

#endif
