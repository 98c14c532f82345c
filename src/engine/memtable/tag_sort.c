/* SPDX-License-Identifier: MIT */
/* Sorting by eight bytes, from the first one in which not all are alike, then
 * by the next eight whatever is alike in these (P. McIlroy, K. Bostic, M. D.
 * McIlroy, "Engineering Radix Sort", 1993): tags are many, and begin alike. By
 * eight bytes, a byte after the other from the last on, all are sorted with
 * nothing else in hand. Whatever is equal keeps its order. */
#include "engine/memtable/tag_sort.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"

enum {
    FEW = 12,   /* are sorted one by one */
    AHEAD = 12, /* so far ahead the next ones are fetched */
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
        (posting){e->position, e->seq, set.type, item->stream->name};
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

/* Whatever is equal was gathered in the order of positions. */
static int compare(const void *a, const void *b)
{
    const sorted_tag *x = ((const tag_place *)a)->tag;
    const sorted_tag *y = ((const tag_place *)b)->tag;
    for (size_t i = 0; i < TAG_FRONT / sizeof(uint64_t); i++)
        if (x->front[i] != y->front[i])
            return x->front[i] < y->front[i] ? -1 : 1;
    size_t size = x->tag[0]; /* which is in the front */
    int sign = size < TAG_FRONT ? 0
                                : memcmp(x->tag + TAG_FRONT, y->tag + TAG_FRONT,
                                         size + 1 - TAG_FRONT);
    return sign != 0 ? sign : (x > y) - (x < y);
}

static void sort_few(tag_place *places, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        tag_place one = places[i];
        size_t at = i;
        for (; at > 0 && compare(&places[at - 1], &one) > 0; at--)
            places[at] = places[at - 1];
        places[at] = one;
    }
}

/* The first byte of the fronts in which they differ; TAG_FRONT: in none. */
static unsigned first_difference(const tag_place *places, size_t count)
{
    const sorted_tag *first = places[0].tag;
    uint64_t differ[TAG_FRONT / sizeof(uint64_t)] = {0};
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < sizeof differ / sizeof *differ; k++)
            differ[k] |= places[i].tag->front[k] ^ first->front[k];
    for (unsigned k = 0; k < sizeof differ / sizeof *differ; k++)
        if (differ[k] != 0)
            return 8 * k + (unsigned)__builtin_clzll(differ[k]) / 8;
    return TAG_FRONT;
}

/* Eight bytes of a front; of the size alone, which tells most kinds of tags
 * apart. */
static uint64_t key_at(const sorted_tag *t, unsigned at)
{
    CHECK(at < TAG_FRONT);
    if (at == 0)
        return t->front[0] >> 56;
    unsigned word = at / 8, bits = at % 8 * 8;
    bool more = bits > 0 && word + 1 < TAG_FRONT / sizeof(uint64_t);
    return t->front[word] << bits |
           (more ? t->front[word + 1] >> (64 - bits) : 0);
}

/* Puts places in the order of one byte of their keys. */
static void spread(const tag_place *from, tag_place *to, size_t count,
                   unsigned bits)
{
    size_t places[BYTE_VALUES] = {0}, place = 0;
    for (size_t i = 0; i < count; i++)
        places[from[i].key >> bits & 0xff]++;
    for (size_t i = 0; i < BYTE_VALUES; i++) {
        size_t size = places[i];
        places[i] = place;
        place += size;
    }
    CHECK(place == count);
    for (size_t i = 0; i < count; i++)
        to[places[from[i].key >> bits & 0xff]++] = from[i];
}

/* Sorts by keys: by those bytes in which they differ, the last first. */
static void sort_keys(tag_place *places, tag_place *spare, size_t count)
{
    uint64_t differ = 0;
    tag_place *now = places;
    for (size_t i = 1; i < count; i++)
        differ |= places[i].key ^ places[0].key;
    for (unsigned bits = 0; bits < 64; bits += 8) {
        if ((differ >> bits & 0xff) == 0)
            continue;
        tag_place *next = now == places ? spare : places;
        spread(now, next, count, bits);
        now = next;
    }
    if (now != places)
        memcpy(places, now, count * sizeof *places);
}

/* As deep as a front has bytes. */
static void sort(tag_place *places, tag_place *spare, size_t count)
{
    if (count <= FEW) {
        sort_few(places, count);
        return;
    }
    unsigned at = first_difference(places, count);
    if (at == TAG_FRONT) {
        if (places[0].tag->tag[0] >= TAG_FRONT) /* else they are alike */
            qsort(places, count, sizeof *places, compare);
        return;
    }
    for (size_t i = 0; i < count; i++)
        places[i].key = key_at(places[i].tag, at);
    sort_keys(places, spare, count);
    for (size_t from = 0, end; from < count; from = end) {
        uint64_t key = places[from].key; /* that of the others may change */
        end = from + 1;
        while (end < count && places[end].key == key)
            end++;
        sort(places + from, spare, end - from);
    }
}

/* ---- using it ---------------------------------------------------------- */

bool tag_sort_make(tag_sort *s, const order *all, size_t events, size_t tags)
{
    *s = (tag_sort){0};
    CHECK(events <= UINT32_MAX && events <= tags);
    if (events == 0)
        return true;
    tag_place *spare = mem_alloc(tags * sizeof *spare);
    s->places = mem_alloc(tags * sizeof *s->places);
    s->tags = mem_alloc(tags * sizeof *s->tags);
    s->events = mem_alloc(events * sizeof *s->events);
    bool whole = spare != NULL && s->places != NULL && s->tags != NULL &&
                 s->events != NULL;
    if (whole) {
        gather(s, all);
        CHECK(s->event_count <= events && s->count <= tags);
        for (size_t i = 0; i < s->count; i++)
            s->places[i].tag = &s->tags[i];
        sort(s->places, spare, s->count);
    } else {
        tag_sort_release(s);
    }
    mem_free(spare);
    return whole;
}

void tag_sort_release(tag_sort *s)
{
    mem_free(s->tags);
    mem_free(s->places);
    mem_free(s->events);
    *s = (tag_sort){0};
}

slice tag_sort_get(const tag_sort *s, size_t index,
                   uint8_t out[PERSIST_TAG_SIZE_MAX + TAG_FRONT],
                   const posting **whose)
{
    CHECK(index < s->count);
    const sorted_tag *t = s->places[index].tag;
    size_t next = index + AHEAD, later = next + AHEAD;
    if (later < s->count)
        __builtin_prefetch(s->places[later].tag);
    if (next < s->count)
        __builtin_prefetch(&s->events[s->places[next].tag->event]);
    *whose = &s->events[t->event];
    for (size_t i = 0; i < TAG_FRONT / sizeof(uint64_t); i++)
        put_big_u64(out + 8 * i, t->front[i]);
    size_t size = out[0];
    if (size >= TAG_FRONT)
        memcpy(out + TAG_FRONT, t->tag + TAG_FRONT, size + 1 - TAG_FRONT);
    return slice_of(out + 1, size);
}
