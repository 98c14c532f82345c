/* SPDX-License-Identifier: MIT */
/* Verifying the tags of a table: that they say the same of the events there as
 * the events do. Sums of hashes are equal when the sets are. */
#ifndef ENGINE_VERIFY_VERIFY_TAGS_H
#define ENGINE_VERIFY_VERIFY_TAGS_H

#include "engine/verify/verify_parts.h"

/* What is gathered. Zeroed it is ready. */
typedef struct tags_check {
    uint64_t of_events,
        of_tags;             /* what the events say; what the section does */
    uint64_t count;          /* different tags of the section */
    uint64_t last, position; /* the last one, its hash; its last event */
} tags_check;

/* A hash of an event by its place. */
uint64_t verify_event_hash(slice name, uint64_t seq, uint64_t position);

/* Adds the tags of an event that has some, of that hash. */
void verify_tags_of(tags_check *, slice tagged, uint64_t hash);

/* Adds a run of the section; NULL, or what is wrong with it. */
const char *verify_run(tags_check *, slice key, slice value);

#endif
