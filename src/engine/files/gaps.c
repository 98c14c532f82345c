/* SPDX-License-Identifier: MIT */
/* Which lsns did not survive: a list, and what follows from it. */
#include "engine/files/gaps.h"

#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"

static size_t kept = GAPS_MAX;

void gaps_keep(size_t most)
{
    CHECK(most > 1 && most <= GAPS_MAX);
    kept = most;
}

void gaps_release(gaps *g)
{
    mem_free(g->items);
    *g = (gaps){0};
}

bool gaps_copy(gaps *g, const gaps *from)
{
    g->count = 0;
    if (!mem_grow(&g->items, 0, from->count, &g->capacity, sizeof *g->items))
        return false;
    if (from->count > 0)
        memcpy(g->items, from->items, from->count * sizeof *g->items);
    g->count = from->count;
    g->merged = from->merged;
    return true;
}

/* The first gap whose end is not below an lsn, or count. */
static size_t seek(const gaps *g, persist_lsn lsn)
{
    size_t low = 0, high = g->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->items[middle].end < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

persist_lsn gaps_next(const gaps *g, persist_lsn last)
{
    if (g->count == 0 || last >= g->items[g->count - 1].begin)
        return last + 1;
    size_t i = seek(g, last);
    return i < g->count && g->items[i].end == last ? g->items[i].begin
                                                   : last + 1;
}

bool gaps_add(gaps *g, persist_lsn last, persist_lsn begin)
{
    gap *newest = g->count == 0 ? NULL : &g->items[g->count - 1];
    CHECK(begin > last + 1 && gaps_may_end(g, last));
    if (newest != NULL && last == newest->end) {
        newest->begin = begin;
        return true;
    }
    if (g->count >= kept) {
        g->items[1].end = g->items[0].end;
        g->count--;
        memmove(g->items, g->items + 1, g->count * sizeof *g->items);
        g->merged = true;
    }
    if (!mem_grow(&g->items, g->count, 1, &g->capacity, sizeof *g->items))
        return false;
    g->items[g->count++] = (gap){last, begin};
    return true;
}

bool gaps_note(gaps *g, persist_lsn last)
{
    return gaps_add(g, last, gaps_next(g, last) + LSN_AHEAD);
}

lsn_fate gaps_judge(const gaps *g, persist_lsn lsn)
{
    size_t i = seek(g, lsn);
    CHECK(i == 0 || g->items[i - 1].end < lsn);
    if (i == 0 || lsn >= g->items[i - 1].begin)
        return LSN_SURVIVED;
    return i == 1 && g->merged ? LSN_UNKNOWN : LSN_LOST;
}

persist_lsn gaps_cover(const gaps *g, persist_lsn lsn)
{
    return gaps_judge(g, lsn) == LSN_UNKNOWN ? g->items[0].begin : lsn;
}

bool gaps_may_follow(const gaps *g, persist_lsn last, persist_lsn next)
{
    CHECK(!g->merged || g->count > 0);
    if (next <= last)
        return false;
    if (g->merged && last >= g->items[0].end && next <= g->items[0].begin)
        return true;
    return next == gaps_next(g, last);
}

bool gaps_may_end(const gaps *g, persist_lsn last)
{
    return g->count == 0 || last == g->items[g->count - 1].end ||
           last >= g->items[g->count - 1].begin;
}

/* ---- bytes ------------------------------------------------------------ */

void gaps_encode(const gaps *g, buf *b)
{
    persist_lsn from = 0;
    CHECK(g->count <= GAPS_MAX);
    for (size_t i = 0; i < g->count; i++) {
        buf_put_varint(b, g->items[i].end - from);
        buf_put_varint(b, g->items[i].begin - g->items[i].end);
        from = g->items[i].begin;
    }
}

bool gaps_decode(cursor *c, uint64_t count, gaps *out, bool *memory)
{
    persist_lsn from = 0;
    *memory = true;
    if (count > GAPS_MAX)
        return false;
    *memory = mem_grow(&out->items, 0, (size_t)count, &out->capacity,
                       sizeof *out->items);
    if (!*memory)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t more = cursor_varint(c), width = cursor_varint(c);
        if (c->failed || more > COUNT_MAX - from || width <= LSN_AHEAD ||
            width > COUNT_MAX - from - more)
            return false;
        from += more;
        out->items[out->count++] = (gap){from, from + width};
        from += width;
    }
    return true;
}
