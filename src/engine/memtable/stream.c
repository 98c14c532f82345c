/* SPDX-License-Identifier: MIT */
/* One stream in memory.
 *
 * chunk:  | event | event | ... free ... | offset of 1 | offset of 0 |
 */
#include "engine/memtable/stream.h"

#include "base/mem.h"
#include "engine/files/files.h"

enum { EVENT_ALIGN = 8, OFFSET_SIZE = 4, CACHE_LINE = 64, FETCHED_MAX = 1024 };

/* ---- history ---------------------------------------------------------- */

const stream_floor *history_at(const history *h, persist_lsn lsn)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->items[middle].lsn <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &h->items[low - 1].value;
}

bool history_push(history *h, persist_lsn lsn, stream_floor value)
{
    CHECK(h->count == 0 || h->items[h->count - 1].lsn <= lsn);
    if (!mem_grow(&h->items, h->count, 1, &h->capacity, sizeof *h->items))
        return false;
    h->items[h->count++] = (struct history_item){lsn, value};
    return true;
}

void history_pop(history *h)
{
    CHECK(h->count > 0);
    h->count--;
}

/* ---- making ----------------------------------------------------------- */

stream *stream_new(arena *a, slice name, const stream_state *base)
{
    CHECK(name.size <= PERSIST_NAME_SIZE_MAX);
    stream *s = arena_alloc(a, sizeof *s + name.size);
    if (s == NULL)
        return NULL;
    *s = (stream){0};
    uint8_t *copy = (uint8_t *)(s + 1);
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    s->name = slice_of(copy, name.size);
    s->created = STREAM_NOT_CREATED;
    if (base == NULL)
        return s;
    s->based = true;
    s->base = *base;
    s->created = 0;
    s->count = base->count;
    s->bytes = base->bytes;
    s->mark = base->mark;
    return s;
}

void stream_release(stream *s)
{
    CHECK(s->chunk_count <= s->chunk_capacity);
    mem_free(s->chunks);
    mem_free(s->marks.items);
    mem_free(s->truncations.items);
}

/* ---- appending -------------------------------------------------------- */

static chunk *last_chunk(const stream *s)
{
    return s->chunk_count == 0 ? NULL : s->chunks[s->chunk_count - 1];
}

static bool make_slot(stream *s)
{
    return mem_grow(&s->chunks, s->chunk_count, 1, &s->chunk_capacity,
                    sizeof *s->chunks);
}

static chunk *add_chunk(stream *s, arena *a, size_t need)
{
    const chunk *last = last_chunk(s);
    size_t capacity = last == NULL ? need : (size_t)last->capacity * 2;
    if (last != NULL && capacity < CHUNK_SIZE_FIRST)
        capacity = CHUNK_SIZE_FIRST;
    if (capacity > CHUNK_SIZE_MAX)
        capacity = CHUNK_SIZE_MAX;
    if (capacity < need)
        capacity = need;
    if (!make_slot(s))
        return NULL;
    chunk *c = arena_alloc(a, sizeof *c + capacity);
    if (c == NULL)
        return NULL;
    *c = (chunk){.first = s->count, .capacity = (uint32_t)capacity};
    s->chunks[s->chunk_count++] = c;
    return c;
}

static size_t space_for(size_t data_size, size_t tagged)
{
    size_t size = sizeof(event) + data_size + tagged;
    return (size + EVENT_ALIGN - 1) / EVENT_ALIGN * EVENT_ALIGN;
}

static size_t space_left(const chunk *c)
{
    CHECK(c->used + (size_t)c->count * OFFSET_SIZE <= c->capacity);
    return c->capacity - c->used - (size_t)c->count * OFFSET_SIZE;
}

/* The next event of a stream will be behind this one, and most are of a size:
 * until it comes other streams have theirs, and that memory is not at hand. */
static void fetch_next(const chunk *c, size_t size)
{
    const uint8_t *next = c->bytes + c->used;
    size_t left = space_left(c);
    if (size > FETCHED_MAX)
        size = FETCHED_MAX;
    for (size_t at = 0; at < size && at < left; at += CACHE_LINE)
        __builtin_prefetch(next + at, 1);
}

const event *stream_append(stream *s, arena *a, const persist_edit *edit,
                           uint64_t seq, uint64_t position, persist_lsn lsn)
{
    slice data = edit->data;
    CHECK(seq > s->mark && data.size <= PERSIST_VALUE_SIZE_MAX);
    size_t tagged = tagged_size(edit), space = space_for(data.size, tagged);
    chunk *c = last_chunk(s);
    if (c == NULL || space_left(c) < space + OFFSET_SIZE)
        c = add_chunk(s, a, space + EVENT_ALIGN);
    if (c == NULL)
        return NULL;
    event *e = (event *)(void *)(c->bytes + c->used);
    *e = (event){
        seq, position, lsn, s->bytes, (uint32_t)data.size, (uint32_t)tagged};
    if (data.size > 0)
        memcpy(e->data, data.data, data.size);
    if (tagged > 0)
        tagged_write(edit, e->data + data.size);
    uint32_t at = c->used;
    c->count++;
    memcpy(c->bytes + c->capacity - (size_t)c->count * OFFSET_SIZE, &at,
           OFFSET_SIZE);
    c->used += (uint32_t)space;
    fetch_next(c, space);
    s->count++;
    s->bytes += data.size;
    s->mark = seq;
    return e;
}

void stream_pop(stream *s)
{
    chunk *c = last_chunk(s);
    CHECK(c != NULL && c->count > 0);
    const event *e = chunk_event(c, c->count - 1);
    s->count--;
    s->bytes -= e->size;
    c->used -= (uint32_t)space_for(e->size, e->tagged_size);
    c->count--;
    if (c->count == 0)
        s->chunk_count--;
    s->mark = stream_mark_at(s, UINT64_MAX);
}

/* ---- looking ---------------------------------------------------------- */

typedef uint64_t (*event_key)(const event *);

static uint64_t key_seq(const event *e)
{
    return e->seq;
}

static uint64_t key_lsn(const event *e)
{
    return e->lsn;
}

/* The index of the first event in memory whose key, which never falls, is
 * `bound` or more; s->count if there is none. */
static uint64_t lower_bound(const stream *s, event_key key, uint64_t bound)
{
    size_t low = 0, high = s->chunk_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const chunk *c = s->chunks[middle];
        if (key(chunk_event(c, c->count - 1)) < bound)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == s->chunk_count)
        return s->count;
    const chunk *c = s->chunks[low];
    uint32_t from = 0, to = c->count - 1;
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (key(chunk_event(c, middle)) < bound)
            from = middle + 1;
        else
            to = middle;
    }
    return c->first + from;
}

uint64_t stream_index_of_seq(const stream *s, uint64_t seq)
{
    return lower_bound(s, key_seq, seq);
}

uint64_t stream_index_after_lsn(const stream *s, persist_lsn lsn)
{
    const chunk *c = last_chunk(s);
    if (c == NULL || chunk_event(c, c->count - 1)->lsn <= lsn)
        return s->count;
    return lower_bound(s, key_lsn, lsn + 1);
}

const event *stream_event(const stream *s, uint64_t index)
{
    const chunk *c = stream_chunk(s, index);
    return chunk_event(c, (uint32_t)(index - c->first));
}

uint64_t stream_mark_at(const stream *s, persist_lsn lsn)
{
    const stream_floor *set = history_at(&s->marks, lsn);
    uint64_t mark = set == NULL ? 0 : set->through;
    uint64_t end = stream_index_after_lsn(s, lsn);
    uint64_t newest =
        end > s->base.count ? stream_event(s, end - 1)->seq : s->base.mark;
    return newest > mark ? newest : mark;
}

const stream_floor *stream_floor_at(const stream *s, persist_lsn lsn)
{
    const stream_floor *f = history_at(&s->truncations, lsn);
    return f == NULL ? &s->base.floor : f;
}

stream_floor stream_floor_of(const stream *s, uint64_t through)
{
    CHECK(through >= s->base.mark);
    uint64_t index = stream_index_of_seq(s, through + 1);
    stream_floor f = {through, index, s->bytes, 0};
    if (index < s->count) {
        const event *e = stream_event(s, index);
        f.bytes = e->bytes_before;
        f.first = e->seq;
    }
    return f;
}

void stream_state_at(const stream *s, persist_lsn lsn, stream_state *out)
{
    uint64_t end = stream_index_after_lsn(s, lsn);
    out->mark = stream_mark_at(s, lsn);
    out->floor = *stream_floor_at(s, lsn);
    out->count = end;
    out->bytes =
        end == s->count ? s->bytes : stream_event(s, end)->bytes_before;
    if (out->floor.first == 0 && end > out->floor.index)
        out->floor.first = stream_event(s, out->floor.index)->seq;
}

void stream_range_at(const stream *s, persist_lsn lsn, uint64_t *begin,
                     uint64_t *end)
{
    *end = stream_index_after_lsn(s, lsn);
    *begin = stream_index_of_seq(s, stream_floor_at(s, lsn)->through + 1);
    CHECK(*begin <= s->count && *end <= s->count);
    if (*begin > *end)
        *begin = *end;
}

const chunk *stream_chunk(const stream *s, uint64_t index)
{
    CHECK(s->chunk_count > 0 && index < s->count);
    size_t low = 0, high = s->chunk_count - 1;
    CHECK(s->chunks[low]->first <= index);
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (s->chunks[middle]->first <= index)
            low = middle;
        else
            high = middle - 1;
    }
    return s->chunks[low];
}
