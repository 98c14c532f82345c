/* SPDX-License-Identifier: MIT */
/* map and its kin: frames of the machine that call a function for each element
 * of a list.
 *
 * The happy path: the first step notes how many elements there are, so that a
 * list that grows meanwhile does not go on for ever; each step takes in the
 * last result and asks for the next call. Whatever is collected is a list that
 * list_append never changes in place, so a continuation that was captured in a
 * callback finds it as it was. */
#include "sx/prim_groups.h"

enum { NEXT, COUNT, OUT, SLOTS };

/* Begins: notes the length of the list in args[i]. */
static bool begin(sx *m, const value *args, value *slots, size_t i)
{
    span items;
    if (!arg_items(m, args, i, &items))
        return false;
    slots[NEXT] = value_fixnum(0);
    slots[COUNT] = value_fixnum((int64_t)items.size);
    return true;
}

/* The index of the last call, and its element in args[i]. */
static int64_t last_index(const value *slots)
{
    return fixnum_of(slots[NEXT]) - 1;
}

static value last_element(const value *args, const value *slots, size_t i)
{
    return list_at(list_of(args[i]), (size_t)last_index(slots));
}

/* Moves to the next element; false at the end. */
static bool advance(const value *args, value *slots, size_t i, value *element)
{
    int64_t next = fixnum_of(slots[NEXT]);
    CHECK(next >= 0 && next <= fixnum_of(slots[COUNT]));
    if (next >= fixnum_of(slots[COUNT]))
        return false;
    slots[NEXT] = value_fixnum(next + 1);
    *element = list_at(list_of(args[i]), (size_t)next);
    return true;
}

/* Begins with an empty list in OUT. */
static prim_status begin_list(sx *m, const value *args, value *slots)
{
    if (!begin(m, args, slots, 1))
        return PRIM_FAILED;
    return list_new(m, 0, &slots[OUT]) ? PRIM_OK : PRIM_MEMORY;
}

static prim_status collect(sx *m, value *slots, value v)
{
    return list_append(m, list_of(slots[OUT]), v, &slots[OUT]) ? PRIM_OK
                                                               : PRIM_MEMORY;
}

static prim_status step_map(sx *m, value *args, value *slots,
                            const value *result, value *out)
{
    value element;
    prim_status status = result == NULL ? begin_list(m, args, slots)
                                        : collect(m, slots, *result);
    if (status != PRIM_OK)
        return status;
    if (advance(args, slots, 1, &element))
        return frame_call1(m, args[0], element);
    *out = slots[OUT];
    return PRIM_OK;
}

static prim_status step_map_indexed(sx *m, value *args, value *slots,
                                    const value *result, value *out)
{
    value element;
    prim_status status = result == NULL ? begin_list(m, args, slots)
                                        : collect(m, slots, *result);
    if (status != PRIM_OK)
        return status;
    if (advance(args, slots, 1, &element))
        return frame_call2(m, args[0], value_fixnum(last_index(slots)),
                           element);
    *out = slots[OUT];
    return PRIM_OK;
}

/* A list as an object of its own: the frame may have been captured since it was
 * made, and the program may change what it is given. */
static prim_status fresh(sx *m, value v, value *out)
{
    const list *l = list_of(v);
    return list_slice(m, l, 0, list_size(l), out) ? PRIM_OK : PRIM_MEMORY;
}

/* At the end there is something more to make, which may be refused: OUT changes
 * only when nothing can be. */
static prim_status step_filter(sx *m, value *args, value *slots,
                               const value *result, value *out)
{
    value element;
    if (result == NULL) {
        prim_status status = begin_list(m, args, slots);
        if (status != PRIM_OK)
            return status;
    }
    value kept = slots[OUT];
    if (result != NULL && is_true(*result) &&
        !list_append(m, list_of(kept), last_element(args, slots, 1), &kept))
        return PRIM_MEMORY;
    if (!advance(args, slots, 1, &element))
        return fresh(m, kept, out);
    slots[OUT] = kept;
    return frame_call1(m, args[0], element);
}

static prim_status step_reduce(sx *m, value *args, value *slots,
                               const value *result, value *out)
{
    value element;
    if (result == NULL && !begin(m, args, slots, 2))
        return PRIM_FAILED;
    value acc = result == NULL ? args[1] : *result;
    if (advance(args, slots, 2, &element))
        return frame_call2(m, args[0], acc, element);
    *out = acc;
    return PRIM_OK;
}

static prim_status step_for_each(sx *m, value *args, value *slots,
                                 const value *result, value *out)
{
    value element;
    if (result == NULL && !begin(m, args, slots, 1))
        return PRIM_FAILED;
    if (advance(args, slots, 1, &element))
        return frame_call1(m, args[0], element);
    *out = VALUE_NIL;
    return PRIM_OK;
}

static prim_status step_some(sx *m, value *args, value *slots,
                             const value *result, value *out)
{
    value element;
    if (result == NULL && !begin(m, args, slots, 1))
        return PRIM_FAILED;
    *out = result != NULL && is_true(*result) ? *result : VALUE_FALSE;
    if (!is_true(*out) && advance(args, slots, 1, &element))
        return frame_call1(m, args[0], element);
    return PRIM_OK;
}

static prim_status step_every(sx *m, value *args, value *slots,
                              const value *result, value *out)
{
    value element;
    if (result == NULL && !begin(m, args, slots, 1))
        return PRIM_FAILED;
    *out = value_boolean(result == NULL || is_true(*result));
    if (is_true(*out) && advance(args, slots, 1, &element))
        return frame_call1(m, args[0], element);
    return PRIM_OK;
}

static const prim rows[] = {
    {"map", 2, 2, "f lst", "The results of f for each element.",
     .step = step_map, .slots = SLOTS},
    {"map-indexed", 2, 2, "f lst",
     "The results of f for each index and element.", .step = step_map_indexed,
     .slots = SLOTS},
    {"filter", 2, 2, "f lst", "The elements for which f is true.",
     .step = step_filter, .slots = SLOTS},
    {"reduce", 3, 3, "f init lst",
     "What f makes of the result so far (init at first) and each element.",
     .step = step_reduce, .slots = OUT},
    {"for-each", 2, 2, "f lst", "Calls f for each element; nil.",
     .step = step_for_each, .slots = OUT},
    {"some", 2, 2, "f lst",
     "The first true result of f; false if there is none.", .step = step_some,
     .slots = OUT},
    {"every?", 2, 2, "f lst", "Whether f is true for each element.",
     .step = step_every, .slots = OUT},
};

const prim_group iterate_group = {rows, sizeof rows / sizeof rows[0]};
