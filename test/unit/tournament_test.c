/* SPDX-License-Identifier: MIT */
/* A tournament gives what sorting gives, and hides what is older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "engine/table/tournament.h"

enum { PLAYERS_MAX = 9, NAMES = 40 };

/* Which names a player has, and which it stands at. */
typedef struct source {
    bool has[NAMES];
    unsigned at;
} source;

static char names[NAMES][3];

static void stand(tournament *t, source *sources, uint32_t player)
{
    source *s = &sources[player];
    while (s->at < NAMES && !s->has[s->at])
        s->at++;
    if (s->at == NAMES)
        tournament_end(t, player);
    else
        tournament_set(t, player, slice_str(names[s->at]));
}

/* Everything comes in order; of the same name the newest, not hidden, first. */
static void play_all(tournament *t, source *sources, uint32_t count)
{
    for (unsigned name = 0; name < NAMES; name++) {
        bool first = true;
        for (uint32_t i = 0; i < count; i++) {
            if (!sources[i].has[name])
                continue;
            assert_false(tournament_over(t));
            const tournament_player *winner = &t->players[t->winner];
            assert_true(slice_equal(winner->name, slice_str(names[name])));
            assert_true(winner->hidden == !first);
            assert_true(!first || t->winner == i);
            first = false;
            sources[t->winner].at++;
            stand(t, sources, t->winner);
            tournament_play(t);
        }
    }
    assert_true(tournament_over(t));
}

static void it_sorts(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "%02u", i % 100);
    for (unsigned round = 0; round < 2000; round++) {
        source sources[PLAYERS_MAX] = {0};
        tournament t;
        uint32_t count = round % (PLAYERS_MAX + 1);
        assert_true(tournament_init(&t, count));
        for (uint32_t i = 0; i < count; i++) {
            for (unsigned name = 0; name < NAMES; name++)
                sources[i].has[name] = sim_random(&random) % 3 == 0;
            stand(&t, sources, i);
        }
        tournament_begin(&t);
        play_all(&t, sources, count);
        tournament_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_sorts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
