/* SPDX-License-Identifier: MIT */
/* A simulated operating system: os.h in memory, with crashes and faults.
 *
 * It keeps apart what is written from what is durable. Of a file it knows the
 * bytes as a reader sees them, the bytes as of the last sync, and every
 * version of each 512-byte sector in between; of a directory likewise its
 * entries and every change since the last dir_sync. A crash picks for each of
 * these units on its own how much of it survived; the picks are a plan, so
 * that all of them can be enumerated, or drawn from a seed.
 *
 * A crash does not touch the simulation it is taken from: it makes a new one,
 * which can be opened, and crashed again. Nothing is random but by the seed;
 * nothing here fails by itself (memory apart, which aborts). */
#ifndef TEST_OS_SIM_H
#define TEST_OS_SIM_H

#include "os/os.h"

typedef struct os_sim os_sim;

typedef enum sim_call {
    SIM_OPEN,
    SIM_CLOSE,
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_SIZE,
    SIM_FILE_STAT,
    SIM_LOCK,
    SIM_MAP,
    SIM_MAP_LOAD,
    SIM_STAT,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_MKDIR,
    SIM_PROTECT,
    SIM_MAY_WRITE,
    SIM_DIR_LOCK,
    SIM_DIR_SYNC,
    SIM_LIST,
    SIM_DIR_OPEN,
    SIM_RANDOM,
    SIM_CALLS
} sim_call;

/* Makes an empty file system with a root directory. */
os_sim *os_sim_new(uint64_t seed);
void os_sim_free(os_sim *);

/* The table to give to the engine; it lives as long as the simulation. */
const os *os_sim_os(os_sim *);

/* ---- crashes ---------------------------------------------------------- */

typedef enum sim_keep {
    SIM_KEEP_NONE,   /* only what was synced */
    SIM_KEEP_ALL,    /* everything that was written */
    SIM_KEEP_FILES,  /* file bytes and sizes, no change of a directory */
    SIM_KEEP_NAMES,  /* changes of directories, no file bytes */
    SIM_KEEP_ONE,    /* only the unit of that number */
    SIM_KEEP_BUT,    /* all but the unit of that number */
    SIM_KEEP_BITS,   /* bit i of unit: unit i */
    SIM_KEEP_RANDOM, /* each unit any of its versions, by the seed */
    SIM_KEEP_TORN,   /* all; of the last write only the first unit bytes */
} sim_keep;

/* What a grown file holds where its bytes did not survive. */
typedef enum sim_fill {
    SIM_FILL_ZEROS,
    SIM_FILL_GARBAGE,
    SIM_FILL_OLD, /* what another file held, also a deleted one */
} sim_fill;

typedef struct sim_plan {
    sim_keep keep;
    sim_fill fill;
    uint64_t unit;
    uint64_t seed;
} sim_plan;

/* Returns how many units a crash decides on: unsynced sectors, sizes, and
 * changes of directories. */
size_t os_sim_units(const os_sim *);

/* Returns the size of the last write while it is not synced, else 0. */
size_t os_sim_last_write(const os_sim *);

/* The power fails: a new simulation of what the disk then holds. */
os_sim *os_sim_crash(const os_sim *, const sim_plan *);

/* The process is killed: a new simulation with all that was written; what was
 * not synced can still be lost. */
os_sim *os_sim_kill(const os_sim *);

/* Damages one place of one file, drawn from the seed: a bit flips, or, if so
 * told, a sector may also read as zeros or as garbage. */
void os_sim_rot(os_sim *, uint64_t seed, bool sectors);

/* A hash of all names and bytes as they are durable. */
uint64_t os_sim_hash(const os_sim *);

/* ---- faults ----------------------------------------------------------- */

typedef struct sim_fault {
    unsigned calls; /* which: 1u << SIM_WRITE and so on; ~0u: all */
    uint64_t nth;   /* the nth of those, from 1; 0: no fault */
    bool from_then_on;
    int error;       /* a positive errno; 0: the call transfers less */
    const char *on;  /* calls on names with this in them; NULL: on any */
    bool keep_pages; /* a failed sync leaves the cache as it was */
    bool done;       /* a change of names is made, and reports the error */
} sim_fault;

/* Sets the fault to come, counting from now. A failed sync drops the pages it
 * covered: a later sync that succeeds does not write them. A failed dir_sync
 * leaves its changes to the next: file systems keep those in a journal, and
 * stop for good when they lose it. */
void os_sim_fail(os_sim *, sim_fault);

/* Refuses one mapping of so many, counted from now; 0: none, 1: all. A kill or
 * a crash passes it on. */
void os_sim_refuse_maps(os_sim *, unsigned one_of);

/* Asked, inside of each call that the fault is about, whether it is hit, in the
 * place of nth and from_then_on; NULL: these decide. */
typedef bool (*sim_choose_fn)(void);
void os_sim_choose(os_sim *, sim_choose_fn);

/* Limits the bytes that all files together may hold; UINT64_MAX: no limit. */
void os_sim_limit_space(os_sim *, uint64_t bytes);
uint64_t os_sim_space(const os_sim *);

/* Limits how many files and directories there may be: none is made when there
 * are as many, what is renamed needs no other. UINT64_MAX: no limit. */
void os_sim_limit_files(os_sim *, uint64_t count);
uint64_t os_sim_files_used(const os_sim *);

/* From now on files take whole blocks of so many bytes. */
void os_sim_use_blocks(os_sim *, uint64_t bytes);

/* Returns the bytes that all files together hold. */
uint64_t os_sim_space_used(const os_sim *);

/* The disk is mounted anew: nothing can be written from now on, or all again.
 * What is in the cache already may still reach the disk. */
void os_sim_read_only(os_sim *, bool);

/* From now on a file or directory has another number each time somebody looks
 * at it, unless it is open: as on file systems that number what is in memory.
 */
void os_sim_forget_numbers(os_sim *, bool);

/* ---- watching --------------------------------------------------------- */

/* Called before each call that changes something. */
typedef void (*sim_watch_fn)(void *context, const os_sim *, sim_call);
void os_sim_watch(os_sim *, sim_watch_fn, void *context);

/* Called before each call, by its number from 1: another actor, who may use the
 * table as he likes. His own calls are none of these, and no fault hits them.
 */
typedef void (*sim_actor_fn)(void *context, os_sim *, uint64_t call);
void os_sim_act(os_sim *, sim_actor_fn, void *context);

/* Calls so far of a kind; of all kinds for SIM_CALLS. */
uint64_t os_sim_calls(const os_sim *, sim_call);
/* Faults injected so far into a kind; into all for SIM_CALLS. */
uint64_t os_sim_faults(const os_sim *, sim_call);
/* Handles of files and directories that are open, and mappings. */
size_t os_sim_open_files(const os_sim *);
/* The name of a kind of call, such as "file_sync". */
const char *os_sim_call_name(sim_call);

#endif
