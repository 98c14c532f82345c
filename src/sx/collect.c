/* SPDX-License-Identifier: MIT */
/* The collector: marks from the roots, then lets the allocator have what was
 * not reached.
 *
 * Marking takes no memory, so it cannot be short of it: the word that led down
 * to an object holds the way back up until that object is done, and the object
 * above says which of its words that is. */
#include "base/mem.h"
#include "sx/block.h"
#include "sx/compiler.h"
#include "sx/machine.h"
#include "sx/reserve.h"

enum {
    TRIGGER_MIN = 4 << 20, /* bytes handed out between two collections */
};

CHECK_STATIC(SMALL_MAX / sizeof(value) <= UINT16_MAX,
             "a word of a small object has a number of 16 bits");

/* The value words of an object. */
static value *children(object *o, size_t *count)
{
#define RUN(type, member, n)                                                   \
    (*count = (n), (value *)(void *)&((type *)(void *)o)->member)
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
    if (UNLIKELY(h->ageing))
        o->flags |= FLAG_OLD;
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

/* Which word of an object leads down to the one that is being marked. */
static size_t way_down(object *o)
{
    return (o->flags & FLAG_LARGE) != 0 ? large_of(o)->at : o->at;
}

static void set_way_down(object *o, size_t i)
{
    if ((o->flags & FLAG_LARGE) != 0)
        large_of(o)->at = i;
    else
        o->at = (uint16_t)i;
}

/* Marks what is below an object. */
static void mark_below(heap *h, object *o)
{
    object *above = NULL;
    for (size_t i = 0;;) {
        size_t count;
        value *words = children(o, &count);
        object *below = NULL;
        size_t first = i;
        while (i < count && (below = mark_word(h, words[i])) == NULL)
            i++;
        h->scanned += i - first + 1;
        if (below != NULL) {
            set_way_down(o, i);
            words[i] = value_object(above);
            above = o;
            o = below;
            i = 0;
            continue;
        }
        if (above == NULL)
            return;
        i = way_down(above);
        words = children(above, &count);
        CHECK(i < count);
        below = o;
        o = above;
        above = object_of(words[i]);
        words[i++] = value_object(below);
    }
}

void heap_mark(sx *m, value v)
{
    object *o = mark_word(&m->heap, v);
    if (o != NULL)
        mark_below(&m->heap, o);
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
    for (size_t i = 0; i < LAST_RESORTS; i++)
        heap_mark(m, m->last_resorts[i]);
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
    CHECK(h->live <= h->object_bytes);
    names_sweep(m);
    heap_sweep_blocks(m);
    heap_sweep_large(m);
    /* In proportion to what marking cost. */
    size_t seen = h->live + (size_t)(m->sp - m->stack.base) * sizeof(value);
    h->trigger = seen > TRIGGER_MIN ? seen : TRIGGER_MIN;
    heap_trim(m, h->trigger / BLOCK_SIZE);
    h->since = 0;
    h->settled = false;
    names_fit(m);
    heap_review(m);
#ifdef SX_GC_STRESS
    h->due = true;
#else
    h->due = false;
#endif
}
