/* SPDX-License-Identifier: MIT */
/* Explicit stacks of walks over data, and deep equality. */
#include "base/mem.h"
#include "sx/machine.h"

enum { WALK_FIRST = 64 };

bool walk_grow(sx *m, walk_stack *w)
{
    CHECK(w->item_size > 0 && w->count <= w->capacity);
    if (w->count < w->capacity)
        return true;
    size_t capacity = w->capacity == 0 ? WALK_FIRST : w->capacity * 2;
    void *items = heap_realloc(m, w->items, w->capacity * w->item_size,
                               capacity * w->item_size);
    if (items == NULL)
        return false;
    w->items = items;
    w->capacity = capacity;
    return true;
}

void walk_release(sx *m, walk_stack *w)
{
    heap_free(m, w->items, w->capacity * w->item_size);
    w->items = NULL;
    w->count = w->capacity = 0;
}

/* ---- equal? ----------------------------------------------------------- */

/* Two lists or two dicts of one size, compared up to next. */
typedef struct pair {
    object *a, *b;
    size_t next;
} pair;

enum compared { SAME, DIFFERENT, DEEPER };

static enum compared compare_numbers(value a, value b)
{
    CHECK(is_number(a));
    if (is_integer(a) && is_integer(b))
        return integer_of(a) == integer_of(b) ? SAME : DIFFERENT;
    if (!is_float(a) || !is_float(b))
        return DIFFERENT;
    double x = float_of(a), y = float_of(b);
    /* A NaN equals itself, and -0.0 is not 0.0.
     * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): meant so */
    return memcmp(&x, &y, sizeof x) == 0 ? SAME : DIFFERENT;
}

/* Compares two values, not what is in them. */
static enum compared compare_tops(value a, value b)
{
    if (value_same(a, b))
        return SAME;
    if (is_number(a))
        return compare_numbers(a, b);
    if (!is_object(a) || !is_object(b) ||
        object_of(a)->kind != object_of(b)->kind)
        return DIFFERENT;
    if (is_string(a))
        return string_equal(string_of(a), string_of(b)) ? SAME : DIFFERENT;
    if (is_list(a) || is_dict(a)) {
        uint32_t size = object_of(a)->aux; /* of both kinds: the size */
        return size != object_of(b)->aux ? DIFFERENT
               : size == 0               ? SAME
                                         : DEEPER;
    }
    return DIFFERENT;
}

/* The next two values to compare; false if a key is only in one dict. */
static bool next_values(pair *p, value *a, value *b)
{
    CHECK(p->a->kind == p->b->kind && p->a->aux == p->b->aux);
    CHECK(p->next < p->a->aux);
    size_t i = p->next++;
    if (p->a->kind == KIND_LIST) {
        *a = list_at((list *)(void *)p->a, i);
        *b = list_at((list *)(void *)p->b, i);
        return true;
    }
    entry *e = &dict_entries((dict *)(void *)p->a)[i];
    entry *other = dict_entry((dict *)(void *)p->b, e->key);
    if (other == NULL)
        return false;
    *a = e->value;
    *b = other->value;
    return true;
}

static prim_status equal_deep(sx *m, walk_stack *w, value a, value b, bool *out)
{
    CHECK(w->item_size == sizeof(pair) && w->count == 0);
    *out = false;
    /* More values than the heap can hold: shared ones, seen again and again. */
    size_t left = m->heap.max / sizeof(list);
    for (;;) {
        if (left-- == 0)
            return fail(m, PERSIST_LIMIT, "equal?: too much shared data");
        enum compared c = compare_tops(a, b);
        if (c == DIFFERENT)
            return PRIM_OK;
        if (c == DEEPER) {
            if (w->count >= m->options.depth_max)
                return fail(m, PERSIST_LIMIT,
                            "equal?: data nested deeper than %zu levels",
                            m->options.depth_max);
            if (!walk_grow(m, w))
                return PRIM_MEMORY;
            ((pair *)w->items)[w->count++] =
                (pair){object_of(a), object_of(b), 0};
        }
        pair *top;
        for (;; w->count--) {
            if (w->count == 0) {
                *out = true;
                return PRIM_OK;
            }
            top = &((pair *)w->items)[w->count - 1];
            if (top->next < top->a->aux)
                break;
        }
        if (!next_values(top, &a, &b))
            return PRIM_OK;
    }
}

prim_status values_equal(sx *m, value a, value b, bool *out)
{
    enum compared c = compare_tops(a, b);
    *out = c == SAME;
    if (c != DEEPER)
        return PRIM_OK;
    walk_stack w = {.item_size = sizeof(pair)};
    prim_status status = equal_deep(m, &w, a, b, out);
    walk_release(m, &w);
    return status;
}

/* Compares an integer with a float exactly, without rounding the integer. */
static bool integer_is_float(int64_t n, double v)
{
    /* cppcheck-suppress incorrectLogicOperator ; it reads 0x1p63 as 0 */
    return v >= -0x1p63 && v < 0x1p63 && v == (double)(int64_t)v &&
           (int64_t)v == n;
}

prim_status values_same_number_or_equal(sx *m, value a, value b, bool *out)
{
    if (!is_number(a) || !is_number(b))
        return values_equal(m, a, b, out);
    if (is_integer(a) && is_integer(b))
        *out = integer_of(a) == integer_of(b);
    else if (is_float(a) && is_float(b))
        *out = float_of(a) == float_of(b);
    else if (is_integer(a))
        *out = integer_is_float(integer_of(a), float_of(b));
    else
        *out = integer_is_float(integer_of(b), float_of(a));
    return PRIM_OK;
}
