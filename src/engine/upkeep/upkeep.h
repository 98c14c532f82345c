/* SPDX-License-Identifier: MIT */
/* Upkeep: flushing memtables, merging tables, and deleting what they replaced.
 */
#ifndef ENGINE_UPKEEP_UPKEEP_H
#define ENGINE_UPKEEP_UPKEEP_H

#include "engine/state/state.h"

/* Sets up, and releases; the latter stops the thread. */
void upkeep_init(engine *);
void upkeep_release(engine *);
/* Starts the thread. */
persist_status upkeep_start(engine *, persist_error *);
void upkeep_stop(engine *);
/* Tells whether it runs. */
bool upkeep_has_thread(engine *);

/* The writer: tells whether the active memtable has had its share. */
bool upkeep_is_full(const engine *);
/* The writer: freezes the active memtable if it is full and nothing frozen is
 * left; *did tells. After an error nothing has happened. */
persist_status upkeep_freeze(engine *, bool *did, persist_error *);
/* The same if it holds anything at all. */
persist_status upkeep_freeze_all(engine *, bool *did, persist_error *);
/* Waits, or works, until something can be frozen; an error if that cannot be.
 * The caller is not the writer. */
persist_status upkeep_await(engine *, persist_error *);
/* Waits for steps, or makes them, until one has given something, a table or
 * room, or none has anything to do; tells which. What has only begun may end in
 * nothing: who tried again each time would do so for ever. The caller is not
 * the writer. */
bool upkeep_await_gain(engine *);
/* Tells the thread that there is work; works if there is none. */
void upkeep_call(engine *);
/* Tells whether somebody has since it was last asked. */
bool upkeep_is_called(engine *);

/* Makes one step of what is due; *did tells whether there was any. */
persist_status upkeep_step(engine *, bool *did, persist_error *);
/* The same with work of the caller's, which gets the current layers, under
 * upkeep.step. */
typedef persist_status (*upkeep_work)(engine *, const layers *, void *context,
                                      bool *did, persist_error *);
persist_status upkeep_step_of(engine *, upkeep_work, void *context, bool *did,
                              persist_error *);
/* Parts of steps, under upkeep.step: writes the frozen memtable; goes on with
 * the merge, or begins one of the tables from *from on; drops what that has
 * made; tells whether the merge is of all tables. */
persist_status upkeep_flush(engine *, const layers *, bool *did,
                            persist_error *);
persist_status upkeep_merge(engine *, const layers *, size_t from, bool *did,
                            persist_error *);
void upkeep_give_up_merge(engine *);
bool upkeep_merges_all(const engine *, const layers *);
/* Writes what the log holds into a table if that makes opening fast. */
void upkeep_close(engine *);
/* Deletes the files of tables that nobody needs any more; tells whether there
 * were any. */
bool upkeep_sweep(engine *);

/* Deletes the file of a table that no manifest can name. */
void upkeep_delete_table(engine *, uint64_t number);

/* Opens a table that has just been written; if that cannot be its file goes. */
persist_status upkeep_open_table(engine *, uint64_t number, uint64_t size,
                                 table **out, persist_error *);

/* The same layers but for the tables [from, to), which `t` takes the place of,
 * and for the frozen memtable, which it may be too: a new manifest, and a new
 * set of layers, with about so many keys. Takes the table over; after an error
 * its file is gone, unless nobody knows which manifest stands. For flush.c and
 * upkeep.c, under upkeep.step. */
persist_status upkeep_install(engine *, size_t from, size_t to, table *t,
                              bool flushed, uint64_t keys, persist_error *);

/* Writes the manifest once more, so that what it does not list can go. Under
 * upkeep.step. */
persist_status upkeep_settle(engine *, persist_error *);

/* Before anything is written that needs a feature: makes a manifest durable
 * that has it. The caller holds no lock. */
persist_status upkeep_feature(engine *, uint64_t feature, persist_error *);

/* ---- compact.c, purge.c: when somebody asks for it ----------------------- */

/* As persist_compact and persist_purge; PERSIST_CLOSED without words. The
 * caller has entered the log's news, and holds no lock. */
persist_status upkeep_compact(engine *, const persist_tidy *, persist_tidied *,
                              persist_error *);
persist_status upkeep_purge(engine *, const persist_tidy *, persist_tidied *,
                            persist_error *);

/* ---- policy.c: what is merged ------------------------------------------ */

/* Finds tables to merge, from *from on, and pays for it if that is due. */
bool policy_find_work(engine *, const layers *, size_t *from);
/* What tables are at the most when no merge is due but for dead space and for
 * reads; and how often a byte is written by these merges. */
uint64_t policy_tables_max(const engine *, const layers *);
uint64_t policy_passes(const engine *, const layers *);

/* Tells whether so much is dead that all tables are merged. On a full disk that
 * goes before a flush: it gives room, and a flush takes some. */
bool policy_dead_shall_go(engine *, const layers *);

/* A merge begins; one of all tables has found no room: the next one waits until
 * less lives than then, or there may be more room. Under upkeep.step. */
void policy_note_begun(engine *, const layers *);
void policy_note_stuck(engine *);

/* ---- dead.c: space that goes by itself --------------------------------- */

/* So much may be dead, or replaced, in tables of so many bytes. */
uint64_t dead_max(const engine *, uint64_t table_bytes);
/* Tells whether so many dead bytes in tables shall go. */
bool dead_is_much(const engine *, const layers *, uint64_t dead);
/* The writer: wakes whoever lets go of what is dead, if that is much by now. */
void dead_call(engine *);
/* The writer, on a full disk: the log gives back as well what a table of it
 * does without; be it little, where a commit was refused. */
void dead_call_all(engine *, bool refused);
/* At opening: guesses what is dead in the tables. */
void dead_estimate(engine *);
/* Makes one step towards letting go of what is dead, but for merging. Under
 * upkeep.step, with nothing frozen. */
persist_status dead_step(engine *, const layers *, bool *did, persist_error *);

/* A step found no space: gives some back; false if there is none to give. Under
 * upkeep.step. */
bool dead_make_room(engine *, const layers *);

/* Bytes of replaced tables: those that wait for one more manifest, or all. */
uint64_t dead_replaced(const engine *, bool all);

/* ---- leftovers.c ------------------------------------------------------ */

/* At opening: notes tables that no manifest lists, and raises next_table above
 * the numbers of all. */
persist_status leftovers_find_tables(engine *, const manifest *listed,
                                     persist_error *);
/* At opening: notes segments that the newest manifest on disk does not list.
 * Those from its next_segment on may be its log. */
persist_status leftovers_find_segments(engine *, const manifest *newest,
                                       const recovery *, persist_error *);
/* At opening: notes segments that recovery wrote again, and those behind its
 * end. The manifest before lists some, or may be followed by them: they go
 * when there is one more. */
persist_status leftovers_note_copied(engine *, const manifest *old,
                                     const recovery *, persist_error *);
/* Deletes at once those that the manifest before does not list either; both are
 * durable. */
void leftovers_delete_segments(engine *, const segment_place *,
                               const manifest *previous);
/* When there is no space for the copy of the log's end, or for the manifest:
 * deletes segments that were made ready and never written to. */
void leftovers_make_room(engine *, const manifest *newest,
                         const manifest *previous, const recovery *);
/* Deletes what a file of the log is, unless that is not the store's: 0 or a
 * negative errno. */
int leftovers_delete_segment(const segment_place *, uint64_t number);
/* Deletes one file; false if there is none. In use only. */
bool leftovers_step(engine *);
void leftovers_release(leftovers *);

/* ---- flush.c ---------------------------------------------------------- */

/* Writes the frozen memtable as a table and lets it go. Under upkeep.step. */
persist_status flush_frozen(engine *, persist_error *);

/* ---- reserve.c: room for a way out of a full disk ----------------------- */

/* Something that a full disk needs to be less full found no space: gives a file
 * of the reserve back, or, where there is none, its room; false if that is gone
 * too. */
bool reserve_give(engine *);
/* Makes the reserve, as big as it should be for these layers, or can. */
void reserve_make(engine *, const layers *);
/* The same in the first step of an opening: a store that was never closed has
 * none. */
void reserve_begin(engine *, const layers *);
/* Measures, and makes it after it was given, if it is not whole again. */
void reserve_renew(engine *, const layers *);
/* The same after a step, whatever that has done: what comes back belongs to it
 * first. */
void reserve_refill(engine *);
/* How many bytes it has now. */
uint64_t reserve_size(const engine *);
/* Whether fewer files are kept than should be; not known before the first step.
 */
bool reserve_lacks_files(const engine *);
bool reserve_is_short(const engine *); /* nor can anything be deleted */
/* For table_place: lends it to a table that found no room; 0: or no file. */
bool reserve_lend_table(void *context, uint64_t size);
/* At the end of an opening, whose log has nothing ahead any more. */
void reserve_close(engine *);
/* At opening, when the one before it has given it. */
void reserve_take_up(engine *);
/* The writer: as engine_use. The manifest takes the place of an older one, so
 * it may have the reserve's room for a while. */
persist_status reserve_use(engine *, persist_error *);
/* The writer: as wal_reserve, for a commit that adds or frees space. */
persist_status reserve_record(engine *, wal_claim, persist_error *);
/* For wal.h: what the log calls before it makes a segment, and when that finds
 * no room. */
int reserve_keep(void *context, wal_size, wal_claim);
bool reserve_lend(void *context, wal_size, uint64_t size, wal_claim);

/* ---- reserve_size.c: how much of it there should be --------------------- */

/* The writer: what the memtables hold by now, where so many bytes of records
 * have come that add. */
void reserve_note_log(engine *, const layers *, uint64_t added);
/* Under upkeep.step, or at opening: what deleting all that is in tables takes.
 */
void reserve_measure(engine *, const layers *);
/* Notes of all that can be deleted once the log has `ahead` bytes more. */
uint64_t reserve_all_notes(const engine *, uint64_t ahead);
/* What flushing a log of that size takes; and that with what is kept for the
 * tables. */
uint64_t reserve_for_log(const engine *, wal_size);
uint64_t reserve_wanted(const engine *, wal_size);
/* On a full disk a memtable that frees space is flushed when its log has so
 * many bytes. */
uint64_t reserve_round(const engine *);
/* Rounds up, as files take room. */
uint64_t reserve_pages(uint64_t size);

#endif
