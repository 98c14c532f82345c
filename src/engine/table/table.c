/* SPDX-License-Identifier: MIT */
/* Table files: names, and the bytes of both ends.
 *
 * table:  | header, 512 | blocks ... | filter parts | footer, 512 | */
#include "engine/table/table_file.h"

#include <errno.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "engine/files/files.h"

enum {
    CHECKSUM_SIZE = 8,
    SUMMED_SIZE = TABLE_FOOTER_SIZE - CHECKSUM_SIZE,
};

static const char header_magic[8] = "ptable";
static const char footer_magic[8] = "ptablef";

int table_path(const table_place *place, uint64_t number,
               char out[PERSIST_PATH_MAX])
{
    return numbered_path(place->dir->path, number, ".tbl", out);
}

bool table_number(const char *name, uint64_t *number)
{
    return numbered_parse(name, ".tbl", number);
}

/* Fills `size` bytes with what b holds, zeros, and a checksum. */
static void seal(const buf *b, uint8_t *out, size_t size)
{
    CHECK(!b->failed && b->size <= size - CHECKSUM_SIZE);
    memset(out, 0, size);
    memcpy(out, b->data, b->size);
    uint64_t sum = hash_xxh3(slice_of(out, size - CHECKSUM_SIZE));
    for (size_t i = 0; i < CHECKSUM_SIZE; i++)
        out[size - CHECKSUM_SIZE + i] = (uint8_t)(sum >> (8 * i));
}

static bool is_sealed(slice bytes, size_t size)
{
    if (bytes.size != size)
        return false;
    const uint8_t *data = bytes.data;
    cursor c = cursor_of(slice_of(data + size - CHECKSUM_SIZE, CHECKSUM_SIZE));
    return cursor_u64(&c) == hash_xxh3(slice_of(data, size - CHECKSUM_SIZE));
}

/* Nothing stands between the fields and the checksum. */
static bool ends_in_zeros(cursor *c)
{
    while (cursor_left(c) > CHECKSUM_SIZE)
        if (cursor_u8(c) != 0)
            return false;
    return !c->failed;
}

/* A buffer over memory of the caller's, which never grows. */
static buf fixed(uint8_t *memory, size_t size)
{
    return (buf){.data = memory, .capacity = size};
}

void table_header_encode(uint64_t identity, uint64_t number,
                         uint8_t out[TABLE_HEADER_SIZE])
{
    uint8_t memory[64];
    buf b = fixed(memory, sizeof memory);
    buf_put(&b, header_magic, sizeof header_magic);
    buf_put_u64(&b, FORMAT_VERSION);
    buf_put_u64(&b, identity);
    buf_put_u64(&b, number);
    seal(&b, out, TABLE_HEADER_SIZE);
}

bool table_header_is(slice bytes, uint64_t identity)
{
    if (!is_sealed(bytes, TABLE_HEADER_SIZE))
        return false;
    cursor c = cursor_of(bytes);
    slice magic = cursor_bytes(&c, sizeof header_magic);
    CHECK(magic.data != NULL);
    return memcmp(magic.data, header_magic, sizeof header_magic) == 0 &&
           format_is_known(cursor_u64(&c)) && cursor_u64(&c) == identity &&
           cursor_u64(&c) != 0 && ends_in_zeros(&c);
}

bool table_is_ours(const table_place *place, uint64_t number)
{
    static const uint8_t none[TABLE_HEADER_SIZE];
    uint8_t bytes[TABLE_HEADER_SIZE];
    char path[PERSIST_PATH_MAX];
    size_t got;
    if (table_path(place, number, path) != 0 ||
        os_read_start(place->sys, place->dir, os_name(path), bytes,
                      sizeof bytes, &got) != 0)
        return false;
    return got < sizeof bytes || memcmp(bytes, none, sizeof bytes) == 0 ||
           table_header_is(slice_of(bytes, sizeof bytes), place->identity);
}

static size_t roots_of(uint32_t version)
{
    return version == FORMAT_OLDEST ? TABLE_SECTIONS_2 : TABLE_SECTIONS;
}

void table_footer_encode(const table_footer *f, uint8_t out[TABLE_FOOTER_SIZE])
{
    uint8_t memory[SUMMED_SIZE];
    buf b = fixed(memory, sizeof memory);
    CHECK(format_is_known(f->version));
    buf_put(&b, footer_magic, sizeof footer_magic);
    buf_put_u64(&b, f->version);
    buf_put_u64(&b, f->identity);
    buf_put_u64(&b, f->number);
    buf_put_u64(&b, f->size);
    buf_put_u64(&b, f->first);
    buf_put_u64(&b, f->last);
    for (size_t i = 0; i < roots_of(f->version); i++) {
        const table_root *r = &f->roots[i];
        buf_put_u64(&b, r->offset);
        buf_put_u64(&b, r->size);
        buf_put_u64(&b, r->height);
        buf_put_u64(&b, r->entries);
    }
    buf_put_u64(&b, f->filter_offset);
    buf_put_u64(&b, f->filter_parts);
    buf_put_u64(&b, f->filter_part_size);
    buf_put_u64(&b, f->blocks);
    if (f->version != FORMAT_OLDEST)
        buf_put_u64(&b, f->tags);
    seal(&b, out, TABLE_FOOTER_SIZE);
}

/* A block lies between header and footer. */
static bool is_inside(const table_footer *f, uint64_t offset, uint64_t size)
{
    uint64_t end = f->size - TABLE_FOOTER_SIZE;
    return offset >= TABLE_HEADER_SIZE && offset <= end &&
           size >= BLOCK_HEADER_SIZE && size <= end - offset;
}

static bool is_root(const table_footer *f, const table_root *r)
{
    if (r->size == 0)
        return r->offset == 0 && r->height == 0 && r->entries == 0;
    return r->height > 0 && r->height <= TREE_HEIGHT_MAX && r->entries > 0 &&
           is_inside(f, r->offset, r->size);
}

static bool is_filter(const table_footer *f)
{
    if (f->filter_parts == 0 || f->filter_part_size == 0 ||
        f->filter_part_size > FILTER_PART_SIZE ||
        f->filter_part_size % FILTER_LINE_SIZE != 0 ||
        f->filter_parts > FILTER_SIZE_MAX)
        return false;
    return is_inside(f, f->filter_offset,
                     f->filter_parts *
                         (f->filter_part_size + BLOCK_HEADER_SIZE));
}

static bool get_root(cursor *c, const table_footer *f, table_root *out)
{
    out->offset = cursor_u64(c);
    out->size = cursor_u64(c);
    uint64_t height = cursor_u64(c);
    out->height = height > TREE_HEIGHT_MAX ? UINT32_MAX : (uint32_t)height;
    out->entries = cursor_u64(c);
    return is_root(f, out);
}

/* Tells whether there are as many different tags as there can be. */
static bool get_tags(cursor *c, table_footer *out)
{
    uint64_t entries = out->roots[TABLE_TAGS].entries;
    out->tags = out->version == FORMAT_OLDEST ? 0 : cursor_u64(c);
    return out->tags <= entries && (out->tags == 0) == (entries == 0);
}

bool table_footer_decode(slice bytes, table_footer *out)
{
    if (!is_sealed(bytes, TABLE_FOOTER_SIZE))
        return false;
    cursor c = cursor_of(bytes);
    slice magic = cursor_bytes(&c, sizeof footer_magic);
    CHECK(magic.data != NULL);
    uint64_t version = cursor_u64(&c);
    if (memcmp(magic.data, footer_magic, sizeof footer_magic) != 0 ||
        !format_is_known(version))
        return false;
    *out = (table_footer){.version = (uint32_t)version};
    out->identity = cursor_u64(&c);
    out->number = cursor_u64(&c);
    out->size = cursor_u64(&c);
    out->first = cursor_u64(&c);
    out->last = cursor_u64(&c);
    if (out->number == 0 || out->number > COUNT_MAX || out->first == 0 ||
        out->last < out->first ||
        out->size < TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE)
        return false;
    memset(out->roots, 0, sizeof out->roots);
    for (size_t i = 0; i < roots_of(out->version); i++)
        if (!get_root(&c, out, &out->roots[i]))
            return false;
    out->filter_offset = cursor_u64(&c);
    out->filter_parts = cursor_u64(&c);
    out->filter_part_size = cursor_u64(&c);
    out->blocks = cursor_u64(&c);
    return get_tags(&c, out) && is_filter(out) &&
           out->blocks <= out->size / BLOCK_HEADER_SIZE && ends_in_zeros(&c);
}
