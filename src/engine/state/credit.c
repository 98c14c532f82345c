/* SPDX-License-Identifier: MIT */
/* Merging that reading pays for: what reads waste, since the tables are many or
 * since they hold what is gone, is added up, and when it has cost about as much
 * as merging them would, they are merged. So nobody pays more than about twice
 * what would have been best (the ski rental of A. Karlin et al., "Competitive
 * snoopy caching", 1988), and a store that is seldom read is not written more.
 *
 * What is wasted is counted in bytes of merging that take as long. What commits
 * look up is not counted: their own writing shall not lead to more of it. */
#include "engine/state/state.h"

/* Merging makes no read faster in tables that are not current any more. */
void credit_note(const snapshot *s, uint64_t bytes)
{
    CHECK(s->layers != NULL);
    if (!s->is_free)
        s->place->wasted += bytes;
}

void credit_note_looks(const snapshot *s, table_section section,
                       const table *last)
{
    CHECK(table_has_filter(section) || section == TABLE_TAGS);
    const layers *v = s->layers;
    uint64_t looks = 0;
    for (size_t i = v->table_count; i-- > 0;) {
        looks += v->tables[i]->footer.roots[section].size != 0;
        if (v->tables[i] == last)
            break;
    }
    if (looks > 1)
        credit_note(s, (looks - 1) * LOOK_WORTH);
}

void credit_note_passed(const snapshot *s, memtable *t, uint64_t count)
{
    if (count > 0 && !s->is_free)
        atomic_fetch_add_explicit(&t->passed, count, memory_order_relaxed);
}

void credit_note_gone(const snapshot *s)
{
    credit_note(s, GONE_WORTH);
    if (s->with_active)
        credit_note_passed(s, s->layers->active, 1);
}

bool credit_covers_flush(const engine *e)
{
    memtable *t = e->layers->active;
    uint64_t passed = atomic_load_explicit(&t->passed, memory_order_relaxed);
    return passed * ENTRY_WORTH * e->credit_factor >= t->memory + FLUSH_WORTH;
}

/* Finds the newest tables whose merging gains most for what it costs. */
static uint64_t find_best(const layers *v, size_t *from)
{
    uint64_t bytes = 0, cost = 0;
    double best = 0; /* tables less, a byte */
    *from = v->table_count;
    for (size_t i = v->table_count; i-- > 0;) {
        bytes += v->tables[i]->footer.size;
        double gain = (double)(v->table_count - 1 - i) / (double)bytes;
        if (gain == 0 || gain < best)
            continue;
        best = gain;
        cost = bytes;
        *from = i;
    }
    return cost;
}

/* Where one merge fails, the next one mostly does, for want of room above all:
 * each costs twice the one before. */
bool credit_covers(const engine *e, const layers *v, size_t *from)
{
    uint64_t cost = find_best(v, from);
    unsigned vain = atomic_load(&e->upkeep.vain);
    CHECK((cost > 0) == (v->table_count > 1) && vain <= CREDIT_VAIN_MAX);
    return cost > 0 && atomic_load(&e->upkeep.credit) >> vain >= cost;
}

void credit_note_end(engine *e, bool failed)
{
    unsigned vain = atomic_load(&e->upkeep.vain);
    if (!failed)
        vain = 0;
    else if (vain < CREDIT_VAIN_MAX)
        vain++;
    atomic_store(&e->upkeep.vain, vain);
}

void credit_spend(engine *e)
{
    atomic_store(&e->upkeep.credit, 0);
}

/* An opening that must not write keeps no account either. */
void credit_hand_in(engine *e, const snapshot *s)
{
    size_t from;
    uint64_t wasted = s->place->wasted * e->credit_factor;
    CHECK(s->layers != NULL);
    s->place->wasted = 0;
    if (e->at.read_only)
        return;
    atomic_fetch_add(&e->upkeep.credit, wasted);
    if (credit_covers(e, s->layers, &from))
        (void)engine_wake(e);
}
