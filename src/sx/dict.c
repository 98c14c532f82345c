/* SPDX-License-Identifier: MIT */
/* Dicts: a table of entries in insertion order and, when large, an index. */
#include "sx/dict.h"

#include <string.h>

enum {
    DICT_SMALL = 8, /* entries; up to it keys are looked at one by one */
    TABLE_FIRST = 4,
    DICT_SIZE_MAX = UINT32_MAX / 8,
};

/* Open addressing; a slot holds the number of an entry plus 1. head.aux:
 * number of slots, a power of two and at least twice the table's capacity. */
typedef struct index {
    object head;
    uint32_t slots[];
} index_object;

static table *table_new(sx *m, size_t capacity)
{
    if (capacity > DICT_SIZE_MAX)
        return NULL;
    table *t = heap_object(m, KIND_TABLE, sizeof *t + capacity * sizeof(entry));
    if (t == NULL)
        return NULL;
    t->head.aux = (uint32_t)capacity;
    t->used = 0;
    return t;
}

CHECK_STATIC((DICT_SMALL & (DICT_SMALL - 1)) == 0, "slots are masked");
CHECK_STATIC((uint64_t)DICT_SIZE_MAX * 4 <= UINT32_MAX,
             "slots are fewer than four an entry, and counted in 32 bits");

static index_object *index_new(sx *m, size_t capacity)
{
    CHECK(capacity > DICT_SMALL);
    size_t slots = (size_t)4 * DICT_SMALL;
    while (slots < 2 * capacity)
        slots *= 2;
    index_object *x =
        heap_object(m, KIND_BYTES, sizeof *x + slots * sizeof *x->slots);
    if (x == NULL)
        return NULL;
    x->head.aux = (uint32_t)slots;
    memset(x->slots, 0, slots * sizeof *x->slots);
    return x;
}

static void index_add(index_object *x, const string *name, size_t number)
{
    uint32_t mask = x->head.aux - 1;
    uint32_t i = name->head.aux & mask;
    while (x->slots[i] != 0)
        i = (i + 1) & mask;
    x->slots[i] = (uint32_t)number + 1;
}

/* The parts of a dict with room for capacity entries. */
static bool make_parts(sx *m, size_t capacity, table **t, index_object **x)
{
    *t = NULL;
    *x = NULL;
    if (capacity > 0 && (*t = table_new(m, capacity)) == NULL)
        return false;
    return capacity <= DICT_SMALL || (*x = index_new(m, capacity)) != NULL;
}

bool dict_new(sx *m, size_t capacity, value *out)
{
    table *t;
    index_object *x;
    if (!make_parts(m, capacity, &t, &x))
        return false;
    CHECK((t == NULL) == (capacity == 0));
    dict *d = heap_object(m, KIND_DICT, sizeof *d);
    if (d == NULL)
        return false;
    d->table = t;
    d->index = x;
    *out = value_object(d);
    return true;
}

static void fill(table *t, index_object *x, const dict *d)
{
    size_t size = dict_size(d);
    if (size == 0)
        return;
    CHECK(t != NULL && d->table->used == size && size <= t->head.aux);
    memcpy(t->entries, d->table->entries, size * sizeof(entry));
    t->used = size;
    for (size_t i = 0; x != NULL && i < size; i++)
        index_add(x, t->entries[i].key, i);
}

bool dict_copy(sx *m, const dict *d, size_t more, value *out)
{
    value made;
    if (more > DICT_SIZE_MAX || !dict_new(m, dict_size(d) + more, &made))
        return false;
    fill(dict_of(made)->table, dict_of(made)->index, d);
    dict_of(made)->head.aux = d->head.aux;
    *out = made;
    return true;
}

entry *dict_entry(const dict *d, const string *name)
{
    CHECK((name->head.flags & FLAG_INTERNED) != 0);
    size_t size = dict_size(d);
    entry *entries = dict_entries(d);
    if (d->index == NULL) {
        for (size_t i = 0; i < size; i++) {
            if (entries[i].key == name)
                return &entries[i];
        }
        return NULL;
    }
    uint32_t mask = d->index->head.aux - 1;
    for (uint32_t i = name->head.aux & mask;; i = (i + 1) & mask) {
        uint32_t slot = d->index->slots[i];
        if (slot == 0)
            return NULL;
        if (entries[slot - 1].key == name)
            return &entries[slot - 1];
    }
}

void dict_add(dict *d, string *name, value v)
{
    entry *old = dict_entry(d, name);
    if (old != NULL) {
        old->value = v;
        return;
    }
    table *t = d->table;
    CHECK(t != NULL && t->used < t->head.aux);
    CHECK(t->used == dict_size(d));
    if (d->index != NULL)
        index_add(d->index, name, t->used);
    t->entries[t->used++] = (entry){name, v};
    d->head.aux++;
}

bool dict_set(sx *m, dict *d, string *name, value v)
{
    entry *old = dict_entry(d, name);
    if (old != NULL) {
        if (!heap_may_hold(m, &d->head, v))
            return false;
        old->value = v;
        return true;
    }
    if (!heap_may_add(m, &d->head))
        return false;
    size_t size = dict_size(d);
    CHECK(d->table == NULL || d->table->used == size);
    if (d->table == NULL || size == d->table->head.aux) {
        table *t;
        index_object *x;
        if (!make_parts(m, size == 0 ? TABLE_FIRST : size * 2, &t, &x))
            return false;
        fill(t, x, d);
        d->table = t;
        d->index = x;
    }
    dict_add(d, name, v);
    return true;
}

bool dict_find(sx *m, const dict *d, slice key, value *out)
{
    string *name = intern_find(m, key);
    entry *found = name == NULL ? NULL : dict_entry(d, name);
    if (found != NULL)
        *out = found->value;
    return found != NULL;
}
