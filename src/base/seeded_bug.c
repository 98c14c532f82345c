/* SPDX-License-Identifier: MIT */
/* Which bug on purpose is on; only in builds that have them. */
#include "base/seeded_bug.h"

#ifdef SEEDED_BUGS
#include <string.h>

#include "base/check.h"

int seeded_bug = BUG_NONE;

static const struct {
    const char *name, *text;
} bugs[BUG_COUNT] = {
#define SEEDED_BUG_ROW(name, text) [BUG_##name] = {#name, text},
    SEEDED_BUG_LIST(SEEDED_BUG_ROW)
#undef SEEDED_BUG_ROW
};

const char *seeded_bug_name(int bug)
{
    CHECK(bug > BUG_NONE && bug < BUG_COUNT);
    return bugs[bug].name;
}

const char *seeded_bug_text(int bug)
{
    CHECK(bug > BUG_NONE && bug < BUG_COUNT);
    return bugs[bug].text;
}

bool seeded_bug_choose(const char *name)
{
    for (int i = 1; i < BUG_COUNT; i++)
        if (strcmp(name, bugs[i].name) == 0)
            seeded_bug = i;
    return seeded_bug != BUG_NONE;
}
#endif
