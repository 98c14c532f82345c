/* SPDX-License-Identifier: MIT */
/* What the kernel says of a process. */
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* The number behind a word at the start of a line; 0 where there is none. */
static double number_behind(FILE *f, const char *word)
{
    char line[128];
    double number = 0;
    size_t size = strlen(word);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, word, size) == 0)
            number = strtod(line + size, NULL);
    fclose(f);
    return number;
}

uint64_t process_bytes_read(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    CHECK(f != NULL);
    return (uint64_t)number_behind(f, "rchar:");
}

double process_anonymous_mb(pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *f = fopen(path, "r");
    return f == NULL ? 0 : number_behind(f, "RssAnon:") / 1024;
}

unsigned process_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}
