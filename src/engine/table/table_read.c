/* SPDX-License-Identifier: MIT */
/* Reading a table. Nothing that a file holds is believed: every block has its
 * checksum, and what it says is still checked where it is used.
 *
 * The file is mapped, and blocks are read where they lie. The first reader of a
 * block brings it in with a call that can fail, and looks at its checksum; a
 * bit then tells the others that this was done, and they take no lock. Blocks
 * that are compressed, and all of a file that cannot be mapped, are put into
 * memory and kept by the cache. */
#include <errno.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "engine/table/hints.h"
#include "engine/table/spots.h"

enum {
    CACHE_LINE = 64,
    FRONT_SIZE = 16 * CACHE_LINE,
};

/* ---- opening ---------------------------------------------------------- */

persist_status table_corrupt(const table *t, uint64_t offset, const char *what,
                             persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (table_path(&t->place, t->footer.number, path) != 0)
        path[0] = '\0';
    status_set(error, PERSIST_CORRUPT,
               "%s, in %.300s at byte %llu; restore the store from a backup",
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

static persist_status read_footer(table *t, persist_error *error)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t now = 0, size = t->footer.size, at = size - TABLE_FOOTER_SIZE;
    int code = t->place.sys->file_size(t->place.sys, t->file, &now);
    if (code == 0 && now != size)
        return table_corrupt(t, now, "a table has another length", error);
    if (code != 0)
        return os_failed(error, code, "read", t->place.dir->path);
    persist_status status = read_at(t, bytes, sizeof bytes, at, error);
    if (status != PERSIST_OK)
        return status;
    table_footer footer;
    if (!table_footer_decode(slice_of(bytes, sizeof bytes), &footer) ||
        footer.identity != t->place.identity ||
        footer.number != t->footer.number || footer.size != size)
        return table_corrupt(t, at, "the footer of a table is damaged", error);
    t->footer = footer;
    return PERSIST_OK;
}

/* Bits for the roots, the filter parts, and the other blocks. */
static uint64_t bits_of(const table_footer *f)
{
    return TABLE_SECTIONS + f->filter_parts + f->blocks;
}

/* Maps the file, if that can be done. */
static persist_status map_file(table *t, persist_error *error)
{
    const os *sys = t->place.sys;
    uint64_t words = bits_of(&t->footer) / 64 + 1;
    if (sys->file_map(sys, t->file, t->footer.size, &t->map) != 0)
        return PERSIST_OK;
    t->verified = mem_alloc_zero((size_t)words * sizeof *t->verified);
    if (t->verified == NULL)
        return status_no_memory(error);
    return PERSIST_OK;
}

persist_status table_begin_open(const table_place *place, cache *blocks,
                                uint64_t number, uint64_t size, table **out,
                                persist_error *error)
{
    const os *sys = place->sys;
    CHECK(size >= TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE);
    char path[PERSIST_PATH_MAX];
    table *t = mem_alloc_zero(sizeof *t);
    if (t == NULL)
        return status_no_memory(error);
    t->place = *place;
    t->cache = blocks;
    t->footer.number = number;
    t->footer.size = size;
    atomic_init(&t->references, 1);
    int code = table_path(place, number, path);
    if (code == 0)
        code =
            sys->file_open(sys, place->dir, os_name(path), OS_READ, &t->file);
    if (code == 0) {
        uint64_t tail = size < TABLE_TAIL ? size : TABLE_TAIL;
        sys->file_start_read(sys, t->file, size - tail, tail);
        *out = t;
        return PERSIST_OK;
    }
    persist_status status =
        code == -ENOENT ? table_corrupt(t, 0, "a table is missing", error)
                        : os_failed(error, code, "open", path);
    table_unref(t);
    return status;
}

persist_status table_end_open(table *t, persist_error *error)
{
    persist_status status = read_footer(t, error);
    return status == PERSIST_OK ? map_file(t, error) : status;
}

persist_status table_open(const table_place *place, cache *blocks,
                          uint64_t number, uint64_t size, table **out,
                          persist_error *error)
{
    table *t = NULL;
    persist_status status =
        table_begin_open(place, blocks, number, size, &t, error);
    if (status != PERSIST_OK)
        return status;
    CHECK(t != NULL);
    status = table_end_open(t, error);
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
    t->place.sys->map_release(t->place.sys, &t->map);
    mem_free((void *)(uintptr_t)t->verified);
    hints_release(t);
    spots_release(t);
    if (t->file != NULL)
        t->place.sys->file_close(t->place.sys, t->file);
    mem_free(t);
}

/* ---- blocks ----------------------------------------------------------- */

typedef struct block_place {
    uint64_t offset, size;
    uint64_t bit; /* among those of the verified */
    uint8_t kind;
} block_place;

static persist_status bad_block(const table *t, const block_place *place,
                                persist_error *error)
{
    return table_corrupt(t, place->offset, "a block is damaged", error);
}

static bool is_verified(const table *t, uint64_t bit)
{
    uint64_t word =
        atomic_load_explicit(&t->verified[bit / 64], memory_order_relaxed);
    return (word >> bit % 64 & 1) != 0;
}

/* Only tells others to spare a work that is done: it orders nothing. */
static void set_verified(const table *t, uint64_t bit)
{
    atomic_fetch_or_explicit(&t->verified[bit / 64], (uint64_t)1 << bit % 64,
                             memory_order_relaxed);
}

/* A packed block in memory or in the mapping. */
static bool verify(const table *t, const block_place *place, slice packed)
{
    uint64_t seed =
        block_seed(t->place.identity, t->footer.number, place->offset);
    return block_verify(packed, seed);
}

/* Only filter parts have no entries, and only leaves are compressed. */
static bool get_header(const table *t, const block_place *place, slice packed,
                       block_header *h)
{
    return block_get_header(packed, place->kind, h) &&
           (h->count == 0) == (place->kind == table_filter_kind(&t->footer)) &&
           !(h->compressed && (h->count == 0 || place->kind >= TABLE_SECTIONS));
}

/* Lets a step hold a block of memory. */
static void hold(table *t, const block_place *place, bool passing, block *b,
                 table_step *out)
{
    b->table = t->footer.number;
    b->offset = place->offset;
    if (!passing)
        cache_add(t->cache, b);
    out->held = b;
    out->view = b->view;
}

static persist_status unpack(table *t, const block_place *place, bool passing,
                             const block_header *h, const uint8_t *stored,
                             table_step *out, persist_error *error)
{
    block *b;
    persist_status status = block_unpack(h, stored, &b);
    if (status == PERSIST_CORRUPT)
        return bad_block(t, place, error);
    if (status != PERSIST_OK)
        return status_set(error, status, "out of memory");
    hold(t, place, passing, b, out);
    return PERSIST_OK;
}

static bool find_cached(table *t, const block_place *place, table_step *out)
{
    out->held = cache_find(t->cache, t->footer.number, place->offset);
    if (out->held != NULL)
        out->view = out->held->view;
    return out->held != NULL;
}

/* Reads a block from the file. */
static persist_status read_block(table *t, const block_place *place,
                                 bool passing, table_step *out,
                                 persist_error *error)
{
    size_t size = (size_t)place->size;
    if (find_cached(t, place, out))
        return PERSIST_OK;
    block *b = block_new(size);
    if (b == NULL)
        return status_no_memory(error);
    block_header h = {0};
    slice packed = slice_of(b->bytes, size);
    persist_status status = read_at(t, b->bytes, size, place->offset, error);
    if (status == PERSIST_OK &&
        !(verify(t, place, packed) && get_header(t, place, packed, &h)))
        status = bad_block(t, place, error);
    const uint8_t *stored = b->bytes + BLOCK_HEADER_SIZE;
    if (status == PERSIST_OK && h.compressed)
        status = unpack(t, place, passing, &h, stored, out, error);
    else if (status == PERSIST_OK && !block_lay_out(&h, stored, &b->view))
        status = bad_block(t, place, error);
    else if (status == PERSIST_OK) {
        hold(t, place, passing, b, out);
        return PERSIST_OK;
    }
    block_unref(b);
    return status;
}

/* What a search reads first is fetched at once, not line by line; what is
 * behind a block that is smaller does no harm. */
static void fetch_front(const uint8_t *first)
{
#pragma GCC unroll 16
    for (size_t at = 0; at < FRONT_SIZE; at += CACHE_LINE)
        __builtin_prefetch(first + at);
}

/* Finds a block in the mapping. One that cannot be brought in is read: that
 * says why, or helps. */
static persist_status find_block(table *t, const block_place *place,
                                 bool passing, table_step *out,
                                 persist_error *error)
{
    const os *sys = t->place.sys;
    slice packed = slice_of(t->map.data + place->offset, (size_t)place->size);
    bool verified = is_verified(t, place->bit);
    block_header h;
    fetch_front(packed.data);
    if (!verified &&
        sys->map_load(sys, &t->map, place->offset, place->size) != 0)
        return read_block(t, place, passing, out, error);
    if (!(verified || verify(t, place, packed)) ||
        !get_header(t, place, packed, &h))
        return bad_block(t, place, error);
    if (!verified)
        set_verified(t, place->bit);
    const uint8_t *stored = (const uint8_t *)packed.data + BLOCK_HEADER_SIZE;
    out->held = NULL;
    if (h.compressed)
        return find_cached(t, place, out)
                   ? PERSIST_OK
                   : unpack(t, place, passing, &h, stored, out, error);
    return block_lay_out(&h, stored, &out->view) ? PERSIST_OK
                                                 : bad_block(t, place, error);
}

/* Readies a step for a block that lies inside the table. */
static persist_status begin_step(const table *t, const block_place *place,
                                 table_step *out, persist_error *error)
{
    uint64_t end = t->footer.size - TABLE_FOOTER_SIZE;
    out->view.count = 0;
    out->held = NULL;
    out->offset = place->offset;
    if (place->offset < TABLE_HEADER_SIZE || place->offset > end ||
        place->size < BLOCK_HEADER_SIZE || place->size > end - place->offset ||
        place->bit >= bits_of(&t->footer))
        return table_corrupt(t, place->offset, "a block is out of bounds",
                             error);
    return PERSIST_OK;
}

/* Lets a step stand in a block; after an error it stands in none. */
static persist_status load(table *t, const block_place *place, bool passing,
                           table_step *out, persist_error *error)
{
    persist_status status = begin_step(t, place, out, error);
    if (status != PERSIST_OK)
        return status;
    status = t->map.data == NULL ? read_block(t, place, passing, out, error)
                                 : find_block(t, place, passing, out, error);
    if (status != PERSIST_OK)
        out->view.count = 0;
    return status;
}

/* Every reader goes through the topmost block, which stays where it is in the
 * mapping as long as the table: it is laid out once. */
static void keep_top(table_top *top, const table_step *step)
{
    table_top_state state = TOP_IS_NOT_HERE;
    CHECK(step->held == NULL && step->view.count > 0);
    if (!atomic_compare_exchange_strong(&top->state, &state, TOP_IS_COMING))
        return;
    top->step = *step;
    atomic_store_explicit(&top->state, TOP_IS_HERE, memory_order_release);
}

persist_status table_load_root(table *t, table_section section, bool passing,
                               table_step *out, persist_error *error)
{
    const table_root *root = &t->footer.roots[section];
    CHECK(root->height > 0);
    table_top *top = &t->tops[section];
    if (atomic_load_explicit(&top->state, memory_order_acquire) ==
        TOP_IS_HERE) {
        *out = top->step;
        fetch_front(out->view.heads);
        return PERSIST_OK;
    }
    block_place place = {root->offset, root->size, section,
                         table_kind(section, root->height - 1)};
    persist_status status = load(t, &place, passing, out, error);
    if (status == PERSIST_OK && out->held == NULL)
        keep_top(top, out);
    return status;
}

/* What an index block says of the block below is the first key in there. */
static uint64_t find_first_position(table *t)
{
    persist_error ignored;
    table_step top;
    block_entry e;
    uint8_t key[ENTRY_ORDER_KEY_SIZE + BLOCK_HEAD_SIZE];
    uint64_t position = 0;
    if (t->footer.roots[TABLE_ORDER].size == 0 ||
        table_load_root(t, TABLE_ORDER, false, &top, &ignored) != PERSIST_OK)
        return 0;
    const block_view *v = &top.view;
    if (block_get(v, 0, &e) && block_key_size(v, &e) == ENTRY_ORDER_KEY_SIZE &&
        v->prefix_size <= ENTRY_ORDER_KEY_SIZE) {
        memcpy(key, v->prefix, v->prefix_size);
        block_put_rest(&e, key + v->prefix_size);
        position = big_u64(key);
    }
    block_unref(top.held);
    return position;
}

uint64_t table_first_position(table *t)
{
    uint64_t position =
        atomic_load_explicit(&t->first_position, memory_order_relaxed);
    if (position != 0)
        return position;
    position = find_first_position(t);
    atomic_store_explicit(&t->first_position, position, memory_order_relaxed);
    return position;
}

persist_status table_load_child(table *t, table_section section, unsigned level,
                                const table_child *child, bool passing,
                                table_step *out, persist_error *error)
{
    CHECK(level + 1 < t->footer.roots[section].height);
    block_place place = {child->offset, child->size,
                         TABLE_SECTIONS + t->footer.filter_parts,
                         table_kind(section, level)};
    place.bit += child->number;
    if (child->number >= t->footer.blocks)
        return table_corrupt(t, child->offset, "a block has no such number",
                             error);
    return load(t, &place, passing, out, error);
}

void table_fetch_leaf(const table *t, const table_child *leaf)
{
    uint64_t end = t->footer.size;
    if (t->map.data != NULL && leaf->offset < end &&
        end - leaf->offset >= FRONT_SIZE)
        fetch_front(t->map.data + leaf->offset);
}

bool table_was_read(table *t, const table_child *leaf)
{
    table_step step = {0};
    block_place place = {leaf->offset, leaf->size,
                         TABLE_SECTIONS + t->footer.filter_parts, 0};
    place.bit += leaf->number;
    if (t->map.data != NULL && leaf->number < t->footer.blocks)
        return is_verified(t, place.bit);
    bool cached = find_cached(t, &place, &step);
    block_unref(step.held);
    return cached;
}

uint64_t table_start_read(table *t, uint64_t from, uint64_t end)
{
    if (from >= end || end > t->footer.size)
        return 0; /* whoever reads it will tell */
    if (end - from > AHEAD_MAX)
        end = from + AHEAD_MAX;
    t->place.sys->file_start_read(t->place.sys, t->file, from, end - from);
    return end;
}

persist_status table_read_block(table *t, table_section section, unsigned level,
                                uint64_t offset, uint64_t size, table_step *out,
                                persist_error *error)
{
    CHECK(section < TABLE_SECTIONS || section == TABLE_FILTER);
    CHECK(level < TREE_HEIGHT_MAX);
    const block_place place = {offset, size, 0,
                               section == TABLE_FILTER
                                   ? table_filter_kind(&t->footer)
                                   : table_kind(section, level)};
    persist_status status = begin_step(t, &place, out, error);
    return status == PERSIST_OK ? read_block(t, &place, true, out, error)
                                : status;
}

bool table_get_child(slice value, table_child *out)
{
    cursor c = cursor_of(value);
    out->offset = cursor_varint(&c);
    out->size = cursor_varint(&c);
    out->number = cursor_varint(&c);
    return cursor_done(&c);
}

static block_place filter_place(const table *t, uint64_t hash)
{
    block_place place = {.kind = table_filter_kind(&t->footer)};
    uint64_t part = filter_part(hash, t->footer.filter_parts);
    place.size = t->footer.filter_part_size + BLOCK_HEADER_SIZE;
    place.offset = t->footer.filter_offset + part * place.size;
    place.bit = TABLE_SECTIONS + part;
    return place;
}

/* A part that can be read where it lies; without data if it cannot. */
static slice filter_in_place(const table *t, const block_place *place)
{
    if (t->map.data == NULL || !is_verified(t, place->bit))
        return slice_of(NULL, 0);
    return slice_of(t->map.data + place->offset + BLOCK_HEADER_SIZE,
                    (size_t)t->footer.filter_part_size);
}

void table_fetch_filter(const table *t, uint64_t hash)
{
    if (t->footer.filter_parts == 0)
        return;
    block_place place = filter_place(t, hash);
    slice part = filter_in_place(t, &place);
    if (part.data != NULL)
        filter_fetch(part, hash);
}

persist_status table_may_have(table *t, table_section section, uint64_t hash,
                              persist_error *error)
{
    if (t->footer.roots[section].size == 0)
        return PERSIST_NONE;
    block_place place = filter_place(t, hash);
    slice part = filter_in_place(t, &place);
    if (part.data != NULL)
        return filter_test(part, hash) ? PERSIST_OK : PERSIST_NONE;
    table_step step = {0};
    persist_status status = load(t, &place, false, &step, error);
    if (status != PERSIST_OK)
        return status;
    part = slice_of(step.view.entries, step.view.size);
    bool may =
        part.size != t->footer.filter_part_size || filter_test(part, hash);
    block_unref(step.held);
    return may ? PERSIST_OK : PERSIST_NONE;
}
