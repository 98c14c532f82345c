/* SPDX-License-Identifier: MIT */
/* Every rule of recovery: what is kept, what is dropped, what is refused. */
#include <errno.h>

#include "fixture.h"

#define FIRST "store/wal/0000000000000001.log"
#define SECOND "store/wal/0000000000000002.log"

enum { TINY = 4096 };

static fixture f;

/* Three durable commits and two that nobody waited for, but that are written;
 * then the process is killed. */
static void begin_killed(void)
{
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 3);
    fixture_append(&f, "s", "u4");
    fixture_append(&f, "s", "u5");
    fixture_wait(&f);
    fixture_kill(&f);
}

static void expect_corrupt(const char *path, uint64_t offset)
{
    uint64_t before = os_sim_hash(f.sim);
    assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
    if (path != NULL) {
        assert_string_equal(f.error.path, path);
        assert_true(f.error.has & PERSIST_HAS_OFFSET);
        assert_int_equal(f.error.offset, offset);
        assert_non_null(strstr(f.error.message, path));
    }
    assert_non_null(strstr(f.error.message, "backup"));
    fixture_kill(&f);
    assert_true(os_sim_hash(f.sim) == before);
}

static void all_is_there_after_a_kill(void **state)
{
    (void)state;
    begin_killed();
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3 4:u4 5:u5");
    assert_int_equal(persist_durable(f.store), 5);
    fixture_end(&f);
}

/* What was only in the page cache is shown after a kill, so it must survive a
 * power failure from then on. */
static void what_was_replayed_is_durable(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_SYNC,
                                   .nth = 1,
                                   .error = EIO,
                                   .keep_pages = true});
    fixture_append(&f, "s", "u3");
    assert_int_equal(persist_wait_durable(f.store, 3, NULL), PERSIST_READ_ONLY);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:u3");
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:u3");
    fixture_end(&f);
}

static void a_torn_end_is_cut(void **state)
{
    (void)state;
    record_header header;
    begin_killed();
    /* 5 is above W: the record says that 3 was durable when it was written */
    uint64_t at = fixture_record(&f, FIRST, 4, &header);
    assert_int_equal(header.watermark, 3);
    fixture_flip(&f, FIRST, at + RECORD_HEADER_SIZE);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3 4:u4");
    fixture_append(&f, "s", "n5");
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3 4:u4 5:n5");
    fixture_end(&f);
}

static void what_stands_behind_a_tear_never_comes_back(void **state)
{
    (void)state;
    record_header header;
    begin_killed();
    uint64_t at = fixture_record(&f, FIRST, 3, &header);
    fixture_flip(&f, FIRST, at + 1);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3");
    /* a new record of the same size lies where the torn one did */
    fixture_append(&f, "s", "n4");
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3 4:n4");
    fixture_end(&f);
}

static void damage_below_the_watermark_is_refused(void **state)
{
    (void)state;
    record_header header;
    begin_killed();
    uint64_t at = fixture_record(&f, FIRST, 2, &header);
    assert_int_equal(header.lsn, 3); /* 4 says that 3 was durable */
    fixture_flip(&f, FIRST, at + RECORD_HEADER_SIZE + 2);
    expect_corrupt(FIRST, at);
    fixture_flip(&f, FIRST, at + RECORD_HEADER_SIZE + 2);
    fixture_reopen(&f);
    fixture_end(&f);
}

static void damage_in_a_closed_store_is_refused(void **state)
{
    (void)state;
    record_header header;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    uint64_t at = fixture_record(&f, FIRST, 2, &header);
    assert_int_equal(header.watermark, 2); /* only the manifest knows of 3 */
    fixture_flip(&f, FIRST, at + RECORD_HEADER_SIZE);
    expect_corrupt(FIRST, at);
    fixture_end(&f);
}

/* The log that the manifest does not list yet counts too. */
static void a_damaged_segment_header_is_refused(void **state)
{
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        fixture_begin(&f, 0);
        fixture_append_many(&f, "s", "d", 3);
        if (closed)
            fixture_close(&f);
        else
            fixture_kill(&f);
        fixture_flip(&f, FIRST, 17);
        expect_corrupt(FIRST, 0);
        fixture_end(&f);
    }
}

/* A segment goes that the manifest lists, if the store was closed, or that the
 * next opening finds out about by the others. */
static void expect_missed(bool closed, const char *segment, const char *named)
{
    fixture_begin(&f, TINY);
    fixture_append_many(&f, "s", "some longer event data for small segments",
                        100);
    if (closed)
        fixture_close(&f);
    else
        fixture_kill(&f);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, segment), 0);
    assert_int_equal(os_sync_in(sys, sys->cwd, "store/wal"), 0);
    expect_corrupt(named, 0);
}

static void a_missing_segment_is_refused(void **state)
{
    (void)state;
    expect_missed(false, SECOND, NULL);
    fixture_end(&f);
}

/* What begins the log is known by the manifest, that it was there by the rest.
 */
static void a_missing_first_segment_is_named(void **state)
{
    (void)state;
    expect_missed(false, FIRST, FIRST);
    assert_non_null(strstr(f.error.message, "a log segment is missing"));
    fixture_end(&f);
}

/* The same after a clean close: the manifest lists the segment. */
static void a_missing_listed_segment_is_named(void **state)
{
    (void)state;
    expect_missed(true, SECOND, SECOND);
    fixture_end(&f);
}

static const char *segment_name(unsigned number, char out[64])
{
    snprintf(out, 64, "store/wal/%016x.log", number);
    return out;
}

static bool holds_records(unsigned number)
{
    const os *sys = os_sim_os(f.sim);
    char path[64];
    os_stat stat;
    buf bytes = {0};
    if (sys->stat(sys, sys->cwd, segment_name(number, path), &stat) != 0)
        return false;
    fixture_load(&f, path, &bytes);
    bool holds =
        bytes.size > SEGMENT_HEADER_SIZE &&
        record_look(buf_slice(&bytes), SEGMENT_HEADER_SIZE) < bytes.size;
    buf_release(&bytes);
    return holds;
}

/* The names of two segments are exchanged; or the second has another one. */
static bool rename_segments(unsigned first, unsigned second, bool exchange)
{
    const os *sys = os_sim_os(f.sim);
    char one[64], two[64];
    (void)segment_name(first, one);
    (void)segment_name(second, two);
    if (!holds_records(second))
        return false;
    const char *to = exchange ? "x" : "store/wal/00000000000000a0.log";
    assert_int_equal(sys->rename(sys, sys->cwd, two, sys->cwd, to), 0);
    if (exchange) {
        assert_int_equal(sys->rename(sys, sys->cwd, one, sys->cwd, two), 0);
        assert_int_equal(sys->rename(sys, sys->cwd, to, sys->cwd, one), 0);
    }
    assert_int_equal(os_sync_in(sys, sys->cwd, "store/wal"), 0);
    return true;
}

/* Of a store that was killed, too: what the last segments hold is listed
 * nowhere, but each of them says which one it is. */
static void segments_under_other_names_are_refused(void **state)
{
    (void)state;
    unsigned last = 0;
    for (unsigned way = 0; way < 4; way++) {
        for (unsigned second = 2;; second++) {
            fixture_begin(&f, TINY);
            fixture_append_many(&f, "s", "some longer event data", 100);
            if (way % 2 == 1)
                fixture_close(&f);
            else
                fixture_kill(&f);
            bool renamed = rename_segments(second - 1, second, way < 2);
            if (renamed)
                expect_corrupt(NULL, 0);
            fixture_end(&f);
            if (!renamed)
                break;
            last = second;
        }
        assert_true(last > 2);
    }
}

static void a_segment_of_another_store_is_not_ours(void **state)
{
    (void)state;
    fixture other;
    buf bytes = {0};
    fixture_begin(&other, 0);
    fixture_append_many(&other, "s", "foreign", 3);
    fixture_load(&other, FIRST, &bytes);
    fixture_end(&other);

    /* the seed differs, so the identity does */
    f = (fixture){.sim = os_sim_new(2)};
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "d", 3);
    fixture_close(&f);
    fixture_patch(&f, FIRST, 0, buf_slice(&bytes));
    expect_corrupt(FIRST, 0);
    fixture_end(&f);
    buf_release(&bytes);
}

/* An event may hold the bytes of the log itself. */
static void bytes_of_the_log_inside_an_event_mean_nothing(void **state)
{
    (void)state;
    record_header header;
    buf bytes = {0};
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 3);
    uint64_t at = fixture_record(&f, FIRST, 2, &header);
    fixture_load(&f, FIRST, &bytes);
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str("s"),
                         .data = slice_of(bytes.data + at, 64)};
    persist_outcome out;
    assert_int_equal(persist_commit(f.store, &edit, 1, NULL, &out, NULL),
                     PERSIST_OK);
    persist_outcome_release(&out);
    fixture_wait(&f);
    fixture_kill(&f);
    uint64_t torn = fixture_record(&f, FIRST, 3, &header);
    fixture_flip(&f, FIRST, torn + RECORD_HEADER_SIZE);
    fixture_reopen(&f);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                        "1:d1 2:d2 3:d3");
    fixture_end(&f);
    buf_release(&bytes);
}

static void an_older_manifest_is_found_out(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    fixture_close(&f); /* manifest 3: clean, in slot 1 */
    fixture_copy(&f, "store/manifest.1", "copy.1");
    fixture_copy(&f, "store/manifest.0", "copy.0");
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "e", 2);
    fixture_kill(&f);
    fixture_copy(&f, "copy.1", "store/manifest.1");
    fixture_copy(&f, "copy.0", "store/manifest.0");
    expect_corrupt(NULL, 0);
    fixture_end(&f);
}

static void a_damaged_manifest_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"store/manifest.0", "store/manifest.1"};
    for (int i = 0; i < 2; i++) {
        fixture_begin(&f, 0);
        fixture_append_many(&f, "s", "d", 2);
        fixture_close(&f);
        fixture_flip(&f, paths[i], 20);
        expect_corrupt(NULL, 0);
        assert_string_equal(f.error.path, paths[i]);
        assert_non_null(strstr(f.error.message, paths[i]));
        fixture_end(&f);
    }
}

/* A power cut in the middle of a rename can take the name that was to be
 * replaced: nothing may be missing, whichever it is; without both, nothing is
 * taken for an empty store. */
static void one_manifest_of_two_is_enough(void **state)
{
    (void)state;
    static const char *const paths[] = {"store/manifest.0", "store/manifest.1"};
    for (int lost = 1; lost < 4; lost++) {
        fixture_begin(&f, 0);
        fixture_append_many(&f, "s", "d", 2);
        fixture_close(&f);
        const os *sys = os_sim_os(f.sim);
        for (int i = 0; i < 2; i++)
            if (lost >> i & 1)
                assert_int_equal(sys->unlink(sys, sys->cwd, paths[i]), 0);
        assert_int_equal(os_sync_in(sys, sys->cwd, "store"), 0);
        if (lost == 3) {
            expect_corrupt(NULL, 0);
        } else {
            fixture_reopen(&f);
            assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                                "1:d1 2:d2");
            fixture_append(&f, "s", "n3");
            fixture_close(&f);
        }
        fixture_end(&f);
    }
}

/* A crash while recovery writes leaves copies; a later one must not take them
 * for the log, nor for a proof that the manifest is old. */
static void a_crash_in_recovery_is_harmless(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth < 1000; nth++) {
        begin_killed();
        os_sim_fail(f.sim, (sim_fault){.calls = ~(1u << SIM_CLOSE),
                                       .nth = nth,
                                       .from_then_on = true,
                                       .error = EIO});
        (void)fixture_open(&f);
        bool all_tried = os_sim_faults(f.sim, SIM_CALLS) == 0;
        os_sim_fail(f.sim, (sim_fault){0});
        fixture_kill(&f);
        fixture_reopen(&f);
        assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE),
                            "1:d1 2:d2 3:d3 4:u4 5:u5");
        fixture_append(&f, "s", "n6");
        fixture_wait(&f);
        fixture_end(&f);
        if (all_tried)
            return;
    }
    fail_msg("opening takes more calls than this test tries");
}

/* Files that are needed no more are used again: kills do not fill the disk,
 * and old bytes never pass for new ones. */
static void segments_are_recycled(void **state)
{
    (void)state;
    uint64_t space = 0;
    fixture_begin(&f, 0);
    for (int i = 0; i < 20; i++) {
        fixture_append(&f, "s", "x");
        fixture_wait(&f);
        fixture_kill(&f);
        fixture_reopen(&f);
        persist_stream_info info;
        assert_int_equal(persist_info(f.store, slice_str("s"), PERSIST_DURABLE,
                                      &info, NULL, NULL),
                         PERSIST_OK);
        assert_int_equal(info.count, i + 1);
        if (i == 8)
            space = os_sim_space_used(f.sim);
    }
    assert_true(os_sim_space_used(f.sim) <= space + 4096);
    fixture_end(&f);
}

/* A file that got its new name though the rename tells an error is nobody's
 * any more: the number that it would have is free for a new one. */
static void renames_that_are_done_stop_nothing(void **state)
{
    (void)state;
    fixture_begin_tables(&f, TINY, 4);
    os_sim_fail(f.sim, (sim_fault){.calls = 1u << SIM_RENAME,
                                   .nth = 1,
                                   .from_then_on = true,
                                   .error = EIO,
                                   .on = ".log",
                                   .done = true});
    fixture_append_many(&f, "s", "d", 1000);
    assert_true(os_sim_faults(f.sim, SIM_RENAME) > 1);
    fixture_end(&f);
}

/* Of a long log only the end is written again; and the pieces that many
 * crashes leave become one. */
static void only_the_end_is_written_again(void **state)
{
    (void)state;
    persist_stats stats = {PERSIST_STATS};
    fixture_begin(&f, TINY);
    fixture_append_many(&f, "s", "d", 30);
    fixture_kill(&f);
    fixture_reopen(&f);
    persist_get_stats(f.store, &stats, NULL);
    assert_int_equal(stats.segments, 2);
    record_header header;
    fixture_record(&f, SECOND, 0, &header);
    assert_int_equal(header.lsn, 30);
    for (int i = 0; i < 20; i++) {
        fixture_append_many(&f, "s", "e", 1);
        fixture_kill(&f);
        fixture_reopen(&f);
        persist_get_stats(f.store, &stats, NULL);
        assert_true(stats.segments <= 8);
    }
    assert_true(strstr(fixture_events(&f, "s", PERSIST_DURABLE),
                       "1:d1 2:d2 3:d3 ") != NULL);
    assert_int_equal(persist_durable(f.store), 50 + 20 * LSN_AHEAD);
    fixture_end(&f);
}

static uint64_t changes(void)
{
    return os_sim_calls(f.sim, SIM_SYNC) + os_sim_calls(f.sim, SIM_DIR_SYNC) +
           os_sim_calls(f.sim, SIM_RENAME) + os_sim_calls(f.sim, SIM_UNLINK) +
           os_sim_calls(f.sim, SIM_WRITE) + os_sim_calls(f.sim, SIM_ALLOCATE);
}

/* An opening that only reads makes no manifest and deletes nothing: the next
 * one finds the same; a crash of it needs no recovery. */
static void reading_changes_nothing(void **state)
{
    (void)state;
    fixture_begin(&f, TINY);
    fixture_append_many(&f, "s", "d", 30);
    fixture_close(&f);
    for (int i = 0; i < 4; i++) {
        uint64_t before = changes();
        fixture_reopen(&f);
        assert_int_equal(persist_durable(f.store), 30);
        assert_int_equal(fixture_try(&f, PERSIST_EXPECT_SEQ, "s", "", 30),
                         PERSIST_OK);
        if (i % 2 == 0)
            fixture_close(&f);
        assert_true(changes() == before);
        if (i % 2 != 0)
            fixture_kill(&f);
    }
    fixture_reopen(&f);
    fixture_append_many(&f, "s", "e", 1);
    fixture_power_off(&f, SIM_KEEP_NONE);
    fixture_reopen(&f);
    assert_int_equal(persist_durable(f.store), 31);
    fixture_end(&f);
}

static void files_that_are_not_ours_stay(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    fixture_patch(&f, "store/wal/notes.txt", 0, slice_str("mine"));
    fixture_patch(&f, "store/wal/00000000000000ff.log", 0, slice_str("mine"));
    fixture_patch(&f, "store/tmp/mine", 0, slice_str("mine"));
    fixture_patch(&f, "store/tmp/blob-0000000000000007", 0, slice_str("old"));
    for (int i = 0; i < 4; i++) {
        fixture_close(&f);
        fixture_reopen(&f);
        fixture_append(&f, "s", "x");
    }
    const os *sys = os_sim_os(f.sim);
    os_stat stat;
    assert_int_equal(sys->stat(sys, sys->cwd, "store/wal/notes.txt", &stat), 0);
    assert_int_equal(
        sys->stat(sys, sys->cwd, "store/wal/00000000000000ff.log", &stat), 0);
    assert_int_equal(sys->stat(sys, sys->cwd, "store/tmp/mine", &stat), 0);
    assert_int_equal(
        sys->stat(sys, sys->cwd, "store/tmp/blob-0000000000000007", &stat),
        -ENOENT);
    fixture_end(&f);
}

/* A copy that was interrupted: acknowledged commits are gone with the end of a
 * file, whose header tells how long it was. */
static void a_segment_that_was_cut_is_told(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {40,   511,  512,  513,          560,
                                       1024, 2048, 4096, 3 * 4096 + 8, 16383};
    enum { SEGMENT = 16384, COMMITS = 60 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const char path[] = "store/wal/0000000000000001.log";
        os_file *file;
        fixture_begin(&f, SEGMENT);
        fixture_append_many(&f, "s", "event", COMMITS);
        fixture_kill(&f);
        const os *sys = os_sim_os(f.sim);
        os_stat stat;
        assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &file),
                         0);
        assert_int_equal(sys->stat(sys, sys->cwd, path, &stat), 0);
        assert_true(stat.size >= SEGMENT_SIZE_MIN);
        uint64_t cut = lengths[i] < stat.size ? lengths[i] : stat.size - 1;
        assert_int_equal(sys->file_truncate(sys, file, cut), 0);
        sys->file_close(sys, file);
        assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
        assert_string_equal(f.error.path, path);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_that_was_cut_is_told),
        cmocka_unit_test(all_is_there_after_a_kill),
        cmocka_unit_test(what_was_replayed_is_durable),
        cmocka_unit_test(a_torn_end_is_cut),
        cmocka_unit_test(what_stands_behind_a_tear_never_comes_back),
        cmocka_unit_test(damage_below_the_watermark_is_refused),
        cmocka_unit_test(damage_in_a_closed_store_is_refused),
        cmocka_unit_test(a_damaged_segment_header_is_refused),
        cmocka_unit_test(a_missing_segment_is_refused),
        cmocka_unit_test(a_missing_first_segment_is_named),
        cmocka_unit_test(a_missing_listed_segment_is_named),
        cmocka_unit_test(segments_under_other_names_are_refused),
        cmocka_unit_test(a_segment_of_another_store_is_not_ours),
        cmocka_unit_test(bytes_of_the_log_inside_an_event_mean_nothing),
        cmocka_unit_test(an_older_manifest_is_found_out),
        cmocka_unit_test(a_damaged_manifest_is_refused),
        cmocka_unit_test(one_manifest_of_two_is_enough),
        cmocka_unit_test(a_crash_in_recovery_is_harmless),
        cmocka_unit_test(segments_are_recycled),
        cmocka_unit_test(renames_that_are_done_stop_nothing),
        cmocka_unit_test(only_the_end_is_written_again),
        cmocka_unit_test(reading_changes_nothing),
        cmocka_unit_test(files_that_are_not_ours_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
