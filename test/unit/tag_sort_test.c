/* SPDX-License-Identifier: MIT */
/* Sorting the tags of a memtable: against sorting their keys, with memory that
 * is kept for the next time, and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/memtable/memtable.h"
#include "engine/table/entry.h"
#include "engine/upkeep/upkeep.h"
#include "fixture.h"
#include "folder.h"

enum { EVENTS = 3000, TAGS = 3, KEYS = EVENTS * TAGS };

/* ---- tags of many shapes ------------------------------------------------ */

/* D. Knuth's, "MMIX"; its high bits. */
static uint64_t random_next(uint64_t *chance)
{
    *chance = *chance * 6364136223846793005u + 1442695040888963407u;
    return *chance >> 33;
}

typedef struct shape {
    const char *what;
    size_t common; /* bytes that all tags begin with */
    unsigned size; /* of the number behind them, at most */
    unsigned of;   /* so many different numbers */
} shape;

static const shape shapes[] = {{"short ones", 1, 2, 60000},
                               {"few", 9, 4, 5},
                               {"all different", 9, 4, ~0u},
                               {"that differ behind the front", 40, 4, 7000},
                               {"that differ at its end", 22, 2, 60000},
                               {"all alike", 255, 0, 1}};

static slice make_tag(const shape *s, unsigned kind, uint64_t *chance,
                      uint8_t *out)
{
    memset(out, 'a' + (int)kind, s->common);
    uint64_t number = random_next(chance) % s->of;
    size_t size = s->size == 0 ? 0 : 1 + random_next(chance) % s->size;
    for (size_t i = 0; i < size; i++)
        out[s->common + i] = (uint8_t)(number >> (8 * i));
    return slice_of(out, s->common + size);
}

typedef struct made {
    arena_pool pool;
    memtable *table;
    stream *stream;
} made;

static void append(made *m, const slice *tags, size_t count, uint64_t seq)
{
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = m->stream->name,
                         .data = slice_str("data"),
                         .tags = tags,
                         .tag_count = count};
    memtable_edit e = {.edit = &edit, .target = m->stream, .seq = seq};
    assert_true(memtable_apply(m->table, &e, seq, 1));
}

static void fill(made *m, const shape *s, uint64_t *chance)
{
    static uint8_t room[TAGS][PERSIST_TAG_SIZE_MAX];
    store_counts counts = {.next_position = 1};
    m->table = memtable_new(&m->pool, 0, 1, &counts, 4096);
    assert_non_null(m->table);
    m->stream = memtable_make_stream(m->table, slice_str("stream"), NULL);
    assert_non_null(m->stream);
    for (uint64_t i = 1; i <= EVENTS; i++) {
        slice tags[TAGS];
        size_t count = random_next(chance) % (TAGS + 1);
        for (size_t k = 0; k < count; k++)
            tags[k] = make_tag(s, (unsigned)k, chance, room[k]);
        append(m, tags, count, i);
    }
}

/* ---- the same, sorted as keys ------------------------------------------- */

typedef struct plain {
    uint8_t bytes[ENTRY_TAG_KEY_MAX];
    size_t size;
} plain;

static plain keys[KEYS];

static int compare(const void *a, const void *b)
{
    const plain *x = a, *y = b;
    return slice_compare(slice_of(x->bytes, x->size),
                         slice_of(y->bytes, y->size));
}

static size_t sort_plainly(const made *m, uint64_t gone)
{
    size_t count = 0;
    const order *all = &m->table->order;
    for (size_t i = 0; i < all->count; i++)
        for (uint32_t k = 0; k < all->blocks[i]->count; k++) {
            const event *e = all->blocks[i]->items[k].event;
            if (e->tagged_size == 0 || e->seq <= gone)
                continue;
            tag_set set = tagged_of(event_tagged(e));
            for (slice tag; tagged_next(&set, &tag); count++)
                keys[count].size =
                    entry_tag_key(tag, e->position, keys[count].bytes).size;
        }
    qsort(keys, count, sizeof *keys, compare);
    return count;
}

static tag_sort sorted; /* the memory of one is that of the next */

static bool make(const order *all, size_t events, size_t tags)
{
    if (!tag_sort_begin(&sorted, events, tags))
        return false;
    tag_sort_end(&sorted, all);
    return true;
}

static void check(const made *m, uint64_t gone)
{
    uint8_t room[PERSIST_TAG_SIZE_MAX + TAG_FRONT], place[ENTRY_TAG_KEY_MAX];
    m->stream->gone = gone;
    size_t count = sort_plainly(m, gone);
    assert_true(
        make(&m->table->order, m->table->tagged_count, m->table->tag_count));
    assert_int_equal(sorted.count, count);
    for (size_t i = 0; i < count; i++) {
        const posting *e;
        slice tag = tag_sort_get(&sorted, i, room, &e);
        slice mine = entry_tag_key(tag, e->position, place);
        assert_true(slice_equal(mine, slice_of(keys[i].bytes, keys[i].size)));
        assert_int_equal(e->seq, e->position);
        assert_true(slice_equal(e->stream, m->stream->name));
    }
}

static void tags_come_in_the_order_of_their_keys(void **state)
{
    (void)state;
    uint64_t chance = 1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        made m = {0};
        arena_pool_init(&m.pool, 0, NULL);
        fill(&m, &shapes[i], &chance);
        print_message("%s: %zu\n", shapes[i].what, m.table->tag_count);
        check(&m, 0);
        check(&m, EVENTS / 2);
        check(&m, EVENTS);
        memtable_unref(m.table);
        arena_pool_release(&m.pool);
    }
    tag_sort_release(&sorted);
}

/* ---- its memory --------------------------------------------------------- */

static int refuse(void *context)
{
    return ++*(int *)context > 0;
}

/* Where there is none for more, what there was is gone, and nothing is known of
 * it. */
static void memory_can_be_lacking(void **state)
{
    (void)state;
    uint64_t chance = 1;
    int refused = 0;
    made m = {0};
    arena_pool_init(&m.pool, 0, NULL);
    fill(&m, &shapes[2], &chance);
    const order *all = &m.table->order;
    size_t events = m.table->tagged_count, tags = m.table->tag_count;
    assert_true(make(all, events, tags));
    void *room = sorted.room;
    assert_true(make(all, events, tags));
    assert_ptr_equal(sorted.room, room);
    mem_set_fail(refuse, &refused);
    assert_true(make(all, events, tags));
    assert_false(make(all, events, 2 * tags));
    assert_false(make(all, events, tags));
    mem_set_fail(NULL, NULL);
    assert_int_equal(refused, 2);
    check(&m, 0);
    tag_sort_release(&sorted);
    memtable_unref(m.table);
    arena_pool_release(&m.pool);
}

/* Pages that were given back are zeros when they are looked at. */
static bool is_held(const tag_sort *s)
{
    enum { PAGE = 4096 };
    const uint8_t *room = s->room;
    for (size_t i = PAGE; i + PAGE < s->room_size; i++)
        if (room[i] != 0)
            return true;
    return false;
}

static void append_tagged(engine *e)
{
    static persist_edit edits[EVENTS];
    persist_error error;
    const slice tag = slice_str("tag");
    for (size_t i = 0; i < EVENTS; i++)
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str("stream"),
                                  .tags = &tag,
                                  .tag_count = 1};
    assert_int_equal(engine_commit(e, edits, EVENTS, NULL, NULL, &error),
                     PERSIST_OK);
}

/* It stays from flush to flush, and its pages until nothing is left to be
 * done. */
static void memory_goes_when_nothing_is_due(void **state)
{
    (void)state;
    bool did;
    engine *e;
    fixture f = {.sim = os_sim_new(1)};
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .create = true, .os = os_sim_os(f.sim)};
    assert_int_equal(engine_open(&options, &e, &f.error), PERSIST_OK);
    const void *room = NULL;
    for (int i = 0; i < 2; i++) {
        append_tagged(e);
        pthread_mutex_lock(&e->writer);
        assert_int_equal(upkeep_freeze_all(e, &did, &f.error), PERSIST_OK);
        pthread_mutex_unlock(&e->writer);
        assert_int_equal(upkeep_step(e, &did, &f.error), PERSIST_OK);
        assert_true(did && is_held(&e->upkeep.tags));
        while (did)
            assert_int_equal(upkeep_step(e, &did, &f.error), PERSIST_OK);
        assert_false(is_held(&e->upkeep.tags));
        assert_true(i == 0 || e->upkeep.tags.room == room);
        room = e->upkeep.tags.room;
    }
    assert_int_equal(engine_close(e, &f.error), PERSIST_OK);
    fixture_end(&f);
}

/* The thread keeps it for a while: flushes follow each other. */
static void memory_goes_after_a_while(void **state)
{
    (void)state;
    enum { PATIENCE = 1000, PAUSE_US = 20000 };
    bool did;
    int looks = 0;
    engine *e;
    persist_error error;
    os_dir *dir = folder_make("tag_sort");
    const persist_options options = {PERSIST_OPTIONS, .path = dir->path,
                                     .create = true, .background = true};
    assert_int_equal(engine_open(&options, &e, &error), PERSIST_OK);
    append_tagged(e);
    pthread_mutex_lock(&e->writer);
    assert_int_equal(upkeep_freeze_all(e, &did, &error), PERSIST_OK);
    pthread_mutex_unlock(&e->writer);
    assert_true(did);
    assert_int_equal(upkeep_await(e, &error), PERSIST_OK);
    for (; is_held(&e->upkeep.tags) && looks < PATIENCE; looks++)
        usleep(PAUSE_US);
    assert_true(looks < PATIENCE);
    assert_int_equal(engine_close(e, &error), PERSIST_OK);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_come_in_the_order_of_their_keys),
        cmocka_unit_test(memory_can_be_lacking),
        cmocka_unit_test(memory_goes_when_nothing_is_due),
        cmocka_unit_test(memory_goes_after_a_while)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
