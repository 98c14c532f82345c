/* SPDX-License-Identifier: MIT */
/* Stacks, each once. */
#include "sites.h"

#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

enum { DEPTH = 12, STACKS = 1 << 14 };

typedef struct stack {
    void *frames[DEPTH];
    int depth; /* 0: none */
} stack;

static stack stacks[STACKS]; /* a hash table */
static size_t used;

void sites_note(void)
{
    stack s = {0};
    s.depth = backtrace(s.frames, DEPTH);
    CHECK(s.depth > 0 && used < STACKS / 2);
    size_t at = hash_xxh3(slice_of(s.frames, sizeof s.frames)) % STACKS;
    while (stacks[at].depth != 0 &&
           memcmp(stacks[at].frames, s.frames, sizeof s.frames) != 0)
        at = (at + 1) % STACKS;
    used += stacks[at].depth == 0;
    stacks[at] = s;
}

bool sites_write(const char *path)
{
    FILE *out = fopen(path, "w");
    if (out == NULL)
        return false;
    for (size_t i = 0; i < STACKS; i++) {
        for (int k = 0; k < stacks[i].depth; k++)
            fprintf(out, "%s%llx", k == 0 ? "" : " ",
                    (unsigned long long)(uintptr_t)stacks[i].frames[k]);
        if (stacks[i].depth > 0)
            fputc('\n', out);
    }
    memset(stacks, 0, sizeof stacks);
    used = 0;
    return fclose(out) == 0;
}
