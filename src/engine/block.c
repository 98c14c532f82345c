/* SPDX-License-Identifier: MIT */
/* Packing and unpacking blocks.
 *
 * packed:  | checksum 8 | stored size 4 | raw size 4 | entries 4 |
 *          | key bytes 4 | kind 1 | codec 1 | 0 2 | 0 4 | stored bytes ... |
 * entry:   | shared with the key before | rest of key | size of value |
 *          | rest of key ... | value ... |   (the three numbers as varints)
 */
#include "engine/block.h"

#include <zstd.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    CODEC_RAW = 0,
    CODEC_ZSTD = 1,
    CHECKSUM_SIZE = 8,
    ZSTD_LEVEL = 1,
    /* Compression pays when it saves an eighth. */
    PAYS = 8,
};

uint64_t block_seed(uint64_t identity, uint64_t table, uint64_t offset)
{
    const uint64_t place[3] = {identity, table, offset};
    return hash_xxh64(slice_of(place, sizeof place));
}

void block_writer_release(block_writer *w)
{
    buf_release(&w->raw);
    buf_release(&w->last_key);
    *w = (block_writer){0};
}

/* ---- packing ---------------------------------------------------------- */

static size_t shared_prefix(slice a, slice b)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t most = a.size < b.size ? a.size : b.size, n = 0;
    while (n < most && x[n] == y[n])
        n++;
    return n;
}

void block_add(block_writer *w, slice key, slice value)
{
    slice last = buf_slice(&w->last_key);
    CHECK(w->count == 0 || slice_compare(last, key) < 0);
    CHECK(w->count < UINT32_MAX);
    size_t shared = w->count == 0 ? 0 : shared_prefix(last, key);
    buf_put_varint(&w->raw, shared);
    buf_put_varint(&w->raw, key.size - shared);
    buf_put_varint(&w->raw, value.size);
    if (key.size > shared)
        buf_put(&w->raw, (const uint8_t *)key.data + shared, key.size - shared);
    buf_put_slice(&w->raw, value);
    w->last_key.size = shared;
    if (key.size > shared)
        buf_put(&w->last_key, (const uint8_t *)key.data + shared,
                key.size - shared);
    if (w->last_key.failed)
        w->raw.failed = true;
    w->key_bytes += key.size;
    w->count++;
}

/* Appends compressed bytes behind the header's place; false: it does not pay
 * or cannot be done. */
static bool put_compressed(buf *out, slice raw)
{
    size_t most = ZSTD_compressBound(raw.size);
    if (!buf_reserve(out, most))
        return false;
    size_t size = ZSTD_compress(out->data + out->size, most, raw.data, raw.size,
                                ZSTD_LEVEL);
    if (ZSTD_isError(size) || size > raw.size - raw.size / PAYS)
        return false;
    out->size += size;
    return true;
}

typedef struct block_header {
    uint32_t stored, raw, count, keys;
    uint8_t kind, codec;
} block_header;

static void put_header(buf *b, const block_header *h)
{
    buf_put_u32(b, h->stored);
    buf_put_u32(b, h->raw);
    buf_put_u32(b, h->count);
    buf_put_u32(b, h->keys);
    buf_put_byte(b, h->kind);
    buf_put_byte(b, h->codec);
    buf_put_u16(b, 0);
    buf_put_u32(b, 0);
}

static void store_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static bool seal(slice raw, block_header h, bool compress, uint64_t seed,
                 buf *out)
{
    CHECK(raw.size <= BLOCK_RAW_MAX);
    size_t start = out->size;
    if (!buf_reserve(out, BLOCK_HEADER_SIZE + raw.size))
        return false;
    out->size += BLOCK_HEADER_SIZE;
    h.raw = (uint32_t)raw.size;
    h.codec = compress && put_compressed(out, raw) ? CODEC_ZSTD : CODEC_RAW;
    if (out->failed)
        return false;
    if (h.codec == CODEC_RAW)
        buf_put_slice(out, raw);
    size_t end = out->size;
    h.stored = (uint32_t)(end - start - BLOCK_HEADER_SIZE);
    out->size = start + CHECKSUM_SIZE;
    put_header(out, &h);
    out->size = end;
    slice summed = slice_of(out->data + start + CHECKSUM_SIZE,
                            end - start - CHECKSUM_SIZE);
    store_u64(out->data + start, hash_xxh64_seed(summed, seed));
    return true;
}

bool block_seal(block_writer *w, uint8_t kind, bool compress, uint64_t seed,
                buf *out)
{
    CHECK(w->count > 0 && w->key_bytes <= UINT32_MAX);
    block_header h = {.count = w->count, .keys = (uint32_t)w->key_bytes};
    h.kind = kind;
    bool done =
        !w->raw.failed && seal(buf_slice(&w->raw), h, compress, seed, out);
    buf_clear(&w->raw);
    buf_clear(&w->last_key);
    w->count = 0;
    w->key_bytes = 0;
    return done;
}

bool block_seal_bytes(slice bytes, uint8_t kind, uint64_t seed, buf *out)
{
    return seal(bytes, (block_header){.kind = kind}, false, seed, out);
}

/* ---- unpacking -------------------------------------------------------- */

static bool get_header(slice packed, uint8_t kind, uint64_t seed,
                       block_header *h)
{
    if (packed.size < BLOCK_HEADER_SIZE)
        return false;
    cursor c = cursor_of(packed);
    uint64_t sum = cursor_u64(&c);
    slice summed = slice_of(c.at, cursor_left(&c));
    h->stored = cursor_u32(&c);
    h->raw = cursor_u32(&c);
    h->count = cursor_u32(&c);
    h->keys = cursor_u32(&c);
    h->kind = cursor_u8(&c);
    h->codec = cursor_u8(&c);
    return hash_xxh64_seed(summed, seed) == sum && h->kind == kind &&
           h->stored == packed.size - BLOCK_HEADER_SIZE &&
           h->raw <= BLOCK_RAW_MAX && h->codec <= CODEC_ZSTD &&
           h->count <= h->raw && h->keys <= BLOCK_RAW_MAX &&
           (h->codec == CODEC_ZSTD || h->raw == h->stored);
}

/* Decodes the entries into the room behind them; false if they are not what
 * block_add makes. */
static bool get_entries(block *b, uint8_t *keys, size_t keys_size)
{
    cursor c = cursor_of(b->raw);
    const uint8_t *last = NULL;
    size_t last_size = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t shared = cursor_varint(&c), rest = cursor_varint(&c);
        uint64_t value_size = cursor_varint(&c);
        slice tail = cursor_bytes(&c, rest);
        slice value = cursor_bytes(&c, value_size);
        if (c.failed || shared > last_size || shared + rest > keys_size)
            return false;
        block_entry *e = &b->entries[i];
        e->key = tail.data;
        if (shared > 0) {
            memcpy(keys, last, (size_t)shared);
            if (rest > 0)
                memcpy(keys + shared, tail.data, (size_t)rest);
            e->key = keys;
            keys += shared + rest;
            keys_size -= (size_t)(shared + rest);
        }
        e->key_size = (uint32_t)(shared + rest);
        e->value = value.data;
        e->value_size = (uint32_t)value.size;
        last = e->key;
        last_size = e->key_size;
    }
    return cursor_done(&c);
}

/* Makes the bytes those that were packed; they may move. */
static persist_status unpack(uint8_t **bytes, const block_header *h, slice *raw)
{
    uint8_t *stored = *bytes + BLOCK_HEADER_SIZE;
    *raw = slice_of(stored, h->raw);
    if (h->codec == CODEC_RAW)
        return PERSIST_OK;
    uint8_t *unpacked = mem_alloc(h->raw);
    if (unpacked == NULL)
        return PERSIST_LIMIT;
    size_t size = ZSTD_decompress(unpacked, h->raw, stored, h->stored);
    mem_free(*bytes);
    *bytes = unpacked;
    *raw = slice_of(unpacked, h->raw);
    return !ZSTD_isError(size) && size == h->raw ? PERSIST_OK : PERSIST_CORRUPT;
}

static persist_status decode(uint8_t **bytes, const block_header *h,
                             bool with_entries, block **out)
{
    slice raw;
    persist_status status = unpack(bytes, h, &raw);
    if (status != PERSIST_OK)
        return status;
    size_t entries = h->count * sizeof(block_entry);
    block *b = mem_alloc(sizeof *b + entries + h->keys);
    if (b == NULL)
        return PERSIST_LIMIT;
    *b = (block){.bytes = *bytes, .raw = raw, .count = h->count};
    b->memory = sizeof *b + entries + h->keys + h->raw;
    atomic_init(&b->references, 1);
    b->entries = (block_entry *)(b + 1);
    if (with_entries &&
        !get_entries(b, (uint8_t *)(b->entries + h->count), h->keys)) {
        mem_free(b);
        return PERSIST_CORRUPT;
    }
    *out = b;
    return PERSIST_OK;
}

persist_status block_decode(uint8_t *packed, size_t size, uint8_t kind,
                            uint64_t seed, bool with_entries, block **out)
{
    block_header h;
    persist_status status = PERSIST_CORRUPT;
    if (get_header(slice_of(packed, size), kind, seed, &h) &&
        with_entries == (h.count > 0))
        status = decode(&packed, &h, with_entries, out);
    if (status != PERSIST_OK)
        mem_free(packed);
    return status;
}

void block_unref(block *b)
{
    if (b == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    mem_free(b->bytes);
    mem_free(b);
}

/* As slice_compare; most keys are too short for a call to pay. */
static int compare_keys(slice a, slice b)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t n = a.size < b.size ? a.size : b.size, at = 0;
    for (; at + 8 <= n; at += 8) {
        uint64_t p = big_u64(x + at), q = big_u64(y + at);
        if (p != q)
            return p < q ? -1 : 1;
    }
    for (; at < n; at++)
        if (x[at] != y[at])
            return x[at] < y[at] ? -1 : 1;
    return a.size < b.size ? -1 : a.size > b.size;
}

uint32_t block_search(const block *b, slice key, bool beyond)
{
    uint32_t low = 0, high = b->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_keys(block_key(b, middle), key);
        if (order < 0 || (beyond && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
