/* SPDX-License-Identifier: MIT */
/* Items ordered by name: a B+ tree in memory.
 *
 * All items are in the leaves. An inner node holds, for each child but the
 * first, the first item below it. A node skips the bytes that all its names
 * begin with, and holds of each the eight bytes behind them as a number, so
 * that most comparisons need no look at the item. Nodes are split on the way
 * down, before they overflow; they go when they are empty, and are not merged
 * before. */
#include "base/btree.h"

#include "base/check.h"
#include "base/mem.h"

enum { FANOUT = 64, DEPTH_MAX = 32 };

CHECK_STATIC(FANOUT >= 6, "a half of a split has two items at least");

struct btree_node {
    uint64_t prefixes[FANOUT];
    void *items[FANOUT]; /* of inner nodes from 1 on; the first is anything */
    btree_node *previous, *next; /* of leaves */
    unsigned count;
    uint32_t skip; /* bytes */
    bool inner;
    btree_node *children[]; /* FANOUT of them, inner nodes only */
};

/* The way from the root to a leaf. */
typedef struct way {
    btree_node *nodes[DEPTH_MAX];
    unsigned indexes[DEPTH_MAX];
    unsigned depth;
} way;

static slice name_of(const void *item)
{
    return *(const slice *)item;
}

/* The eight bytes behind those that are skipped; behind the end are zeros. */
static uint64_t prefix_of(slice name, size_t skip)
{
    uint8_t bytes[sizeof(uint64_t)] = {0};
    size_t left = name.size > skip ? name.size - skip : 0;
    if (left > 0)
        memcpy(bytes, (const uint8_t *)name.data + skip,
               left < sizeof bytes ? left : sizeof bytes);
    uint64_t prefix = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        prefix = prefix << 8 | bytes[i];
    return prefix;
}

/* So many of the first bytes are the same in both. */
static uint32_t common(slice a, slice b)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t n = a.size < b.size ? a.size : b.size, i = 0;
    while (i < n && x[i] == y[i])
        i++;
    return (uint32_t)i;
}

static btree_node *node_new(bool inner)
{
    size_t children = inner ? FANOUT * sizeof(btree_node *) : 0;
    btree_node *node = mem_alloc(sizeof *node + children);
    if (node == NULL)
        return NULL;
    node->previous = node->next = NULL;
    node->count = 0;
    node->skip = 0;
    node->inner = inner;
    return node;
}

/* ---- finding ---------------------------------------------------------- */

/* The first entry that has an item. */
static unsigned first_of(const btree_node *node)
{
    return node->inner ? 1 : 0;
}

/* Sets what a node skips, and with that all its prefixes. */
static void set_skip(btree_node *node, uint32_t skip)
{
    node->skip = skip;
    for (unsigned i = first_of(node); i < node->count; i++)
        node->prefixes[i] = prefix_of(name_of(node->items[i]), skip);
}

static bool has_skipped(const btree_node *node, slice name, slice *skipped)
{
    CHECK(node->skip == 0 || node->count > first_of(node));
    *skipped = slice_of(NULL, 0);
    if (node->skip > 0)
        *skipped =
            slice_of(name_of(node->items[node->count - 1]).data, node->skip);
    return slice_starts_with(name, *skipped);
}

/* How many entries of a node come before a name, or with `beyond` not behind
 * it; the first of an inner node always does. */
static unsigned rank(const btree_node *node, slice name, bool beyond)
{
    CHECK(node->count <= FANOUT);
    unsigned low = first_of(node), high = node->count;
    slice skipped;
    if (!has_skipped(node, name, &skipped))
        return slice_compare(name, skipped) < 0 ? low : high;
    uint64_t prefix = prefix_of(name, node->skip);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        bool before = node->prefixes[middle] < prefix;
        if (node->prefixes[middle] == prefix) {
            int order = slice_compare(name_of(node->items[middle]), name);
            before = beyond ? order <= 0 : order < 0;
        }
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static unsigned child_for(const btree_node *node, slice name)
{
    CHECK(node->inner && node->count > 0);
    return rank(node, name, true) - 1;
}

btree_at btree_seek(const btree *tree, slice name, bool beyond)
{
    const btree_node *node = tree->root;
    if (node == NULL)
        return (btree_at){NULL, 0};
    while (node->inner)
        node = node->children[child_for(node, name)];
    return (btree_at){node, rank(node, name, beyond)};
}

btree_at btree_end(const btree *tree)
{
    const btree_node *node = tree->root;
    while (node != NULL && node->inner)
        node = node->children[node->count - 1];
    return (btree_at){node, node == NULL ? 0 : node->count};
}

void *btree_next(btree_at *at)
{
    CHECK(at->leaf == NULL || at->index <= at->leaf->count);
    while (at->leaf != NULL && at->index == at->leaf->count)
        *at = (btree_at){at->leaf->next, 0};
    return at->leaf == NULL ? NULL : at->leaf->items[at->index++];
}

void *btree_previous(btree_at *at)
{
    CHECK(at->leaf == NULL || at->index <= at->leaf->count);
    while (at->leaf != NULL && at->index == 0) {
        const btree_node *before = at->leaf->previous;
        *at = (btree_at){before, before == NULL ? 0 : before->count};
    }
    return at->leaf == NULL ? NULL : at->leaf->items[--at->index];
}

/* ---- adding ----------------------------------------------------------- */

/* Puts an item into an entry of a node. */
static void set_item(btree_node *node, unsigned index, void *item)
{
    unsigned last = node->count - 1;
    CHECK(index >= first_of(node) && index <= last);
    slice name = name_of(item), skipped;
    node->items[index] = item;
    if (last == first_of(node)) {
        set_skip(node, 0);
        return;
    }
    /* Any other shares what is skipped. */
    slice other = name_of(node->items[index < last ? last : first_of(node)]);
    skipped = slice_of(other.data, node->skip);
    if (slice_starts_with(name, skipped))
        node->prefixes[index] = prefix_of(name, node->skip);
    else
        set_skip(node, common(name, other));
}

static void insert(btree_node *node, unsigned index, void *item,
                   btree_node *child)
{
    CHECK(node->count < FANOUT && index <= node->count);
    CHECK(node->inner == (child != NULL));
    size_t behind = node->count - index;
    memmove(node->prefixes + index + 1, node->prefixes + index,
            behind * sizeof *node->prefixes);
    memmove(node->items + index + 1, node->items + index,
            behind * sizeof *node->items);
    if (node->inner) {
        memmove(node->children + index + 1, node->children + index,
                behind * sizeof *node->children);
        node->children[index] = child;
    }
    node->count++;
    if (index >= first_of(node))
        set_item(node, index, item);
}

/* Skips all that can be skipped. */
static void skip_most(btree_node *node)
{
    unsigned first = first_of(node), last = node->count - 1;
    CHECK(first < last);
    set_skip(node,
             common(name_of(node->items[first]), name_of(node->items[last])));
}

/* Moves the upper half of a full child into a new node behind it. */
static bool split(btree_node *parent, unsigned index)
{
    enum { KEPT = FANOUT / 2, MOVED = FANOUT - KEPT };
    btree_node *left = parent->children[index];
    CHECK(parent->inner && index < parent->count && left->count == FANOUT);
    btree_node *right = node_new(left->inner);
    if (right == NULL)
        return false;
    memcpy(right->items, left->items + KEPT, MOVED * sizeof(void *));
    if (left->inner)
        memcpy(right->children, left->children + KEPT,
               MOVED * sizeof(btree_node *));
    left->count = KEPT;
    right->count = MOVED;
    skip_most(left);
    skip_most(right);
    if (!left->inner) {
        right->previous = left;
        right->next = left->next;
        if (left->next != NULL)
            left->next->previous = right;
        left->next = right;
    }
    insert(parent, index + 1, right->items[0], right);
    return true;
}

/* Makes sure that the root has room. */
static bool grow_root(btree *tree)
{
    btree_node *old = tree->root;
    if (old != NULL && old->count < FANOUT)
        return true;
    btree_node *root = node_new(old != NULL);
    if (root == NULL)
        return false;
    if (old != NULL) {
        insert(root, 0, NULL, old);
        if (!split(root, 0)) {
            mem_free(root);
            return false;
        }
    }
    tree->root = root;
    return true;
}

bool btree_add(btree *tree, void *item)
{
    slice name = name_of(item);
    if (!grow_root(tree))
        return false;
    btree_node *node = tree->root;
    while (node->inner) {
        unsigned index = child_for(node, name);
        if (node->children[index]->count == FANOUT) {
            if (!split(node, index))
                return false;
            index = child_for(node, name);
        }
        node = node->children[index];
    }
    unsigned index = rank(node, name, false);
    CHECK(index == node->count ||
          !slice_equal(name_of(node->items[index]), name));
    insert(node, index, item, NULL);
    return true;
}

/* ---- removing --------------------------------------------------------- */

static btree_node *find_way(const btree *tree, slice name, way *out)
{
    btree_node *node = tree->root;
    out->depth = 0;
    while (node != NULL && node->inner) {
        CHECK(out->depth < DEPTH_MAX);
        unsigned index = child_for(node, name);
        out->nodes[out->depth] = node;
        out->indexes[out->depth++] = index;
        node = node->children[index];
    }
    return node;
}

static void erase(btree_node *node, unsigned index)
{
    CHECK(index < node->count);
    node->count--;
    size_t behind = node->count - index;
    memmove(node->prefixes + index, node->prefixes + index + 1,
            behind * sizeof *node->prefixes);
    memmove(node->items + index, node->items + index + 1,
            behind * sizeof *node->items);
    if (node->inner)
        memmove(node->children + index, node->children + index + 1,
                behind * sizeof *node->children);
    if (node->count <= first_of(node))
        node->skip = 0;
}

static void drop_node(btree_node *node)
{
    CHECK(node->count == 0);
    if (node->previous != NULL)
        node->previous->next = node->next;
    if (node->next != NULL)
        node->next->previous = node->previous;
    mem_free(node);
}

/* Inner nodes name the first item below each child but the first: none may
 * name one that is gone. Goes up until it finds where that stands. */
static void mend_way(btree *tree, const way *w, btree_node *node)
{
    void *first = node->items[0];
    for (unsigned level = w->depth; level-- > 0;) {
        btree_node *parent = w->nodes[level];
        unsigned index = w->indexes[level];
        CHECK(index < parent->count && parent->children[index] == node);
        if (node->count == 0) {
            drop_node(node);
            erase(parent, index);
            first = parent->items[0]; /* of the second child until now */
        } else if (index > 0) {
            set_item(parent, index, first);
        }
        if (index > 0)
            return;
        node = parent;
    }
    if (node->count == 0) {
        drop_node(node);
        tree->root = NULL;
    }
}

void btree_remove(btree *tree, const void *item)
{
    way w;
    slice name = name_of(item);
    btree_node *leaf = find_way(tree, name, &w);
    CHECK(leaf != NULL);
    unsigned index = rank(leaf, name, false);
    CHECK(index < leaf->count && leaf->items[index] == item);
    erase(leaf, index);
    if (index == 0)
        mend_way(tree, &w, leaf);
    while (tree->root != NULL && tree->root->inner && tree->root->count == 1) {
        btree_node *root = tree->root;
        tree->root = root->children[0];
        mem_free(root);
    }
}

/* Goes down by the last child that is left, without recursion. */
void btree_release(btree *tree)
{
    way w = {.depth = 0};
    btree_node *node = tree->root;
    while (node != NULL) {
        if (node->inner && node->count > 0) {
            CHECK(w.depth < DEPTH_MAX);
            w.nodes[w.depth++] = node;
            node = node->children[--node->count];
            continue;
        }
        mem_free(node);
        node = w.depth == 0 ? NULL : w.nodes[--w.depth];
    }
    tree->root = NULL;
}
