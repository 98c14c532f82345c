/* SPDX-License-Identifier: MIT */
/* Stacks, each once. */
#include "sites.h"

#include <execinfo.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

enum { DEPTH = 12, STACKS = 1 << 17 };

typedef struct stack {
    void *frames[DEPTH];
    uintptr_t tag;
    int depth; /* 0: none */
} stack;

static stack stacks[STACKS]; /* a hash table */
static size_t used;
static bool chosen; /* in this run */

/* Remembers the stack, once for each tag; true the first time. */
static bool note(unsigned tag)
{
    stack s = {.tag = tag};
    s.depth = backtrace(s.frames, DEPTH);
    CHECK(s.depth > 0 && used < STACKS / 2);
    slice key = slice_of(&s, offsetof(stack, depth));
    size_t at = hash_xxh3(key) % STACKS;
    while (stacks[at].depth != 0 && memcmp(&stacks[at], &s, key.size) != 0)
        at = (at + 1) % STACKS;
    bool is_new = stacks[at].depth == 0;
    used += is_new;
    stacks[at] = s;
    return is_new;
}

void sites_begin(void)
{
    chosen = false;
}

bool sites_choose(unsigned way, bool lasts)
{
    enum { WAKE = 0, FIRST = 1 };
    if (chosen && lasts)
        note(WAKE);
    if (chosen)
        return lasts;
    chosen = note(FIRST + way * 2 + lasts);
    return chosen;
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
