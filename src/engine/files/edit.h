/* SPDX-License-Identifier: MIT */
/* Kinds of edits. */
#ifndef ENGINE_FILES_EDIT_H
#define ENGINE_FILES_EDIT_H

#include <stdbool.h>

#include "persist.h"

/* Tells whether an edit only looks: it must hold before the others apply. */
static inline bool edit_is_expectation(const persist_edit *edit)
{
    return edit->kind == PERSIST_EXPECT_SEQ ||
           edit->kind == PERSIST_EXPECT_KEY ||
           edit->kind == PERSIST_EXPECT_ABSENT ||
           edit->kind == PERSIST_EXPECT_NONE ||
           edit->kind == PERSIST_EXPECT_BLOB;
}

/* Tells whether an edit adds an event. */
static inline bool edit_is_append(const persist_edit *edit)
{
    return edit->kind == PERSIST_APPEND || edit->kind == PERSIST_APPEND_AT;
}

/* Tells whether an edit writes a key. */
static inline bool edit_is_of_key(const persist_edit *edit)
{
    return edit->kind == PERSIST_PUT || edit->kind == PERSIST_DELETE;
}

#endif
