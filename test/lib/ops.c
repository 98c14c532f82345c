/* SPDX-License-Identifier: MIT */
/* What tests do to a store: the ops and what they answer. */
#include "ops_build.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "os_sim_disk.h"
#include "wall.h"

enum { SERIALS = 100 };

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
           kind == OP_KILL || kind == OP_BACKUP || op_is_tidy(kind);
}

bool op_is_tidy(op_kind kind)
{
    return kind == OP_COMPACT || kind == OP_PURGE;
}

bool op_is_blob(op_kind kind)
{
    return kind == OP_BLOB_SMALL || kind == OP_BLOB_LARGE ||
           kind == OP_BLOB_WRITE || kind == OP_BLOB_SHORT;
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
    return (op){(op_kind)kind, (unsigned)(sim_random(random) % SERIALS)};
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

/* ---- applying --------------------------------------------------------- */

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

/* Who waits for it is told later; none: it was not there. */
static persist_status delete_blob(persist_store *store, op o,
                                  persist_error *error)
{
    persist_cid cid;
    char room[OP_PAYLOAD_MAX];
    persist_cid_of(op_blob(o, room), cid);
    return persist_blob_delete(store, slice_str(cid), 0, NULL, error);
}

/* Any part of a blob is what stands there. */
static persist_status read_part(persist_blob_reader *reader, slice wanted,
                                persist_error *error)
{
    char room[OP_PAYLOAD_MAX];
    size_t from = wanted.size / 3, got = 0;
    persist_status status = persist_blob_read_at(
        reader, from, room, wanted.size - from, &got, error);
    slice part = slice_of((const char *)wanted.data + from, wanted.size - from);
    return status != PERSIST_OK || slice_equal(part, slice_of(room, got))
               ? status
               : SX_ERROR;
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
    if (status == PERSIST_OK && !slice_equal(wanted, slice_of(got_room, size)))
        status = SX_ERROR;
    if (status == PERSIST_OK)
        status = read_part(reader, wanted, error);
    persist_blob_close(reader);
    return status;
}

persist_status op_tidy(persist_store *store, op o, persist_error *error)
{
    CHECK(op_is_tidy(o.kind));
    return o.kind == OP_PURGE ? persist_purge(store, NULL, NULL, error)
                              : persist_compact(store, NULL, NULL, error);
}

static persist_status read_in(persist_store *store, persist_view view,
                              buf *answer, persist_error *error)
{
    buf text = {0};
    persist_status status = store_dump(store, view, &text, error);
    if (status == PERSIST_OK && text.failed)
        status = PERSIST_LIMIT;
    if (status == PERSIST_OK)
        buf_printf(answer, " %zu:%016llx", text.size,
                   (unsigned long long)hash_xxh3(buf_slice(&text)));
    buf_release(&text);
    return status;
}

/* As it is, and in a snapshot. */
static persist_status read_all(persist_store *store, buf *answer,
                               persist_error *error)
{
    persist_snapshot *snapshot = NULL;
    persist_status status = read_in(store, PERSIST_LATEST, answer, error);
    if (status == PERSIST_OK)
        status = persist_snapshot_open(store, PERSIST_LATEST, &snapshot, error);
    if (status == PERSIST_OK)
        status = read_in(store, snapshot, answer, error);
    persist_snapshot_close(snapshot);
    return status;
}

static persist_status look_at_mark(persist_store *store, const char *stream,
                                   uint64_t *out, persist_error *error)
{
    persist_stream_info info;
    persist_status status = persist_info(store, slice_str(stream),
                                         PERSIST_LATEST, &info, NULL, error);
    *out = status == PERSIST_OK ? info.mark : 0;
    return status;
}

/* The last event of a cursor; 0 if it has none. Closes it. */
static persist_status look_at_last(persist_cursor *cursor, uint64_t *position,
                                   uint64_t *time, persist_error *error)
{
    const persist_event *event;
    persist_status status;
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK) {
        *position = event->position;
        *time = event->time;
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status look_at_matches(persist_store *store, op o, op_seen *out,
                                      persist_error *error)
{
    persist_cursor *cursor = NULL;
    size_t count;
    uint64_t ignored;
    const persist_query_item *items = pool_query(o.serial, &count);
    persist_status status =
        persist_query(store, items, count, 0, PERSIST_NO_LIMIT, PERSIST_LATEST,
                      &cursor, error);
    out->mark = 0;
    return status == PERSIST_OK
               ? look_at_last(cursor, &out->mark, &ignored, error)
               : status;
}

static persist_status look_at_newest(persist_store *store, op_seen *out,
                                     persist_error *error)
{
    persist_cursor *cursor = NULL;
    uint64_t newest = persist_position(store, PERSIST_LATEST);
    out->next = newest + 1;
    out->time = WALL_BEGIN;
    persist_status status =
        persist_read_all(store, newest, 1, PERSIST_LATEST, &cursor, error);
    return status == PERSIST_OK
               ? look_at_last(cursor, &newest, &out->time, error)
               : status;
}

static persist_status look(persist_store *store, op o, op_seen *out,
                           persist_error *error)
{
    *out = (op_seen){0};
    persist_status status = look_at_mark(store, "a", &out->mark, error);
    bool sets =
        o.kind == OP_MIXED || o.kind == OP_SET_MARK || o.kind == OP_LEAP;
    if (status == PERSIST_OK && sets)
        status = look_at_mark(store, "marked", &out->marked, error);
    if (status == PERSIST_OK && sets)
        status = look_at_newest(store, out, error);
    if (status == PERSIST_OK &&
        (o.kind == OP_DECIDED || o.kind == OP_UNDECIDED))
        status = look_at_matches(store, o, out, error);
    if (status == PERSIST_OK)
        status = persist_get(store, slice_str("k"), PERSIST_LATEST, &out->value,
                             error);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

/* Most references are to a blob that is there, when any is. */
static persist_status find_blob(persist_store *store, op *o,
                                persist_error *error)
{
    persist_status status = PERSIST_NONE;
    const op asked = *o;
    char room[OP_PAYLOAD_MAX];
    persist_cid cid;
    for (unsigned i = 0; i < SERIALS && status == PERSIST_NONE; i++) {
        const op put = {OP_BLOB_SMALL, (asked.serial + i) % SERIALS};
        persist_cid_of(op_blob(put, room), cid);
        status = persist_blob_has(store, slice_str(cid), error);
        o->serial = put.serial;
    }
    if (status == PERSIST_NONE)
        *o = asked;
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status commit(persist_store *store, op o, buf *answer,
                             persist_error *error)
{
    op_seen s;
    op_command c;
    persist_status status = look(store, o, &s, error);
    if (status == PERSIST_OK && o.kind == OP_REFER && o.serial % 4 != 0)
        status = find_blob(store, &o, error);
    if (status != PERSIST_OK) {
        persist_free(s.value.data);
        return status;
    }
    op_build(&c, o, &s);
    persist_outcome out = {0};
    status = persist_commit(store, c.edits, c.count,
                            c.has_once ? &c.once : NULL, &out, error);
    if (status == PERSIST_OK)
        print_outcome(&out, answer);
    else
        print_error(error, answer);
    persist_outcome_release(&out);
    persist_free(s.value.data);
    return status;
}

/* What the wall clock shows while an op is done: it jumps back and forth. */
static uint64_t time_of(op o)
{
    uint64_t jump = (o.serial * 7919 + (unsigned)o.kind * 104729) % 40;
    return WALL_BEGIN + o.serial * UINT64_C(700) +
           (jump == 0 ? 90000000 : jump * 100) - (jump == 1 ? 70000000 : 0);
}

persist_status op_apply(persist_store *store, op o, buf *answer,
                        persist_error *error)
{
    CHECK(!op_is_control(o.kind));
    persist_status status;
    /* A crash state is checked in the middle of an op, by others. */
    uint64_t wall = wall_now(NULL);
    wall_set(time_of(o));
    if (op_is_blob(o.kind))
        status = put_blob(store, o, answer, error);
    else if (o.kind == OP_BLOB_DELETE)
        status = delete_blob(store, o, error);
    else if (o.kind == OP_BLOB_READ)
        status = op_read_blob(store, o, error);
    else if (o.kind == OP_READ)
        status = read_all(store, answer, error);
    else
        status = commit(store, o, answer, error);
    wall_set(wall);
    buf_printf(answer, " %s\n", persist_status_code(status));
    return status;
}
