/* SPDX-License-Identifier: MIT */
/* A malloc that fails, for LD_PRELOAD. MALLOC_FAIL=N: the Nth allocation of
 * the process; N+: all from there on. MALLOC_COUNT=PATH: a file that is told
 * at the end how many there were. */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/failing_malloc.h"

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("MALLOC_FAIL");
    char *end;
    if (text == NULL)
        return;
    uint64_t nth = strtoull(text, &end, 10);
    malloc_fail(nth, *end == '+');
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    const char *path = getenv("MALLOC_COUNT");
    unsigned long long count = malloc_fail_no_more();
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file == NULL)
        return;
    snprintf(text, sizeof text, "%llu\n", count);
    fputs(text, file);
    fclose(file);
}
