/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: what both are given is drawn here. */
#include <stdio.h>

#include "edit_fields.h"
#include "engine/files/edit.h"
#include "ops.h"
#include "os_sim_disk.h"
#include "pair.h"
#include "wall.h"

enum { NAMES = 10, MANY_NAMES = 400, NAME_ROOM = 8 };

uint64_t pair_draw(pair *p, uint64_t below)
{
    return sim_random(&p->random) % below;
}

/* One of more than a cursor takes at once. */
static slice any_of_many(pair *p)
{
    static char names[MANY_NAMES][NAME_ROOM];
    size_t i = pair_draw(p, MANY_NAMES);
    int size = snprintf(names[i], NAME_ROOM, "n%03zu", i);
    return slice_of(names[i], (size_t)size);
}

slice pair_any_name(pair *p)
{
    static const struct {
        const char *text;
        size_t size;
    } names[NAMES - 1] = {{"", 0},    {"a", 1},    {"b", 1},
                          {"a/b", 3}, {"\0", 1},   {"\xff\xfe", 2},
                          {"$g", 2},  {"a\0b", 3}, {"..", 2}};
    static char longest[PERSIST_NAME_SIZE_MAX];
    if (p->crowded && pair_draw(p, 2) == 0)
        return any_of_many(p);
    uint64_t i = pair_draw(p, NAMES);
    if (i < NAMES - 1)
        return slice_of(names[i].text, names[i].size);
    return slice_of(longest, 300 + pair_draw(p, 3));
}

slice pair_any_data(pair *p, uint8_t *out)
{
    size_t size =
        pair_draw(p, 12) == 0 ? pair_draw(p, PAIR_DATA_MAX) : pair_draw(p, 60);
    uint64_t letter = pair_draw(p, 26);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)('a' + (letter + i / 9) % 26);
    return slice_of(out, size);
}

uint64_t pair_any_seq(pair *p, slice name)
{
    persist_stream_info info;
    persist_info(p->latest, name, PERSIST_LATEST, &info, NULL, NULL);
    switch (pair_draw(p, 8)) {
    case 0:
        return pair_draw(p, 5);
    case 1:
        return info.mark + pair_draw(p, 20);
    case 2:
        return pair_draw(p, 400) == 0 ? PERSIST_SEQ_MAX - pair_draw(p, 3)
                                      : info.mark;
    case 3:
        return info.mark / 2;
    default:
        return info.mark + pair_draw(p, 2);
    }
}

/* Tells whether there is an event at a position or above it. */
static bool reaches(persist_store *store, uint64_t position)
{
    persist_cursor *c = NULL;
    const persist_event *event;
    persist_status status =
        persist_read_all(store, position, 1, PERSIST_LATEST, &c, NULL);
    CHECK(status == PERSIST_OK);
    status = persist_next_event(c, &event, NULL);
    persist_cursor_close(c);
    return status == PERSIST_OK;
}

uint64_t pair_any_position(pair *p)
{
    uint64_t low = 0, high = 1;
    while (reaches(p->latest, high))
        high *= 2;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (reaches(p->latest, middle + 1))
            low = middle + 1;
        else
            high = middle;
    }
    uint64_t back =
        pair_draw(p, 4) == 0 ? pair_draw(p, low + 2) : pair_draw(p, 12);
    return back > low ? low + 1 : low - back;
}

/* One of the last blobs' mostly. */
const char *pair_any_cid(pair *p)
{
    static persist_cid none;
    unsigned count = p->blob_count < PAIR_BLOBS ? p->blob_count : PAIR_BLOBS;
    if (count > 0 && pair_draw(p, 8) > 0)
        return p->blobs[pair_draw(p, count)];
    persist_cid_of(slice_of(NULL, 0), none);
    return none;
}

persist_edit pair_any_edit(pair *p, uint8_t *bytes)
{
    enum { KINDS = 20 };
    static const persist_edit_kind kinds[] = {
        PERSIST_APPEND,      PERSIST_APPEND,       PERSIST_APPEND,
        PERSIST_APPEND,      PERSIST_APPEND,       PERSIST_APPEND_AT,
        PERSIST_PUT,         PERSIST_PUT,          PERSIST_PUT,
        PERSIST_DELETE,      PERSIST_TRUNCATE,     PERSIST_SET_MARK,
        PERSIST_EXPECT_SEQ,  PERSIST_SET_POSITION, PERSIST_EXPECT_ABSENT,
        PERSIST_EXPECT_KEY,  PERSIST_EXPECT_NONE,  PERSIST_SET_TIME,
        PERSIST_EXPECT_BLOB, PERSIST_SET_ONCE};
    persist_edit edit = {.kind = kinds[pair_draw(p, KINDS)],
                         .name = pair_any_name(p)};
    if (p->crowding)
        edit.kind = pair_draw(p, 4) == 0 ? PERSIST_PUT : PERSIST_APPEND;
    edit.seq = pair_any_seq(p, edit.name);
    if (edit.kind == PERSIST_SET_POSITION)
        edit.seq =
            persist_position(p->latest, PERSIST_LATEST) + pair_draw(p, 20);
    if (edit.kind == PERSIST_SET_TIME)
        edit.seq = wall_now(NULL) + pair_draw(p, 200) - 50;
    edit.data = pair_any_data(p, bytes);
    edit = edit_trimmed(&edit);
    bool tagged = p->crowding || pair_draw(p, 2) == 0;
    if (edit_is_append(&edit) && !p->plain && tagged)
        pool_tag(&edit, pair_draw(p, p->crowding ? POOL_ALL_TAGS : 10000));
    if (edit.kind == PERSIST_EXPECT_NONE) {
        edit.query = pool_query(pair_draw(p, 1000), &edit.query_count);
        edit.seq = pair_any_position(p);
    }
    if (edit.kind == PERSIST_EXPECT_BLOB) {
        memcpy(bytes, pair_any_cid(p), PERSIST_CID_SIZE);
        edit.name = slice_of(bytes, PERSIST_CID_SIZE);
    }
    slice value;
    bool known = edit.kind == PERSIST_EXPECT_KEY && pair_draw(p, 2) == 0 &&
                 persist_get(p->latest, edit.name, PERSIST_LATEST, &value,
                             NULL) == PERSIST_OK;
    if (!known)
        return edit;
    edit.data.size = value.size < PAIR_DATA_MAX ? value.size : PAIR_DATA_MAX;
    for (size_t i = 0; i < edit.data.size; i++)
        bytes[i] = ((const uint8_t *)value.data)[i] ^ 32;
    persist_free(value.data);
    return edit;
}

slice pair_any_id(pair *p)
{
    static const char *const ids[] = {"", "x", "y", "z", "\0\0"};
    return slice_of(ids[pair_draw(p, 5)], pair_draw(p, 2));
}

persist_command pair_any_command(pair *p)
{
    static const uint64_t seqs[][3] = {{1, 2, 3}, {PERSIST_SEQ_MAX, 70, 70}};
    static const char more[] = "x/command/id/longer";
    persist_command command = {.id = pair_any_id(p)};
    if (p->crowded)
        command.id = any_of_many(p);
    else if (pair_draw(p, 3) > 0)
        command.id = slice_of(more, 1 + pair_draw(p, sizeof more - 1));
    command.fingerprint[3] = (uint8_t)(pair_draw(p, 8) == 0);
    command.seqs = seqs[pair_draw(p, 8) == 0];
    command.seq_count = command.id.size % 4;
    return command;
}
