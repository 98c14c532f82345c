/* SPDX-License-Identifier: MIT */
/* The simulated operating system must lose what a real one may lose, and
 * nothing else; or no crash test that stands on it means anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/os_sim.h"

static int make_sim(void **state)
{
    *state = os_sim_new(7);
    return 0;
}

static int free_sim(void **state)
{
    assert_int_equal(os_sim_open_files(*state), 0);
    os_sim_free(*state);
    return 0;
}

static os_file *open_file(os_sim *s, const char *path, int flags)
{
    os_file *file = NULL;
    const os *o = os_sim_os(s);
    assert_int_equal(o->file_open(o, o->cwd, path, flags, &file), 0);
    return file;
}

static os_file *create(os_sim *s, const char *path)
{
    return open_file(s, path, OS_READ | OS_WRITE | OS_CREATE);
}

static void close_file(os_sim *s, os_file *file)
{
    const os *o = os_sim_os(s);
    assert_int_equal(o->file_close(o, file), 0);
}

static void write_at(os_sim *s, os_file *file, const char *text, uint64_t at)
{
    assert_int_equal(os_write_all(os_sim_os(s), file, text, strlen(text), at),
                     0);
}

static void sync_file(os_sim *s, os_file *file)
{
    const os *o = os_sim_os(s);
    assert_int_equal(o->file_sync(o, file), 0);
}

static void sync_dir(os_sim *s, const char *path)
{
    const os *o = os_sim_os(s);
    assert_int_equal(os_sync_in(o, o->cwd, path), 0);
}

/* Reads a whole file as text; "-" when it is not there. */
static const char *content(os_sim *s, const char *path)
{
    static char text[4096];
    const os *o = os_sim_os(s);
    os_file *file;
    if (o->file_open(o, o->cwd, path, OS_READ, &file) != 0)
        return "-";
    size_t got = 0;
    assert_int_equal(os_read_all(o, file, text, sizeof text - 1, 0, &got), 0);
    text[got] = '\0';
    close_file(s, file);
    return text;
}

/* The content of a file after a crash. */
static const char *after(const os_sim *s, const char *path, sim_keep keep,
                         uint64_t unit)
{
    const sim_plan plan = {.keep = keep, .unit = unit, .seed = 3};
    os_sim *image = os_sim_crash(s, &plan);
    const char *text = content(image, path);
    os_sim_free(image);
    return text;
}

/* A file whose "old" is durable and whose "new" is not. */
static os_file *old_and_new(os_sim *s)
{
    os_file *file = create(s, "f");
    write_at(s, file, "old", 0);
    sync_file(s, file);
    sync_dir(s, ".");
    write_at(s, file, "new", 0);
    return file;
}

static void unsynced_bytes_are_kept_or_lost(void **state)
{
    os_file *file = old_and_new(*state);
    assert_string_equal(content(*state, "f"), "new");
    assert_int_equal(os_sim_units(*state), 1);
    assert_string_equal(after(*state, "f", SIM_KEEP_NONE, 0), "old");
    assert_string_equal(after(*state, "f", SIM_KEEP_ALL, 0), "new");
    assert_string_equal(after(*state, "f", SIM_KEEP_ONE, 0), "new");
    assert_string_equal(after(*state, "f", SIM_KEEP_BUT, 0), "old");
    assert_string_equal(after(*state, "f", SIM_KEEP_NAMES, 0), "old");
    assert_string_equal(after(*state, "f", SIM_KEEP_TORN, 0), "old");
    assert_string_equal(after(*state, "f", SIM_KEEP_TORN, 2), "ned");
    sync_file(*state, file);
    assert_int_equal(os_sim_units(*state), 0);
    assert_string_equal(after(*state, "f", SIM_KEEP_NONE, 0), "new");
    close_file(*state, file);
}

static void a_sector_may_hold_any_of_its_versions(void **state)
{
    os_file *file = old_and_new(*state);
    write_at(*state, file, "3rd", 0);
    bool seen_old = false, seen_new = false, seen_3rd = false;
    for (uint64_t seed = 0; seed < 40; seed++) {
        const sim_plan plan = {.keep = SIM_KEEP_RANDOM, .seed = seed};
        os_sim *image = os_sim_crash(*state, &plan);
        const char *text = content(image, "f");
        seen_old = seen_old || strcmp(text, "old") == 0;
        seen_new = seen_new || strcmp(text, "new") == 0;
        seen_3rd = seen_3rd || strcmp(text, "3rd") == 0;
        os_sim_free(image);
    }
    assert_true(seen_old && seen_new && seen_3rd);
    close_file(*state, file);
}

static void sectors_land_in_any_order(void **state)
{
    char large[1025];
    memset(large, 'a', 1024);
    large[1024] = '\0';
    os_file *file = create(*state, "f");
    write_at(*state, file, large, 0);
    sync_file(*state, file);
    sync_dir(*state, "");
    memset(large, 'b', 1024);
    write_at(*state, file, large, 0);
    assert_int_equal(os_sim_units(*state), 2);
    const char *text = after(*state, "f", SIM_KEEP_BITS, 2);
    assert_true(text[0] == 'a' && text[511] == 'a');
    assert_true(text[512] == 'b' && text[1023] == 'b');
    text = after(*state, "f", SIM_KEEP_TORN, 600);
    assert_true(text[599] == 'b' && text[600] == 'a');
    close_file(*state, file);
}

static void a_grown_size_may_survive_without_its_bytes(void **state)
{
    os_file *file = old_and_new(*state);
    char large[601];
    memset(large, 'x', 600);
    large[600] = '\0';
    write_at(*state, file, large, 0);
    assert_int_equal(strlen(after(*state, "f", SIM_KEEP_NONE, 0)), 3);
    const sim_plan size_only = {SIM_KEEP_ONE, SIM_FILL_GARBAGE, 0, 9};
    os_sim *image = os_sim_crash(*state, &size_only);
    uint64_t size = 0;
    os_file *there = open_file(image, "f", OS_READ);
    assert_int_equal(
        os_sim_os(image)->file_size(os_sim_os(image), there, &size), 0);
    char tail[88];
    size_t got;
    os_read_all(os_sim_os(image), there, tail, 88, 512, &got);
    assert_true(size == 600 && got == 88);
    assert_true(memcmp(tail, large, 88) != 0);
    close_file(image, there);
    os_sim_free(image);
    close_file(*state, file);
}

static void a_name_is_durable_after_its_directory(void **state)
{
    const os *o = os_sim_os(*state);
    assert_int_equal(o->dir_make(o, o->cwd, "d"), 0);
    assert_int_equal(o->dir_make(o, o->cwd, "d/"), -EEXIST);
    os_file *file = create(*state, "d/f");
    write_at(*state, file, "x", 0);
    sync_file(*state, file);
    sync_dir(*state, "d");
    assert_string_equal(after(*state, "d/f", SIM_KEEP_NONE, 0), "-");
    sync_dir(*state, "");
    assert_string_equal(after(*state, "d/f", SIM_KEEP_NONE, 0), "x");
    assert_int_equal(o->rename(o, o->cwd, "d/f", o->cwd, "d/g"), 0);
    assert_string_equal(content(*state, "d/f"), "-");
    assert_string_equal(after(*state, "d/g", SIM_KEEP_NONE, 0), "-");
    assert_string_equal(after(*state, "d/f", SIM_KEEP_NONE, 0), "x");
    assert_string_equal(after(*state, "d/g", SIM_KEEP_ALL, 0), "x");
    assert_string_equal(after(*state, "d/f", SIM_KEEP_ALL, 0), "-");
    sync_dir(*state, "d");
    assert_int_equal(o->unlink(o, o->cwd, "d/g"), 0);
    assert_int_equal(o->unlink(o, o->cwd, "d/g"), -ENOENT);
    assert_string_equal(after(*state, "d/g", SIM_KEEP_NONE, 0), "x");
    assert_string_equal(after(*state, "d/g", SIM_KEEP_FILES, 0), "x");
    assert_string_equal(after(*state, "d/g", SIM_KEEP_ALL, 0), "-");
    close_file(*state, file);
}

static void a_rename_over_a_file_leaves_one_of_both(void **state)
{
    const os *o = os_sim_os(*state);
    os_file *file = create(*state, "m");
    write_at(*state, file, "first", 0);
    sync_file(*state, file);
    close_file(*state, file);
    sync_dir(*state, "");
    file = create(*state, "tmp");
    write_at(*state, file, "second", 0);
    assert_int_equal(o->rename(o, o->cwd, "tmp", o->cwd, "m"), 0);
    assert_string_equal(after(*state, "m", SIM_KEEP_NONE, 0), "first");
    assert_string_equal(after(*state, "m", SIM_KEEP_NAMES, 0), "");
    sync_file(*state, file);
    assert_string_equal(after(*state, "m", SIM_KEEP_NAMES, 0), "second");
    close_file(*state, file);
}

static void a_killed_process_leaves_what_can_still_be_lost(void **state)
{
    os_file *file = old_and_new(*state);
    int64_t holder = 0;
    const os *o = os_sim_os(*state);
    assert_int_equal(o->file_lock(o, file, false, &holder), 0);
    os_file *second = open_file(*state, "f", OS_READ);
    assert_int_equal(o->file_lock(o, second, false, &holder), -EWOULDBLOCK);
    assert_true(holder != 0);
    close_file(*state, second);
    os_sim *killed = os_sim_kill(*state);
    assert_string_equal(content(killed, "f"), "new");
    second = open_file(killed, "f", OS_READ | OS_WRITE);
    assert_int_equal(
        os_sim_os(killed)->file_lock(os_sim_os(killed), second, false, &holder),
        0);
    assert_string_equal(after(killed, "f", SIM_KEEP_NONE, 0), "old");
    sync_file(killed, second);
    assert_string_equal(after(killed, "f", SIM_KEEP_NONE, 0), "new");
    assert_string_equal(after(*state, "f", SIM_KEEP_NONE, 0), "old");
    close_file(killed, second);
    os_sim_free(killed);
    close_file(*state, file);
}

static void a_failed_sync_drops_its_pages(void **state)
{
    os_file *file = old_and_new(*state);
    const os *o = os_sim_os(*state);
    os_sim_fail(*state,
                (sim_fault){.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO});
    assert_int_equal(o->file_sync(o, file), -EIO);
    sync_file(*state, file);
    assert_string_equal(after(*state, "f", SIM_KEEP_NONE, 0), "old");
    assert_string_equal(after(*state, "f", SIM_KEEP_ALL, 0), "new");
    write_at(*state, file, "2", 0);
    sync_file(*state, file);
    assert_int_equal(after(*state, "f", SIM_KEEP_NONE, 0)[0], '2');
    close_file(*state, file);
}

static void faults_hit_the_call_that_was_asked_for(void **state)
{
    os_file *file = old_and_new(*state);
    const os *o = os_sim_os(*state);
    os_sim_fail(*state, (sim_fault){.calls = 1u << SIM_WRITE, .nth = 2});
    assert_int_equal(o->file_write(o, file, "abcd", 4, 0), 4);
    assert_int_equal(o->file_write(o, file, "efgh", 4, 0), 2);
    assert_string_equal(content(*state, "f"), "efcd");
    os_sim_fail(*state, (sim_fault){.calls = 1u << SIM_READ,
                                    .nth = 1,
                                    .from_then_on = true,
                                    .error = EIO});
    char byte;
    for (int i = 0; i < 3; i++)
        assert_int_equal(o->file_read(o, file, &byte, 1, 0), -EIO);
    assert_int_equal(os_sim_faults(*state, SIM_READ), 3);
    os_sim_fail(*state, (sim_fault){0});
    os_sim_limit_space(*state, 6);
    assert_int_equal(o->file_write(o, file, "12345", 5, 4), 2);
    assert_int_equal(o->file_write(o, file, "12345", 5, 6), -ENOSPC);
    assert_int_equal(o->file_allocate(o, file, 7), -ENOSPC);
    assert_int_equal(o->file_allocate(o, file, 6), 0);
    os_sim_limit_space(*state, UINT64_MAX);
    assert_int_equal(o->file_allocate(o, file, 1000), 0);
    assert_int_equal(os_sim_space_used(*state), 1000);
    close_file(*state, file);
}

static void one_seed_gives_one_image(void **state)
{
    os_file *file = old_and_new(*state);
    write_at(*state, file, "0123456789", 3000);
    const sim_plan plan = {SIM_KEEP_RANDOM, SIM_FILL_GARBAGE, 0, 11};
    const sim_plan none = {.keep = SIM_KEEP_NONE};
    os_sim *a = os_sim_crash(*state, &plan);
    os_sim *b = os_sim_crash(*state, &plan);
    os_sim *c = os_sim_crash(*state, &none);
    assert_true(os_sim_hash(a) == os_sim_hash(b));
    assert_true(os_sim_hash(c) == os_sim_hash(*state));
    assert_true(os_sim_hash(a) != os_sim_hash(c));
    os_sim_free(a);
    os_sim_free(b);
    os_sim_free(c);
    close_file(*state, file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_sim, free_sim)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unsynced_bytes_are_kept_or_lost),
        TEST(a_sector_may_hold_any_of_its_versions),
        TEST(sectors_land_in_any_order),
        TEST(a_grown_size_may_survive_without_its_bytes),
        TEST(a_name_is_durable_after_its_directory),
        TEST(a_rename_over_a_file_leaves_one_of_both),
        TEST(a_killed_process_leaves_what_can_still_be_lost),
        TEST(a_failed_sync_drops_its_pages),
        TEST(faults_hit_the_call_that_was_asked_for),
        TEST(one_seed_gives_one_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
