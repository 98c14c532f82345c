/* SPDX-License-Identifier: MIT */
/* W1, W5, W5b, Q3: durable appends one by one, by many threads, in a window,
 * on condition. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 64, WINDOW = 1024 };

static void single(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    bulk b;
    uint64_t done = 0;
    bulk_init(&b, 1, set.streams);
    double start = now_s(), end = start;
    for (; done < c->n && end - start < set.seconds; end = now_s())
        e->append(s, bulk_fill(&b, done++, 1), true);
    c->result[0] = (end - start) / (double)done * 1e6;
    e->session_end(s);
    e->close(db);
}

static void single_as(const engine *e, figure f)
{
    char path[PATH_SIZE];
    cell c;
    cell_init(&c, e, path);
    c.n = set.singles;
    cell_run(&c, single);
    figure_add(f, e, c.result[0]);
    remove_dir(path);
}

void work_single(const engine *e)
{
    single_as(e, F_W1);
}

void work_journal(const engine *e)
{
    const char *usual = set.dir;
    if (set.journaled == NULL)
        return;
    set.dir = set.journaled;
    single_as(e, F_W1_JOURNAL);
    set.dir = usual;
}

/* ---- threads ---------------------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    const engine *engine;
    void *session;
    uint64_t stream, done;
    /* appends on condition, for pairs of chance; NULL: without one */
    bool (*append_if)(void *session, const batch *);
    uint64_t chance;
    double seconds;
    atomic_bool *stop;
    pthread_barrier_t *start;
} worker;

/* Whether it was appended: another thread may have been before it. */
static bool append_one(worker *w, const batch *b, event *one)
{
    event_tags tags;
    if (w->append_if == NULL) {
        w->engine->append(w->session, b, true);
        return true;
    }
    uint64_t pairs = set.bulk / PAIR_EVENTS;
    pair_tags(random_next(&w->chance) % pairs, &tags);
    one->tags = tags.tags;
    one->tag_count = 2;
    return w->append_if(w->session, b);
}

static void *append_until_stopped(void *context)
{
    worker *w = context;
    char name[NAME_SIZE];
    event mark = {.stream = stream_name(w->stream, name)};
    pthread_barrier_wait(w->start);
    double start = now_s();
    while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
        event one = mark;
        mark.seq = one.seq = w->done + 1;
        one.data = payload(w->done);
        w->done += append_one(w, &(batch){&one, 1, &mark, 1}, &one);
    }
    w->seconds = now_s() - start;
    return NULL;
}

typedef bool (*append_if)(void *session, const batch *);

/* Where the bulk is loaded, the threads' streams are others than those, and
 * than those of the run before. */
static void threads_start(worker *workers, const cell *c, void *db,
                          append_if when, atomic_bool *stop,
                          pthread_barrier_t *start)
{
    uint64_t first = when == NULL                   ? 0
                     : when == c->engine->append_if ? set.streams
                                                    : 2 * set.streams;
    for (unsigned i = 0; i < set.threads; i++) {
        workers[i] = (worker){.engine = c->engine,
                              .session = c->engine->session(db),
                              .stream = first + i,
                              .append_if = when,
                              .chance = i,
                              .stop = stop,
                              .start = start};
        must(pthread_create(&workers[i].thread, NULL, append_until_stopped,
                            &workers[i]) == 0,
             "thread", NULL);
    }
}

/* result: total rate, and the slowest thread's part of the mean */
static void threads_end(cell *c, worker *workers)
{
    double total = 0, slowest = 1e18;
    for (unsigned i = 0; i < set.threads; i++) {
        worker *w = &workers[i];
        must(pthread_join(w->thread, NULL) == 0, "join", NULL);
        double rate = (double)w->done / w->seconds;
        total += rate;
        slowest = rate < slowest ? rate : slowest;
    }
    c->result[0] = total;
    c->result[1] = slowest / (total / set.threads);
}

static void threads_of(cell *c, append_if when)
{
    static worker workers[THREADS_MAX];
    const engine *e = c->engine;
    void *db = e->open(c->dir);
    atomic_bool stop = false;
    pthread_barrier_t start;
    char name[NAME_SIZE];
    must(set.threads <= THREADS_MAX, "threads", "too many");
    pthread_barrier_init(&start, NULL, set.threads + 1);
    threads_start(workers, c, db, when, &stop, &start);
    pthread_barrier_wait(&start);
    double begin = now_s();
    while (now_s() - begin < set.seconds)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&stop, true);
    threads_end(c, workers);
    for (unsigned i = 0; i < set.threads; i++) {
        sink got = {0};
        e->read(workers[i].session, stream_name(workers[i].stream, name), &got);
        must(got.count == workers[i].done, e->name, "events are missing");
        e->session_end(workers[i].session);
    }
    e->close(db);
}

static void threads(cell *c)
{
    threads_of(c, NULL);
}

void append_on_condition(cell *c)
{
    must(c->tagged, c->engine->name, "no tags");
    threads_of(c, c->engine->append_if);
}

void append_if_known(cell *c)
{
    must(c->tagged, c->engine->name, "no tags");
    threads_of(c, c->engine->append_if_known);
}

void work_threads(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e->limit)
        return;
    cell_init(&c, e, path);
    cell_run(&c, threads);
    figure_add(F_W5, e, c.result[0] / 1e3);
    figure_add(F_W5_SLOWEST, e, c.result[1]);
    remove_dir(path);
}

/* ---- a window --------------------------------------------------------- */

static void window(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    bulk b;
    uint64_t done = 0;
    bulk_init(&b, 1, set.streams);
    double start = now_s(), end;
    do {
        for (int i = 0; i < WINDOW; i++)
            e->append(s, bulk_fill(&b, done++, 1), false);
        e->sync(s);
        end = now_s();
    } while (end - start < set.seconds);
    c->result[0] = (double)done / (end - start);
    e->session_end(s);
    e->close(db);
}

void work_window(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e->sync == NULL)
        return;
    cell_init(&c, e, path);
    cell_run(&c, window);
    figure_add(F_W5B, e, c.result[0] / 1e3);
    remove_dir(path);
}
