/* SPDX-License-Identifier: MIT */
/* Sorting by eight bytes, from the first one in which not all are alike, then
 * by the next eight whatever is alike in these (P. McIlroy, K. Bostic, M. D.
 * McIlroy, "Engineering Radix Sort", 1993): tags are many, and begin alike. Of
 * eight bytes those bits are kept that differ, and by these, some at a time and
 * the last first, all are sorted with nothing else in hand: five decimal digits
 * are two turns. Whatever is equal keeps its order. */
#include "engine/memtable/tag_sort.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "os/os_memory.h"

enum {
    FEW = 12,         /* are sorted one by one */
    AHEAD = 12,       /* so far ahead the next ones are fetched */
    FETCH_EVENT = 24, /* the same while they are gathered: the event, */
    FETCH_TAGS = 12,  /* and what it has behind its data */
    DIGIT_BITS = 11,  /* by which all are sorted in one turn, at the most */
    DIGITS = 1 << DIGIT_BITS,
    MANY = 4096, /* are worth going through so many digits */
    FEWER_BITS = 8,
    BYTES = 8,
    FRONT_WORDS = TAG_FRONT / BYTES,
    LINE = 64,     /* of a cache */
    ROOM_MORE = 8, /* a part, so that the next flush finds room, too */
};

CHECK_STATIC(2 + PERSIST_TYPE_SIZE_MAX +
                     PERSIST_TAGS_MAX * (1 + PERSIST_TAG_SIZE_MAX) <=
                 UINT16_MAX,
             "two bytes tell where a tag of an event is");
CHECK_STATIC(LINE % sizeof(sorted_tag) == 0 && sizeof(sorted_event) == LINE,
             "in one cache line");

/* ---- gathering --------------------------------------------------------- */

/* Eight of so many bytes, and zeros behind them. */
static uint64_t word_of(const uint8_t *bytes, size_t size, size_t at)
{
    uint64_t word = 0;
    if (at >= size)
        return 0;
    if (size - at >= sizeof word)
        return big_u64(bytes + at);
    if (size >= sizeof word) /* its last eight have them, too */
        return big_u64(bytes + size - sizeof word)
               << 8 * (at + sizeof word - size);
    for (size_t i = at; i < size; i++)
        word |= (uint64_t)bytes[i] << 8 * (at + sizeof word - 1 - i);
    return word;
}

/* The byte in front of a tag is its size. */
static void put_tag(tag_sort *s, slice type, slice tag)
{
    sorted_tag *to = &s->tags[s->count++];
    const uint8_t *bytes = (const uint8_t *)tag.data - 1;
    ptrdiff_t at = bytes - (const uint8_t *)type.data;
    CHECK(*bytes == tag.size && at >= 0 && at <= UINT16_MAX);
    for (size_t i = 0; i < FRONT_WORDS; i++)
        to->front[i] = word_of(bytes, 1 + tag.size, i * sizeof(uint64_t));
    to->event = (uint32_t)s->event_count;
    to->at = (uint16_t)at;
}

static void take_event(tag_sort *s, const order_item *item)
{
    const event *e = item->event;
    if (e->tagged_size == 0 || e->seq <= item->stream->gone)
        return;
    tag_set set = tagged_of(event_tagged(e));
    s->events[s->event_count].posting =
        (posting){e->position, e->seq, set.type, item->stream->name};
    for (slice tag; tagged_next(&set, &tag);)
        put_tag(s, set.type, tag);
    s->event_count++;
}

/* Events are all over memory. */
static void fetch(const order_block *b, uint32_t slot)
{
    order_fetch(b, slot + FETCH_EVENT);
    if (slot + FETCH_TAGS >= b->count)
        return;
    const event *e = b->items[slot + FETCH_TAGS].event;
    const uint8_t *behind = e->data + e->size;
    if (e->tagged_size == 0)
        return;
    __builtin_prefetch(behind);
    __builtin_prefetch(behind + e->tagged_size - 1);
}

static void gather(tag_sort *s, const order *all)
{
    for (size_t i = 0; i < all->count; i++)
        for (uint32_t slot = 0; slot < all->blocks[i]->count; slot++) {
            fetch(all->blocks[i], slot);
            take_event(s, &all->blocks[i]->items[slot]);
        }
}

/* ---- sorting ----------------------------------------------------------- */

static size_t size_of(const sorted_tag *t)
{
    return t->front[0] >> 56;
}

/* Its size, and it. */
static const uint8_t *bytes_of(const tag_sort *s, const sorted_tag *t)
{
    CHECK(t->event < s->event_count);
    return (const uint8_t *)s->events[t->event].posting.type.data + t->at;
}

/* Those that are longer than a front are compared where they are: that is their
 * key now. */
static void find_bytes(const tag_sort *s, tag_place *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (size_of(places[i].tag) >= TAG_FRONT)
            places[i].key = (uintptr_t)bytes_of(s, places[i].tag);
}

/* Whatever is equal was gathered in the order of positions. */
static int compare(const void *a, const void *b)
{
    const tag_place *p = a, *q = b;
    const sorted_tag *x = p->tag, *y = q->tag;
    for (size_t i = 0; i < FRONT_WORDS; i++)
        if (x->front[i] != y->front[i])
            return x->front[i] < y->front[i] ? -1 : 1;
    size_t size = size_of(x); /* which is in the front */
    int sign = size < TAG_FRONT
                   ? 0
                   : memcmp((const uint8_t *)(uintptr_t)p->key + TAG_FRONT,
                            (const uint8_t *)(uintptr_t)q->key + TAG_FRONT,
                            size + 1 - TAG_FRONT);
    return sign != 0 ? sign : (x > y) - (x < y);
}

static void sort_few(const tag_sort *s, tag_place *places, size_t count)
{
    find_bytes(s, places, count);
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
    uint64_t differ[FRONT_WORDS] = {0};
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
    bool more = bits > 0 && word + 1 < FRONT_WORDS;
    return t->front[word] << bits |
           (more ? t->front[word + 1] >> (64 - bits) : 0);
}

/* Those bits of each byte of a key that differ, or have some above them that
 * do: all that its place depends on. */
typedef struct packing {
    struct packed_byte {
        unsigned from, to; /* in the key, and packed */
        uint64_t bits;
    } bytes[BYTES];
    unsigned count, size; /* of bytes, and of bits in all */
} packing;

static packing packing_of(uint64_t differ)
{
    packing p = {.count = 0};
    for (unsigned from = 0; from < 64; from += 8) {
        unsigned here = differ >> from & 0xff;
        if (here == 0)
            continue;
        unsigned width = 32 - (unsigned)__builtin_clz(here);
        p.bytes[p.count++] =
            (struct packed_byte){from, p.size, ((uint64_t)1 << width) - 1};
        p.size += width;
    }
    CHECK(p.size <= 64);
    return p;
}

static uint64_t pack(const packing *p, uint64_t key)
{
    uint64_t packed = 0;
    CHECK(p->count <= BYTES);
    for (unsigned i = 0; i < p->count; i++)
        packed |= (key >> p->bytes[i].from & p->bytes[i].bits)
                  << p->bytes[i].to;
    return packed;
}

/* Puts places in the order of some bits of their keys. */
static void spread(const tag_place *from, tag_place *to, size_t count,
                   unsigned shift, unsigned bits)
{
    uint32_t places[DIGITS], place = 0;
    uint64_t digit = ((uint64_t)1 << bits) - 1;
    CHECK(bits <= DIGIT_BITS);
    memset(places, 0, (digit + 1) * sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[from[i].key >> shift & digit]++;
    for (size_t i = 0; i <= digit; i++) {
        uint32_t size = places[i];
        places[i] = place;
        place += size;
    }
    CHECK(place == count);
    for (size_t i = 0; i < count; i++)
        to[places[from[i].key >> shift & digit]++] = from[i];
}

/* Sorts by keys, and packs them: which are alike stays. */
static void sort_keys(tag_place *places, tag_place *spare, size_t count)
{
    uint64_t differ = 0;
    tag_place *now = places;
    for (size_t i = 1; i < count; i++)
        differ |= places[i].key ^ places[0].key;
    packing p = packing_of(differ);
    for (size_t i = 0; i < count; i++)
        places[i].key = pack(&p, places[i].key);
    unsigned most = count < MANY ? FEWER_BITS : DIGIT_BITS;
    unsigned turns = (p.size + most - 1) / most;
    for (unsigned i = 0, shift = 0; i < turns; i++) {
        unsigned bits = (p.size - shift) / (turns - i);
        tag_place *next = now == places ? spare : places;
        spread(now, next, count, shift, bits);
        now = next;
        shift += bits;
    }
    if (now != places)
        memcpy(places, now, count * sizeof *places);
}

/* As deep as a front has bytes. */
static void sort(const tag_sort *s, tag_place *places, tag_place *spare,
                 size_t count)
{
    if (count <= FEW) {
        if (count > 1)
            sort_few(s, places, count);
        return;
    }
    unsigned at = first_difference(places, count);
    if (at == TAG_FRONT) {
        if (size_of(places[0].tag) < TAG_FRONT)
            return; /* they are alike */
        find_bytes(s, places, count);
        qsort(places, count, sizeof *places, compare);
        return;
    }
    for (size_t i = 0; i < count; i++)
        places[i].key = key_at(places[i].tag, at);
    sort_keys(places, spare, count);
    size_t size = size_of(places[0].tag); /* that of all, if at > 0 */
    if (at > 0 && size < TAG_FRONT && at + BYTES > size)
        return; /* nothing is behind these bytes */
    for (size_t from = 0, end; from < count; from = end) {
        uint64_t key = places[from].key; /* that of the others may change */
        end = from + 1;
        while (end < count && places[end].key == key)
            end++;
        sort(s, places + from, spare, end - from);
    }
}

/* ---- using it ---------------------------------------------------------- */

/* Takes one piece of memory for all; what was there is of no use any more. */
static bool make_room(tag_sort *s, size_t size)
{
    CHECK(size > 0 && (s->room == NULL) == (s->room_size == 0));
    if (size <= s->room_size)
        return true;
    mem_free(s->room);
    size += size / ROOM_MORE;
    s->room = mem_alloc_aligned(LINE, size);
    s->room_size = s->room == NULL ? 0 : size;
    return s->room != NULL;
}

bool tag_sort_begin(tag_sort *s, size_t events, size_t tags)
{
    s->count = s->event_count = 0;
    s->event_room = s->tag_room = 0;
    CHECK(tags <= UINT32_MAX && events <= tags);
    if (events == 0)
        return true;
    if (!make_room(s, events * sizeof *s->events + tags * sizeof *s->tags +
                          2 * tags * sizeof *s->places))
        return false;
    s->used = true;
    s->event_room = events;
    s->tag_room = tags;
    s->events = s->room;
    s->tags = (sorted_tag *)(void *)(s->events + events);
    s->places = (tag_place *)(void *)(s->tags + tags);
    return true;
}

void tag_sort_end(tag_sort *s, const order *all)
{
    CHECK(s->count == 0 && s->event_count == 0);
    if (s->event_room == 0)
        return;
    gather(s, all);
    CHECK(s->event_count <= s->event_room && s->count <= s->tag_room);
    for (size_t i = 0; i < s->count; i++)
        s->places[i].tag = &s->tags[i];
    sort(s, s->places, s->places + s->tag_room, s->count);
}

void tag_sort_release(tag_sort *s)
{
    mem_free(s->room);
    *s = (tag_sort){0};
}

/* It is not freed: an allocator that is asked for so much again and again puts
 * it where pieces of it stay, between smaller ones. */
void tag_sort_rest(tag_sort *s)
{
    if (!s->used)
        return;
    CHECK(s->room != NULL);
    os_memory_let_go(s->room, s->room_size);
    s->count = s->event_count = 0;
    s->used = false;
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
    *whose = &s->events[t->event].posting;
    for (size_t i = 0; i < FRONT_WORDS; i++)
        put_big_u64(out + 8 * i, t->front[i]);
    size_t size = size_of(t);
    if (size >= TAG_FRONT)
        memcpy(out + TAG_FRONT, bytes_of(s, t) + TAG_FRONT,
               size + 1 - TAG_FRONT);
    return slice_of(out + 1, size);
}
