/* SPDX-License-Identifier: MIT */
/* Merging sorted sources: whose name is the lowest (or, for who reads
 * backwards, the highest), found by a tournament.
 *
 * The sources are the players, the newest first. Of those at the same name the
 * newest wins, and the others are hidden until they move on. */
#ifndef ENGINE_TABLE_TOURNAMENT_H
#define ENGINE_TABLE_TOURNAMENT_H

#include "base/check.h"
#include "base/slice.h"

typedef struct tournament_player {
    slice name; /* that it stands at; must stay there until it moves on */
    bool ended;
    bool hidden; /* has lost to a newer one at the same name */
} tournament_player;

typedef struct tournament {
    tournament_player *players; /* owned */
    uint32_t *losers;           /* behind the players; by node, from 1 */
    uint32_t count, winner;
    bool back; /* the highest name wins; to be set before all play */
} tournament;

/* Sets up for so many players, who have all ended; false when memory is out.
 * Safe to release when zeroed. */
bool tournament_init(tournament *, uint32_t count);
void tournament_release(tournament *);

/* Says which name a player stands at from now on. */
static inline void tournament_set(tournament *t, uint32_t player, slice name)
{
    CHECK(player < t->count);
    t->players[player] = (tournament_player){.name = name};
}

/* Says that a player has ended. */
static inline void tournament_end(tournament *t, uint32_t player)
{
    CHECK(player < t->count);
    t->players[player] = (tournament_player){.ended = true};
}

/* Lets all play, once each stands at its first name. */
void tournament_begin(tournament *);

/* Lets the winner play again, who has moved on. */
void tournament_play(tournament *);

/* Tells whether all players have ended. */
static inline bool tournament_over(const tournament *t)
{
    return t->count == 0 || t->players[t->winner].ended;
}

#endif
