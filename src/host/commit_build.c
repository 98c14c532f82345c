/* SPDX-License-Identifier: MIT */
/* persist/commit in the making: edits of the language to edits of the store. */
#include "host/commit_build.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"

static persist_status bad_edit(commit_build *b, const char *what)
{
    return status_set(&b->call->error, PERSIST_BAD_REQUEST,
                      "persist/commit: edit %zu: %s", b->index, what);
}

static persist_status add_item(commit_build *b, persist_edit_kind kind,
                               sx_value name, uint64_t seq, size_t text_at)
{
    CHECK(text_at <= b->text->size);
    commit_item it = {.edit = {.kind = kind, .seq = seq},
                      .text_at = text_at,
                      .owner = b->index};
    if (sx_type_of(name) != SX_NIL)
        it.edit.name = sx_bytes(name);
    it.edit.data.size = b->text->size - text_at;
    buf_put(&b->items, &it, sizeof it);
    return b->items.failed ? call_no_memory(b->call) : PERSIST_OK;
}

static commit_item *last_item(const commit_build *b)
{
    CHECK(b->items.size >= sizeof(commit_item));
    return (commit_item *)(void *)(b->items.data + b->items.size) - 1;
}

/* Says which edit the error is about; returns its status. */
static persist_status name_edit(commit_build *b)
{
    char edit[64];
    snprintf(edit, sizeof edit, "persist/commit: edit %zu", b->index);
    return call_prefix(b->call, edit);
}

static persist_status print(commit_build *b, sx_value value, size_t *at)
{
    CHECK(b->text->size <= PERSIST_COMMIT_SIZE_MAX);
    size_t room = PERSIST_COMMIT_SIZE_MAX - b->text->size;
    bool full = room < PERSIST_VALUE_SIZE_MAX;
    op_call *call = b->call;
    *at = b->text->size;
    b->text->size_max = *at + (full ? room : PERSIST_VALUE_SIZE_MAX);
    persist_status status = sx_print(call->machine, value, SX_PRINT_STORABLE,
                                     b->text, &call->error);
    if (status == PERSIST_OK)
        return PERSIST_OK;
    if (status == PERSIST_TOO_LARGE)
        status_set(&call->error, status,
                   "the %s is over the limit of %u bytes; make it in parts, "
                   "or keep what is large as blobs",
                   full ? "commit" : "value",
                   full ? PERSIST_COMMIT_SIZE_MAX : PERSIST_VALUE_SIZE_MAX);
    return name_edit(b);
}

/* A stream, key or command id. */
static persist_status check_name(commit_build *b, sx_value name)
{
    if (sx_type_of(name) != SX_STRING)
        return bad_edit(b, "a stream, key or command id must be a string");
    size_t size = sx_bytes(name).size;
    if (size <= PERSIST_NAME_SIZE_MAX)
        return PERSIST_OK;
    return status_set(&b->call->error, PERSIST_TOO_LARGE,
                      "persist/commit: edit %zu: a name of %zu bytes is over "
                      "the limit of %u",
                      b->index, size, PERSIST_NAME_SIZE_MAX);
}

static persist_status add_result(commit_build *b, sx_value result)
{
    if (sx_list_push(b->call->machine, b->results, result))
        return PERSIST_OK;
    return call_no_memory(b->call);
}

/* ---- append ----------------------------------------------------------- */

static persist_status next_number(commit_build *b, slice stream, uint64_t *out)
{
    CHECK(!b->repeated || b->has_once);
    sx *m = b->call->machine;
    sx_value v;
    if (b->repeated) {
        CHECK(b->numbers_used <= b->first.seq_count);
        if (b->numbers_used == b->first.seq_count)
            return bad_edit(b, "the command id has another history");
        *out = b->first.seqs[b->numbers_used++];
        return PERSIST_OK;
    }
    if (sx_dict_find(m, b->marks, stream, &v)) {
        *out = (uint64_t)sx_integer(v);
    } else {
        persist_stream_info info;
        persist_status status =
            persist_info(b->call->store, stream, PERSIST_LATEST, &info, NULL,
                         &b->call->error);
        if (status != PERSIST_OK)
            return status;
        *out = info.mark;
    }
    if (*out >= PERSIST_SEQ_MAX)
        return bad_edit(b, "the stream has no numbers left");
    *out += 1;
    if (!sx_make_integer(m, (int64_t)*out, &v) ||
        !sx_dict_set(m, b->marks, stream, v))
        return call_no_memory(b->call);
    return PERSIST_OK;
}

static bool is_own_key(slice key)
{
    return slice_equal(key, slice_str("type")) ||
           slice_equal(key, slice_str("at")) ||
           slice_equal(key, slice_str("data"));
}

/* Makes {:stream :seq :type :at :data}, further keys behind. */
static persist_status finish_event(commit_build *b, sx_value stream,
                                   uint64_t seq, sx_value given, sx_value *out)
{
    static const char *const own[] = {"type", "at", "data"};
    op_call *call = b->call;
    persist_status status;
    if (!sx_make_dict(call->machine, out))
        return call_no_memory(call);
    status = call_set(call, *out, "stream", stream);
    if (status == PERSIST_OK)
        status = call_set_integer(call, *out, "seq", seq);
    for (size_t i = 0; i < 3 && status == PERSIST_OK; i++) {
        sx_value v;
        if (!sx_dict_find(call->machine, given, slice_str(own[i]), &v))
            return bad_edit(b, "an event must have :type, :at and :data");
        status = call_set(call, *out, own[i], v);
    }
    for (size_t i = 0; i < sx_dict_size(given) && status == PERSIST_OK; i++) {
        slice key;
        sx_value v;
        sx_dict_at(given, i, &key, &v);
        if (is_own_key(key))
            continue;
        if (sx_dict_find(call->machine, *out, key, &v))
            return bad_edit(b, "an event must not have :stream or :seq; the "
                               "host gives them");
        sx_dict_at(given, i, &key, &v);
        if (!sx_dict_set(call->machine, *out, key, v))
            status = call_no_memory(call);
    }
    return status;
}

/* Of the event that was added last. */
static persist_status add_tags(commit_build *b, sx_value event)
{
    commit_item *it = last_item(b);
    persist_status status = call_tags(b->call, event, &it->edit);
    return status == PERSIST_OK ? status : name_edit(b);
}

static persist_status add_event(commit_build *b, sx_value stream,
                                sx_value given, sx_value done)
{
    uint64_t seq = 0;
    sx_value event;
    size_t at;
    if (sx_type_of(given) != SX_DICT)
        return bad_edit(b, "an event must be a dict {:type :at :data}");
    persist_status status = next_number(b, sx_bytes(stream), &seq);
    if (status == PERSIST_OK)
        status = finish_event(b, stream, seq, given, &event);
    if (status == PERSIST_OK)
        status = print(b, event, &at);
    if (status == PERSIST_OK)
        status = add_item(b, PERSIST_APPEND_AT, stream, seq, at);
    if (status == PERSIST_OK)
        status = add_tags(b, event);
    if (status == PERSIST_OK && !sx_list_push(b->call->machine, done, event))
        status = call_no_memory(b->call);
    return status;
}

static persist_status add_append(commit_build *b, sx_value stream,
                                 sx_value events)
{
    sx_value done;
    if (sx_type_of(events) != SX_LIST)
        return bad_edit(b, ":events must be a list");
    if (!sx_make_list(b->call->machine, 0, &done))
        return call_no_memory(b->call);
    persist_status status = PERSIST_OK;
    size_t count = sx_list_size(events);
    for (size_t i = 0; i < count && status == PERSIST_OK; i++)
        status = add_event(b, stream, sx_list_at(events, i), done);
    return status == PERSIST_OK ? add_result(b, done) : status;
}

/* ---- the other edits -------------------------------------------------- */

static persist_status add_put(commit_build *b, sx_value key, sx_value value)
{
    size_t at;
    persist_status status = print(b, value, &at);
    if (status == PERSIST_OK)
        status = add_item(b, PERSIST_PUT, key, 0, at);
    return status == PERSIST_OK ? add_result(b, value) : status;
}

static persist_status add_delete(commit_build *b, sx_value key, sx_value unused)
{
    (void)unused;
    persist_status status = add_item(b, PERSIST_DELETE, key, 0, b->text->size);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

static persist_status add_truncate(commit_build *b, sx_value stream,
                                   sx_value through)
{
    if (sx_type_of(through) != SX_INTEGER)
        return bad_edit(b, ":through must be an integer");
    int64_t n = sx_integer(through);
    persist_status status = add_item(b, PERSIST_TRUNCATE, stream,
                                     n < 0 ? 0 : (uint64_t)n, b->text->size);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

static persist_status add_expect(commit_build *b, sx_value stream, sx_value seq)
{
    if (sx_type_of(seq) != SX_INTEGER || sx_integer(seq) < 0)
        return bad_edit(b, ":seq must be an integer that a mark can be");
    persist_status status = add_item(b, PERSIST_EXPECT_SEQ, stream,
                                     (uint64_t)sx_integer(seq), b->text->size);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

/* What kv-get returns for an absent key is nil as well, so an expected nil is
 * met by either; the commit checks again what is found here. */
static persist_status add_expect_key(commit_build *b, sx_value key,
                                     sx_value value)
{
    op_call *call = b->call;
    persist_edit_kind kind = PERSIST_EXPECT_KEY;
    persist_status status = PERSIST_OK;
    size_t at = b->text->size;
    if (sx_type_of(value) == SX_NIL) {
        status = persist_has(call->store, sx_bytes(key), PERSIST_LATEST,
                             &call->error);
        if (status == PERSIST_NONE) {
            kind = PERSIST_EXPECT_ABSENT;
            status = PERSIST_OK;
        }
    }
    if (status == PERSIST_OK && kind == PERSIST_EXPECT_KEY)
        status = print(b, value, &at);
    if (status == PERSIST_OK)
        status = add_item(b, kind, key, 0, at);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

static persist_status add_expect_absent(commit_build *b, sx_value key,
                                        sx_value absent)
{
    if (sx_type_of(absent) != SX_BOOLEAN || !sx_is_true(absent))
        return bad_edit(b, ":absent must be true");
    persist_status status =
        add_item(b, PERSIST_EXPECT_ABSENT, key, 0, b->text->size);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

static persist_status add_expect_none(commit_build *b, sx_value query,
                                      sx_value after)
{
    const persist_query_item *items;
    size_t count;
    if (sx_type_of(after) != SX_INTEGER || sx_integer(after) < 0)
        return bad_edit(b, ":after must be an integer that a position can be");
    persist_status status = call_query(b->call, query, &items, &count);
    if (status != PERSIST_OK)
        return name_edit(b);
    status = add_item(b, PERSIST_EXPECT_NONE, sx_nil(),
                      (uint64_t)sx_integer(after), b->text->size);
    if (status != PERSIST_OK)
        return status;
    last_item(b)->edit.query = count > 0 ? items : NULL;
    last_item(b)->edit.query_count = count;
    return add_result(b, sx_nil());
}

static persist_status add_expect_blob(commit_build *b, sx_value cid,
                                      sx_value unused)
{
    (void)unused;
    if (sx_type_of(cid) != SX_STRING)
        return bad_edit(b, "a cid must be a string");
    slice text = sx_bytes(cid);
    if (!persist_cid_valid(text))
        return status_set(&b->call->error, PERSIST_BAD_CID,
                          "persist/commit: edit %zu: %zu bytes are not a "
                          "CIDv1 of raw bytes in base32",
                          b->index, text.size);
    persist_status status =
        add_item(b, PERSIST_EXPECT_BLOB, cid, 0, b->text->size);
    return status == PERSIST_OK ? add_result(b, sx_nil()) : status;
}

static persist_status add_once(commit_build *b, sx_value id, sx_value unused)
{
    (void)id; /* taken by find_once before */
    (void)unused;
    return add_result(b, sx_nil());
}

static const struct edit_form {
    const char *key, *other; /* other: the second key, or NULL */
    persist_status (*add)(commit_build *, sx_value, sx_value);
    bool nameless; /* the key's value is no name */
} forms[] = {
    {"append", "events", add_append, false},
    {"put", "value", add_put, false},
    {"delete", NULL, add_delete, false},
    {"truncate", "through", add_truncate, false},
    {"expect", "seq", add_expect, false},
    {"expect-key", "value", add_expect_key, false},
    {"expect-key", "absent", add_expect_absent, false},
    {"expect-none", "after", add_expect_none, true},
    {"expect-blob", NULL, add_expect_blob, true},
    {"once", NULL, add_once, false},
};

static persist_status add_edit(commit_build *b, sx_value edit)
{
    sx *m = b->call->machine;
    if (sx_type_of(edit) != SX_DICT)
        return bad_edit(b, "an edit must be a dict");
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct edit_form *form = &forms[i];
        sx_value first, second = sx_nil();
        if (sx_dict_size(edit) == (form->other == NULL ? 1 : 2) &&
            sx_dict_find(m, edit, slice_str(form->key), &first) &&
            (form->other == NULL ||
             sx_dict_find(m, edit, slice_str(form->other), &second))) {
            persist_status status =
                form->nameless ? PERSIST_OK : check_name(b, first);
            return status == PERSIST_OK ? form->add(b, first, second) : status;
        }
    }
    return bad_edit(b,
                    "not one of {:append :events} {:put :value} {:delete} "
                    "{:truncate :through} {:expect :seq} {:expect-key "
                    ":value} {:expect-key :absent true} {:expect-none :after} "
                    "{:expect-blob} {:once}");
}

persist_status commit_build_edits(commit_build *b, sx_value edits)
{
    CHECK(b->items.size == 0 && b->text != NULL);
    sx *m = b->call->machine;
    size_t count = sx_list_size(edits);
    if (!sx_make_dict(m, &b->marks) || !sx_make_list(m, count, &b->results))
        return call_no_memory(b->call);
    for (b->index = 0; b->index < count; b->index++) {
        persist_status status = add_edit(b, sx_list_at(edits, b->index));
        if (status != PERSIST_OK)
            return status;
    }
    return PERSIST_OK;
}

/* ---- the command id --------------------------------------------------- */

static persist_status find_id(commit_build *b, sx_value edits)
{
    CHECK(!b->has_once);
    sx_value id;
    for (b->index = 0; b->index < sx_list_size(edits); b->index++) {
        sx_value edit = sx_list_at(edits, b->index);
        if (sx_type_of(edit) != SX_DICT ||
            !sx_dict_find(b->call->machine, edit, slice_str("once"), &id))
            continue;
        if (b->has_once)
            return bad_edit(b, "a commit takes one :once at most");
        persist_status status = check_name(b, id);
        if (status != PERSIST_OK)
            return status;
        b->once.id = sx_bytes(id);
        b->has_once = true;
    }
    return PERSIST_OK;
}

/* The fingerprint covers the edits as printed with sorted keys, so that the
 * same command built in another key order is the same. */
static persist_status fingerprint(commit_build *b, sx_value edits)
{
    b->text->size = 0;
    b->text->size_max = PERSIST_COMMIT_SIZE_MAX;
    persist_status status =
        sx_print(b->call->machine, edits, SX_PRINT_STORABLE | SX_PRINT_SORTED,
                 b->text, &b->call->error);
    if (status != PERSIST_OK)
        return call_prefix(b->call, "persist/commit");
    hash_sha256(slice_of(b->text->data, b->text->size), b->once.fingerprint);
    b->text->size = 0;
    return PERSIST_OK;
}

persist_status commit_build_once(commit_build *b, sx_value edits)
{
    uint8_t known[PERSIST_FINGERPRINT_SIZE];
    persist_status status = find_id(b, edits);
    if (status != PERSIST_OK || !b->has_once)
        return status;
    status = fingerprint(b, edits);
    if (status != PERSIST_OK)
        return status;
    status = persist_once_find(b->call->store, b->once.id, known, &b->first,
                               &b->call->error);
    if (status == PERSIST_NONE)
        return PERSIST_OK;
    if (status != PERSIST_OK)
        return status;
    b->repeated = true;
    if (memcmp(known, b->once.fingerprint, sizeof known) == 0)
        return PERSIST_OK;
    return status_set(&b->call->error, PERSIST_BAD_REQUEST,
                      "persist/commit: this command id was used with other "
                      "edits; to ask again send the very same ones, what is "
                      "expected too, and give another command an id of its "
                      "own");
}
