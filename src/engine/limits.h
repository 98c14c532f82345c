/* SPDX-License-Identifier: MIT */
/* Every bound of the engine, and how the bounds depend on each other. */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include "base/check.h"
#include "persist.h"

/* Version of everything in a store directory; docs/FORMAT.md. */
#define FORMAT_VERSION 1u

/* Parts of a log segment start at multiples of this. */
#define LOG_ALIGN 8u
/* The header has a sector of its own: later writes never touch it. */
#define SEGMENT_HEADER_SIZE 512u
#define SEGMENT_SIZE_DEFAULT (4u << 20)
#define SEGMENT_SIZE_MIN 4096u
#define SEGMENT_SIZE_MAX (1u << 30)
/* A segment that is made for one big record is a multiple of this. */
#define SEGMENT_ROUND 4096u
/* Segments that the background keeps ready. */
#define SEGMENT_SPARES 2u

#define RECORD_HEADER_SIZE 48u
/* What an edit costs in a record besides its name and data, at most. */
#define RECORD_EDIT_OVERHEAD 17u
#define RECORD_BODY_MAX (128u << 20)

/* Records that wait in memory to be written, two segments of them but no more
 * than this; a bigger one waits alone. */
#define LOG_BUFFER_SEGMENTS 2u
#define LOG_BUFFER_SIZE_MAX (8u << 20)

/* Damage is looked behind for valid records: this many times the length of a
 * segment is hashed for it at the most. */
#define LOOK_AHEAD_FACTOR 16u

#define MANIFEST_SIZE_MAX (64u << 20)

/* Events of one stream lie in chunks that grow from the first size to the
 * other; a bigger event has a chunk of its own. */
#define CHUNK_SIZE_FIRST 512u
#define CHUNK_SIZE_MAX (64u << 10)
/* Events in one block of the order of all events. */
#define ORDER_BLOCK 1024u
/* What a cursor over keys or over all streams takes under one lock. */
#define CURSOR_BATCH 128u

CHECK_STATIC(SEGMENT_HEADER_SIZE % LOG_ALIGN == 0, "records are aligned");
CHECK_STATIC(RECORD_HEADER_SIZE % LOG_ALIGN == 0, "records are aligned");
CHECK_STATIC(SEGMENT_ROUND % LOG_ALIGN == 0, "segments are aligned");
CHECK_STATIC(SEGMENT_SIZE_DEFAULT % SEGMENT_ROUND == 0, "whole pages");
CHECK_STATIC(SEGMENT_SIZE_MIN >= SEGMENT_HEADER_SIZE + RECORD_HEADER_SIZE,
             "a segment holds a record");
/* persist_commit counts 16 bytes an edit: see store.c. */
CHECK_STATIC(PERSIST_COMMIT_SIZE_MAX / 16 * RECORD_EDIT_OVERHEAD +
                     PERSIST_NAME_SIZE_MAX + PERSIST_FINGERPRINT_SIZE + 64 <=
                 RECORD_BODY_MAX,
             "every commit fits in a record");
CHECK_STATIC(RECORD_BODY_MAX + (1u << 20) <= SEGMENT_SIZE_MAX,
             "every record fits in a segment");
CHECK_STATIC(PERSIST_VALUE_SIZE_MAX <= PERSIST_COMMIT_SIZE_MAX,
             "every value fits in a commit");
CHECK_STATIC(PERSIST_VALUE_SIZE_MAX < UINT32_MAX / 2, "chunk offsets fit");

#endif
