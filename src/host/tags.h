/* SPDX-License-Identifier: MIT */
/* Tags of events, from values of the language to those of the store: for the
 * ops, and for an import of events that were stored elsewhere. */
#ifndef HOST_TAGS_H
#define HOST_TAGS_H

#include "base/arena.h"
#include "persist.h"
#include "sx.h"

/* With what they are taken. */
typedef struct tag_taker {
    sx *machine;
    arena *room;  /* where what is made lives */
    sx_out *text; /* a type in the making */
    persist_error *error;
} tag_taker;

/* Sets the tags of an event, a dict, in the edit that appends it, and with them
 * its type where it has one. Errors: bad-request for a :tags that is no list of
 * tags; not-storable, limit; without what they are about in front. */
persist_status tags_of_event(const tag_taker *, sx_value event, persist_edit *);

#endif
