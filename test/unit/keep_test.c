/* SPDX-License-Identifier: MIT */
/* Directories of backups: one after the other, linked and copied, restored.
 * They are ended at every call by a kill, a loss of power, an error of each
 * kind, or a full disk: the store they come from is as it was, what has the
 * name of a backup or of a restored store is whole, and the next try does it.
 */
#include <errno.h>

#include "../lib/ops.h"
#include "../lib/sim_files.h"
#include "../lib/wall.h"
#include "fixture.h"

enum { BACKUPS = 4, LARGE = 2000, PATHS = 128 };

static fixture f;
static buf
    seen[BACKUPS + 1]; /* what the store showed, by number of the backup */
static persist_kept kept[BACKUPS + 1];

/* ---- a store, and backups of it -------------------------------------------
 */

static void begin(void)
{
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = 4096,
                  .memtable_size = 1500,
                  .merge_width = 3,
                  .packed_max = 64};
    fixture_reopen(&f);
}

static void end(void)
{
    for (int i = 0; i <= BACKUPS; i++)
        buf_release(&seen[i]);
    memset(seen, 0, sizeof seen);
    fixture_end(&f);
}

static void change(unsigned from, unsigned count)
{
    char data[LARGE];
    persist_cid cid;
    for (unsigned round = from; round < from + count; round++) {
        wall_set(WALL_BEGIN + round * 1000);
        memset(data, 'a' + (int)(round % 26), sizeof data);
        size_t size = (size_t)snprintf(data, 32, "round %u", round);
        slice text = slice_of(data, size);
        const persist_edit edits[] = {
            {.kind = PERSIST_APPEND, .name = slice_str("s"), .data = text},
            {.kind = PERSIST_PUT, .name = slice_str("k"), .data = text}};
        assert_int_equal(
            persist_commit(f.store, edits, 2, NULL, NULL, &f.error),
            PERSIST_OK);
        assert_int_equal(persist_blob_add(f.store, text, cid, NULL, &f.error),
                         PERSIST_OK);
        if (round % 5 == 0)
            assert_int_equal(persist_blob_add(f.store,
                                              slice_of(data, sizeof data), cid,
                                              NULL, &f.error),
                             PERSIST_OK);
    }
}

static persist_status try_backup(persist_store *store, const os_sim *sim,
                                 bool copy, persist_kept *out,
                                 persist_error *error)
{
    const persist_back_up_options options = {
        PERSIST_BACK_UP, .path = "backups", .copy = copy,
        .os = os_sim_os((os_sim *)(uintptr_t)sim)};
    *out = (persist_kept){PERSIST_KEPT};
    return persist_back_up(store, &options, out, error);
}

static void back_up(int number, bool copy)
{
    buf_clear(&seen[number]);
    assert_int_equal(
        store_dump(f.store, PERSIST_LATEST, &seen[number], &f.error),
        PERSIST_OK);
    if (try_backup(f.store, f.sim, copy, &kept[number], &f.error) != PERSIST_OK)
        fail_msg("backup: %s", f.error.message);
    assert_int_equal(kept[number].number, number);
    assert_int_equal(kept[number].lsn, persist_durable(f.store));
}

static persist_status try_restore(const os_sim *sim, const char *into,
                                  persist_at at, uint64_t value,
                                  persist_kept *out, persist_error *error)
{
    const persist_restore_options options = {
        PERSIST_RESTORE, .path = "backups",
        .into = into,    .at = at,
        .value = value,  .os = os_sim_os((os_sim *)(uintptr_t)sim)};
    *out = (persist_kept){PERSIST_KEPT};
    return persist_restore(&options, out, error);
}

static bool is_there(const os_sim *sim, const char *path)
{
    const os *sys = os_sim_os((os_sim *)(uintptr_t)sim);
    os_stat found;
    return sys->stat(sys, sys->cwd, path, &found) == 0;
}

static bool note_damage(void *context, const persist_finding *found)
{
    (void)context;
    if (found->damage)
        fail_msg("%s at %llu: %s", found->path,
                 (unsigned long long)found->offset, found->what);
    return true;
}

/* A store that is whole, and shows that. */
static void expect_store(os_sim *sim, const char *path, slice expected)
{
    persist_options options = {PERSIST_OPTIONS, .path = path,
                               .os = os_sim_os(sim)};
    const persist_watcher watcher = {PERSIST_WATCHER, .found = note_damage};
    persist_store *store;
    persist_error error;
    buf now = {0}, why = {0};
    if (persist_verify(&options, &watcher, NULL, &error) != PERSIST_OK)
        fail_msg("verify %s: %s", path, error.message);
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("open %s: %s", path, error.message);
    assert_int_equal(store_dump(store, PERSIST_LATEST, &now, &error),
                     PERSIST_OK);
    dump_difference(expected, buf_slice(&now), &why);
    if (!slice_equal(expected, buf_slice(&now)))
        fail_msg("%s: %.*s", path, (int)why.size, (const char *)why.data);
    buf_release(&now);
    buf_release(&why);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

static void expect_backups(os_sim *sim)
{
    char path[PATHS];
    for (int i = 1; i <= BACKUPS; i++) {
        snprintf(path, sizeof path, "backups/%06d", i);
        const buf *shown = &seen[seen[i].size > 0 ? i : i - 1];
        if (is_there(sim, path))
            expect_store(sim, path, buf_slice(shown));
    }
}

static void identity_of(os_sim *sim, const char *path, persist_identity_text id,
                        persist_identity_text parent)
{
    persist_options options = {PERSIST_OPTIONS, .path = path,
                               .os = os_sim_os(sim)};
    persist_store *store;
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    assert_int_equal(persist_identity(store, id, parent, NULL), PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

/* ---- what they do ----------------------------------------------------------
 */

static void backups_take_what_is_new(void **state)
{
    (void)state;
    for (int copy = 0; copy < 2; copy++) {
        begin();
        change(0, 20);
        back_up(1, copy);
        assert_true((kept[1].linked == 0) == (copy == 1));
        change(20, 3);
        back_up(2, copy);
        assert_true(kept[2].linked > 0);
        assert_true(kept[2].bytes < kept[1].bytes + kept[1].linked_bytes);
        assert_true(kept[2].verified > 0);
        change(30, 20);
        back_up(3, copy);
        fixture_close(&f);
        expect_backups(f.sim);
        for (int i = 2; i <= 3; i++)
            assert_true(kept[i].time > kept[i - 1].time);
        assert_false(is_there(f.sim, "backups/unfinished"));
        end();
    }
}

static void a_restored_store_is_another(void **state)
{
    (void)state;
    persist_identity_text self, parent, id, none;
    persist_kept out;
    begin();
    for (int i = 1; i <= 3; i++) {
        change((unsigned)i * 20, 15);
        back_up(i, i == 2);
    }
    assert_int_equal(persist_identity(f.store, self, none, NULL), PERSIST_OK);
    const struct {
        persist_at at;
        uint64_t value;
        int number;
    } wanted[] = {
        {PERSIST_AT_NEWEST, 0, 3},
        {PERSIST_AT_LSN, kept[1].lsn, 1},
        {PERSIST_AT_LSN, kept[2].lsn + 1, 2},
        {PERSIST_AT_POSITION, kept[2].position, 2},
        {PERSIST_AT_POSITION, kept[3].position - 1, 2},
        {PERSIST_AT_POSITION, UINT64_MAX, 3},
        {PERSIST_AT_TIME, kept[1].time, 1},
        {PERSIST_AT_TIME, kept[3].time - 1, 2},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char into[PATHS];
        snprintf(into, sizeof into, "new%zu", i);
        if (try_restore(f.sim, into, wanted[i].at, wanted[i].value, &out,
                        &f.error) != PERSIST_OK)
            fail_msg("restore: %s", f.error.message);
        int n = wanted[i].number;
        assert_int_equal(out.number, n);
        assert_int_equal(out.lsn, kept[n].lsn);
        assert_int_equal(out.position, kept[n].position);
        assert_int_equal(out.time, kept[n].time);
        expect_store(f.sim, into, buf_slice(&seen[n]));
        identity_of(f.sim, into, id, parent);
        assert_string_not_equal(id, self);
        assert_string_equal(parent, self);
        snprintf(into, sizeof into, "new%zu.restoring", i);
        assert_false(is_there(f.sim, into));
    }
    assert_int_equal(try_restore(f.sim, "late", PERSIST_AT_POSITION,
                                 kept[1].position - 1, &out, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_false(is_there(f.sim, "late") || is_there(f.sim, "late.restoring"));
    assert_int_equal(
        try_restore(f.sim, "new0", PERSIST_AT_NEWEST, 0, &out, &f.error),
        PERSIST_BAD_STORE);
    expect_backups(f.sim);
    end();
}

/* Nothing of a store that somebody uses is taken for a backup, nor for what is
 * left of one. */
static void a_store_among_backups_is_left_alone(void **state)
{
    (void)state;
    persist_kept out;
    persist_store *other;
    begin();
    change(0, 10);
    back_up(1, false);
    const char *const inside[] = {"backups/unfinished", "backups/000009",
                                  "backups/x"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        assert_int_equal(
            try_restore(f.sim, inside[i], PERSIST_AT_NEWEST, 0, &out, &f.error),
            PERSIST_BAD_REQUEST);
        assert_non_null(strstr(f.error.message, "among the backups"));
        assert_false(is_there(f.sim, inside[i]));
    }
    const persist_options options = {PERSIST_OPTIONS, .path = inside[0],
                                     .create = true, .os = os_sim_os(f.sim)};
    assert_int_equal(persist_open(&options, &other, &f.error), PERSIST_OK);
    assert_int_equal(try_backup(f.store, f.sim, false, &out, &f.error),
                     PERSIST_LOCKED);
    assert_true(is_there(f.sim, inside[0]));
    assert_int_equal(persist_close(other, &f.error), PERSIST_OK);
    expect_backups(f.sim);
    assert_int_equal(try_backup(f.store, f.sim, false, &out, &f.error),
                     PERSIST_OK);
    end();
}

/* What was put back, or goes its own way, is not mixed with what was before. */
static void backups_of_others_are_refused(void **state)
{
    (void)state;
    persist_kept out;
    persist_store *other;
    begin();
    change(0, 10);
    back_up(1, false);
    assert_int_equal(
        try_restore(f.sim, "new", PERSIST_AT_NEWEST, 0, &out, &f.error),
        PERSIST_OK);
    const persist_options options = {PERSIST_OPTIONS, .path = "new",
                                     .os = os_sim_os(f.sim)};
    assert_int_equal(persist_open(&options, &other, NULL), PERSIST_OK);
    assert_int_equal(try_backup(other, f.sim, false, &out, &f.error),
                     PERSIST_BAD_STORE);
    assert_non_null(strstr(f.error.message, "another store"));
    assert_int_equal(persist_close(other, NULL), PERSIST_OK);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->dir_make(sys, sys->cwd, "backups/mine"), 0);
    assert_int_equal(try_backup(f.store, f.sim, false, &out, &f.error),
                     PERSIST_BAD_STORE);
    assert_int_equal(try_restore(f.sim, "n", PERSIST_AT_NEWEST, 0, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(sys->dir_remove(sys, sys->cwd, "backups/mine"), 0);
    /* who opens one that was put back gets no backup in with the later ones */
    change(10, 10);
    back_up(2, false);
    fixture_close(&f);
    const persist_options older = {PERSIST_OPTIONS, .path = "backups/000001",
                                   .os = os_sim_os(f.sim)};
    assert_int_equal(persist_open(&older, &other, NULL), PERSIST_OK);
    assert_int_equal(try_backup(other, f.sim, true, &out, &f.error),
                     PERSIST_BAD_STORE);
    assert_non_null(strstr(f.error.message, "older state"));
    assert_int_equal(persist_close(other, NULL), PERSIST_OK);
    end();
}

/* One that is damaged is not a backup, and says where. */
static void damage_is_not_backed_up(void **state)
{
    (void)state;
    persist_kept out;
    begin();
    change(0, 20);
    fixture_wait(&f);
    sim_file files[SIM_FILES_MAX];
    size_t count = sim_files(f.sim, files);
    while (count > 0 && strstr(files[count - 1].path, ".tbl") == NULL)
        count--;
    assert_true(count > 0);
    fixture_flip(&f, files[count - 1].path, 700);
    assert_int_equal(try_backup(f.store, f.sim, false, &out, &f.error),
                     PERSIST_CORRUPT);
    assert_non_null(strstr(f.error.path, ".tbl"));
    assert_false(is_there(f.sim, "backups/000001"));
    assert_false(is_there(f.sim, "backups/unfinished"));
    end();
}

static bool stop(void *context, const persist_kept *k)
{
    (void)k;
    return --*(int *)context > 0;
}

static void who_watches_may_end_it(void **state)
{
    (void)state;
    persist_kept out = {PERSIST_KEPT};
    begin();
    change(0, 20);
    back_up(1, true);
    change(20, 20);
    bool ended = false;
    for (int calls = 1; !ended; calls++) {
        int left = calls;
        const persist_back_up_options options = {
            PERSIST_BACK_UP, .path = "backups", .progress = stop,
            .context = &left, .os = os_sim_os(f.sim)};
        persist_status status =
            persist_back_up(f.store, &options, &out, &f.error);
        ended = status == PERSIST_OK;
        assert_true(ended || status == PERSIST_NONE);
        assert_int_equal(is_there(f.sim, "backups/000002"), ended);
        assert_false(is_there(f.sim, "backups/unfinished"));
    }
    end();
}

/* ---- ended at every call
 * ----------------------------------------------------- */

typedef enum deed { BACK_UP, COPY, RESTORE, DEEDS } deed;

static persist_status perform(os_sim *sim, persist_store *store, deed what,
                              persist_error *error)
{
    persist_kept out;
    return what == RESTORE
               ? try_restore(sim, "new", PERSIST_AT_NEWEST, 0, &out, error)
               : try_backup(store, sim, what == COPY, &out, error);
}

static void prepare(deed what)
{
    begin();
    change(0, 12);
    back_up(1, what == COPY);
    change(12, 6);
    buf_clear(&seen[2]);
    assert_int_equal(store_dump(f.store, PERSIST_LATEST, &seen[2], NULL),
                     PERSIST_OK);
    fixture_wait(&f);
}

/* What is there is whole, and what was begun can be done. */
static void expect_sound(os_sim *sim, deed what)
{
    persist_options options = {PERSIST_OPTIONS, .path = "store",
                               .os = os_sim_os(sim)};
    persist_store *store;
    persist_error error;
    persist_kept out;
    buf now = {0};
    expect_backups(sim);
    if (is_there(sim, "new"))
        expect_store(sim, "new", buf_slice(&seen[1]));
    else if (what == RESTORE && try_restore(sim, "new", PERSIST_AT_NEWEST, 0,
                                            &out, &error) != PERSIST_OK)
        fail_msg("restoring again: %s", error.message);
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("the store: %s", error.message);
    assert_int_equal(store_dump(store, PERSIST_LATEST, &now, NULL), PERSIST_OK);
    assert_true(slice_equal(buf_slice(&now), buf_slice(&seen[2])));
    buf_release(&now);
    if (what != RESTORE &&
        try_backup(store, sim, what == COPY, &out, &error) != PERSIST_OK)
        fail_msg("the next backup: %s", error.message);
    assert_false(is_there(sim, "backups/unfinished"));
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    expect_backups(sim);
}

static deed watched;
static uint64_t points, images;

static void crash_here(void *context, const os_sim *sim, sim_call call)
{
    static const sim_plan plans[] = {{SIM_KEEP_NONE, 0, 0, 1},
                                     {SIM_KEEP_ALL, 0, 0, 1},
                                     {SIM_KEEP_FILES, 0, 0, 1},
                                     {SIM_KEEP_NAMES, 0, 0, 1},
                                     {SIM_KEEP_RANDOM, 1, 0, 1}};
    (void)context;
    (void)call;
    points++;
    for (size_t i = 0; i <= sizeof plans / sizeof *plans; i++) {
        os_sim *image;
        if (i < sizeof plans / sizeof *plans) {
            sim_plan plan = plans[i];
            plan.seed = points;
            image = os_sim_crash(sim, &plan);
        } else {
            image = os_sim_kill(sim);
        }
        images++;
        expect_sound(image, watched);
        assert_int_equal(os_sim_open_files(image), 0);
        os_sim_free(image);
    }
}

static void no_crash_leaves_a_half(void **state)
{
    (void)state;
    points = images = 0;
    for (deed what = BACK_UP; what < DEEDS; what++) {
        prepare(what);
        watched = what;
        os_sim_watch(f.sim, crash_here, NULL);
        persist_status status = perform(f.sim, f.store, what, &f.error);
        os_sim_watch(f.sim, NULL, NULL);
        if (status != PERSIST_OK)
            fail_msg("%s", f.error.message);
        sim_plan none = {.keep = SIM_KEEP_NONE};
        os_sim *image = os_sim_crash(f.sim, &none);
        assert_true(
            is_there(image, what == RESTORE ? "new" : "backups/000002"));
        expect_sound(image, what);
        os_sim_free(image);
        end();
    }
    printf("%llu points, %llu states\n", (unsigned long long)points,
           (unsigned long long)images);
}

static const int errors[] = {EIO,   ENOSPC, EMFILE, ENOMEM, EACCES,
                             EROFS, EDQUOT, EINTR,  0};
enum { ERRORS = sizeof errors / sizeof *errors };

/* After a fault the store goes on, or says that it cannot; opened again it is
 * what it was. */
static void expect_after_fault(persist_status status, deed what, int error)
{
    persist_error why = f.error;
    os_sim_fail(f.sim, (sim_fault){0});
    if (status == PERSIST_OK && what != RESTORE)
        assert_true(is_there(f.sim, "backups/000002"));
    else if (status == PERSIST_OK)
        assert_true(is_there(f.sim, "new"));
    else if (error == EINTR || error == 0)
        fail_msg("%s", why.message);
    else if (status == PERSIST_NONE || strlen(why.message) == 0)
        fail_msg("an error without a word: %d", status);
    (void)persist_close(f.store, NULL);
    f.store = NULL;
    assert_int_equal(os_sim_open_files(f.sim), 0);
    expect_sound(f.sim, what);
}

/* The nth call of all of them fails, once or from then on. */
static void each_call_may_fail(void **state)
{
    (void)state;
    uint64_t hits = 0;
    for (int i = 0; i < 2 * ERRORS; i++) {
        bool more = true;
        deed what = (deed)(i % DEEDS);
        for (uint64_t nth = 1 + (uint64_t)i % 4; more; nth += 4) {
            prepare(what);
            os_sim_fail(f.sim,
                        (sim_fault){.calls = ~0u,
                                    .nth = nth,
                                    .from_then_on = i >= ERRORS,
                                    .keep_pages = errors[i % ERRORS] == EINTR,
                                    .error = errors[i % ERRORS]});
            if (errors[i % ERRORS] == EINTR || errors[i % ERRORS] == 0) {
                os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_READ |
                                                        1u << SIM_WRITE,
                                               .nth = nth,
                                               .error = errors[i % ERRORS]});
            }
            f.error = (persist_error){0};
            persist_status status = perform(f.sim, f.store, what, &f.error);
            more = os_sim_faults(f.sim, SIM_CALLS) > 0;
            hits += more;
            expect_after_fault(status, what, errors[i % ERRORS]);
            end();
        }
    }
    printf("%llu calls failed\n", (unsigned long long)hits);
}

static void a_full_disk_takes_no_half(void **state)
{
    (void)state;
    for (deed what = BACK_UP; what < DEEDS; what++) {
        persist_status status = PERSIST_NO_SPACE;
        for (uint64_t room = 0; status != PERSIST_OK; room += 1500) {
            prepare(what);
            os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + room);
            status = perform(f.sim, f.store, what, &f.error);
            assert_true(status == PERSIST_OK || status == PERSIST_NO_SPACE);
            if (status == PERSIST_NO_SPACE) {
                assert_false(is_there(f.sim, "backups/unfinished"));
                assert_false(is_there(f.sim, "new.restoring"));
            }
            os_sim_limit_space(f.sim, UINT64_MAX);
            fixture_append(&f, "t", "goes on");
            fixture_do(&f, PERSIST_DELETE, "none", "", 0);
            buf_clear(&seen[2]);
            if (is_there(f.sim, "backups/000002"))
                status = PERSIST_OK;
            assert_int_equal(
                store_dump(f.store, PERSIST_LATEST, &seen[2], NULL),
                PERSIST_OK);
            fixture_close(&f);
            if (status != PERSIST_OK)
                expect_sound(f.sim, what);
            end();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backups_take_what_is_new),
        cmocka_unit_test(a_restored_store_is_another),
        cmocka_unit_test(backups_of_others_are_refused),
        cmocka_unit_test(a_store_among_backups_is_left_alone),
        cmocka_unit_test(damage_is_not_backed_up),
        cmocka_unit_test(who_watches_may_end_it),
        cmocka_unit_test(no_crash_leaves_a_half),
        cmocka_unit_test(each_call_may_fail),
        cmocka_unit_test(a_full_disk_takes_no_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
