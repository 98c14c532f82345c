/* SPDX-License-Identifier: MIT */
/* Checks of arguments that the public functions share. */
#include "store/args.h"

#include <stdio.h>

#include "base/check.h"
#include "base/cid.h"
#include "base/status.h"
#include "engine/files/files.h"
#include "store/store.h"

/* Nothing lies at so low an address. */
enum { NO_SNAPSHOT = 4096 };

CHECK_STATIC(PERSIST_NAME_SIZE_MAX + PERSIST_VALUE_SIZE_MAX +
                     PERSIST_EDIT_OVERHEAD + PERSIST_NAME_OVERHEAD +
                     PERSIST_TAGS_MAX *
                         (PERSIST_TAG_SIZE_MAX + PERSIST_TAG_OVERHEAD) +
                     PERSIST_TYPE_SIZE_MAX <=
                 PERSIST_COMMIT_SIZE_MAX,
             "the largest edit fits into a commit");

persist_status args_missing(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_BAD_REQUEST, "%s must be given", what);
}

persist_status args_closed(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_CLOSED, "the %s is not open", what);
}

persist_status args_forked(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_CLOSED,
                      "the %s is of the process that this one was forked from; "
                      "open the store here, once that process has closed it",
                      what);
}

persist_status args_slice(slice s, size_t size_max, const char *what,
                          persist_error *error)
{
    CHECK(what != NULL);
    if (s.data == NULL && s.size > 0)
        return args_missing(error, what);
    if (s.size > size_max)
        return status_set(error, PERSIST_TOO_LARGE,
                          "%s: %zu bytes are over the limit of %zu", what,
                          s.size, size_max);
    return PERSIST_OK;
}

persist_status args_name(slice s, const char *what, persist_error *error)
{
    return args_slice(s, PERSIST_NAME_SIZE_MAX, what, error);
}

persist_status args_cid(slice cid, persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    if (cid_decode(cid, digest))
        return PERSIST_OK;
    return status_set(error, PERSIST_BAD_CID,
                      "%zu bytes are not a CIDv1 of raw bytes in base32",
                      cid.size);
}

static persist_status check_tag(slice tag, size_t index, persist_error *error)
{
    if (tag.size == 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the tag %zu is empty; a tag has at least one byte",
                          index);
    return args_slice(tag, PERSIST_TAG_SIZE_MAX, "tag", error);
}

static persist_status check_tags(const slice *tags, size_t count,
                                 persist_error *error)
{
    if (tags == NULL && count > 0)
        return args_missing(error, "tags");
    if (count > PERSIST_TAGS_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "%zu tags are over the limit of %u", count,
                          PERSIST_TAGS_MAX);
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < count && status == PERSIST_OK; i++)
        status = check_tag(tags[i], i, error);
    return status;
}

persist_status args_tags(const persist_edit *edit, persist_error *error)
{
    if ((edit->tag_count | edit->type.size) == 0)
        return PERSIST_OK; /* most have none */
    persist_status status = check_tags(edit->tags, edit->tag_count, error);
    if (status == PERSIST_OK)
        status = args_slice(edit->type, PERSIST_TYPE_SIZE_MAX, "type", error);
    if (status != PERSIST_OK)
        return status;
    if (edit->type.size > 0 && edit->tag_count == 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a type is kept with tags only; give it one");
    for (size_t i = 0; i < edit->tag_count; i++)
        for (size_t j = 0; j < i; j++)
            if (slice_equal(edit->tags[i], edit->tags[j]))
                return status_set(error, PERSIST_BAD_REQUEST,
                                  "the tags %zu and %zu of an event are the "
                                  "same; give each once",
                                  j, i);
    return PERSIST_OK;
}

static persist_status check_item(const persist_query_item *item, size_t index,
                                 persist_error *error)
{
    if (item->reserved[0] != 0 || item->reserved[1] != 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a reserved word of an item of a query is not 0; "
                          "begin with a zeroed persist_query_item");
    if (item->tag_count == 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the item %zu of a query has no tags; give at least "
                          "one",
                          index);
    if (item->types == NULL && item->type_count > 0)
        return args_missing(error, "types");
    persist_status status = check_tags(item->tags, item->tag_count, error);
    for (size_t i = 0; i < item->type_count && status == PERSIST_OK; i++)
        status =
            args_slice(item->types[i], PERSIST_TYPE_SIZE_MAX, "type", error);
    return status;
}

persist_status args_query(const persist_query_item *items, size_t count,
                          persist_error *error)
{
    size_t tags = 0, types = 0;
    if (items == NULL && count > 0)
        return args_missing(error, "items of a query");
    for (size_t i = 0; i < count; i++) {
        if (count > PERSIST_QUERY_MAX ||
            items[i].tag_count > PERSIST_QUERY_MAX - tags ||
            items[i].type_count > PERSIST_QUERY_MAX - types)
            return status_set(error, PERSIST_TOO_LARGE,
                              "a query has at most %u tags and %u types; make "
                              "several",
                              PERSIST_QUERY_MAX, PERSIST_QUERY_MAX);
        tags += items[i].tag_count;
        types += items[i].type_count;
        persist_status status = check_item(&items[i], i, error);
        if (status != PERSIST_OK)
            return status;
    }
    return PERSIST_OK;
}

persist_status args_view(const persist_store *store, persist_view view,
                         persist_error *error)
{
    if (!STORE_IS_KEPT(view))
        return PERSIST_OK;
    if (view == NULL)
        return args_missing(error, "a view");
    if ((uintptr_t)view < NO_SNAPSHOT)
        return status_set(error, PERSIST_BAD_REQUEST, "unknown view: %u",
                          (unsigned)(uintptr_t)view);
    if (STORE_FORKED(view))
        return args_forked(error, "snapshot");
    if (view->store != store->root)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the snapshot is of another store");
    return PERSIST_OK;
}

/* ---- commits ---------------------------------------------------------- */

static persist_status check_command(const persist_command *command,
                                    persist_error *error)
{
    if (command == NULL)
        return args_missing(error, "command");
    persist_status status = args_name(command->id, "command id", error);
    if (status != PERSIST_OK)
        return status;
    if (command->seqs == NULL && command->seq_count > 0)
        return args_missing(error, "seqs of a command");
    if (command->reserved[0] != 0 || command->reserved[1] != 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a reserved word of a command is not 0; begin with a "
                          "zeroed persist_command");
    if (command->seq_count > PERSIST_COMMIT_SIZE_MAX / sizeof *command->seqs)
        return status_set(error, PERSIST_TOO_LARGE,
                          "%zu numbers of a command are over the limit of a "
                          "commit",
                          command->seq_count);
    for (size_t i = 0; i < command->seq_count; i++)
        if (command->seqs[i] == 0 || command->seqs[i] > PERSIST_SEQ_MAX)
            return status_set(error, PERSIST_BAD_REQUEST,
                              "no event has the number %llu, which a command "
                              "is said to have given",
                              (unsigned long long)command->seqs[i]);
    return PERSIST_OK;
}

/* The fields of an edit besides its kind, and the kinds with those they take.
 */
enum {
    NAME = 1 << 0,
    DATA = 1 << 1,
    SEQ = 1 << 2,
    TAGS = 1 << 3,
    TYPE = 1 << 4,
    QUERY = 1 << 5,
    COMMAND = 1 << 6,
};

static const char *const fields[] = {"name", "data",  "seq",    "tags",
                                     "type", "query", "command"};

#define KIND(kind, takes) [PERSIST_##kind] = {#kind, (takes)}
static const struct edit_takes {
    const char *kind;
    unsigned takes;
} kinds[] = {
    KIND(APPEND, NAME | DATA | TAGS | TYPE),
    KIND(APPEND_AT, NAME | DATA | SEQ | TAGS | TYPE),
    KIND(TRUNCATE, NAME | SEQ),
    KIND(PUT, NAME | DATA),
    KIND(DELETE, NAME),
    KIND(SET_MARK, NAME | SEQ),
    KIND(SET_POSITION, SEQ),
    KIND(SET_TIME, SEQ),
    KIND(EXPECT_SEQ, NAME | SEQ),
    KIND(EXPECT_KEY, NAME | DATA),
    KIND(EXPECT_ABSENT, NAME),
    KIND(EXPECT_NONE, SEQ | QUERY),
    KIND(EXPECT_BLOB, NAME),
    KIND(SET_ONCE, COMMAND),
};
#undef KIND

/* What is set of an edit: what has no bytes and no entries is not. */
static unsigned fields_set(const persist_edit *edit)
{
    return (edit->name.size > 0 ? NAME : 0u) |
           (edit->data.size > 0 ? DATA : 0u) | (edit->seq > 0 ? SEQ : 0u) |
           (edit->tag_count > 0 ? TAGS : 0u) |
           (edit->type.size > 0 ? TYPE : 0u) |
           (edit->query_count > 0 ? QUERY : 0u) |
           (edit->command != NULL ? COMMAND : 0u);
}

/* Who sets a field counts on it: one that would be ignored is refused. */
static persist_status check_fields(const persist_edit *edit,
                                   persist_error *error)
{
    const struct edit_takes *k = &kinds[edit->kind];
    unsigned more = fields_set(edit) & ~k->takes;
    if (more == 0)
        return PERSIST_OK;
    size_t i = 0;
    while ((more >> i & 1u) == 0)
        i++;
    CHECK(i < sizeof fields / sizeof *fields);
    return status_set(error, PERSIST_BAD_REQUEST,
                      "the field `%s` of an edit is set, which the kind "
                      "PERSIST_%s does not take; begin each edit with a zeroed "
                      "persist_edit",
                      fields[i], k->kind);
}

/* A list without its length would hold whatever has happened: who points to
 * items means them. */
static persist_status check_condition(const persist_edit *edit,
                                      persist_error *error)
{
    CHECK(edit->kind == PERSIST_EXPECT_NONE);
    if (edit->query != NULL && edit->query_count == 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a PERSIST_EXPECT_NONE has a `query` and a "
                          "`query_count` of 0; count its items, or give NULL "
                          "for none");
    return args_query(edit->query, edit->query_count, error);
}

static persist_status check_one(const persist_edit *edit, persist_error *error)
{
    if ((unsigned)edit->kind >= sizeof kinds / sizeof *kinds)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "unknown kind of edit: %d", (int)edit->kind);
    persist_status status = check_fields(edit, error);
    if (status == PERSIST_OK)
        status = args_name(edit->name, "name", error);
    if (status == PERSIST_OK)
        status = args_slice(edit->data, PERSIST_VALUE_SIZE_MAX,
                            "event or value", error);
    if (status != PERSIST_OK)
        return status;
    if (edit->reserved[0] != 0 || edit->reserved[1] != 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a reserved word of an edit is not 0; begin with a "
                          "zeroed persist_edit");
    if (edit->seq > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the number %llu is over the highest, %llu",
                          (unsigned long long)edit->seq,
                          (unsigned long long)PERSIST_SEQ_MAX);
    if (edit->kind == PERSIST_EXPECT_NONE)
        return check_condition(edit, error);
    if (edit->kind == PERSIST_EXPECT_BLOB)
        return args_cid(edit->name, error);
    if (edit->kind == PERSIST_SET_ONCE)
        return check_command(edit->command, error);
    return edit_is_append(edit) ? args_tags(edit, error) : PERSIST_OK;
}

/* Of several it is said which one is wrong. */
static persist_status check_edit(const persist_edit *edits, size_t count,
                                 size_t index, persist_error *error)
{
    char edit[32];
    CHECK(index < count);
    persist_status status = check_one(&edits[index], error);
    if (status == PERSIST_OK || error == NULL || count == 1)
        return status;
    snprintf(edit, sizeof edit, "edit %zu", index);
    return status_prefix(error, edit);
}

static uint64_t tags_size(const persist_edit *edit)
{
    return tagged_size(edit) + (uint64_t)edit->tag_count * PERSIST_TAG_OVERHEAD;
}

/* A command id is the name of nothing else. */
static uint64_t command_size(const persist_command *command)
{
    return command->id.size + sizeof command->fingerprint +
           command->seq_count * sizeof *command->seqs + PERSIST_NAME_OVERHEAD;
}

/* What an edit adds to its commit: its bytes, and about what it takes of memory
 * besides, so that small ones are bounded too. A stream or key that perhaps has
 * to be entered takes more. */
static uint64_t edit_size(const persist_edit *edit, const persist_edit *before)
{
    bool same = before != NULL && slice_equal(edit->name, before->name);
    return (uint64_t)edit->name.size + edit->data.size + PERSIST_EDIT_OVERHEAD +
           (edit_is_append(edit) ? tags_size(edit) : 0) +
           (edit->kind == PERSIST_SET_ONCE ? command_size(edit->command) : 0) +
           (same ? 0 : PERSIST_NAME_OVERHEAD);
}

persist_status args_commit(const persist_edit *edits, size_t count,
                           const persist_once *once,
                           const persist_outcome *outcome, persist_error *error)
{
    if (edits == NULL && count > 0)
        return args_missing(error, "edits");
    uint64_t size = 0;
    size_t times = 0;
    bool needs_outcome = once != NULL;
    if (once != NULL) {
        persist_status status = args_name(once->id, "command id", error);
        if (status != PERSIST_OK)
            return status;
        size += once->id.size;
    }
    for (size_t i = 0; i < count; i++) {
        persist_status status = check_edit(edits, count, i, error);
        if (status != PERSIST_OK)
            return status;
        size += edit_size(&edits[i], i == 0 ? NULL : &edits[i - 1]);
        needs_outcome = needs_outcome || edit_is_expectation(&edits[i]);
        times += edits[i].kind == PERSIST_SET_TIME;
    }
    if (times > 1)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a commit has one time; %zu are given", times);
    if (size > PERSIST_COMMIT_SIZE_MAX)
        return status_set(error, PERSIST_TOO_LARGE,
                          "a commit of %llu bytes, with what its edits take "
                          "besides, is over the limit of %u; make several",
                          (unsigned long long)size, PERSIST_COMMIT_SIZE_MAX);
    if (needs_outcome && outcome == NULL)
        return args_missing(error, "outcome");
    return PERSIST_OK;
}
