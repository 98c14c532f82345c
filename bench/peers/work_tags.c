/* SPDX-License-Identifier: MIT */
/* Q1, Q2, Q3: events with tags: how they are loaded, found, and appended on
 * condition that none came meanwhile. */
#include "bench.h"

#include <stdlib.h>

/* ---- what queries must give -------------------------------------------- */

/* The sums of all customers' events, and of all pairs'. */
typedef struct answers {
    sink *customers, *pairs;
} answers;

static answers answers_make(uint64_t count)
{
    answers a = {must_alloc(count / TAG_EVENTS * sizeof *a.customers),
                 must_alloc(count / PAIR_EVENTS * sizeof *a.pairs)};
    for (uint64_t i = 0; i < count; i++) {
        sink *to[] = {&a.customers[event_customer(i)], &a.pairs[event_pair(i)]};
        for (int k = 0; k < 2; k++) {
            to[k]->count++;
            to[k]->sum += sink_term(payload_words(i), i / set.streams + 1);
        }
    }
    return a;
}

static void answers_release(answers *a)
{
    free(a->customers);
    free(a->pairs);
}

/* ---- Q2 ---------------------------------------------------------------- */

/* Asks for a customer, or with pairs for one of its orders. */
static void ask(const engine *e, void *session, bool pairs, uint64_t number,
                sink *got)
{
    event_tags t;
    if (pairs)
        pair_tags(number, &t);
    else
        t.tags[0] = customer_tag(number, t.names[0]);
    e->query(session, t.tags, pairs ? 2 : 1, got);
}

/* Queries of chance, for a time; returns how many a second. */
static double ask_some(cell *c, void *session, bool pairs, const answers *a)
{
    sink got = {0}, expected = {0};
    uint64_t state = 1, done = 0;
    const sink *each = pairs ? a->pairs : a->customers;
    uint64_t count = c->n / (pairs ? PAIR_EVENTS : TAG_EVENTS);
    double start = now_s(), end;
    do {
        for (int i = 0; i < 64; i++, done++) {
            /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is one */
            uint64_t number = random_next(&state) % count;
            ask(c->engine, session, pairs, number, &got);
            expected.count += each[number].count;
            expected.sum += each[number].sum;
        }
        end = now_s();
    } while (end - start < set.seconds);
    must_match(c->engine->name, &got, &expected);
    return (double)done / (end - start);
}

/* All customers have all events: each was stored with its tag. */
static void check_all(cell *c, void *session)
{
    sink got = {0}, expected = bulk_expected(c->n, set.streams);
    for (uint64_t i = 0; i < c->n / TAG_EVENTS; i++)
        ask(c->engine, session, false, i, &got);
    must_match(c->engine->name, &got, &expected);
}

/* result: queries a second for one tag, and for two; the looks at all events
 * before give engines that tidy up for who reads the time to end that */
static void query(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    answers a = answers_make(c->n);
    check_all(c, s);
    check_all(c, s);
    c->result[0] = ask_some(c, s, false, &a);
    c->result[1] = ask_some(c, s, true, &a);
    answers_release(&a);
    e->session_end(s);
    e->close(db);
}

/* ---- all three --------------------------------------------------------- */

void work_tags(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e->query == NULL || e->slow)
        return;
    cell_init(&c, e, path);
    c.n = set.bulk;
    c.tagged = true;
    cell_run(&c, load_bulk);
    if (wanted("Q1"))
        figure_add(F_Q1, e, (double)set.bulk / c.result[1] / 1e3);
    if (wanted("Q2")) {
        cell_run(&c, query);
        figure_add(F_Q2, e, c.result[0] / 1e3);
        figure_add(F_Q2_TWO, e, c.result[1] / 1e3);
    }
    if (wanted("Q3")) {
        cell_run(&c, append_on_condition);
        figure_add(F_Q3, e, c.result[0] / 1e3);
    }
    if (wanted("Q3") && e->append_if_known != NULL) {
        cell_run(&c, append_if_known);
        figure_add(F_Q3_KNOWN, e, c.result[0] / 1e3);
    }
    remove_dir(path);
}
