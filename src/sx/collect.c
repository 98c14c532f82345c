/* SPDX-License-Identifier: MIT */
/* The collector: marks from the roots with a stack of its own, then lets the
 * allocator have what was not reached.
 *
 * The mark stack holds one entry a level of nesting: an object and which child
 * comes next. When it cannot grow, the object stays marked but unscanned, and
 * marked objects are scanned again until nothing is missed. */
#include "base/mem.h"
#include "sx/block.h"
#include "sx/compiler.h"
#include "sx/machine.h"

enum {
    TRIGGER_MIN = 4 << 20, /* bytes handed out between two collections */
    MARKS_FIRST = 256,
    MARKS_KEEP = 1 << 16, /* entries to keep between collections */
};

/* The value words of an object. */
static const value *children(object *o, size_t *count)
{
#define RUN(type, member, n)                                                   \
    (*count = (n), (const value *)(const void *)&((type *)(void *)o)->member)
    switch ((enum kind)o->kind) {
    case KIND_VEC:
        CHECK(((vec *)(void *)o)->hi <= o->aux);
        return RUN(vec, items[((vec *)(void *)o)->lo],
                   ((vec *)(void *)o)->hi - ((vec *)(void *)o)->lo);
    case KIND_LIST:
        return RUN(list, vec, 1);
    case KIND_TABLE:
        CHECK(((table *)(void *)o)->used <= o->aux);
        return RUN(table, entries, 2 * ((table *)(void *)o)->used);
    case KIND_DICT:
        return RUN(dict, table, 2);
    case KIND_BOX:
        return RUN(box, value, 2);
    case KIND_CODE:
        return RUN(code, name, 1 + (size_t)o->aux);
    case KIND_LAMBDA:
        return RUN(lambda, code, 1 + (size_t)o->aux);
    case KIND_MACRO:
        return RUN(macro, expander, 1);
    case KIND_PRIMITIVE:
        return RUN(primitive, name, 1);
    case KIND_CONTINUATION:
        return RUN(continuation, words, ((continuation *)(void *)o)->count);
    default:
        break;
    }
#undef RUN
    *count = 0;
    return NULL;
}

bool heap_is_marked(object *o)
{
    return (o->flags & FLAG_LARGE) != 0 ? large_of(o)->marked
                                        : block_marked(block_of(o), (char *)o);
}

/* Marks one object; false if it was marked. */
static bool set_mark(heap *h, object *o)
{
    if ((o->flags & FLAG_LARGE) != 0) {
        large *l = large_of(o);
        if (l->marked)
            return false;
        l->marked = true;
        h->live += l->size;
        return true;
    }
    block *b = block_of(o);
    CHECK(b->cell_size > 0 && o->kind != 0);
    size_t granule = (size_t)((char *)o - (char *)b) / GRANULE;
    uint64_t bit = UINT64_C(1) << (granule % 64);
    if ((b->marks[granule / 64] & bit) != 0)
        return false;
    b->marks[granule / 64] |= bit;
    CHECK(b->live < b->cells);
    b->live++;
    h->live += b->cell_size;
    return true;
}

static bool is_leaf(const object *o)
{
    return o->kind == KIND_STRING || o->kind == KIND_FLOAT ||
           o->kind == KIND_INTEGER || o->kind == KIND_BYTES;
}

/* Marks what a word points to; returns it if its children are to be seen. */
static object *mark_word(heap *h, value v)
{
    if ((v.word & 1) != 0 || (v.word & 7) == TAG_IMMEDIATE || v.word == 0)
        return NULL;
    object *o = (object *)(void *)name_of(v); /* strips any tag */
    return set_mark(h, o) && !is_leaf(o) ? o : NULL;
}

static void push_mark(sx *m, object *o)
{
    heap *h = &m->heap;
    CHECK(!is_leaf(o) && h->mark_count <= h->mark_capacity);
    if (h->mark_count == h->mark_capacity) {
        size_t old = h->mark_capacity * sizeof *h->marks;
        size_t more = old == 0 ? MARKS_FIRST * sizeof *h->marks : old;
        mark_entry *marks = heap_realloc(m, h->marks, old, old + more);
        if (marks == NULL) {
            h->mark_overflow = true;
            return;
        }
        h->marks = marks;
        h->mark_capacity = (old + more) / sizeof *h->marks;
    }
    h->marks[h->mark_count++] = (mark_entry){o, 0};
}

static void drain(sx *m)
{
    heap *h = &m->heap;
    while (h->mark_count > 0) {
        mark_entry *top = &h->marks[h->mark_count - 1];
        size_t count, i = top->next;
        const value *words = children(top->object, &count);
        CHECK(i <= count);
        object *below = NULL;
        while (i < count && below == NULL)
            below = mark_word(h, words[i++]);
        if (i < count)
            top->next = i;
        else
            h->mark_count--; /* so that a long chain takes one entry */
        if (below != NULL)
            push_mark(m, below);
    }
}

void heap_mark(sx *m, value v)
{
    object *o = mark_word(&m->heap, v);
    if (o == NULL)
        return;
    push_mark(m, o);
    drain(m);
}

/* Scans a marked object for children that were missed. */
static void rescan(sx *m, object *o)
{
    size_t count;
    const value *words = children(o, &count);
    for (size_t i = 0; i < count; i++)
        heap_mark(m, words[i]);
}

static void rescan_all(sx *m)
{
    heap *h = &m->heap;
    h->mark_overflow = false;
    for (size_t class = 0; class < SMALL_CLASSES; class ++) {
        for (block *b = h->classes[class]; b != NULL; b = b->next) {
            char *cell = block_first(b);
            for (size_t i = 0; i < b->cells; i++, cell += b->cell_size) {
                if (block_marked(b, cell))
                    rescan(m, (object *)(void *)cell);
            }
        }
    }
    for (large *l = h->large; l != NULL; l = l->next) {
        if (l->marked)
            rescan(m, &l->object);
    }
}

static void clear_marks(heap *h)
{
    for (size_t class = 0; class < SMALL_CLASSES; class ++) {
        for (block *b = h->classes[class]; b != NULL; b = b->next) {
            memset(b->marks, 0, sizeof b->marks);
            b->live = 0;
        }
    }
    h->live = 0;
    h->mark_overflow = false;
    CHECK(h->mark_count == 0);
}

static void mark_roots(sx *m)
{
    CHECK(m->fp <= m->sp && m->sp <= m->stack.end);
    for (value *v = m->stack.base; v < m->sp; v++)
        heap_mark(m, *v);
    heap_mark(m, m->globals);
    heap_mark(m, m->forms);
    heap_mark(m, m->request);
    heap_mark(m, m->result);
    heap_mark(m, m->failure);
    heap_mark(m, m->raised);
    heap_mark(m, m->last_resort);
    compiler_mark(m);
}

void heap_collect(sx *m, const value *keep, size_t count)
{
    CHECK(keep != NULL || count == 0);
    heap *h = &m->heap;
    clear_marks(h);
    mark_roots(m);
    for (size_t i = 0; i < count; i++)
        heap_mark(m, keep[i]);
    while (h->mark_overflow)
        rescan_all(m);
    CHECK(h->mark_count == 0 && h->live <= h->object_bytes);
    names_sweep(m);
    heap_sweep_blocks(m);
    heap_sweep_large(m);
    if (h->mark_capacity > MARKS_KEEP) {
        heap_free(m, h->marks, h->mark_capacity * sizeof *h->marks);
        h->marks = NULL;
        h->mark_capacity = 0;
    }
    /* In proportion to what marking cost. */
    size_t seen = h->live + (size_t)(m->sp - m->stack.base) * sizeof(value);
    h->trigger = seen > TRIGGER_MIN ? seen : TRIGGER_MIN;
    heap_trim(m, h->trigger / BLOCK_SIZE);
    h->since = 0;
#ifdef SX_GC_STRESS
    h->due = true;
#else
    h->due = false;
#endif
}
