/* SPDX-License-Identifier: MIT */
/* Strings, and the table of those that are names. The table is weak: names
 * that nobody reaches leave it when the collector has marked. */
#include <string.h>

#include "base/mem.h"
#include "sx/block.h"
#include "sx/machine.h"
#include "sx/reserve.h"

enum { NAMES_FIRST = 1024 };

CHECK_STATIC((NAMES_FIRST & (NAMES_FIRST - 1)) == 0, "places are masked");

/* ---- strings ---------------------------------------------------------- */

string *string_alloc(sx *m, size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    string *s = heap_object(m, KIND_STRING, sizeof *s + size + 1);
    if (s == NULL)
        return NULL;
    s->size = size;
    s->bytes[size] = '\0';
    return s;
}

static string *string_new(sx *m, slice bytes)
{
    string *s = string_alloc(m, bytes.size);
    if (s != NULL && bytes.size > 0)
        memcpy(s->bytes, bytes.data, bytes.size);
    return s;
}

bool make_string(sx *m, slice bytes, value *out)
{
    string *s = string_new(m, bytes);
    if (s != NULL)
        *out = value_object(s);
    return s != NULL;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The last bytes, fewer than eight, in a word; its size is in the hash. */
static uint64_t tail_word(const char *at, size_t size)
{
    CHECK(size > 0 && size < 8);
    uint32_t low, high;
    if (size >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + size - 4, 4);
        return low | (uint64_t)high << 32;
    }
    const unsigned char *bytes = (const unsigned char *)at;
    return bytes[0] | (uint64_t)bytes[size / 2] << 8 |
           (uint64_t)bytes[size - 1] << 16;
}

/* Multiply and fold eight bytes at a time. Never 0. It begins with the seed, so
 * that nobody can choose keys that collide; the order of a dict does not depend
 * on it. */
static uint32_t hash_bytes(const sx *m, const char *at, size_t size)
{
    const uint64_t k = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = mix(m->options.hash_seed ^ UINT64_C(0xa0761d6478bd642f),
                     size ^ UINT64_C(0xe7037ed1a0b428db));
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        h = mix(h ^ word, k);
    }
    if (size > 0)
        h = mix(h ^ tail_word(at, size), k);
    h = mix(h, k);
    uint32_t hash = (uint32_t)(h ^ h >> 32);
    return hash == 0 ? 1 : hash;
}

static uint32_t string_hash(const sx *m, string *s)
{
    CHECK(s->head.kind == KIND_STRING);
    if (s->head.aux == 0)
        s->head.aux = hash_bytes(m, s->bytes, s->size);
    return s->head.aux;
}

bool string_equal(string *a, string *b)
{
    if (a == b)
        return true;
    if ((a->head.flags & b->head.flags & FLAG_INTERNED) != 0)
        return false;
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* ---- the table -------------------------------------------------------- */

static size_t home(const heap *h, const string *s)
{
    return s->head.aux & (h->name_capacity - 1);
}

/* The place of the bytes: that of the name, or of where it would go. */
static string **find_place(const heap *h, slice bytes, uint32_t hash)
{
    CHECK(hash != 0 && h->name_count < h->name_capacity);
    size_t mask = h->name_capacity - 1;
    size_t i = hash & mask;
    for (;; i = (i + 1) & mask) {
        string *s = h->names[i];
        if (s == NULL || (s->head.aux == hash && s->size == bytes.size &&
                          memcmp(s->bytes, bytes.data, bytes.size) == 0))
            return &h->names[i];
    }
}

static bool resize_names(sx *m, size_t capacity)
{
    heap *h = &m->heap;
    CHECK(h->name_count <= capacity / 2);
    string **names = heap_realloc(m, NULL, 0, capacity * sizeof *names);
    if (names == NULL)
        return false;
    memset(names, 0, capacity * sizeof *names);
    string **old = h->names;
    size_t old_capacity = h->name_capacity;
    h->names = names;
    h->name_capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i] != NULL)
            *find_place(h, string_slice(old[i]), old[i]->head.aux) = old[i];
    }
    heap_free(m, old, old_capacity * sizeof *old);
    return true;
}

/* Half full it grows, which takes much at once: when that is not there, it is
 * filled further, up to what the evaluation may. False: memory is out. */
static bool has_place(sx *m)
{
    const heap *h = &m->heap;
    size_t more = h->name_capacity == 0 ? NAMES_FIRST : h->name_capacity * 2;
    if (LIKELY(h->name_count < h->name_capacity / 2))
        return true;
    if (heap_may_grow(m, more * sizeof *h->names) && resize_names(m, more))
        return true;
    return h->name_count <
           h->name_capacity / NAMES_PARTS * (NAMES_FREE + h->level);
}

void names_fit(sx *m)
{
    const heap *h = &m->heap;
    if (h->name_capacity > NAMES_FIRST && h->name_count < h->name_capacity / 16)
        (void)resize_names(m, h->name_capacity / 4);
}

static string *add_name(heap *h, string **place, string *s)
{
    CHECK(*place == NULL && s->head.aux != 0);
    s->head.flags |= FLAG_INTERNED;
    *place = s;
    h->name_count++;
    return s;
}

string *intern(sx *m, slice bytes)
{
    heap *h = &m->heap;
    string *s = intern_find(m, bytes);
    if (s != NULL)
        return s;
    if (!has_place(m) || (s = string_new(m, bytes)) == NULL)
        return NULL;
    uint32_t hash = string_hash(m, s);
    return add_name(h, find_place(h, bytes, hash), s);
}

string *intern_string(sx *m, string *s)
{
    heap *h = &m->heap;
    if ((s->head.flags & FLAG_INTERNED) != 0)
        return s;
    string **place = NULL;
    if (h->name_capacity > 0)
        place = find_place(h, string_slice(s), string_hash(m, s));
    if (place != NULL && *place != NULL)
        return *place;
    if (!has_place(m))
        return NULL;
    place = find_place(h, string_slice(s), string_hash(m, s));
    return add_name(h, place, s);
}

string *intern_find(sx *m, slice bytes)
{
    heap *h = &m->heap;
    if (h->name_capacity == 0)
        return NULL;
    if (bytes.size == 0)
        bytes.data = "";
    return *find_place(h, bytes, hash_bytes(m, bytes.data, bytes.size));
}

/* Empties place i, moving back what had been pushed on by it. */
static void remove_name(heap *h, size_t i)
{
    CHECK(h->names[i] != NULL);
    size_t mask = h->name_capacity - 1;
    for (size_t j = (i + 1) & mask; h->names[j] != NULL; j = (j + 1) & mask) {
        size_t want = home(h, h->names[j]);
        if (((j - want) & mask) < ((j - i) & mask))
            continue;
        h->names[i] = h->names[j];
        i = j;
    }
    h->names[i] = NULL;
    CHECK(h->name_count > 0);
    h->name_count--;
}

void names_sweep(sx *m)
{
    heap *h = &m->heap;
    for (size_t i = 0; i < h->name_capacity;) {
        string *s = h->names[i];
        if (s != NULL && !heap_is_marked(&s->head))
            remove_name(h, i);
        else
            i++;
    }
}

bool make_symbol(sx *m, slice bytes, value *out)
{
    string *name = intern(m, bytes);
    if (name != NULL)
        *out = value_symbol(name);
    return name != NULL;
}

bool make_keyword(sx *m, slice bytes, value *out)
{
    string *name = intern(m, bytes);
    if (name != NULL)
        *out = value_keyword(name);
    return name != NULL;
}
