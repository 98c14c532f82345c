/* SPDX-License-Identifier: MIT */
/* What persist_get_stats, of persist.h, tells: figures, and their bounds. */
#ifndef PERSIST_STATS_H
#define PERSIST_STATS_H

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PERSIST_STATS .size = sizeof(persist_stats)

/* Counters since the store was opened, and sizes now. */
typedef struct persist_stats {
    size_t size;                           /* PERSIST_STATS */
    uint64_t commits, syncs, bytes_logged; /* bytes_logged: log records */
    uint64_t streams, events;              /* visible now, LATEST */
    uint64_t segments, segments_spare;     /* log files in use, and ready */
    uint64_t memory;                       /* bytes of the memtables */
    uint64_t tables, table_bytes;          /* files, and their sizes */
    uint64_t cached;   /* bytes of blocks, and of places, in memory */
    uint64_t replayed; /* log bytes read at opening */
    /* What the work behind the commits keeps within bounds: these hold when
     * nothing of it is due, and no damage, no full disk and no reader keeps it
     * from its end; docs/OPERATING.md, "Figures and bounds". Bytes, but for the
     * tables and passes; 0 of a store in memory. */
    uint64_t dead;     /* about, of tables: nobody can read them any more; */
    uint64_t dead_max; /* no more than this */
    uint64_t replaced; /* of files of tables that are replaced, and still there:
                          no more than dead_max, but for those being read */
    uint64_t tables_max; /* a look-up of one name asks `tables` at the most,
                            which are no more than this once the opening has
                            written one */
    uint64_t flushed;    /* written to tables from memory, since the opening */
    uint64_t merged;     /* written by merging, for whatever reason; of that */
    uint64_t merged_for_dead;  /* for space of what is dead, or on a full disk:
                                  about 4 times `freed` at the most, */
    uint64_t merged_for_reads; /* since reads have paid for it, */
    uint64_t merged_asked;     /* and by persist_compact and persist_purge. The
                                  rest keeps the tables few: no more than
                                  merge_passes times what was flushed, and what
                                  was in tables at the opening */
    uint64_t merge_passes;
    uint64_t freed; /* tables that merging made were so much smaller than those
                       that they replaced */
} persist_stats;

#ifdef __cplusplus
}
#endif

#endif
