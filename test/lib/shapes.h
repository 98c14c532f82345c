/* SPDX-License-Identifier: MIT */
/* Small stores of known content, on the simulated system, and probes: reads
 * of one thing each, whose answers are known for every commit. */
#ifndef TEST_SHAPES_H
#define TEST_SHAPES_H

#include "os_sim.h"
#include "persist.h"

enum {
    SHAPES = 9,
    PROBES_MAX = 96,
    COMMITS_MAX = 160,
    SHAPE_NAME_MAX = 64,
    OLDER_MAX = 6,
    SHAPE_EVENTS_MAX = 64,
};

typedef enum probe_kind {
    PROBE_STREAM, /* its events from `from` on */
    PROBE_BACK,   /* the same backwards, all */
    PROBE_INFO,
    PROBE_KEY,
    PROBE_ID,
    PROBE_BLOB,
    PROBE_STREAMS, /* their names */
    PROBE_KEYS,    /* with values */
    PROBE_ALL,     /* all events in commit order */
    PROBE_QUERY,   /* the events with a tag, from the position `from` on */
    PROBE_TIMES,   /* where times lead: those of the commits, and around */
    PROBE_IDS,     /* command ids in order, with all that is known of them */
} probe_kind;

typedef struct probe {
    probe_kind kind;
    char name[SHAPE_NAME_MAX]; /* a blob: its cid */
    uint64_t from;
} probe;

/* An event that a shape has, or had. */
typedef struct shape_event {
    char stream[SHAPE_NAME_MAX];
    uint64_t seq, position;
    unsigned tags; /* a bit for the number of each */
} shape_event;

/* What a probe says of a store: a digest of the answer. */
typedef struct shape {
    const char *name;
    bool closed;        /* cleanly; else the process was killed */
    bool quiet;         /* some time after the last commit */
    os_sim *sim;        /* at rest */
    persist_lsn latest; /* see shape_commit */
    probe probes[PROBES_MAX];
    size_t probe_count;
    uint64_t answers[COMMITS_MAX][PROBES_MAX]; /* the same */
    bool answered[COMMITS_MAX];
    shape_event events[SHAPE_EVENTS_MAX];
    size_t event_count;
    os_sim *older[OLDER_MAX]; /* the same store earlier */
    size_t older_count;
} shape;

/* Makes the shape of a number below SHAPES. */
shape *shape_new(unsigned number);
void shape_free(shape *);

/* Which commit an lsn is, gaps left out: one gap is LSN_AHEAD wide. */
persist_lsn shape_commit(persist_lsn);

/* Opens a store of that shape. */
persist_status shape_open(os_sim *, persist_store **, persist_error *);

/* Reads; PERSIST_OK with the digest of the answer, also when the answer is that
 * there is nothing; else what the store said. */
persist_status probe_ask(persist_store *, const probe *, uint64_t *digest,
                         persist_error *);
/* Tells whether a PROBE_QUERY asks for an event. */
bool probe_matches(const probe *, const shape_event *);
/* What a probe is about, for people. */
const char *probe_text(const probe *, char out[SHAPE_NAME_MAX * 2]);

#endif
