/* SPDX-License-Identifier: MIT */
/* Every function of persist.h with every kind of argument, singly and in
 * pairs, on memory and on disk: the same answer, or the same error in the same
 * words, and the same state behind it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/edit_fields.h"
#include "../lib/ops.h"
#include "../lib/os_sim.h"
#include "../lib/pair.h"
#include "../lib/wall.h"
#include "base/slice.h"
#include "persist.h"

static char bytes[PERSIST_VALUE_SIZE_MAX + 1];

enum { NAMES = 10, DATAS = 5, NUMBERS = 8, KINDS = 16, VIEWS = 8, LIMITS = 3 };

/* the cid of no bytes */
#define NO_BYTES "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
static const slice names[NAMES] = {
    {NULL, 0},      {"", 0},     {"a", 1},
    {"b/c", 3},     {"a\0b", 3}, {bytes, PERSIST_NAME_SIZE_MAX},
    {bytes, 65536}, {NULL, 1},   {NO_BYTES, PERSIST_CID_SIZE},
    {NO_BYTES, 58},
};
static const slice datas[DATAS] = {
    {NULL, 0}, {"", 0}, {"x", 1}, {bytes, sizeof bytes}, {NULL, 1}};
static const uint64_t numbers[NUMBERS] = {0,
                                          1,
                                          2,
                                          7,
                                          PERSIST_SEQ_MAX - 1,
                                          PERSIST_SEQ_MAX,
                                          PERSIST_SEQ_MAX + 1,
                                          UINT64_MAX};
static const int kinds[KINDS] = {PERSIST_APPEND,
                                 PERSIST_APPEND_AT,
                                 PERSIST_TRUNCATE,
                                 PERSIST_PUT,
                                 PERSIST_DELETE,
                                 PERSIST_SET_MARK,
                                 PERSIST_EXPECT_SEQ,
                                 PERSIST_EXPECT_KEY,
                                 PERSIST_EXPECT_ABSENT,
                                 PERSIST_SET_POSITION,
                                 PERSIST_SET_TIME,
                                 PERSIST_EXPECT_NONE,
                                 PERSIST_EXPECT_BLOB,
                                 PERSIST_SET_ONCE,
                                 99,
                                 -1};
static const uint64_t limits[LIMITS] = {PERSIST_NO_LIMIT, 0, 2};

typedef struct twins {
    os_sim *sim;
    os timed;                /* its table, with the clock that both see */
    persist_store *store[2]; /* in memory, on disk */
    persist_snapshot *kept[2][2];
    buf said[2];
} twins;

/* The two views, snapshots of them, one of the other store, and none. */
static persist_view view_of(const twins *t, unsigned view, int store)
{
    const persist_view views[VIEWS] = {
        PERSIST_LATEST,    PERSIST_DURABLE,       t->kept[0][store],
        t->kept[1][store], t->kept[0][1 - store], NULL,
        (persist_view)99,  (persist_view)4095};
    return views[view];
}

static uint64_t calls;

static void begin(twins *t)
{
    *t = (twins){.sim = os_sim_new(1)};
    t->timed = *os_sim_os(t->sim);
    t->timed.wall_us = wall_now;
    wall_set(WALL_BEGIN);
    persist_options options = {PERSIST_OPTIONS, .os = wall_os()};
    assert_int_equal(persist_open(&options, &t->store[0], NULL), PERSIST_OK);
    options = (persist_options){PERSIST_OPTIONS, .path = "store",
                                .create = true, .os = &t->timed};
    assert_int_equal(persist_open(&options, &t->store[1], NULL), PERSIST_OK);
}

static void keep(twins *t)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(persist_snapshot_open(t->store[i], PERSIST_LATEST,
                                               &t->kept[0][i], NULL),
                         PERSIST_OK);
        assert_int_equal(persist_snapshot_open(t->store[i], PERSIST_DURABLE,
                                               &t->kept[1][i], NULL),
                         PERSIST_OK);
    }
}

static void end(twins *t)
{
    for (int i = 0; i < 2; i++) {
        persist_snapshot_close(t->kept[0][i]);
        persist_snapshot_close(t->kept[1][i]);
        assert_int_equal(persist_close(t->store[i], NULL), PERSIST_OK);
        buf_release(&t->said[i]);
    }
    os_sim_free(t->sim);
}

static void put_status(buf *out, persist_status status,
                       const persist_error *error)
{
    pair_put_status(out, status, error);
    if (status > PERSIST_NONE)
        buf_printf(out, "%s ", error->message);
}

/* Whoever says something else than the other has failed. */
static void agree(twins *t, const char *what, unsigned long long at)
{
    calls++;
    if (!slice_equal(buf_slice(&t->said[0]), buf_slice(&t->said[1])))
        fail_msg("%s %llu: memory %.*s, disk %.*s", what, at,
                 (int)t->said[0].size, (const char *)t->said[0].data,
                 (int)t->said[1].size, (const char *)t->said[1].data);
    buf_clear(&t->said[0]);
    buf_clear(&t->said[1]);
}

/* ---- commits ---------------------------------------------------------- */

static void try_commit(twins *t, const persist_edit *edits, size_t count,
                       const persist_once *once, bool with_outcome)
{
    for (int i = 0; i < 2; i++) {
        persist_outcome out = {0};
        persist_error error = {0};
        persist_status status =
            persist_commit(t->store[i], edits, count, once,
                           with_outcome ? &out : NULL, &error);
        put_status(&t->said[i], status, &error);
        if (with_outcome && status == PERSIST_OK)
            pair_put_outcome(&t->said[i], &out);
        persist_outcome_release(&out);
    }
    agree(t, "commit of kind", edits == NULL ? 0 : (unsigned)edits[0].kind);
}

static void try_state(twins *t)
{
    for (int i = 0; i < 2; i++)
        put_status(&t->said[i],
                   store_dump(t->store[i], PERSIST_LATEST, &t->said[i], NULL),
                   &(persist_error){0});
    agree(t, "state", 0);
}

/* The command of PERSIST_SET_ONCE: an id, and a number that it gave. */
static const persist_command *nth_command(unsigned name, unsigned number)
{
    static persist_command commands[NAMES][NUMBERS];
    persist_command *c = &commands[name][number];
    *c = (persist_command){
        .id = names[name],
        .fingerprint = {(uint8_t)(number == 1)},
        .seqs = number == 2 ? NULL : &numbers[number],
        .seq_count = number != 3,
        .reserved = {0, number == 4},
    };
    return number == 5 ? NULL : c;
}

static persist_edit nth_edit(unsigned n)
{
    persist_edit edit = {.kind = (persist_edit_kind)kinds[n % KINDS],
                         .name = names[1 + n / KINDS % 2],
                         .data = datas[2],
                         .seq = numbers[n / KINDS / 2 % NUMBERS]};
    if (edit.kind == PERSIST_EXPECT_BLOB)
        edit.name = names[NAMES - 1 - n / KINDS % 2];
    edit.command = nth_command(1 + n / KINDS % 2, n / KINDS / 2 % NUMBERS);
    return edit_trimmed(&edit);
}
enum { EDITS = KINDS * 2 * NUMBERS };

/* The one that some edits expect. */
static void put_no_bytes(twins *t)
{
    for (int i = 0; i < 2; i++) {
        persist_cid cid;
        assert_int_equal(persist_blob_put(t->store[i], datas[0], cid, NULL),
                         PERSIST_OK);
        assert_string_equal(cid, NO_BYTES);
    }
}

static void each_edit(void **state)
{
    (void)state;
    twins t;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        begin(&t);
        if (kind % 2 == 0)
            put_no_bytes(&t);
        for (unsigned n = 0; n < NAMES * DATAS * NUMBERS; n++) {
            persist_edit edit = {.kind = (persist_edit_kind)kinds[kind],
                                 .name = names[n % NAMES],
                                 .data = datas[n / NAMES % DATAS],
                                 .seq = numbers[n / NAMES / DATAS]};
            edit.command = nth_command(n % NAMES, n / NAMES / DATAS);
            try_commit(&t, &edit, 1, NULL, n % 2 == 0);
        }
        try_state(&t);
        end(&t);
    }
}

static void each_two_edits(void **state)
{
    (void)state;
    twins t;
    for (unsigned n = 0; n < EDITS; n++) {
        persist_edit edits[2] = {nth_edit(n)};
        begin(&t);
        if (n % 2 == 0)
            put_no_bytes(&t);
        for (unsigned other = 0; other < EDITS; other++) {
            edits[1] = nth_edit(other);
            try_commit(&t, edits, 2, NULL, true);
        }
        try_state(&t);
        end(&t);
    }
}

static void each_command_id(void **state)
{
    (void)state;
    twins t;
    begin(&t);
    try_commit(&t, NULL, 0, NULL, true);
    try_commit(&t, NULL, 0, NULL, false);
    try_commit(&t, NULL, 1, NULL, true);
    for (unsigned n = 0; n < NAMES * 3 * 3; n++) {
        persist_once once = {.id = names[n % NAMES]};
        once.fingerprint[0] = (uint8_t)(n / NAMES % 3 / 2);
        persist_edit edit = nth_edit(n / NAMES / 3);
        try_commit(&t, &edit, n % 2, &once, n % 5 != 0);
        for (int i = 0; i < 2; i++) {
            uint8_t print[PERSIST_FINGERPRINT_SIZE] = {0};
            persist_outcome out = {0};
            persist_error error = {0};
            put_status(
                &t.said[i],
                persist_once_find(t.store[i], once.id, print, &out, &error),
                &error);
            buf_put(&t.said[i], print, sizeof print);
            pair_put_outcome(&t.said[i], &out);
            persist_outcome_release(&out);
        }
        agree(&t, "once", n);
    }
    end(&t);
}

/* ---- reads ------------------------------------------------------------ */

enum { READS = 9 };

/* A name stands for a bound of a range, too. */
static persist_status open_read(persist_store *store, unsigned read, slice name,
                                const slice *bound, uint64_t from,
                                uint64_t limit, persist_view view,
                                persist_cursor **out, persist_error *error)
{
    persist_range range = {PERSIST_RANGE, .prefix = name};
    switch (read) {
    case 0:
        return persist_read(store, name, from, limit, view, out, error);
    case 1:
        return persist_read_back(store, name, from, limit, view, out, error);
    case 2:
        return persist_read_all(store, from, limit, view, out, error);
    case 3:
        range.after = bound;
        return persist_streams(store, &range, limit, view, out, error);
    case 4:
        range.after = bound;
        return persist_scan(store, &range, limit, view, out, error);
    case 5:
        range.from = bound;
        range.backward = true;
        return persist_streams(store, &range, limit, view, out, error);
    case 6:
        range.to = bound;
        return persist_scan(store, &range, limit, view, out, error);
    case 7:
        return persist_commands(store, name, bound, limit, view, out, error);
    default:
        range.before = bound;
        range.backward = true;
        return persist_scan(store, bound == NULL ? NULL : &range, limit, view,
                            out, error);
    }
}

/* All that a cursor has, and what it says to the wrong question. */
static void put_cursor(buf *out, persist_cursor *cursor)
{
    const persist_event *event;
    const persist_command *command;
    persist_error error = {0};
    slice name, value;
    persist_status status, wrong = persist_next_key(cursor, NULL, NULL, &error);
    put_status(out, wrong, &error);
    while ((status = persist_next_event(cursor, &event, &error)) ==
           PERSIST_OK) {
        buf_put_slice(out, event->stream);
        buf_put_slice(out, event->data);
        buf_printf(out, " %llu %llu ", (unsigned long long)event->seq,
                   (unsigned long long)event->position);
    }
    put_status(out, status, &error);
    while ((status = persist_next_key(cursor, &name, &value, &error)) ==
           PERSIST_OK) {
        buf_put_slice(out, name);
        buf_put_slice(out, value);
    }
    put_status(out, status, &error);
    while ((status = persist_next_command(cursor, &command, &error)) ==
           PERSIST_OK) {
        buf_put_slice(out, command->id);
        buf_put(out, command->fingerprint, sizeof command->fingerprint);
        buf_printf(out, " %llu %zu", (unsigned long long)command->lsn,
                   command->seq_count);
    }
    put_status(out, status, &error);
}

static void wait_both(twins *t)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(persist_wait_durable(
                             t->store[i], persist_latest(t->store[i]), NULL),
                         PERSIST_OK);
}

static void fill(twins *t)
{
    for (unsigned i = 1; i < 6; i++)
        for (unsigned n = 0; n < 4; n++) {
            persist_edit edits[] = {{.kind = PERSIST_APPEND,
                                     .name = names[i],
                                     .data = slice_str("event")},
                                    {.kind = PERSIST_PUT,
                                     .name = names[i],
                                     .data = slice_str("value")}};
            const persist_once once = {.id = names[i], .fingerprint = {7}};
            try_commit(t, edits, 2, n == 0 ? &once : NULL, true);
        }
    persist_edit last[] = {
        {.kind = PERSIST_APPEND_AT,
         .name = names[2],
         .data = slice_str("last"),
         .seq = PERSIST_SEQ_MAX},
        {.kind = PERSIST_TRUNCATE, .name = names[3], .seq = 2},
        {.kind = PERSIST_DELETE, .name = names[4]}};
    try_commit(t, last, 3, NULL, true);
    wait_both(t);
}

/* What comes behind the snapshots changes all that they see. */
static void change(twins *t)
{
    const persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = names[3], .data = slice_str("more")},
        {.kind = PERSIST_TRUNCATE, .name = names[1], .seq = 3},
        {.kind = PERSIST_PUT, .name = names[2], .data = slice_str("new")},
        {.kind = PERSIST_DELETE, .name = names[3]},
        {.kind = PERSIST_PUT, .name = names[4], .data = slice_str("back")}};
    try_commit(t, edits, 5, NULL, true);
    wait_both(t);
}

static void try_read(twins *t, unsigned read, slice name, const slice *after,
                     uint64_t from, uint64_t limit, unsigned view)
{
    for (int i = 0; i < 2; i++) {
        persist_cursor *cursor = NULL;
        persist_error error = {0};
        persist_status status =
            open_read(t->store[i], read, name, after, from, limit,
                      view_of(t, view, i), &cursor, &error);
        put_status(&t->said[i], status, &error);
        if (status == PERSIST_OK)
            put_cursor(&t->said[i], cursor);
        persist_cursor_close(cursor);
    }
    agree(t, "read", read);
}

static void each_read(void **state)
{
    (void)state;
    twins t;
    begin(&t);
    fill(&t);
    keep(&t);
    change(&t);
    for (unsigned read = 0; read < READS; read++)
        for (unsigned n = 0; n < NAMES * NUMBERS * LIMITS * VIEWS; n++) {
            unsigned number = n / NAMES % NUMBERS;
            /* the place of the number is that of a name, too */
            const slice *after = number == 0 ? NULL : &names[number - 1];
            try_read(&t, read, names[n % NAMES], after, numbers[number],
                     limits[n / NAMES / NUMBERS % LIMITS],
                     n / NAMES / NUMBERS / LIMITS);
        }
    end(&t);
}

static void try_name(twins *t, slice name, unsigned view)
{
    for (int i = 0; i < 2; i++) {
        buf *out = &t->said[i];
        persist_stream_info info = {0};
        persist_error error = {0};
        bool known = false;
        slice value = slice_of(NULL, 0);
        persist_view v = view_of(t, view, i);
        put_status(out,
                   persist_info(t->store[i], name, v, &info, &known, &error),
                   &error);
        buf_printf(
            out, "%llu %llu %llu %llu %d ", (unsigned long long)info.mark,
            (unsigned long long)info.first, (unsigned long long)info.count,
            (unsigned long long)info.bytes, known);
        put_status(out, persist_get(t->store[i], name, v, &value, &error),
                   &error);
        buf_put_slice(out, value);
        persist_free(value.data);
        put_status(out, persist_has(t->store[i], name, v, &error), &error);
        uint64_t position = 0;
        put_status(out,
                   persist_position_at(t->store[i], 0, v, &position, &error),
                   &error);
        buf_printf(out, "%llu of %llu ", (unsigned long long)position,
                   (unsigned long long)persist_position(t->store[i], v));
        persist_snapshot *kept = NULL;
        put_status(out, persist_snapshot_open(t->store[i], v, &kept, &error),
                   &error);
        buf_printf(out, "%llu", (unsigned long long)persist_snapshot_lsn(kept));
        persist_snapshot_close(kept);
    }
    agree(t, "a name in view", view);
}

static void each_name(void **state)
{
    (void)state;
    twins t;
    begin(&t);
    fill(&t);
    keep(&t);
    change(&t);
    for (unsigned n = 0; n < NAMES * VIEWS; n++)
        try_name(&t, names[n % NAMES], n / NAMES);
    end(&t);
}

/* ---- blobs ------------------------------------------------------------ */

static void put_blob(buf *out, persist_store *store, slice cid)
{
    persist_blob_reader *reader = NULL;
    persist_error error = {0};
    uint64_t size = 0;
    size_t got = 0;
    char room[8];
    persist_status status =
        persist_blob_open(store, cid, &size, &reader, &error);
    put_status(out, status, &error);
    put_status(out, persist_blob_has(store, cid, &error), &error);
    if (status == PERSIST_OK)
        put_status(out,
                   persist_blob_read(reader, room, sizeof room, &got, &error),
                   &error);
    buf_printf(out, "%llu %zu ", (unsigned long long)size, got);
    persist_blob_close(reader);
}

static void each_blob(void **state)
{
    (void)state;
    twins t;
    begin(&t);
    for (unsigned n = 0; n < DATAS; n++) {
        persist_cid cid = "";
        for (int i = 0; i < 2; i++) {
            persist_lsn lsn = 0;
            persist_error error = {0};
            put_status(
                &t.said[i],
                persist_blob_add(t.store[i], datas[n], cid, &lsn, &error),
                &error);
            buf_printf(&t.said[i], "%llu ", (unsigned long long)lsn);
            put_blob(&t.said[i], t.store[i], slice_str(cid));
        }
        agree(&t, "blob", n);
    }
    for (unsigned n = 0; n < NAMES; n++) {
        for (int i = 0; i < 2; i++)
            put_blob(&t.said[i], t.store[i], names[n]);
        agree(&t, "cid", n);
    }
    end(&t);
}

static void each_status_has_words(void **state)
{
    (void)state;
    static const int statuses[] = {-1, 0, 17, 99, 109, INT_MAX, INT_MIN};
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        persist_status status = (persist_status)statuses[i];
        assert_string_equal(persist_status_code(status),
                            statuses[i] == 0 ? "ok" : "unknown");
        assert_true(persist_status_hint(status)[0] != '\0');
    }
}

static int tell(void **state)
{
    (void)state;
    printf("figure: %llu calls on memory and on disk\n",
           (unsigned long long)calls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_edit),
        cmocka_unit_test(each_two_edits),
        cmocka_unit_test(each_command_id),
        cmocka_unit_test(each_read),
        cmocka_unit_test(each_name),
        cmocka_unit_test(each_blob),
        cmocka_unit_test(each_status_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, tell);
}
