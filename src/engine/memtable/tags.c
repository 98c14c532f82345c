/* SPDX-License-Identifier: MIT */
/* An index of events by tag. Most tags have few: rooms begin small. */
#include "engine/memtable/tags.h"

enum {
    ROOM_FIRST = 1,
    ROOM_SECOND = 4,
    SLOTS = 2, /* of the map, for one that is taken, roughly */
};

static void *take(tag_index *x, size_t size)
{
    void *memory = arena_alloc(&x->arena, size);
    if (memory != NULL)
        atomic_fetch_add_explicit(&x->memory, size, memory_order_relaxed);
    return memory;
}

static tag_list *make_list(tag_index *x, slice name)
{
    tag_list *l = hashmap_reserve(&x->map) ? take(x, sizeof *l) : NULL;
    if (l == NULL)
        return NULL;
    *l = (tag_list){.name = name};
    hashmap_put(&x->map, l);
    atomic_fetch_add_explicit(&x->memory, SLOTS * sizeof(hashmap_slot),
                              memory_order_relaxed);
    return l;
}

static bool make_room(tag_index *x, tag_list *l)
{
    tag_room *old = l->room;
    size_t capacity = ROOM_FIRST;
    if (old != NULL)
        capacity =
            old->capacity < ROOM_SECOND ? ROOM_SECOND : old->capacity * 2;
    tag_room *room = take(x, sizeof *room + capacity * sizeof room->items[0]);
    if (room == NULL)
        return false;
    room->smaller = old;
    room->capacity = capacity;
    if (old != NULL)
        memcpy(room->items, old->items, l->count * sizeof room->items[0]);
    l->room = room;
    return true;
}

static void pop(hashmap *map, tag_list *l)
{
    CHECK(l->count > 0);
    l->count--;
    tag_room *smaller = l->room->smaller;
    if (smaller != NULL && l->count == smaller->capacity)
        l->room = smaller;
    if (l->count == 0)
        hashmap_remove(map, l);
}

static bool add(tag_index *x, slice tag, order_item item)
{
    tag_list *l = hashmap_find(&x->map, tag);
    bool fresh = l == NULL;
    if (fresh)
        l = make_list(x, tag);
    if (l == NULL)
        return false;
    bool full = l->room == NULL || l->count == l->room->capacity;
    if (full && !make_room(x, l)) {
        if (fresh)
            hashmap_remove(&x->map, l);
        return false;
    }
    CHECK(l->count == 0 ||
          l->room->items[l->count - 1].event->position < item.event->position);
    l->room->items[l->count++] = item;
    return true;
}

/* Takes an event out of the lists of its first tags. */
static void pop_some(hashmap *map, const event *e, size_t count)
{
    tag_set t = tagged_of(event_tagged(e));
    for (slice tag; count > 0 && tagged_next(&t, &tag); count--)
        pop(map, hashmap_find(map, tag));
}

static bool add_event(tag_index *x, const order_item *item)
{
    tag_set t = tagged_of(event_tagged(item->event));
    size_t done = 0;
    for (slice tag; tagged_next(&t, &tag); done++) {
        if (add(x, tag, *item))
            continue;
        pop_some(&x->map, item->event, done);
        return false;
    }
    x->count++;
    return true;
}

/* ---- the index --------------------------------------------------------- */

void tag_index_init(tag_index *x, arena_pool *pool, uint64_t seed)
{
    *x = (tag_index){.arena = arena_of(pool)};
    atomic_init(&x->memory, 0);
    hashmap_init(&x->map, seed);
}

void tag_index_release(tag_index *x)
{
    hashmap_release(&x->map);
    arena_release(&x->arena);
}

const tag_list *tag_index_find(const tag_index *x, slice tag)
{
    return hashmap_find(&x->map, tag);
}

/* The next event that is not in it; NULL: there is none up to that lsn. */
static const order_item *next_of(const tag_index *x, const order *all,
                                 persist_lsn lsn)
{
    size_t i = order_seek(all, x->next);
    if (i == all->count)
        return NULL;
    const order_block *b = all->blocks[i];
    const order_item *item =
        &b->items[x->next > b->first ? x->next - b->first : 0];
    return item->event->lsn <= lsn ? item : NULL;
}

bool tag_index_reaches(const tag_index *x, const order *all, persist_lsn lsn)
{
    return next_of(x, all, lsn) == NULL;
}

bool tag_index_some(tag_index *x, const order *all, persist_lsn lsn)
{
    const order_item *item;
    for (size_t n = 0; n < TAGS_A_STEP; n++) {
        item = next_of(x, all, lsn);
        if (item == NULL)
            break;
        const event *e = item->event;
        CHECK(e->position >= x->next);
        if (e->tagged_size > 0) {
            if (!add_event(x, item))
                return false;
            n += tagged_of(event_tagged(e)).left;
        }
        x->next = e->position + 1;
    }
    return true;
}

size_t tag_seek(const tag_list *l, uint64_t position)
{
    size_t high = l->count, step = 1;
    const order_item *items = l->room->items;
    while (step <= high && items[high - step].event->position >= position) {
        high -= step;
        step *= 2;
    }
    size_t low = step <= high ? high - step + 1 : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (items[middle].event->position < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
