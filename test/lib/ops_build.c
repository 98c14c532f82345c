/* SPDX-License-Identifier: MIT */
/* What tests do to a store: the edits of an op, and its bytes. */
#include "ops_build.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "wall.h"

enum {
    LARGE_SIZE = 1500,
    HUGE_SIZE = 9000, /* more than two segments of the smallest size */
    BLOB_LARGE_SIZE = 5100,
};

/* ---- payloads --------------------------------------------------------- */

/* Bytes of an op: its name and serial, then filling that depends on both. The
 * room is the caller's: a crash state is checked in the middle of a call. */
static slice payload(op o, size_t size, unsigned which,
                     char room[OP_PAYLOAD_MAX])
{
    CHECK(size < OP_PAYLOAD_MAX);
    int used = snprintf(room, OP_PAYLOAD_MAX, "%s-%u-%u ", op_name(o.kind),
                        o.serial, which);
    for (size_t i = (size_t)used; i < size; i++)
        room[i] = (char)('a' + (i * 7 + o.serial) % 26);
    return slice_of(room, size < (size_t)used ? (size_t)used : size);
}

slice op_blob(op o, char room[OP_PAYLOAD_MAX])
{
    static const op_kind deleted[] = {OP_BLOB_LARGE, OP_BLOB_SHORT,
                                      OP_BLOB_WRITE};
    if (o.kind == OP_BLOB_READ)
        o.kind = OP_BLOB_SMALL;
    if (o.kind == OP_BLOB_DELETE)
        o.kind = deleted[o.serial % 3];
    CHECK(op_is_blob(o.kind));
    bool large = o.kind == OP_BLOB_LARGE || o.kind == OP_BLOB_WRITE;
    return payload(o, large ? BLOB_LARGE_SIZE : 0, 0, room);
}

/* ---- edits ------------------------------------------------------------ */

static void add(op_command *c, persist_edit_kind kind, const char *name,
                slice data, uint64_t seq)
{
    CHECK(c->count < OP_EDITS_MAX);
    c->edits[c->count++] = (persist_edit){
        .kind = kind, .name = slice_str(name), .data = data, .seq = seq};
}

static void once(op_command *c, const char *id, uint8_t fingerprint)
{
    c->has_once = true;
    c->once.id = slice_str(id);
    memset(c->once.fingerprint, fingerprint, PERSIST_FINGERPRINT_SIZE);
}

static const char *const ids[] = {"once-0", "once-1", "once-2"};

static slice bytes(op_command *c, op o, size_t size, unsigned which)
{
    CHECK(which < OP_EDITS_MAX);
    return payload(o, size, which, c->rooms[which]);
}

static void build_batch(op_command *c, op o)
{
    add(c, PERSIST_APPEND, "a", bytes(c, o, 0, 0), 0);
    add(c, PERSIST_APPEND, "b", bytes(c, o, 300, 1), 0);
    add(c, PERSIST_APPEND, "a", bytes(c, o, 0, 2), 0);
    if (o.kind == OP_BATCH)
        add(c, PERSIST_PUT, "batch", bytes(c, o, 0, 3), 0);
    else
        add(c, PERSIST_APPEND_AT, "b", bytes(c, o, 0, 3), 1);
}

/* Longer than what readers keep in place. */
static const char *long_name(void)
{
    static char name[700];
    memset(name, 'n', sizeof name - 1);
    return name;
}

static void build_expectation(op_command *c, op o, uint64_t mark, slice value)
{
    if (o.kind == OP_EXPECT_KEY) {
        add(c, PERSIST_PUT, "seen", bytes(c, o, 0, 0), 0);
        add(c, PERSIST_EXPECT_KEY, "k", value, 0);
        return;
    }
    if (o.kind == OP_EXPECT_ABSENT) {
        add(c, PERSIST_EXPECT_ABSENT, "k", slice_of(NULL, 0), 0);
        add(c, PERSIST_PUT, "k", bytes(c, o, 0, 0), 0);
        add(c, PERSIST_PUT, long_name(), bytes(c, o, 0, 1), 0);
        add(c, PERSIST_APPEND, long_name(), bytes(c, o, 0, 2), 0);
        return;
    }
    add(c, PERSIST_EXPECT_SEQ, "a", slice_of(NULL, 0),
        o.kind == OP_EXPECT_HOLDS ? mark : mark + 1);
    add(c, PERSIST_APPEND, "a", bytes(c, o, 0, 0), 0);
}

/* One edit of each kind: whatever fails in the middle is taken back. */
static void build_mixed(op_command *c, op o, const op_seen *s)
{
    slice none = slice_of(NULL, 0);
    add(c, PERSIST_PUT, "k", bytes(c, o, 0, 0), 0);
    add(c, PERSIST_TRUNCATE, "a", none, s->mark / 2);
    add(c, PERSIST_SET_MARK, "marked", none, s->marked + 1);
    add(c, PERSIST_SET_POSITION, "", none, s->next + o.serial % 3);
    add(c, PERSIST_DELETE, "k/large", none, 0);
    add(c, PERSIST_SET_TIME, "", none, s->time + o.serial % 3 * 650);
    add(c, PERSIST_APPEND, "large", bytes(c, o, LARGE_SIZE, 1), 0);
    pool_tag(&c->edits[c->count - 1], o.serial);
    add(c, PERSIST_PUT, "mixed", bytes(c, o, 0, 2), 0);
}

/* Mostly upwards; what goes down is refused, with all that stands before it. */
static void build_marks(op_command *c, op o, const op_seen *s)
{
    slice none = slice_of(NULL, 0);
    uint64_t below = o.serial % 8 == 7;
    add(c, PERSIST_SET_POSITION, "", none, s->next + o.serial % 5);
    add(c, PERSIST_SET_MARK, "marked", none,
        s->marked - (s->marked == 0 ? 0 : below) + (o.serial % 3) * !below);
}

/* Just below the next border of how numbers are coded. */
static uint64_t below_border(uint64_t number)
{
    static const unsigned borders[] = {7, 12, 16, 31, 32, 47, 53, 62};
    size_t i = 0;
    while (i + 1 < sizeof borders / sizeof *borders &&
           number + 1 >= (uint64_t)1 << borders[i])
        i++;
    return ((uint64_t)1 << borders[i]) - 2;
}

/* As an import has it: the id of a commit here, or another's. */
static void build_set_once(op_command *c, op o)
{
    add(c, PERSIST_SET_ONCE, "", slice_of(NULL, 0), 0);
    c->seqs[0] = 1 + o.serial / 3;
    c->seqs[1] = PERSIST_SEQ_MAX;
    c->set = (persist_command){.id = slice_str(ids[o.serial % 3]),
                               .seqs = c->seqs,
                               .seq_count = o.serial % 4 % 3};
    memset(c->set.fingerprint, o.serial % 2, sizeof c->set.fingerprint);
    c->edits[0].command = &c->set;
    add(c, PERSIST_APPEND, "b", bytes(c, o, 0, 0), 0);
}

static void build_leap(op_command *c, const op_seen *s)
{
    slice none = slice_of(NULL, 0);
    add(c, PERSIST_SET_MARK, "a", none, below_border(s->mark));
    add(c, PERSIST_SET_POSITION, "", none, below_border(s->next));
}

/* Two events that queries find. */
static void build_tagged(op_command *c, op o)
{
    add(c, PERSIST_APPEND, "a", bytes(c, o, 0, 0), 0);
    pool_tag(&c->edits[0], o.serial);
    add(c, PERSIST_APPEND, "tagged", bytes(c, o, 200, 1), 0);
    pool_tag(&c->edits[1], (uint64_t)o.serial * 31 + 8);
}

/* What was decided from a query, which has matched up to a position; or from
 * half of what it matches. */
static void build_decided(op_command *c, op o, uint64_t position)
{
    add(c, PERSIST_EXPECT_NONE, "", slice_of(NULL, 0),
        o.kind == OP_DECIDED ? position : position / 2);
    c->edits[0].query = pool_query(o.serial, &c->edits[0].query_count);
    add(c, PERSIST_APPEND, "decided", bytes(c, o, 0, 0), 0);
    pool_tag(&c->edits[1], o.serial);
}

/* An event that names a blob, on the condition that it is there. */
static void build_reference(op_command *c, op o)
{
    char room[OP_PAYLOAD_MAX];
    char *cid = c->rooms[0];
    o.kind = OP_BLOB_SMALL;
    persist_cid_of(op_blob(o, room), cid);
    add(c, PERSIST_EXPECT_BLOB, cid, slice_of(NULL, 0), 0);
    add(c, PERSIST_APPEND, "refs", slice_str(cid), 0);
}

/* The plain ones; the others have their own functions. */
static void build_simple(op_command *c, op o, uint64_t mark)
{
    slice none = slice_of(NULL, 0);
    switch (o.kind) {
    case OP_APPEND_A:
    case OP_APPEND_B:
        add(c, PERSIST_APPEND, o.kind == OP_APPEND_A ? "a" : "b",
            bytes(c, o, 0, 0), 0);
        break;
    case OP_APPEND_LARGE:
    case OP_APPEND_HUGE:
        add(c, PERSIST_APPEND, "large",
            bytes(c, o, o.kind == OP_APPEND_HUGE ? HUGE_SIZE : LARGE_SIZE, 0),
            0);
        break;
    case OP_APPEND_AT:
        add(c, PERSIST_APPEND_AT, "a", bytes(c, o, 0, 0), mark + 3);
        break;
    case OP_APPEND_TAKEN:
        add(c, PERSIST_APPEND_AT, "a", bytes(c, o, 0, 0), mark);
        break;
    case OP_PUT_K:
        add(c, PERSIST_PUT, "k", bytes(c, o, 0, 0), 0);
        break;
    case OP_PUT_LARGE:
        add(c, PERSIST_PUT, "k/large", bytes(c, o, LARGE_SIZE, 0), 0);
        break;
    case OP_DELETE_K:
        add(c, PERSIST_DELETE, "k", none, 0);
        break;
    case OP_PUT_DELETE:
        add(c, PERSIST_PUT, "gone", bytes(c, o, 0, 0), 0);
        add(c, PERSIST_DELETE, "gone", none, 0);
        add(c, PERSIST_DELETE, "never", none, 0);
        add(c, PERSIST_PUT, "", none, 0);
        break;
    case OP_TRUNCATE_HALF:
    case OP_TRUNCATE_ALL:
        add(c, PERSIST_TRUNCATE, "a", none,
            o.kind == OP_TRUNCATE_ALL ? mark : mark / 2);
        break;
    default:
        once(c, ids[o.serial % 3], o.kind == OP_ONCE_APPEND);
        add(c, PERSIST_APPEND, "a", slice_str(ids[o.serial % 3]), 0);
        break;
    }
}

void op_build(op_command *c, op o, const op_seen *s)
{
    c->count = 0;
    c->has_once = false;
    switch (o.kind) {
    case OP_BATCH:
    case OP_BATCH_REFUSED:
        build_batch(c, o);
        break;
    case OP_SET_MARK:
        build_marks(c, o, s);
        break;
    case OP_MIXED:
        build_mixed(c, o, s);
        break;
    case OP_TAGGED:
        build_tagged(c, o);
        break;
    case OP_DECIDED:
    case OP_UNDECIDED:
        build_decided(c, o, s->mark);
        break;
    case OP_LEAP:
        build_leap(c, s);
        break;
    case OP_SET_ONCE:
        build_set_once(c, o);
        break;
    case OP_REFER:
        build_reference(c, o);
        break;
    case OP_EXPECT_HOLDS:
    case OP_EXPECT_FAILS:
    case OP_EXPECT_KEY:
    case OP_EXPECT_ABSENT:
        build_expectation(c, o, s->mark, s->value);
        break;
    default:
        build_simple(c, o, s->mark);
        break;
    }
}
