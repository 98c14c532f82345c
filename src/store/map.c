/* SPDX-License-Identifier: MIT */
/* An ordered map from byte strings to pointers: a sorted array. */
#include "store/map.h"

enum { FIRST_CAPACITY = 8 };

size_t map_seek(const map *m, slice name, bool beyond)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(cell_slice(m->nodes[middle]->name), name);
        if (order < 0 || (beyond && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

map_node *map_find(const map *m, slice name)
{
    size_t i = map_seek(m, name, false);
    bool found =
        i < m->count && slice_equal(cell_slice(m->nodes[i]->name), name);
    return found ? m->nodes[i] : NULL;
}

static bool reserve_one(map *m)
{
    CHECK(m->count <= m->capacity);
    if (m->count < m->capacity)
        return true;
    size_t capacity = m->capacity == 0 ? FIRST_CAPACITY : m->capacity * 2;
    map_node **nodes = mem_realloc(m->nodes, capacity * sizeof *nodes);
    if (nodes == NULL)
        return false;
    m->nodes = nodes;
    m->capacity = capacity;
    return true;
}

static map_node *new_node(slice name)
{
    map_node *node = mem_alloc_zero(sizeof *node);
    if (node == NULL)
        return NULL;
    node->name = cell_new(name);
    if (node->name != NULL)
        return node;
    mem_free(node);
    return NULL;
}

map_node *map_add(map *m, slice name)
{
    map_node *node = map_find(m, name);
    if (node != NULL)
        return node;
    node = reserve_one(m) ? new_node(name) : NULL;
    if (node == NULL)
        return NULL;
    size_t i = map_seek(m, name, false);
    CHECK(i <= m->count && m->count < m->capacity);
    memmove(m->nodes + i + 1, m->nodes + i,
            (m->count - i) * sizeof m->nodes[0]);
    m->nodes[i] = node;
    m->count++;
    return node;
}

static void free_node(map_node *node)
{
    cell_unref(node->name);
    mem_free(node);
}

void map_remove(map *m, slice name)
{
    map_node *node = map_find(m, name);
    if (node == NULL)
        return;
    size_t i = map_seek(m, name, false);
    CHECK(m->nodes[i] == node);
    m->count--;
    memmove(m->nodes + i, m->nodes + i + 1,
            (m->count - i) * sizeof m->nodes[0]);
    free_node(node);
}

void map_release(map *m, void (*drop)(void *value))
{
    for (size_t i = 0; i < m->count; i++) {
        drop(m->nodes[i]->value);
        free_node(m->nodes[i]);
    }
    mem_free(m->nodes);
    *m = (map){0};
}
