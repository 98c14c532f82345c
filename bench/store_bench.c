/* SPDX-License-Identifier: MIT */
/* Measures the store through its C interface, against what the disk itself
 * can do, in turns in one run: build/bench/store_bench DIR [ROUNDS]. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "persist.h"

enum {
    ROUNDS_MAX = 31,
    PAYLOAD = 200,
    STREAMS = 100,
    SINGLE = 4000,  /* durable appends, one by one */
    BULK = 1000000, /* events, BATCH a commit */
    BATCH = 1000,
    PARALLEL = 4000, /* durable appends of each thread */
    THREADS = 16,
    WINDOW = 1024, /* commits between two waits */
    WINDOWED = 200000,
    KEYS = 1000000,
    NAME_SIZE = 32,
    PATH_SIZE = 4096,
};

static const char *base;
static int rounds = 5;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void stop(const char *what, const persist_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error == NULL ? "" : error->message);
    exit(1);
}

static void expect(persist_status status, const char *what,
                   const persist_error *error)
{
    if (status != PERSIST_OK)
        stop(what, error);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

/* A payload like those of SX programs. */
static persist_slice payload(void)
{
    static char text[PAYLOAD + 1];
    if (text[0] == '\0') {
        int n =
            snprintf(text, sizeof text, "{:stream \"orders\" :seq 1 :data ");
        memset(text + n, 'x', (size_t)(PAYLOAD - n));
    }
    return (persist_slice){text, PAYLOAD};
}

static persist_slice name_of(const char *kind, unsigned long number,
                             char out[NAME_SIZE])
{
    int n = snprintf(out, NAME_SIZE, "%s-%lu", kind, number);
    return (persist_slice){out, (size_t)n};
}

/* ---- stores ----------------------------------------------------------- */

static char path[PATH_SIZE];

static void remove_store(void)
{
    char command[PATH_SIZE + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        stop("rm", NULL);
}

static persist_store *open_store(void)
{
    persist_options options = {
        .path = path, .create = true, .background = true};
    persist_error error;
    persist_store *store = NULL;
    expect(persist_open(&options, &store, &error), "open", &error);
    return store;
}

static void close_store(persist_store *store)
{
    persist_error error;
    expect(persist_close(store, &error), "close", &error);
}

static persist_lsn append(persist_store *store, persist_slice stream)
{
    persist_edit edit = {
        .kind = PERSIST_APPEND, .name = stream, .data = payload()};
    persist_outcome outcome;
    persist_error error;
    expect(persist_commit(store, &edit, 1, NULL, &outcome, &error), "commit",
           &error);
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    return lsn;
}

static void wait_for(persist_store *store, persist_lsn lsn)
{
    persist_error error;
    expect(persist_wait_durable(store, lsn, &error), "wait", &error);
}

/* ---- the work --------------------------------------------------------- */

/* The limit: write and sync into a file whose blocks are there. */
static double raw_single(void)
{
    char file[PATH_SIZE + 8], record[272];
    snprintf(file, sizeof file, "%s.raw", base);
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    static char zeros[1 << 16];
    memset(record, 'r', sizeof record);
    for (int i = 0; i < 64; i++)
        if (pwrite(fd, zeros, sizeof zeros, (off_t)i * (off_t)sizeof zeros) < 0)
            stop("raw write", NULL);
    fsync(fd);
    double start = seconds();
    for (int i = 0; i < SINGLE; i++)
        if (pwrite(fd, record, sizeof record,
                   512 + (off_t)i * (off_t)sizeof record) < 0 ||
            fdatasync(fd) != 0)
            stop("raw write", NULL);
    double each = (seconds() - start) / SINGLE * 1e6;
    close(fd);
    unlink(file);
    return each;
}

static double store_single(void)
{
    remove_store();
    persist_store *store = open_store();
    char name[NAME_SIZE];
    double start = seconds();
    for (unsigned long i = 0; i < SINGLE; i++)
        wait_for(store, append(store, name_of("stream", i % STREAMS, name)));
    double each = (seconds() - start) / SINGLE * 1e6;
    close_store(store);
    return each;
}

static double raw_bulk(void)
{
    char file[PATH_SIZE + 8];
    enum { SIZE = BATCH * (PAYLOAD + 18) };
    static char batch[SIZE];
    snprintf(file, sizeof file, "%s.raw", base);
    memset(batch, 'r', sizeof batch);
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    double start = seconds();
    for (int i = 0; i < BULK / BATCH; i++)
        if (pwrite(fd, batch, sizeof batch, (off_t)i * SIZE) < 0 ||
            fdatasync(fd) != 0)
            stop("raw write", NULL);
    double rate = BULK / (seconds() - start);
    close(fd);
    unlink(file);
    return rate;
}

static double store_bulk(void)
{
    static char names[STREAMS][NAME_SIZE];
    static persist_edit edits[BATCH];
    for (unsigned long i = 0; i < BATCH; i++)
        edits[i] = (persist_edit){
            .kind = PERSIST_APPEND,
            .name = name_of("stream", i % STREAMS, names[i % STREAMS]),
            .data = payload()};
    remove_store();
    persist_store *store = open_store();
    persist_error error;
    double start = seconds();
    for (int i = 0; i < BULK / BATCH; i++) {
        expect(persist_commit(store, edits, BATCH, NULL, NULL, &error),
               "commit", &error);
        wait_for(store, persist_latest(store));
    }
    double rate = BULK / (seconds() - start);
    close_store(store);
    return rate;
}

static double store_reopen(void)
{
    double start = seconds();
    persist_store *store = open_store();
    double took = (seconds() - start) * 1e3;
    close_store(store);
    return took;
}

static double read_all(persist_store *store, persist_cursor *cursor)
{
    persist_event event;
    persist_error error;
    double sum = 0;
    (void)store;
    while (persist_next_event(cursor, &event, &error) == PERSIST_OK)
        sum += (double)event.data.size + ((const char *)event.data.data)[0];
    persist_cursor_close(cursor);
    return sum;
}

static double store_read(void)
{
    persist_store *store = open_store();
    persist_error error;
    char name[NAME_SIZE];
    double sum = 0, start = seconds();
    for (unsigned long i = 0; i < STREAMS; i++) {
        persist_cursor *cursor = NULL;
        expect(persist_read(store, name_of("stream", i, name), 0,
                            PERSIST_NO_LIMIT, PERSIST_DURABLE, &cursor, &error),
               "read", &error);
        sum += read_all(store, cursor);
    }
    double rate = BULK / (seconds() - start);
    close_store(store);
    if (sum != (double)BULK * (PAYLOAD + '{'))
        stop("read: not everything was there", NULL);
    return rate;
}

static double store_read_ordered(void)
{
    persist_store *store = open_store();
    persist_cursor *cursor = NULL;
    persist_error error;
    double start = seconds();
    expect(persist_read_all(store, 1, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                            &cursor, &error),
           "read all", &error);
    double sum = read_all(store, cursor);
    double rate = BULK / (seconds() - start);
    close_store(store);
    if (sum != (double)BULK * (PAYLOAD + '{'))
        stop("read all: not everything was there", NULL);
    return rate;
}

static void *append_many(void *context)
{
    persist_store *store = context;
    char name[NAME_SIZE];
    persist_slice stream =
        name_of("thread", (unsigned long)pthread_self(), name);
    for (int i = 0; i < PARALLEL; i++)
        wait_for(store, append(store, stream));
    return NULL;
}

static double store_parallel(void)
{
    pthread_t threads[THREADS];
    remove_store();
    persist_store *store = open_store();
    double start = seconds();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, append_many, store);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    double rate = THREADS * PARALLEL / (seconds() - start);
    close_store(store);
    return rate;
}

static double store_windowed(void)
{
    remove_store();
    persist_store *store = open_store();
    char name[NAME_SIZE];
    persist_lsn waited = 0;
    double start = seconds();
    for (unsigned long i = 0; i < WINDOWED; i++) {
        persist_lsn lsn = append(store, name_of("stream", i % STREAMS, name));
        if (lsn - waited >= WINDOW)
            wait_for(store, waited = lsn);
    }
    wait_for(store, persist_latest(store));
    double rate = WINDOWED / (seconds() - start);
    close_store(store);
    return rate;
}

static double put_rate, get_rate;

static void store_keys(void)
{
    static char names[BATCH][NAME_SIZE];
    static persist_edit edits[BATCH];
    persist_error error;
    remove_store();
    persist_store *store = open_store();
    unsigned long random = 1;
    double start = seconds();
    for (int i = 0; i < KEYS / BATCH; i++) {
        for (int j = 0; j < BATCH; j++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            edits[j] =
                (persist_edit){.kind = PERSIST_PUT,
                               .name = name_of("key", random >> 20, names[j]),
                               .data = payload()};
        }
        expect(persist_commit(store, edits, BATCH, NULL, NULL, &error),
               "commit", &error);
        wait_for(store, persist_latest(store));
    }
    put_rate = KEYS / (seconds() - start);
    random = 1;
    start = seconds();
    for (int i = 0; i < KEYS; i++) {
        persist_slice value;
        random = random * 6364136223846793005u + 1442695040888963407u;
        expect(persist_get(store, name_of("key", random >> 20, names[0]),
                           PERSIST_LATEST, &value, &error),
               "get", &error);
        persist_free(value.data);
    }
    get_rate = KEYS / (seconds() - start);
    close_store(store);
}

/* ---- the table -------------------------------------------------------- */

enum {
    RAW_SINGLE,
    SINGLE_APPEND,
    RAW_BULK,
    BULK_APPEND,
    REOPEN,
    READ,
    READ_ORDERED,
    PARALLEL_APPEND,
    WINDOWED_APPEND,
    PUTS,
    GETS,
    FIGURES
};

static void run_round(double *out)
{
    out[RAW_SINGLE] = raw_single();
    out[SINGLE_APPEND] = store_single();
    out[RAW_BULK] = raw_bulk();
    out[BULK_APPEND] = store_bulk();
    out[REOPEN] = store_reopen();
    out[READ] = store_read();
    out[READ_ORDERED] = store_read_ordered();
    out[PARALLEL_APPEND] = store_parallel();
    out[WINDOWED_APPEND] = store_windowed();
    store_keys();
    out[PUTS] = put_rate;
    out[GETS] = get_rate;
}

int main(int argc, char **argv)
{
    static const char *const titles[FIGURES] = {
        "raw write and sync of 272 bytes, us",
        "one durable append a commit, us",
        "raw: 218 KB a write and sync, events of 200 bytes/s",
        "1,000,000 events, 1,000 a durable commit, events/s",
        "open that store again (the log is replayed), ms",
        "read it stream by stream, events/s",
        "read it in commit order, events/s",
        "16 threads, durable appends, events/s",
        "one thread, a window of 1,024 commits, events/s",
        "1,000,000 random puts, 1,000 a commit, puts/s",
        "random gets of those, gets/s",
    };
    static double all[FIGURES][ROUNDS_MAX];
    base = argc > 1 ? argv[1] : "bench-store";
    if (argc > 2)
        rounds = (int)strtol(argv[2], NULL, 10);
    if (rounds < 1 || rounds > ROUNDS_MAX)
        stop("rounds: 1 to 31", NULL);
    snprintf(path, sizeof path, "%s.store", base);
    for (int i = 0; i < rounds; i++) {
        double one[FIGURES];
        run_round(one);
        for (int j = 0; j < FIGURES; j++)
            all[j][i] = one[j];
    }
    remove_store();
    for (int j = 0; j < FIGURES; j++)
        printf("%-52s %12.1f\n", titles[j], median(all[j], rounds));
    printf("%-52s %12.2f\n", "a durable append, in raw writes and syncs",
           all[SINGLE_APPEND][rounds / 2] / all[RAW_SINGLE][rounds / 2]);
    return 0;
}
