/* SPDX-License-Identifier: MIT */
/* The bytes of the log: segment headers, and records that hold one commit
 * each. docs/FORMAT.md defines them. */
#ifndef ENGINE_LOG_RECORD_H
#define ENGINE_LOG_RECORD_H

#include "base/buf.h"
#include "base/slice.h"
#include "engine/files/files.h"
#include "persist.h"

/* What stands at the start of a segment file. */
typedef struct segment_header {
    uint64_t identity; /* of the store */
    uint64_t number;   /* of the segment; also its file name */
    uint64_t epoch;    /* of the opening that may write records here */
    uint64_t size;     /* of the file, bytes */
    uint64_t version;  /* of the format, when the segment was made ready */
} segment_header;

/* Encodes a header into exactly SEGMENT_HEADER_SIZE bytes. */
void segment_header_encode(const segment_header *,
                           uint8_t out[SEGMENT_HEADER_SIZE]);

/* Decodes a header; false if the bytes are none of ours, or damaged. */
bool segment_header_decode(slice bytes, segment_header *out);
/* Takes the first fields, but the size, out of a header that was cut. */
bool segment_header_begins(slice bytes, segment_header *);

/* The fixed part of a record. */
typedef struct record_header {
    uint32_t body_size; /* bytes, without the padding */
    persist_lsn lsn;
    uint64_t identity;
    uint64_t segment;
    persist_lsn watermark; /* everything up to it was durable by then; its own
                              lsn in a copy that recovery made */
} record_header;

/* A record without a body is no commit: the proof that a quiet log ends with,
 * and that the next record is written over. It tells that its lsn is durable,
 * which else only the record after that one would. */
static inline bool record_is_proof(const record_header *h)
{
    return h->body_size == 0 && h->watermark == h->lsn;
}

/* Returns the bytes that a record with such a body takes in the log. */
uint64_t record_size(uint64_t body_size);

/* Append what a commit does, piece by piece, to a buffer that holds room for a
 * header in front: first the position that its first event gets, and its time;
 * then the writing edits, an append with the number it was given; last the
 * command id, or, alone, that a blob is there, or was deleted. */
void record_put_position(buf *, uint64_t position, uint64_t time);
void record_put_edit(buf *, const persist_edit *, uint64_t seq);
void record_put_once(buf *, const persist_once *);
void record_put_blob(buf *, const blob_entry *);

/* In front of an edit, what its replay would have to ask older layers: that its
 * stream was not in the memtable, and what they had of it (NULL: nothing); then
 * what it, a truncation of events in them, leaves. */
void record_put_stream(buf *, const stream_state *base);
void record_put_floor(buf *, const stream_floor *);

/* Fills in header and padding of a record of record_size bytes whose body is
 * in place, for an offset in its segment. The checksum covers the offset: a
 * record that lies anywhere else is not valid. */
void record_seal(uint8_t *record, const record_header *, uint64_t offset);

/* Makes a valid record, which was read at the offset `from`, the copy of
 * itself at the offset `to` of another segment. */
void record_copy(uint8_t *record, uint64_t from, uint64_t segment, uint64_t to);

/* Returns the first offset, from the given one on, where the bytes of a
 * segment look like the beginning of a record; their size if there is none. */
uint64_t record_look(slice segment, uint64_t offset);

/* Looks at the bytes of a segment from an offset on: true if a valid record
 * of this store and segment begins there. *hashed, unless NULL, grows by the
 * bytes that were summed up. */
bool record_read(slice segment, uint64_t offset, uint64_t identity,
                 uint64_t number, record_header *out, uint64_t *hashed);

/* The same, of bytes that begin at an offset of the segment. */
bool record_read_part(slice bytes, uint64_t from, uint64_t offset,
                      uint64_t identity, uint64_t number, record_header *out,
                      uint64_t *hashed);

/* What was in front of an edit. */
typedef struct record_past {
    size_t edit; /* its index */
    bool enters; /* its stream was not in the memtable, */
    bool based;  /* and older layers had it: */
    stream_state base;
    bool cuts; /* it truncates events in older layers, and leaves: */
    stream_floor floor;
} record_past;

/* A decoded body. The slices point into the record. */
typedef struct record_body {
    uint64_t size; /* of the whole record, bytes */
    uint64_t position;
    uint64_t time;       /* of the commit; 0: of version 2 */
    persist_edit *edits; /* kinds that write, PERSIST_APPEND_AT for appends */
    size_t edit_count;
    size_t edit_capacity;
    slice *tags; /* of all edits */
    size_t tag_count, tag_capacity;
    persist_command *commands; /* that are set, in the order of edits */
    size_t command_count, command_capacity;
    uint64_t *seqs; /* of all commands */
    size_t seq_count, seq_capacity;
    record_past *pasts; /* in the order of edits, one each at the most */
    size_t past_count, past_capacity;
    bool has_once, has_blob;
    persist_once once;
    blob_entry blob;
} record_body;

typedef enum record_result {
    RECORD_OK,
    RECORD_MALFORMED,
    RECORD_NO_MEMORY,
} record_result;

/* Decodes a body into a struct that is zeroed before its first use and may be
 * used again. */
record_result record_decode_body(slice body, record_body *out);
void record_body_release(record_body *);

/* Decodes the body of a damaged record as if it were whole, to name what it
 * was about; what comes of it may be wrong. */
record_result record_guess_body(slice segment, uint64_t offset,
                                record_body *out);

#endif
