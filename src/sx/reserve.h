/* SPDX-License-Identifier: MIT */
/* How far an evaluation may fill the heap, so that the next one can still make
 * room in it.
 *
 * The heap's last two parts (see heap_part) are kept back. What lives when an
 * evaluation begins decides how far it may go:
 *
 *     0 ................................. free ... tight ... saving
 *                                              ^ max - 2    ^ max - 1   ^ max
 *
 * A free one ends below the reserve. One that would find less than a part
 * there is tight, and may use up the first part of the reserve. One that would
 * find less than a part there too is saving: it has the last part to work with,
 * but nothing new may hang on what was there before. So that part is there
 * again when it ends, however many there are of them. Whoever has made room is
 * raised at the next collection. */
#ifndef SX_RESERVE_H
#define SX_RESERVE_H

#include "sx/heap.h"

enum heap_level { HEAP_FREE, HEAP_TIGHT, HEAP_SAVING };

/* Gives a new heap its ceiling. */
void heap_open(sx *, size_t max);
/* Gives back what is kept for when the system has no memory. */
void heap_close(sx *);

/* An evaluation begins, or goes on behind a guard after memory was out. May
 * collect: between steps only. */
void heap_begin(sx *);
/* None runs: what is made now is no program's, and may use all there is. */
void heap_idle(sx *);
/* After a collection: gives an evaluation more rights if there is room. */
void heap_review(sx *);

/* The system gave no memory; what the allocator could spare is given back. */
void heap_starve(sx *);
/* Whether a table of the machine, which none can empty, may take as much. */
bool heap_may_grow(const sx *, size_t bytes);
/* Asked before C changes what programs can see: whether no evaluation runs, and
 * the part that one must find is begun. */
bool heap_idle_full(sx *);
/* Whether a step failed because nothing new may be kept, and nothing was
 * dropped that a collection could find. */
bool heap_was_refused(sx *);
/* Sets the error that says why memory is out, and what to do. */
void heap_why(const sx *, persist_error *);

#endif
