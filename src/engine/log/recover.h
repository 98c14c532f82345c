/* SPDX-License-Identifier: MIT */
/* Reading the log at opening: what is whole, what a crash cut off, what is
 * damaged.
 *
 * W is the highest lsn that any valid record, or the manifest, says was
 * durable. A bad record at or below W, or in the part of the log that the
 * manifest lists, is damage: PERSIST_CORRUPT, and no file is touched. From the
 * first bad record above W on the log was never promised: all is dropped. What
 * was kept above W may have been in the page cache only, so it is written
 * again, into fresh segments, and synced; the manifest that lists those makes
 * it so. Until that one is stored, the old log stands and a second crash finds
 * what the first one left. */
#ifndef ENGINE_LOG_RECOVER_H
#define ENGINE_LOG_RECOVER_H

#include "engine/files/files.h"
#include "engine/log/segment.h"

/* Called with each commit in order; an error ends the recovery. */
typedef persist_status (*recover_fn)(void *context, persist_lsn,
                                     const record_body *, persist_error *);

/* A segment that may hold records beyond those the manifest lists. */
typedef struct tail_segment {
    uint64_t number;
    uint64_t from; /* offset where such records begin */
    bool later;    /* of an epoch that the manifest does not know */
    bool used;     /* a valid record is in it, other than a copy or a proof */
    persist_lsn newest; /* of such records and proofs; 0: there are none */
    uint64_t first;     /* the offset of the first one */
} tail_segment;

typedef struct recovery {
    segment_place place; /* of the new epoch */
    const manifest *old; /* the newest on disk */
    recover_fn replay;
    void *context;
    uint64_t segment_size; /* usual, bytes */
    bool joins;            /* what is copied is one segment, be it a big one */
    bool spares;           /* no more is copied than has to be */
    bool read_only; /* what is kept is synced where it lies, none is copied */

    manifest out;         /* what the log is now, for the next manifest */
    uint64_t replayed;    /* bytes read */
    uint64_t last_number; /* of those that were read as the log; 0: none */
    uint64_t next_number; /* above all segments there are */
    uint64_t first_copy;  /* number of the first that was written */
    uint64_t *numbers;    /* of all segment files found, sorted */
    size_t number_count, number_capacity;

    tail_segment *tail;
    size_t tail_count;
    persist_lsn watermark; /* W */
    segment_image image;   /* of the segment in hand: */
    uint64_t loaded;       /* its number; 0: none */
    buf copy;              /* of the one in the making */
    record_body body;
} recovery;

/* Reads and judges the log, and changes nothing. out lists what would be kept;
 * after an error that is PERSIST_CORRUPT numbers are those of all files. */
persist_status recover_read(recovery *, persist_error *);

/* Tells whether there was a file of this number. */
bool recovery_found(const recovery *, uint64_t number);

/* The rest of the above, after recover_read. out lists the log; the last
 * segment may be written on. */
persist_status recover_write(recovery *, persist_error *);
/* Deletes what recover_write has written, which no manifest on disk can list:
 * an opening that fails again and again leaves nothing each time. */
void recover_undo(recovery *);
/* Release the recovery in any case. */
void recovery_release(recovery *);

#endif
