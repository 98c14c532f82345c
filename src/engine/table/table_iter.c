/* SPDX-License-Identifier: MIT */
/* Going through the trees of a table, from the root to a leaf and along the
 * leaves. What an entry says is checked where it is used. */
#include "base/cursor.h"
#include "engine/table/table_file.h"

enum { CACHE_LINE = 64, FETCHED = 16 * CACHE_LINE };

void table_iter_init(table_iter *i, table *t, table_section section,
                     bool passing)
{
    i->table = t;
    i->section = section;
    i->passing = passing;
    i->scanned = 0;
    i->asked = 0;
    i->within = slice_of(NULL, 0);
    i->height = 0;
    i->prefix = NULL;
    i->key_size = 0;
    i->long_key = (buf){0};
}

void table_iter_within(table_iter *i, slice prefix)
{
    CHECK(i->height == 0);
    i->within = prefix;
}

static void leave(table_step *s)
{
    block_unref(s->held);
    s->held = NULL;
    s->view.count = 0;
}

void table_iter_release(table_iter *i)
{
    for (unsigned level = 0; level < i->height; level++)
        leave(&i->path[level]);
    i->height = 0;
    i->prefix = NULL;
    buf_release(&i->long_key);
}

static table_step *leaf_of(table_iter *i)
{
    CHECK(table_iter_valid(i));
    return &i->path[i->height - 1];
}

persist_status table_bad_step(const table_iter *i, const table_step *s,
                              persist_error *error)
{
    return table_corrupt(i->table, s->offset, "an entry of a block is damaged",
                         error);
}

persist_status table_bad_entry(const table_iter *i, persist_error *error)
{
    CHECK(table_iter_valid(i));
    return table_bad_step(i, &i->path[i->height - 1], error);
}

/* Puts a key that is not short together. */
static persist_status put_long_key(table_iter *i, const block_view *v,
                                   const block_entry *e, persist_error *error)
{
    CHECK(block_key_size(v, e) > TABLE_SHORT_KEY);
    buf_clear(&i->long_key);
    if (!buf_reserve(&i->long_key, block_key_size(v, e) + BLOCK_HEAD_SIZE))
        return status_no_memory(error);
    memcpy(i->long_key.data, v->prefix, v->prefix_size);
    block_put_rest(e, i->long_key.data + v->prefix_size);
    return PERSIST_OK;
}

/* Takes the entry at the leaf's place in hand. */
static persist_status stand(table_iter *i, persist_error *error)
{
    const block_view *v = &leaf_of(i)->view;
    block_entry *e = &i->entry;
    if (!block_get(v, leaf_of(i)->at, e))
        return table_bad_entry(i, error);
    i->key_size = block_key_size(v, e);
    if (i->key_size > TABLE_SHORT_KEY)
        return put_long_key(i, v, e, error);
    if (i->prefix != v->prefix) {
        memcpy(i->short_key, v->prefix, v->prefix_size);
        i->prefix = v->prefix;
    }
    block_put_rest(e, i->short_key + v->prefix_size);
    return PERSIST_OK;
}

/* Lets a level stand in the root, or in what the entry of the level above
 * names. */
static persist_status enter(table_iter *i, unsigned level, persist_error *error)
{
    table_step *step = &i->path[level];
    if (level == 0 && step->view.count > 0)
        return PERSIST_OK;
    if (level == 0)
        return table_load_root(i->table, i->section, i->passing, step, error);
    const table_step *above = &i->path[level - 1];
    block_entry e;
    table_child child;
    if (!block_get(&above->view, above->at, &e) ||
        !table_get_child(e.value, &child))
        return table_bad_step(i, above, error);
    if (step->view.count > 0 && step->offset == child.offset)
        return PERSIST_OK;
    leave(step);
    i->prefix = NULL;
    return table_load_child(i->table, i->section, i->height - 1 - level, &child,
                            i->passing, step, error);
}

static persist_status begin(table_iter *i)
{
    unsigned height = i->table->footer.roots[i->section].height;
    if (height == 0)
        return PERSIST_NONE;
    CHECK(height <= TREE_HEIGHT_MAX && (i->height == 0 || i->height == height));
    for (unsigned level = i->height; level < height; level++)
        i->path[level] = (table_step){0};
    i->height = height;
    return PERSIST_OK;
}

/* Ends at an entry, or at none after anything but success. */
static persist_status settle(table_iter *i, persist_status status,
                             persist_error *error)
{
    if (status == PERSIST_OK)
        status = stand(i, error);
    if (status != PERSIST_OK)
        table_iter_release(i);
    return status;
}

/* From a level on, goes down along the first or the last entries. */
static persist_status descend(table_iter *i, unsigned level, bool last,
                              persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (; level < i->height && status == PERSIST_OK; level++) {
        status = enter(i, level, error);
        if (status == PERSIST_OK)
            i->path[level].at = last ? i->path[level].view.count - 1 : 0;
    }
    return status;
}

/* ---- asking ahead ------------------------------------------------------ */

static bool child_at(const table_step *above, uint32_t at, table_child *out)
{
    block_entry e;
    return block_get(&above->view, at, &e) && table_get_child(e.value, out);
}

/* Leaves are read one after the other: more are asked for when half of those
 * that were are left. */
static void ask_ahead(table_iter *i, const table_step *above)
{
    table_child here, to;
    uint32_t last = above->view.count - 1;
    if (!child_at(above, above->at, &here))
        return;
    uint64_t from = i->asked;
    if (from < here.offset || from > here.offset + here.size + AHEAD_MAX)
        from = here.offset; /* it was elsewhere */
    if (from >= here.offset + AHEAD_SIZE / 2)
        return;
    uint64_t ahead = AHEAD_SIZE / (here.size + 1) + 1;
    if (last - above->at > ahead)
        last = above->at + (uint32_t)ahead;
    if (child_at(above, last, &to) && to.offset + to.size > from &&
        !table_was_read(i->table, &to))
        i->asked = table_start_read(i->table, from, to.offset + to.size);
}

/* Tells whether the key of an entry of an index block begins with bytes; so it
 * is if it cannot be decoded: whoever goes there will tell. */
static bool begins_with(const table_step *above, uint32_t at, slice bytes)
{
    block_entry e;
    const block_view *v = &above->view;
    if (!block_get(v, at, &e))
        return true;
    const slice parts[] = {
        slice_of(v->prefix, v->prefix_size),
        slice_of(e.head, e.rest < BLOCK_HEAD_SIZE ? e.rest : BLOCK_HEAD_SIZE),
        e.tail};
    const uint8_t *left = bytes.data;
    size_t size = bytes.size;
    for (size_t i = 0; i < 3 && size > 0; i++) {
        size_t n = parts[i].size < size ? parts[i].size : size;
        if (n > 0 && memcmp(parts[i].data, left, n) != 0)
            return false;
        left += n;
        size -= n;
    }
    return size == 0;
}

static persist_status step_up(table_iter *i, bool back, persist_error *error)
{
    for (unsigned level = i->height; level-- > 0;) {
        table_step *s = &i->path[level];
        if (back ? s->at == 0 : s->at + 1 >= s->view.count)
            continue;
        if (i->within.size > 0 && !begins_with(s, s->at + 1, i->within))
            return PERSIST_NONE;
        s->at += back ? UINT32_MAX : 1;
        if (i->scanned++ == SCAN_BLOCKS)
            i->passing = true;
        if (!back && level + 2 == i->height)
            ask_ahead(i, s);
        return descend(i, level + 1, back, error);
    }
    return PERSIST_NONE;
}

/* Goes on in the next leaf. Keys grow, so that no leaf is met twice, whatever
 * the blocks above it say: what is walked is bounded by what is there. */
static persist_status cross(table_iter *i, bool back, persist_error *error)
{
    uint8_t room[TABLE_SHORT_KEY];
    buf long_key = {0};
    slice before = slice_of(room, i->key_size);
    if (i->key_size <= TABLE_SHORT_KEY) {
        memcpy(room, i->short_key, i->key_size);
    } else {
        long_key = i->long_key;
        i->long_key = (buf){0};
        before.data = long_key.data;
    }
    persist_status status = settle(i, step_up(i, back, error), error);
    if (status == PERSIST_OK) {
        int order = slice_compare(before, table_key(i));
        if (back ? order <= 0 : order >= 0) {
            status = table_bad_entry(i, error);
            table_iter_release(i);
        }
    }
    buf_release(&long_key);
    return status;
}

persist_status table_next(table_iter *i, persist_error *error)
{
    table_step *leaf = leaf_of(i);
    if (leaf->at + 1 >= leaf->view.count)
        return cross(i, false, error);
    leaf->at++;
    persist_status status = settle(i, PERSIST_OK, error);
    /* The processor foresees what lies ahead only within a page. */
    uintptr_t ahead = (uintptr_t)i->entry.value.data + FETCHED;
    for (size_t at = 0; at < i->entry.value.size && at < FETCHED;
         at += CACHE_LINE)
        __builtin_prefetch((const void *)(ahead + at));
    return status;
}

persist_status table_previous(table_iter *i, persist_error *error)
{
    table_step *leaf = leaf_of(i);
    if (leaf->at == 0)
        return cross(i, true, error);
    leaf->at--;
    return settle(i, PERSIST_OK, error);
}

/* Goes down so many levels to where a key belongs; `at` of the leaf may be its
 * count. */
static persist_status go_down(table_iter *i, unsigned levels, slice key,
                              bool beyond, persist_error *error)
{
    persist_status status = begin(i);
    for (unsigned level = 0; level < levels && status == PERSIST_OK; level++) {
        status = enter(i, level, error);
        if (status != PERSIST_OK)
            break;
        table_step *s = &i->path[level];
        bool is_leaf = level + 1 == i->height;
        s->at = block_search(&s->view, key, is_leaf ? beyond : true);
        if (!is_leaf && s->at > 0)
            s->at--;
    }
    return status;
}

static persist_status find_leaf(table_iter *i, slice key, bool beyond,
                                persist_error *error)
{
    unsigned height = i->table->footer.roots[i->section].height;
    return go_down(i, height, key, beyond, error);
}

persist_status table_seek(table_iter *i, slice key, persist_error *error)
{
    persist_status status = find_leaf(i, key, false, error);
    if (status == PERSIST_OK && leaf_of(i)->at == leaf_of(i)->view.count) {
        leaf_of(i)->at--;
        status = step_up(i, false, error);
    }
    return settle(i, status, error);
}

persist_status table_seek_back(table_iter *i, slice key, persist_error *error)
{
    persist_status status = find_leaf(i, key, true, error);
    if (status == PERSIST_OK && leaf_of(i)->at == 0)
        status = step_up(i, true, error);
    else if (status == PERSIST_OK)
        leaf_of(i)->at--;
    return settle(i, status, error);
}

persist_status table_seek_number(table_iter *i, uint64_t number,
                                 persist_error *error)
{
    persist_status status = begin(i);
    for (unsigned level = 0; level < i->height && status == PERSIST_OK;
         level++) {
        table_step *s = &i->path[level];
        status = enter(i, level, error);
        if (status == PERSIST_OK)
            s->at = block_search_number(&s->view, number);
        if (status == PERSIST_OK && s->at > 0)
            s->at--;
        else if (status == PERSIST_OK && level + 1 == i->height)
            status = step_up(i, true, error);
    }
    return settle(i, status, error);
}

persist_status table_seek_last(table_iter *i, persist_error *error)
{
    persist_status status = begin(i);
    if (status == PERSIST_OK)
        status = descend(i, 0, true, error);
    return settle(i, status, error);
}

static persist_status find_exactly(table_iter *i, slice key,
                                   persist_error *error)
{
    /* what is not in its leaf is nowhere: the next one may be damaged */
    persist_status status = find_leaf(i, key, false, error);
    if (status == PERSIST_OK && leaf_of(i)->at == leaf_of(i)->view.count)
        status = PERSIST_NONE;
    status = settle(i, status, error);
    if (status == PERSIST_OK && !slice_equal(table_key(i), key)) {
        table_iter_release(i);
        return PERSIST_NONE;
    }
    return status;
}

persist_status table_find_hashed(table_iter *i, slice key, uint64_t hash,
                                 persist_error *error)
{
    CHECK(table_has_filter(i->section));
    persist_status status = table_may_have(i->table, i->section, hash, error);
    if (status == PERSIST_OK)
        return find_exactly(i, key, error);
    table_iter_release(i);
    return status;
}

persist_status table_find(table_iter *i, slice key, persist_error *error)
{
    if (!table_has_filter(i->section))
        return find_exactly(i, key, error);
    return table_find_hashed(i, key, filter_hash(i->section, key), error);
}

/* Leaves of a section lie one behind the other, mostly. */
static void expect_leaves(table_iter *i, const table_step *above, slice last,
                          bool back)
{
    table_child first, to;
    uint32_t end = block_search(&above->view, last, true);
    if (end <= above->at || !child_at(above, above->at, &first) ||
        !child_at(above, end - 1, &to))
        return;
    uint64_t from = first.offset, behind = to.offset + to.size;
    if (back && behind - from > AHEAD_MAX)
        from = behind - AHEAD_MAX;
    bool known =
        table_was_read(i->table, &first) && table_was_read(i->table, &to);
    i->asked = known ? behind : table_start_read(i->table, from, behind);
}

void table_expect(table_iter *i, slice first, slice last, bool back)
{
    persist_error ignored; /* whoever reads it will tell */
    unsigned height = i->table->footer.roots[i->section].height;
    CHECK(i->height == 0);
    if (height < 2)
        return;
    if (go_down(i, height - 1, first, true, &ignored) == PERSIST_OK)
        expect_leaves(i, &i->path[height - 2], last, back);
    table_iter_release(i);
}

/* ---- several at once ---------------------------------------------------- */

persist_status table_aim(table_iter *above, slice key, table_spot *out,
                         persist_error *error)
{
    unsigned height = above->table->footer.roots[above->section].height;
    CHECK(key.size <= TABLE_SPOT_KEY && !table_iter_valid(above));
    out->step = (table_step){0};
    out->key_size = key.size;
    memcpy(out->key, key.data, key.size);
    if (height < 2)
        return height == 0 ? PERSIST_NONE : PERSIST_OK;
    persist_status status = go_down(above, height - 1, key, true, error);
    if (status != PERSIST_OK)
        return status;
    const table_step *s = &above->path[height - 2];
    if (!child_at(s, s->at, &out->leaf))
        return table_bad_step(above, s, error);
    table_fetch_leaf(above->table, &out->leaf);
    return PERSIST_OK;
}

/* Tells whether a spot's entry has its key. */
static bool is_there(const table_spot *s)
{
    uint8_t key[TABLE_SPOT_KEY + BLOCK_HEAD_SIZE];
    const block_view *v = &s->step.view;
    if (block_key_size(v, &s->entry) != s->key_size)
        return false;
    memcpy(key, v->prefix, v->prefix_size);
    block_put_rest(&s->entry, key + v->prefix_size);
    return memcmp(key, s->key, s->key_size) == 0;
}

persist_status table_near(table_iter *above, table_spot *s,
                          persist_error *error)
{
    table *t = above->table;
    table_section section = above->section;
    persist_status status =
        t->footer.roots[section].height == 1
            ? table_load_root(t, section, above->passing, &s->step, error)
            : table_load_child(t, section, 0, &s->leaf, above->passing,
                               &s->step, error);
    if (status == PERSIST_OK)
        block_fetch(&s->step.view, slice_of(s->key, s->key_size));
    return status;
}

persist_status table_land(const table_iter *above, table_spot *s,
                          persist_error *error)
{
    table_step *step = &s->step;
    slice key = slice_of(s->key, s->key_size);
    step->at = block_search(&step->view, key, false);
    if (step->at == step->view.count)
        return PERSIST_NONE;
    if (!block_get(&step->view, step->at, &s->entry))
        return table_bad_step(above, step, error);
    return is_there(s) ? PERSIST_OK : PERSIST_NONE;
}

void table_spot_release(table_spot *s)
{
    leave(&s->step);
}
