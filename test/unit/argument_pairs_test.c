/* SPDX-License-Identifier: MIT */
/* Every function of persist.h with every kind of argument, singly and in
 * pairs, on memory and on disk: the same answer, or the same error in the same
 * words, and the same state behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/ops.h"
#include "../lib/os_sim.h"
#include "../lib/pair.h"
#include "base/slice.h"
#include "persist.h"

static char bytes[PERSIST_VALUE_SIZE_MAX + 1];

enum { NAMES = 8, DATAS = 5, NUMBERS = 8, KINDS = 12, VIEWS = 4, LIMITS = 3 };

static const slice names[NAMES] = {
    {NULL, 0},      {"", 0},     {"a", 1},
    {"b/c", 3},     {"a\0b", 3}, {bytes, PERSIST_NAME_SIZE_MAX},
    {bytes, 65536}, {NULL, 1},
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
                                 99,
                                 -1};
static const int views[VIEWS] = {PERSIST_LATEST, PERSIST_DURABLE, 2, -1};
static const uint64_t limits[LIMITS] = {PERSIST_NO_LIMIT, 0, 2};

typedef struct twins {
    os_sim *sim;
    persist_store *store[2]; /* in memory, on disk */
    buf said[2];
} twins;

static uint64_t calls;

static void begin(twins *t)
{
    *t = (twins){.sim = os_sim_new(1)};
    persist_options options = {0};
    assert_int_equal(persist_open(&options, &t->store[0], NULL), PERSIST_OK);
    options = (persist_options){
        .path = "store", .create = true, .os = os_sim_os(t->sim)};
    assert_int_equal(persist_open(&options, &t->store[1], NULL), PERSIST_OK);
}

static void end(twins *t)
{
    for (int i = 0; i < 2; i++) {
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

static persist_edit nth_edit(unsigned n)
{
    persist_edit edit = {.kind = (persist_edit_kind)kinds[n % KINDS],
                         .name = names[1 + n / KINDS % 2],
                         .data = datas[2],
                         .seq = numbers[n / KINDS / 2 % NUMBERS]};
    return edit;
}
enum { EDITS = KINDS * 2 * NUMBERS };

static void each_edit(void **state)
{
    (void)state;
    twins t;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        begin(&t);
        for (unsigned n = 0; n < NAMES * DATAS * NUMBERS; n++) {
            persist_edit edit = {.kind = (persist_edit_kind)kinds[kind],
                                 .name = names[n % NAMES],
                                 .data = datas[n / NAMES % DATAS],
                                 .seq = numbers[n / NAMES / DATAS]};
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

enum { READS = 5 };

static persist_status open_read(persist_store *store, unsigned read, slice name,
                                const slice *after, uint64_t from,
                                uint64_t limit, persist_view view,
                                persist_cursor **out, persist_error *error)
{
    switch (read) {
    case 0:
        return persist_read(store, name, from, limit, view, out, error);
    case 1:
        return persist_read_back(store, name, from, limit, view, out, error);
    case 2:
        return persist_read_all(store, from, limit, view, out, error);
    case 3:
        return persist_streams(store, after, view, out, error);
    default:
        return persist_scan(store, name, after, limit, view, out, error);
    }
}

/* All that a cursor has, and what it says to the wrong question. */
static void put_cursor(buf *out, persist_cursor *cursor)
{
    persist_event event;
    persist_error error = {0};
    slice name, value;
    persist_status status, wrong = persist_next_key(cursor, NULL, NULL, &error);
    put_status(out, wrong, &error);
    while ((status = persist_next_event(cursor, &event, &error)) ==
           PERSIST_OK) {
        buf_put_slice(out, event.stream);
        buf_put_slice(out, event.data);
        buf_printf(out, " %llu %llu ", (unsigned long long)event.seq,
                   (unsigned long long)event.position);
    }
    put_status(out, status, &error);
    while ((status = persist_next_key(cursor, &name, &value, &error)) ==
           PERSIST_OK) {
        buf_put_slice(out, name);
        buf_put_slice(out, value);
    }
    put_status(out, status, &error);
}

static void fill(twins *t)
{
    for (unsigned i = 1; i < 6; i++)
        for (unsigned n = 0; n < 4; n++) {
            persist_edit edits[] = {
                {PERSIST_APPEND, names[i], slice_str("event"), 0},
                {PERSIST_PUT, names[i], slice_str("value"), 0}};
            try_commit(t, edits, 2, NULL, true);
        }
    persist_edit last[] = {
        {PERSIST_APPEND_AT, names[2], slice_str("last"), PERSIST_SEQ_MAX},
        {PERSIST_TRUNCATE, names[3], {NULL, 0}, 2},
        {PERSIST_DELETE, names[4], {NULL, 0}, 0}};
    try_commit(t, last, 3, NULL, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(persist_wait_durable(
                             t->store[i], persist_latest(t->store[i]), NULL),
                         PERSIST_OK);
}

static void try_read(twins *t, unsigned read, slice name, const slice *after,
                     uint64_t from, uint64_t limit, int view)
{
    for (int i = 0; i < 2; i++) {
        persist_cursor *cursor = NULL;
        persist_error error = {0};
        persist_status status =
            open_read(t->store[i], read, name, after, from, limit,
                      (persist_view)view, &cursor, &error);
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
    for (unsigned read = 0; read < READS; read++)
        for (unsigned n = 0; n < NAMES * NUMBERS * LIMITS * VIEWS; n++) {
            unsigned number = n / NAMES % NUMBERS;
            /* the place of the number is that of a name, too */
            const slice *after = number == 0 ? NULL : &names[number - 1];
            try_read(&t, read, names[n % NAMES], after, numbers[number],
                     limits[n / NAMES / NUMBERS % LIMITS],
                     views[n / NAMES / NUMBERS / LIMITS]);
        }
    end(&t);
}

static void try_name(twins *t, slice name, int view)
{
    for (int i = 0; i < 2; i++) {
        buf *out = &t->said[i];
        persist_stream_info info = {0};
        persist_error error = {0};
        bool known = false;
        slice value = slice_of(NULL, 0);
        put_status(out,
                   persist_info(t->store[i], name, (persist_view)view, &info,
                                &known, &error),
                   &error);
        buf_printf(
            out, "%llu %llu %llu %llu %d ", (unsigned long long)info.mark,
            (unsigned long long)info.first, (unsigned long long)info.count,
            (unsigned long long)info.bytes, known);
        put_status(
            out,
            persist_get(t->store[i], name, (persist_view)view, &value, &error),
            &error);
        buf_put_slice(out, value);
        persist_free(value.data);
        put_status(out,
                   persist_has(t->store[i], name, (persist_view)view, &error),
                   &error);
    }
    agree(t, "a name in view", (unsigned)view);
}

static void each_name(void **state)
{
    (void)state;
    twins t;
    begin(&t);
    fill(&t);
    for (unsigned n = 0; n < NAMES * VIEWS; n++)
        try_name(&t, names[n % NAMES], views[n / NAMES]);
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
    static const int statuses[] = {-1, 0, PERSIST_STATUS_COUNT, 999};
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
