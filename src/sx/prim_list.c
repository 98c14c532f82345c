/* SPDX-License-Identifier: MIT */
/* Lists. All but append! leave their arguments as they are. */
#include <math.h>

#include "sx/machine.h"
#include "sx/prim_groups.h"

static prim_status made(bool ok)
{
    return ok ? PRIM_OK : PRIM_MEMORY;
}

/* A list of some of the elements of args[i], which is a list or nil. */
static prim_status part(sx *m, const value *args, size_t i, size_t start,
                        size_t count, value *out)
{
    if (is_nil(args[i]))
        return made(list_new(m, 0, out));
    return made(list_slice(m, list_of(args[i]), start, count, out));
}

/* ---- taking apart ----------------------------------------------------- */

static prim_status prim_list(sx *m, value *args, size_t count, value *out)
{
    return made(list_from(m, args, count, out));
}

static prim_status prim_cons(sx *m, value *args, size_t count, value *out)
{
    list *l;
    CHECK(count == 2);
    if (is_nil(args[1]))
        return made(list_from(m, args, 1, out));
    if (!arg_list(m, args, 1, &l))
        return PRIM_FAILED;
    return made(list_cons(m, args[0], l, out));
}

static prim_status prim_first(sx *m, value *args, size_t count, value *out)
{
    span items;
    CHECK(count == 1);
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    *out = items.size > 0 ? items.at[0] : VALUE_NIL;
    return PRIM_OK;
}

static prim_status prim_last(sx *m, value *args, size_t count, value *out)
{
    span items;
    CHECK(count == 1);
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    *out = items.size > 0 ? items.at[items.size - 1] : VALUE_NIL;
    return PRIM_OK;
}

static prim_status prim_rest(sx *m, value *args, size_t count, value *out)
{
    span items;
    CHECK(count == 1);
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    size_t skip = items.size > 0;
    return part(m, args, 0, skip, items.size - skip, out);
}

static prim_status prim_nth(sx *m, value *args, size_t count, value *out)
{
    span items;
    int64_t i;
    CHECK(count == 2);
    if (!arg_items(m, args, 0, &items) || !arg_integer(m, args, 1, &i))
        return PRIM_FAILED;
    bool inside = i >= 0 && (uint64_t)i < items.size;
    *out = inside ? items.at[i] : VALUE_NIL;
    return PRIM_OK;
}

/* The count of arg 1, between 0 and size. */
static bool arg_count(sx *m, const value *args, size_t size, size_t *out)
{
    int64_t n;
    if (!arg_integer(m, args, 1, &n))
        return false;
    *out = n <= 0 ? 0 : (uint64_t)n < size ? (size_t)n : size;
    return true;
}

static prim_status prim_take(sx *m, value *args, size_t count, value *out)
{
    span items;
    size_t n;
    CHECK(count == 2);
    if (!arg_items(m, args, 0, &items) || !arg_count(m, args, items.size, &n))
        return PRIM_FAILED;
    return part(m, args, 0, 0, n, out);
}

static prim_status prim_drop(sx *m, value *args, size_t count, value *out)
{
    span items;
    size_t n;
    CHECK(count == 2);
    if (!arg_items(m, args, 0, &items) || !arg_count(m, args, items.size, &n))
        return PRIM_FAILED;
    return part(m, args, 0, n, items.size - n, out);
}

static prim_status prim_len(sx *m, value *args, size_t count, value *out)
{
    value v = args[0];
    size_t size = 0;
    CHECK(count == 1);
    if (is_string(v))
        size = string_of(v)->size;
    else if (is_list(v))
        size = list_size(list_of(v));
    else if (is_dict(v))
        size = dict_size(dict_of(v));
    else if (!is_nil(v))
        return fail_argument(m, args, 0, "a list, dict or string");
    *out = value_fixnum((int64_t)size);
    return PRIM_OK;
}

/* ---- putting together ------------------------------------------------- */

/* Each further argument: a list is joined, all else is one element. */
static prim_status prim_append(sx *m, value *args, size_t count, value *out)
{
    span items;
    value all;
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    prim_status status = part(m, args, 0, 0, items.size, &all);
    for (size_t i = 1; status == PRIM_OK && i < count; i++) {
        value x = args[i];
        status = made(is_list(x)
                          ? list_concat(m, list_of(all), list_items(list_of(x)),
                                        list_size(list_of(x)), &all)
                          : list_append(m, list_of(all), x, &all));
    }
    *out = all;
    return status;
}

static prim_status prim_concat(sx *m, value *args, size_t count, value *out)
{
    size_t total = 0;
    span items;
    for (size_t i = 0; i < count; i++) {
        if (!arg_items(m, args, i, &items))
            return PRIM_FAILED;
        total += items.size;
    }
    if (!list_new(m, total, out))
        return PRIM_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!arg_items(m, args, i, &items))
            return PRIM_FAILED;
        for (size_t k = 0; k < items.size; k++)
            if (!list_push(m, list_of(*out), items.at[k]))
                return PRIM_MEMORY;
    }
    return PRIM_OK;
}

static prim_status prim_reverse(sx *m, value *args, size_t count, value *out)
{
    span items;
    CHECK(count == 1);
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    if (!list_new(m, items.size, out))
        return PRIM_MEMORY;
    for (size_t i = items.size; i > 0; i--)
        if (!list_push(m, list_of(*out), items.at[i - 1]))
            return PRIM_MEMORY;
    return PRIM_OK;
}

static prim_status prim_push(sx *m, value *args, size_t count, value *out)
{
    list *l;
    CHECK(count == 2);
    if (!arg_list(m, args, 0, &l))
        return PRIM_FAILED;
    *out = args[0];
    return made(list_push(m, l, args[1]));
}

/* ---- flatten ---------------------------------------------------------- */

typedef struct place {
    span items;
    size_t next;
} place;

static prim_status enter(sx *m, walk_stack *walk, const list *l)
{
    if (walk->count >= machine_depth_max(m))
        return fail(m, PERSIST_LIMIT, "flatten: nested too deep");
    if (!walk_grow(m, walk))
        return PRIM_MEMORY;
    ((place *)walk->items)[walk->count++] =
        (place){{list_items(l), list_size(l)}, 0};
    return PRIM_OK;
}

static prim_status flatten_into(sx *m, walk_stack *walk, list *all)
{
    /* More lists than the heap can hold: shared ones, seen again and again. */
    size_t left = m->heap.max / sizeof(list);
    while (walk->count > 0) {
        place *top = (place *)walk->items + walk->count - 1;
        if (top->next == top->items.size) {
            walk->count--;
            continue;
        }
        /* next is below the size.
         * NOLINTNEXTLINE(clang-analyzer-core.NullDereference): not empty */
        value v = top->items.at[top->next++];
        if (!is_list(v)) {
            if (!list_push(m, all, v))
                return PRIM_MEMORY;
            continue;
        }
        if (left-- == 0)
            return fail(m, PERSIST_LIMIT, "flatten: too much shared data");
        prim_status status = enter(m, walk, list_of(v));
        if (status != PRIM_OK)
            return status;
    }
    return PRIM_OK;
}

static prim_status prim_flatten(sx *m, value *args, size_t count, value *out)
{
    place first = {0};
    walk_stack walk = {.item_size = sizeof(place)};
    CHECK(count == 1);
    if (!arg_items(m, args, 0, &first.items))
        return PRIM_FAILED;
    prim_status status =
        made(list_new(m, first.items.size, out) && walk_grow(m, &walk));
    if (status == PRIM_OK) {
        ((place *)walk.items)[walk.count++] = first;
        status = flatten_into(m, &walk, list_of(*out));
    }
    walk_release(m, &walk);
    return status;
}

/* ---- range ------------------------------------------------------------ */

static prim_status fail_long(sx *m)
{
    return fail(m, PERSIST_LIMIT, "range: more than %d elements",
                (int)LIST_SIZE_MAX);
}

static prim_status range_of_integers(sx *m, int64_t from, int64_t to,
                                     int64_t step, value *out)
{
    uint64_t size = 0;
    if (step > 0 && to > from)
        size = ((uint64_t)to - (uint64_t)from - 1) / (uint64_t)step + 1;
    else if (step < 0 && to < from)
        size = ((uint64_t)from - (uint64_t)to - 1) / -(uint64_t)step + 1;
    if (size > LIST_SIZE_MAX)
        return fail_long(m);
    if (!list_new(m, size, out))
        return PRIM_MEMORY;
    uint64_t at = (uint64_t)from; /* wraps after the last one only */
    for (uint64_t i = 0; i < size; i++, at += (uint64_t)step) {
        value n;
        if (!make_integer(m, (int64_t)at, &n) ||
            !list_push(m, list_of(*out), n))
            return PRIM_MEMORY;
    }
    return PRIM_OK;
}

/* Element i; without an infinite step times 0. */
static double float_at(double from, size_t i, double step)
{
    return i == 0 ? from : from + (double)i * step;
}

/* How many of from, from + step, ... are before to: as they are computed, which
 * is not what the quotient of the distance says. They do not turn back. */
static size_t count_floats(double from, double to, double step, size_t most)
{
    size_t low = 0, high = most;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        double at = float_at(from, mid, step);
        if (step > 0 ? at < to : at > to)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static prim_status range_of_floats(sx *m, double from, double to, double step,
                                   value *out)
{
    if (isnan(from) || isnan(to) || isnan(step))
        return fail(m, SX_TYPE, "range: NaN is no place in a range");
    double size = ceil((to - from) / step);
    if (size > LIST_SIZE_MAX)
        return fail_long(m);
    size_t most = size > 0 ? (size_t)size + 1 : 1;
    size_t count = count_floats(from, to, step, most);
    if (!list_new(m, count, out))
        return PRIM_MEMORY;
    for (size_t i = 0; i < count; i++) {
        value n;
        if (!make_float(m, float_at(from, i, step), &n) ||
            !list_push(m, list_of(*out), n))
            return PRIM_MEMORY;
    }
    return PRIM_OK;
}

static double real_of(value n)
{
    return is_float(n) ? float_of(n) : (double)integer_of(n);
}

static prim_status prim_range(sx *m, value *args, size_t count, value *out)
{
    value from = value_fixnum(0), to, step = value_fixnum(1);
    if (!arg_number(m, args, count > 1 ? 1 : 0, &to) ||
        (count > 1 && !arg_number(m, args, 0, &from)) ||
        (count > 2 && !arg_number(m, args, 2, &step)))
        return PRIM_FAILED;
    if (real_of(step) == 0)
        return fail(m, SX_TYPE, "range: the step must not be zero");
    if (is_float(from) || is_float(to) || is_float(step))
        return range_of_floats(m, real_of(from), real_of(to), real_of(step),
                               out);
    return range_of_integers(m, integer_of(from), integer_of(to),
                             integer_of(step), out);
}

/* ---- contains? -------------------------------------------------------- */

static prim_status list_contains(sx *m, const value *args, bool *out)
{
    span items;
    *out = false;
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    for (size_t i = 0; i < items.size && !*out; i++) {
        prim_status status = values_equal(m, items.at[i], args[1], out);
        if (status != PRIM_OK)
            return status;
    }
    return PRIM_OK;
}

static prim_status dict_contains(sx *m, const value *args, bool *out)
{
    string *key;
    prim_status status = arg_key(m, args, 1, &key);
    if (status == PRIM_OK)
        *out = dict_entry(dict_of(args[0]), key) != NULL;
    return status;
}

static prim_status string_contains(sx *m, const value *args, bool *out)
{
    string *s, *sub;
    if (!arg_string(m, args, 0, &s) || !arg_string(m, args, 1, &sub))
        return PRIM_FAILED;
    *out = memmem(s->bytes, s->size, sub->bytes, sub->size) != NULL;
    return PRIM_OK;
}

/* An element of a list, a key of a dict, a part of a string. */
static prim_status prim_contains(sx *m, value *args, size_t count, value *out)
{
    bool found = false;
    value v = args[0];
    CHECK(count == 2);
    prim_status status = is_dict(v)     ? dict_contains(m, args, &found)
                         : is_string(v) ? string_contains(m, args, &found)
                                        : list_contains(m, args, &found);
    *out = value_boolean(found);
    return status;
}

static const prim rows[] = {
    {"list", 0, PRIM_MANY, "x...", "A list of the arguments.",
     .run = prim_list},
    {"cons", 2, 2, "x lst", "A list with x before lst.", .run = prim_cons},
    {"first", 1, 1, "lst", "The first element, nil if there is none.",
     .run = prim_first},
    {"rest", 1, 1, "lst", "All but the first element.", .run = prim_rest},
    {"last", 1, 1, "lst", "The last element, nil if there is none.",
     .run = prim_last},
    {"nth", 2, 2, "lst i", "Element i, counted from 0; nil outside.",
     .run = prim_nth},
    {"take", 2, 2, "lst n", "The first n elements.", .run = prim_take},
    {"drop", 2, 2, "lst n", "All but the first n elements.", .run = prim_drop},
    {"len", 1, 1, "x", "Elements of a list, keys of a dict, bytes of a string.",
     .run = prim_len},
    {"append", 1, PRIM_MANY, "lst x...",
     "lst and then x: its elements if it is a list, else x itself.",
     .run = prim_append},
    {"concat", 0, PRIM_MANY, "lst...", "The elements of all lists.",
     .run = prim_concat},
    {"reverse", 1, 1, "lst", "The elements from the last to the first.",
     .run = prim_reverse},
    {"append!", 2, 2, "lst x", "Adds x to the end of lst itself.",
     .run = prim_push},
    {"flatten", 1, 1, "lst", "The elements of all lists within lists.",
     .run = prim_flatten},
    {"range", 1, 3, "from to step",
     "Numbers from `from` up to `to`, which is not included.",
     .run = prim_range},
    {"contains?", 2, 2, "coll x",
     "Whether x is an element of a list, a key of a dict, a part of a string.",
     .run = prim_contains},
};

const prim_group list_group = {rows, sizeof rows / sizeof rows[0]};
