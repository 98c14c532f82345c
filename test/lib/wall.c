/* SPDX-License-Identifier: MIT */
/* The wall clock of the tests. */
#include "wall.h"

static uint64_t now_us = WALL_BEGIN;

void wall_set(uint64_t us)
{
    now_us = us;
}

void wall_move(uint64_t number)
{
    static const int64_t steps[] = {0, 0,    1,     7,     250,   70000,
                                    0, 3000, -1000, 40000, 90000, -2000000};
    static const int64_t jumps[] = {3600000000, -3600000000, 0, -86400000000};
    enum { STEPS = sizeof steps / sizeof *steps };
    int64_t step =
        number % 97 == 0 ? jumps[number / 97 % 4] : steps[number % STEPS];
    now_us = (uint64_t)((int64_t)now_us + step);
}

uint64_t wall_now(const os *sys)
{
    (void)sys;
    return now_us;
}

const os *wall_os(void)
{
    static os table;
    table = *os_posix();
    table.wall_us = wall_now;
    return &table;
}
