/* SPDX-License-Identifier: MIT */
/* Backups of a store that is in use: what they list is the store as it was at
 * their point, whatever is committed, flushed, merged and given back behind it;
 * and all of it can go once they have ended. */
#include <errno.h>

#include "../lib/ops.h"
#include "../lib/sim_files.h"
#include "../lib/take.h"
#include "fixture.h"

enum { ROUNDS = 24, LARGE = 3000, MANY = 12, SEGMENT = 4096 };

static fixture f;

/* Shapes of stores: tables of each commit, of some, or none. */
static const uint32_t memtables[] = {1, 2000, 0};
enum { SHAPES = sizeof memtables / sizeof *memtables };

static void begin(uint32_t memtable_size)
{
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = memtable_size == 0 ? 16 * SEGMENT : SEGMENT,
                  .memtable_size = memtable_size,
                  .merge_width = 2,
                  .packed_max = 64};
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
}

static void step_all(void)
{
    bool did = true;
    while (did)
        assert_int_equal(store_step(f.store, &did, NULL), PERSIST_OK);
}

/* A commit of all kinds, a small blob and a large one. */
static void change(unsigned round)
{
    char data[LARGE];
    persist_cid cid;
    memset(data, 'a' + (int)(round % 26), sizeof data);
    size_t size = (size_t)snprintf(data, 32, "data of round %u", round);
    slice text = slice_of(data, size);
    persist_edit tagged = {
        .kind = PERSIST_APPEND, .name = slice_str("s"), .data = text};
    pool_tag(&tagged, round);
    const persist_edit edits[] = {
        tagged,
        {.kind = PERSIST_PUT, .name = slice_str("k"), .data = text},
        {.kind = round % 3 == 0 ? PERSIST_DELETE : PERSIST_PUT,
         .name = slice_str("sometimes"),
         .data = round % 3 == 0 ? slice_of(NULL, 0) : text},
        {.kind = PERSIST_TRUNCATE, .name = slice_str("s"), .seq = round / 2}};
    persist_once command = {.id = text};
    command.fingerprint[0] = (uint8_t)round;
    persist_outcome out;
    assert_int_equal(
        persist_commit(f.store, edits, 4, &command, &out, &f.error),
        PERSIST_OK);
    persist_outcome_release(&out);
    assert_int_equal(persist_blob_add(f.store, text, cid, NULL, &f.error),
                     PERSIST_OK);
    if (round % 4 == 0)
        assert_int_equal(persist_blob_add(f.store, slice_of(data, sizeof data),
                                          cid, NULL, &f.error),
                         PERSIST_OK);
}

static persist_backup *begin_backup(persist_point *point)
{
    persist_backup *b = NULL;
    if (persist_backup_begin(f.store, &b, point, &f.error) != PERSIST_OK)
        fail_msg("backup: %s", f.error.message);
    return b;
}

static bool note_damage(void *context, const persist_finding *found)
{
    (void)context;
    fail_msg("%s at %llu: %s", found->path, (unsigned long long)found->offset,
             found->what);
    return false;
}

/* All bytes of a directory, by the order of names. */
static uint64_t hash_files(const char *dir)
{
    sim_file files[SIM_FILES_MAX];
    uint64_t sum = 0;
    size_t size = strlen(dir), count = sim_files(f.sim, files);
    for (size_t i = 0; i < count; i++)
        if (strncmp(files[i].path, dir, size) == 0 && !files[i].is_dir &&
            strstr(files[i].path, "/lock") == NULL)
            sum = sum * 31 + hash_xxh3(files[i].bytes);
    return sum;
}

/* The copy is whole, opens to the point, and shows the same. */
static void expect_copy(const char *dir, const persist_point *point,
                        slice expected)
{
    persist_options options = {PERSIST_OPTIONS, .path = dir,
                               .os = os_sim_os(f.sim)};
    const persist_watcher watcher = {PERSIST_WATCHER, .found = note_damage};
    persist_progress p = {PERSIST_PROGRESS};
    persist_store *copy;
    buf now = {0}, why = {0};
    assert_int_equal(persist_verify(&options, &watcher, &p, &f.error),
                     PERSIST_OK);
    assert_int_equal(p.damages + p.remarks, 0);
    if (persist_open(&options, &copy, &f.error) != PERSIST_OK)
        fail_msg("open: %s", f.error.message);
    assert_int_equal(persist_latest(copy), point->lsn);
    assert_int_equal(persist_durable(copy), point->lsn);
    assert_int_equal(persist_position(copy, PERSIST_LATEST), point->position);
    assert_int_equal(store_dump(copy, PERSIST_LATEST, &now, &f.error),
                     PERSIST_OK);
    dump_difference(expected, buf_slice(&now), &why);
    if (!slice_equal(expected, buf_slice(&now)))
        fail_msg("%.*s", (int)why.size, (const char *)why.data);
    buf_release(&now);
    buf_release(&why);
    assert_int_equal(persist_close(copy, NULL), PERSIST_OK);
}

static void expect_blob(const char *dir, unsigned round)
{
    char data[LARGE], read[LARGE + 1];
    persist_options options = {PERSIST_OPTIONS, .path = dir,
                               .os = os_sim_os(f.sim)};
    persist_cid cid;
    persist_store *copy;
    persist_blob_reader *r;
    size_t got;
    memset(data, 'a' + (int)(round % 26), sizeof data);
    snprintf(data, 32, "data of round %u", round);
    persist_cid_of(slice_of(data, sizeof data), cid);
    assert_int_equal(persist_open(&options, &copy, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_open(copy, slice_str(cid), NULL, &r, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_read(r, read, sizeof read, &got, NULL),
                     PERSIST_OK);
    assert_int_equal(got, sizeof data);
    persist_blob_close(r);
    assert_int_equal(persist_close(copy, NULL), PERSIST_OK);
}

/* The pack in hand goes on growing: it is no sealed file, and has at the end of
 * the backup the size that it had at its point. */
static void the_pack_in_hand_is_copied(void **state)
{
    (void)state;
    persist_cid cid;
    persist_error error;
    begin(0);
    assert_int_equal(persist_blob_put(f.store, slice_str("first"), cid, &error),
                     PERSIST_OK);
    persist_backup *b = begin_backup(NULL);
    assert_int_equal(
        persist_blob_put(f.store, slice_str("second"), cid, &error),
        PERSIST_OK);
    const persist_backup_file *file;
    unsigned packs = 0;
    uint64_t size = 0, grown = 0;
    os_stat now;
    const os *sys = os_sim_os(f.sim);
    while (persist_backup_next(b, &file, &error) == PERSIST_OK) {
        char path[128];
        if (strstr(file->name, ".pak") == NULL)
            continue;
        packs++;
        assert_false(file->sealed);
        size = file->size;
        snprintf(path, sizeof path, "store/%s", file->name);
        assert_int_equal(sys->stat(sys, sys->cwd, path, &now), 0);
        grown = now.size;
    }
    persist_backup_end(b);
    assert_int_equal(packs, 1);
    assert_true(size > 0 && size < grown);
    fixture_end(&f);
}

/* Rounds go on between the point, the list, and the end of the list. */
static void a_backup_is_the_store_at_its_point(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        taken t = {.link = i % 2 == 1};
        buf seen = {0};
        persist_point point;
        begin(memtables[i / 2]);
        for (unsigned round = 0; round < ROUNDS; round++) {
            change(round);
            if (round % 5 == 0)
                step_all();
        }
        persist_backup *b = begin_backup(&point);
        assert_int_equal(point.lsn, persist_durable(f.store));
        assert_true(point.time > 0);
        assert_int_equal(store_dump(f.store, PERSIST_LATEST, &seen, NULL),
                         PERSIST_OK);
        for (unsigned round = ROUNDS; round < 3 * ROUNDS; round++) {
            change(round);
            step_all();
        }
        fixture_wait(&f);
        if (take_backup(os_sim_os(f.sim), b, "copy", &t, &f.error) !=
            PERSIST_OK)
            fail_msg("take: %s", f.error.message);
        persist_backup_end(b);
        assert_true(t.sealed > 0 && t.files > t.sealed);
        expect_copy("copy", &point, buf_slice(&seen));
        expect_blob("copy", 4);
        /* what has two names is not written to */
        uint64_t before = hash_files("copy");
        for (unsigned round = 0; round < ROUNDS; round++)
            change(3 * ROUNDS + round);
        step_all();
        fixture_close(&f);
        assert_true(hash_files("copy") == before);
        expect_copy("copy", &point, buf_slice(&seen));
        fixture_reopen(&f);
        buf_release(&seen);
        fixture_end(&f);
    }
}

static uint64_t used(void)
{
    return os_sim_space_used(f.sim);
}

static void overwrite(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        fixture_do(&f, PERSIST_PUT, "k", "some value that is overwritten", 0);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", ROUNDS);
        fixture_wait(&f);
        step_all();
    }
}

/* While it is open the disk holds more by what the store had at the point; when
 * it has ended all of that goes, or is used again. */
static void what_is_held_is_bounded_and_goes(void **state)
{
    (void)state;
    uint64_t with[2], after[2];
    for (int held = 0; held < 2; held++) {
        persist_backup *b = NULL;
        begin(2000);
        for (unsigned round = 0; round < ROUNDS; round++)
            change(round);
        step_all();
        uint64_t before = used();
        if (held)
            b = begin_backup(NULL);
        overwrite(4 * ROUNDS);
        with[held] = used();
        persist_backup_end(b);
        for (unsigned again = 0; again < MANY; again++) {
            b = held ? begin_backup(NULL) : NULL;
            overwrite(ROUNDS / 2);
            persist_backup_end(b);
        }
        overwrite(ROUNDS);
        after[held] = used();
        assert_true(!held || with[1] <= with[0] + before);
        fixture_end(&f);
    }
    assert_true(with[1] > with[0]);
    assert_true(after[1] <= after[0] + SEGMENT_FREE_MAX * SEGMENT);
}

/* A backup that lists nothing yet finds all that it was to list. */
static void a_list_may_come_late(void **state)
{
    (void)state;
    taken t = {0};
    buf seen = {0};
    persist_point points[3];
    persist_backup *b[3];
    begin(1);
    for (unsigned n = 0; n < 3; n++) {
        change(n);
        change(10 + n);
        step_all();
        b[n] = begin_backup(&points[n]);
    }
    assert_int_equal(store_dump(f.store, PERSIST_LATEST, &seen, NULL),
                     PERSIST_OK);
    for (unsigned round = 20; round < 40; round++) {
        change(round);
        step_all();
    }
    persist_backup_end(b[0]);
    persist_backup_end(b[1]);
    step_all();
    assert_int_equal(take_backup(os_sim_os(f.sim), b[2], "copy", &t, &f.error),
                     PERSIST_OK);
    persist_backup_end(b[2]);
    expect_copy("copy", &points[2], buf_slice(&seen));
    buf_release(&seen);
    fixture_end(&f);
}

/* Of the first files that a second backup lists as the same, byte for byte. */
static void what_is_the_same_says_so(void **state)
{
    (void)state;
    enum { MOST = 64 };
    struct {
        char name[128];
        uint64_t size, mark;
    } had[MOST];
    size_t count = 0, same = 0, others = 0;
    const persist_backup_file *file;
    begin(2000);
    for (unsigned round = 0; round < ROUNDS; round++)
        change(round);
    step_all();
    persist_backup *b = begin_backup(NULL);
    while (persist_backup_next(b, &file, &f.error) == PERSIST_OK) {
        if (!file->sealed)
            continue;
        assert_true(count < MOST);
        snprintf(had[count].name, sizeof had[count].name, "%s", file->name);
        had[count].size = file->size;
        had[count++].mark = file->mark;
    }
    persist_backup_end(b);
    for (unsigned round = ROUNDS; round < ROUNDS + 3; round++)
        change(round);
    b = begin_backup(NULL);
    while (persist_backup_next(b, &file, &f.error) == PERSIST_OK) {
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known = known ||
                    (strcmp(had[i].name, file->name) == 0 &&
                     had[i].size == file->size && had[i].mark == file->mark);
        same += known && file->sealed;
        others += file->sealed && !known;
    }
    persist_backup_end(b);
    assert_true(count > 0 && same == count && others <= 2);
    fixture_end(&f);
}

static void a_store_is_not_closed_under_one(void **state)
{
    (void)state;
    begin(0);
    change(1);
    persist_backup *b = begin_backup(NULL), *other = begin_backup(NULL);
    assert_int_equal(persist_close(f.store, &f.error), PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "2 backups are open"));
    persist_backup_end(b);
    assert_int_equal(persist_close(f.store, &f.error), PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "1 backup is open"));
    persist_backup_end(other);
    fixture_end(&f);
}

static void wrong_calls_are_told(void **state)
{
    (void)state;
    char bytes[8];
    size_t got;
    persist_backup *b = NULL;
    persist_store *memory;
    const persist_backup_file *file;
    const persist_options options = {PERSIST_OPTIONS};
    begin(0);
    assert_int_equal(persist_open(&options, &memory, NULL), PERSIST_OK);
    assert_int_equal(persist_backup_begin(memory, &b, NULL, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_null(b);
    assert_int_equal(persist_close(memory, NULL), PERSIST_OK);
    assert_int_equal(persist_backup_begin(NULL, &b, NULL, &f.error),
                     PERSIST_CLOSED);
    assert_int_equal(persist_backup_begin(f.store, NULL, NULL, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_backup_next(NULL, &file, &f.error),
                     PERSIST_CLOSED);
    b = begin_backup(NULL);
    assert_int_equal(persist_backup_next(b, NULL, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_backup_read(b, bytes, sizeof bytes, &got, NULL),
                     PERSIST_BAD_REQUEST);
    while (persist_backup_next(b, &file, &f.error) == PERSIST_OK) {
        assert_int_equal(persist_backup_read(b, NULL, 1, &got, NULL),
                         PERSIST_BAD_REQUEST);
        assert_int_equal(
            persist_backup_read(b, bytes, sizeof bytes, NULL, NULL),
            PERSIST_BAD_REQUEST);
    }
    assert_int_equal(persist_backup_next(b, &file, &f.error), PERSIST_NONE);
    persist_backup_end(b);
    persist_backup_end(NULL);
    fixture_end(&f);
}

/* What was damaged is told, and the backup goes no further. */
static void a_damaged_log_is_told(void **state)
{
    (void)state;
    const persist_backup_file *file;
    persist_status status;
    begin(0);
    change(1);
    fixture_wait(&f);
    fixture_flip(&f, "store/wal/0000000000000001.log", 600);
    persist_backup *b = begin_backup(NULL);
    while ((status = persist_backup_next(b, &file, &f.error)) == PERSIST_OK) {
    }
    assert_int_equal(status, PERSIST_CORRUPT);
    assert_non_null(strstr(f.error.path, "0000000000000001.log"));
    assert_int_equal(persist_backup_next(b, &file, &f.error), PERSIST_CORRUPT);
    persist_backup_end(b);
    fixture_end(&f);
}

/* What is not durable, and never will be, is in no backup. */
static void a_failed_sync_is_told(void **state)
{
    (void)state;
    persist_backup *b = NULL;
    begin(0);
    change(1);
    fixture_wait(&f);
    change(2);
    os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_SYNC,
                                   .nth = 1,
                                   .from_then_on = true,
                                   .error = EIO});
    assert_true(persist_backup_begin(f.store, &b, NULL, &f.error) >
                PERSIST_NONE);
    assert_null(b);
    assert_int_equal(persist_backup_begin(f.store, &b, NULL, &f.error),
                     PERSIST_READ_ONLY);
    persist_close(f.store, NULL);
    f.store = NULL;
    fixture_end(&f);
}

/* What a purge is to reach is held until the backup ends. */
static void a_purge_waits_for_backups(void **state)
{
    (void)state;
    taken t = {0};
    persist_point point;
    const persist_tidy tidy = {PERSIST_TIDY};
    persist_tidied out = {PERSIST_TIDIED};
    buf seen = {0};
    begin(0);
    change(1);
    change(2);
    assert_int_equal(store_dump(f.store, PERSIST_LATEST, &seen, NULL),
                     PERSIST_OK);
    persist_backup *b = begin_backup(&point);
    change(3);
    assert_int_equal(persist_purge(f.store, &tidy, &out, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "backups"));
    assert_int_equal(take_backup(os_sim_os(f.sim), b, "copy", &t, &f.error),
                     PERSIST_OK);
    persist_backup_end(b);
    expect_copy("copy", &point, buf_slice(&seen));
    if (persist_purge(f.store, &tidy, &out, &f.error) != PERSIST_OK)
        fail_msg("%s", f.error.message);
    buf_release(&seen);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pack_in_hand_is_copied),
        cmocka_unit_test(a_backup_is_the_store_at_its_point),
        cmocka_unit_test(what_is_held_is_bounded_and_goes),
        cmocka_unit_test(a_list_may_come_late),
        cmocka_unit_test(what_is_the_same_says_so),
        cmocka_unit_test(a_store_is_not_closed_under_one),
        cmocka_unit_test(wrong_calls_are_told),
        cmocka_unit_test(a_damaged_log_is_told),
        cmocka_unit_test(a_failed_sync_is_told),
        cmocka_unit_test(a_purge_waits_for_backups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
