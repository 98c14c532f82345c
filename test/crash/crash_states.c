/* SPDX-License-Identifier: MIT */
/* Crash states: stops at every call of short and long workloads, opens every
 * state that a crash there may leave, and checks the promise on it. */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/bugs.h"
#include "../lib/clock.h"
#include "../lib/explore.h"
#include "../lib/os_sim_disk.h"

enum {
    SEGMENT_SIZE = 4096,
    LONG_MAX = 48,
    REPLAY_MAX = 512,
    TEXT_MAX = REPLAY_MAX * 32,
    VIOLATIONS_MAX = 3,
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
    buf_printf(&text, "--seed %llu%s --memtable %u --replay \"",
               (unsigned long long)x.seed, x.wait_each ? " --wait-each" : "",
               x.memtable_size);
    ops_print(ops, count, &text);
    buf_put_str(&text, "\"");
    buf_put_byte(&text, '\0');
    return (const char *)text.data;
}

static void report(const op *ops, size_t count)
{
    op shortest[REPLAY_MAX];
    memcpy(shortest, ops, count * sizeof *ops);
    if (count > 1 && args.bug == NULL)
        count = explore_shrink(&x, shortest, count);
    printf("VIOLATION\n%.*sreplay: crash_states %s\n", (int)x.report.size,
           (const char *)x.report.data, describe(shortest, count));
}

/* By default all stays in the log; with one byte every commit becomes a table,
 * which is merged with those before it. */
static const uint32_t memtable_sizes[] = {1, 600, 0};

/* Returns false when no more sequences should be run. */
static bool run(const op *ops, size_t count, size_t watch_from)
{
    last_word(describe(ops, count));
    if (!explore_run(&x, ops, count, watch_from))
        report(ops, count);
    uint64_t most = args.bug == NULL ? VIOLATIONS_MAX : 1;
    return x.violations < most && seconds() < args.budget;
}

/* Runs sequences whose crash states are those of their last op: the others
 * belong to shorter sequences. */
static bool run_both(const op *ops, size_t count)
{
    for (int mode = 0; mode < 4; mode++) {
        x.wait_each = mode % 2 != 0;
        x.memtable_size = mode / 2 != 0 ? 1 : 0;
        if (!run(ops, count, count == 0 ? 0 : count - 1))
            return false;
    }
    return true;
}

static bool all_short(void)
{
    op ops[2] = {0};
    if (!run_both(ops, 0))
        return false;
    for (int i = 0; i < OP_KINDS; i++) {
        ops[0] = (op){(op_kind)i, 0};
        if (!run_both(ops, 1))
            return false;
    }
    for (int i = 0; i < OP_KINDS * OP_KINDS; i++) {
        ops[0] = (op){(op_kind)(i / OP_KINDS), 0};
        ops[1] = (op){(op_kind)(i % OP_KINDS), i % 2};
        if (!run_both(ops, 2))
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
    for (; done < all && seconds() < until; done++) {
        uint64_t i = (start % all + done * step) % all;
        const op ops[3] = {
            {(op_kind)(i / OP_KINDS / OP_KINDS), 0},
            {(op_kind)(i / OP_KINDS % OP_KINDS), (unsigned)(i % 2)},
            {(op_kind)(i % OP_KINDS), (unsigned)(i / 2 % 2)}};
        if (!run_both(ops, 3))
            break;
    }
    return done;
}

static uint64_t long_ones(void)
{
    uint64_t random = x.seed ^ 0x5eed, done = 0;
    for (bool more = x.violations == 0; more && seconds() < args.budget;
         done++) {
        op ops[LONG_MAX];
        size_t count = 4 + sim_random(&random) % (LONG_MAX - 4);
        for (size_t i = 0; i < count; i++)
            ops[i] = op_random(&random);
        x.wait_each = sim_random(&random) % 4 == 0;
        x.memtable_size = memtable_sizes[done % 3];
        more = run(ops, count, 0);
    }
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
    x.segment_size = SEGMENT_SIZE;
    if (!bugs_set(&x, args.bug)) {
        bugs_list();
        return 2;
    }
    x.random_plans = 4;
    x.wait_each = args.wait_each;
    x.memtable_size = args.memtable;
    uint64_t three = 0, random = 0;
    bool whole = false;
    if (args.replay != NULL) {
        replay();
    } else if ((whole = all_short())) {
        three = threes(seconds() + (args.budget - seconds()) * three_share);
        random = long_ones();
    }
    printf("figure: %llu crash points, %llu states built, %llu unique states "
           "opened, %llu crashed again in recovery, %llu written on; "
           "violations %llu; %.0f s\n",
           (unsigned long long)x.points, (unsigned long long)x.images,
           (unsigned long long)x.unique, (unsigned long long)x.nested,
           (unsigned long long)x.continued, (unsigned long long)x.violations,
           seconds());
    printf("figure: %llu stores damaged, %llu of them refused, the others "
           "read right\n",
           (unsigned long long)x.rotten, (unsigned long long)x.rot_refused);
    printf("figure: %s of 1 and 2 of %d ops, %llu of %d of three, %llu long "
           "ones\n",
           whole ? "all sequences" : "not all sequences", OP_KINDS,
           (unsigned long long)three, OP_KINDS * OP_KINDS * OP_KINDS,
           (unsigned long long)random);
    int code = verdict(x.checks, x.violations);
    explore_release(&x);
    return code;
}
