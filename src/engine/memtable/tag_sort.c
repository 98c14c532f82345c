/* SPDX-License-Identifier: MIT */
/* Sorting by one byte after the other, from the first one in which not all are
 * alike (P. McIlroy, K. Bostic, M. D. McIlroy, "Engineering Radix Sort", 1993):
 * tags are many, and begin alike. Whatever is equal keeps its order. */
#include "engine/memtable/tag_sort.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"

enum {
    FEW = 12, /* are sorted one by one */
    BYTE_VALUES = 256,
};

/* ---- gathering --------------------------------------------------------- */

static sorted_tag front_of(slice tag)
{
    uint8_t bytes[TAG_FRONT] = {(uint8_t)tag.size};
    size_t most = sizeof bytes - 1;
    memcpy(bytes + 1, tag.data, tag.size < most ? tag.size : most);
    return (sorted_tag){
        .front = {big_u64(bytes), big_u64(bytes + 8), big_u64(bytes + 16)},
        .tag = (const uint8_t *)tag.data - 1};
}

static void take_event(tag_sort *s, const order_item *item)
{
    const event *e = item->event;
    if (e->tagged_size == 0 || e->seq <= item->stream->gone)
        return;
    tag_set set = tagged_of(event_tagged(e));
    s->events[s->event_count] =
        (tagged_event){e->seq, e->position, set.type, item->stream->name};
    for (slice tag; tagged_next(&set, &tag); s->count++) {
        s->tags[s->count] = front_of(tag);
        s->tags[s->count].event = (uint32_t)s->event_count;
    }
    s->event_count++;
}

static void gather(tag_sort *s, const order *all)
{
    for (size_t i = 0; i < all->count; i++)
        for (uint32_t slot = 0; slot < all->blocks[i]->count; slot++)
            take_event(s, &all->blocks[i]->items[slot]);
}

/* ---- sorting ----------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const sorted_tag *x = a, *y = b;
    for (size_t i = 0; i < TAG_FRONT / sizeof(uint64_t); i++)
        if (x->front[i] != y->front[i])
            return x->front[i] < y->front[i] ? -1 : 1;
    size_t size = x->tag[0]; /* which is in the front */
    int sign = size < TAG_FRONT ? 0
                                : memcmp(x->tag + TAG_FRONT, y->tag + TAG_FRONT,
                                         size + 1 - TAG_FRONT);
    return sign != 0 ? sign : (x->event > y->event) - (x->event < y->event);
}

static void sort_few(sorted_tag *tags, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        sorted_tag one = tags[i];
        size_t at = i;
        for (; at > 0 && compare(&tags[at - 1], &one) > 0; at--)
            tags[at] = tags[at - 1];
        tags[at] = one;
    }
}

static unsigned byte_at(const sorted_tag *t, unsigned at)
{
    return t->front[at / 8] >> (56 - at % 8 * 8) & 0xff;
}

/* The first byte of the fronts in which they differ; TAG_FRONT: in none. */
static unsigned first_difference(const sorted_tag *tags, size_t count)
{
    const sorted_tag *first = &tags[0];
    uint64_t differ[TAG_FRONT / sizeof(uint64_t)] = {0};
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < sizeof differ / sizeof *differ; k++)
            differ[k] |= tags[i].front[k] ^ first->front[k];
    for (unsigned k = 0; k < sizeof differ / sizeof *differ; k++)
        if (differ[k] != 0)
            return 8 * k + (unsigned)__builtin_clzll(differ[k]) / 8;
    return TAG_FRONT;
}

/* Puts tags in the order of one byte of the fronts. */
static void spread(sorted_tag *tags, sorted_tag *spare, size_t count,
                   unsigned at)
{
    size_t places[BYTE_VALUES] = {0}, place = 0;
    for (size_t i = 0; i < count; i++)
        places[byte_at(&tags[i], at)]++;
    for (size_t i = 0; i < BYTE_VALUES; i++) {
        size_t size = places[i];
        places[i] = place;
        place += size;
    }
    CHECK(place == count);
    for (size_t i = 0; i < count; i++)
        spare[places[byte_at(&tags[i], at)]++] = tags[i];
    memcpy(tags, spare, count * sizeof *tags);
}

/* As deep as a front has bytes. */
static void sort(sorted_tag *tags, sorted_tag *spare, size_t count)
{
    if (count <= FEW) {
        sort_few(tags, count);
        return;
    }
    unsigned at = first_difference(tags, count);
    if (at == TAG_FRONT) {
        qsort(tags, count, sizeof *tags, compare);
        return;
    }
    spread(tags, spare, count, at);
    for (size_t from = 0, end; from < count; from = end) {
        end = from + 1;
        while (end < count &&
               byte_at(&tags[end], at) == byte_at(&tags[from], at))
            end++;
        sort(tags + from, spare, end - from);
    }
}

/* ---- using it ---------------------------------------------------------- */

bool tag_sort_make(tag_sort *s, const order *all, size_t events, size_t tags)
{
    *s = (tag_sort){0};
    CHECK(events <= UINT32_MAX && events <= tags);
    if (events == 0)
        return true;
    sorted_tag *spare = mem_alloc(tags * sizeof *spare);
    s->tags = mem_alloc(tags * sizeof *s->tags);
    s->events = mem_alloc(events * sizeof *s->events);
    bool whole = spare != NULL && s->tags != NULL && s->events != NULL;
    if (whole) {
        gather(s, all);
        CHECK(s->event_count <= events && s->count <= tags);
        sort(s->tags, spare, s->count);
    } else {
        tag_sort_release(s);
    }
    mem_free(spare);
    return whole;
}

void tag_sort_release(tag_sort *s)
{
    mem_free(s->tags);
    mem_free(s->events);
    *s = (tag_sort){0};
}

slice tag_sort_get(const tag_sort *s, size_t index,
                   uint8_t out[PERSIST_TAG_SIZE_MAX + TAG_FRONT],
                   const tagged_event **whose)
{
    CHECK(index < s->count);
    const sorted_tag *t = &s->tags[index];
    *whose = &s->events[t->event];
    for (size_t i = 0; i < TAG_FRONT / sizeof(uint64_t); i++)
        put_big_u64(out + 8 * i, t->front[i]);
    size_t size = out[0];
    if (size >= TAG_FRONT)
        memcpy(out + TAG_FRONT, t->tag + TAG_FRONT, size + 1 - TAG_FRONT);
    return slice_of(out + 1, size);
}
