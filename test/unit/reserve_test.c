/* SPDX-License-Identifier: MIT */
/* How much the reserve asks for, and who measures that: no count of a manifest
 * makes it more than what is there to be deleted takes, nor what lives more
 * than there is; and what a step has measured is the step's. */
#include "forge.h"

#include <errno.h>

#include "../lib/os_sim_disk.h"
#include "engine/upkeep/upkeep.h"

enum {
    KEYS = 3,
    VALUE = 200,
    MEMTABLE = 4096,
    SEGMENT = 4096,
    ROOM = 8 << 20,
    LOG_MAX = 64 << 10, /* what the log of a commit or two may ask for */
};

static const uint64_t MANY = (uint64_t)1 << 40;

static persist_options options_of(const os *sys)
{
    return (persist_options){PERSIST_OPTIONS, .path = "store",
                             .memtable_size = MEMTABLE, .segment_size = SEGMENT,
                             .os = sys};
}

/* A table of a few keys, not listed yet. */
static void begin_keys(forge *f)
{
    static const char value[VALUE];
    begin(f);
    begin_table(f);
    for (size_t i = 0; i < KEYS; i++)
        table_add(&f->writer, TABLE_KEYS, slice_of(&"abc"[i], 1),
                  slice_of(value, sizeof value));
    end_table(f);
}

static engine *open_engine(const os *sys)
{
    const persist_options options = options_of(sys);
    persist_error error;
    engine *e;
    must(engine_open(&options, &e, &error), &error);
    return e;
}

static void put(engine *e, const char *name)
{
    const persist_edit edit = {.kind = PERSIST_PUT,
                               .name = slice_str(name),
                               .data = slice_str("value")};
    persist_error error;
    must(engine_commit(e, &edit, 1, NULL, NULL, &error), &error);
}

static void work(engine *e)
{
    bool did = true;
    persist_error error;
    while (did)
        must(engine_step(e, &did, &error), &error);
}

/* An opening that has written to it. */
static engine *begin_written(forge *f)
{
    begin_keys(f);
    f->manifest.keys = KEYS;
    list_tables(f, 0, 0, 1);
    engine *e = open_engine(f->sys);
    put(e, "another");
    work(e);
    return e;
}

/* On a disk that is scarce, as far as that goes by a forged count. */
static void ask_little(const forge *f)
{
    persist_error error;
    os_sim_limit_space(f->sim, os_sim_space_used(f->sim) + ROOM);
    engine *e = open_engine(f->sys);
    uint64_t bytes = e->layers->table_bytes, asks = 2 * bytes;
    uint64_t most =
        RESERVE_MIN + asks + asks / RESERVE_NOTES_MORE + SEGMENT_ROUND * 2;
    assert_true(bytes > 0 && most + LOG_MAX < ROOM / 2);
    put(e, "another");
    work(e);
    assert_true(atomic_load(&e->reserve_tables) +
                    atomic_load(&e->reserve_notes) <=
                most);
    assert_true(reserve_size(e) >= RESERVE_MIN);
    assert_true(reserve_size(e) <= most + LOG_MAX);
    must(engine_close(e, &error), &error);
}

static void counts_of_a_manifest_ask_for_little(void **state)
{
    (void)state;
    forge f;
    begin_keys(&f);
    f.manifest.keys = MANY;
    list_tables(&f, 0, 0, 1);
    ask_little(&f);
    clean_up(&f);
    begin_keys(&f);
    f.manifest.keys = KEYS;
    list_tables(&f, MANY, 0, 1);
    ask_little(&f);
    clean_up(&f);
}

/* As a merge that found no room notes it, to see when it is less. */
static void no_more_lives_than_there_is(void **state)
{
    static const uint64_t counts[] = {MANY, PERSIST_SEQ_MAX / 4};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        forge f;
        persist_error error;
        begin_keys(&f);
        f.manifest.keys = KEYS;
        list_tables(&f, 0, counts[i], MANY * 2);
        engine *e = open_engine(f.sys);
        policy_note_begun(e, e->layers);
        policy_note_stuck(e);
        assert_int_equal(e->upkeep.stuck_at.counted, e->layers->table_bytes);
        must(engine_close(e, &error), &error);
        clean_up(&f);
    }
}

/* The first commit of an opening writes a manifest, and finds no byte for it
 * but those that are kept. A step may be measuring meanwhile. */
static void who_writes_measures_nothing(void **state)
{
    enum { SIZE_OF_A_STEP = 12345 };
    (void)state;
    forge f;
    persist_error error;
    engine *e = begin_written(&f);
    must(engine_close(e, &error), &error);
    e = open_engine(f.sys);
    assert_false(atomic_load(&e->in_use));
    /* as a step has noted it of a new table */
    e->key_note = (note_size){SIZE_OF_A_STEP, e->next_table};
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    assert_int_equal(reserve_use(e, &error), PERSIST_OK);
    assert_true(atomic_load(&e->in_use)); /* it took of the reserve */
    assert_int_equal(e->key_note.of, e->next_table);
    assert_int_equal(e->key_note.size, SIZE_OF_A_STEP);
    os_sim_limit_space(f.sim, UINT64_MAX);
    must(engine_close(e, &error), &error);
    clean_up(&f);
}

/* What a longer log needed is for what adds, but not what is kept for it; what
 * frees space gets more. */
static void what_is_not_needed_is_lent(void **state)
{
    enum { MORE = 64 << 10 };
    (void)state;
    forge f;
    persist_error error;
    os_file *file;
    engine *e = begin_written(&f);
    wal_size log = wal_takes(&e->wal);
    uint64_t needed = reserve_wanted(e, log);
    assert_int_equal(f.sys->file_open(f.sys, e->at.root, LAYOUT_RESERVE,
                                      OS_WRITE | OS_CREATE, &file),
                     0);
    assert_int_equal(f.sys->file_take_room(f.sys, file, needed + MORE), 0);
    f.sys->file_close(f.sys, file);
    e->reserve_files = RESERVE_FILES_UPKEEP; /* none of them is lent */
    assert_false(reserve_lend(e, log, MORE + 1, WAL_ADDS));
    assert_int_equal(reserve_size(e), needed + MORE);
    assert_true(reserve_lend(e, log, MORE, WAL_ADDS));
    assert_int_equal(reserve_size(e), needed);
    assert_false(reserve_lend(e, log, 1, WAL_ADDS));
    assert_true(reserve_lend(e, log, 1, WAL_FREES));
    must(engine_close(e, &error), &error);
    clean_up(&f);
}

/* What comes is taken to be like what came last, however much there was
 * before; what frees space tells nothing. */
static void what_came_last_tells(void **state)
{
    enum { MANY_LOGS = 20, LITTLE = 100 };
    (void)state;
    forge f;
    persist_error error;
    engine *e = begin_written(&f);
    uint64_t log = e->memtable_size + 1, has = layers_notes(e->layers);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < MANY_LOGS; i++) {
            atomic_store(&e->notes, turn == 0 ? has - log : has);
            reserve_note_log(e, e->layers, log);
            uint64_t share = atomic_load(&e->notes_share);
            reserve_note_log(e, e->layers, 0);
            assert_int_equal(atomic_load(&e->notes_share), share);
            if (i == MANY_LOGS - 1 && turn == 0)
                assert_true(share > LOG_SHARE_ONE - LOG_SHARE_ONE / LITTLE);
            if (i == MANY_LOGS - 1 && turn == 1)
                assert_true(share < LOG_SHARE_ONE / LITTLE);
        }
    must(engine_close(e, &error), &error);
    clean_up(&f);
}

/* With a log of so many segments: whether what adds is refused one more where
 * the disk has no file left but those that are kept. */
static bool is_refused(engine *e, size_t segments)
{
    wal_size log = wal_takes(&e->wal);
    log.segments = segments;
    int code = reserve_keep(e, log, WAL_ADDS);
    assert_true(code == 0 || code == -ENOSPC);
    assert_int_equal(atomic_load(&e->lacks_reserve), code != 0);
    return code != 0;
}

/* While a step has files of the log in hand that it is about to keep, what adds
 * would find one. */
static void what_adds_leaves_files(void **state)
{
    (void)state;
    forge f;
    persist_error error;
    engine *e = begin_written(&f);
    size_t tables = e->manifest.table_count;
    assert_true(tables > 0);
    for (unsigned n = RESERVE_FILES; n > 0; n--) {
        os_sim_limit_files(f.sim, os_sim_files_used(f.sim));
        assert_int_equal(e->reserve_files, n);
        assert_int_equal(is_refused(e, 2), n < RESERVE_FILES_ADD);
        assert_int_equal(is_refused(e, 1), n < RESERVE_FILES_ADD + 1);
        e->manifest.table_count = 0;
        assert_int_equal(is_refused(e, 2), n < RESERVE_FILES_ADD + 1);
        assert_int_equal(is_refused(e, 1), n < RESERVE_FILES_ADD + 2);
        e->manifest.table_count = tables;
        reserve_refill(e); /* nor is it asked for, then */
        bool lacks = atomic_load(&e->lacks_reserve);
        assert_int_equal(is_refused(e, wal_takes(&e->wal).segments), lacks);
        assert_true(reserve_give(e));
    }
    os_sim_limit_files(f.sim, UINT64_MAX);
    must(engine_close(e, &error), &error);
    clean_up(&f);
}

/* Whatever finds no file gets some of those that are kept: what adds, what
 * deletes, though nothing else can be done, and a table of a short log. */
static void each_leaves_files_to_the_next(void **state)
{
    static const wal_claim claims[] = {WAL_ADDS, WAL_FREES, WAL_FREES_LAST};
    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        forge f;
        persist_error error;
        engine *e = begin_written(&f);
        wal_size log = {.segments = 2};
        for (unsigned n = 0; n < RESERVE_FILES; n++)
            (void)reserve_lend(e, log, SEGMENT, claims[i]);
        assert_int_equal(e->reserve_files, claims[i] == WAL_ADDS
                                               ? RESERVE_FILES_ADD
                                               : RESERVE_FILES_UPKEEP);
        while (reserve_lend_table(e, 0)) {
        }
        assert_int_equal(e->reserve_files, RESERVE_FILES_MERGE);
        must(engine_close(e, &error), &error);
        clean_up(&f);
    }
}

/* On a full disk, also what gets the last of it: the rest is for what makes
 * room, which must not take the disk for one that has some. */
static void what_frees_space_takes_little(void **state)
{
    enum { LITTLE = SEGMENT_SIZE_DEFAULT / SEGMENT_LITTLE_SHARE };
    static const wal_claim claims[] = {WAL_FREES, WAL_FREES_LAST};
    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        forge f;
        persist_error error;
        engine *e;
        begin_keys(&f);
        f.manifest.keys = KEYS;
        list_tables(&f, 0, 0, 1);
        persist_options options = options_of(f.sys);
        options.segment_size = 0;
        must(engine_open(&options, &e, &error), &error);
        put(e, "another");
        must(wal_next_segment(&e->wal, RECORD_HEADER_SIZE, claims[i], &error),
             &error);
        assert_true(e->wal.active->size > LITTLE); /* there is room */
        e->frees_tail = false;
        wal_note_full(&e->wal);
        must(wal_next_segment(&e->wal, RECORD_HEADER_SIZE, claims[i], &error),
             &error);
        assert_int_equal(e->wal.active->size, LITTLE);
        assert_true(atomic_load(&e->wal.full));
        assert_true(e->frees_tail); /* nothing is added to it */
        must(engine_close(e, &error), &error);
        clean_up(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_of_a_manifest_ask_for_little),
        cmocka_unit_test(no_more_lives_than_there_is),
        cmocka_unit_test(who_writes_measures_nothing),
        cmocka_unit_test(what_came_last_tells),
        cmocka_unit_test(what_is_not_needed_is_lent),
        cmocka_unit_test(what_adds_leaves_files),
        cmocka_unit_test(each_leaves_files_to_the_next),
        cmocka_unit_test(what_frees_space_takes_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
