/* SPDX-License-Identifier: MIT */
/* Where objects come from: blocks of equal cells for small ones, and the C
 * heap for large ones. What is free in a block is said by the mark bits of the
 * last collection; nobody walks over dead objects. */
#include "sx/heap.h"

#include "base/mem.h"
#include "sx/block.h"
#include "sx/machine.h"
#include "sx/reserve.h"

CHECK_STATIC(offsetof(sx, heap) == 0, "heap_of relies on it");
CHECK_STATIC(GRANULE % 8 == 0, "three low bits of an object are its tag");
CHECK_STATIC(offsetof(large, object) % GRANULE == 0, "the same of a large one");
CHECK_STATIC((BLOCK_SIZE & (BLOCK_SIZE - 1)) == 0, "block_of masks");

enum {
    SCARCE = 8,       /* blocks that are not many */
    SHARED_FIRST = 8, /* granules of the smallest cells that sizes share */
    /* A little less than the alignment, so that malloc's own head fits
     * between two blocks. */
    BLOCK_BYTES = BLOCK_SIZE - 64,
};

CHECK_STATIC(BLOCK_HEAD + SMALL_MAX <= BLOCK_BYTES,
             "a block holds a cell of any size");

/* The memory of objects is charged twice over: with all that is used, and by
 * itself. */
static bool charge_object(sx *m, size_t bytes)
{
    if (!heap_charge(m, bytes))
        return false;
    m->heap.object_bytes += bytes;
    return true;
}

static void refund_object(sx *m, size_t bytes)
{
    CHECK(m->heap.object_bytes >= bytes);
    m->heap.object_bytes -= bytes;
    heap_refund(m, bytes);
}

static void free_block(sx *m, block *b)
{
    HEAP_UNPOISON(b, BLOCK_BYTES);
    mem_free(b);
    refund_object(m, BLOCK_SIZE);
}

void heap_trim(sx *m, size_t keep)
{
    heap *h = &m->heap;
    while (h->free_count > keep) {
        block *b = h->free_blocks;
        CHECK(b != NULL);
        h->free_blocks = b->next;
        h->free_count--;
        free_block(m, b);
    }
}

void heap_refuse(sx *m, uint64_t n)
{
    heap *h = &m->heap;
    CHECK(n > 0);
    h->refuse = n;
    /* What is left of the runs is free at the next collection. */
    for (size_t class = 0; class < SMALL_CLASSES; class ++)
        h->runs[class] = (cell_run){NULL, NULL, NULL};
}

static bool is_refused(heap *h)
{
    return UNLIKELY(h->refuse > 0) && --h->refuse == 0;
}

bool heap_charge(sx *m, size_t bytes)
{
    heap *h = &m->heap;
    CHECK(h->used <= h->max);
    if (is_refused(h))
        return false;
    if (bytes > h->limit || h->used > h->limit - bytes)
        heap_trim(m, 0);
    /* cppcheck-suppress duplicateCondition ; less is in use now */
    if (bytes > h->limit || h->used > h->limit - bytes)
        return false;
    h->used += bytes;
    return true;
}

void heap_refund(sx *m, size_t bytes)
{
    CHECK(m->heap.used >= bytes);
    m->heap.used -= bytes;
}

bool heap_full(const sx *m)
{
    const heap *h = &m->heap;
    CHECK(h->object_bytes <= h->used && h->used <= h->max);
    size_t others = h->used - h->object_bytes;
    return h->live + others + h->spare > h->limit;
}

void *heap_realloc(sx *m, void *old, size_t old_bytes, size_t new_bytes)
{
    CHECK(new_bytes >= old_bytes);
    if (!heap_charge(m, new_bytes - old_bytes))
        return NULL;
    void *memory = mem_realloc(old, new_bytes);
    if (memory == NULL) {
        heap_refund(m, new_bytes - old_bytes);
        heap_starve(m);
    }
    return memory;
}

void heap_free(sx *m, void *memory, size_t bytes)
{
    mem_free(memory);
    heap_refund(m, bytes);
}

static void count_allocated(heap *h, size_t bytes)
{
    h->since += bytes;
    if (h->since >= h->trigger)
        h->due = true;
}

/* ---- blocks ----------------------------------------------------------- */

static block *take_block(sx *m)
{
    heap *h = &m->heap;
    block *b = h->free_blocks;
    if (b != NULL) {
        h->free_blocks = b->next;
        CHECK(h->free_count > 0);
        h->free_count--;
        return b;
    }
    if (!charge_object(m, BLOCK_SIZE))
        return NULL;
    b = mem_alloc_aligned(BLOCK_SIZE, BLOCK_BYTES);
    if (b == NULL) {
        refund_object(m, BLOCK_SIZE);
        heap_starve(m);
    }
    return b;
}

static bool add_block(sx *m, size_t class)
{
    heap *h = &m->heap;
    block *b = take_block(m);
    if (b == NULL)
        return false;
    size_t cell = class * GRANULE;
    *b = (block){.next = h->classes[class], .cell_size = (uint32_t)cell};
    b->cells = (uint32_t)((BLOCK_BYTES - BLOCK_HEAD) / cell);
    if (UNLIKELY(h->refuse > 0))
        b->cells = 1; /* so that the next allocation comes here, too */
    h->classes[class] = b;
    CHECK(b->cells > 0);
    char *first = block_first(b);
    HEAP_POISON(first, b->cells * cell);
    /* Its next ones were looked through already. */
    h->runs[class] = (cell_run){first, first + b->cells * cell, NULL};
    count_allocated(h, b->cells * cell);
    return true;
}

/* Finds the next run of free cells at or after at. */
static bool find_run(cell_run *r, block *b, char *at)
{
    char *end = block_first(b) + (size_t)b->cells * b->cell_size;
    CHECK(at >= block_first(b) && at <= end);
    while (at < end && block_marked(b, at))
        at += b->cell_size;
    if (at == end)
        return false;
    r->at = at;
    r->block = b;
    while (at < end && !block_marked(b, at))
        at += b->cell_size;
    r->end = at;
    return true;
}

/* Finds free cells in the blocks of a size. */
static bool next_run(sx *m, size_t class)
{
    cell_run *r = &m->heap.runs[class];
    CHECK(r->at == r->end);
    block *b = r->block;
    char *at = b == NULL ? NULL : r->end == NULL ? block_first(b) : r->end;
    while (b != NULL) {
        if (b->live < b->cells && find_run(r, b, at)) {
            count_allocated(&m->heap, (size_t)(r->end - r->at));
            return true;
        }
        b = b->next;
        at = b == NULL ? NULL : block_first(b);
    }
    r->block = NULL;
    return false;
}

/* Takes a larger cell. */
static bool borrow_cell(sx *m, size_t class)
{
    CHECK(m->heap.runs[class].at == m->heap.runs[class].end);
    for (size_t wider = class + 1; wider < SMALL_CLASSES; wider++) {
        cell_run *from = &m->heap.runs[wider];
        if (from->at == from->end && !next_run(m, wider))
            continue;
        m->heap.runs[class] =
            (cell_run){from->at, from->at + class * GRANULE, NULL};
        from->at += wider * GRANULE;
        return true;
    }
    return false;
}

/* A block of larger cells, for several sizes. */
static bool share_block(sx *m, size_t class)
{
    size_t wider = SHARED_FIRST;
    CHECK(class > 0 && class < SMALL_CLASSES);
    while (wider < class)
        wider *= 4;
    return wider < SMALL_CLASSES && wider > class && add_block(m, wider) &&
           borrow_cell(m, class);
}

/* With few blocks left, sizes share them: a small evaluation makes few objects,
 * but of many sizes. */
bool heap_refill(sx *m, size_t class)
{
    CHECK(class > 0 && class < SMALL_CLASSES);
    if (UNLIKELY(m->heap.refuse > 0))
        return !is_refused(&m->heap) && add_block(m, class);
    if (LIKELY(next_run(m, class)))
        return true;
    if (LIKELY(m->heap.used + (size_t)SCARCE * BLOCK_SIZE <= m->heap.limit))
        return add_block(m, class);
    return borrow_cell(m, class) || share_block(m, class) ||
           add_block(m, class);
}

void heap_sweep_blocks(sx *m)
{
    heap *h = &m->heap;
    for (size_t class = 0; class < SMALL_CLASSES; class ++) {
        block **link = &h->classes[class];
        while (*link != NULL) {
            block *b = *link;
            CHECK(b->live <= b->cells && b->cell_size == class * GRANULE);
            if (b->live > 0) {
                block_poison(b);
                link = &b->next;
                continue;
            }
            *link = b->next;
            b->next = h->free_blocks;
            h->free_blocks = b;
            h->free_count++;
        }
        h->runs[class] = (cell_run){NULL, NULL, h->classes[class]};
    }
}

/* ---- large objects ---------------------------------------------------- */

object *heap_large(sx *m, enum kind kind, size_t bytes)
{
    CHECK(bytes > SMALL_MAX);
    if (bytes > SIZE_MAX / 2 || !charge_object(m, bytes + sizeof(large)))
        return NULL;
    large *l = mem_alloc(bytes + sizeof(large));
    if (l == NULL) {
        refund_object(m, bytes + sizeof(large));
        heap_starve(m);
        return NULL;
    }
    *l = (large){.next = m->heap.large, .size = bytes};
    m->heap.large = l;
    count_allocated(&m->heap, bytes);
    l->object = (object){.kind = (uint8_t)kind, .flags = FLAG_LARGE};
    return &l->object;
}

void heap_sweep_large(sx *m)
{
    large **link = &m->heap.large;
    while (*link != NULL) {
        large *l = *link;
        if (l->marked) {
            l->marked = false;
            link = &l->next;
            continue;
        }
        *link = l->next;
        refund_object(m, l->size + sizeof(large));
        mem_free(l);
    }
}

void heap_release(sx *m)
{
    heap *h = &m->heap;
    for (size_t class = 0; class < SMALL_CLASSES; class ++) {
        for (block *b = h->classes[class]; b != NULL; b = b->next)
            b->live = 0;
    }
    heap_sweep_blocks(m);
    heap_trim(m, 0);
    heap_sweep_large(m);
    heap_free(m, h->names, h->name_capacity * sizeof *h->names);
}

/* ---- small objects of one word ---------------------------------------- */

bool make_boxed_integer(sx *m, int64_t n, value *out)
{
    CHECK(n < FIXNUM_MIN || n > FIXNUM_MAX);
    boxed_integer *o = heap_object(m, KIND_INTEGER, sizeof *o);
    if (o == NULL)
        return false;
    o->number = n;
    *out = value_object(o);
    return true;
}

bool make_float(sx *m, double number, value *out)
{
    boxed_float *o = heap_object(m, KIND_FLOAT, sizeof *o);
    if (o == NULL)
        return false;
    o->number = number;
    *out = value_object(o);
    return true;
}

bool make_box(sx *m, value v, string *name, value *out)
{
    CHECK(name != NULL);
    box *o = heap_object(m, KIND_BOX, sizeof *o);
    if (o == NULL)
        return false;
    o->value = v;
    o->name = name;
    *out = value_object(o);
    return true;
}
