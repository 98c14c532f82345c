/* SPDX-License-Identifier: MIT */
/* Copies that lack a folder: many tools do not copy one in which nothing is.
 * That is no damage; one that lacks what is needed is. */
#include <errno.h>

#include "fixture.h"
#include "store/store.h"

static const char *const folders[] = {"wal", "tables", "blobs", "tmp"};
enum { WAL, TABLES, BLOBS, TMP, FOLDERS };

typedef enum shape {
    UNUSED, /* made, and closed */
    LOGGED,
    TABLED,
    WITH_BLOB,
    BLOB_IN_TABLE,
    KILLED,
    SHAPES
} shape;

static fixture f;

static void begin(shape s)
{
    persist_lsn lsn;
    persist_cid cid;
    bool tables = s == TABLED || s == BLOB_IN_TABLE;
    fixture_begin_tables(&f, tables ? 1 : 0, 0);
    if (s != UNUSED)
        fixture_do(&f, PERSIST_PUT, "k", "v", 0);
    if (s == WITH_BLOB || s == BLOB_IN_TABLE)
        assert_int_equal(
            persist_blob_add(f.store, slice_str("blob"), cid, &lsn, &f.error),
            PERSIST_OK);
    if (s != UNUSED)
        fixture_wait(&f);
    if (s == KILLED)
        fixture_kill(&f);
    else
        fixture_close(&f);
}

static int delete_name(void *context, const char *name)
{
    const os *sys = os_sim_os(f.sim);
    return sys->unlink(sys, context, name);
}

static bool is_there(const char *folder)
{
    char path[32];
    os_stat stat;
    const os *sys = os_sim_os(f.sim);
    snprintf(path, sizeof path, "store/%s", folder);
    return sys->stat(sys, sys->cwd, path, &stat) == 0;
}

/* Removes a folder; false if it has something in it, which goes only if so
 * told. */
static bool remove_folder(const char *folder, bool with_files)
{
    char path[32];
    os_dir *dir;
    const os *sys = os_sim_os(f.sim);
    snprintf(path, sizeof path, "store/%s", folder);
    assert_int_equal(sys->dir_open(sys, sys->cwd, path, &dir), 0);
    if (with_files)
        assert_int_equal(sys->dir_list(sys, dir, delete_name, dir), 0);
    sys->dir_close(sys, dir);
    int code = sys->dir_remove(sys, sys->cwd, path);
    assert_true(code == 0 || code == -ENOTEMPTY);
    return code == 0;
}

static uint64_t damages(void)
{
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = os_sim_os(f.sim)};
    persist_watcher watcher = {PERSIST_WATCHER};
    persist_progress progress = {PERSIST_PROGRESS};
    assert_int_equal(persist_verify(&options, &watcher, &progress, &f.error),
                     PERSIST_OK);
    return progress.damages;
}

static void check_content(shape s)
{
    const char *value = fixture_value(&f, "k", PERSIST_LATEST);
    assert_string_equal(value, s == UNUSED ? "-" : "v");
}

static void check_read_only(shape s)
{
    os_sim_read_only(f.sim, true);
    fixture_reopen(&f);
    check_content(s);
    assert_int_equal(fixture_try(&f, PERSIST_PUT, "x", "y", 0),
                     PERSIST_READ_ONLY);
    fixture_close(&f);
    os_sim_read_only(f.sim, false);
}

static void check_writing(shape s)
{
    persist_lsn lsn;
    persist_cid cid;
    fixture_reopen(&f);
    check_content(s);
    for (int i = 0; i < FOLDERS; i++)
        assert_true(is_there(folders[i]));
    fixture_do(&f, PERSIST_PUT, "x", "y", 0);
    assert_int_equal(
        persist_blob_add(f.store, slice_str("more"), cid, &lsn, &f.error),
        PERSIST_OK);
    fixture_wait(&f);
    /* the names of the new folders are durable as well */
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    check_content(s);
    assert_string_equal(fixture_value(&f, "x", PERSIST_LATEST), "y");
    assert_int_equal(
        persist_blob_has(f.store, slice_of(cid, sizeof cid - 1), &f.error),
        PERSIST_OK);
}

static void an_empty_folder_may_be_missing(void **state)
{
    (void)state;
    unsigned removed[FOLDERS] = {0};
    for (int s = 0; s < SHAPES; s++)
        for (int set = 1; set < 1 << FOLDERS; set++) {
            bool any = false;
            begin((shape)s);
            for (int i = 0; i < FOLDERS; i++)
                if ((set >> i & 1) != 0 && remove_folder(folders[i], false)) {
                    any = true;
                    removed[i]++;
                }
            if (any) {
                assert_int_equal(damages(), 0);
                check_read_only((shape)s);
                check_writing((shape)s);
            }
            fixture_end(&f);
        }
    for (int i = 0; i < FOLDERS; i++)
        assert_true(removed[i] > 0);
}

static void one_with_something_in_it_may_not(void **state)
{
    (void)state;
    static const struct {
        shape shape;
        int folder;
    } cases[] = {{LOGGED, WAL},      {KILLED, WAL},          {TABLED, TABLES},
                 {WITH_BLOB, BLOBS}, {BLOB_IN_TABLE, BLOBS}, {WITH_BLOB, WAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *folder = folders[cases[i].folder];
        begin(cases[i].shape);
        assert_true(remove_folder(folder, true));
        assert_true(damages() > 0);
        uint64_t before = os_sim_hash(f.sim);
        assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
        assert_non_null(strstr(f.error.message, folder));
        assert_non_null(strstr(f.error.message, "is missing"));
        assert_int_equal(os_sim_hash(f.sim), before);
        fixture_end(&f);
    }
}

/* It is read then, and written once there is room. */
static void no_room_for_a_folder(void **state)
{
    (void)state;
    for (int i = 0; i < FOLDERS; i++) {
        begin(UNUSED);
        assert_true(remove_folder(folders[i], false));
        os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_MKDIR,
                                       .nth = 1,
                                       .from_then_on = true,
                                       .error = ENOSPC});
        fixture_reopen(&f);
        assert_true(store_is_shut(f.store));
        check_content(UNUSED);
        assert_int_equal(fixture_try(&f, PERSIST_PUT, "x", "y", 0),
                         PERSIST_NO_SPACE);
        fixture_close(&f);
        os_sim_fail(f.sim, (sim_fault){0});
        check_writing(UNUSED);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_folder_may_be_missing),
        cmocka_unit_test(one_with_something_in_it_may_not),
        cmocka_unit_test(no_room_for_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
