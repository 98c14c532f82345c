/* SPDX-License-Identifier: MIT */
/* Which tables are merged, and when: enough of one size side by side; what is
 * mostly dead; and what reading has paid for. */
#include "engine/upkeep/upkeep.h"

/* Tables of about one size have one rank. */
static unsigned rank_of(const engine *e, const table *t)
{
    unsigned rank = 0;
    uint64_t size = t->footer.size / MERGE_SIZE_RATIO;
    for (; size >= e->memtable_size; size /= MERGE_SIZE_RATIO)
        rank++;
    return rank;
}

/* Tells whether most of what the tables hold is truncated, overwritten or
 * deleted. */
static bool is_mostly_garbage(const engine *e, const layers *v)
{
    uint64_t live = e->manifest.events + e->manifest.keys;
    return v->table_count > 1 && v->table_entries / GARBAGE_RATIO > live;
}

/* Tables of one rank, side by side. */
typedef struct table_run {
    unsigned rank;
    size_t count;
    uint64_t bytes, names;
} table_run;

static void extend(table_run *run, const table_footer *f)
{
    run->count++;
    run->bytes += f->size;
    run->names += f->roots[TABLE_STREAMS].entries +
                  f->roots[TABLE_KEYS].entries + f->roots[TABLE_ONCES].entries;
}

static unsigned width_of(const engine *e, const table_run *run)
{
    bool long_runs = run->bytes / e->block_size >= run->names;
    return e->merge_width != 0 ? e->merge_width
           : long_runs         ? MERGE_WIDTH_LONG
                               : MERGE_WIDTH_DEFAULT;
}

static bool is_long_enough(const engine *e, const table_run *run)
{
    return run->count >= width_of(e, run);
}

/* Finds enough tables of one rank side by side, with the smaller ones that
 * are newer. */
static bool find_run(const engine *e, const layers *v, size_t *from)
{
    *from = 0;
    table_run run = {0};
    for (size_t i = v->table_count; i-- > 0;) {
        unsigned rank = rank_of(e, v->tables[i]);
        if (rank > run.rank) {
            if (is_long_enough(e, &run))
                return true;
            run = (table_run){.rank = rank};
        }
        extend(&run, &v->tables[i]->footer);
        *from = i;
    }
    return is_long_enough(e, &run);
}

/* ---- its bounds ------------------------------------------------------- */

static unsigned highest_rank(const engine *e, const layers *v)
{
    unsigned highest = 0;
    for (size_t i = 0; i < v->table_count; i++) {
        unsigned rank = rank_of(e, v->tables[i]);
        highest = rank > highest ? rank : highest;
    }
    return highest;
}

/* The width of the run of each rank, or of an empty one; of all the least, too.
 */
static uint64_t add_up_widths(const engine *e, const layers *v, unsigned *least)
{
    uint64_t sum = 0;
    unsigned highest = highest_rank(e, v);
    *least = MERGE_WIDTH_MAX;
    for (unsigned rank = 0; rank <= highest; rank++) {
        table_run run = {.rank = rank};
        for (size_t i = 0; i < v->table_count; i++)
            if (rank_of(e, v->tables[i]) == rank)
                extend(&run, &v->tables[i]->footer);
        unsigned width = run.count == 0 && e->merge_width == 0
                             ? MERGE_WIDTH_DEFAULT
                             : width_of(e, &run);
        sum += width;
        *least = width < *least ? width : *least;
    }
    return sum;
}

/* Of each rank there is a run, in which one table is missing at the least. */
uint64_t policy_tables_max(const engine *e, const layers *v)
{
    unsigned ignored;
    return add_up_widths(e, v, &ignored) - highest_rank(e, v) - 1;
}

/* A merge takes a table to a higher rank, or makes it bigger by all the others
 * of its run, each of which is as big as any of the rank can be small. So there
 * are few before it has outgrown the rank. The lowest begins with tables of
 * half a memtable: smaller ones are made when a store is closed, say, and come
 * on top. */
uint64_t policy_passes(const engine *e, const layers *v)
{
    unsigned least;
    CHECK(add_up_widths(e, v, &least) > 0 && least > 1);
    uint64_t others = least - 1;
    uint64_t lowest = 1 + (2 * MERGE_SIZE_RATIO - 1) / others;
    uint64_t each = 1 + (MERGE_SIZE_RATIO - 1) / others;
    return lowest + highest_rank(e, v) * each;
}

/* ---- dead, and full --------------------------------------------------- */

static living lives(const engine *e, const layers *v)
{
    uint64_t dead = atomic_load(&e->upkeep.dead), held = v->table_entries;
    uint64_t live = e->manifest.events + e->manifest.keys;
    if (live > held) /* so a manifest says, which may say anything */
        live = held;
    double part = held == 0 ? 0 : (double)live / (double)held;
    return (living){dead < v->table_bytes ? v->table_bytes - dead : 0,
                    (uint64_t)((double)v->table_bytes * part)};
}

void policy_note_begun(engine *e, const layers *v)
{
    e->upkeep.began_at = lives(e, v);
    e->upkeep.began_with = reserve_size(e);
}

/* What has died since it began it may not have left out. */
void policy_note_stuck(engine *e)
{
    upkeep *u = &e->upkeep;
    u->is_stuck = true;
    u->stuck_at = u->began_at;
    u->stuck_with = u->began_with;
}

static bool is_much_less(uint64_t now, uint64_t then)
{
    return now < then - then / STUCK_SHARE;
}

/* What found no room on a full disk is not tried again before much less lives,
 * or the reserve, which is lent to it, is bigger. */
static bool is_stuck(engine *e, const layers *v)
{
    const upkeep *u = &e->upkeep;
    living now = lives(e, v);
    return u->is_stuck && atomic_load(&e->wal.full) &&
           !is_much_less(now.known, u->stuck_at.known) &&
           !is_much_less(now.counted, u->stuck_at.counted) &&
           reserve_size(e) <= u->stuck_with;
}

/* Where damage is in the way it takes more dead bytes to try again. */
bool policy_dead_shall_go(engine *e, const layers *v)
{
    const upkeep *u = &e->upkeep;
    uint64_t dead = atomic_load(&u->dead);
    return !is_stuck(e, v) &&
           dead_is_much(e, v, dead > u->given_up ? dead - u->given_up : 0);
}

/* On a full disk many tables are small, of deletions mostly, and each takes
 * whole blocks: the newest of them, while they are no more than a merge surely
 * finds room for. */
static bool find_small(const engine *e, const layers *v, size_t *from)
{
    uint64_t room = reserve_round(e), bytes = 0;
    size_t i = v->table_count;
    while (i > 0 && bytes + v->tables[i - 1]->footer.size <= room)
        bytes += v->tables[--i]->footer.size;
    *from = i;
    return v->table_count - i >= MERGE_WIDTH_SMALL;
}

/* Where files are few, two are many, and there may be bytes: so bigger ones are
 * merged, too, while each is of about the size of all that are newer, or
 * whatever they are when there is hardly a file left. However much is deleted,
 * that takes few tables. */
static bool find_few(const engine *e, const layers *v, size_t *from)
{
    uint64_t surely = reserve_round(e), bytes = 0;
    uint64_t perhaps = e->sys->dir_room(e->sys, e->at.root) / 2;
    size_t i = v->table_count;
    for (; i > 0; i--) {
        uint64_t size = v->tables[i - 1]->footer.size;
        bool alike = size / MERGE_SIZE_RATIO <= bytes || reserve_is_short(e);
        bool fits = bytes + size <= perhaps && alike;
        if (bytes + size > surely && !fits && bytes > 0)
            break;
        bytes += size;
    }
    *from = i;
    return v->table_count - i > 1;
}

/* Finds what reads have paid for. It must leave as much room on the disk as it
 * takes, which others may need: reads can do without it. */
static bool find_paid(engine *e, const layers *v, size_t *from)
{
    uint64_t bytes = 0;
    if (!credit_covers(e, v, from))
        return false;
    for (size_t i = *from; i < v->table_count; i++)
        bytes += v->tables[i]->footer.size;
    e->upkeep.paid = bytes <= e->sys->dir_room(e->sys, e->at.root) / 2;
    credit_spend(e);
    if (!e->upkeep.paid)
        credit_note_end(e, true);
    return e->upkeep.paid;
}

bool policy_find_work(engine *e, const layers *v, size_t *from)
{
    upkeep *u = &e->upkeep;
    u->paid = false;
    u->cause = MERGE_FOR_DEAD;
    *from = 0;
    if (atomic_load(&e->wal.full) &&
        (reserve_lacks_files(e) ? find_few(e, v, from)
                                : find_small(e, v, from)))
        return true;
    *from = 0;
    if (policy_dead_shall_go(e, v))
        return true;
    if (is_stuck(e, v))
        return false;
    bool may = engine_may_merge(e, v);
    if (may && is_mostly_garbage(e, v))
        return true;
    u->cause = MERGE_FOR_SIZE;
    if (may && find_run(e, v, from))
        return true;
    u->cause = MERGE_FOR_READS;
    return find_paid(e, v, from);
}
