/* SPDX-License-Identifier: MIT */
/* Opening a directory, on the real system: who may, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/age.h"
#include "base/hash.h"
#include "base/slice.h"
#include "engine/files/limits.h"
#include "persist.h"

static char root[64], dir[128];
static persist_error error;

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/persist-open-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s/store", root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static persist_status open_it(bool create, persist_store **out)
{
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = create};
    error = (persist_error){0};
    return persist_open(&options, out, &error);
}

static persist_store *must_open(void)
{
    persist_store *store;
    if (open_it(true, &store) != PERSIST_OK)
        fail_msg("%s", error.message);
    return store;
}

static void shell(const char *format)
{
    char command[512];
    snprintf(command, sizeof command, "cd '%s' && %s", root, format);
    assert_int_equal(system(command), 0);
}

static void refused(persist_status expected, const char *words)
{
    persist_store *store;
    assert_int_equal(open_it(true, &store), expected);
    if (strstr(error.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void missing_and_empty(void **state)
{
    (void)state;
    persist_store *store;
    assert_int_equal(open_it(false, &store), PERSIST_BAD_STORE);
    assert_non_null(strstr(error.message, "does not exist"));
    assert_non_null(strstr(persist_status_hint(error.status), "no store"));
    shell("mkdir store");
    assert_int_equal(open_it(false, &store), PERSIST_BAD_STORE);
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
    assert_int_equal(open_it(false, &store), PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    /* with a slash behind it, it is the same place */
    snprintf(dir, sizeof dir, "%s/store/", root);
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
}

static void what_is_no_store_is_left_alone(void **state)
{
    (void)state;
    shell("mkdir store && echo mine >store/letter");
    refused(PERSIST_BAD_STORE, "not a store");
    shell("test \"$(ls store)\" = letter");
    shell("rm -r store && echo mine >store");
    refused(PERSIST_BAD_STORE, "is a file");
    shell("rm store && mkdir -p store/blobs && echo x >store/blobs/x");
    refused(PERSIST_BAD_STORE, "not empty");
    shell("test \"$(find store -type f)\" = store/blobs/x");
}

/* /proc is there, and no folder can be made in it. */
static void where_no_folder_can_be_made(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/missing/store", root);
    refused(PERSIST_BAD_STORE, "is missing; make /tmp/");
    snprintf(dir, sizeof dir, "/proc/store");
    if (mkdir(dir, 0700) == 0 || errno != ENOENT)
        skip(); /* to some users /proc is merely closed */
    refused(PERSIST_BAD_STORE, "cannot be made: the file system of the "
                               "directory it is to be in makes none there");
}

/* What is left where the making of a store was killed is told, and finished. */
static void a_store_half_made_is_finished(void **state)
{
    (void)state;
    persist_store *store;
    shell("mkdir -p store/wal store/blobs");
    assert_int_equal(open_it(false, &store), PERSIST_BAD_STORE);
    assert_non_null(strstr(error.message, "is empty, not a store; "));
    assert_non_null(strstr(error.message, "the making of one was cut short"));
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
    assert_int_equal(open_it(false, &store), PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

/* The files of an older host, each kind alone. */
static void an_older_host_is_pointed_to_import(void **state)
{
    (void)state;
    static const char *const layouts[] = {
        "mkdir -p store/streams && echo 1 >store/streams/61.log",
        "mkdir -p store/kv && echo 1 >store/kv/61",
        "mkdir -p store/streams store/kv",
        ("mkdir -p store/blobs && echo 1 >store/blobs/"
         "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        shell(layouts[i]);
        refused(PERSIST_BAD_STORE, "persist import --legacy");
        shell("test ! -e store/lock && rm -r store");
    }
}

/* Writes a byte into both manifests, and the checksum that goes with it. */
static void put_in_manifests(size_t at, uint8_t value)
{
    for (int slot = 0; slot < 2; slot++) {
        char path[192];
        uint8_t bytes[4096];
        snprintf(path, sizeof path, "%s/manifest.%d", dir, slot);
        FILE *file = fopen(path, "r+b");
        size_t size = fread(bytes, 1, sizeof bytes, file);
        bytes[at] = value;
        uint64_t sum = hash_xxh3(slice_of(bytes, size - 8));
        memcpy(bytes + size - 8, &sum, 8);
        rewind(file);
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        fclose(file);
    }
}

static void what_another_program_wrote_is_refused(void **state)
{
    (void)state;
    enum {
        VERSION_AT = 8,
        FLAGS_AT = 12,
        FEATURES_AT = 112,
        RESERVED_AT = 184
    };
    persist_store *store = must_open();
    const persist_edit put = {.kind = PERSIST_PUT, .name = slice_str("k")};
    assert_int_equal(persist_commit(store, &put, 1, NULL, NULL, NULL),
                     PERSIST_OK); /* makes the second manifest */
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    put_in_manifests(VERSION_AT, FORMAT_VERSION + 1);
    refused(PERSIST_BAD_STORE, "newer program");
    put_in_manifests(VERSION_AT, FORMAT_OLDEST - 1);
    refused(PERSIST_BAD_STORE, "older program");
    put_in_manifests(VERSION_AT, FORMAT_VERSION);
    put_in_manifests(FEATURES_AT + 7, 0x80);
    refused(PERSIST_BAD_STORE, "features (8000000000000000)");
    put_in_manifests(FLAGS_AT + 3, 1); /* with such a meaning, say */
    put_in_manifests(RESERVED_AT, 1);
    refused(PERSIST_BAD_STORE, "newer program");
    put_in_manifests(FEATURES_AT + 7, 0);
    put_in_manifests(RESERVED_AT, 0);
    refused(PERSIST_CORRUPT, "fields");
    put_in_manifests(FLAGS_AT + 3, 0);
    put_in_manifests(RESERVED_AT, 1);
    refused(PERSIST_CORRUPT, "fields");
    put_in_manifests(RESERVED_AT, 0);
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
}

/* Whatever of a creation a crash leaves, opening goes on with it. */
static void an_unfinished_creation_goes_on(void **state)
{
    (void)state;
    static const char *const leftovers[] = {
        "mkdir store && echo >store/lock",
        "mkdir -p store/wal && echo >store/lock",
        "mkdir -p store/wal store/blobs store/tmp",
        "mkdir -p store/wal store/tmp && echo half >store/manifest.tmp",
    };
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++) {
        shell(leftovers[i]);
        assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
        shell("rm -r store");
    }
}

static void a_log_without_manifests_is_no_empty_store(void **state)
{
    (void)state;
    persist_store *store = must_open();
    persist_edit edit = {
        .kind = PERSIST_APPEND, .name = slice_str("s"), .data = slice_str("x")};
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    shell("rm store/manifest.*");
    refused(PERSIST_CORRUPT, "no manifest");
    shell("test -s store/wal/0000000000000001.log");
}

/* A power cut in the middle of a rename can take a name, where there is no
 * journal. */
static void one_manifest_is_enough(void **state)
{
    (void)state;
    static const char *const losses[] = {"rm store/manifest.0",
                                         "rm store/manifest.1"};
    uint64_t events = 0;
    for (size_t i = 0; i < 12; i++) {
        persist_store *store = must_open();
        persist_edit edit = {.kind = PERSIST_APPEND,
                             .name = slice_str("s"),
                             .data = slice_str("x")};
        persist_stream_info info;
        assert_int_equal(persist_info(store, slice_str("s"), PERSIST_LATEST,
                                      &info, NULL, NULL),
                         PERSIST_OK);
        assert_int_equal(info.mark, events);
        assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                         PERSIST_OK);
        events++;
        assert_int_equal(persist_close(store, NULL), PERSIST_OK);
        shell(losses[i / 3 % 2]);
    }
}

static void a_second_handle_is_told_who_holds_it(void **state)
{
    (void)state;
    persist_store *store = must_open();
    refused(PERSIST_LOCKED, "is open in process");
    assert_true(error.has & PERSIST_HAS_HOLDER);
    assert_int_equal(error.holder_pid, getpid());
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
}

static void another_process_holds_it_until_it_dies(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        persist_store *store;
        byte = open_it(true, &store) == PERSIST_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    refused(PERSIST_LOCKED, "close it there");
    assert_int_equal(error.holder_pid, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(persist_close(must_open(), NULL), PERSIST_OK);
    close(ready[0]);
    close(ready[1]);
}

static void options_are_checked(void **state)
{
    (void)state;
    persist_store *store;
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = true};
    options.segment_size = 100;
    assert_int_equal(persist_open(&options, &store, &error),
                     PERSIST_BAD_REQUEST);
    options.segment_size = UINT32_MAX;
    assert_int_equal(persist_open(&options, &store, &error),
                     PERSIST_BAD_REQUEST);
    options.segment_size = 0;
    options.merge_width = 1;
    assert_int_equal(persist_open(&options, &store, &error),
                     PERSIST_BAD_REQUEST);
    options.merge_width = 0;
    options.packed_max = UINT32_MAX;
    assert_int_equal(persist_open(&options, &store, &error),
                     PERSIST_BAD_REQUEST);
    char *path = malloc(2000);
    memset(path, 'x', 1999);
    path[1999] = '\0';
    options = (persist_options){PERSIST_OPTIONS, .path = path, .create = true};
    assert_int_equal(persist_open(&options, &store, &error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_verify(&options, NULL, NULL, &error),
                     PERSIST_BAD_REQUEST);
    free(path);
}

static int on_a_disk_mounted_read_only(const os *sys, const os_dir *at)
{
    (void)sys;
    (void)at;
    return -EROFS;
}

/* The last opening that the numbers of packs have room for; and what is left
 * to do, as the error says. */
static void too_many_openings_are_told(void **state)
{
    (void)state;
    const persist_edit edit = {
        .kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str("v")};
    persist_store *store = must_open();
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    age_store(os_posix(), dir, EPOCH_MAX - 1);
    store = must_open();
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    refused(PERSIST_LIMIT, "open it where nothing may be written");

    os sys = *os_posix();
    sys.dir_may_write = on_a_disk_mounted_read_only;
    const persist_options options = {PERSIST_OPTIONS, .path = dir, .os = &sys};
    slice value;
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    assert_int_equal(
        persist_get(store, slice_str("k"), PERSIST_DURABLE, &value, NULL),
        PERSIST_OK);
    assert_true(slice_equal(value, slice_str("v")));
    persist_free(value.data);
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_READ_ONLY);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

/* Tells whether a file of the store is mapped into this process. */
static bool is_mapped(void)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        found = found || strstr(line, dir) != NULL;
    fclose(maps);
    return found;
}

/* With each commit a table: the second opening has one to read from. */
static void mapping_can_be_refused(void **state)
{
    (void)state;
    const persist_edit edit = {
        .kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str("v")};
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = true,
                               .memtable_size = 1};
    for (int i = 0; i < 4; i++) {
        persist_store *store;
        slice value = {0};
        options.unmapped = i % 2 == 1;
        assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
        assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                         PERSIST_OK);
        assert_int_equal(
            persist_get(store, edit.name, PERSIST_LATEST, &value, NULL),
            PERSIST_OK);
        assert_true(slice_equal(value, edit.data));
        assert_int_equal(is_mapped(), !options.unmapped);
        persist_free(value.data);
        assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(missing_and_empty),
        TEST(what_is_no_store_is_left_alone),
        TEST(where_no_folder_can_be_made),
        TEST(a_store_half_made_is_finished),
        TEST(an_older_host_is_pointed_to_import),
        TEST(what_another_program_wrote_is_refused),
        TEST(an_unfinished_creation_goes_on),
        TEST(a_log_without_manifests_is_no_empty_store),
        TEST(one_manifest_is_enough),
        TEST(a_second_handle_is_told_who_holds_it),
        TEST(another_process_holds_it_until_it_dies),
        TEST(options_are_checked),
        TEST(mapping_can_be_refused),
        TEST(too_many_openings_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
