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

/* What is wrong with a list of tags, after what it must be. */
static persist_status bad_tags(const tag_taker *t, const char *of_what,
                               bool of_event, const char *why)
{
    CHECK_STATIC(PERSIST_TAGS_MAX == 64 && PERSIST_TAG_SIZE_MAX == 255,
                 "as the text says");
    return status_set(t->error, PERSIST_BAD_REQUEST,
                      "%s:tags must be a list of up to 64 %sstrings, each of 1 "
                      "to 255 bytes%s",
                      of_what, of_event ? "different " : "", why);
}

/* Takes the tag of index i, after those before it. */
static persist_status get_tag(const tag_taker *t, const char *of_what,
                              bool of_event, sx_value v, size_t i, slice *tags)
{
    char why[64];
    bool is_string = sx_type_of(v) == SX_STRING;
    slice tag = is_string ? sx_bytes(v) : slice_of("", 0);
    if (tag.size > PERSIST_TAG_SIZE_MAX)
        snprintf(why, sizeof why, "; tag %zu has %zu bytes", i, tag.size);
    else if (tag.size == 0)
        snprintf(why, sizeof why, "; tag %zu is %s", i,
                 is_string ? "empty" : "no string");
    else if (of_event && !is_new(tags, i, tag))
        snprintf(why, sizeof why, "; tag %zu is the same as one before it", i);
    else {
        tags[i] = tag;
        return PERSIST_OK;
    }
    return bad_tags(t, of_what, of_event, why);
}

/* A list of tags, which of an event are all different; nil is an empty one. */
static persist_status get_tags(const tag_taker *t, const char *of_what,
                               bool of_event, sx_value list,
                               const persist_slice **out, size_t *count)
{
    *count = 0;
    if (sx_type_of(list) == SX_NIL)
        return PERSIST_OK;
    if (sx_type_of(list) != SX_LIST)
        return bad_tags(t, of_what, of_event, "");
    size_t size = sx_list_size(list);
    if (size > PERSIST_TAGS_MAX) {
        char why[32];
        snprintf(why, sizeof why, ", not %zu", size);
        return bad_tags(t, of_what, of_event, why);
    }
    slice *tags = take(t, size, sizeof *tags);
    if (tags == NULL)
        return status_no_memory(t->error);
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < size && status == PERSIST_OK; i++)
        status = get_tag(t, of_what, of_event, sx_list_at(list, i), i, tags);
    *out = tags;
    *count = size;
    return status;
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
    persist_status status =
        get_tags(t, "", true, v, &out->tags, &out->tag_count);
    if (status != PERSIST_OK || out->tag_count == 0)
        return status;
    return sx_dict_find(t->machine, event, slice_str("type"), &v)
               ? get_type(t, v, &out->type)
               : PERSIST_OK;
}

/* ---- queries ---------------------------------------------------------- */

static persist_status get_types(const tag_taker *t, const char *item,
                                sx_value list, persist_query_item *out)
{
    if (sx_type_of(list) == SX_NIL)
        return PERSIST_OK;
    if (sx_type_of(list) != SX_LIST)
        return status_set(t->error, PERSIST_BAD_REQUEST,
                          "%s: :types must be a list", item);
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

/* Refuses keys that an item does not have: what one that is misspelled asks
 * for would not be asked. */
static persist_status check_keys(const tag_taker *t, const char *item,
                                 sx_value dict)
{
    enum { SHOWN = 40 };
    for (size_t i = 0; i < sx_dict_size(dict); i++) {
        slice key;
        sx_value v;
        sx_dict_at(dict, i, &key, &v);
        if (slice_equal(key, slice_str("tags")) ||
            slice_equal(key, slice_str("types")))
            continue;
        bool shown = key.size < SHOWN && memchr(key.data, 0, key.size) == NULL;
        return status_set(t->error, PERSIST_BAD_REQUEST,
                          "%s has the key %s%.*s; it takes :tags and :types",
                          item, shown ? ":" : "of some bytes",
                          shown ? (int)key.size : 0, (const char *)key.data);
    }
    return PERSIST_OK;
}

/* An item by the name that it has in an error. */
static persist_status get_item(const tag_taker *t, const char *name,
                               sx_value item, persist_query_item *out)
{
    char of_item[64];
    sx_value v;
    *out = (persist_query_item){0};
    persist_status status = check_keys(t, name, item);
    if (status != PERSIST_OK)
        return status;
    if (!sx_dict_find(t->machine, item, slice_str("tags"), &v))
        return status_set(t->error, PERSIST_BAD_REQUEST,
                          "%s has no :tags; give at least one tag", name);
    snprintf(of_item, sizeof of_item, "%s: ", name);
    status = get_tags(t, of_item, false, v, &out->tags, &out->tag_count);
    if (status == PERSIST_OK && out->tag_count == 0)
        status = status_set(t->error, PERSIST_BAD_REQUEST,
                            "%s has no tag in :tags; give at least one", name);
    if (status == PERSIST_OK &&
        sx_dict_find(t->machine, item, slice_str("types"), &v))
        status = get_types(t, name, v, out);
    return status;
}

/* The item of index i of a list, or the one that a query is. */
static persist_status get_item_of(const tag_taker *t, bool many, size_t i,
                                  sx_value item, persist_query_item *out)
{
    char name[48] = "the query";
    if (many)
        snprintf(name, sizeof name, "item %zu of the query", i);
    if (sx_type_of(item) == SX_DICT)
        return get_item(t, name, item, out);
    return status_set(t->error, PERSIST_BAD_REQUEST,
                      "%s must be a dict {:tags (...) :types (...)}%s", name,
                      many ? "" : ", or a list of such");
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
        status = get_item_of(&t, many, i, many ? sx_list_at(query, i) : query,
                             &items[i]);
    return status;
}
