/* SPDX-License-Identifier: MIT */
/* The two indexes by name, hash map and tree, against a sorted array, with
 * every name added and removed in random order, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/btree.h"
#include "base/hashmap.h"
#include "base/mem.h"

enum { ITEMS = 6000, ROUNDS = 40000 };

typedef struct item {
    slice name;
    char text[48];
    bool there;
} item;

static item items[ITEMS];

static int compare(const void *a, const void *b)
{
    const item *x = a, *y = b; /* they move while they are sorted */
    return slice_compare(slice_of(x->text, x->name.size),
                         slice_of(y->text, y->name.size));
}

/* Names of many lengths, with common beginnings and NULs, sorted. */
static void make_items(void)
{
    for (int i = 0; i < ITEMS; i++) {
        char number[16];
        int size = snprintf(number, sizeof number, "%d", i);
        items[i] = (item){0};
        size_t skip = i % 7 == 0 ? 1 : 0; /* a NUL in front */
        const char *prefixes[] = {"", "common ", "another one in common "};
        const char *prefix = prefixes[skip > 0 ? 2 : i % 3];
        memcpy(items[i].text + skip, prefix, strlen(prefix));
        memcpy(items[i].text + skip + strlen(prefix), number, (size_t)size);
        items[i].name.size = i == 0 ? 0 : skip + strlen(prefix) + (size_t)size;
        items[i].name.data = items[i].text;
    }
    qsort(items, ITEMS, sizeof *items, compare);
    for (int i = 0; i < ITEMS; i++)
        items[i].name.data = items[i].text;
}

/* What is not in an index is never looked at: nothing is there. */
static void set_there(item *one, bool there)
{
    one->there = there;
    one->name.data = there ? one->text : NULL;
}

static slice name_of(const item *one)
{
    return slice_of(one->text, one->name.size);
}

static void check_walk(const btree *tree, int from, bool beyond)
{
    btree_at at = btree_seek(tree, name_of(&items[from]), beyond);
    for (int i = from + (beyond ? 1 : 0); i < ITEMS; i++)
        if (items[i].there)
            assert_ptr_equal(btree_next(&at), &items[i]);
    assert_null(btree_next(&at));
}

static void tree_and_map_agree(void **state)
{
    (void)state;
    btree tree = {0};
    hashmap map;
    hashmap_init(&map, 42);
    make_items();
    srand(3);
    for (int round = 0; round < ROUNDS; round++) {
        /* first it grows, then it shrinks to nothing */
        int i = rand() % ITEMS;
        bool add = round < ROUNDS / 2 ? rand() % 4 != 0 : rand() % 16 == 0;
        if (add && !items[i].there) {
            set_there(&items[i], true);
            assert_true(btree_add(&tree, &items[i]));
            assert_true(hashmap_reserve(&map));
            hashmap_put(&map, &items[i]);
        } else if (!add && items[i].there) {
            btree_remove(&tree, &items[i]);
            hashmap_remove(&map, &items[i]);
            set_there(&items[i], false);
        }
        assert_ptr_equal(hashmap_find(&map, name_of(&items[i])),
                         items[i].there ? &items[i] : NULL);
        if (round % 997 == 0)
            check_walk(&tree, rand() % ITEMS, rand() % 2);
    }
    for (int i = 0; i < ITEMS; i++)
        if (items[i].there) {
            btree_remove(&tree, &items[i]);
            hashmap_remove(&map, &items[i]);
            set_there(&items[i], false);
        }
    assert_null(tree.root);
    assert_int_equal(map.count, 0);
    check_walk(&tree, 0, false);
    btree_release(&tree);
    hashmap_release(&map);
}

static int refuse_one_in_three(void *context)
{
    return ++*(int *)context % 3 == 0;
}

static void memory_may_run_out(void **state)
{
    (void)state;
    btree tree = {0};
    int calls = 0;
    make_items();
    mem_set_fail(refuse_one_in_three, &calls);
    for (int i = 0; i < ITEMS; i++)
        set_there(&items[i], btree_add(&tree, &items[i]));
    mem_set_fail(NULL, NULL);
    assert_true(calls > 3);
    check_walk(&tree, 0, false);
    btree_release(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_and_map_agree),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
