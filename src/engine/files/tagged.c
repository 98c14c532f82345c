/* SPDX-License-Identifier: MIT */
/* Type and tags of an event, packed:
 *
 *   | size of the type, 1 | type | count of tags, 1 | size, 1 | tag | ...
 */
#include "engine/files/tagged.h"

#include "base/cursor.h"

CHECK_STATIC(PERSIST_TAG_SIZE_MAX <= UINT8_MAX &&
                 PERSIST_TYPE_SIZE_MAX <= UINT8_MAX &&
                 PERSIST_TAGS_MAX <= UINT8_MAX,
             "sizes and counts have a byte each");

size_t tagged_size(const persist_edit *e)
{
    if (e->tag_count == 0)
        return 0;
    size_t size = 2 + e->type.size;
    for (size_t i = 0; i < e->tag_count; i++)
        size += 1 + e->tags[i].size;
    return size;
}

static uint8_t *write_string(uint8_t *out, slice s)
{
    CHECK(s.size <= UINT8_MAX);
    *out++ = (uint8_t)s.size;
    if (s.size > 0)
        memcpy(out, s.data, s.size);
    return out + s.size;
}

void tagged_write(const persist_edit *e, uint8_t *out)
{
    CHECK(e->tag_count > 0 && e->tag_count <= PERSIST_TAGS_MAX);
    out = write_string(out, e->type);
    *out++ = (uint8_t)e->tag_count;
    for (size_t i = 0; i < e->tag_count; i++)
        out = write_string(out, e->tags[i]);
}

void tagged_put(buf *b, const persist_edit *e)
{
    size_t size = tagged_size(e);
    if (size == 0 || !buf_reserve(b, size))
        return;
    tagged_write(e, b->data + b->size);
    b->size += size;
}

/* Passes a string with its size in front; NULL if it does not end there. */
static const uint8_t *pass_string(const uint8_t *at, const uint8_t *end)
{
    return end - at > *at ? at + 1 + *at : NULL;
}

/* Every event that is read in a table comes through here. */
bool tagged_get(cursor *c, slice *out)
{
    const uint8_t *from = c->at, *at = from, *end = c->failed ? at : c->end;
    if (at < end)
        at = pass_string(at, end);
    unsigned count = at != NULL && at < end ? *at++ : 0;
    bool valid = count > 0 && count <= PERSIST_TAGS_MAX;
    for (unsigned i = 0; i < count && valid; i++) {
        valid = at != end && *at > 0;
        at = valid ? pass_string(at, end) : NULL;
        valid = at != NULL;
    }
    if (!valid) {
        c->failed = true;
        return false;
    }
    c->at = at;
    *out = slice_of(from, (size_t)(at - from));
    return true;
}

bool tagged_differ(const void *bytes)
{
    slice tag, other;
    tag_set t = tagged_of(bytes);
    while (tagged_next(&t, &tag)) {
        tag_set rest = t;
        while (tagged_next(&rest, &other))
            if (slice_equal(tag, other))
                return false;
    }
    return true;
}

/* ---- queries ---------------------------------------------------------- */

bool query_has_type(const persist_query_item *item, slice type)
{
    for (size_t i = 0; i < item->type_count; i++)
        if (slice_equal(item->types[i], type))
            return true;
    return item->type_count == 0;
}

static bool has_tag(tag_set t, slice wanted)
{
    slice tag;
    while (tagged_next(&t, &tag))
        if (slice_equal(tag, wanted))
            return true;
    return false;
}

static bool matches(const persist_query_item *item, tag_set t)
{
    CHECK(item->tag_count > 0);
    for (size_t i = 0; i < item->tag_count; i++)
        if (!has_tag(t, item->tags[i]))
            return false;
    return query_has_type(item, t.type);
}

bool query_matches(const persist_query_item *items, size_t count,
                   const void *bytes)
{
    for (size_t i = 0; i < count && bytes != NULL; i++)
        if (matches(&items[i], tagged_of(bytes)))
            return true;
    return false;
}
