/* SPDX-License-Identifier: MIT */
/* A process is killed when it has renamed a manifest and not synced the name
 * yet; the next one opens the store, and then the power goes: of the two names
 * either may be lost, and what was acknowledged is there all the same. */
#include <string.h>

#include "fixture.h"

static uint32_t table_size; /* 0: all stays in the log; 1: nothing does */
static int acknowledged;    /* events */

static fixture over(os_sim *sim)
{
    return (fixture){
        .sim = sim, .segment_size = 4096, .memtable_size = table_size};
}

static void append(fixture *f)
{
    fixture_append(f, "s", "d");
    fixture_wait(f);
    acknowledged++;
}

/* The life of a store: made, in use, with tables or in the log alone, closed,
 * in use again. */
static void live(fixture *f)
{
    for (int i = 0; i < 2; i++)
        append(f);
    fixture_close(f);
    fixture_reopen(f);
    append(f);
    fixture_close(f);
}

/* ---- the first process ------------------------------------------------ */

typedef struct stop {
    unsigned left;  /* calls that follow a rename, up to the one meant */
    bool renamed;   /* the call before was one */
    os_sim *killed; /* NULL: not there yet */
    int acknowledged;
} stop;

static void look_for_stop(void *context, const os_sim *sim, sim_call call)
{
    stop *s = context;
    if (s->renamed && s->killed == NULL && --s->left == 0) {
        s->killed = os_sim_kill(sim);
        s->acknowledged = acknowledged;
    }
    s->renamed = call == SIM_RENAME;
}

/* ---- the power goes --------------------------------------------------- */

static unsigned crashes, stops;

/* A store with all that was acknowledged, though its process does not know. */
static void check_crash(const os_sim *sim, sim_plan plan)
{
    fixture f = over(os_sim_crash(sim, &plan));
    crashes++;
    if (fixture_open(&f) != PERSIST_OK)
        fail_msg("stop %u, keep %d, unit %d: %s", stops, plan.keep,
                 (int)plan.unit, f.error.message);
    int count = (int)fixture_info(&f, "s").count;
    if (count < acknowledged)
        fail_msg("stop %u: %d events of %d", stops, count, acknowledged);
    fixture_end(&f);
}

static void crash(void *context, const os_sim *sim, sim_call call)
{
    (void)context;
    (void)call;
    static const sim_keep whole[] = {SIM_KEEP_NONE, SIM_KEEP_ALL,
                                     SIM_KEEP_FILES, SIM_KEEP_NAMES};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        check_crash(sim, (sim_plan){.keep = whole[i]});
    for (size_t unit = 0; unit < os_sim_units(sim); unit++) {
        check_crash(sim, (sim_plan){.keep = SIM_KEEP_ONE, .unit = unit});
        check_crash(sim, (sim_plan){.keep = SIM_KEEP_BUT, .unit = unit});
    }
}

/* ---- all stops -------------------------------------------------------- */

/* Returns whether there is such a stop. */
static bool run_stop(unsigned nth)
{
    stop s = {.left = nth};
    fixture f = over(os_sim_new(1));
    acknowledged = 0;
    os_sim_watch(f.sim, look_for_stop, &s);
    fixture_reopen(&f);
    live(&f);
    fixture_end(&f);
    if (s.killed == NULL)
        return false;
    stops++;
    acknowledged = s.acknowledged;
    f = over(s.killed);
    os_sim_watch(f.sim, crash, NULL);
    fixture_reopen(&f);
    append(&f);
    os_sim_watch(f.sim, NULL, NULL);
    fixture_end(&f);
    return true;
}

static void neither_name_is_needed_alone(void **state)
{
    (void)state;
    for (table_size = 0; table_size < 2; table_size++)
        for (unsigned nth = 1; run_stop(nth); nth++)
            ;
    assert_true(stops > 10 && crashes > 1000);
    printf("figure: %u crashes after a kill at %u renames\n", crashes, stops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neither_name_is_needed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
