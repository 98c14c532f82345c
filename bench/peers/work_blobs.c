/* SPDX-License-Identifier: MIT */
/* W8: blobs one by one, each durable, then the same ones again. */
#include "bench.h"

#include <stdlib.h>

static const size_t small_size = 64 << 10, big_size = 5 << 20;

static double megabytes_a_second(const engine *e, void *session, void *memory,
                                 size_t size, uint64_t count, uint64_t seed)
{
    double seconds = 0;
    for (uint64_t i = 0; i < count; i++) {
        random_fill(memory, size, seed + i);
        double start = now_s();
        e->put_blob(session, (slice){memory, size});
        seconds += now_s() - start;
    }
    return (double)(count * size) / 1e6 / seconds;
}

static void blobs(cell *c)
{
    const engine *e = c->engine;
    void *db = e->open(c->dir), *s = e->session(db);
    void *memory = must_alloc(big_size);
    uint64_t small_count = c->n, big_count = c->n < 50 ? 2 : c->n / 25;
    c->result[0] = megabytes_a_second(e, s, memory, small_size, small_count, 1);
    c->result[1] =
        megabytes_a_second(e, s, memory, big_size, big_count, 1000000);
    c->result[2] =
        megabytes_a_second(e, s, memory, big_size, big_count, 1000000);
    free(memory);
    e->session_end(s);
    e->close(db);
}

void work_blobs(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    cell_init(&c, e, path);
    c.n = set.blobs;
    cell_run(&c, blobs);
    figure_add(F_W8_SMALL, e, c.result[0]);
    figure_add(F_W8_BIG, e, c.result[1]);
    figure_add(F_W8_AGAIN, e, c.result[2]);
    remove_dir(path);
}
