/* SPDX-License-Identifier: MIT */
/* Crash states: stops at every call of short and long workloads, opens every
 * state that a crash there may leave, and checks the promise on it. */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/clock.h"
#include "../lib/explore.h"
#include "../lib/os_sim_disk.h"

enum {
    SEGMENT_SIZE = 4096,
    SEGMENT_SIZE_GROWN = 96 << 10,
    GROWN_OPS = 8, /* they fill the log past 2^16 bytes */
    LONG_MAX = 48,
    REPLAY_MAX = 512,
    TEXT_MAX = REPLAY_MAX * 32,
    VIOLATIONS_MAX = 3,
    PROGRESS_SECONDS = 60,
};

static explorer x;
static arguments args;

/* The share of the time in which sequences of three are drawn. */
static const double three_share = 0.6;

static const char *describe(const op *ops, size_t count)
{
    static buf text;
    buf_clear(&text);
    buf_reserve(&text, TEXT_MAX); /* last_word keeps the place */
    buf_printf(&text,
               "--seed %llu%s%s%s --memtable %u --segment %u --replay \"",
               (unsigned long long)x.seed, x.wait_each ? " --wait-each" : "",
               x.aged ? " --aged" : "", x.by_steps ? " --by-steps" : "",
               x.memtable_size, x.segment_size);
    ops_print(ops, count, &text);
    buf_put_str(&text, "\"");
    buf_put_byte(&text, '\0');
    return (const char *)text.data;
}

static void report(const op *ops, size_t count)
{
    op shortest[REPLAY_MAX];
    memcpy(shortest, ops, count * sizeof *ops);
    if (count > 1 && !args.first)
        count = explore_shrink(&x, shortest, count);
    printf("VIOLATION\n%.*sreplay: crash_states %s\n", (int)x.report.size,
           (const char *)x.report.data, describe(shortest, count));
}

/* By default all stays in the log; with one byte every commit becomes a table,
 * which is merged with those before it. */
static const uint32_t memtable_sizes[] = {1, 600, 0, 3000};

static void progress(void)
{
    static double next = PROGRESS_SECONDS;
    if (args.budget < 2 * PROGRESS_SECONDS || seconds() < next)
        return;
    next = seconds() + PROGRESS_SECONDS;
    fprintf(stderr, "%.0f of %.0f s: %llu unique states, violations %llu\n",
            seconds(), args.budget, (unsigned long long)x.unique,
            (unsigned long long)x.violations);
}

static bool may_go_on(void)
{
    uint64_t most = args.first ? 1 : VIOLATIONS_MAX;
    return x.violations < most && seconds() < args.budget;
}

/* Returns false when no more sequences should be run. */
static bool run(const op *ops, size_t count, size_t watch_from)
{
    last_word(describe(ops, count));
    if (!explore_run(&x, ops, count, watch_from))
        report(ops, count);
    progress();
    return may_go_on();
}

/* Runs sequences whose crash states are those of their last op: the others
 * belong to shorter sequences. */
static bool run_modes(const op *ops, size_t count)
{
    static const struct {
        bool wait_each, by_steps;
        uint32_t memtable_size;
    } modes[] = {{false, false, 0},
                 {true, false, 0},
                 {false, false, 1},
                 {true, false, 1},
                 {false, true, 1}};
    for (size_t mode = 0; mode < sizeof modes / sizeof *modes; mode++) {
        x.wait_each = modes[mode].wait_each;
        x.by_steps = modes[mode].by_steps;
        x.memtable_size = modes[mode].memtable_size;
        if (!run(ops, count, count == 0 ? 0 : count - 1))
            return false;
    }
    return true;
}

/* Sequences are shared out among the processes that run at once. */
static bool is_mine(uint64_t sequence)
{
    return sequence % args.parts == args.part;
}

static bool all_short(void)
{
    op ops[2] = {0};
    if (is_mine(0) && !run_modes(ops, 0))
        return false;
    for (uint64_t i = 0; i < OP_KINDS; i++) {
        ops[0] = (op){(op_kind)i, 0};
        if (is_mine(i) && !run_modes(ops, 1))
            return false;
    }
    for (uint64_t i = 0; i < (uint64_t)OP_KINDS * OP_KINDS; i++) {
        ops[0] = (op){(op_kind)(i / OP_KINDS), 0};
        ops[1] = (op){(op_kind)(i % OP_KINDS), i % 2};
        if (is_mine(i / OP_KINDS + i) && !run_modes(ops, 2))
            return false;
    }
    return true;
}

/* All sequences of three, in an order drawn from the seed. Returns how many
 * were run. */
static uint64_t threes(double until)
{
    uint64_t all = (uint64_t)OP_KINDS * OP_KINDS * OP_KINDS, random = x.seed;
    uint64_t start = sim_random(&random), step = 7919, done = 0;
    for (uint64_t n = 0; n < all && seconds() < until; n++) {
        uint64_t i = (start % all + n * step) % all;
        const op ops[3] = {
            {(op_kind)(i / OP_KINDS / OP_KINDS), 0},
            {(op_kind)(i / OP_KINDS % OP_KINDS), (unsigned)(i % 2)},
            {(op_kind)(i % OP_KINDS), (unsigned)(i / 2 % 2)}};
        if (!is_mine(n))
            continue;
        if (!run_modes(ops, 3))
            break;
        done++;
    }
    return done;
}

/* Draws one: of eight, one goes on where the log has grown past 2^16 bytes,
 * and one where files are numbered from 2^32 on. */
static bool run_long(uint64_t number, uint64_t *random)
{
    op ops[GROWN_OPS + LONG_MAX];
    size_t grown = number % 8 == 3 ? GROWN_OPS : 0, count = grown;
    for (unsigned i = 0; i < grown; i++)
        ops[i] = (op){OP_APPEND_HUGE, i};
    count += 4 + sim_random(random) % (LONG_MAX - 4);
    for (size_t i = grown; i < count; i++)
        ops[i] = op_random(random);
    x.segment_size = grown > 0 ? SEGMENT_SIZE_GROWN : SEGMENT_SIZE;
    x.aged = number % 8 == 6;
    x.wait_each = sim_random(random) % 4 == 0;
    x.by_steps = sim_random(random) % 2 == 0;
    x.memtable_size = grown > 0 ? 0 : memtable_sizes[sim_random(random) % 4];
    return run(ops, count, grown);
}

static uint64_t long_ones(void)
{
    uint64_t random = x.seed ^ 0x5eed ^ ((uint64_t)args.part << 32), done = 0;
    for (bool more = true; more; done++)
        more = run_long(done, &random);
    return done;
}

static void replay(void)
{
    static op ops[REPLAY_MAX];
    size_t count = ops_parse(args.replay, ops, REPLAY_MAX);
    last_word(describe(ops, count));
    if (!explore_run(&x, ops, count, 0))
        printf("VIOLATION\n%.*s", (int)x.report.size,
               (const char *)x.report.data);
}

int main(int argc, char **argv)
{
    args = arguments_read(argc, argv, 45);
    x.seed = args.seed;
    x.segment_size = args.segment == 0 ? SEGMENT_SIZE : args.segment;
    x.aged = args.aged;
    x.by_steps = args.by_steps;
    x.random_plans = 4;
    x.wait_each = args.wait_each;
    x.memtable_size = args.memtable;
    uint64_t three = 0, random = 0;
    bool whole = false;
    if (args.replay != NULL) {
        replay();
    } else {
        if (arguments_want(&args, "short"))
            whole = all_short();
        if (arguments_want(&args, "three") && may_go_on())
            three = threes(seconds() + (args.budget - seconds()) * three_share);
        if (arguments_want(&args, "long") && may_go_on())
            random = long_ones();
    }
    printf("figure: %llu crash points, %llu states built, %llu unique states "
           "opened, %llu crashed again in recovery, %llu written on, %llu "
           "verified; violations %llu; %.0f s\n",
           (unsigned long long)x.points, (unsigned long long)x.images,
           (unsigned long long)x.unique, (unsigned long long)x.nested,
           (unsigned long long)x.continued, (unsigned long long)x.verified,
           (unsigned long long)x.violations, seconds());
    printf("figure: %llu stores damaged, %llu of them refused, the others "
           "read right\n",
           (unsigned long long)x.rotten, (unsigned long long)x.rot_refused);
    printf("figure: part %u of %u: %s of 1 and 2 of %d ops, %llu of %d of "
           "three, %llu long ones\n",
           args.part + 1, args.parts, whole ? "all sequences" : "NOT ALL",
           OP_KINDS, (unsigned long long)three, OP_KINDS * OP_KINDS * OP_KINDS,
           (unsigned long long)random);
    int code = verdict(x.checks, x.violations);
    explore_release(&x);
    return code;
}
