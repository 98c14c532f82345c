/* SPDX-License-Identifier: MIT */
/* Threads, and a call of the real system that fails under them; then the power
 * goes: of each file only what a sync has covered stays, and never what one
 * that failed has covered. What a thread was told is durable is there after the
 * next opening, and nothing that nobody wrote. --rounds N, --seed N. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../lib/os_sim_disk.h"
#include "fixture.h"

enum {
    WRITERS = 3,
    WRITES = 40,
    ROUNDS = 60,
    EVENT = 700,
    NTH_MAX = 60,
    WRITES_MAX = 1 << 14,
    FILES_MAX = 256
};

static char path[64];
static os sys;
static persist_store *store;

/* The call that fails: which kind, after how many, with what, and for good. */
enum { SYNC, WRITE, RENAME, ALLOCATE, DIR_SYNC, OPEN, CALLS };
static unsigned failing;
static bool lasting;
static int failing_with;
static atomic_int left, hit;

/* How many events of each writer were acknowledged, and tried. */
static int acknowledged[WRITERS], tried[WRITERS];
static atomic_bool ended;

/* ---- what the power takes ---------------------------------------------- */

/* What stood where something was written. */
typedef struct old_bytes {
    uint64_t inode, at;
    size_t size;
    void *bytes;
    bool safe, lost; /* synced; covered by a sync that failed */
} old_bytes;

static old_bytes writes[WRITES_MAX];
static size_t write_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t inode_of(os_file *file)
{
    os_stat stat;
    int code = os_posix()->file_stat(os_posix(), file, &stat);
    assert_int_equal(code, 0);
    return stat.inode;
}

static void note_write(os_file *file, size_t size, uint64_t at)
{
    size_t got = 0;
    old_bytes b = {.inode = inode_of(file), .at = at, .size = size};
    b.bytes = calloc(1, size + 1);
    assert_non_null(b.bytes);
    pthread_mutex_lock(&lock);
    (void)os_read_all(os_posix(), file, b.bytes, size, at, &got);
    assert_true(write_count < WRITES_MAX);
    writes[write_count++] = b;
    pthread_mutex_unlock(&lock);
}

static size_t written_so_far(void)
{
    pthread_mutex_lock(&lock);
    size_t count = write_count;
    pthread_mutex_unlock(&lock);
    return count;
}

static void note_sync(os_file *file, size_t count, bool done)
{
    uint64_t inode = inode_of(file);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        if (writes[i].inode == inode) {
            writes[i].safe = writes[i].safe || (done && !writes[i].lost);
            writes[i].lost = writes[i].lost || (!done && !writes[i].safe);
        }
    pthread_mutex_unlock(&lock);
}

/* A new file may have the inode of one that was deleted. */
static void note_new(os_file *file)
{
    uint64_t inode = inode_of(file);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < write_count; i++)
        writes[i].safe = writes[i].safe || writes[i].inode == inode;
    pthread_mutex_unlock(&lock);
}

/* Puts back, in the files that there are, what unsynced writes have changed,
 * the last ones first. */
static int lose_in(const char *folder)
{
    char command[128], name[256];
    struct stat info = {0};
    snprintf(command, sizeof command, "find %s -type f", folder);
    FILE *found = popen(command, "r");
    assert_non_null(found);
    while (fgets(name, sizeof name, found) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        int fd = open(name, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &info) == 0);
        for (size_t i = write_count; i-- > 0;)
            if (!writes[i].safe && writes[i].inode == info.st_ino)
                assert_int_equal(pwrite(fd, writes[i].bytes, writes[i].size,
                                        (off_t)writes[i].at),
                                 (ssize_t)writes[i].size);
        close(fd);
    }
    return pclose(found);
}

static void forget_writes(void)
{
    while (write_count > 0)
        free(writes[--write_count].bytes);
}

/* ---- calls ------------------------------------------------------------- */

static int refused(unsigned call)
{
    if (call != failing)
        return 0;
    int before = atomic_fetch_sub(&left, 1);
    if (before != 1 && (before > 1 || !lasting))
        return 0;
    atomic_fetch_add(&hit, 1);
    return -failing_with;
}

static int file_sync(const os *o, os_file *file)
{
    size_t count = written_so_far();
    int code = refused(SYNC);
    if (code == 0)
        code = os_posix()->file_sync(o, file);
    note_sync(file, count, code == 0);
    return code;
}

static ssize_t file_write(const os *o, os_file *file, const void *bytes,
                          size_t size, uint64_t at)
{
    int code = refused(WRITE);
    if (code != 0)
        return code;
    note_write(file, size, at);
    return os_posix()->file_write(o, file, bytes, size, at);
}

static int move(const os *o, const os_dir *from_at, const char *from,
                const os_dir *to_at, const char *to)
{
    int code = refused(RENAME);
    return code != 0 ? code : os_posix()->rename(o, from_at, from, to_at, to);
}

static int file_allocate(const os *o, os_file *file, uint64_t size)
{
    int code = refused(ALLOCATE);
    return code != 0 ? code : os_posix()->file_allocate(o, file, size);
}

static int dir_sync(const os *o, const os_dir *dir)
{
    int code = refused(DIR_SYNC);
    return code != 0 ? code : os_posix()->dir_sync(o, dir);
}

static int file_open(const os *o, const os_dir *dir, const char *name,
                     int flags, os_file **out)
{
    int code = (flags & OS_CREATE) != 0 ? refused(OPEN) : 0;
    if (code == 0)
        code = os_posix()->file_open(o, dir, name, flags, out);
    if (code == 0 && (flags & OS_EXCLUSIVE) != 0)
        note_new(*out);
    return code;
}

static persist_status open_store(const os *with, persist_error *error)
{
    const persist_options options = {PERSIST_OPTIONS,
                                     .path = path,
                                     .create = true,
                                     .background = true,
                                     .segment_size = 16 << 10,
                                     .memtable_size = 8 << 10,
                                     .os = with};
    return persist_open(&options, &store, error);
}

static slice event_of(unsigned writer, int number, char room[EVENT])
{
    memset(room, 'a' + (int)writer, EVENT);
    memcpy(room, &number, sizeof number);
    return slice_of(room, EVENT);
}

/* ---- the threads ------------------------------------------------------ */

static void *write_events(void *context)
{
    unsigned writer = (unsigned)(uintptr_t)context;
    char name[] = {(char)('a' + writer), '\0'}, room[EVENT];
    persist_lsn newest = 0;
    int done = 0;
    for (int i = 0; i < WRITES; i++) {
        const persist_edit edit = {.kind = PERSIST_APPEND,
                                   .name = slice_str(name),
                                   .data = event_of(writer, done, room)};
        persist_outcome out = {0};
        persist_status status =
            persist_commit(store, &edit, 1, NULL, &out, NULL);
        if (status == PERSIST_OK) {
            newest = out.lsn;
            tried[writer] = ++done;
        }
        persist_outcome_release(&out);
        if (status == PERSIST_READ_ONLY)
            break;
        if (done > 0 && i % 3 == 2 &&
            persist_wait_durable(store, newest, NULL) == PERSIST_OK)
            acknowledged[writer] = done;
    }
    return NULL;
}

static void *read_events(void *context)
{
    persist_stream_info info;
    while (!atomic_load(&ended)) {
        (void)persist_info(store, slice_str("a"), PERSIST_LATEST, &info, NULL,
                           NULL);
        persist_stats stats = {PERSIST_STATS};
        persist_get_stats(store, &stats, NULL);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return context;
}

static void run_threads(void)
{
    pthread_t writers[WRITERS], reader;
    atomic_store(&ended, false);
    memset(acknowledged, 0, sizeof acknowledged);
    memset(tried, 0, sizeof tried);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(
            pthread_create(&writers[i], NULL, write_events, (void *)i), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_events, NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&ended, true);
    pthread_join(reader, NULL);
}

/* ---- judging ----------------------------------------------------------- */

static void judge(unsigned writer)
{
    char name[] = {(char)('a' + writer), '\0'}, room[EVENT];
    persist_cursor *cursor;
    const persist_event *e;
    persist_error error;
    int found = 0;
    assert_int_equal(persist_read(store, slice_str(name), 1, PERSIST_NO_LIMIT,
                                  PERSIST_DURABLE, &cursor, &error),
                     PERSIST_OK);
    for (persist_status status;
         (status = persist_next_event(cursor, &e, &error)) != PERSIST_NONE;
         found++) {
        assert_int_equal(status, PERSIST_OK);
        slice due = event_of(writer, found, room);
        assert_int_equal(e->data.size, due.size);
        assert_memory_equal(e->data.data, due.data, due.size);
        assert_int_equal(e->seq, found + 1);
    }
    persist_cursor_close(cursor);
    if (found < acknowledged[writer] || found > tried[writer])
        fail_msg("writer %u: %d events, %d acknowledged, %d tried; call %u, "
                 "error %d, %s",
                 writer, found, acknowledged[writer], tried[writer], failing,
                 failing_with, lasting ? "lasting" : "once");
}

static void draw(uint64_t *random)
{
    static const int others[] = {EIO, ENOSPC, EDQUOT, ENOMEM, EROFS};
    failing = (unsigned)(sim_random(random) % CALLS);
    failing_with = others[sim_random(random) % 5];
    lasting = sim_random(random) % 3 == 0;
    atomic_store(&left, 1 + (int)(sim_random(random) % NTH_MAX));
}

static unsigned long rounds = ROUNDS, seed = 1;

static void what_was_told_is_there(void **state)
{
    (void)state;
    uint64_t random = seed;
    unsigned long told = 0;
    sys = *os_posix();
    sys.file_open = file_open;
    sys.file_sync = file_sync;
    sys.file_write = file_write;
    sys.rename = move;
    sys.file_allocate = file_allocate;
    sys.dir_sync = dir_sync;
    for (unsigned long round = 0; round < rounds; round++) {
        persist_error error;
        char command[96];
        snprintf(path, sizeof path, "/tmp/persist-faults-XXXXXX");
        assert_non_null(mkdtemp(path));
        draw(&random);
        if (open_store(&sys, &error) == PERSIST_OK) {
            run_threads();
            (void)persist_close(store, NULL);
            assert_int_equal(lose_in(path), 0);
            if (open_store(os_posix(), &error) != PERSIST_OK)
                fail_msg("round %lu: %s", round, error.message);
            for (unsigned i = 0; i < WRITERS; i++) {
                judge(i);
                told += (unsigned long)acknowledged[i];
            }
            assert_int_equal(persist_close(store, NULL), PERSIST_OK);
        }
        forget_writes();
        snprintf(command, sizeof command, "rm -rf %s", path);
        assert_int_equal(system(command), 0);
    }
    print_message(
        "figure: %lu lives of %d threads, %d calls failed under them, "
        "%lu acknowledged events looked for\n",
        rounds, WRITERS + 1, atomic_load(&hit), told);
    assert_true(atomic_load(&hit) > 0 && told > 0);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2)
        *(strcmp(argv[i], "--seed") == 0 ? &seed : &rounds) =
            strtoul(argv[i + 1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
