/* SPDX-License-Identifier: MIT */
/* A line of progress on a terminal. */
#include "cli/bar.h"

#include <stdio.h>

#include "cli/cli.h"

enum { SHOW_EVERY_MS = 100, BAR_WIDTH = 24 };

typedef char amount[24];

/* Bytes with a unit that people read. */
static const char *bytes_text(double bytes, amount out)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1000;
        unit++;
    }
    snprintf(out, sizeof(amount), unit == 0 ? "%.0f %s" : "%.1f %s", bytes,
             units[unit]);
    return out;
}

static uint64_t now_ms(const cli_bar *b)
{
    return b->sys->clock_us(b->sys) / 1000;
}

void cli_bar_begin(cli_bar *b, bool quiet)
{
    *b = (cli_bar){.sys = os_posix(), .quiet = quiet};
    b->begun_ms = b->shown_ms = now_ms(b);
}

void cli_bar_show(cli_bar *b, uint64_t done, uint64_t total, const char *more)
{
    uint64_t now = now_ms(b);
    if (b->quiet || now - b->shown_ms < SHOW_EVERY_MS)
        return;
    b->shown_ms = now;
    b->shown = true;
    double all = total > done ? (double)total : (double)done + 1;
    double share = (double)done / all;
    double seconds = (double)(now - b->begun_ms) / 1000;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double left = rate > 0 ? (all - (double)done) / rate : 0;
    char bar[BAR_WIDTH + 1];
    amount so_far, in_all, a_second;
    if (total == 0) {
        cli_progress("%s  %s/s  %.80s", bytes_text((double)done, so_far),
                     bytes_text(rate, a_second), more);
        return;
    }
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    cli_progress("[%s] %3.0f%%  %s of %s  %s/s  %.0f s left%s%.80s", bar,
                 share * 100, bytes_text((double)done, so_far),
                 bytes_text(all, in_all), bytes_text(rate, a_second), left,
                 *more == '\0' ? "" : "  ", more);
}

void cli_bar_clear(cli_bar *b)
{
    if (b->shown)
        cli_progress("%s", "");
    b->shown = false;
}

double cli_bar_seconds(const cli_bar *b)
{
    return (double)(now_ms(b) - b->begun_ms) / 1000;
}
