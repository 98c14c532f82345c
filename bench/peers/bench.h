/* SPDX-License-Identifier: MIT */
/* What the benchmark's files share: the table that an engine fills in, the
 * work's payloads, cells (one engine, one piece of work, one process), and
 * the figures that come out. Everything that fails ends the program. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "persist_base.h"

typedef persist_slice slice;

/* ---- what an engine is given ------------------------------------------ */

enum { EVENT_TAGS = 3 }; /* at the most */

typedef struct event {
    slice stream;
    uint64_t seq;
    slice data;
    const slice *tags;
    size_t tag_count; /* 0 but for Q1 to Q3 */
} event;

/* One commit: events, and the mark (the highest seq) of each stream in it. */
typedef struct batch {
    const event *events;
    size_t event_count;
    const event *marks; /* without data */
    size_t mark_count;
} batch;

typedef struct pair {
    slice key, value;
} pair;

/* Where an engine puts what it reads: every byte is looked at. */
typedef struct sink {
    uint64_t count;
    uint64_t sum;
} sink;

static inline uint64_t word_at(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* The sum of the 64-bit words of data, the last ones overlapping. */
static inline uint64_t words_sum(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    size_t i = 0;
    if (size < 8) {
        for (; i < size; i++)
            a = a << 8 | p[i];
        return a;
    }
    for (; i + 32 <= size; i += 32) {
        a += word_at(p + i);
        b += word_at(p + i + 8);
        c += word_at(p + i + 16);
        d += word_at(p + i + 24);
    }
    for (; i + 8 <= size; i += 8)
        a += word_at(p + i);
    return a + b + c + d + word_at(p + size - 8);
}

static inline uint64_t sink_term(uint64_t words, uint64_t seq)
{
    return words * (2 * seq + 1);
}

/* Takes an event, or with seq 0 a value. */
static inline void sink_take(sink *s, uint64_t seq, const void *data,
                             size_t size)
{
    s->count++;
    s->sum += sink_term(words_sum(data, size), seq);
}

/* ---- an engine -------------------------------------------------------- */

/* A session is one thread's way into an open database. What is NULL the
 * engine does not offer. Every write is on the disk when the call returns,
 * with one exception: append with durable false, until sync. */
typedef struct engine {
    const char *name;
    bool limit; /* not a database: what the machine can do */
    bool slow;  /* its tuned twin puts the million random keys */
    bool few;   /* has a turn in W1, W2, W3 and W4 alone */
    bool packs; /* ours with tables compressed: figures of their own */
    void *(*open)(const char *dir);
    void (*close)(void *db);
    void *(*session)(void *db);
    void (*session_end)(void *session);
    void (*append)(void *session, const batch *, bool durable);
    void (*sync)(void *session);
    void (*read)(void *session, slice stream, sink *);
    void (*read_last)(void *session, slice stream, unsigned count, sink *);
    void (*read_all)(void *session, sink *); /* in commit order */
    void (*put)(void *session, const pair *, size_t count);
    void (*get)(void *session, slice key, sink *);
    void (*scan)(void *session, sink *); /* all keys in order */
    void (*put_blob)(void *session, slice bytes);
    /* The events that have one tag, or both of two, in commit order. Engines
     * without it are given no tags. */
    void (*query)(void *session, const slice *tags, size_t count, sink *);
    /* Reads the events that have both tags of the only event of a batch, then
     * appends it, durably, unless another such event came meanwhile: then
     * returns false. */
    bool (*append_if)(void *session, const batch *);
    /* The same for who has read before, and knows up to which position; NULL:
     * not measured. */
    bool (*append_if_known)(void *session, const batch *);
} engine;

extern const engine engine_ours, engine_ours_packed, engine_sqlite,
    engine_sqlite_tuned, engine_lmdb, engine_rocksdb, engine_leveldb,
    engine_wiredtiger, engine_tkrzw, engine_raw;

enum { ENGINES = 10, OURS = 0, RAW = ENGINES - 1 };
extern const engine *const engines[ENGINES];

/* Whether this build has the engine's library. */
bool engine_present(const engine *);

/* ---- util.c ----------------------------------------------------------- */

#define PATH_SIZE 4096

double now_s(void);
_Noreturn void fail(const char *what, const char *why);
/* Ends the program unless ok; why may be NULL: then it is errno's text. */
void must(bool ok, const char *what, const char *why);
void *must_alloc(size_t size);
void remove_dir(const char *dir);
void make_dir(const char *dir);
/* Bytes on the disk that a directory's files take. */
double dir_bytes(const char *dir);
/* Takes a directory's files out of the page cache. */
void dir_uncache(const char *dir);
/* Bytes that this process has caused to be written to the device. */
double written_bytes(void);
void be64(uint64_t value, unsigned char out[8]);
uint64_t from_be64(const void *data);
void sha256(slice bytes, unsigned char out[32]);

/* ---- payload.c -------------------------------------------------------- */

#define NAME_SIZE 32

/* Payloads: s-expressions of about 200 bytes; the same ones in every run. */
slice payload(uint64_t number);
uint64_t payload_words(uint64_t number); /* words_sum of it */
double payload_bytes(uint64_t count);    /* of the first so many */
slice stream_name(uint64_t number, char out[NAME_SIZE]);
slice key_name(uint64_t number, char out[NAME_SIZE]);
/* A permutation of 0 to count - 1 that looks random. */
uint64_t shuffled(uint64_t number, uint64_t count);
uint64_t random_next(uint64_t *state);
/* Fills memory with bytes that do not compress. */
void random_fill(void *memory, size_t size, uint64_t seed);

/* Events number first to first + count - 1 of the bulk: event i goes to
 * stream i % streams and has seq i / streams + 1. */
typedef struct bulk {
    batch batch;
    event *events, *marks;
    char (*names)[NAME_SIZE];
    struct event_tags *tags; /* NULL: events have none */
    size_t streams, capacity;
} bulk;
void bulk_init(bulk *, size_t capacity, size_t streams);
const batch *bulk_fill(bulk *, uint64_t first, size_t count);
void bulk_release(bulk *);
/* What reading the first count events of the bulk must give. */
sink bulk_expected(uint64_t count, size_t streams);
void must_match(const char *what, const sink *got, const sink *wanted);

/* Each event of a tagged bulk has a tag of each of three kinds, of which there
 * are a tenth as many as events, so that each tag has ten events, scattered
 * over all. The events of a pair (customer and order) are five. */
enum { TAG_EVENTS = 10, PAIR_EVENTS = 5 };

typedef struct event_tags {
    char names[EVENT_TAGS][NAME_SIZE];
    slice tags[EVENT_TAGS];
} event_tags;

void bulk_tag(bulk *); /* from now on bulk_fill gives tags */
uint64_t event_customer(uint64_t number);
uint64_t event_pair(uint64_t number);
slice customer_tag(uint64_t number, char out[NAME_SIZE]);
void pair_tags(uint64_t number, event_tags *out); /* two */

/* ---- cell.c ----------------------------------------------------------- */

enum { CELL_RESULTS = 8 };

typedef struct cell {
    const engine *engine;
    const char *dir;
    uint64_t n; /* what the work takes it for */
    bool tagged;
    double result[CELL_RESULTS];
    double anonymous_mb, resident_mb; /* peaks, seen from outside */
    double written;                   /* bytes to the device, all threads */
} cell;

/* Runs work in a process of its own, and waits for it. */
void cell_run(cell *, void (*work)(cell *));
/* The same, but the process is killed as soon as result[0] reaches at. */
void cell_kill(cell *, void (*work)(cell *), double at);

/* ---- figures.c -------------------------------------------------------- */

#define ROUNDS_MAX 31

/* F(NAME, workload, what, unit, digits, higher is better) */
#define FIGURES(F)                                                             \
    F(W1, "W1", "one durable append a commit", "us", 1, false)                 \
    F(W1_JOURNAL, "W1", "the same on a journaled ext4", "us", 1, false)        \
    F(W2, "W2", "events, 1,000 a durable commit", "k/s", 0, true)              \
    F(W2_PACKED, "W2", "the same, compressed", "k/s", 0, true)                 \
    F(W3, "W3", "read every stream, warm", "M/s", 2, true)                     \
    F(W3_PACKED, "W3", "the same, compressed", "M/s", 2, true)                 \
    F(W3B, "W3b", "last 10 events of a random stream", "M/s", 3, true)         \
    F(W3B_TWO, "W3b", "last 10 events, by two threads", "M/s", 3, true)        \
    F(W3B1, "W3b", "last event of a random stream", "M/s", 3, true)            \
    F(W3C, "W3c", "cold process: open, read a stream, close", "ms", 2, false)  \
    F(W3C_DISK, "W3c", "the same, files not in memory", "ms", 2, false)        \
    F(W3D, "W3d", "all events in commit order", "M/s", 2, true)                \
    F(W4, "W4", "one durable put", "us", 1, false)                             \
    F(W4_PUTS, "W4", "random puts, 1,000 a commit", "k/s", 0, true)            \
    F(W4_GETS, "W4", "random gets", "k/s", 0, true)                            \
    F(W4_SCAN, "W4", "all keys in order", "M/s", 2, true)                      \
    F(W5, "W5", "16 threads, durable appends", "k/s", 1, true)                 \
    F(W5_SLOWEST, "W5", "slowest thread, part of the mean", "", 2, true)       \
    F(W5B, "W5b", "one thread, a window of 1,024 commits", "k/s", 0, true)     \
    F(W6, "W6", "kill -9 in W2, then open and read", "ms", 2, false)           \
    F(W7_WRITTEN, "W7", "written to the device in W2", "x", 2, false)          \
    F(W7_KEPT, "W7", "kept on the disk after W2", "x", 2, false)               \
    F(W7_WRITTEN_PACKED, "W7", "written, compressed", "x", 2, false)           \
    F(W7_KEPT_PACKED, "W7", "kept, compressed", "x", 2, false)                 \
    F(W8_SMALL, "W8", "blobs of 64 KiB, durable", "MB/s", 0, true)             \
    F(W8_BIG, "W8", "blobs of 5 MiB, durable", "MB/s", 0, true)                \
    F(W8_AGAIN, "W8", "the same 5 MiB again", "MB/s", 0, true)                 \
    F(W9_APPEND, "W9", "through SX: append, durable", "k/s", 0, true)          \
    F(W9_READ, "W9", "through SX: read to values", "k/s", 0, true)             \
    F(W10_W2, "W10", "memory in W2, page cache apart", "MB", 0, false)         \
    F(W10_W4, "W10", "memory in W4, page cache apart", "MB", 0, false)         \
    F(W10_MANY, "W10", "memory, many streams and keys", "MB", 0, false)        \
    F(Q1, "Q1", "events of 3 tags, 1,000 a durable commit", "k/s", 0, true)    \
    F(Q2, "Q2", "the 10 events of one tag", "k/s", 0, true)                    \
    F(Q2_TWO, "Q2", "the 5 events of two tags", "k/s", 0, true)                \
    F(Q3, "Q3", "16 threads, query and append on condition", "k/s", 1, true)   \
    F(Q3_KNOWN, "Q3", "16 threads, append on condition", "k/s", 1, true)       \
    F(COPY, "raw", "memcpy", "GB/s", 1, true)                                  \
    F(HASH, "raw", "XXH3", "GB/s", 1, true)                                    \
    F(SHA, "raw", "SHA-256", "GB/s", 2, true)                                  \
    F(SYNC, "raw", "pwrite and fdatasync of 4 KiB", "us", 1, false)

typedef enum figure {
#define FIGURE_ENUM(name, work, what, unit, digits, higher) F_##name,
    FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        FIGURE_COUNT
} figure;

/* Adds one round's value of an engine. */
void figure_add(figure, const engine *, double value);
/* Prints the table of what was measured. */
void figures_print(void);
/* Writes the same, for report.py. */
void figures_write(const char *path, const char *about);

/* ---- the workloads ---------------------------------------------------- */

typedef struct settings {
    const char *dir;       /* where databases are put */
    const char *journaled; /* a place with a journal, or NULL */
    const char *program;
    int rounds;
    uint64_t singles; /* durable commits one by one, in `seconds` at most */
    uint64_t blobs;
    uint64_t bulk;    /* events of W2, keys of W4 */
    uint64_t streams; /* that these events go to */
    uint64_t per_commit;
    uint64_t many_streams, many_keys;
    bool many_peers; /* W10's last row for peers too */
    double seconds;  /* of what is measured by time */
    unsigned threads;
    unsigned flush_us; /* what a flush of the disk takes; 0: what it takes */
} settings;

extern settings set;

/* From here on whatever makes bytes durable takes so long: slow_disk.c. */
void slow_disk_begin(unsigned us);

/* Whether the user asked for this workload. */
bool wanted(const char *workload);
/* Makes "set.dir/name of the engine" into cell->dir, empty. */
void cell_init(cell *, const engine *, char path[PATH_SIZE]);

/* One round of a group of workloads for one engine. */
void work_limits(const engine *);  /* the machine alone */
void work_single(const engine *);  /* W1 */
void work_journal(const engine *); /* W1 in set.journaled */
void work_bulk(const engine *);    /* W2 W3 W3b W3c W3d W7 W10 */
void work_keys(const engine *);    /* W4 W10 */
void work_threads(const engine *); /* W5 */
void work_window(const engine *);  /* W5b */
void work_crash(const engine *);   /* W6 */
void work_blobs(const engine *);   /* W8 */
void work_host(const engine *);    /* W9 */
void work_many(const engine *);    /* W10 */
void work_tags(const engine *);    /* Q1 Q2 Q3 */

/* Loads n events; what work_bulk and work_tags begin with. result[0]: commits
 * acknowledged so far; [1]: seconds in commits */
void load_bulk(cell *);
/* Q3, in a database that load_bulk has filled with tags; result[0]: events a
 * second */
void append_on_condition(cell *);
/* The same without the queries. */
void append_if_known(cell *);

#endif
