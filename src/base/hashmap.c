/* SPDX-License-Identifier: MIT */
/* A hash map from byte strings to items. */
#include "base/hashmap.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

enum { FIRST_CAPACITY = 16 };

CHECK_STATIC((FIRST_CAPACITY & (FIRST_CAPACITY - 1)) == 0, "slots are masked");

static slice name_of(const void *item)
{
    return *(const slice *)item;
}

void hashmap_init(hashmap *map, uint64_t seed)
{
    *map = (hashmap){.seed = seed};
}

void hashmap_release(hashmap *map)
{
    mem_free(map->slots);
    *map = (hashmap){.seed = map->seed};
}

void *hashmap_find(const hashmap *map, slice name)
{
    if (map->count == 0)
        return NULL;
    CHECK(map->count < map->capacity); /* or a search would not end */
    uint64_t hash = hash_xxh3_seed(name, map->seed);
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const hashmap_slot *slot = &map->slots[i];
        if (slot->item == NULL)
            return NULL;
        if (slot->hash == hash && slice_equal(name_of(slot->item), name))
            return slot->item;
    }
}

static void place(hashmap *map, hashmap_slot slot)
{
    size_t mask = map->capacity - 1;
    size_t i = slot.hash & mask;
    while (map->slots[i].item != NULL)
        i = (i + 1) & mask;
    map->slots[i] = slot;
}

/* At most three quarters full, so that a search ends soon. */
bool hashmap_reserve(hashmap *map)
{
    CHECK(map->count <= map->capacity);
    if (map->count + 1 <= map->capacity / 4 * 3)
        return true;
    hashmap grown = {.count = map->count, .seed = map->seed};
    grown.capacity = map->capacity == 0 ? FIRST_CAPACITY : map->capacity * 2;
    grown.slots = mem_alloc_zero(grown.capacity * sizeof *grown.slots);
    if (grown.slots == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].item != NULL)
            place(&grown, map->slots[i]);
    mem_free(map->slots);
    *map = grown;
    return true;
}

void hashmap_put(hashmap *map, void *item)
{
    CHECK(map->count < map->capacity);
    CHECK(item != NULL);
    slice name = name_of(item);
    place(map, (hashmap_slot){hash_xxh3_seed(name, map->seed), item});
    map->count++;
}

/* Moves later items of the run back, so that no search stops too early. */
void hashmap_remove(hashmap *map, const void *item)
{
    CHECK(map->count > 0);
    size_t mask = map->capacity - 1;
    size_t hole = hash_xxh3_seed(name_of(item), map->seed) & mask;
    while (map->slots[hole].item != item) {
        CHECK(map->slots[hole].item != NULL);
        hole = (hole + 1) & mask;
    }
    size_t i = hole;
    for (;;) {
        i = (i + 1) & mask;
        if (map->slots[i].item == NULL)
            break;
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (hashmap_slot){0};
    map->count--;
}

void *hashmap_next(const hashmap *map, size_t *at)
{
    while (*at < map->capacity) {
        void *item = map->slots[(*at)++].item;
        if (item != NULL)
            return item;
    }
    return NULL;
}
