/* SPDX-License-Identifier: MIT */
/* The proof of a quiet log: after an end without a close, what was acknowledged
 * before a quiet moment is there, or the opening says what is damaged. */
#include <errno.h>
#include <time.h>

#include "fixture.h"
#include "folder.h"
#include "store/store.h"

enum { SEGMENT = 4096, PIECE = 1500, BATCH = 13, NAME = 64, STEPS_MAX = 100 };

static fixture f;
static char piece[PIECE + 1];

static void name_segment(unsigned number, char out[NAME])
{
    snprintf(out, NAME, "store/wal/%016x.log", number);
}

/* Lets the background do what it does in a quiet moment; returns how many
 * steps did anything. */
static int be_quiet(void)
{
    bool did = true;
    for (int steps = 0; steps < STEPS_MAX; steps++) {
        assert_int_equal(store_step(f.store, &did, &f.error), PERSIST_OK);
        if (!did)
            return steps;
    }
    fail_msg("it is never quiet");
    return STEPS_MAX;
}

/* Ends a store without closing it, whose last batch lies in several segments:
 * one commit, then the batch, which one sync covers. */
static void begin_batch(bool quiet)
{
    memset(piece, 'x', PIECE);
    fixture_begin(&f, SEGMENT);
    fixture_append(&f, "s", "first");
    fixture_wait(&f);
    for (int i = 0; i < BATCH; i++)
        fixture_append(&f, "s", piece);
    fixture_wait(&f);
    if (quiet)
        be_quiet();
    fixture_kill(&f);
}

static uint64_t count_events(void)
{
    return fixture_info(&f, "s").count;
}

/* Counts the records, or finds the proof, of a segment as it is on the disk. */
static int look(const char *path, bool *proven)
{
    buf bytes = {0};
    segment_header segment;
    record_header h;
    int count = 0;
    *proven = false;
    fixture_load(&f, path, &bytes);
    if (!segment_header_decode(buf_slice(&bytes), &segment))
        segment.number = 0;
    for (uint64_t at = SEGMENT_HEADER_SIZE;
         segment.number != 0 &&
         record_read(buf_slice(&bytes), at, segment.identity, segment.number,
                     &h, NULL) &&
         !*proven;
         at += record_size(h.body_size)) {
        *proven = record_is_proof(&h);
        count += !*proven;
    }
    buf_release(&bytes);
    return count;
}

static bool is_there(const char *path)
{
    os_stat stat;
    const os *sys = os_sim_os(f.sim);
    return sys->stat(sys, sys->cwd, path, &stat) == 0;
}

/* The numbers of the segments with records; the last one of them holds the
 * proof. */
static size_t find_used(unsigned out[BATCH], bool *proven)
{
    char path[NAME];
    size_t count = 0;
    *proven = false;
    for (unsigned number = 1; number < BATCH * 4; number++) {
        bool here;
        name_segment(number, path);
        if (!is_there(path) || look(path, &here) == 0)
            continue;
        assert_false(*proven);
        *proven = here;
        out[count++] = number;
    }
    return count;
}

static bool note_damage(void *context, const persist_finding *found)
{
    char(*path)[NAME] = context;
    if (found->damage)
        snprintf(*path, NAME, "%s", found->path);
    return true;
}

/* Opening says that the store is corrupt, and so does verifying: the last
 * segment that it names is that, or any if it is NULL. */
static void expect_corrupt(const char *path)
{
    char found[NAME] = "";
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = os_sim_os(f.sim)};
    const persist_watcher watcher = {PERSIST_WATCHER, &found, note_damage,
                                     NULL};
    assert_int_equal(fixture_open(&f), PERSIST_CORRUPT);
    if (path != NULL)
        assert_string_equal(f.error.path, path);
    assert_int_equal(persist_verify(&options, &watcher, NULL, NULL),
                     PERSIST_OK);
    assert_string_equal(found, f.error.path);
}

static void a_byte_of_the_last_batch_is_damage(void **state)
{
    (void)state;
    char path[NAME];
    unsigned used[BATCH];
    bool proven;
    begin_batch(true);
    size_t count = find_used(used, &proven);
    assert_true(proven && count >= 5);
    name_segment(used[count - 1], path);
    assert_int_equal(look(path, &proven), 1); /* but for that, the proof only */
    for (size_t i = 0; i < count; i++) {
        name_segment(used[i], path);
        int records = look(path, &proven);
        for (int n = 0; n < records; n++) {
            record_header h;
            uint64_t at = fixture_record(&f, path, n, &h);
            fixture_flip(&f, path, at + RECORD_HEADER_SIZE + 3);
            expect_corrupt(path);
            fixture_flip(&f, path, at + RECORD_HEADER_SIZE + 3);
        }
    }
    fixture_reopen(&f);
    assert_int_equal(count_events(), BATCH + 1);
    fixture_end(&f);
}

/* What may become of a whole file. */
typedef enum loss { LOSS_GONE, LOSS_EMPTIED, LOSS_ZEROED, LOSSES } loss;

static void lose(const char *path, loss how)
{
    static const uint8_t zeros[SEGMENT * 4];
    const os *sys = os_sim_os(f.sim);
    os_file *file;
    os_stat stat;
    assert_int_equal(sys->stat(sys, sys->cwd, path, &stat), 0);
    assert_true(stat.size <= sizeof zeros);
    if (how == LOSS_ZEROED) {
        fixture_patch(&f, path, 0, slice_of(zeros, stat.size));
        return;
    }
    assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
    if (how == LOSS_EMPTIED) {
        assert_int_equal(
            sys->file_open(sys, sys->cwd, path, OS_WRITE | OS_CREATE, &file),
            0);
        sys->file_close(sys, file);
    }
}

/* All but the last one, which has the proof. */
static void a_segment_of_the_last_batch_is_missed(void **state)
{
    (void)state;
    char path[NAME];
    unsigned used[BATCH];
    bool proven;
    for (loss how = 0; how < LOSSES; how++)
        for (size_t i = 0, count = 2; i + 1 < count; i++) {
            begin_batch(true);
            count = find_used(used, &proven);
            assert_true(proven && count >= 5);
            name_segment(used[i], path);
            lose(path, how);
            expect_corrupt(NULL);
            fixture_end(&f);
        }
}

/* Without a quiet moment nothing tells it from a batch that never was. */
static void a_batch_that_nothing_proves_is_dropped(void **state)
{
    (void)state;
    char path[NAME];
    unsigned used[BATCH];
    bool proven;
    record_header h;
    begin_batch(false);
    size_t count = find_used(used, &proven);
    assert_true(!proven && count >= 5);
    name_segment(used[2], path);
    fixture_flip(&f, path, fixture_record(&f, path, 0, &h) + 50);
    fixture_reopen(&f);
    assert_true(count_events() >= 1 && count_events() < BATCH + 1);
    fixture_end(&f);
}

static uint64_t calls(void)
{
    return os_sim_calls(f.sim, SIM_WRITE) + os_sim_calls(f.sim, SIM_SYNC);
}

static void a_quiet_log_is_proofed_once(void **state)
{
    (void)state;
    fixture_begin(&f, 1 << 16);
    be_quiet();
    uint64_t before = calls();
    assert_int_equal(be_quiet(), 0);
    assert_int_equal(calls(), before); /* of nothing */
    for (int i = 0; i < 3; i++) {
        fixture_append(&f, "s", "data");
        be_quiet();
        before = calls();
        assert_int_equal(be_quiet(), 0); /* of what is not durable */
        assert_int_equal(calls(), before);
        fixture_wait(&f);
        before = calls();
        assert_int_equal(be_quiet(), 1);
        assert_int_equal(calls(), before + 2);
        assert_int_equal(be_quiet(), 0);
        assert_int_equal(calls(), before + 2);
    }
    fixture_close(&f);
    fixture_reopen(&f);
    before = calls();
    assert_int_equal(be_quiet(), 0); /* the manifest tells */
    assert_int_equal(calls(), before);
    assert_int_equal(count_events(), 3);
    fixture_end(&f);
}

/* It lies behind the end that the manifest tells, and is no commit. */
static void a_proven_log_is_closed_and_written_on(void **state)
{
    (void)state;
    bool proven;
    unsigned used[BATCH];
    fixture_begin(&f, 1 << 16);
    for (uint64_t i = 1; i <= 4; i++) {
        fixture_append(&f, "s", "data");
        fixture_wait(&f);
        assert_int_equal(be_quiet(), 1);
        fixture_close(&f);
        assert_int_equal(find_used(used, &proven), 1);
        assert_true(proven);
        fixture_reopen(&f);
        assert_int_equal(count_events(), i);
    }
    fixture_append(&f, "s", "more");
    fixture_wait(&f);
    fixture_kill(&f);
    find_used(used, &proven);
    assert_false(proven); /* the record lies in its place */
    fixture_reopen(&f);
    assert_int_equal(count_events(), 5);
    fixture_end(&f);
}

/* The place behind the newest record may be too small for a proof. */
static void a_full_segment_gets_no_proof(void **state)
{
    (void)state;
    int with = 0, without = 0;
    for (int more = 0; more < 160; more += LOG_ALIGN) {
        bool proven;
        unsigned used[BATCH];
        fixture_begin(&f, SEGMENT);
        memset(piece, 'x', PIECE);
        fixture_append(&f, "s", piece);
        fixture_append(&f, "s", piece);
        piece[300 + more] = '\0'; /* fills the segment, or has the next one */
        fixture_append(&f, "s", piece);
        fixture_wait(&f);
        be_quiet();
        find_used(used, &proven);
        with += proven;
        without += !proven;
        fixture_kill(&f);
        fixture_reopen(&f);
        assert_int_equal(count_events(), 3);
        fixture_end(&f);
    }
    assert_int_equal(without, RECORD_HEADER_SIZE / LOG_ALIGN);
    assert_true(with > 0);
}

/* It is a sync of the log like any other. */
static void a_proof_that_fails_ends_writing(void **state)
{
    (void)state;
    const sim_call failing[] = {SIM_WRITE, SIM_SYNC};
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        bool did;
        fixture_begin(&f, 1 << 16);
        fixture_append(&f, "s", "data");
        fixture_wait(&f);
        os_sim_fail(f.sim, (sim_fault){.calls = 1u << failing[i],
                                       .nth = 1,
                                       .from_then_on = false,
                                       .error = EIO});
        assert_int_equal(store_step(f.store, &did, &f.error),
                         PERSIST_READ_ONLY);
        assert_false(did);
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "more", 0),
                         PERSIST_READ_ONLY);
        fixture_kill(&f);
        fixture_reopen(&f);
        assert_int_equal(count_events(), 1);
        fixture_end(&f);
    }
}

/* ---- the thread -------------------------------------------------------- */

static os_dir *dir;
static persist_store *store;

static uint64_t syncs(void)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(store, &stats, NULL);
    return stats.syncs;
}

static int set_up(void **state)
{
    (void)state;
    dir = folder_make("proof");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return folder_end(dir, store);
}

/* A moment after a commit there is one more sync, and no other after that. */
static void the_thread_proves_a_quiet_log(void **state)
{
    (void)state;
    enum { NAP_NS = 5 * 1000 * 1000, NAPS = 4000 };
    const struct timespec nap = {.tv_nsec = NAP_NS};
    persist_error error;
    persist_outcome out;
    const persist_options options = {PERSIST_OPTIONS, .path = dir->path,
                                     .create = true, .background = true,
                                     .segment_size = 0};
    const persist_edit edit = {.kind = PERSIST_APPEND,
                               .name = slice_str("s"),
                               .data = slice_str("data")};
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(persist_commit(store, &edit, 1, NULL, &out, &error),
                         PERSIST_OK);
        assert_int_equal(persist_wait_durable(store, out.lsn, &error),
                         PERSIST_OK);
        persist_outcome_release(&out);
        for (int n = 0; n < NAPS && syncs() < 2 * i; n++)
            nanosleep(&nap, NULL);
        assert_int_equal(syncs(), 2 * i);
    }
    for (int n = 0; n < 40; n++)
        nanosleep(&nap, NULL);
    assert_int_equal(syncs(), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_of_the_last_batch_is_damage),
        cmocka_unit_test(a_segment_of_the_last_batch_is_missed),
        cmocka_unit_test(a_batch_that_nothing_proves_is_dropped),
        cmocka_unit_test(a_quiet_log_is_proofed_once),
        cmocka_unit_test(a_proven_log_is_closed_and_written_on),
        cmocka_unit_test(a_full_segment_gets_no_proof),
        cmocka_unit_test(a_proof_that_fails_ends_writing),
        cmocka_unit_test_setup_teardown(the_thread_proves_a_quiet_log, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
