/* SPDX-License-Identifier: MIT */
/* A tournament (D. Knuth, The Art of Computer Programming 3, 5.4.1): the
 * players are the leaves, each node keeps who lost there, and one who has moved
 * on plays those on its way to the top again. As nothing goes before the
 * winner, whoever has its name has lost to one with the same name, and is
 * hidden by that. */
#include "engine/table/tournament.h"

#include "base/mem.h"

#define NOBODY UINT32_MAX

bool tournament_init(tournament *t, uint32_t count)
{
    *t = (tournament){0};
    CHECK(count < NOBODY / 2);
    t->players =
        mem_alloc(count * (sizeof *t->players + sizeof t->losers[0]) + 1);
    if (t->players == NULL)
        return false;
    t->losers = (uint32_t *)(t->players + count);
    t->count = count;
    for (uint32_t i = 0; i < count; i++)
        tournament_end(t, i);
    return true;
}

void tournament_release(tournament *t)
{
    mem_free(t->players);
    *t = (tournament){0};
}

static bool wins(tournament *t, uint32_t a, uint32_t b)
{
    tournament_player *x = &t->players[a], *y = &t->players[b];
    if (x->ended || y->ended)
        return y->ended;
    int sign = slice_compare(x->name, y->name);
    if (LIKELY(sign != 0))
        return (sign < 0) != t->back;
    (a < b ? y : x)->hidden = true;
    return a < b;
}

void tournament_play(tournament *t)
{
    uint32_t player = t->winner;
    CHECK(player < t->count);
    for (uint32_t node = (t->count + player) / 2; node > 0; node /= 2)
        if (wins(t, t->losers[node], player)) {
            uint32_t loser = player;
            player = t->losers[node];
            t->losers[node] = loser;
        }
    t->winner = player;
}

/* The first who comes to a node waits for the other one. */
static void play_first(tournament *t, uint32_t player)
{
    for (uint32_t node = (t->count + player) / 2; node > 0; node /= 2) {
        uint32_t other = t->losers[node];
        bool waits = other == NOBODY;
        bool lost = !waits && wins(t, other, player);
        if (waits || lost)
            t->losers[node] = player;
        if (waits)
            return;
        if (lost)
            player = other;
    }
    t->winner = player;
}

void tournament_begin(tournament *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->losers[i] = NOBODY;
    for (uint32_t i = 0; i < t->count; i++)
        play_first(t, i);
    CHECK(t->count == 0 || t->winner < t->count);
}
