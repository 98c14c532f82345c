/* SPDX-License-Identifier: MIT */
/* sort: a stable merge sort, bottom up.
 *
 * With one of the primitives < > <= >= (or no function at all) it runs at
 * once, on two arrays. With any other function it is a frame of the machine:
 * runs of a width are merged from one list into the next, one comparison a
 * step. The lists are never changed in place, so a continuation that was
 * captured in a comparison may be entered again. */
#include <string.h>

#include "sx/machine.h"
#include "sx/prim_compare.h"
#include "sx/prim_groups.h"

/* Two neighbouring runs of a pass, and how far each is merged. */
typedef struct merge {
    size_t size;      /* of the whole list */
    size_t width;     /* of a run */
    size_t left, mid; /* the next of the left run, and its end */
    size_t right, end;
} merge;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The runs that begin at `from`. */
static void begin_runs(merge *s, size_t from)
{
    s->left = from;
    s->mid = s->right = least(from + s->width, s->size);
    s->end = least(s->mid + s->width, s->size);
    CHECK(from < s->mid && s->end <= s->size);
}

static bool both_left(const merge *s)
{
    return s->left < s->mid && s->right < s->end;
}

/* ---- at once ---------------------------------------------------------- */

typedef struct arrays {
    value *from, *to;
} arrays;

/* One comparison; false when it has failed. */
static bool in_order(sx *m, prim_fn less, value a, value b, bool *out)
{
    value answer, pair[] = {a, b};
    if (both_fixnum(a, b) && less == prim_less) {
        *out = fixnum_of(a) < fixnum_of(b);
        return true;
    }
    if (less(m, pair, 2, &answer) != PRIM_OK)
        return false;
    *out = is_true(answer);
    return true;
}

static bool merge_runs(sx *m, prim_fn less, merge *s, arrays a)
{
    value *to = a.to + s->left;
    while (both_left(s)) {
        bool take_right;
        if (!in_order(m, less, a.from[s->right], a.from[s->left], &take_right))
            return false;
        *to++ = a.from[take_right ? s->right++ : s->left++];
    }
    memcpy(to, a.from + s->left, (s->mid - s->left) * sizeof *to);
    to += s->mid - s->left;
    memcpy(to, a.from + s->right, (s->end - s->right) * sizeof *to);
    CHECK(to + (s->end - s->right) == a.to + s->end);
    return true;
}

static bool sort_arrays(sx *m, prim_fn less, size_t size, arrays *a)
{
    merge s = {.size = size, .width = 1};
    for (; s.width < size; s.width *= 2) {
        for (size_t from = 0; from < size; from = s.end) {
            begin_runs(&s, from);
            if (!merge_runs(m, less, &s, *a))
                return false;
        }
        *a = (arrays){a->to, a->from};
    }
    return true;
}

static prim_status sort_at_once(sx *m, prim_fn less, span items, value *out)
{
    size_t bytes = items.size * sizeof(value);
    value *memory = heap_realloc(m, NULL, 0, 2 * bytes);
    if (memory == NULL)
        return PRIM_MEMORY;
    arrays a = {memory, memory + items.size};
    memcpy(a.from, items.at, bytes);
    prim_status status = PRIM_FAILED;
    if (sort_arrays(m, less, items.size, &a))
        status = list_from(m, a.from, items.size, out) ? PRIM_OK : PRIM_MEMORY;
    heap_free(m, memory, 2 * bytes);
    return status;
}

/* ---- as a frame ------------------------------------------------------- */

enum { FROM, TO, WIDTH, LEFT, RIGHT, BASE, SLOTS };

static merge load(const value *slots)
{
    merge s = {.size = list_size(list_of(slots[FROM])),
               .width = (size_t)fixnum_of(slots[WIDTH])};
    begin_runs(&s, (size_t)fixnum_of(slots[BASE]));
    s.left = (size_t)fixnum_of(slots[LEFT]);
    s.right = (size_t)fixnum_of(slots[RIGHT]);
    CHECK(both_left(&s)); /* else nothing would have been compared */
    return s;
}

static void save(value *slots, const merge *s, size_t base, value from,
                 value to)
{
    slots[FROM] = from;
    slots[TO] = to;
    slots[WIDTH] = value_fixnum((int64_t)s->width);
    slots[BASE] = value_fixnum((int64_t)base);
    slots[LEFT] = value_fixnum((int64_t)s->left);
    slots[RIGHT] = value_fixnum((int64_t)s->right);
}

/* Adds the elements of `from` up to end that are not merged yet. */
static bool add_rest(sx *m, value from, size_t *at, size_t end, value *to)
{
    size_t count = end - *at;
    const value *items = list_items(list_of(from)) + *at;
    *at = end;
    return count == 0 || list_concat(m, list_of(*to), items, count, to);
}

/* Goes on until a comparison is needed (PRIM_CALL), or to the end. */
static prim_status go_on(sx *m, const value *args, value *slots, merge *s,
                         size_t base, value from, value to, value *out)
{
    while (!both_left(s)) {
        if (!add_rest(m, from, &s->left, s->mid, &to) ||
            !add_rest(m, from, &s->right, s->end, &to))
            return PRIM_MEMORY;
        base = s->end;
        CHECK(list_size(list_of(to)) == base);
        if (base == s->size) {
            s->width *= 2;
            base = 0;
            from = to;
            if (s->width >= s->size) {
                *out = from;
                return PRIM_OK;
            }
            if (!list_new(m, s->size, &to))
                return PRIM_MEMORY;
        }
        begin_runs(s, base);
    }
    save(slots, s, base, from, to);
    list *l = list_of(from);
    return frame_call2(m, args[1], list_at(l, s->right), list_at(l, s->left));
}

static prim_status begin_sort(sx *m, const value *args, value *slots,
                              value *out)
{
    span items;
    value from, to;
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    if (!list_from(m, items.at, items.size, &from))
        return PRIM_MEMORY;
    if (items.size < 2) {
        *out = from;
        return PRIM_OK;
    }
    prim_fn plain = is_nil(args[1]) ? prim_less : compare_plain_order(args[1]);
    if (plain != NULL)
        return sort_at_once(m, plain, items, out);
    if (!list_new(m, items.size, &to))
        return PRIM_MEMORY;
    merge s = {.size = items.size, .width = 1};
    begin_runs(&s, 0);
    return go_on(m, args, slots, &s, 0, from, to, out);
}

static prim_status step_sort(sx *m, value *args, value *slots,
                             const value *result, value *out)
{
    if (result == NULL)
        return begin_sort(m, args, slots, out);
    merge s = load(slots);
    value to;
    size_t taken = is_true(*result) ? s.right++ : s.left++;
    if (!list_append(m, list_of(slots[TO]),
                     list_at(list_of(slots[FROM]), taken), &to))
        return PRIM_MEMORY;
    return go_on(m, args, slots, &s, (size_t)fixnum_of(slots[BASE]),
                 slots[FROM], to, out);
}

static const prim rows[] = {
    {"sort", 1, 2, "lst less?",
     "The elements in order, by < if less? is absent; equal ones keep theirs.",
     .step = step_sort, .slots = SLOTS},
};

const prim_group sort_group = {rows, sizeof rows / sizeof rows[0]};
