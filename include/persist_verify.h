/* SPDX-License-Identifier: MIT */
/* What persist_verify, of persist.h, tells: findings and progress. */
#ifndef PERSIST_VERIFY_H
#define PERSIST_VERIFY_H

#include <stdbool.h>

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a damage touches. All of them are ranges: from the first fields on, up
 * to, and not including, the other ones. */
typedef enum persist_touched {
    PERSIST_TOUCHED_UNKNOWN,   /* what the file says, no more is known */
    PERSIST_TOUCHED_EVENTS,    /* names: streams; numbers: seqs in them */
    PERSIST_TOUCHED_STREAMS,   /* names: what is known of streams */
    PERSIST_TOUCHED_KEYS,      /* names: keys */
    PERSIST_TOUCHED_IDS,       /* names: command ids */
    PERSIST_TOUCHED_POSITIONS, /* numbers: the order of all events there */
    PERSIST_TOUCHED_COMMITS,   /* numbers: lsns; name: a stream or key that the
                                  damaged bytes still tell of */
    PERSIST_TOUCHED_BLOB,      /* name: the cid */
    PERSIST_TOUCHED_TAGS,      /* names: tags, by their size and then their
                                  bytes; numbers: positions of events that have
                                  them, which queries do not find */
} persist_touched;

/* One finding of persist_verify. Everything in it lives until the call that
 * hands it over returns. */
typedef struct persist_finding {
    bool damage;               /* else a remark: something that does no harm */
    const char *what, *advice; /* one line each, NUL-terminated */
    const char *path;          /* NUL-terminated */
    uint64_t offset;           /* in the file, bytes; UINT64_MAX: no place */
    persist_touched touched;
    persist_slice name; /* data is NULL: not known */
    uint64_t number;    /* 0: not known */
    /* the end of the range, data NULL or 0: not known, or to the very end */
    persist_slice end_name;
    uint64_t end_number;
} persist_finding;

#define PERSIST_PROGRESS .size = sizeof(persist_progress)

/* How far a verification has come. */
typedef struct persist_progress {
    size_t size;                 /* PERSIST_PROGRESS */
    uint64_t bytes, bytes_total; /* of files: read, and to be read */
    uint64_t files, blocks;      /* read; blocks of tables */
    uint64_t commits;            /* in the log, beyond what is in tables */
    uint64_t events, keys;       /* met: of tables and log, old ones too */
    uint64_t blobs;
    uint64_t damages, remarks; /* findings */
} persist_progress;

#define PERSIST_WATCHER .size = sizeof(persist_watcher)

/* Who wants to know. Either function may be NULL; one that returns false ends
 * the verification. They must not use the store. */
typedef struct persist_watcher {
    size_t size; /* PERSIST_WATCHER */
    void *context;
    bool (*found)(void *context, const persist_finding *);
    bool (*progress)(void *context, const persist_progress *);
} persist_watcher;

#ifdef __cplusplus
}
#endif

#endif
