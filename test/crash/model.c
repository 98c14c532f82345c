/* SPDX-License-Identifier: MIT */
/* The model: random commits and reads go to the memory backend and to the
 * disk backend, or to a session of it, with all its options drawn, which is
 * closed and opened at random moments. Both must agree on every answer, error,
 * number and order, in both views. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/clock.h"
#include "../lib/os_sim_disk.h"
#include "../lib/os_slow.h"
#include "../lib/pair.h"
#include "base/hash.h"

enum {
    CROWDED = 6,
    PATH_SIZE = 256,
    STEPS_MAX = 2000,
    WORD_MAX = 64,
    NAP_MAX = 500
};

static arguments args;
static uint64_t checks;

/* The steps of a run, by their numbers: each draws from its own. */
typedef struct script {
    unsigned steps[STEPS_MAX];
    unsigned count;
} script;

static const struct {
    unsigned weight;
    void (*run)(pair *);
} kinds[] = {
    {46, pair_do_commit},   {3, pair_do_blob},     {14, pair_do_read},
    {6, pair_do_info},      {2, pair_do_pages},    {2, pair_do_once},
    {2, pair_do_read_blob}, {5, pair_hold},        {7, pair_go_on},
    {4, pair_background},   {1, pair_do_position}, {2, pair_reopen},
    {1, pair_kill},         {2, pair_keep},        {2, pair_do_session},
    {1, pair_tidy}};

static void step(pair *p)
{
    uint64_t at = pair_draw(p, 100);
    size_t kind = 0;
    while (at >= kinds[kind].weight)
        at -= kinds[kind++].weight;
    CHECK(kind < sizeof kinds / sizeof *kinds);
    kinds[kind].run(p);
}

/* Runs steps; returns false when the two disagreed. */
static bool run(pair *p, uint64_t seed, const script *s)
{
    static char word[WORD_MAX];
    snprintf(word, sizeof word, "model --seed %llu", (unsigned long long)seed);
    last_word(word);
    pair_begin(p);
    for (unsigned i = 0; i < s->count && p->failed == NULL; i++) {
        uint64_t parts[2] = {seed, s->steps[i]};
        /* A step is what may be stuck: a disk can make all of them slow. */
        last_word(word);
        p->random = hash_xxh3(slice_of(parts, sizeof parts));
        step(p);
        pair_check_told(p);
    }
    pair_end(p);
    checks += p->checks;
    return p->failed == NULL;
}

static bool is_crowded(uint64_t seed)
{
    return seed % CROWDED == 1 || seed % (16 * 3) == 0;
}

/* From a table a commit to none at all; one of so many lives has a memtable of
 * more events and names than a cursor takes at once. */
static void choose_tables(pair *p, uint64_t seed)
{
    static const uint32_t sizes[] = {1, 300, 3000, 30000, 0};
    /* A real table takes a few real syncs. */
    uint64_t smallest = p->sim == NULL ? 2 : 0;
    p->options.memtable_size = sizes[smallest + seed / 4 % (5 - smallest)];
    p->options.merge_width = 2 + seed / 20 % 3;
    p->options.cache_size = 4096u << seed % 7;
    p->options.compress = seed % 8 < 4;
    p->options.unmapped = seed / 32 % 2 == 1;
    p->crowded = is_crowded(seed);
    if (p->crowded)
        p->options.memtable_size = 0;
    p->reads_pay = seed % 3 == 0 ? 1000 : 1;
}

/* On the real system, with its threads, in a new directory; every other time
 * its disk is slow. */
static bool run_real(uint64_t seed, const script *s)
{
    const char *folder = getenv("TMPDIR");
    char dir[PATH_SIZE], path[PATH_SIZE + 8], command[PATH_SIZE + 16];
    snprintf(dir, sizeof dir, "%s/persist-model-XXXXXX",
             folder == NULL ? "/tmp" : folder);
    if (mkdtemp(dir) == NULL)
        return false;
    snprintf(path, sizeof path, "%s/store", dir);
    os_slow slow = {NAP_MAX};
    os slow_table;
    os_slow_table(&slow, &slow_table);
    pair p = {.options = {PERSIST_OPTIONS, .path = path}};
    p.options.os = seed / 16 % 2 == 0 ? &slow_table : NULL;
    p.options.background = seed % 2 == 0;
    p.options.segment_size = seed % 3 == 0 ? 4096 : 65536;
    choose_tables(&p, seed);
    bool ok = run(&p, seed, s);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 && ok;
}

static bool run_simulated(uint64_t seed, const script *s, bool quiet)
{
    pair p = {
        .options = {PERSIST_OPTIONS}, .sim = os_sim_new(seed), .quiet = quiet};
    p.by_steps = seed / 3 % 2 == 0;
    p.aged = seed % 5 == 0;
    p.options.path = "store";
    p.options.segment_size = 4096u << seed % 5;
    p.options.os = os_sim_os(p.sim);
    choose_tables(&p, seed);
    os_sim_refuse_maps(p.sim, (unsigned)(seed / 2 % 4));
    bool ok = run(&p, seed, s);
    ok = ok && os_sim_open_files(p.sim) == 0;
    os_sim_free(p.sim);
    return ok;
}

/* Takes steps away, many at first, while the run goes on to fail. */
static void shrink(uint64_t seed, script *s)
{
    static script fewer;
    for (unsigned size = s->count / 2; size > 0; size /= 2)
        for (unsigned at = 0; at + size <= s->count;) {
            fewer.count = s->count - size;
            memcpy(fewer.steps, s->steps, at * sizeof *s->steps);
            memcpy(fewer.steps + at, s->steps + at + size,
                   (fewer.count - at) * sizeof *s->steps);
            if (run_simulated(seed, &fewer, true))
                at += size;
            else
                *s = fewer;
        }
}

static void report(uint64_t seed, script *s, bool real)
{
    if (!real && !args.first) {
        shrink(seed, s);
        puts("made shorter:");
        run_simulated(seed, s, false);
    }
    printf("replay%s: model --seed %llu --replay \"",
           real ? " (real threads: not to the letter)" : "",
           (unsigned long long)seed);
    for (unsigned i = 0; i < s->count; i++)
        printf("%s%u", i == 0 ? "" : " ", s->steps[i]);
    puts("\"");
}

static void read_script(script *s, const char *text)
{
    char *end;
    s->count = 0;
    while (s->count < STEPS_MAX) {
        unsigned long step = strtoul(text, &end, 10);
        if (end == text)
            return;
        s->steps[s->count++] = (unsigned)step;
        text = end;
    }
}

int main(int argc, char **argv)
{
    static script s;
    uint64_t failed = 0, runs = 0, steps = 0;
    args = arguments_read(argc, argv, 15);
    do {
        uint64_t seed = args.seed + runs++;
        bool real = seed % 16 == 0;
        s.count = 100 + (unsigned)(is_crowded(seed) ? 6 : seed % 7) * 300;
        for (unsigned i = 0; i < s.count; i++)
            s.steps[i] = i;
        if (args.replay != NULL)
            read_script(&s, args.replay);
        bool ok = real ? run_real(seed, &s) : run_simulated(seed, &s, false);
        if (!ok)
            report(seed, &s, real);
        failed += !ok;
        steps += s.count;
    } while (args.replay == NULL && seconds() < args.budget && failed == 0);
    printf("figure: %llu sequences of %llu ops, %llu answers compared, "
           "%.0f s\n",
           (unsigned long long)runs, (unsigned long long)steps,
           (unsigned long long)checks, seconds());
    return verdict(checks, failed);
}
