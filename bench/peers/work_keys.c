/* SPDX-License-Identifier: MIT */
/* W4 and the rest of W10: keys and values. */
#include "bench.h"

#include <stdlib.h>

typedef struct keys {
    pair *pairs;
    char (*names)[NAME_SIZE];
} keys;

static keys keys_make(size_t capacity)
{
    return (keys){must_alloc(capacity * sizeof(pair)),
                  must_alloc(capacity * NAME_SIZE)};
}

/* Puts number first to first + count - 1 of all, in an order of chance. */
static void keys_fill(keys *k, uint64_t first, size_t count, uint64_t all)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t key = shuffled(first + i, all);
        k->pairs[i] = (pair){key_name(key, k->names[i]), payload(key)};
    }
}

/* result[0]: microseconds a durable put */
static void put_single(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    keys k = keys_make(1);
    uint64_t done = 0;
    double start = now_s(), end = start;
    for (; done < c->n && end - start < set.seconds; end = now_s()) {
        keys_fill(&k, done++, 1, c->n);
        e->put(s, k.pairs, 1);
    }
    c->result[0] = (end - start) / (double)done * 1e6;
    e->session_end(s);
    e->close(db);
}

static double put_all(const engine *e, void *session, uint64_t count)
{
    keys k = keys_make(set.per_commit);
    double seconds = 0;
    for (uint64_t i = 0; i < count; i += set.per_commit) {
        keys_fill(&k, i, set.per_commit, count);
        double start = now_s();
        e->put(session, k.pairs, set.per_commit);
        seconds += now_s() - start;
    }
    free(k.pairs);
    free(k.names);
    return seconds;
}

/* Random gets a second: the best quarter of the time. */
static double get_some(cell *c, void *session)
{
    sink got = {0}, expected = {0};
    uint64_t state = 1, before = 0;
    char name[NAME_SIZE];
    double begin = now_s(), start = begin, now, best = 0;
    do {
        for (int i = 0; i < 256; i++) {
            uint64_t key = random_next(&state) % c->n;
            c->engine->get(session, key_name(key, name), &got);
            expected.count++;
            expected.sum += payload_words(key);
        }
        now = now_s();
        if (now - start < set.seconds / 4)
            continue;
        double rate = (double)(got.count - before) / (now - start);
        best = rate > best ? rate : best;
        before = got.count;
        start = now;
    } while (now - begin < set.seconds);
    must_match(c->engine->name, &got, &expected);
    return best;
}

/* Seconds for all in order: the best of the passes. */
static double scan_some(cell *c, void *session)
{
    sink expected = {.count = c->n};
    for (uint64_t i = 0; i < c->n; i++)
        expected.sum += payload_words(i);
    double begin = now_s(), best = 1e9;
    do {
        sink got = {0};
        double start = now_s();
        c->engine->scan(session, &got);
        double took = now_s() - start;
        best = took < best ? took : best;
        must_match(c->engine->name, &got, &expected);
    } while (now_s() - begin < set.seconds);
    return best;
}

/* result: puts/s, gets/s, seconds for all in order; engines that still tidy up
 * after the load get the time to end that */
static void put_many(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    c->result[0] = (double)c->n / put_all(e, s, c->n);
    if (!e->limit) {
        (void)scan_some(c, s);
        (void)get_some(c, s);
        c->result[1] = get_some(c, s);
        c->result[2] = scan_some(c, s);
    }
    e->session_end(s);
    e->close(db);
}

void work_keys(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    cell_init(&c, e, path);
    if (wanted("W4")) {
        c.n = set.singles;
        cell_run(&c, put_single);
        figure_add(F_W4, e, c.result[0]);
        remove_dir(path);
    }
    if (e->slow)
        return;
    c.n = set.bulk;
    cell_run(&c, put_many);
    if (wanted("W4"))
        figure_add(F_W4_PUTS, e, c.result[0] / 1e3);
    if (wanted("W4") && !e->limit) {
        figure_add(F_W4_GETS, e, c.result[1] / 1e3);
        figure_add(F_W4_SCAN, e, (double)set.bulk / c.result[2] / 1e6);
    }
    if (wanted("W10") && !e->limit)
        figure_add(F_W10_W4, e, c.anonymous_mb);
    remove_dir(path);
}

/* ---- many streams, many keys ------------------------------------------ */

static void fill_many(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    bulk b;
    bulk_init(&b, set.per_commit, set.many_streams);
    for (uint64_t i = 0; i < set.many_streams; i += set.per_commit)
        e->append(s, bulk_fill(&b, i, set.per_commit), true);
    bulk_release(&b);
    (void)put_all(e, s, set.many_keys);
    e->session_end(s);
    e->close(db);
}

void work_many(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e->limit || (e != engines[OURS] && !set.many_peers))
        return;
    cell_init(&c, e, path);
    cell_run(&c, fill_many);
    figure_add(F_W10_MANY, e, c.anonymous_mb);
    remove_dir(path);
}
