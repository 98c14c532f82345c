/* SPDX-License-Identifier: MIT */
/* What tests do to a store: an alphabet of ops, sequences of them from a
 * seed, as text, and what an op answers. */
#ifndef TEST_OPS_H
#define TEST_OPS_H

#include "base/buf.h"
#include "persist.h"
#include "sx.h"

/* X(NAME, "name", weight in random sequences) */
#define OP_LIST(X)                                                             \
    X(APPEND_A, "append-a", 8)                                                 \
    X(APPEND_B, "append-b", 4)                                                 \
    X(APPEND_LARGE, "append-large", 3)                                         \
    X(APPEND_HUGE, "append-huge", 1)                                           \
    X(APPEND_AT, "append-at", 2)                                               \
    X(APPEND_TAKEN, "append-taken", 1)                                         \
    X(BATCH, "batch", 4)                                                       \
    X(BATCH_REFUSED, "batch-refused", 1)                                       \
    X(PUT_K, "put-k", 4)                                                       \
    X(PUT_LARGE, "put-large", 2)                                               \
    X(DELETE_K, "delete-k", 2)                                                 \
    X(PUT_DELETE, "put-delete", 1)                                             \
    X(TRUNCATE_HALF, "truncate-half", 1)                                       \
    X(TRUNCATE_ALL, "truncate-all", 1)                                         \
    X(SET_MARK, "set-mark", 1)                                                 \
    X(ONCE_APPEND, "once-append", 2)                                           \
    X(ONCE_OTHER, "once-other", 1)                                             \
    X(SET_ONCE, "set-once", 2)                                                 \
    X(EXPECT_HOLDS, "expect-holds", 1)                                         \
    X(EXPECT_FAILS, "expect-fails", 1)                                         \
    X(EXPECT_KEY, "expect-key", 1)                                             \
    X(EXPECT_ABSENT, "expect-absent", 1)                                       \
    X(TAGGED, "tagged", 4)                                                     \
    X(DECIDED, "decided", 2)                                                   \
    X(UNDECIDED, "undecided", 1)                                               \
    X(BLOB_SMALL, "blob-small", 1)                                             \
    X(BLOB_LARGE, "blob-large", 1)                                             \
    X(BLOB_WRITE, "blob-write", 1)                                             \
    X(BLOB_SHORT, "blob-short", 1)                                             \
    X(BLOB_DELETE, "blob-delete", 2)                                           \
    X(BLOB_READ, "blob-read", 1)                                               \
    X(REFER, "refer", 2)                                                       \
    X(MIXED, "mixed", 2)                                                       \
    X(LEAP, "leap", 1)                                                         \
    X(READ, "read", 1)                                                         \
    X(STEP, "step", 6)                                                         \
    X(WAIT, "wait", 5)                                                         \
    X(REOPEN, "reopen", 1)                                                     \
    X(KILL, "kill", 1)                                                         \
    X(BACKUP, "backup", 2)                                                     \
    X(COMPACT, "compact", 1)                                                   \
    X(PURGE, "purge", 1)

typedef enum op_kind {
#define OP_ENUM(name, text, weight) OP_##name,
    OP_LIST(OP_ENUM)
#undef OP_ENUM
        OP_KINDS
} op_kind;

enum { OP_PAYLOAD_MAX = 9216 };

/* One op. The serial makes its bytes its own; equal ops write equal bytes. */
typedef struct op {
    op_kind kind;
    unsigned serial;
} op;

const char *op_name(op_kind);

/* True for STEP, WAIT, REOPEN, KILL, BACKUP, COMPACT and PURGE: what the one
 * who runs the sequence does with the store itself. */
bool op_is_control(op_kind);

/* True for the last two of them. */
bool op_is_tidy(op_kind);

/* True for the ops that put a blob. */
bool op_is_blob(op_kind);

/* Draws an op. */
op op_random(uint64_t *random);

/* Writes ops as "append-a:3 wait:4 ..."; reads them back, at most max. Returns
 * the count; 0 when the text is none. */
void ops_print(const op *, size_t count, buf *out);
size_t ops_parse(const char *text, op *out, size_t max);

/* Compacts or purges, as the op says. */
persist_status op_tidy(persist_store *, op, persist_error *error);

/* Does an op that is no control op. Appends to answer, as text, all that the
 * store said: status, error numbers, outcome. */
persist_status op_apply(persist_store *, op, buf *answer, persist_error *error);

/* The content of the blob that an op puts, or deletes, made in room: never one
 * that OP_REFER may name. */
slice op_blob(op, char room[OP_PAYLOAD_MAX]);

/* Reads a blob whole and compares it with the bytes that were put. PERSIST_OK:
 * they are the same; SX_ERROR: not; else what the store said. */
persist_status op_read_blob(persist_store *, op, persist_error *error);

/* Appends everything that reads can tell of a store, as text: streams, marks,
 * events both ways and in commit order, keys, command ids, blobs, position.
 * Checks that the reads agree with each other. */
persist_status store_dump(persist_store *, persist_view, buf *out,
                          persist_error *error);

/* Looks for each blob that an event of OP_REFER names; SX_ERROR: it is not
 * there. */
persist_status store_check_references(persist_store *, persist_view,
                                      persist_error *error);

/* Appends the lines in which two dumps differ, a few of them. */
void dump_difference(slice expected, slice actual, buf *out);

/* ---- tag_pool.c: tags, types and queries to draw from, few of them ------- */

/* Gives an append tags and a type, or none, by a number. */
void pool_tag(persist_edit *, uint64_t draw);
enum { POOL_ALL_TAGS = 24 }; /* below it is given all there are */

/* Returns the items of a query, from none to three, by a number; they stay. */
const persist_query_item *pool_query(uint64_t draw, size_t *count);

/* Appends type and tags of an event as text; nothing if it has none. */
void pool_put_tags(buf *, const persist_event *);

#endif
