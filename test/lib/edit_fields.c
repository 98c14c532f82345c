/* SPDX-License-Identifier: MIT */
/* The kinds of edits and their fields, once more, and edits cut down to them.
 */
#include "edit_fields.h"

#include <string.h>

#include "base/check.h"

const char *const edit_field_names[EDIT_FIELDS] = {
    "name", "data", "seq", "tags", "type", "query", "command"};

static const char *const takes[EDIT_KINDS] = {
    [PERSIST_APPEND] = "name data tags type",
    [PERSIST_APPEND_AT] = "name data seq tags type",
    [PERSIST_TRUNCATE] = "name seq",
    [PERSIST_PUT] = "name data",
    [PERSIST_DELETE] = "name",
    [PERSIST_SET_MARK] = "name seq",
    [PERSIST_SET_POSITION] = "seq",
    [PERSIST_SET_TIME] = "seq",
    [PERSIST_EXPECT_SEQ] = "name seq",
    [PERSIST_EXPECT_KEY] = "name data",
    [PERSIST_EXPECT_ABSENT] = "name",
    [PERSIST_EXPECT_NONE] = "seq query",
    [PERSIST_EXPECT_BLOB] = "name",
    [PERSIST_SET_ONCE] = "command",
};

bool edit_takes(persist_edit_kind kind, size_t field)
{
    CHECK((unsigned)kind < EDIT_KINDS && field < EDIT_FIELDS);
    return strstr(takes[kind], edit_field_names[field]) != NULL;
}

void edit_copy_field(persist_edit *to, const persist_edit *from, size_t field)
{
    CHECK(field < EDIT_FIELDS);
    if (field == 0)
        to->name = from->name;
    else if (field == 1)
        to->data = from->data;
    else if (field == 2)
        to->seq = from->seq;
    else if (field == 4)
        to->type = from->type;
    else if (field == 6)
        to->command = from->command;
    else if (field == 3) {
        to->tags = from->tags;
        to->tag_count = from->tag_count;
    } else {
        to->query = from->query;
        to->query_count = from->query_count;
    }
}

persist_edit edit_trimmed(const persist_edit *from)
{
    persist_edit edit = {.kind = from->kind};
    if ((unsigned)from->kind >= EDIT_KINDS)
        return *from;
    for (size_t i = 0; i < EDIT_FIELDS; i++)
        if (edit_takes(from->kind, i))
            edit_copy_field(&edit, from, i);
    return edit;
}
