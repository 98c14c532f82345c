/* SPDX-License-Identifier: MIT */
/* Reading a table. Nothing that a file holds is believed: every block has its
 * checksum, and what it says is still checked where it is used. */
#include <errno.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "engine/table.h"

/* ---- opening ---------------------------------------------------------- */

persist_status table_corrupt(const table *t, uint64_t offset, const char *what,
                             persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (table_path(&t->place, t->footer.number, path) != 0)
        path[0] = '\0';
    status_set(error, PERSIST_CORRUPT,
               "%s, in %.200s at byte %llu; restore the store from a backup",
               what, path, (unsigned long long)offset);
    status_at(error, path, offset);
    return PERSIST_CORRUPT;
}

static persist_status read_at(const table *t, void *data, size_t size,
                              uint64_t at, persist_error *error)
{
    const os *sys = t->place.sys;
    size_t got;
    int code = os_read_all(sys, t->file, data, size, at, &got);
    if (code == 0)
        return got == size
                   ? PERSIST_OK
                   : table_corrupt(t, at, "a table is cut short", error);
    char path[PERSIST_PATH_MAX];
    if (table_path(&t->place, t->footer.number, path) != 0)
        path[0] = '\0';
    return os_failed(error, code, "read", path);
}

static persist_status read_footer(table *t, uint64_t number, uint64_t size,
                                  persist_error *error)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t now = 0, at = size - TABLE_FOOTER_SIZE;
    int code = t->place.sys->file_size(t->place.sys, t->file, &now);
    if (code == 0 && now != size)
        return table_corrupt(t, now, "a table has another length", error);
    if (code != 0)
        return os_failed(error, code, "read", t->place.dir);
    persist_status status = read_at(t, bytes, sizeof bytes, at, error);
    if (status != PERSIST_OK)
        return status;
    table_footer footer;
    if (!table_footer_decode(slice_of(bytes, sizeof bytes), &footer) ||
        footer.identity != t->place.identity || footer.number != number ||
        footer.size != size)
        return table_corrupt(t, at, "the footer of a table is damaged", error);
    t->footer = footer;
    return PERSIST_OK;
}

persist_status table_open(const table_place *place, cache *blocks,
                          uint64_t number, uint64_t size, table **out,
                          persist_error *error)
{
    CHECK(size >= TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE);
    char path[PERSIST_PATH_MAX];
    table *t = mem_alloc_zero(sizeof *t);
    if (t == NULL)
        return status_set(error, PERSIST_LIMIT, "out of memory");
    t->place = *place;
    t->cache = blocks;
    t->footer.number = number;
    atomic_init(&t->references, 1);
    int code = table_path(place, number, path);
    if (code == 0)
        code = place->sys->file_open(place->sys, path, OS_READ, &t->file);
    persist_status status = PERSIST_OK;
    if (code == -ENOENT)
        status = table_corrupt(t, 0, "a table is missing", error);
    else if (code != 0)
        status = os_failed(error, code, "open", path);
    else
        status = read_footer(t, number, size, error);
    if (status == PERSIST_OK)
        *out = t;
    else
        table_unref(t);
    return status;
}

table *table_ref(table *t)
{
    unsigned before =
        atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    return t;
}

void table_unref(table *t)
{
    if (t == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    for (size_t i = 0; i < TABLE_SECTIONS; i++)
        block_unref(t->roots[i]);
    for (size_t i = 0; i < FILTER_PARTS_KEPT; i++)
        block_unref(t->filters[i]);
    if (t->file != NULL)
        t->place.sys->file_close(t->place.sys, t->file);
    mem_free(t);
}

/* ---- blocks ----------------------------------------------------------- */

typedef struct block_place {
    uint64_t offset, size;
    uint8_t kind;
    _Atomic(block *) *kept; /* where it is kept; NULL: nowhere */
} block_place;

static persist_status read_block(table *t, const block_place *place,
                                 block **out, persist_error *error)
{
    uint8_t *packed = mem_alloc((size_t)place->size);
    if (packed == NULL)
        return status_set(error, PERSIST_LIMIT, "out of memory");
    persist_status status =
        read_at(t, packed, (size_t)place->size, place->offset, error);
    if (status != PERSIST_OK) {
        mem_free(packed);
        return status;
    }
    uint64_t seed =
        block_seed(t->place.identity, t->footer.number, place->offset);
    bool entries = place->kind != table_kind(TABLE_FILTER, 0);
    status = block_decode(packed, (size_t)place->size, place->kind, seed,
                          entries, out);
    if (status == PERSIST_CORRUPT)
        table_corrupt(t, place->offset, "a block is damaged", error);
    else if (status == PERSIST_LIMIT)
        status_set(error, PERSIST_LIMIT, "out of memory");
    return status;
}

/* Returns the block with a reference if it is in memory. */
static block *find_loaded(const table *t, const block_place *place)
{
    block *b = place->kept == NULL
                   ? NULL
                   : atomic_load_explicit(place->kept, memory_order_acquire);
    return b != NULL ? block_ref(b)
                     : cache_find(t->cache, t->footer.number, place->offset);
}

static void keep(const block_place *place, block *b)
{
    block *none = NULL;
    block_ref(b);
    if (!atomic_compare_exchange_strong(place->kept, &none, b))
        block_unref(b);
}

/* Returns a block with a reference. */
static persist_status load(table *t, const block_place *place, bool passing,
                           block **out, persist_error *error)
{
    uint64_t end = t->footer.size - TABLE_FOOTER_SIZE;
    if (place->offset < TABLE_HEADER_SIZE || place->offset > end ||
        place->size < BLOCK_HEADER_SIZE || place->size > end - place->offset)
        return table_corrupt(t, place->offset, "a block is out of bounds",
                             error);
    *out = find_loaded(t, place);
    if (*out != NULL)
        return PERSIST_OK;
    persist_status status = read_block(t, place, out, error);
    if (status != PERSIST_OK)
        return status;
    (*out)->table = t->footer.number;
    (*out)->offset = place->offset;
    if (place->kept != NULL && (*out)->memory <= ROOT_KEPT_MAX)
        keep(place, *out);
    else if (!passing)
        cache_add(t->cache, *out);
    return PERSIST_OK;
}

persist_status table_may_have(table *t, table_section section, slice name,
                              persist_error *error)
{
    if (t->footer.roots[section].size == 0)
        return PERSIST_NONE;
    uint64_t hash = filter_hash(section, name);
    uint64_t size = t->footer.filter_part_size;
    block_place place = {.kind = table_kind(TABLE_FILTER, 0)};
    uint64_t part = filter_part(hash, t->footer.filter_parts);
    place.size = size + BLOCK_HEADER_SIZE;
    place.offset = t->footer.filter_offset + part * place.size;
    place.kept = part < FILTER_PARTS_KEPT ? &t->filters[part] : NULL;
    block *b;
    persist_status status = load(t, &place, false, &b, error);
    if (status != PERSIST_OK)
        return status;
    bool may = b->raw.size != size || filter_test(b->raw, hash);
    block_unref(b);
    return may ? PERSIST_OK : PERSIST_NONE;
}

/* ---- iterators -------------------------------------------------------- */

void table_iter_init(table_iter *i, table *t, table_section section,
                     bool passing)
{
    i->table = t;
    i->section = section;
    i->passing = passing;
    i->scanned = 0;
    i->height = 0;
}

void table_iter_release(table_iter *i)
{
    for (unsigned level = 0; level < i->height; level++) {
        block_unref(i->path[level].block);
        i->path[level].block = NULL;
    }
    i->height = 0;
}

persist_status table_bad_entry(const table_iter *i, persist_error *error)
{
    const struct table_step *leaf = table_leaf(i);
    return table_corrupt(i->table, leaf->block->offset,
                         "an entry of a block is damaged", error);
}

/* Puts the block that an entry of the level above names at a level. */
static persist_status enter(table_iter *i, unsigned level, persist_error *error)
{
    const table_root *root = &i->table->footer.roots[i->section];
    block_place place = {root->offset, root->size,
                         table_kind(i->section, i->height - 1 - level),
                         &i->table->roots[i->section]};
    if (level > 0) {
        const struct table_step *above = &i->path[level - 1];
        cursor c = cursor_of(block_value(above->block, above->at));
        place.offset = cursor_varint(&c);
        place.size = cursor_varint(&c);
        place.kept = NULL;
        if (!cursor_done(&c))
            return table_corrupt(i->table, above->block->offset,
                                 "an entry of a block is damaged", error);
    }
    struct table_step *step = &i->path[level];
    if (step->block != NULL && step->block->offset == place.offset)
        return PERSIST_OK;
    block_unref(step->block);
    step->block = NULL;
    return load(i->table, &place, i->passing, &step->block, error);
}

static persist_status begin(table_iter *i)
{
    unsigned height = i->table->footer.roots[i->section].height;
    if (height == 0)
        return PERSIST_NONE;
    CHECK(height <= TREE_HEIGHT_MAX && (i->height == 0 || i->height == height));
    for (unsigned level = i->height; level < height; level++)
        i->path[level].block = NULL;
    i->height = height;
    return PERSIST_OK;
}

/* Ends with no entry after anything but success. */
static persist_status settle(table_iter *i, persist_status status)
{
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
            i->path[level].at = last ? i->path[level].block->count - 1 : 0;
    }
    return status;
}

static persist_status step_up(table_iter *i, bool back, persist_error *error)
{
    for (unsigned level = i->height; level-- > 0;) {
        struct table_step *s = &i->path[level];
        if (back ? s->at == 0 : s->at + 1 >= s->block->count)
            continue;
        s->at += back ? UINT32_MAX : 1;
        if (i->scanned++ == SCAN_BLOCKS)
            i->passing = true;
        return descend(i, level + 1, back, error);
    }
    return PERSIST_NONE;
}

persist_status table_next(table_iter *i, persist_error *error)
{
    CHECK(table_iter_valid(i));
    struct table_step *leaf = &i->path[i->height - 1];
    if (leaf->at + 1 < leaf->block->count) {
        leaf->at++;
        return PERSIST_OK;
    }
    return settle(i, step_up(i, false, error));
}

persist_status table_previous(table_iter *i, persist_error *error)
{
    CHECK(table_iter_valid(i));
    struct table_step *leaf = &i->path[i->height - 1];
    if (leaf->at > 0) {
        leaf->at--;
        return PERSIST_OK;
    }
    return settle(i, step_up(i, true, error));
}

/* Goes down to the leaf where a key belongs; `at` of the leaf may be its
 * count. */
static persist_status find_leaf(table_iter *i, slice key, bool beyond,
                                persist_error *error)
{
    persist_status status = begin(i);
    for (unsigned level = 0; level < i->height && status == PERSIST_OK;
         level++) {
        status = enter(i, level, error);
        if (status != PERSIST_OK)
            break;
        struct table_step *s = &i->path[level];
        bool is_leaf = level + 1 == i->height;
        s->at = block_search(s->block, key, is_leaf ? beyond : true);
        if (!is_leaf && s->at > 0)
            s->at--;
    }
    return status;
}

persist_status table_seek(table_iter *i, slice key, persist_error *error)
{
    persist_status status = find_leaf(i, key, false, error);
    if (status == PERSIST_OK) {
        struct table_step *leaf = &i->path[i->height - 1];
        if (leaf->at == leaf->block->count) {
            leaf->at--;
            return table_next(i, error);
        }
    }
    return settle(i, status);
}

persist_status table_seek_back(table_iter *i, slice key, persist_error *error)
{
    persist_status status = find_leaf(i, key, true, error);
    if (status == PERSIST_OK) {
        struct table_step *leaf = &i->path[i->height - 1];
        if (leaf->at == 0)
            return settle(i, step_up(i, true, error));
        leaf->at--;
    }
    return settle(i, status);
}

persist_status table_find(table_iter *i, slice key, persist_error *error)
{
    persist_status status = PERSIST_OK;
    if (i->section == TABLE_STREAMS || i->section == TABLE_KEYS ||
        i->section == TABLE_ONCES)
        status = table_may_have(i->table, i->section, key, error);
    if (status == PERSIST_OK)
        status = table_seek(i, key, error);
    if (status == PERSIST_OK && !slice_equal(table_key(i), key))
        status = PERSIST_NONE;
    return settle(i, status);
}
