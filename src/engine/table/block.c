/* SPDX-License-Identifier: MIT */
/* Packing blocks, and finding entries in them.
 *
 * packed:  | checksum 8 | stored size 4 | raw size 4 | entries 4 |
 *          | prefix size 4 | kind 1 | codec 1 | 0 2 | 0 4 | stored bytes ... |
 * raw:     | prefix | heads 4 each | ends 2 or 4 each | entries ... |
 * entry:   | rest of key: size, varint | tail of key | value |
 *
 * A key is prefix, head and tail. The heads stand side by side, so that a
 * search reads one or two cache lines of them and then one entry. */
#include "engine/table/block.h"

#include <zstd.h>
#include <zstd_errors.h>

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
    CACHE_LINE = 64,
    ENTRY_FETCHED = 5 * CACHE_LINE,
    NARROW_MAX = UINT16_MAX, /* raw bytes of a block with ends of two bytes */
};

uint64_t block_seed(uint64_t identity, uint64_t table, uint64_t offset)
{
    const uint64_t place[3] = {identity, table, offset};
    return hash_xxh3(slice_of(place, sizeof place));
}

/* ---- gathering -------------------------------------------------------- */

void block_writer_release(block_writer *w)
{
    buf_release(&w->entries);
    buf_release(&w->ends);
    buf_release(&w->raw);
    *w = (block_writer){0};
}

static block_ends ends_at(const block_writer *w, uint32_t index)
{
    block_ends ends;
    CHECK(index < w->count);
    memcpy(&ends, w->ends.data + index * sizeof ends, sizeof ends);
    return ends;
}

/* Never a null pointer, which has no offsets. */
static const uint8_t *bytes_of(const block_writer *w)
{
    return w->entries.size == 0 ? (const uint8_t *)"" : w->entries.data;
}

static slice key_at(const block_writer *w, uint32_t index)
{
    uint32_t from = index == 0 ? 0 : ends_at(w, index - 1).value;
    uint32_t to = ends_at(w, index).key;
    CHECK(from <= to && to <= w->entries.size);
    return slice_of(bytes_of(w) + from, to - from);
}

bool block_failed(const block_writer *w)
{
    return w->entries.failed || w->ends.failed;
}

size_t block_size(const block_writer *w)
{
    return w->entries.size + w->count * (size_t)3;
}

void block_add(block_writer *w, slice key, slice value)
{
    if (block_failed(w))
        return;
    CHECK(w->count == 0 || slice_compare(key_at(w, w->count - 1), key) < 0);
    CHECK(block_size(w) + key.size + value.size <= BLOCK_RAW_MAX);
    block_ends ends = {(uint32_t)(w->entries.size + key.size), 0};
    buf_put_slice(&w->entries, key);
    buf_put_slice(&w->entries, value);
    ends.value = (uint32_t)w->entries.size;
    buf_put(&w->ends, &ends, sizeof ends);
    w->count++;
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

static uint32_t varint_size(uint64_t value)
{
    uint32_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

/* Sizes of the parts, of which the ends' depends on the sum. */
typedef struct shape {
    uint32_t count, prefix, end_size;
    size_t entries; /* bytes of them */
} shape;

static size_t raw_size(const shape *l)
{
    return (size_t)l->count * (BLOCK_HEAD_SIZE + l->end_size) + l->prefix +
           l->entries;
}

static shape plan(const block_writer *w)
{
    shape l = {.count = w->count, .end_size = 2};
    l.prefix = (uint32_t)shared_prefix(key_at(w, 0), key_at(w, w->count - 1));
    l.entries = w->entries.size;
    for (uint32_t i = 0; i < w->count; i++) {
        size_t size = key_at(w, i).size, rest = size - l.prefix;
        size_t head = rest < BLOCK_HEAD_SIZE ? rest : BLOCK_HEAD_SIZE;
        l.entries = l.entries + varint_size(rest) - l.prefix - head;
    }
    if (raw_size(&l) > NARROW_MAX)
        l.end_size = 4;
    return l;
}

static void store_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* Appends the parts to a buffer that has room for them: there are many small
 * ones, and nothing else is asked about each. */
static void put_raw(const block_writer *w, const shape *l, buf *out)
{
    CHECK(!out->failed && out->capacity - out->size >= raw_size(l));
    uint8_t *heads = out->data + out->size + l->prefix;
    uint8_t *ends = heads + (size_t)l->count * BLOCK_HEAD_SIZE;
    uint8_t *entries = ends + (size_t)l->count * l->end_size, *at = entries;
    const uint8_t *bytes = bytes_of(w), *from = bytes;
    memcpy(heads - l->prefix, from, l->prefix);
    for (uint32_t i = 0; i < l->count; i++) {
        block_ends place = ends_at(w, i);
        const uint8_t *end = bytes + place.value;
        uint8_t *head = heads + (size_t)i * BLOCK_HEAD_SIZE;
        from += l->prefix;
        size_t rest = (size_t)(bytes + place.key - from);
        if (rest >= BLOCK_HEAD_SIZE) {
            memcpy(head, from, BLOCK_HEAD_SIZE);
            from += BLOCK_HEAD_SIZE;
        } else {
            memset(head, 0, BLOCK_HEAD_SIZE);
            memcpy(head, from, rest);
            from += rest;
        }
        at = put_varint(at, rest);
        memcpy(at, from, (size_t)(end - from));
        at += end - from;
        from = end;
        store_number(ends + (size_t)i * l->end_size, (size_t)(at - entries),
                     l->end_size);
    }
    CHECK((size_t)(at - entries) == l->entries);
    out->size = (size_t)(at - out->data);
}

void block_packer_release(block_packer *p)
{
    ZSTD_freeCCtx(p->context);
    p->context = NULL;
}

/* Appends compressed bytes behind the header's place; false: it does not pay
 * or cannot be done. */
static bool put_compressed(block_packer *p, buf *out, slice raw)
{
    size_t most = ZSTD_compressBound(raw.size);
    if (p->context == NULL)
        p->context = ZSTD_createCCtx();
    if (p->context == NULL || !buf_reserve(out, most))
        return false;
    size_t size = ZSTD_compressCCtx(p->context, out->data + out->size, most,
                                    raw.data, raw.size, ZSTD_LEVEL);
    if (ZSTD_isError(size) || size > raw.size - raw.size / PAYS)
        return false;
    out->size += size;
    return true;
}

static void put_header(buf *b, const block_header *h)
{
    buf_put_u32(b, h->stored);
    buf_put_u32(b, h->raw);
    buf_put_u32(b, h->count);
    buf_put_u32(b, h->prefix);
    buf_put_byte(b, h->kind);
    buf_put_byte(b, h->compressed ? CODEC_ZSTD : CODEC_RAW);
    buf_put_u16(b, 0);
    buf_put_u32(b, 0);
}

/* Puts the header before what was stored from `start` on. */
static bool seal(block_header *h, size_t start, uint64_t seed, buf *out)
{
    if (out->failed)
        return false;
    size_t end = out->size;
    CHECK(end - start >= BLOCK_HEADER_SIZE);
    h->stored = (uint32_t)(end - start - BLOCK_HEADER_SIZE);
    out->size = start + CHECKSUM_SIZE;
    put_header(out, h);
    out->size = end;
    slice summed = slice_of(out->data + start + CHECKSUM_SIZE,
                            end - start - CHECKSUM_SIZE);
    store_number(out->data + start, hash_xxh3_seed(summed, seed),
                 CHECKSUM_SIZE);
    return true;
}

static bool put_block(block_writer *w, uint8_t kind, block_packer *packer,
                      uint64_t seed, buf *out)
{
    shape l = plan(w);
    size_t start = out->size, size = raw_size(&l);
    CHECK(size <= BLOCK_RAW_MAX);
    block_header h = {.raw = (uint32_t)size, .count = l.count};
    h.prefix = l.prefix;
    h.kind = kind;
    buf_clear(&w->raw);
    if (!buf_reserve(out, BLOCK_HEADER_SIZE + size) ||
        (packer != NULL && !buf_reserve(&w->raw, size)))
        return false;
    out->size += BLOCK_HEADER_SIZE;
    if (packer != NULL) {
        put_raw(w, &l, &w->raw);
        h.compressed = put_compressed(packer, out, buf_slice(&w->raw));
        if (!h.compressed)
            buf_put_slice(out, buf_slice(&w->raw));
    } else {
        put_raw(w, &l, out);
    }
    return seal(&h, start, seed, out);
}

bool block_seal(block_writer *w, uint8_t kind, block_packer *packer,
                uint64_t seed, buf *out)
{
    bool done = !block_failed(w);
    CHECK(!done || w->count > 0);
    if (done)
        done = put_block(w, kind, packer, seed, out);
    buf_clear(&w->entries);
    buf_clear(&w->ends);
    w->count = 0;
    return done;
}

bool block_seal_bytes(slice bytes, uint8_t kind, uint64_t seed, buf *out)
{
    size_t start = out->size;
    block_header h = {.raw = (uint32_t)bytes.size, .kind = kind};
    CHECK(bytes.size <= BLOCK_RAW_MAX);
    if (!buf_reserve(out, BLOCK_HEADER_SIZE + bytes.size))
        return false;
    out->size += BLOCK_HEADER_SIZE;
    buf_put_slice(out, bytes);
    return seal(&h, start, seed, out);
}

/* ---- unpacking -------------------------------------------------------- */

bool block_verify(slice packed, uint64_t seed)
{
    cursor c = cursor_of(packed);
    uint64_t sum = cursor_u64(&c);
    slice summed = slice_of(c.at, cursor_left(&c));
    return !c.failed && hash_xxh3_seed(summed, seed) == sum;
}

static uint32_t little_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

bool block_get_header(slice packed, uint8_t kind, block_header *h)
{
    const uint8_t *at = packed.data;
    if (packed.size < BLOCK_HEADER_SIZE)
        return false;
    h->stored = little_u32(at + 8);
    h->raw = little_u32(at + 12);
    h->count = little_u32(at + 16);
    h->prefix = little_u32(at + 20);
    h->kind = at[24];
    h->compressed = at[25] == CODEC_ZSTD;
    return h->kind == kind && at[25] <= CODEC_ZSTD &&
           h->stored == packed.size - BLOCK_HEADER_SIZE &&
           h->raw <= BLOCK_RAW_MAX && (h->compressed || h->raw == h->stored);
}

bool block_lay_out(const block_header *h, const uint8_t *raw, block_view *out)
{
    bool wide = h->raw > NARROW_MAX;
    uint64_t heads = (uint64_t)h->count * BLOCK_HEAD_SIZE;
    uint64_t ends = (uint64_t)h->count * (wide ? 4 : 2);
    if (heads + ends + h->prefix > h->raw)
        return false;
    out->prefix = raw;
    out->heads = raw + h->prefix;
    out->ends = out->heads + heads;
    out->entries = out->ends + ends;
    out->count = h->count;
    out->prefix_size = h->prefix;
    out->size = (uint32_t)(h->raw - heads - ends - h->prefix);
    out->wide = wide;
    return true;
}

bool block_get_long(const block_view *v, uint32_t from, uint32_t end,
                    block_entry *out)
{
    CHECK(from < end && end <= v->size);
    cursor c = cursor_of(slice_of(v->entries + from, end - from));
    uint64_t rest = cursor_varint(&c);
    if (rest <= BLOCK_HEAD_SIZE || rest > BLOCK_RAW_MAX)
        return false;
    out->rest = (uint32_t)rest;
    out->tail = cursor_bytes(&c, rest - BLOCK_HEAD_SIZE);
    out->value = slice_of(c.at, cursor_left(&c));
    return !c.failed;
}

/* ---- searching -------------------------------------------------------- */

static uint32_t head_at(const block_view *v, uint32_t index)
{
    return big_u32(v->heads + (size_t)index * BLOCK_HEAD_SIZE);
}

/* Returns the first head that is not less. Three heads are compared at a time,
 * since none waits for another, and the way through the loops does not depend
 * on them, so that none of it is guessed. */
static uint32_t search_heads(const block_view *v, uint32_t head)
{
    CHECK(v->count > 0);
    uint32_t low = 0, left = v->count;
    for (uint32_t part = left / 4; part > 0; part = left / 4) {
        uint32_t at = low + part - 1;
        uint32_t less = (head_at(v, at) < head) +
                        (head_at(v, at + part) < head) +
                        (head_at(v, at + 2 * part) < head);
        low += less * part;
        left -= 3 * part;
    }
    uint32_t found = low;
    for (uint32_t at = low; at < low + left; at++)
        found += head_at(v, at) < head;
    CHECK(found <= v->count);
    return found;
}

/* Compares the rest of an entry's key with one of the same head; an entry
 * that is damaged compares as anything. */
static int compare_rest(const block_view *v, uint32_t index, slice rest)
{
    block_entry e;
    if (!block_get(v, index, &e))
        return 0;
    if (e.rest > BLOCK_HEAD_SIZE && rest.size > BLOCK_HEAD_SIZE) {
        const uint8_t *tail = (const uint8_t *)rest.data + BLOCK_HEAD_SIZE;
        return slice_compare(e.tail,
                             slice_of(tail, rest.size - BLOCK_HEAD_SIZE));
    }
    return e.rest < rest.size ? -1 : e.rest > rest.size;
}

/* The entries from low on that have this head are searched by all of their
 * keys. */
static uint32_t search_rests(const block_view *v, uint32_t low, uint32_t head,
                             slice rest, bool beyond)
{
    uint32_t high = low + 1;
    if (high < v->count && head_at(v, high) == head)
        high = head == UINT32_MAX ? v->count : search_heads(v, head + 1);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_rest(v, middle, rest);
        if (order < 0 || (beyond && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first bytes of what a key has behind the prefix. */
static uint32_t head_of(slice rest)
{
    uint8_t padded[BLOCK_HEAD_SIZE] = {0};
    if (rest.size >= BLOCK_HEAD_SIZE)
        return big_u32(rest.data);
    if (rest.size > 0)
        memcpy(padded, rest.data, rest.size);
    return big_u32(padded);
}

static slice rest_of(const block_view *v, slice key)
{
    CHECK(key.size >= v->prefix_size);
    if (key.size == 0)
        key.data = "";
    return slice_of((const uint8_t *)key.data + v->prefix_size,
                    key.size - v->prefix_size);
}

uint32_t block_search(const block_view *v, slice key, bool beyond)
{
    slice prefix = slice_of(v->prefix, v->prefix_size);
    if (!slice_starts_with(key, prefix))
        return slice_compare(prefix, key) < 0 ? v->count : 0;
    slice rest = rest_of(v, key);
    uint32_t head = head_of(rest), low = search_heads(v, head);
    return low < v->count && head_at(v, low) == head
               ? search_rests(v, low, head, rest, beyond)
               : low;
}

/* Where heads have all of a key that is behind the prefix, no entry is read. */
uint32_t block_search_number(const block_view *v, uint64_t number)
{
    uint8_t key[sizeof number];
    size_t size = v->prefix_size;
    put_big_u64(key, number);
    if (size < sizeof key - BLOCK_HEAD_SIZE || size >= sizeof key ||
        !bytes_alike(v->prefix, key, size))
        return block_search(v, slice_of(key, sizeof key), true);
    uint32_t head = (uint32_t)(number << 8 * size >> 32);
    return head == UINT32_MAX ? v->count : search_heads(v, head + 1);
}

bool block_get_number(const block_view *v, uint32_t index, uint64_t *number,
                      slice *value)
{
    uint8_t key[sizeof *number + BLOCK_HEAD_SIZE];
    block_entry e;
    if (!block_get(v, index, &e) || block_key_size(v, &e) != sizeof *number)
        return false;
    for (uint32_t i = 0; i < v->prefix_size; i++)
        key[i] = v->prefix[i];
    block_put_rest(&e, key + v->prefix_size);
    *number = big_u64(key);
    *value = e.value;
    return true;
}

void block_fetch(const block_view *v, slice key)
{
    if (!slice_starts_with(key, slice_of(v->prefix, v->prefix_size)))
        return;
    uint32_t index = search_heads(v, head_of(rest_of(v, key)));
    uint32_t from = index == 0 ? 0 : block_end(v, index - 1);
    for (uint32_t at = 0; from < v->size && at < ENTRY_FETCHED;
         at += CACHE_LINE)
        __builtin_prefetch(v->entries + from + at);
}

/* ---- in memory -------------------------------------------------------- */

block *block_new(size_t size)
{
    block *b = mem_alloc(sizeof *b + size);
    if (b == NULL)
        return NULL;
    *b = (block){.memory = sizeof *b + size};
    atomic_init(&b->references, 1);
    return b;
}

persist_status block_unpack(const block_header *h, const uint8_t *stored,
                            block **out)
{
    CHECK(h->compressed);
    block *b = block_new(h->raw);
    if (b == NULL)
        return PERSIST_LIMIT;
    size_t size = ZSTD_decompress(b->bytes, h->raw, stored, h->stored);
    persist_status status = PERSIST_OK;
    if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
        status = PERSIST_LIMIT;
    else if (size != h->raw || !block_lay_out(h, b->bytes, &b->view))
        status = PERSIST_CORRUPT;
    if (status == PERSIST_OK)
        *out = b;
    else
        block_unref(b);
    return status;
}

void block_unref(block *b)
{
    if (b == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        mem_free(b);
}
