/* SPDX-License-Identifier: MIT */
/* The entries of a table's sections, in bytes. Numbers in keys have their
 * highest byte first, so that keys sort as the numbers do. */
#include "engine/table/entry.h"

#include "base/cursor.h"

enum { CACHE_LINE = 64, RUN_AHEAD = 32 * CACHE_LINE };

/* ---- streams ---------------------------------------------------------- */

void entry_put_stream(buf *b, const stream_entry *e)
{
    stream_state_put(b, &e->state);
    buf_put_varint(b, e->ordinal);
    buf_put_varint(b, e->events);
    buf_put_varint(b, e->first);
    buf_put_varint(b, e->last);
}

bool entry_get_stream(slice value, stream_entry *out)
{
    cursor c = cursor_of(value);
    bool valid = stream_state_get(&c, &out->state);
    out->ordinal = cursor_varint(&c);
    out->events = cursor_varint(&c);
    out->first = cursor_varint(&c);
    out->last = cursor_varint(&c);
    return cursor_done(&c) && valid && out->first <= out->last &&
           out->last <= out->state.mark && out->events <= out->state.count &&
           (out->events == 0) == (out->last == 0);
}

/* ---- events ----------------------------------------------------------- */

/* A number that sorts: how many bytes it has, and they, the highest first. */
static uint8_t *put_sorted(uint8_t *out, uint64_t value)
{
    unsigned size = value == 0 ? 0 : 8 - (unsigned)__builtin_clzll(value) / 8;
    *out++ = (uint8_t)size;
    for (unsigned i = size; i-- > 0;)
        *out++ = (uint8_t)(value >> (8 * i));
    return out;
}

static inline bool get_sorted(cursor *c, uint64_t *value)
{
    const uint8_t *at = c->at;
    size_t left = cursor_left(c);
    *value = 0;
    if (left == 0 || *at > 8 || left - 1 < *at || (*at > 0 && at[1] == 0))
        return false;
    for (unsigned i = 1; i <= *at; i++)
        *value = *value << 8 | at[i];
    c->at = at + 1 + *at;
    return true;
}

slice entry_event_key(uint64_t ordinal, uint64_t seq,
                      uint8_t out[ENTRY_EVENT_KEY_MAX])
{
    const uint8_t *end = put_sorted(put_sorted(out, ordinal), seq);
    CHECK(end <= out + ENTRY_EVENT_KEY_MAX);
    return slice_of(out, (size_t)(end - out));
}

static inline bool split_event(slice key, uint64_t *ordinal, uint64_t *seq)
{
    cursor c = cursor_of(key);
    return get_sorted(&c, ordinal) && get_sorted(&c, seq) && cursor_done(&c);
}

bool entry_split_event(slice key, uint64_t *ordinal, uint64_t *seq)
{
    return split_event(key, ordinal, seq);
}

/* No event has the position 0: this stands in front of one with tags, whose
 * type and tags come before the data. */
enum { TAGGED = 1 };

void entry_put_event(buf *b, const event_entry *e)
{
    CHECK(e->position > 0 && e->position <= PERSIST_SEQ_MAX);
    if (e->tagged.size > 0)
        buf_put_varint(b, TAGGED);
    buf_put_varint(b, e->position << 1 | (e->anchored ? 1 : 0));
    if (e->anchored) {
        buf_put_varint(b, e->index);
        buf_put_varint(b, e->bytes_before);
    }
    buf_put_slice(b, e->tagged);
    buf_put_slice(b, e->data);
}

static inline bool get_value(slice value, event_entry *out)
{
    cursor c = cursor_of(value);
    uint64_t packed = cursor_varint(&c);
    bool with_tags = packed == TAGGED;
    if (with_tags)
        packed = cursor_varint(&c);
    out->position = packed >> 1;
    out->anchored = (packed & 1) != 0;
    out->index = out->anchored ? cursor_varint(&c) : 0;
    out->bytes_before = out->anchored ? cursor_varint(&c) : 0;
    out->tagged = slice_of(NULL, 0);
    if (with_tags && !tagged_get(&c, &out->tagged))
        return false;
    out->data = slice_of(c.at, cursor_left(&c));
    return !c.failed && out->position > 0;
}

static inline bool get_event(slice key, slice value, event_entry *out)
{
    return split_event(key, &out->ordinal, &out->seq) &&
           get_value(value, out) && out->seq > 0 && out->seq <= PERSIST_SEQ_MAX;
}

bool entry_get_event_value(slice value, event_entry *out)
{
    out->ordinal = out->seq = 0;
    return get_value(value, out);
}

bool entry_get_event(slice key, slice value, event_entry *out)
{
    return get_event(key, value, out);
}

/* What the keys of neighbours have in common: all of it but their last bytes,
 * which are the low ones of the seq and lie in the head. So most of a run's
 * keys need not be put together. */
typedef struct key_shape {
    uint32_t rest;   /* bytes behind the prefix; 0: nothing is known */
    uint32_t common; /* of these, before those of the seq */
    uint32_t mask;   /* of the seq's bits that are there */
    uint64_t high;   /* its others */
    uint64_t least;  /* that has as many bytes */
} key_shape;

static uint32_t rest_number(const block_entry *e)
{
    CHECK(e->rest > 0 && e->rest <= BLOCK_HEAD_SIZE);
    return big_u32(e->head) >> (32 - 8 * e->rest);
}

/* The shape of a key that was found to be well-formed. */
static key_shape shape_of(const block_entry *e, uint64_t seq)
{
    CHECK(seq > 0);
    if (e->rest == 0 || e->rest > BLOCK_HEAD_SIZE)
        return (key_shape){0};
    unsigned top = (63 - (unsigned)__builtin_clzll(seq)) / 8;
    unsigned there = e->rest < top + 1 ? e->rest : top + 1;
    uint32_t mask = UINT32_MAX >> (32 - 8 * there);
    return (key_shape){e->rest, rest_number(e) & ~mask, mask,
                       seq & ~(uint64_t)mask, (uint64_t)1 << (8 * top)};
}

/* Decodes an entry whose key has the shape, and which has neither an anchor nor
 * tags; false if it is another one. */
static inline bool get_alike(const key_shape *s, const block_entry *entry,
                             event_entry *out)
{
    if (entry->rest != s->rest || s->rest == 0)
        return false;
    uint32_t number = rest_number(entry);
    out->seq = s->high | (number & s->mask);
    if ((number & ~s->mask) != s->common || out->seq < s->least)
        return false;
    cursor c = cursor_of(entry->value);
    uint64_t packed = cursor_varint(&c);
    out->position = packed >> 1;
    out->tagged.data = NULL;
    out->data = slice_of(c.at, cursor_left(&c));
    return !c.failed && packed > TAGGED && (packed & 1) == 0;
}

/* Decodes any entry of a block; false if it is no well-formed event. */
static bool get_whole(const block_view *v, const block_entry *entry,
                      event_entry *out)
{
    uint8_t key[ENTRY_EVENT_KEY_MAX + BLOCK_HEAD_SIZE];
    size_t size = block_key_size(v, entry);
    if (size > ENTRY_EVENT_KEY_MAX)
        return false;
    memcpy(key, v->prefix, v->prefix_size);
    block_put_rest(entry, key + v->prefix_size);
    return get_event(slice_of(key, size), entry->value, out);
}

/* The processor foresees what lies ahead only within a page. */
static inline void fetch_behind(slice data)
{
    uintptr_t ahead = (uintptr_t)data.data + RUN_AHEAD;
    for (size_t at = 0; at < data.size && at < RUN_AHEAD; at += CACHE_LINE)
        __builtin_prefetch((const void *)(ahead + at));
}

uint32_t entry_get_run(const block_view *v, const event_run *run,
                       persist_event *out, uint32_t most)
{
    const block_view view = *v;
    key_shape shape = {0};
    uint32_t n = 0, at = run->at;
    block_entry entry;
    event_entry e;
    /* back from 0 leads beyond the count, too */
    for (; n < most && at < view.count; at += run->back ? UINT32_MAX : 1) {
        if (!block_get(&view, at, &entry))
            break;
        if (!get_alike(&shape, &entry, &e)) {
            if (!get_whole(&view, &entry, &e) || e.ordinal != run->ordinal)
                break;
            shape = shape_of(&entry, e.seq);
        }
        if (e.seq < run->low || e.seq > run->high)
            break;
        if (!run->back)
            fetch_behind(e.data);
        out[n++] = (persist_event){run->name,  e.data, e.seq,
                                   e.position, 0,      e.tagged.data};
    }
    return n;
}

/* ---- keys ------------------------------------------------------------- */

void entry_put_key(buf *b, bool deleted, slice value)
{
    CHECK(!deleted || value.size == 0);
    buf_put_byte(b, deleted ? 1 : 0);
    buf_put_slice(b, value);
}

bool entry_get_key(slice entry, bool *deleted, slice *value)
{
    const uint8_t *flag = entry.data;
    if (entry.size == 0 || *flag > 1)
        return false;
    *deleted = *flag == 1;
    *value = slice_of(flag + 1, entry.size - 1);
    return !*deleted || value->size == 0;
}

/* ---- command ids ------------------------------------------------------ */

void entry_put_once(buf *b, persist_lsn lsn, const uint8_t *fingerprint,
                    const uint64_t *seqs, size_t seq_count)
{
    CHECK(lsn > 0);
    buf_put_varint(b, lsn);
    buf_put(b, fingerprint, PERSIST_FINGERPRINT_SIZE);
    buf_put_varint(b, seq_count);
    for (size_t i = 0; i < seq_count; i++)
        buf_put_varint(b, seqs[i]);
}

bool entry_get_once(slice value, once_entry *out)
{
    cursor c = cursor_of(value);
    out->lsn = cursor_varint(&c);
    slice print = cursor_bytes(&c, PERSIST_FINGERPRINT_SIZE);
    out->seq_count = cursor_varint(&c);
    out->seqs = slice_of(c.at, cursor_left(&c));
    if (c.failed || out->lsn == 0 || out->seq_count > out->seqs.size)
        return false;
    CHECK(print.data != NULL);
    memcpy(out->fingerprint, print.data, print.size);
    return true;
}

bool entry_get_seqs(const once_entry *e, uint64_t *out)
{
    cursor c = cursor_of(e->seqs);
    for (uint64_t i = 0; i < e->seq_count; i++)
        out[i] = cursor_varint(&c);
    return cursor_done(&c);
}

/* ---- blobs -------------------------------------------------------------- */

void entry_put_blob(buf *b, const blob_entry *e)
{
    CHECK(b->size == 0);
    if (e->deleted)
        return;
    blob_entry_put(b, e);
    if (e->time != 0)
        buf_put_varint(b, e->time);
}

bool entry_get_blob(slice key, slice value, blob_entry *out)
{
    cursor c = cursor_of(value);
    *out = (blob_entry){.deleted = value.size == 0};
    if (key.size != sizeof out->digest)
        return false;
    memcpy(out->digest, key.data, sizeof out->digest);
    if (out->deleted)
        return true;
    if (!blob_entry_get(&c, out))
        return false;
    bool timed = cursor_left(&c) > 0;
    if (timed)
        out->time = cursor_varint(&c);
    return cursor_done(&c) && (out->time != 0) == timed &&
           out->time <= PERSIST_SEQ_MAX;
}

/* ---- order ------------------------------------------------------------ */

void entry_order_key(uint64_t position, uint8_t out[ENTRY_ORDER_KEY_SIZE])
{
    put_big_u64(out, position);
}

void entry_put_order(buf *b, uint64_t seq, slice name)
{
    CHECK(seq > 0);
    buf_put_varint(b, seq);
    buf_put_slice(b, name);
}

bool entry_get_order(slice key, slice value, uint64_t *position, uint64_t *seq,
                     slice *name)
{
    if (key.size != ENTRY_ORDER_KEY_SIZE)
        return false;
    *position = big_u64(key.data);
    cursor c = cursor_of(value);
    *seq = cursor_varint(&c);
    *name = slice_of(c.at, cursor_left(&c));
    return !c.failed && *position > 0 && *position <= PERSIST_SEQ_MAX &&
           *seq > 0 && *seq <= PERSIST_SEQ_MAX &&
           name->size <= PERSIST_NAME_SIZE_MAX;
}

/* ---- keys of tags ------------------------------------------------------ */

slice entry_tag_key(slice tag, uint64_t position,
                    uint8_t out[ENTRY_TAG_KEY_MAX])
{
    CHECK(tag.size > 0 && tag.size <= PERSIST_TAG_SIZE_MAX);
    out[0] = (uint8_t)tag.size;
    memcpy(out + 1, tag.data, tag.size);
    return entry_tag_key_of(out, position);
}

slice entry_tag_key_of(uint8_t key[ENTRY_TAG_KEY_MAX], uint64_t position)
{
    const uint8_t *end = put_sorted(key + 1 + key[0], position);
    CHECK(end <= key + ENTRY_TAG_KEY_MAX);
    return slice_of(key, (size_t)(end - key));
}

slice entry_tag_of(slice key)
{
    const uint8_t *bytes = key.data;
    bool has = key.size > 0 && key.size - 1 >= bytes[0];
    return has ? slice_of(bytes + 1, bytes[0]) : slice_of(NULL, 0);
}

bool entry_split_tag(slice key, slice *tag, uint64_t *position)
{
    *tag = entry_tag_of(key);
    cursor c = cursor_of(key);
    (void)cursor_bytes(&c, 1 + tag->size);
    return tag->size > 0 && get_sorted(&c, position) && cursor_done(&c);
}
