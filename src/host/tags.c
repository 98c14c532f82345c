/* SPDX-License-Identifier: MIT */
/* Tags of events, and queries, from values of the language to those of the
 * store. What is made here lives until the next op. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"
#include "host/host_private.h"
#include "host/tags.h"

static persist_status bad(const tag_taker *t, const char *what)
{
    return status_set(t->error, PERSIST_BAD_REQUEST, "%s", what);
}

static void *take(const tag_taker *t, size_t count, size_t size)
{
    return arena_alloc(t->room, count * size + 1);
}

/* ---- tags ------------------------------------------------------------- */

static bool is_new(const slice *tags, size_t count, slice tag)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(tags[i], tag))
            return false;
    return true;
}

/* A list of tags, which of an event are all different; nil is an empty one. */
static persist_status get_tags(const tag_taker *t, sx_value list, bool of_event,
                               const persist_slice **out, size_t *count)
{
    const char *wants = of_event ? ":tags must be a list of up to 64 different "
                                   "strings, each of 1 to 255 bytes"
                                 : ":tags must be a list of up to 64 strings, "
                                   "each of 1 to 255 bytes";
    CHECK_STATIC(PERSIST_TAGS_MAX == 64 && PERSIST_TAG_SIZE_MAX == 255,
                 "as the text says");
    *count = 0;
    if (sx_type_of(list) == SX_NIL)
        return PERSIST_OK;
    if (sx_type_of(list) != SX_LIST || sx_list_size(list) > PERSIST_TAGS_MAX)
        return bad(t, wants);
    slice *tags = take(t, sx_list_size(list), sizeof *tags);
    if (tags == NULL)
        return status_no_memory(t->error);
    for (size_t i = 0; i < sx_list_size(list); i++) {
        sx_value v = sx_list_at(list, i);
        slice tag = sx_type_of(v) == SX_STRING ? sx_bytes(v) : slice_of("", 0);
        if (tag.size == 0 || tag.size > PERSIST_TAG_SIZE_MAX ||
            (of_event && !is_new(tags, i, tag)))
            return bad(t, wants);
        tags[i] = tag;
    }
    *out = tags;
    *count = sx_list_size(list);
    return PERSIST_OK;
}

/* ---- types ------------------------------------------------------------ */

/* No printed value begins with this. */
#define HASHED ";sha256 "

/* The text by which the store knows a type: the same for values that are
 * `equal?`, so with sorted keys. Of a long one it is the hash. */
static persist_status get_type(const tag_taker *t, sx_value type, slice *out)
{
    sx_out *text = t->text;
    text->size = 0;
    text->size_max = PERSIST_VALUE_SIZE_MAX;
    persist_status status = sx_print(
        t->machine, type, SX_PRINT_STORABLE | SX_PRINT_SORTED, text, t->error);
    if (status != PERSIST_OK)
        return status;
    bool hashed = text->size > PERSIST_TYPE_SIZE_MAX;
    size_t head = sizeof HASHED - 1;
    size_t size = hashed ? head + HASH_SHA256_SIZE : text->size;
    uint8_t *bytes = take(t, size, 1);
    if (bytes == NULL)
        return status_no_memory(t->error);
    CHECK(size <= PERSIST_TYPE_SIZE_MAX);
    if (hashed) {
        memcpy(bytes, HASHED, head);
        hash_sha256(slice_of(text->data, text->size), bytes + head);
    } else {
        memcpy(bytes, text->data, size);
    }
    *out = slice_of(bytes, size);
    return PERSIST_OK;
}

persist_status tags_of_event(const tag_taker *t, sx_value event,
                             persist_edit *out)
{
    sx_value v;
    if (!sx_dict_find(t->machine, event, slice_str("tags"), &v))
        return PERSIST_OK;
    persist_status status = get_tags(t, v, true, &out->tags, &out->tag_count);
    if (status != PERSIST_OK || out->tag_count == 0)
        return status;
    return sx_dict_find(t->machine, event, slice_str("type"), &v)
               ? get_type(t, v, &out->type)
               : PERSIST_OK;
}

/* ---- queries ---------------------------------------------------------- */

static persist_status get_types(const tag_taker *t, sx_value list,
                                persist_query_item *out)
{
    if (sx_type_of(list) == SX_NIL)
        return PERSIST_OK;
    if (sx_type_of(list) != SX_LIST)
        return bad(t, ":types must be a list");
    slice *types = take(t, sx_list_size(list), sizeof *types);
    if (types == NULL)
        return status_no_memory(t->error);
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < sx_list_size(list) && status == PERSIST_OK; i++)
        status = get_type(t, sx_list_at(list, i), &types[i]);
    out->types = types;
    out->type_count = sx_list_size(list);
    return status;
}

static persist_status get_item(const tag_taker *t, sx_value item,
                               persist_query_item *out)
{
    static const char wants[] = "a query is {:tags (...) :types (...)}, with "
                                "at least one tag, or a list of such";
    sx_value tags, types;
    *out = (persist_query_item){0};
    if (sx_type_of(item) != SX_DICT)
        return bad(t, wants);
    bool typed = sx_dict_find(t->machine, item, slice_str("types"), &types);
    if (!sx_dict_find(t->machine, item, slice_str("tags"), &tags) ||
        sx_dict_size(item) != 1 + (size_t)typed)
        return bad(t, wants);
    persist_status status =
        get_tags(t, tags, false, &out->tags, &out->tag_count);
    if (status == PERSIST_OK && out->tag_count == 0)
        status = bad(t, wants);
    if (status == PERSIST_OK && typed)
        status = get_types(t, types, out);
    return status;
}

/* ---- for ops ----------------------------------------------------------- */

static tag_taker taker_of(op_call *call)
{
    host *h = call->host;
    return (tag_taker){call->machine, &h->index, &h->type_text, &call->error};
}

persist_status call_tags(op_call *call, sx_value event, persist_edit *out)
{
    const tag_taker t = taker_of(call);
    return tags_of_event(&t, event, out);
}

persist_status call_query(op_call *call, sx_value query,
                          const persist_query_item **out, size_t *count)
{
    bool many = sx_type_of(query) == SX_LIST;
    *count = many ? sx_list_size(query) : 1;
    const tag_taker t = taker_of(call);
    persist_query_item *items = take(&t, *count, sizeof *items);
    *out = items;
    if (items == NULL)
        return status_no_memory(t.error);
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < *count && status == PERSIST_OK; i++)
        status = get_item(&t, many ? sx_list_at(query, i) : query, &items[i]);
    return status;
}
