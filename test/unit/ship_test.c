/* SPDX-License-Identifier: MIT */
/* Shipping the log: every commit behind the one that was named comes once, in
 * order, as soon as it is durable, as the bytes that lie in the log; whoever is
 * too far behind is told so. */
#include <errno.h>
#include <pthread.h>

#include "base/mem.h"
#include "engine/backup/backup.h"
#include "fixture.h"
#include "folder.h"
#include "store/disk_backup.h"

enum { ROUNDS = 60, LARGE = 3000, THREADED = 200 };

static fixture f;

static persist_ship *begin_ship(persist_lsn after)
{
    persist_ship *s = NULL;
    if (persist_ship_begin(f.store, after, &s, &f.error) != PERSIST_OK)
        fail_msg("ship: %s", f.error.message);
    return s;
}

/* Takes all there is; each record is whole where it says that it lies. */
static void take_all(persist_ship *ship, persist_lsn *last)
{
    const persist_shipped *p;
    persist_status status;
    while ((status = persist_ship_next(ship, 0, &p, &f.error)) == PERSIST_OK) {
        uint64_t at = p->offset;
        record_header h;
        assert_int_equal(p->first, *last + 1);
        while (at < p->offset + p->bytes.size) {
            assert_true(record_read_part(
                p->bytes, p->offset, at,
                disk_engine(f.store)->manifest.identity, p->segment, &h, NULL));
            assert_int_equal(h.lsn, ++*last);
            at += record_size(h.body_size);
        }
        assert_int_equal(*last, p->last);
        assert_int_equal(at, p->offset + p->bytes.size);
    }
    if (status != PERSIST_NONE)
        fail_msg("%s", f.error.message);
}

static void step_all(void)
{
    bool did = true;
    while (did)
        assert_int_equal(store_step(f.store, &did, NULL), PERSIST_OK);
}

/* Of commits of all sizes, flushed at once, and keys alone. */
static void each_commit_comes_once(void **state)
{
    (void)state;
    static const uint32_t memtables[] = {1, 3000, 0};
    for (int i = 0; i < 3; i++) {
        static char data[LARGE * 100];
        memset(data, 'x', sizeof data);
        fixture_begin_tables(&f, memtables[i], 2);
        fixture_append(&f, "s", "before");
        fixture_wait(&f);
        persist_lsn last = persist_durable(f.store);
        persist_ship *ship = begin_ship(last);
        for (unsigned round = 0; round < ROUNDS; round++) {
            size_t size = round % 20 == 7 ? sizeof data : round * 40;
            data[size - (size > 0)] = '\0';
            fixture_do(&f, round % 2 ? PERSIST_PUT : PERSIST_APPEND, "s", data,
                       0);
            data[size - (size > 0)] = 'x';
            persist_lsn before = last;
            take_all(ship, &last); /* what upkeep made durable, or nothing */
            assert_true(last <= persist_durable(f.store) && last >= before);
            if (round % 3 == 0)
                fixture_wait(&f);
            if (round % 4 == 0)
                step_all();
            take_all(ship, &last);
            assert_int_equal(last, persist_durable(f.store));
        }
        fixture_wait(&f);
        take_all(ship, &last);
        assert_int_equal(last, persist_latest(f.store));
        assert_int_equal(persist_close(f.store, &f.error), PERSIST_BAD_REQUEST);
        assert_non_null(strstr(f.error.message, "1 ship of the log is open"));
        persist_ship_end(ship);
        fixture_end(&f);
    }
}

/* What a flush gives back is kept for who follows, up to the bound. */
static void who_is_behind_is_told(void **state)
{
    (void)state;
    persist_lsn last;
    for (int bounded = 0; bounded < 2; bounded++) {
        const persist_shipped *p;
        fixture_begin_tables(&f, 1, 2);
        fixture_append(&f, "s", "before");
        fixture_wait(&f);
        last = persist_durable(f.store);
        persist_ship *ship = begin_ship(last);
        if (bounded)
            disk_engine(f.store)->wal.holds->most = 4096;
        for (int i = 0; i < ROUNDS; i++) {
            fixture_append(&f, "s", "an event of some size, to fill the log");
            fixture_append(&f, "t", "an event of some size, to fill the log");
            fixture_wait(&f);
            step_all();
        }
        persist_status status = persist_ship_next(ship, 0, &p, &f.error);
        assert_int_equal(status, bounded ? PERSIST_LOST : PERSIST_OK);
        if (!bounded)
            assert_int_equal(p->first, last + 1);
        persist_ship_end(ship);
        ship = NULL;
        assert_int_equal(persist_ship_begin(f.store, last, &ship, &f.error),
                         PERSIST_LOST);
        assert_null(ship);
        assert_int_equal(persist_ship_begin(f.store,
                                            persist_latest(f.store) + 1, &ship,
                                            &f.error),
                         PERSIST_BAD_REQUEST);
        fixture_end(&f);
    }
}

static void damage_is_not_shipped(void **state)
{
    (void)state;
    const persist_shipped *p;
    fixture_begin(&f, 65536);
    fixture_append(&f, "s", "before");
    fixture_wait(&f);
    persist_ship *ship = begin_ship(persist_durable(f.store));
    fixture_append(&f, "s", "a commit that is damaged");
    fixture_wait(&f);
    record_header h;
    uint64_t at = fixture_record(&f, "store/wal/0000000000000001.log", 1, &h);
    fixture_flip(&f, "store/wal/0000000000000001.log", at + 60);
    assert_int_equal(persist_ship_next(ship, 0, &p, &f.error), PERSIST_CORRUPT);
    assert_non_null(strstr(f.error.path, ".log"));
    persist_ship_end(ship);
    fixture_end(&f);
}

/* Each call, and each allocation, of shipping fails in turn: that is told, and
 * the next try goes on where this one was to. */
static unsigned allocations_left;

static int fail_one(void *context)
{
    (void)context;
    return allocations_left > 0 && --allocations_left == 0;
}

static void what_fails_is_tried_again(void **state)
{
    (void)state;
    static const int errors[] = {EIO, EMFILE, ENOMEM, EACCES, ENOENT};
    unsigned failed = 0;
    for (unsigned i = 0; i <= sizeof errors / sizeof *errors; i++) {
        bool more = true;
        for (unsigned nth = 1; more; nth++) {
            const persist_shipped *p;
            bool memory = i == sizeof errors / sizeof *errors;
            fixture_begin(&f, 65536);
            fixture_append(&f, "s", "before");
            fixture_wait(&f);
            persist_lsn last = persist_durable(f.store);
            persist_ship *ship = begin_ship(last);
            fixture_append(&f, "s", "behind");
            fixture_wait(&f);
            if (memory) {
                allocations_left = nth;
                mem_set_fail(fail_one, NULL);
            } else {
                os_sim_fail(f.sim,
                            (sim_fault){.calls = ~0u & ~(1u << SIM_CLOSE),
                                        .nth = nth,
                                        .error = errors[i]});
            }
            persist_status status = persist_ship_next(ship, 0, &p, &f.error);
            more = memory ? allocations_left == 0
                          : os_sim_faults(f.sim, SIM_CALLS) > 0;
            mem_set_fail(NULL, NULL);
            os_sim_fail(f.sim, (sim_fault){0});
            assert_true((status == PERSIST_OK) == !more);
            failed += more;
            if (more)
                take_all(ship, &last);
            else
                last = p->last;
            assert_int_equal(last, persist_latest(f.store));
            persist_ship_end(ship);
            fixture_end(&f);
        }
    }
    assert_true(failed >= 2 * sizeof errors / sizeof *errors);
}

static persist_store *shared;
static persist_lsn followed;

static void *follow(void *context)
{
    persist_ship *ship = context;
    const persist_shipped *p;
    persist_status status;
    while ((status = persist_ship_next(ship, PERSIST_FOREVER, &p, NULL)) ==
           PERSIST_OK) {
        if (p->first != followed + 1)
            break;
        followed = p->last;
    }
    persist_ship_end(ship);
    return (void *)(intptr_t)status;
}

/* On the real system: one thread follows another that commits, until waits end.
 */
static void who_waits_is_woken_and_ended(void **state)
{
    (void)state;
    os_dir *dir = folder_make("ship");
    const persist_options options = {
        PERSIST_OPTIONS,    .path = dir->path,     .create = true,
        .background = true, .segment_size = 16384, .memtable_size = 8192};
    pthread_t thread;
    void *status;
    persist_ship *ship;
    assert_int_equal(persist_open(&options, &shared, NULL), PERSIST_OK);
    followed = 0;
    assert_int_equal(persist_ship_begin(shared, 0, &ship, NULL), PERSIST_OK);
    assert_int_equal(pthread_create(&thread, NULL, follow, ship), 0);
    for (int i = 0; i < THREADED; i++) {
        const persist_edit edit = {.kind = PERSIST_PUT,
                                   .name = slice_str("k"),
                                   .data = slice_str("some value")};
        assert_int_equal(persist_commit(shared, &edit, 1, NULL, NULL, NULL),
                         PERSIST_OK);
        if (i % 10 == 9)
            assert_int_equal(
                persist_wait_durable(shared, persist_latest(shared), NULL),
                PERSIST_OK);
    }
    const os *sys = os_posix();
    uint64_t until = sys->clock_us(sys) + 10 * 1000000;
    static _Atomic uint32_t word;
    while (*(volatile persist_lsn *)&followed < THREADED &&
           sys->clock_us(sys) < until)
        sys->sleep_while(sys, &word, 0, 1000);
    assert_int_equal(followed, THREADED);
    persist_end_waits(shared);
    assert_int_equal(pthread_join(thread, &status), 0);
    assert_int_equal((intptr_t)status, PERSIST_CLOSED);
    folder_end(dir, shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_commit_comes_once),
        cmocka_unit_test(who_is_behind_is_told),
        cmocka_unit_test(damage_is_not_shipped),
        cmocka_unit_test(what_fails_is_tried_again),
        cmocka_unit_test(who_waits_is_woken_and_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
