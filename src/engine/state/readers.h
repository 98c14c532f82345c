/* SPDX-License-Identifier: MIT */
/* Who reads: the places where readers say which layers they use, so that nobody
 * takes them away.
 *
 * A reader writes its own place only, so readers do not slow each other down;
 * whoever replaces layers looks at all places first (M. Michael, "Hazard
 * pointers", 2004). The lock of the active memtable, many readers or one
 * writer, works the same way (D. Dice and A. Kogan, "BRAVO", 2019): a reader
 * says that it looks, and asks whether somebody changes. Who finds no place is
 * counted by the layers that he uses: thousands of cursors may be open, and
 * each is opened and closed without a look at the others. So is a snapshot that
 * is kept: it takes no place from those who read. */
#ifndef ENGINE_STATE_READERS_H
#define ENGINE_STATE_READERS_H

#include <pthread.h>

#include "engine/state/layers.h"

typedef struct read_place {
    _Atomic(layers *) layers; /* that it uses; NULL: the place is free */
    atomic_bool looks;        /* at the active memtable, just now */
    bool waited;              /* its own: it looks with `change` held */
    uint64_t wasted;          /* its own: not handed in yet, see credit.c */
} read_place;

typedef struct readers {
    _Atomic(layers *) current;
    union {
        read_place place;
        uint8_t room[READER_ROOM]; /* no two share a cache line */
    } places[READERS_MAX];
    atomic_uint used; /* places before it were ever taken */

    pthread_mutex_t change; /* held while the active memtable changes */
    atomic_bool changes;

    pthread_mutex_t lock; /* for all below */
    size_t more;          /* who found no place */
    size_t kept;          /* see readers_keep */
    layers *retired;      /* no longer current, perhaps still in use */
    uint64_t looked;      /* at layers and places: what that has cost */
} readers;

/* Returns a number of the calling thread, always the same, below READERS_MAX;
 * threads that begin one after the other have different ones. */
unsigned readers_thread(void);

/* Sets up without layers; releases, when nobody reads, the layers too. */
void readers_init(readers *);
void readers_release(readers *);

/* Makes layers, which are taken over, the current ones. The old ones are freed
 * when nobody uses them. By one thread at a time. */
void readers_set_layers(readers *, layers *);

/* Frees what was retired and is not used. */
void readers_sweep(readers *);

/* Returns a place that keeps the layers which are current then: *used. `own`
 * is the caller's, for when all places are taken; it stays where it is until
 * readers_leave. Never fails. */
read_place *readers_enter(readers *, read_place *own, layers **used);
void readers_leave(readers *, read_place *);

/* The same for layers that are kept. */
read_place *readers_enter_kept(readers *, read_place *own, layers *);

/* Counts those between the two. */
size_t readers_count(readers *);

/* Keeps the layers that are current then, for others to read in. The caller
 * holds commits up, so that they have all that was committed. */
layers *readers_keep(readers *);
void readers_unkeep(readers *, layers *);

/* Counts what is kept. */
size_t readers_count_kept(readers *);

/* Between the two nobody changes the active memtable, whichever it is. */
void readers_hold_up(readers *);
void readers_go_on(readers *);

/* Between the two nobody changes the active memtable, but others may look. */
void readers_look(readers *, read_place *);
void readers_look_end(readers *, read_place *);

/* Between the two nobody looks at it. */
void readers_change(readers *);
void readers_change_end(readers *);

#endif
