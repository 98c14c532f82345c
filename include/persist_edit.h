/* SPDX-License-Identifier: MIT */
/* What a commit consists of: the words of persist_commit, and their limits. */
#ifndef PERSIST_EDIT_H
#define PERSIST_EDIT_H

#include <stdbool.h>

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The number of a commit: 1 for the first, then one more each; 0: none. It is
 * never given again: after an end without a close, commits go on 2^24 higher.
 * So a number means the same in every process, for ever. */
typedef uint64_t persist_lsn;

#define PERSIST_NAME_SIZE_MAX 65535u       /* stream or key, bytes */
#define PERSIST_VALUE_SIZE_MAX (16u << 20) /* value or event, bytes */
/* All edits of one, bytes. Counted are, of each edit, its name (also where it
 * is that of the edit before), its data and PERSIST_EDIT_OVERHEAD; and
 * PERSIST_NAME_OVERHEAD where its name is another one than that of the edit
 * before, as for the first; of a command its id; for tags see below. The
 * overheads stand for the memory that an edit takes besides. So into one commit
 * fit 986,892 events of one byte of a stream whose name has three (68 each),
 * 401,848 of 100 bytes (167 each), or 250,406 new keys that with their values
 * have 12 bytes (268 each). Until it is in a table a commit takes memory twice,
 * so big ones, one after the other, take up to four times this. */
#define PERSIST_COMMIT_SIZE_MAX (64u << 20)
#define PERSIST_EDIT_OVERHEAD 64u
#define PERSIST_NAME_OVERHEAD 192u
#define PERSIST_SEQ_MAX ((uint64_t)INT64_MAX) /* the highest event number */
#define PERSIST_CID_SIZE 59u                  /* characters of a cid */
/* Tags of an event, and of an item of a query; the bytes of a tag, at least
 * one, and of a type; all tags, and all types, of a query. Of a commit a tag
 * takes PERSIST_TAG_OVERHEAD besides its bytes. */
#define PERSIST_TAGS_MAX 64u
#define PERSIST_TAG_SIZE_MAX 255u
#define PERSIST_TYPE_SIZE_MAX 255u
#define PERSIST_QUERY_MAX 1024u
#define PERSIST_TAG_OVERHEAD 96u

typedef enum persist_edit_kind {
    PERSIST_APPEND = 0,       /* name = stream, data = event; the store numbers
                                 it */
    PERSIST_APPEND_AT = 1,    /* the same with the number given: seq > mark */
    PERSIST_TRUNCATE = 2,     /* name = stream, seq: drop the events up to it; a
                                 commit that drops nothing so, and does nothing
                                 else, writes nothing and has no lsn of its own
                               */
    PERSIST_PUT = 3,          /* name = key, data = value */
    PERSIST_DELETE = 4,       /* name = key; absent is fine */
    PERSIST_SET_MARK = 5,     /* name = stream, which it makes, seq: the mark */
    PERSIST_SET_POSITION = 6, /* seq: the position of the next event, in this
                                 commit or a later one */
    PERSIST_SET_TIME = 7,     /* seq: microseconds since 1970; the commit has
                                 this time, not the clock's */
    PERSIST_EXPECT_SEQ = 8,   /* name = stream: its mark is seq */
    PERSIST_EXPECT_KEY = 9,   /* name = key: its value equals data */
    PERSIST_EXPECT_ABSENT = 10, /* name = key: it is absent */
    PERSIST_EXPECT_NONE = 11,   /* query: no event that matches has a position
                                   above seq; see "decisions" below */
    PERSIST_EXPECT_BLOB = 12,   /* name = cid: the blob was put, as
                                   persist_blob_has tells; its bytes are not
                                   read */
    PERSIST_SET_ONCE = 13,      /* command: its id is kept as if its commit had
                                   been made here, and had given these numbers
                                   */
} persist_edit_kind;

enum { PERSIST_FINGERPRINT_SIZE = 32 };

/* A command id: the commit that carries it happens once, ever. The
 * fingerprint is the caller's hash of what the command asks for. A commit that
 * is refused, by a conflict or an error, has not happened, and keeps nothing of
 * the id: the next commit that carries it is looked at afresh. */
typedef struct persist_once {
    persist_slice id; /* at most PERSIST_NAME_SIZE_MAX bytes */
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
} persist_once;

/* What is kept of a command id. */
typedef struct persist_command {
    persist_slice id;
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
    const uint64_t *seqs; /* the numbers that its commit gave, in order: from 1
                             to PERSIST_SEQ_MAX each */
    size_t seq_count;
    persist_lsn lsn; /* of its commit, or one to wait for, as in an outcome;
                        PERSIST_SET_ONCE does not look */
    uint64_t reserved[2]; /* 0, or PERSIST_SET_ONCE is PERSIST_BAD_REQUEST */
} persist_command;

/* For an import: PERSIST_SET_MARK, PERSIST_SET_POSITION, PERSIST_SET_TIME and
 * PERSIST_SET_ONCE make what is stored anew look as it did. Numbers, positions
 * and times are what they were, also where events between are gone, and a
 * repeated command gets its first result.
 *
 * Marks, positions and times go upwards only, or stay: what is below the mark,
 * the next position or the time of the last commit is PERSIST_SEQ_CONFLICT, and
 * nothing is written. A commit has one time: a second PERSIST_SET_TIME in it is
 * PERSIST_BAD_REQUEST. Beware of one far ahead, it cannot be taken back: until
 * the clock is there all commits have that same time, and PERSIST_SET_TIME can
 * give no earlier one. A command id that is there already, with the same
 * fingerprint and numbers, stays as it is; with others, or when it is that of
 * the commit itself, it is PERSIST_BAD_REQUEST. */

/* A part of a query: an event matches it when it has all its tags and, if types
 * are given, one of them. It matches a query, which is a list of such items,
 * when it matches one: a list of none (count 0, the pointer may be NULL) asks
 * for nothing, and nothing matches it; an item without tags is
 * PERSIST_BAD_REQUEST, and does not stand for all. Events that are truncated
 * match no more. */
typedef struct persist_query_item {
    const persist_slice *tags; /* 1 to PERSIST_TAGS_MAX */
    size_t tag_count;
    const persist_slice *types; /* any when there are none */
    size_t type_count;
    uint64_t reserved[2]; /* 0, or the query is PERSIST_BAD_REQUEST */
} persist_query_item;

/* Decisions, by PERSIST_EXPECT_NONE: what was decided from a query is committed
 * on the condition that nothing has come since that it would match. `seq` is
 * then the position up to which the query has seen. When the decision rests on
 * several reads, they must be of one state: take a snapshot
 * (persist_snapshot_open), read all in it, and give its persist_position as
 * `seq`, with the items of all queries in one condition. Two reads of
 * PERSIST_LATEST may have a commit between them, which the first has not seen,
 * and which the position of the second covers. At a conflict begin anew, with a
 * new snapshot. A `seq` above the newest position is taken, and holds: nothing
 * is above it yet. What is truncated conflicts no more: who truncates such
 * streams adds PERSIST_EXPECT_SEQ. examples/c/seats.c shows it. */

/* An edit takes the fields that its kind names, and nothing else may be set: a
 * field of another kind that is not 0 or empty is PERSIST_BAD_REQUEST, as it
 * would be ignored. Empty are a slice of no bytes and a list of no entries,
 * wherever they point to; but a PERSIST_EXPECT_NONE that points to a query has
 * to say of how many items. */
typedef struct persist_edit {
    persist_edit_kind kind;
    persist_slice name; /* stream or key, at most PERSIST_NAME_SIZE_MAX */
    persist_slice data; /* event or value, at most PERSIST_VALUE_SIZE_MAX */
    uint64_t seq;
    /* PERSIST_APPEND, PERSIST_APPEND_AT: what queries find the event by: up to
     * PERSIST_TAGS_MAX tags, all different, and, with tags only, a type */
    const persist_slice *tags;
    size_t tag_count;
    persist_slice type;
    /* PERSIST_EXPECT_NONE: the items of a query; NULL and 0: none, which always
     * holds. Items with a count of 0 are PERSIST_BAD_REQUEST: it was forgotten,
     * and the condition would always hold. */
    const persist_query_item *query;
    size_t query_count;
    const persist_command *command; /* PERSIST_SET_ONCE */
    uint64_t reserved[2]; /* 0, or the commit is PERSIST_BAD_REQUEST */
} persist_edit;

typedef enum persist_outcome_kind {
    PERSIST_COMMITTED = 0,
    PERSIST_CONFLICT = 1, /* an expectation failed: nothing was written */
    PERSIST_REPEATED = 2, /* the command id was there: nothing was written */
} persist_outcome_kind;

/* What became of a commit. */
typedef struct persist_outcome {
    persist_outcome_kind kind;
    persist_lsn lsn; /* wait for this one: of the commit, of the first commit
                        of a repeated command (or a later one, if it is from
                        thousands of ends without a close ago), or the last one
                        that the conflict saw */
    /* one number for each PERSIST_APPEND or PERSIST_APPEND_AT edit, in order:
     * the event's seq; for a repeated command those of the first time */
    uint64_t *seqs;
    size_t seq_count;
    /* a conflict: index of the failed edit, and what was there instead */
    size_t edit;
    uint64_t actual_seq;        /* PERSIST_EXPECT_SEQ: the mark;
                                   PERSIST_EXPECT_NONE: the position of the
                                   first event that matches */
    bool actual_present;        /* PERSIST_EXPECT_KEY, PERSIST_EXPECT_ABSENT:
                                   is the key there */
    persist_slice actual_value; /* and if so its value */
    uint64_t reserved[4];
} persist_outcome;

#ifdef __cplusplus
}
#endif

#endif
