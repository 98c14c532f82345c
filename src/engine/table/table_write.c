/* SPDX-License-Identifier: MIT */
/* Writing a table: each section is a tree that grows from its leaves, so one
 * pass over sorted entries is enough, and only a block a level is in memory. */
#include <errno.h>

#include "base/mem.h"
#include "engine/table/entry.h"

enum { PAGE = 4096 }; /* as the system keeps files in memory, mostly */

static void failed(table_writer *w, int code, const char *what)
{
    char path[PERSIST_PATH_MAX];
    if (w->status != PERSIST_OK)
        return;
    if (table_path(&w->place, w->footer.number, path) != 0)
        path[0] = '\0';
    w->status = code == -ENOMEM ? status_no_memory(&w->error)
                                : os_failed(&w->error, code, what, path);
}

static bool finds_room(const table_place *place, int code, uint64_t size)
{
    return (code == -ENOSPC || code == -EDQUOT) && place->lend != NULL &&
           place->lend(place->context, size);
}

/* The disk begins with the pages that are whole while the next ones are made,
 * so that the sync at the end waits for few. One that is not whole would go to
 * the disk twice. */
static void start_write(table_writer *w)
{
    uint64_t end = w->offset - w->offset % PAGE, size = end - w->started;
    CHECK(w->started <= end);
    if (size < TABLE_START_SIZE)
        return;
    w->place.sys->file_start_write(w->place.sys, w->file, w->started, size);
    w->started = end;
}

static void write_out(table_writer *w)
{
    int code;
    if (w->status != PERSIST_OK || w->out.size == 0)
        return;
    do
        code = os_write_all(w->place.sys, w->file, w->out.data, w->out.size,
                            w->offset);
    while (finds_room(&w->place, code, w->out.size));
    if (code != 0)
        failed(w, code, "write");
    w->offset += w->out.size;
    buf_clear(&w->out);
    if (code == 0)
        start_write(w);
}

static uint64_t place_of_next(const table_writer *w)
{
    return w->offset + w->out.size;
}

static uint64_t seed_of_next(const table_writer *w)
{
    return block_seed(w->place.identity, w->footer.number, place_of_next(w));
}

/* ---- beginning -------------------------------------------------------- */

static void release(table_writer *w)
{
    for (size_t s = 0; s < TABLE_SECTIONS; s++)
        for (size_t i = 0; i < TREE_HEIGHT_MAX; i++) {
            block_writer_release(&w->levels[s][i].block);
            buf_release(&w->levels[s][i].first_key);
        }
    block_packer_release(&w->packer);
    filter_release(&w->filter);
    buf_release(&w->out);
    w->place.sys = NULL;
}

void table_abort(table_writer *w)
{
    if (w->place.sys == NULL)
        return;
    char path[PERSIST_PATH_MAX];
    if (w->file != NULL)
        w->place.sys->file_close(w->place.sys, w->file);
    if (w->file != NULL && table_path(&w->place, w->footer.number, path) == 0)
        w->place.sys->unlink(w->place.sys, w->place.dir, os_name(path));
    w->file = NULL;
    release(w);
}

persist_status table_begin(table_writer *w, const table_place *place,
                           uint64_t number, uint32_t block_size, bool compress,
                           uint64_t names, persist_error *error)
{
    CHECK(number != 0 && block_size >= BLOCK_SIZE_MIN);
    char path[PERSIST_PATH_MAX];
    *w = (table_writer){.place = *place, .block_size = block_size};
    w->compress = compress;
    w->footer.version = FORMAT_VERSION;
    w->footer.identity = place->identity;
    w->footer.number = number;
    if (!filter_init(&w->filter, names) ||
        !buf_reserve(&w->out, TABLE_HEADER_SIZE)) {
        release(w);
        return status_no_memory(error);
    }
    int code = table_path(place, number, path);
    if (code == 0)
        do
            code = place->sys->file_open(
                place->sys, place->dir, os_name(path),
                OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &w->file);
        while (finds_room(place, code, 0));
    if (code != 0) {
        release(w);
        return os_failed(error, code, "make", path);
    }
    table_header_encode(place->identity, number, w->out.data);
    w->out.size = TABLE_HEADER_SIZE;
    return PERSIST_OK;
}

/* ---- adding ----------------------------------------------------------- */

static void add_at(table_writer *, unsigned section, unsigned level, slice key,
                   slice value);

/* Packs the block in hand; tells its place. */
static void seal_block(table_writer *w, unsigned section, unsigned level,
                       uint64_t *offset, uint64_t *size)
{
    table_level *l = &w->levels[section][level];
    CHECK(l->block.count > 0);
    *offset = place_of_next(w);
    bool compress = level == 0 && (w->compress || section == TABLE_ORDER);
    if (!block_seal(&l->block, table_kind(section, level),
                    compress ? &w->packer : NULL, seed_of_next(w), &w->out))
        failed(w, -ENOMEM, "write");
    *size = place_of_next(w) - *offset;
    if (w->out.size >= TABLE_WRITE_SIZE)
        write_out(w);
}

/* Ends the block in hand and enters it into the level above. */
static void end_block(table_writer *w, unsigned section, unsigned level)
{
    uint64_t offset, size;
    uint8_t memory[30];
    CHECK(level + 1 < TREE_HEIGHT_MAX);
    seal_block(w, section, level, &offset, &size);
    buf place = {.data = memory, .capacity = sizeof memory};
    buf_put_varint(&place, offset);
    buf_put_varint(&place, size);
    buf_put_varint(&place, w->footer.blocks++);
    table_level *l = &w->levels[section][level];
    add_at(w, section, level + 1, buf_slice(&l->first_key), buf_slice(&place));
}

static size_t size_of_blocks(const table_writer *w, unsigned section)
{
    bool names = table_has_filter(section) || section == TABLE_TAGS;
    return names ? table_name_block(w->block_size) : w->block_size;
}

static void add_at(table_writer *w, unsigned section, unsigned level, slice key,
                   slice value)
{
    table_level *l = &w->levels[section][level];
    if (l->block.count == 0) {
        buf_clear(&l->first_key);
        buf_put_slice(&l->first_key, key);
    }
    block_add(&l->block, key, value);
    if (l->first_key.failed || block_failed(&l->block)) {
        failed(w, -ENOMEM, "write");
        return;
    }
    /* A level with one child a block would never end. */
    bool full = block_size(&l->block) >= size_of_blocks(w, section);
    if (full && level + 1 < TREE_HEIGHT_MAX &&
        (level == 0 || l->block.count > 1))
        end_block(w, section, level);
}

bool table_begins_block(const table_writer *w, table_section section)
{
    return w->levels[section][0].block.count == 0;
}

/* The entries of a tag lie side by side: the filter need know it once. */
static void note_tag(table_writer *w, slice key)
{
    slice tag = entry_tag_of(key);
    CHECK(tag.size > 0);
    uint64_t hash = filter_hash(TABLE_TAGS, tag);
    if (w->footer.tags > 0 && hash == w->last_tag)
        return;
    w->last_tag = hash;
    w->footer.tags++;
    filter_add(&w->filter, hash);
}

void table_add(table_writer *w, table_section section, slice key, slice value)
{
    if (w->status != PERSIST_OK)
        return;
    if (table_has_filter(section))
        filter_add(&w->filter, filter_hash(section, key));
    else if (section == TABLE_TAGS)
        note_tag(w, key);
    w->footer.roots[section].entries++;
    add_at(w, section, 0, key, value);
}

void table_add_buf(table_writer *w, table_section section, slice key,
                   const buf *value)
{
    if (value->failed)
        failed(w, -ENOMEM, "write");
    else
        table_add(w, section, key, buf_slice(value));
}

/* ---- ending ----------------------------------------------------------- */

/* Tells whether any level above holds something. */
static bool has_above(const table_writer *w, unsigned section, unsigned level)
{
    for (unsigned i = level + 1; i < TREE_HEIGHT_MAX; i++)
        if (w->levels[section][i].block.count > 0)
            return true;
    return false;
}

static void end_section(table_writer *w, unsigned section)
{
    table_root *root = &w->footer.roots[section];
    for (unsigned level = 0; level < TREE_HEIGHT_MAX; level++) {
        if (w->status != PERSIST_OK)
            return;
        if (w->levels[section][level].block.count == 0)
            continue;
        if (has_above(w, section, level)) {
            end_block(w, section, level);
            continue;
        }
        root->height = level + 1;
        seal_block(w, section, level, &root->offset, &root->size);
        return;
    }
    CHECK(root->entries == 0);
}

static void end_filter(table_writer *w)
{
    filter *f = &w->filter;
    filter_end(f);
    w->footer.filter_offset = place_of_next(w);
    w->footer.filter_parts = f->size / f->part_size;
    w->footer.filter_part_size = f->part_size;
    for (size_t at = 0; at < f->size && w->status == PERSIST_OK;
         at += f->part_size) {
        slice part = slice_of(f->bits + at, f->part_size);
        if (!block_seal_bytes(part, table_filter_kind(&w->footer),
                              seed_of_next(w), &w->out))
            failed(w, -ENOMEM, "write");
        if (w->out.size >= TABLE_WRITE_SIZE)
            write_out(w);
    }
}

static void end_file(table_writer *w, persist_lsn first, persist_lsn last)
{
    w->footer.first = first;
    w->footer.last = last;
    w->footer.size = place_of_next(w) + TABLE_FOOTER_SIZE;
    CHECK(w->footer.size >= TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE);
    if (!buf_reserve(&w->out, TABLE_FOOTER_SIZE)) {
        failed(w, -ENOMEM, "write");
        return;
    }
    table_footer_encode(&w->footer, w->out.data + w->out.size);
    w->out.size += TABLE_FOOTER_SIZE;
    write_out(w);
}

persist_status table_finish(table_writer *w, persist_lsn first,
                            persist_lsn last, persist_error *error)
{
    const os *sys = w->place.sys;
    CHECK(first > 0 && first <= last);
    for (unsigned s = 0; s < TABLE_SECTIONS; s++)
        end_section(w, s);
    end_filter(w);
    if (w->status == PERSIST_OK)
        end_file(w, first, last);
    int code = 0;
    if (w->status == PERSIST_OK)
        code = os_sync(sys, w->file);
    if (code == 0 && w->status == PERSIST_OK)
        code = os_dir_sync(sys, w->place.dir);
    if (code != 0)
        failed(w, code, "sync");
    if (w->status != PERSIST_OK) {
        persist_status status = w->status;
        if (error != NULL)
            *error = w->error;
        table_abort(w);
        return status;
    }
    sys->file_close(sys, w->file);
    w->file = NULL;
    release(w);
    return PERSIST_OK;
}
