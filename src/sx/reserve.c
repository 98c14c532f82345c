/* SPDX-License-Identifier: MIT */
/* What is kept back of the heap, and for whom. */
#include "sx/reserve.h"

#include "base/mem.h"
#include "base/status.h"
#include "sx/block.h"
#include "sx/compiler.h"
#include "sx/machine.h"

enum {
    SPARE = 128, /* less than this part of it is next to nothing */
    /* A part is this part of the ceiling, or as many bytes as a small
     * evaluation needs, unless that is a larger part than this. */
    PART = 32,
    PART_LEAST = 256 << 10,
    PART_MOST = 8,
};

static size_t least_part(const heap *h)
{
    return h->max / PART_MOST < PART_LEAST ? h->max / PART_MOST : PART_LEAST;
}

/* When the system gives no more, what was held back for that is all there is.
 */
static size_t heap_part(const heap *h)
{
    size_t part = h->max / PART, least = least_part(h);
    return part < least || h->starved ? least : part;
}

static size_t ceiling(const heap *h, enum heap_level level)
{
    size_t kept = (HEAP_SAVING - level) * heap_part(h);
    return h->most > kept ? h->most - kept : 0;
}

static void set_level(heap *h, enum heap_level level)
{
    CHECK(level <= HEAP_SAVING && h->most <= h->max);
    h->level = level;
    h->saving = level == HEAP_SAVING;
    h->refused = h->emptied = false;
    h->limit = ceiling(h, level);
    h->spare = h->max / SPARE;
}

/* What is charged and not free, garbage included. */
static size_t taken(const heap *h)
{
    CHECK(h->used >= h->free_count * BLOCK_SIZE);
    return h->used - h->free_count * BLOCK_SIZE;
}

/* The level of an evaluation that begins where as much is taken. */
static enum heap_level level_at(const heap *h, size_t bytes)
{
    enum heap_level level = HEAP_FREE;
    size_t sixteenth = h->name_capacity / NAMES_PARTS;
    while (level < HEAP_SAVING &&
           (bytes + heap_part(h) > ceiling(h, level) ||
            h->name_count > sixteenth * (NAMES_FREE + level - 1)))
        level++;
    return level;
}

/* ---- when the system has no memory ------------------------------------ */

/* Two parts are held, in pieces, since what is freed is soon in pieces, too. */
static size_t piece_size(const heap *h)
{
    return least_part(h) / (BALLAST_PIECES / 2);
}

static void drop_ballast(heap *h)
{
    for (size_t i = 0; i < BALLAST_PIECES; i++) {
        mem_free(h->ballast[i]);
        h->ballast[i] = NULL;
    }
}

/* Takes pieces up to so many, as far as the system gives them; returns how
 * many are there. */
static size_t find_pieces(const heap *h, void **pieces, size_t count)
{
    CHECK(piece_size(h) > 0);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i] == NULL)
            pieces[i] = mem_alloc(piece_size(h));
        if (pieces[i] == NULL)
            return i;
    }
    return count;
}

/* Whether the system gives memory again, beyond what is kept back. */
static bool gives_more(const heap *h)
{
    void *more[BALLAST_PIECES / 2] = {NULL};
    CHECK(h->starved);
    size_t wanted = sizeof more / sizeof *more;
    size_t there = find_pieces(h, more, wanted);
    for (size_t i = 0; i < there; i++)
        mem_free(more[i]);
    return there == wanted;
}

/* There is no more than what is in use now and what was held back. */
void heap_starve(sx *m)
{
    heap *h = &m->heap;
    bool held = h->ballast[BALLAST_PIECES - 1] != NULL;
    heap_trim(m, 0);
    drop_ballast(h);
    h->starved = true;
    size_t most = h->used + (held ? 2 * least_part(h) : 0);
    if (most < h->most)
        h->most = most;
    h->limit = ceiling(h, h->level);
}

static void look_for_memory(sx *m)
{
    heap *h = &m->heap;
    heap_trim(m, 0);
    if (find_pieces(h, h->ballast, BALLAST_PIECES) < BALLAST_PIECES ||
        !gives_more(h)) {
        drop_ballast(h);
        return;
    }
    h->starved = false;
    h->most = h->max;
}

/* ---- an evaluation's life --------------------------------------------- */

void heap_open(sx *m, size_t max)
{
    heap *h = &m->heap;
    CHECK(max > 0 && h->max == 0);
    h->max = h->most = max;
    (void)find_pieces(h, h->ballast, BALLAST_PIECES);
    heap_idle(m);
}

void heap_close(sx *m)
{
    drop_ballast(&m->heap);
}

void heap_idle(sx *m)
{
    heap *h = &m->heap;
    set_level(h, HEAP_SAVING);
    h->saving = false;
}

/* What an evaluation finds at the most, as far as is known without collecting:
 * since the last one began with a collection, what was handed out came on
 * top. */
static size_t found(const heap *h)
{
    size_t now = taken(h), others = h->used - h->object_bytes;
    if (!h->settled)
        return now;
    size_t more = others > h->found_others ? others - h->found_others : 0;
    size_t most = h->found + more + h->since + h->since / 16;
    return most < now ? most : now;
}

static void collect_all(sx *m)
{
    heap *h = &m->heap;
    walk_stack *all[] = {&m->print_walk, &m->print_order, &m->read_values,
                         &m->read_openings};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->count == 0)
            walk_release(m, all[i]);
    }
    compiler_trim(m);
    h->ageing = true;
    machine_collect(m, NULL, 0);
    h->ageing = false;
    h->settled = true;
    h->found = taken(h);
    h->found_others = h->used - h->object_bytes;
}

void heap_begin(sx *m)
{
    heap *h = &m->heap;
    CHECK(m->state != SX_SUSPENDED);
    if (h->starved)
        look_for_memory(m);
    enum heap_level level = level_at(h, found(h));
    bool same = h->settled && level_at(h, h->found) == level &&
                (level != HEAP_SAVING || h->saved);
    if (level != HEAP_FREE && !same) {
        collect_all(m);
        if (h->starved)
            look_for_memory(m);
        level = level_at(h, taken(h));
    }
    set_level(h, level);
    h->saved = h->saving;
}

void heap_review(sx *m)
{
    heap *h = &m->heap;
    CHECK(h->level <= HEAP_SAVING);
    enum heap_level level = level_at(h, taken(h));
    if (level < h->level && (h->saving || h->level == HEAP_TIGHT))
        set_level(h, level);
    h->saved = h->saved && h->saving;
}

bool heap_may_grow(const sx *m, size_t bytes)
{
    const heap *h = &m->heap;
    size_t most = ceiling(h, HEAP_FREE);
    return bytes <= most && h->used <= most - bytes;
}

bool heap_idle_full(sx *m)
{
    heap *h = &m->heap;
    if (m->state == SX_READY || m->state == SX_SUSPENDED)
        return false;
    h->settled = false;
    return h->used > ceiling(h, HEAP_TIGHT);
}

/* ---- what may hang on what -------------------------------------------- */

static bool is_new(value v)
{
    if ((v.word & 1) != 0 || (v.word & 7) == TAG_IMMEDIATE || v.word == 0)
        return false;
    return (((object *)(void *)name_of(v))->flags & FLAG_OLD) == 0;
}

static bool is_bare(value v)
{
    return (is_dict(v) && dict_of(v)->table == NULL) ||
           (is_list(v) && list_of(v)->vec == NULL);
}

bool heap_saving_adds(sx *m, const object *holder)
{
    CHECK(m->heap.saving && holder->kind != 0);
    m->heap.refused = heap_closed(m, holder);
    return !m->heap.refused;
}

/* A variable takes what is empty: there are only so many of them. What it is
 * given must not grow then. */
bool heap_saving_holds(sx *m, object *holder, value v)
{
    CHECK(m->heap.saving && holder->kind != 0);
    if ((holder->flags & FLAG_OLD) == 0)
        return true;
    bool empties = holder->kind == KIND_BOX && is_bare(v);
    m->heap.refused = is_new(v) && !empties;
    if (m->heap.refused)
        return false;
    if (is_new(v))
        object_of(v)->flags |= FLAG_OLD;
    m->heap.emptied = true;
    return true;
}

bool heap_was_refused(sx *m)
{
    heap *h = &m->heap;
    bool refused = h->refused && !h->emptied;
    h->refused = h->emptied = false;
    return refused;
}

/* ---- saying so -------------------------------------------------------- */

void heap_why(const sx *m, persist_error *error)
{
    const heap *h = &m->heap;
    CHECK(error != NULL && h->used <= h->max);
    if (h->saving && h->starved)
        status_set(error, PERSIST_LIMIT,
                   "memory is out: the system gives no more than the %zu bytes "
                   "in use, so nothing new can be kept; set what is large to "
                   "nil or {}, or restart where there is more",
                   h->used);
    else if (h->saving)
        status_set(error, PERSIST_LIMIT,
                   "memory is out: %zu of %zu bytes are in use, so nothing new "
                   "can be kept; set what is large to nil or {}, or restart "
                   "with a higher limit (--heap-max)",
                   h->used, h->max);
    else if (h->starved)
        status_set(error, PERSIST_LIMIT,
                   "memory is out: the system gives no more than the %zu bytes "
                   "in use; keep less, or restart where there is more",
                   h->used);
    else
        status_set(error, PERSIST_LIMIT,
                   "memory is out: %zu of %zu bytes are in use, and the last "
                   "%zu are kept to make room with; keep less, or raise the "
                   "limit (--heap-max)",
                   h->used, h->max, 2 * heap_part(h));
}
