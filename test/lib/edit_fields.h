/* SPDX-License-Identifier: MIT */
/* Which fields the kinds of edits take, as persist_edit.h says it. */
#ifndef EDIT_FIELDS_H
#define EDIT_FIELDS_H

#include "persist.h"

enum { EDIT_FIELDS = 7, EDIT_KINDS = 14 };

/* The fields besides the kind, by name. */
extern const char *const edit_field_names[EDIT_FIELDS];

/* Tells whether a kind takes a field. */
bool edit_takes(persist_edit_kind kind, size_t field);

/* Copies one field of an edit to another. */
void edit_copy_field(persist_edit *to, const persist_edit *from, size_t field);

/* Returns an edit with nothing set but what its kind takes; one of no
 * known kind as it is. */
persist_edit edit_trimmed(const persist_edit *from);

#endif
