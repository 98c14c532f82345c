/* SPDX-License-Identifier: MIT */
/* Items ordered by name: a skip list. */
#include "base/skiplist.h"

#include "base/check.h"
#include "base/mem.h"

static slice name_of(const void *item)
{
    return *(const slice *)item;
}

/* Names that differ early are ordered without a look at them. */
static uint64_t prefix_of(slice name)
{
    uint64_t prefix = 0;
    const uint8_t *bytes = name.data;
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix = prefix << 8 | (i < name.size ? bytes[i] : 0);
    return prefix;
}

static bool goes_before(const skiplist_node *node, uint64_t prefix, slice name,
                        bool beyond)
{
    if (node->prefix != prefix)
        return node->prefix < prefix;
    int order = slice_compare(name_of(node->item), name);
    return beyond ? order <= 0 : order < 0;
}

/* Fills, for each level, the link that a new node of this name would take
 * over. */
static void find_links(skiplist *list, slice name,
                       skiplist_node **links[SKIPLIST_LEVELS])
{
    uint64_t prefix = prefix_of(name);
    skiplist_node **row = list->head;
    for (int level = SKIPLIST_LEVELS - 1; level >= 0; level--) {
        while (row[level] != NULL &&
               goes_before(row[level], prefix, name, false))
            row = row[level]->next;
        links[level] = &row[level];
    }
}

/* One more level with a chance of one in four. */
static int random_height(skiplist *list)
{
    uint64_t x = list->random + 0x9e3779b97f4a7c15u;
    list->random = x;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    int height = 1;
    while (height < SKIPLIST_LEVELS && (x & 3) == 0) {
        height++;
        x >>= 2;
    }
    return height;
}

void skiplist_release(skiplist *list)
{
    skiplist_node *node = list->head[0];
    while (node != NULL) {
        skiplist_node *next = node->next[0];
        mem_free(node);
        node = next;
    }
    *list = (skiplist){0};
}

bool skiplist_add(skiplist *list, void *item)
{
    skiplist_node **links[SKIPLIST_LEVELS];
    slice name = name_of(item);
    find_links(list, name, links);
    CHECK(*links[0] == NULL || !slice_equal(name_of((*links[0])->item), name));
    int height = random_height(list);
    skiplist_node *node =
        mem_alloc(sizeof *node + (size_t)height * sizeof node->next[0]);
    if (node == NULL)
        return false;
    node->item = item;
    node->prefix = prefix_of(name);
    for (int level = 0; level < height; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
    return true;
}

void skiplist_remove(skiplist *list, const void *item)
{
    skiplist_node **links[SKIPLIST_LEVELS];
    find_links(list, name_of(item), links);
    skiplist_node *node = *links[0];
    CHECK(node != NULL && node->item == item);
    for (int level = 0; level < SKIPLIST_LEVELS; level++)
        if (*links[level] == node)
            *links[level] = node->next[level];
    mem_free(node);
}

skiplist_node *skiplist_seek(const skiplist *list, slice name, bool beyond)
{
    uint64_t prefix = prefix_of(name);
    skiplist_node *const *row = list->head;
    for (int level = SKIPLIST_LEVELS - 1; level >= 0; level--)
        while (row[level] != NULL &&
               goes_before(row[level], prefix, name, beyond))
            row = row[level]->next;
    return row[0];
}
