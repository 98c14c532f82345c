/* SPDX-License-Identifier: MIT */
/* An ordered map from byte strings to pointers: a skip list. */
#include "store/map.h"

/* Fills links[h] with the link, on each level, that points at the first node
 * whose name is not less. */
static void find_links(map *m, slice name, map_node **links[MAP_HEIGHT_MAX])
{
    map_node **row = m->head;
    for (unsigned h = MAP_HEIGHT_MAX; h-- > 0;) {
        while (row[h] != NULL &&
               slice_compare(cell_slice(row[h]->name), name) < 0)
            row = row[h]->next;
        links[h] = &row[h];
    }
}

map_node *map_seek(const map *m, slice name)
{
    map_node *const *row = m->head;
    for (unsigned h = MAP_HEIGHT_MAX; h-- > 0;)
        while (row[h] != NULL &&
               slice_compare(cell_slice(row[h]->name), name) < 0)
            row = row[h]->next;
    return row[0];
}

map_node *map_find(const map *m, slice name)
{
    map_node *node = map_seek(m, name);
    return node != NULL && slice_equal(cell_slice(node->name), name) ? node
                                                                     : NULL;
}

/* One level with three chances of four, and so on (xorshift64). */
static unsigned random_height(map *m)
{
    if (m->random == 0)
        m->random = 0x9e3779b97f4a7c15u;
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    unsigned height = 1;
    for (uint64_t bits = m->random; (bits & 3) == 0; bits >>= 2) {
        if (height == MAP_HEIGHT_MAX)
            break;
        height++;
    }
    CHECK(height <= MAP_HEIGHT_MAX);
    return height;
}

static map_node *new_node(slice name, unsigned height)
{
    map_node *node = mem_alloc(sizeof *node + height * sizeof node->next[0]);
    if (node == NULL)
        return NULL;
    node->name = cell_new(name);
    if (node->name == NULL) {
        mem_free(node);
        return NULL;
    }
    node->value = NULL;
    node->height = height;
    return node;
}

map_node *map_add(map *m, slice name)
{
    map_node **links[MAP_HEIGHT_MAX];
    find_links(m, name, links);
    map_node *found = *links[0];
    if (found != NULL && slice_equal(cell_slice(found->name), name))
        return found;
    map_node *node = new_node(name, random_height(m));
    if (node == NULL)
        return NULL;
    for (unsigned h = 0; h < node->height; h++) {
        node->next[h] = *links[h];
        *links[h] = node;
    }
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
    map_node **links[MAP_HEIGHT_MAX];
    find_links(m, name, links);
    map_node *node = *links[0];
    if (node == NULL || !slice_equal(cell_slice(node->name), name))
        return;
    for (unsigned h = 0; h < node->height; h++) {
        CHECK(*links[h] == node);
        *links[h] = node->next[h];
    }
    CHECK(m->count > 0);
    m->count--;
    free_node(node);
}

void map_release(map *m, void (*drop)(void *value))
{
    map_node *node = m->head[0];
    while (node != NULL) {
        map_node *next = node->next[0];
        drop(node->value);
        free_node(node);
        node = next;
    }
    *m = (map){0};
}
