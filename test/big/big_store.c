/* SPDX-License-Identifier: MIT */
/* A big store under the default options: it is built, closed, opened, killed
 * and read at random, and its memory is watched from outside all the time.
 *
 * Every event, key and position can be computed, so what is read is compared
 * and nothing is remembered. Work runs in processes of its own; a kill is a
 * real one. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/clock.h"
#include "../lib/process.h"
#include "persist.h"

static const char help[] =
    "usage: big_store [options]\n"
    "  --full        100,000,000 events, 10,000,000 keys, 1,000,000 streams\n"
    "  --streams N   that many streams of 100 events, 10 keys for each "
    "(20000),\n"
    "                or, of both, as much as the disk has room for\n"
    "  --dir DIR     where the store is put, and removed (BUILD/big/data)\n"
    "  --ceiling MB  memory that no process may pass, 0: any (64)\n";

enum {
    RUN = 10,          /* events that come to a stream at once */
    ROUNDS = 10,       /* how often it is visited */
    VISITS = 100,      /* of streams in a commit */
    KEYS_OF_VISIT = 1, /* put with each */
    EDITS = VISITS * (RUN + KEYS_OF_VISIT),
    COMMITS_OF_SYNC = 16,    /* made durable together */
    BYTES_OF_STREAM = 15000, /* on the disk, while all is merged, at most */
    STREAMS_FULL = 1000000,
    STREAMS_DEFAULT = 20000,
    LOOKS = 6000,       /* at random, of each kind */
    LOOK_LENGTH = 12,   /* events read in one */
    LOG_MAX = 16 << 20, /* to be replayed */
    /* What closing may leave, 256 KiB, ends a segment that is read whole. */
    CLOSE_LOG_MAX = (4 << 20) + (256 << 10),
    OPENINGS = 5,
    KILLS = 3,
    TEXT_MAX = 64,
    STRIDE = 7919, /* primes, so that each round visits each stream once */
    SHIFT = 104729,
};

static const char *dir;
static uint64_t streams = STREAMS_DEFAULT;
static double ceiling_mb = 64;
static unsigned passed, failed;

/* What a process tells those who watch it. */
typedef struct shared {
    volatile uint64_t commits; /* done */
    volatile uint64_t durable; /* of them */
    double open_ms;
    uint64_t open_bytes; /* read by the opening */
    double longest_ms;   /* that a commit took */
    persist_stats stats;
} shared;

static shared *told;

__attribute__((format(printf, 1, 2))) static _Noreturn void
fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("big_store: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

static void must(bool ok, const char *what)
{
    if (!ok)
        fail("%s", what);
}

static void done(persist_status status, const persist_error *error)
{
    if (status != PERSIST_OK)
        fail("%s", error->message);
}

__attribute__((format(printf, 2, 3))) static void check(bool ok,
                                                        const char *format, ...)
{
    va_list values;
    passed += ok;
    failed += !ok;
    if (ok)
        return;
    va_start(values, format);
    fputs("FAILED: ", stdout);
    vprintf(format, values);
    putchar('\n');
    va_end(values);
}

/* ---- the data --------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
    z = (z + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t commits_all(void)
{
    return streams * ROUNDS / VISITS;
}

/* Visit v goes to this stream: neighbours in time are far from each other in
 * the order of names, and each round visits every stream once. */
static uint64_t stream_of(uint64_t visit)
{
    return (visit % streams * STRIDE + visit / streams * SHIFT) % streams;
}

static uint64_t key_of(uint64_t visit)
{
    return stream_of(visit) * ROUNDS + visit / streams;
}

__attribute__((format(printf, 2, 3))) static persist_slice
text(char out[TEXT_MAX], const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int size = vsnprintf(out, TEXT_MAX, format, values);
    va_end(values);
    must(size > 0 && size < TEXT_MAX, "a text is too long");
    return (persist_slice){out, (size_t)size};
}

static persist_slice stream_name(uint64_t stream, char out[TEXT_MAX])
{
    return text(out, "meter-%08llu", (unsigned long long)stream);
}

static persist_slice event_text(uint64_t stream, uint64_t seq,
                                char out[TEXT_MAX])
{
    return text(out, "(read %llu %llx)", (unsigned long long)seq,
                (unsigned long long)(mix(stream * 1000 + seq) >> 24));
}

static persist_slice key_name(uint64_t key, char out[TEXT_MAX])
{
    return text(out, "owner/%09llu", (unsigned long long)key);
}

static persist_slice value_text(uint64_t key, char out[TEXT_MAX])
{
    return text(out, "\"%016llx\"", (unsigned long long)mix(key));
}

static bool same(persist_slice a, persist_slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* ---- the store, in a process of its own -------------------------------- */

static persist_store *open_store(void)
{
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = true,
                               .background = true};
    persist_store *store;
    persist_error error;
    uint64_t before = process_bytes_read();
    double start = seconds();
    done(persist_open(&options, &store, &error), &error);
    told->open_ms = (seconds() - start) * 1e3;
    told->open_bytes = process_bytes_read() - before;
    return store;
}

static void close_store(persist_store *store)
{
    persist_error error;
    persist_get_stats(store, &told->stats, NULL);
    done(persist_close(store, &error), &error);
}

/* The edits of a commit, and the numbers that its events must get. */
typedef struct work {
    persist_edit edits[EDITS];
    char names[VISITS][TEXT_MAX];
    char texts[EDITS][TEXT_MAX], keys[VISITS][TEXT_MAX];
    uint64_t seqs[VISITS * RUN];
} work;

static void fill(work *w, uint64_t commit)
{
    persist_edit *e = w->edits;
    uint64_t *seq = w->seqs;
    for (uint64_t i = 0; i < VISITS; i++) {
        uint64_t visit = commit * VISITS + i, stream = stream_of(visit);
        persist_slice name = stream_name(stream, w->names[i]);
        for (unsigned k = 0; k < RUN; k++, e++) {
            *seq = visit / streams * RUN + k + 1;
            *e = (persist_edit){.kind = PERSIST_APPEND, .name = name};
            e->data = event_text(stream, *seq++, w->texts[e - w->edits]);
        }
        *e = (persist_edit){.kind = PERSIST_PUT};
        e->name = key_name(key_of(visit), w->keys[i]);
        e->data = value_text(key_of(visit), w->texts[e - w->edits]);
        e++;
    }
}

static void commit_one(persist_store *store, work *w, uint64_t commit)
{
    persist_outcome out;
    persist_error error;
    fill(w, commit);
    done(persist_commit(store, w->edits, EDITS, NULL, &out, &error), &error);
    must(memcmp(out.seqs, w->seqs, sizeof w->seqs) == 0, "a wrong number");
    persist_outcome_release(&out);
}

/* Commits from told->commits on until `until`. */
static void load(uint64_t until)
{
    persist_store *store = open_store();
    persist_error error;
    work *w = malloc(sizeof *w);
    must(w != NULL, "out of memory");
    told->longest_ms = 0;
    while (told->commits < until) {
        double start = seconds();
        commit_one(store, w, told->commits);
        double took = (seconds() - start) * 1e3;
        told->longest_ms = took > told->longest_ms ? took : told->longest_ms;
        told->commits++;
        persist_get_stats(store, &told->stats, NULL);
        if (told->commits % COMMITS_OF_SYNC != 0 && told->commits != until)
            continue;
        done(persist_wait_durable(store, persist_latest(store), &error),
             &error);
        told->durable = told->commits;
    }
    free(w);
    close_store(store);
}

/* ---- reading ---------------------------------------------------------- */

/* The visit of a round that goes to a stream. */
static uint64_t visit_of(uint64_t stream, uint64_t round)
{
    static uint64_t inverse; /* of the stride */
    while (inverse * STRIDE % streams != 1)
        inverse++;
    uint64_t shift = round * SHIFT % streams;
    uint64_t step = (stream + streams - shift) % streams * inverse % streams;
    return round * streams + step;
}

/* Events of a stream after told->commits commits. */
static uint64_t events_of(uint64_t stream)
{
    uint64_t count = 0;
    for (uint64_t round = 0; round < ROUNDS; round++)
        if (visit_of(stream, round) < told->commits * VISITS)
            count += RUN;
    return count;
}

static void look_at_stream(persist_store *store, uint64_t random)
{
    char memory[TEXT_MAX], expected[TEXT_MAX];
    uint64_t stream = random % streams, count = events_of(stream);
    persist_slice name = stream_name(stream, memory);
    bool back = (random >> 40) % 2 != 0, known;
    uint64_t seq = count == 0 ? 1 : (random >> 20) % count + 1, n = 0;
    persist_stream_info info;
    persist_cursor *c;
    persist_error error;
    const persist_event *e;
    done(persist_info(store, name, PERSIST_DURABLE, &info, &known, &error),
         &error);
    must(known == (count > 0) && info.count == count && info.mark == count,
         "a stream has another length");
    done((back ? persist_read_back : persist_read)(
             store, name, seq, LOOK_LENGTH, PERSIST_DURABLE, &c, &error),
         &error);
    while (persist_next_event(c, &e, &error) == PERSIST_OK) {
        must(e->seq == (back ? seq - n : seq + n), "an event is missing");
        must(same(e->data, event_text(stream, e->seq, expected)),
             "an event has changed");
        n++;
    }
    uint64_t there = count == 0 ? 0 : back ? seq : count - seq + 1;
    must(n == (there < LOOK_LENGTH ? there : LOOK_LENGTH), "a short read");
    persist_cursor_close(c);
}

static void look_at_key(persist_store *store, uint64_t random)
{
    char memory[TEXT_MAX], expected[TEXT_MAX];
    uint64_t visits = told->commits * VISITS;
    uint64_t key = key_of(random % visits);
    persist_slice value;
    persist_error error;
    done(persist_get(store, key_name(key, memory), PERSIST_DURABLE, &value,
                     &error),
         &error);
    must(same(value, value_text(key, expected)), "a value has changed");
    persist_free(value.data);
    persist_status status =
        persist_get(store, key_name(key + streams * ROUNDS, memory),
                    PERSIST_DURABLE, &value, &error);
    must(status == PERSIST_NONE, "a key is there that nobody put");
}

static void look_at_order(persist_store *store, uint64_t random)
{
    char name[TEXT_MAX], expected[TEXT_MAX];
    uint64_t at = random % (told->commits * VISITS * RUN), n = 0;
    persist_cursor *c;
    persist_error error;
    const persist_event *e;
    done(persist_read_all(store, at + 1, LOOK_LENGTH, PERSIST_DURABLE, &c,
                          &error),
         &error);
    for (; persist_next_event(c, &e, &error) == PERSIST_OK; at++, n++) {
        uint64_t visit = at / RUN, stream = stream_of(visit);
        must(e->position == at + 1 &&
                 e->seq == visit / streams * RUN + at % RUN + 1 &&
                 same(e->stream, stream_name(stream, name)) &&
                 same(e->data, event_text(stream, e->seq, expected)),
             "the order has changed");
    }
    must(n > 0, "a position has no event");
    persist_cursor_close(c);
}

static void look(uint64_t seed)
{
    persist_store *store = open_store();
    for (uint64_t i = 0; i < LOOKS; i++) {
        look_at_stream(store, mix(seed + 3 * i));
        look_at_key(store, mix(seed + 3 * i + 1));
        if (i % 10 == 0)
            look_at_order(store, mix(seed + 3 * i + 2));
    }
    close_store(store);
}

/* All keys, in their order. */
static void scan(uint64_t unused)
{
    (void)unused;
    char name[TEXT_MAX], expected[TEXT_MAX];
    persist_store *store = open_store();
    persist_slice key, value;
    persist_cursor *c;
    persist_error error;
    uint64_t n = 0;
    done(persist_scan(store, NULL, PERSIST_NO_LIMIT, PERSIST_DURABLE, &c,
                      &error),
         &error);
    for (; persist_next_key(c, &key, &value, &error) == PERSIST_OK; n++)
        must(same(key, key_name(n, name)) &&
                 same(value, value_text(n, expected)),
             "a key is missing or its value has changed");
    must(n == streams * ROUNDS, "keys are missing");
    persist_cursor_close(c);
    close_store(store);
}

static void only_open(uint64_t unused)
{
    (void)unused;
    close_store(open_store());
}

/* After a kill: what was acknowledged is there, and each commit is whole. */
static void count_commits(uint64_t durable)
{
    persist_store *store = open_store();
    persist_get_stats(store, &told->stats, NULL);
    uint64_t events = told->stats.events;
    must(events % (VISITS * RUN) == 0, "half a commit");
    told->commits = events / (VISITS * RUN);
    must(told->commits >= durable, "an acknowledged commit is lost");
    close_store(store);
}

/* ---- watching --------------------------------------------------------- */

static void show(const char *what, uint64_t until, double mb, double start)
{
    uint64_t n = told->commits;
    fprintf(stderr, "%s: %3.0f%%, %llu events, %.0f s, %.0f MB, %llu tables\n",
            what, 100.0 * (double)n / (double)until,
            (unsigned long long)n * VISITS * RUN, seconds() - start, mb,
            (unsigned long long)told->stats.tables);
}

/* Runs a piece of work; kills it when that many commits are done. Returns the
 * peak of its memory. */
static double run(const char *what, void (*job)(uint64_t), uint64_t argument,
                  uint64_t kill_at)
{
    double peak = 0, start = seconds(), shown = start;
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the test */
        job(argument);
        _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        double mb = process_anonymous_mb(child);
        peak = mb > peak ? mb : peak;
        if (kill_at != 0 && told->commits >= kill_at)
            kill(child, SIGKILL);
        if (job == load && seconds() - shown > 5) {
            show(what, argument, peak, start);
            shown = seconds();
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    bool ended = kill_at != 0 ? WIFSIGNALED(status)
                              : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    check(ended, "%s did not end as it should", what);
    check(ceiling_mb == 0 || peak <= ceiling_mb, "%s took %.1f MB", what, peak);
    if (job != only_open)
        printf("figure: %s: %.1f s, %.1f MB of memory at the most\n", what,
               seconds() - start, peak);
    if (!ended)
        exit(1);
    return peak;
}

/* ---- the parts -------------------------------------------------------- */

static void remove_store(void)
{
    char command[4200];
    int n = snprintf(command, sizeof command, "rm -rf '%s'", dir);
    must(n > 0 && (size_t)n < sizeof command, "the path is too long");
    must(system(command) == 0, "the store cannot be removed");
}

/* An opening reads the manifests, a footer a table, and the log: what it
 * replays, two spares, and the end once more. That is not counted where files
 * can be mapped. */
static void check_opening(const char *what, uint64_t replay_max)
{
    enum { MANIFESTS = 64 << 10, FOOTER = 4096, LOG_READ = 5 };
    uint64_t most =
        LOG_READ * replay_max + MANIFESTS + told->stats.tables * FOOTER;
    check(told->open_bytes <= most, "opening %s reads %llu bytes", what,
          (unsigned long long)told->open_bytes);
    check(told->stats.replayed <= replay_max, "opening %s replays %llu bytes",
          what, (unsigned long long)told->stats.replayed);
    printf("figure: opening %s: %.2f ms, %llu bytes replayed, %llu tables\n",
           what, told->open_ms, (unsigned long long)told->stats.replayed,
           (unsigned long long)told->stats.tables);
}

static void check_openings(void)
{
    double best = 0;
    for (int i = 0; i < OPENINGS; i++) {
        run("open and close", only_open, 0, 0);
        best = i == 0 || told->open_ms < best ? told->open_ms : best;
    }
    told->open_ms = best;
    check_opening("after a clean close", CLOSE_LOG_MAX);
}

/* Kills it while the log is short, half full, and at its longest. */
static void check_kills(void)
{
    for (uint64_t i = 0; i < KILLS; i++) {
        uint64_t at = told->commits + 60 + i * 97;
        run("load and kill", load, commits_all(), at);
        run("recover", count_commits, told->durable, 0);
        check_opening("after a kill", LOG_MAX);
        told->durable = told->commits;
    }
}

/* Up to n; few streams have room anywhere. */
static uint64_t streams_that_fit(uint64_t n)
{
    struct statvfs disk;
    must(statvfs(dir, &disk) == 0, "the disk cannot be asked");
    while (n > STREAMS_DEFAULT &&
           n * BYTES_OF_STREAM > disk.f_bavail * disk.f_frsize / 2)
        n /= 2;
    return n / VISITS * VISITS;
}

static void parse(int argc, char **argv)
{
    static char beside[4096];
    const char *slash = strrchr(argv[0], '/');
    snprintf(beside, sizeof beside, "%.*sdata",
             slash == NULL ? 0 : (int)(slash - argv[0]) + 1, argv[0]);
    dir = beside;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            streams = STREAMS_FULL;
        else if (strcmp(argv[i], "--streams") == 0 && i + 1 < argc)
            streams = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            dir = argv[++i];
        else if (strcmp(argv[i], "--ceiling") == 0 && i + 1 < argc)
            ceiling_mb = strtod(argv[++i], NULL);
        else
            fail("what is %s?\n%s", argv[i], help);
    }
    must(streams >= VISITS * 10 && streams % VISITS == 0, help);
    remove_store();
    must(mkdir(dir, 0777) == 0, "the folder cannot be made");
    streams = streams_that_fit(streams);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(told != MAP_FAILED, "mmap");
    told->stats = (persist_stats){PERSIST_STATS};
    uint64_t kept = (KILLS + 1) * 300; /* commits for the kills */
    uint64_t until =
        commits_all() > 2 * kept ? commits_all() - kept : commits_all() / 2;
    printf("figure: %llu events in %llu streams, %llu keys\n",
           (unsigned long long)streams * ROUNDS * RUN,
           (unsigned long long)streams, (unsigned long long)streams * ROUNDS);
    run("load", load, until, 0);
    printf("figure: %llu tables, %.2f GB; the longest commit took %.0f ms\n",
           (unsigned long long)told->stats.tables,
           (double)told->stats.table_bytes / 1e9, told->longest_ms);
    check_openings();
    run("read at random", look, 1, 0);
    check_kills();
    run("load the rest", load, commits_all(), 0);
    run("read at random", look, 2, 0);
    run("scan all keys", scan, 0, 0);
    check(told->stats.events == streams * ROUNDS * RUN &&
              told->stats.streams == streams,
          "the store counts %llu events, %llu streams",
          (unsigned long long)told->stats.events,
          (unsigned long long)told->stats.streams);
    remove_store();
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
