/* SPDX-License-Identifier: MIT */
/* W2, W3, W6, W7 and part of W10: a million events over a hundred streams, how
 * they are read back, and what a kill in the middle costs. */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>

void load_bulk(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    bulk b;
    bulk_init(&b, set.per_commit, set.streams);
    if (c->tagged)
        bulk_tag(&b);
    for (uint64_t done = 0; done < c->n; done += set.per_commit) {
        const batch *commit = bulk_fill(&b, done, set.per_commit);
        double start = now_s();
        e->append(s, commit, true);
        c->result[1] += now_s() - start;
        c->result[0]++;
    }
    bulk_release(&b);
    e->session_end(s);
    e->close(db);
}

static sink read_streams(const engine *e, void *session)
{
    char name[NAME_SIZE];
    sink got = {0};
    for (uint64_t i = 0; i < set.streams; i++)
        e->read(session, stream_name(i, name), &got);
    return got;
}

/* result[0]: seconds for all events, the best of several times: engines that
 * still tidy up after the load get the time to end that */
static void read_warm(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    sink expected = bulk_expected(c->n, set.streams);
    (void)read_streams(e, s);
    double begin = now_s();
    c->result[0] = 1e9;
    while (now_s() - begin < set.seconds) {
        double start = now_s();
        sink got = read_streams(e, s);
        double took = now_s() - start;
        c->result[0] = took < c->result[0] ? took : c->result[0];
        must_match(e->name, &got, &expected);
    }
    e->session_end(s);
    e->close(db);
}

/* What the last count events of each stream must give. */
static void last_expected(uint64_t events, unsigned count, sink *out)
{
    for (uint64_t stream = 0; stream < set.streams; stream++) {
        uint64_t end = events / set.streams;
        out[stream] = (sink){.count = count};
        for (uint64_t seq = end - count + 1; seq <= end; seq++)
            out[stream].sum +=
                sink_term(payload_words((seq - 1) * set.streams + stream), seq);
    }
}

/* Reads a second of the clock seldom; returns reads a second. */
static double read_last(cell *c, void *session, unsigned count)
{
    char(*names)[NAME_SIZE] = must_alloc(set.streams * sizeof *names);
    sink *each = must_alloc(set.streams * sizeof *each);
    sink got = {0}, expected = {0};
    uint64_t state = 1, done = 0;
    last_expected(c->n, count, each);
    for (uint64_t i = 0; i < set.streams; i++)
        stream_name(i, names[i]);
    double start = now_s(), end;
    do {
        for (int i = 0; i < 256; i++, done++) {
            size_t stream = (size_t)(random_next(&state) % set.streams);
            slice name = {names[stream], strlen(names[stream])};
            c->engine->read_last(session, name, count, &got);
            expected.count += each[stream].count;
            expected.sum += each[stream].sum;
        }
        end = now_s();
    } while (end - start < set.seconds / 2);
    must_match(c->engine->name, &got, &expected);
    free(names);
    free(each);
    return (double)done / (end - start);
}

typedef struct reader {
    cell *cell;
    void *session;
    double rate;
} reader;

static void *read_last_ten(void *context)
{
    reader *r = context;
    r->rate = read_last(r->cell, r->session, 10);
    return NULL;
}

/* Reads a second of the last ten events by two threads together. */
static double read_by_two(cell *c, void *db, void *session)
{
    pthread_t thread;
    reader other = {c, c->engine->session(db), 0}, own = {c, session, 0};
    must(pthread_create(&thread, NULL, read_last_ten, &other) == 0, "thread",
         NULL);
    (void)read_last_ten(&own);
    must(pthread_join(thread, NULL) == 0, "join", NULL);
    c->engine->session_end(other.session);
    return own.rate + other.rate;
}

/* result: reads a second of the last ten events, of the last one, and of the
 * last ten by two threads */
static void read_ends(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    (void)read_streams(e, s);
    c->result[0] = read_last(c, s, 10);
    c->result[1] = read_last(c, s, 1);
    c->result[2] = read_by_two(c, db, s);
    e->session_end(s);
    e->close(db);
}

/* result[0]: seconds to open, read one stream, close */
static void read_cold(cell *c)
{
    const engine *e = c->engine;
    char name[NAME_SIZE];
    sink got = {0};
    double start = now_s();
    void *db = e->open(c->dir), *s = e->session(db);
    e->read(s, stream_name(42, name), &got);
    e->session_end(s);
    e->close(db);
    c->result[0] = now_s() - start;
    must(got.count == c->n / set.streams, e->name, "events are missing");
}

/* result[0]: seconds for all events in commit order, the second time */
static void read_ordered(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    sink expected = bulk_expected(c->n, set.streams), got = {0};
    e->read_all(s, &got);
    must_match(e->name, &got, &expected);
    double start = now_s();
    e->read_all(s, &got);
    c->result[0] = now_s() - start;
    e->session_end(s);
    e->close(db);
}

/* Adds a figure that is there with and without compression: ours has one of
 * each, a peer is as it is. */
static void add_both(figure plain, figure packed, const engine *e, double value)
{
    if (!e->packs)
        figure_add(plain, e, value);
    if (e->packs)
        figure_add(packed, &engine_ours, value);
    else if (e != &engine_ours && !e->limit)
        figure_add(packed, e, value);
}

static void measure_reads(cell *c)
{
    const engine *e = c->engine;
    double events = (double)set.bulk;
    if (wanted("W3")) {
        cell_run(c, read_warm);
        add_both(F_W3, F_W3_PACKED, e, events / c->result[0] / 1e6);
    }
    if (e->limit || e->packs || e->few)
        return;
    if (wanted("W3b")) {
        cell_run(c, read_ends);
        figure_add(F_W3B, e, c->result[0] / 1e6);
        figure_add(F_W3B1, e, c->result[1] / 1e6);
        figure_add(F_W3B_TWO, e, c->result[2] / 1e6);
    }
    if (wanted("W3c")) {
        cell_run(c, read_cold); /* leaves the files in the page cache */
        cell_run(c, read_cold);
        figure_add(F_W3C, e, c->result[0] * 1e3);
        dir_uncache(c->dir);
        cell_run(c, read_cold);
        figure_add(F_W3C_DISK, e, c->result[0] * 1e3);
    }
    if (wanted("W3d") && e->read_all != NULL) {
        cell_run(c, read_ordered);
        figure_add(F_W3D, e, events / c->result[0] / 1e6);
    }
}

void work_bulk(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    double bytes = payload_bytes(set.bulk);
    cell_init(&c, e, path);
    c.n = set.bulk;
    cell_run(&c, load_bulk);
    if (wanted("W2"))
        add_both(F_W2, F_W2_PACKED, e, (double)set.bulk / c.result[1] / 1e3);
    if (!e->limit && wanted("W7")) {
        add_both(F_W7_WRITTEN, F_W7_WRITTEN_PACKED, e, c.written / bytes);
        add_both(F_W7_KEPT, F_W7_KEPT_PACKED, e, dir_bytes(path) / bytes);
    }
    if (!e->limit && !e->packs && wanted("W10"))
        figure_add(F_W10_W2, e, c.anonymous_mb);
    measure_reads(&c);
    remove_dir(path);
}

/* ---- W6 --------------------------------------------------------------- */

/* In: result[0] commits that were acknowledged. Out: result[1] seconds to
 * open and read one event. All that was acknowledged must be there. */
static void reopen(cell *c)
{
    const engine *e = c->engine;
    char name[NAME_SIZE];
    sink one = {0};
    double start = now_s();
    void *db = e->open(c->dir), *s = e->session(db);
    e->read_last(s, stream_name(0, name), 1, &one);
    c->result[1] = now_s() - start;
    sink got = read_streams(e, s);
    must(got.count >= c->result[0] * (double)set.per_commit, e->name,
         "lost what it had acknowledged");
    must(got.count % set.per_commit == 0, e->name, "kept half a commit");
    sink expected = bulk_expected(got.count, set.streams);
    must_match(e->name, &got, &expected);
    e->session_end(s);
    e->close(db);
}

void work_crash(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e->limit)
        return;
    cell_init(&c, e, path);
    c.n = set.bulk;
    cell_kill(&c, load_bulk, (double)set.bulk / (double)set.per_commit / 2);
    cell_run(&c, reopen);
    figure_add(F_W6, e, c.result[1] * 1e3);
    remove_dir(path);
}
