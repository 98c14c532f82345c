/* SPDX-License-Identifier: MIT */
/* Lists: windows on shared vecs. */
#include "sx/list.h"

#include <string.h>

enum { VEC_FIRST = 4 };

static vec *vec_new(sx *m, size_t capacity)
{
    if (capacity > LIST_SIZE_MAX)
        return NULL;
    vec *v = heap_object(m, KIND_VEC, sizeof *v + capacity * sizeof(value));
    if (v == NULL)
        return NULL;
    v->head.aux = (uint32_t)capacity;
    v->lo = v->hi = 0;
    return v;
}

static list *window(sx *m, vec *v, size_t start, size_t count)
{
    CHECK(v == NULL ? count == 0 : start + count <= v->head.aux);
    list *l = heap_object(m, KIND_LIST, sizeof *l);
    if (l == NULL)
        return NULL;
    l->head.aux = (uint32_t)count;
    l->vec = v;
    l->start = (uint32_t)start;
    return l;
}

static bool window_out(sx *m, vec *v, size_t start, size_t count, value *out)
{
    list *l = window(m, v, start, count);
    if (l != NULL)
        *out = value_object(l);
    return l != NULL;
}

static void copy_items(value *to, const value *from, size_t count)
{
    if (count > 0)
        memcpy(to, from, count * sizeof *to);
}

/* Room for one more and for as much again. */
static size_t grown(size_t size)
{
    size_t capacity = size * 2 < VEC_FIRST ? VEC_FIRST : size * 2;
    return capacity > LIST_SIZE_MAX && size < LIST_SIZE_MAX ? LIST_SIZE_MAX
                                                            : capacity;
}

bool list_new(sx *m, size_t capacity, value *out)
{
    vec *v = NULL;
    if (capacity > 0 && (v = vec_new(m, capacity)) == NULL)
        return false;
    return window_out(m, v, 0, 0, out);
}

bool list_from(sx *m, const value *items, size_t count, value *out)
{
    value made;
    if (!list_new(m, count, &made))
        return false;
    list *l = list_of(made);
    if (count > 0) {
        copy_items(l->vec->items, items, count);
        l->vec->hi = (uint32_t)count;
        l->head.aux = (uint32_t)count;
    }
    *out = made;
    return true;
}

bool list_slice(sx *m, const list *l, size_t start, size_t count, value *out)
{
    CHECK(start <= list_size(l) && count <= list_size(l) - start);
    vec *v = count == 0 ? NULL : l->vec;
    return window_out(m, v, v == NULL ? 0 : l->start + start, count, out);
}

/* A vec with the elements of l at its left end and room behind them. */
static vec *copy_left(sx *m, const list *l, size_t capacity)
{
    CHECK(capacity >= list_size(l));
    vec *v = vec_new(m, capacity);
    if (v == NULL)
        return NULL;
    copy_items(v->items, list_items(l), list_size(l));
    v->hi = (uint32_t)list_size(l);
    return v;
}

/* Whether count elements can be added where the list ends. */
static bool room_behind(sx *m, const list *l, size_t count)
{
    return l->vec != NULL && !heap_closed(m, &l->vec->head) &&
           l->start + list_size(l) == l->vec->hi &&
           l->vec->head.aux - l->vec->hi >= count;
}

bool list_concat(sx *m, const list *l, const value *items, size_t count,
                 value *out)
{
    size_t size = list_size(l);
    if (count > LIST_SIZE_MAX - size)
        return false;
    vec *v = l->vec;
    size_t start = l->start;
    if (!room_behind(m, l, count)) {
        v = copy_left(m, l, grown(size + count));
        start = 0;
    }
    list *made = v == NULL ? NULL : window(m, v, start, size + count);
    if (made == NULL)
        return false;
    copy_items(v->items + v->hi, items, count);
    v->hi += (uint32_t)count;
    *out = value_object(made);
    return true;
}

bool list_append(sx *m, const list *l, value element, value *out)
{
    return list_concat(m, l, &element, 1, out);
}

bool list_cons(sx *m, value element, const list *l, value *out)
{
    size_t size = list_size(l);
    vec *v = l->vec;
    size_t start = l->start;
    if (v == NULL || start != v->lo || start == 0 || heap_closed(m, &v->head)) {
        size_t capacity = grown(size + 1);
        v = vec_new(m, capacity);
        if (v == NULL)
            return false;
        start = capacity - size;
        copy_items(v->items + start, list_items(l), size);
        v->lo = (uint32_t)start;
        v->hi = (uint32_t)capacity;
    }
    CHECK(start > 0 && v->lo == start);
    list *made = window(m, v, start - 1, size + 1);
    if (made == NULL)
        return false;
    v->items[--v->lo] = element;
    *out = value_object(made);
    return true;
}

bool list_push(sx *m, list *l, value element)
{
    if (!heap_may_add(m, &l->head))
        return false;
    if (!room_behind(m, l, 1)) {
        vec *v = copy_left(m, l, grown(list_size(l) + 1));
        if (v == NULL)
            return false;
        l->vec = v;
        l->start = 0;
    }
    CHECK(l->vec->hi < l->vec->head.aux);
    l->vec->items[l->vec->hi++] = element;
    l->head.aux++;
    return true;
}
