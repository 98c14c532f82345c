/* SPDX-License-Identifier: MIT */
/* Threads, and a sync that fails, on the real system: what it has lost nobody
 * acknowledges, however closely others follow. */
#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

enum { SEGMENT = 16 << 10, PACKED = 32, BLOBS = 4, NAP = 100 * 1000 };

static char path[64];
static os sys;
static engine *e;

/* The file whose sync is in hand, and what is to become of it. */
static os_file *_Atomic pack, *_Atomic large;
static atomic_bool entered, failed, stall, fails_once;

static void nap(void)
{
    struct timespec time = {.tv_nsec = NAP};
    nanosleep(&time, NULL);
}

static bool somebody_leads(void)
{
    pthread_mutex_lock(&e->wal.lock);
    bool leads = e->wal.led;
    pthread_mutex_unlock(&e->wal.lock);
    return leads;
}

static int open_file(const os *o, const os_dir *dir, const char *name,
                     int flags, os_file **out)
{
    int code = os_posix()->file_open(o, dir, name, flags, out);
    if (code == 0 && (flags & OS_WRITE) != 0 && strstr(name, PACK_SUFFIX))
        atomic_store(&pack, *out);
    if (code == 0 && (flags & OS_WRITE) != 0 && strstr(name, "blob-"))
        atomic_store(&large, *out);
    return code;
}

/* A pack's fails when somebody is on the way to sync as well. */
static int sync_file(const os *o, os_file *file)
{
    if (atomic_exchange(&fails_once, false))
        return -EIO;
    if (file == atomic_load(&pack)) {
        atomic_store(&entered, true);
        while (!somebody_leads())
            nap();
        return -EIO;
    }
    if (file == atomic_load(&large)) {
        while (!atomic_load(&entered))
            nap();
        return -EIO;
    }
    if (atomic_load(&stall)) {
        atomic_store(&entered, true);
        while (!atomic_load(&failed))
            nap();
    }
    return os_posix()->file_sync(o, file);
}

static int set_up(void **state)
{
    (void)state;
    persist_error error;
    snprintf(path, sizeof path, "/tmp/persist-sync-XXXXXX");
    if (mkdtemp(path) == NULL)
        return -1;
    sys = *os_posix();
    sys.file_open = open_file;
    sys.file_sync = sync_file;
    pack = large = NULL;
    entered = failed = stall = fails_once = false;
    persist_options options = {PERSIST_OPTIONS,      .path = path,
                               .create = true,       .segment_size = SEGMENT,
                               .packed_max = PACKED, .os = &sys};
    return engine_open(&options, &e, &error) == PERSIST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    (void)engine_close(e, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command);
}

static persist_status add(size_t size, int number)
{
    uint8_t bytes[4 * PACKED];
    persist_cid cid;
    persist_lsn lsn;
    assert_in_range(size, sizeof number, sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &number, sizeof number);
    return engine_blob_add(e, slice_of(bytes, size), cid, &lsn, NULL);
}

static void *add_one(void *context)
{
    const size_t *size = context;
    bool done = add(*size, BLOBS) == PERSIST_OK;
    atomic_store(&failed, true);
    return done ? context : NULL;
}

static bool add_beside(size_t size, pthread_t *thread)
{
    static size_t given;
    given = size;
    return pthread_create(thread, NULL, add_one, &given) == 0;
}

/* The pack is full: it is synced before the next is begun, and fails. Whoever
 * waits for blobs that are in it finds it failed, not done. */
static void a_pack_is_not_synced_by_the_next(void **state)
{
    (void)state;
    pthread_t thread;
    void *done;
    for (int i = 0; i < BLOBS; i++)
        assert_int_equal(add(PACKED, i), PERSIST_OK);
    assert_true(add_beside(PACKED, &thread));
    while (!atomic_load(&entered))
        nap();
    persist_status status = wal_wait(&e->wal, e->latest, NULL);
    pthread_join(thread, &done);
    assert_null(done);
    assert_int_equal(status, PERSIST_READ_ONLY);
    assert_int_equal(wal_durable(&e->wal), 0);
}

/* The sync of a large blob fails in the middle of another one. */
static void what_fails_meanwhile_is_final(void **state)
{
    (void)state;
    pthread_t thread;
    void *done;
    persist_edit edit = {.kind = PERSIST_PUT,
                         .name = slice_str("key"),
                         .data = slice_str("value")};
    assert_int_equal(engine_commit(e, &edit, 1, NULL, NULL, NULL), PERSIST_OK);
    assert_true(add_beside(3 * PACKED, &thread));
    atomic_store(&stall, true);
    persist_status status = wal_wait(&e->wal, e->latest, NULL);
    pthread_join(thread, &done);
    assert_null(done);
    assert_int_equal(status, PERSIST_READ_ONLY);
    assert_int_equal(wal_durable(&e->wal), 0);
}

/* The next sync would succeed, without what this one has lost. */
static void a_pack_remembers(void **state)
{
    (void)state;
    pack_writer w;
    uint64_t number, at;
    bool unsynced;
    pack_open(&w, &sys, e->at.blobs.dir, EPOCH_MAX, PACKED);
    assert_int_equal(pack_add(&w, slice_str("bytes"), &number, &at, &unsynced),
                     0);
    atomic_store(&pack, NULL);
    atomic_store(&fails_once, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pack_sync(&w), -EIO);
    assert_int_equal(pack_add(&w, slice_str("more"), &number, &at, &unsynced),
                     -EIO);
    assert_true(unsynced);
    pack_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_pack_is_not_synced_by_the_next),
        TEST(what_fails_meanwhile_is_final),
        TEST(a_pack_remembers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
