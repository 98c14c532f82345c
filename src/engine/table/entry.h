/* SPDX-License-Identifier: MIT */
/* What the entries of a table's sections say: keys and values, in bytes. */
#ifndef ENGINE_TABLE_ENTRY_H
#define ENGINE_TABLE_ENTRY_H

#include "engine/files/files.h"
#include "engine/table/table_file.h"

enum {
    ENTRY_EVENT_KEY_MAX = 18,
    ENTRY_ORDER_KEY_SIZE = 8,
    ENTRY_TAG_KEY_MAX = 1 + PERSIST_TAG_SIZE_MAX + 9
};

/* ---- streams: name -> state, and where the events are ------------------ */

typedef struct stream_entry {
    stream_state state;   /* as of the table's last commit */
    uint64_t ordinal;     /* the stream's events have keys that begin with it */
    uint64_t events;      /* how many are in this table */
    uint64_t first, last; /* their lowest and highest seq; 0: there are none */
} stream_entry;

/* Appends an entry's value; decodes one, false if it is not well-formed. */
void entry_put_stream(buf *, const stream_entry *);
bool entry_get_stream(slice value, stream_entry *out);

/* ---- events: ordinal, seq -> position, data ----------------------------- */

/* Encodes the key of an event; returns what it takes of the memory. */
slice entry_event_key(uint64_t ordinal, uint64_t seq,
                      uint8_t out[ENTRY_EVENT_KEY_MAX]);

/* Decodes the key of an event; false if it is not well-formed. */
bool entry_split_event(slice key, uint64_t *ordinal, uint64_t *seq);

/* An event. The first of a stream in a block, and of a block, also tells how
 * many events, and bytes of data, ever came before it in its stream. */
typedef struct event_entry {
    uint64_t ordinal, seq; /* the key */
    uint64_t position;
    bool anchored;
    uint64_t index, bytes_before;
    slice tagged; /* type and tags, packed; empty: it has none */
    slice data;
} event_entry;

/* Appends the value; decodes key and value, whose data then lives as long as
 * the value, false if they are not well-formed. */
void entry_put_event(buf *, const event_entry *);
bool entry_get_event(slice key, slice value, event_entry *out);
/* Decodes the value alone; ordinal and seq, which the key has, are 0. */
bool entry_get_event_value(slice value, event_entry *out);

/* Events that lie side by side in a block. */
typedef struct event_run {
    uint32_t at;        /* index of the entry that comes next */
    bool back;          /* to the one before, not behind it */
    uint64_t ordinal;   /* of their stream */
    uint64_t low, high; /* their seqs are in between */
    slice name;         /* of the stream, to be handed out */
} event_run;

/* Decodes up to `most` events; returns how many. It stops where the block ends,
 * and before what is not such an event or not well-formed. */
uint32_t entry_get_run(const block_view *, const event_run *,
                       persist_event *out, uint32_t most);

/* ---- keys: name -> value, or that it was deleted ------------------------ */

/* Appends an entry's value; decodes one, the value in it lives as long; false
 * if it is not well-formed. */
void entry_put_key(buf *, bool deleted, slice value);
bool entry_get_key(slice entry, bool *deleted, slice *value);

/* ---- command ids -------------------------------------------------------- */

typedef struct once_entry {
    persist_lsn lsn;
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
    uint64_t seq_count;
    slice seqs; /* packed: see entry_get_seqs */
} once_entry;

/* Appends an entry's value; decodes one, false if it is not well-formed. */
void entry_put_once(buf *, persist_lsn, const uint8_t *fingerprint,
                    const uint64_t *seqs, size_t seq_count);
bool entry_get_once(slice value, once_entry *out);
/* Unpacks seq_count numbers; false if they are not well-formed. */
bool entry_get_seqs(const once_entry *, uint64_t *out);

/* ---- blobs: digest -> where its bytes are, or that it was deleted -------- */

/* Appends the value; decodes key and value, false if they are not
 * well-formed. */
void entry_put_blob(buf *, const blob_entry *);
bool entry_get_blob(slice key, slice value, blob_entry *out);

/* ---- order: position -> seq, stream ------------------------------------- */

/* Encodes the key of a position. */
void entry_order_key(uint64_t position, uint8_t out[ENTRY_ORDER_KEY_SIZE]);
/* Appends the value; decodes key and value, whose name then lives as long as
 * the value, false if they are not well-formed. */
void entry_put_order(buf *, uint64_t seq, slice name);
bool entry_get_order(slice key, slice value, uint64_t *position, uint64_t *seq,
                     slice *name);

/* ---- keys of tags: tag, position; postings.h has what they lead to ------- */

/* Encodes a key; returns what it takes of the memory. */
slice entry_tag_key(slice tag, uint64_t position,
                    uint8_t out[ENTRY_TAG_KEY_MAX]);
/* The same where the tag of another key is: its position becomes this. */
slice entry_tag_key_of(uint8_t key[ENTRY_TAG_KEY_MAX], uint64_t position);
/* The tag of a key that entry_tag_key has made; empty if it is no such. */
slice entry_tag_of(slice key);
/* Decodes a key; false if it is not well-formed. */
bool entry_split_tag(slice key, slice *tag, uint64_t *position);

#endif
