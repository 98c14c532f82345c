/* SPDX-License-Identifier: MIT */
/* A flush that has its tags sorted by another thread writes what one without
 * does, and does so when commits have waited. */
#include "fixture.h"
#include "folder.h"

#include <unistd.h>

#include "engine/table/entry.h"
#include "engine/upkeep/upkeep.h"

enum { STREAMS = 5, EVENTS = 500, COMMITS = 8, TAGS = 3, ROOM = 16 };

CHECK_STATIC(EVENTS *COMMITS *TAGS > 2 * TAGS_APART, "enough of them");

typedef struct opened {
    engine *e;
    os_dir *dir;
    persist_error error;
} opened;

static void open_store(opened *o, const char *name)
{
    o->dir = folder_make(name);
    const persist_options options = {PERSIST_OPTIONS, .path = o->dir->path,
                                     .create = true, .background = true};
    assert_int_equal(engine_open(&options, &o->e, &o->error), PERSIST_OK);
}

static void close_store(opened *o)
{
    assert_int_equal(engine_close(o->e, &o->error), PERSIST_OK);
    folder_remove(o->dir);
}

static void commit_some(opened *o, unsigned number)
{
    static persist_edit edits[EVENTS];
    static slice tags[EVENTS][TAGS];
    static char names[STREAMS][ROOM], texts[EVENTS][TAGS][ROOM];
    for (unsigned i = 0; i < EVENTS; i++) {
        char *name = names[i % STREAMS];
        snprintf(name, ROOM, "stream-%u", i % STREAMS);
        for (unsigned k = 0; k < TAGS; k++) {
            unsigned of = (i + number) * (k + 1) % 97;
            snprintf(texts[i][k], ROOM, "%c:%u", (char)('a' + k), of);
            tags[i][k] = slice_str(texts[i][k]);
        }
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str(name),
                                  .data = slice_str("data"),
                                  .tags = tags[i],
                                  .tag_count = TAGS};
    }
    assert_int_equal(engine_commit(o->e, edits, EVENTS, NULL, NULL, &o->error),
                     PERSIST_OK);
}

/* Most of one stream is gone, and all of another. */
static void truncate_some(opened *o)
{
    uint64_t all = (uint64_t)COMMITS * EVENTS / STREAMS;
    const persist_edit edits[] = {
        {.kind = PERSIST_TRUNCATE,
         .name = slice_str("stream-1"),
         .seq = all - 7},
        {.kind = PERSIST_TRUNCATE, .name = slice_str("stream-3"), .seq = all}};
    assert_int_equal(engine_commit(o->e, edits, 2, NULL, NULL, &o->error),
                     PERSIST_OK);
}

static void freeze(opened *o)
{
    bool did;
    pthread_mutex_lock(&o->e->writer);
    assert_int_equal(upkeep_freeze_all(o->e, &did, &o->error), PERSIST_OK);
    pthread_mutex_unlock(&o->e->writer);
    assert_true(did);
}

/* Makes a table of the same events in each store. */
static void flush_all(opened *o, uint64_t waited_us)
{
    for (unsigned i = 0; i < COMMITS; i++)
        commit_some(o, i);
    truncate_some(o);
    atomic_store(&o->e->upkeep.waited_us, waited_us);
    freeze(o);
    assert_int_equal(upkeep_await(o->e, &o->error), PERSIST_OK);
}

static table *only_table(const opened *o)
{
    const layers *v = o->e->layers;
    assert_int_equal(v->table_count, 1);
    return v->tables[0];
}

/* The times of commits may differ, and so the values in the order of events.
 * Returns how many there are. */
static size_t compare(const opened *a, const opened *b, table_section section)
{
    size_t count = 0;
    table_iter x = {.table = only_table(a), .section = section};
    table_iter y = {.table = only_table(b), .section = section};
    persist_status one = table_seek(&x, slice_of(NULL, 0), NULL);
    persist_status other = table_seek(&y, slice_of(NULL, 0), NULL);
    for (; one == PERSIST_OK && other == PERSIST_OK; count++) {
        assert_true(slice_equal(table_key(&x), table_key(&y)));
        assert_true(slice_equal(table_value(&x), table_value(&y)));
        one = table_next(&x, NULL);
        other = table_next(&y, NULL);
    }
    assert_int_equal(one, PERSIST_NONE);
    assert_int_equal(other, PERSIST_NONE);
    table_iter_release(&x);
    table_iter_release(&y);
    return count;
}

static void it_writes_the_same(void **state)
{
    (void)state;
    opened apart, alone;
    open_store(&apart, "apart");
    open_store(&alone, "alone");
    flush_all(&apart, TAGS_APART_US);
    flush_all(&alone, 0);
    assert_int_equal(apart.e->upkeep.apart, 1);
    assert_int_equal(alone.e->upkeep.apart, 0);
    assert_true(compare(&apart, &alone, TABLE_TAGS) > 0);
    size_t gone = 2 * (size_t)COMMITS * EVENTS / STREAMS - 7;
    assert_int_equal(compare(&apart, &alone, TABLE_EVENTS),
                     COMMITS * EVENTS - gone);
    close_store(&apart);
    close_store(&alone);
}

/* ---- waiting ------------------------------------------------------------ */

enum { HELD_US = 20000 };

static atomic_bool held;

static void *hold_steps(void *context)
{
    engine *e = context;
    pthread_mutex_lock(&e->upkeep.step);
    atomic_store(&held, true);
    usleep(HELD_US);
    pthread_mutex_unlock(&e->upkeep.step);
    return NULL;
}

static void who_waits_is_seen(void **state)
{
    (void)state;
    opened o;
    pthread_t holder;
    open_store(&o, "waits");
    commit_some(&o, 0);
    assert_int_equal(pthread_create(&holder, NULL, hold_steps, o.e), 0);
    while (!atomic_load(&held))
        usleep(100);
    freeze(&o);
    assert_int_equal(upkeep_await(o.e, &o.error), PERSIST_OK);
    assert_true(atomic_load(&o.e->upkeep.waited_us) > TAGS_APART_US);
    pthread_join(holder, NULL);
    close_store(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_writes_the_same),
                                       cmocka_unit_test(who_waits_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
