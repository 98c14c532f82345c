/* SPDX-License-Identifier: MIT */
/* The section of commit times. */
#include "engine/table/times.h"

#include "base/cursor.h"

/* ---- an entry ---------------------------------------------------------- */

static unsigned width_of(uint64_t number)
{
    return number == 0 ? 0 : 64 - (unsigned)__builtin_clzll(number);
}

static uint64_t bytes_of(uint64_t span, unsigned width)
{
    return ((span - 1) * width + 7) / 8;
}

/* The bits behind the last difference. */
static bool ends_in_zeros(const times_entry *e)
{
    uint64_t used = (e->span - 1) * e->width;
    return used % 8 == 0 || e->bits[used / 8] >> used % 8 == 0;
}

static bool get_entry(uint64_t first, slice value, times_entry *out)
{
    cursor c = cursor_of(value);
    out->first = first;
    out->base = cursor_varint(&c);
    out->span = cursor_varint(&c);
    out->width = 0;
    out->bits = NULL;
    if (c.failed || out->first == 0 || out->first > PERSIST_SEQ_MAX ||
        out->span == 0 || out->span > PERSIST_SEQ_MAX - out->first + 1 ||
        out->base > PERSIST_SEQ_MAX)
        return false;
    if (cursor_left(&c) == 0)
        return true;
    out->width = cursor_u8(&c);
    out->bits = c.at;
    return out->width > 0 && out->width <= TIMES_WIDTH_MAX && out->span > 1 &&
           out->span - 1 <= TIMES_BITS / out->width &&
           cursor_left(&c) == bytes_of(out->span, out->width) &&
           ends_in_zeros(out);
}

bool times_entry_get(slice key, slice value, times_entry *out)
{
    return key.size == ENTRY_ORDER_KEY_SIZE &&
           get_entry(big_u64(key.data), value, out);
}

/* The difference at an offset. */
static uint64_t difference(const times_entry *e, uint64_t offset)
{
    CHECK(offset > 0 && offset < e->span && e->width > 0);
    uint64_t bit = (offset - 1) * e->width, bits = 0;
    uint64_t first = bit / 8, last = (bit + e->width - 1) / 8;
    for (uint64_t at = last + 1; at-- > first;)
        bits = bits << 8 | e->bits[at];
    return bits >> bit % 8 & (((uint64_t)1 << e->width) - 1);
}

/* ---- writing ----------------------------------------------------------- */

static void put_bits(times_writer *w)
{
    uint64_t waiting = 0;
    unsigned count = 0;
    buf_put_byte(&w->value, (uint8_t)w->width);
    for (uint64_t i = 1; i < w->span; i++) {
        waiting |= w->later[i] << count;
        for (count += w->width; count >= 8; count -= 8) {
            buf_put_byte(&w->value, (uint8_t)waiting);
            waiting >>= 8;
        }
    }
    if (count > 0)
        buf_put_byte(&w->value, (uint8_t)waiting);
}

static void put_entry(times_writer *w, table_writer *out)
{
    uint8_t place[ENTRY_ORDER_KEY_SIZE];
    CHECK(w->span > 0 && w->width <= TIMES_WIDTH_MAX);
    buf_clear(&w->value);
    buf_put_varint(&w->value, w->base);
    buf_put_varint(&w->value, w->span);
    if (w->width > 0)
        put_bits(w);
    entry_order_key(w->first, place);
    table_add_buf(out, TABLE_TIMES, slice_of(place, sizeof place), &w->value);
}

/* Tells whether one more event fits, and makes room for it. */
static bool extend(times_writer *w, uint64_t position, uint64_t by)
{
    uint64_t span = position - w->first + 1;
    unsigned width = width_of(by);
    if (width < w->width)
        width = w->width;
    if (width > TIMES_WIDTH_MAX ||
        (width > 0 && span - 1 > TIMES_BITS / width) ||
        (width - w->width) * (w->span - 1) > TIMES_ENTRY_BITS)
        return false;
    /* At positions of events that are gone stands 0. */
    uint64_t from = w->width == 0 ? 1 : w->span;
    for (uint64_t i = from; width > 0 && i < span; i++)
        w->later[i] = 0;
    if (width > 0)
        w->later[span - 1] = by;
    w->width = width;
    w->span = span;
    return true;
}

void times_add(times_writer *w, table_writer *out, uint64_t position,
               uint64_t time)
{
    CHECK(w->span == 0 || position >= w->first + w->span);
    CHECK(w->span == 0 || time >= w->last);
    if (w->span == 0 || !extend(w, position, time - w->last)) {
        if (w->span > 0)
            put_entry(w, out);
        w->first = position;
        w->span = 1;
        w->base = time;
        w->width = 0;
    }
    w->last = time;
}

void times_end(times_writer *w, table_writer *out)
{
    if (w->span > 0)
        put_entry(w, out);
    w->span = 0;
    buf_release(&w->value);
}

/* ---- reading ----------------------------------------------------------- */

void times_open(times_reader *r, table *t, bool passing)
{
    table_iter_init(&r->iter, t, TABLE_TIMES, passing);
    r->entry = (times_entry){0};
}

void times_close(times_reader *r)
{
    table_iter_release(&r->iter);
    r->entry.span = 0;
}

static bool is_in(const times_entry *e, uint64_t position)
{
    return position >= e->first && position - e->first < e->span;
}

/* Goes to the entry of a position in the block at hand, if another one there
 * is behind that: a block tells of many commits, so that looks that follow each
 * other find theirs in few. */
static bool is_near(times_reader *r, uint64_t position)
{
    slice value;
    uint64_t first;
    if (!table_iter_valid(&r->iter))
        return false;
    const block_view *v = &table_leaf(&r->iter)->view;
    uint32_t behind = block_search_number(v, position);
    if (behind == 0 || behind == v->count ||
        !block_get_number(v, behind - 1, &first, &value) ||
        !get_entry(first, value, &r->entry))
        return false; /* whoever goes there will tell */
    table_iter_set(&r->iter, behind - 1);
    return true;
}

/* Goes to the entry of a position, or the last one before it. */
static persist_status seek(times_reader *r, uint64_t position,
                           persist_error *error)
{
    persist_status status = PERSIST_OK;
    CHECK_STATIC(ENTRY_ORDER_KEY_SIZE == sizeof position, "keys are numbers");
    if (!is_near(r, position)) {
        r->entry.span = 0;
        status = table_seek_number(&r->iter, position, error);
        if (status == PERSIST_OK &&
            !times_entry_get(table_key(&r->iter), table_value(&r->iter),
                             &r->entry)) {
            r->entry.span = 0;
            status = table_bad_entry(&r->iter, error);
        }
    }
    r->offset = 0;
    r->time = r->entry.base;
    return status;
}

static uint64_t walk_to(times_reader *r, uint64_t offset)
{
    const times_entry *e = &r->entry;
    if (e->width == 0)
        return e->base;
    if (offset < r->offset) {
        r->offset = 0;
        r->time = e->base;
    }
    while (r->offset < offset)
        r->time += difference(e, ++r->offset);
    return r->time;
}

persist_status times_at(times_reader *r, uint64_t position, uint64_t *time,
                        persist_error *error)
{
    const table *t = r->iter.table;
    *time = 0;
    if (t->footer.version == FORMAT_OLDEST)
        return PERSIST_OK;
    if (!is_in(&r->entry, position)) {
        persist_status status = seek(r, position, error);
        if (status > PERSIST_NONE)
            return status;
        if (status == PERSIST_NONE || !is_in(&r->entry, position))
            return table_corrupt(t, t->footer.roots[TABLE_TIMES].offset,
                                 "the time of an event is missing", error);
    }
    *time = walk_to(r, position - r->entry.first);
    return PERSIST_OK;
}

/* The first position of the entry in hand with such a time; else the one behind
 * its last. (At one whose event is gone stands the time before.) */
static uint64_t find_in(times_reader *r, uint64_t time)
{
    const times_entry *e = &r->entry;
    uint64_t at = e->base >= time ? 0 : e->width == 0 ? e->span : 1;
    while (at > 0 && at < e->span && walk_to(r, at) < time)
        at++;
    return e->first + at;
}

/* The last position from which no entry with such a time, or a later one,
 * begins at or before it. */
static persist_status find_last_below(times_reader *r, uint64_t time,
                                      uint64_t *out, persist_error *error)
{
    uint64_t low = 0, high = PERSIST_SEQ_MAX + 1;
    CHECK(r->iter.section == TABLE_TIMES);
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        persist_status status = seek(r, middle, error);
        if (status > PERSIST_NONE)
            return status;
        if (status == PERSIST_OK && r->entry.base >= time)
            high = middle;
        else
            low = middle;
    }
    *out = low;
    return PERSIST_OK;
}

persist_status times_find(times_reader *r, uint64_t time, uint64_t *position,
                          persist_error *error)
{
    uint64_t below = 0;
    if (r->iter.table->footer.version == FORMAT_OLDEST) {
        *position = 1;
        return time == 0 ? PERSIST_OK : PERSIST_NONE;
    }
    persist_status status = find_last_below(r, time, &below, error);
    if (status == PERSIST_OK)
        status = seek(r, below, error);
    if (status == PERSIST_OK) {
        *position = find_in(r, time);
        if (is_in(&r->entry, *position))
            return PERSIST_OK;
        status = table_next(&r->iter, error);
    } else if (status == PERSIST_NONE) {
        status = table_seek(&r->iter, slice_of(NULL, 0), error);
    }
    r->entry.span = 0;
    if (status == PERSIST_OK)
        *position = big_u64(table_key(&r->iter).data);
    return status;
}
