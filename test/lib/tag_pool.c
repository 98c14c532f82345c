/* SPDX-License-Identifier: MIT */
/* Few tags, types and queries. */
#include "ops.h"

#include "base/slice.h"

enum { TAGS = 6, ALL_OF = 12, ITEMS_MAX = 3 };

#define LONG_16 "sixteen letters "
#define LONG_64 LONG_16 LONG_16 LONG_16 LONG_16
/* as long as a tag or a type may be */
#define LONGEST                                                                \
    LONG_64 LONG_64 LONG_64 LONG_16 LONG_16 LONG_16 "15 letters more"

#define TEXT(s)                                                                \
    {                                                                          \
        s, sizeof(s) - 1                                                       \
    }

/* Twice, so that any that lie side by side are different ones. */
static const slice tags[] = {
    TEXT("a"), TEXT("b"), TEXT("c"), TEXT("ab"), TEXT("\0x"), TEXT(LONGEST),
    TEXT("a"), TEXT("b"), TEXT("c"), TEXT("ab"), TEXT("\0x"), TEXT(LONGEST),
};
static const slice types[] = {TEXT(""), TEXT("x"), TEXT("y"), TEXT(LONGEST)};
static const slice never[] = {TEXT("c"), TEXT("never")};

#define ITEM(t, t_count, y, y_count)                                           \
    {                                                                          \
        .tags = (t), .tag_count = (t_count), .types = (y),                     \
        .type_count = (y_count)                                                \
    }
static const persist_query_item items[] = {
    ITEM(tags, 1, NULL, 0),          ITEM(tags, 2, NULL, 0),
    ITEM(tags, 1, types + 1, 1),     ITEM(tags + 1, 2, types + 1, 2),
    ITEM(tags + 5, 1, NULL, 0),      ITEM(never, 2, NULL, 0),
    ITEM(tags + 1, 1, types, 1),     ITEM(tags, 3, NULL, 0),
    ITEM(tags + 3, 2, types, 4),     ITEM(never + 1, 1, types, 2),
    ITEM(tags + 4, 3, types + 3, 1), ITEM(tags + 2, 1, NULL, 0),
};
enum { ITEMS = sizeof items / sizeof *items };

void pool_tag(persist_edit *edit, uint64_t draw)
{
    size_t count = draw / TAGS % 4;
    if (draw / POOL_ALL_TAGS % ALL_OF == 0)
        count = TAGS;
    edit->tags = tags + draw % TAGS;
    edit->tag_count = count;
    if (count > 0)
        edit->type = types[draw / 7 % 4];
}

const persist_query_item *pool_query(uint64_t draw, size_t *count)
{
    size_t first = draw % ITEMS;
    *count = draw % 19 == 0 ? 0 : 1 + draw / ITEMS % ITEMS_MAX;
    if (*count > ITEMS - first)
        *count = ITEMS - first;
    return *count == 0 ? NULL : items + first;
}

void pool_put_tags(buf *out, const persist_event *event)
{
    slice of_event[PERSIST_TAGS_MAX], type;
    size_t count = persist_event_tags(event, of_event, &type);
    if (count == 0)
        return;
    buf_put_str(out, " <");
    buf_put_slice(out, type);
    for (size_t i = 0; i < count; i++) {
        buf_put_byte(out, '|');
        buf_put_slice(out, of_event[i]);
    }
    buf_put_byte(out, '>');
}
