/* SPDX-License-Identifier: MIT */
/* W9: what an SX program sees; host_bench, beside this program, measures it. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

/* The number behind a title in host_bench's table. */
static void take(const char *line, const char *title, figure f, int *seen)
{
    size_t size = strlen(title);
    if (strncmp(line, title, size) != 0)
        return;
    figure_add(f, engines[OURS], strtod(line + size, NULL) / 1e3);
    ++*seen;
}

void work_host(const engine *e)
{
    char command[PATH_SIZE], line[256];
    const char *slash = strrchr(set.program, '/');
    int seen = 0, size = slash == NULL ? 0 : (int)(slash - set.program) + 1;
    if (e != engines[OURS])
        return;
    snprintf(command, sizeof command, "'%.*shost_bench'", size, set.program);
    FILE *table = popen(command, "r");
    must(table != NULL, command, NULL);
    while (fgets(line, sizeof line, table) != NULL) {
        take(line, "persist/append, durable", F_W9_APPEND, &seen);
        take(line, "persist/read to SX values", F_W9_READ, &seen);
    }
    must(pclose(table) == 0 && seen == 2, command, "no table came out");
}
