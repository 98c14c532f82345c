/* SPDX-License-Identifier: MIT */
/* What tests do to a store: the ops and what they answer. */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "os_sim_disk.h"

enum {
    LARGE_SIZE = 1500,
    HUGE_SIZE = 9000, /* more than two segments of the smallest size */
    BLOB_LARGE_SIZE = 5100,
    EDITS_MAX = 7
};

static const struct {
    const char *name;
    unsigned weight;
} table[] = {
#define OP_ROW(name, text, weight) [OP_##name] = {text, weight},
    OP_LIST(OP_ROW)
#undef OP_ROW
};

const char *op_name(op_kind kind)
{
    CHECK(kind < OP_KINDS);
    return table[kind].name;
}

bool op_is_control(op_kind kind)
{
    return kind == OP_STEP || kind == OP_WAIT || kind == OP_REOPEN ||
           kind == OP_KILL;
}

bool op_is_blob(op_kind kind)
{
    return kind == OP_BLOB_SMALL || kind == OP_BLOB_LARGE ||
           kind == OP_BLOB_WRITE;
}

op op_random(uint64_t *random)
{
    unsigned sum = 0;
    for (int i = 0; i < OP_KINDS; i++)
        sum += table[i].weight;
    unsigned at = (unsigned)(sim_random(random) % sum);
    int kind = 0;
    while (at >= table[kind].weight)
        at -= table[kind++].weight;
    return (op){(op_kind)kind, (unsigned)(sim_random(random) % 100)};
}

void ops_print(const op *ops, size_t count, buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s:%u", i == 0 ? "" : " ", op_name(ops[i].kind),
                   ops[i].serial);
}

size_t ops_parse(const char *text, op *out, size_t max)
{
    size_t count = 0;
    while (*text != '\0' && count < max) {
        size_t size = strcspn(text, ": ");
        int kind = 0;
        while (kind < OP_KINDS && (strlen(table[kind].name) != size ||
                                   memcmp(table[kind].name, text, size) != 0))
            kind++;
        if (kind == OP_KINDS)
            return 0;
        out[count] = (op){(op_kind)kind, 0};
        text += size;
        if (*text == ':')
            out[count].serial = (unsigned)strtoul(text + 1, NULL, 10);
        count++;
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return count;
}

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
    if (o.kind == OP_BLOB_READ)
        o.kind = OP_BLOB_SMALL;
    CHECK(op_is_blob(o.kind));
    return payload(o, o.kind == OP_BLOB_SMALL ? 0 : BLOB_LARGE_SIZE, 0, room);
}

/* ---- applying --------------------------------------------------------- */

/* The edits of an op; static parts of the store's state go into some. */
typedef struct command {
    persist_edit edits[EDITS_MAX];
    size_t count;
    bool has_once;
    persist_once once;
    char rooms[EDITS_MAX][OP_PAYLOAD_MAX];
} command;

static void add(command *c, persist_edit_kind kind, const char *name,
                slice data, uint64_t seq)
{
    CHECK(c->count < EDITS_MAX);
    c->edits[c->count++] = (persist_edit){kind, slice_str(name), data, seq};
}

static void once(command *c, const char *id, uint8_t fingerprint)
{
    c->has_once = true;
    c->once.id = slice_str(id);
    memset(c->once.fingerprint, fingerprint, PERSIST_FINGERPRINT_SIZE);
}

static const char *const ids[] = {"once-0", "once-1", "once-2"};

static slice bytes(command *c, op o, size_t size, unsigned which)
{
    CHECK(which < EDITS_MAX);
    return payload(o, size, which, c->rooms[which]);
}

static void build_batch(command *c, op o)
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

static void build_expectation(command *c, op o, uint64_t mark, slice value)
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
static void build_mixed(command *c, op o, uint64_t mark)
{
    slice none = slice_of(NULL, 0);
    add(c, PERSIST_PUT, "k", bytes(c, o, 0, 0), 0);
    add(c, PERSIST_TRUNCATE, "a", none, mark / 2);
    add(c, PERSIST_SET_MARK, "marked", none, mark + 1);
    add(c, PERSIST_SET_POSITION, "", none, mark * 3);
    add(c, PERSIST_DELETE, "k/large", none, 0);
    add(c, PERSIST_APPEND, "large", bytes(c, o, LARGE_SIZE, 1), 0);
    add(c, PERSIST_PUT, "mixed", bytes(c, o, 0, 2), 0);
}

/* Numbers and positions go on just below the next border of their coding. */
static void build_leap(command *c, uint64_t mark)
{
    static const unsigned borders[] = {7, 12, 16, 31, 32, 47, 53, 62};
    size_t i = 0;
    while (i + 1 < sizeof borders / sizeof *borders &&
           mark + 1 >= (uint64_t)1 << borders[i])
        i++;
    slice none = slice_of(NULL, 0);
    uint64_t below = ((uint64_t)1 << borders[i]) - 2;
    add(c, PERSIST_SET_MARK, "a", none, below);
    add(c, PERSIST_SET_POSITION, "", none, below);
}

static void build(command *c, op o, uint64_t mark, slice value)
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
    case OP_BATCH:
    case OP_BATCH_REFUSED:
        build_batch(c, o);
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
    case OP_SET_MARK:
        add(c, PERSIST_SET_MARK, "marked", none, mark + 2);
        add(c, PERSIST_SET_POSITION, "", none, mark * 2);
        break;
    case OP_MIXED:
        build_mixed(c, o, mark);
        break;
    case OP_LEAP:
        build_leap(c, mark);
        break;
    case OP_ONCE_APPEND:
    case OP_ONCE_OTHER:
        once(c, ids[o.serial % 3], o.kind == OP_ONCE_APPEND);
        add(c, PERSIST_APPEND, "a", slice_str(ids[o.serial % 3]), 0);
        break;
    default:
        build_expectation(c, o, mark, value);
        break;
    }
}

static void print_outcome(const persist_outcome *out, buf *answer)
{
    buf_printf(answer, " kind %d lsn %llu", (int)out->kind,
               (unsigned long long)out->lsn);
    for (size_t i = 0; i < out->seq_count; i++)
        buf_printf(answer, " #%llu", (unsigned long long)out->seqs[i]);
    if (out->kind != PERSIST_CONFLICT)
        return;
    buf_printf(answer, " edit %zu actual %llu present %d ", out->edit,
               (unsigned long long)out->actual_seq, out->actual_present);
    buf_put_slice(answer, out->actual_value);
}

static void print_error(const persist_error *error, buf *answer)
{
    if (error->has & PERSIST_HAS_NUMBERS)
        buf_printf(answer, " expected %llu actual %llu",
                   (unsigned long long)error->expected,
                   (unsigned long long)error->actual);
    if (error->has & PERSIST_HAS_STREAM)
        buf_put(answer, error->stream, error->stream_size);
}

/* Writes a blob in two pieces. */
static persist_status write_blob(persist_store *store, slice bytes,
                                 persist_cid cid, persist_error *error)
{
    persist_blob_writer *writer = NULL;
    size_t half = bytes.size / 2;
    persist_status status = persist_blob_create(store, &writer, error);
    if (status != PERSIST_OK)
        return status;
    status = persist_blob_write(writer, slice_of(bytes.data, half), error);
    if (status == PERSIST_OK)
        status = persist_blob_write(
            writer,
            slice_of((const char *)bytes.data + half, bytes.size - half),
            error);
    if (status == PERSIST_OK)
        return persist_blob_finish(writer, cid, error);
    persist_blob_abort(writer);
    return status;
}

static persist_status put_blob(persist_store *store, op o, buf *answer,
                               persist_error *error)
{
    persist_cid cid = "";
    char room[OP_PAYLOAD_MAX];
    slice bytes = op_blob(o, room);
    persist_status status = o.kind == OP_BLOB_WRITE
                                ? write_blob(store, bytes, cid, error)
                                : persist_blob_put(store, bytes, cid, error);
    buf_put_str(answer, status == PERSIST_OK ? cid : "");
    return status;
}

persist_status op_read_blob(persist_store *store, op o, persist_error *error)
{
    char room[OP_PAYLOAD_MAX], got_room[OP_PAYLOAD_MAX + 1];
    persist_cid cid;
    slice wanted = op_blob(o, room);
    persist_cid_of(wanted, cid);
    size_t size = 0, got = 1;
    persist_blob_reader *reader = NULL;
    persist_status status =
        persist_blob_open(store, slice_str(cid), NULL, &reader, error);
    while (status == PERSIST_OK && got > 0 && size < sizeof got_room) {
        status = persist_blob_read(reader, got_room + size,
                                   sizeof got_room - size, &got, error);
        size += got;
    }
    persist_blob_close(reader);
    if (status != PERSIST_OK)
        return status;
    return slice_equal(wanted, slice_of(got_room, size)) ? PERSIST_OK
                                                         : PERSIST_ERROR;
}

static persist_status read_all(persist_store *store, buf *answer,
                               persist_error *error)
{
    buf text = {0};
    persist_status status = store_dump(store, PERSIST_LATEST, &text, error);
    if (status == PERSIST_OK && text.failed)
        status = PERSIST_LIMIT;
    if (status == PERSIST_OK)
        buf_printf(answer, " %zu:%016llx", text.size,
                   (unsigned long long)hash_xxh3(buf_slice(&text)));
    buf_release(&text);
    return status;
}

static persist_status commit(persist_store *store, op o, buf *answer,
                             persist_error *error)
{
    persist_stream_info info;
    persist_status status =
        persist_info(store, slice_str("a"), PERSIST_LATEST, &info, NULL, error);
    if (status != PERSIST_OK)
        return status;
    slice value = slice_of(NULL, 0);
    status = persist_get(store, slice_str("k"), PERSIST_LATEST, &value, error);
    if (status != PERSIST_OK && status != PERSIST_NONE)
        return status;
    command c;
    c.count = 0;
    c.has_once = false;
    build(&c, o, info.mark, value);
    persist_outcome out = {0};
    status = persist_commit(store, c.edits, c.count,
                            c.has_once ? &c.once : NULL, &out, error);
    if (status == PERSIST_OK)
        print_outcome(&out, answer);
    else
        print_error(error, answer);
    persist_outcome_release(&out);
    persist_free(value.data);
    return status;
}

persist_status op_apply(persist_store *store, op o, buf *answer,
                        persist_error *error)
{
    CHECK(!op_is_control(o.kind));
    persist_status status;
    if (op_is_blob(o.kind))
        status = put_blob(store, o, answer, error);
    else if (o.kind == OP_BLOB_READ)
        status = op_read_blob(store, o, error);
    else if (o.kind == OP_READ)
        status = read_all(store, answer, error);
    else
        status = commit(store, o, answer, error);
    buf_printf(answer, " %s\n", persist_status_code(status));
    return status;
}
