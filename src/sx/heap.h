/* SPDX-License-Identifier: MIT */
/* Making values. Nothing here collects: memory that is out is reported, the
 * machine collects between steps and runs the step again (see prim.h).
 *
 * So values held in C variables need no care inside one step, and a step must
 * allocate before it changes anything that a program can see.
 *
 * Every function that returns bool returns false when memory is out, and has
 * then changed nothing. */
#ifndef SX_HEAP_H
#define SX_HEAP_H

#include "sx/value.h"

/* Free cells are poisoned in address-sanitizer builds. */
#if defined(__SANITIZE_ADDRESS__)
#define HEAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_ASAN 1
#endif
#endif
#ifdef HEAP_ASAN
#include <sanitizer/asan_interface.h>
#define HEAP_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define HEAP_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define HEAP_POISON(p, n) ((void)0)
#define HEAP_UNPOISON(p, n) ((void)0)
#endif

/* ---- raw memory ------------------------------------------------------- */

enum {
    BLOCK_SIZE = 32 << 10, /* also the alignment of a block */
    GRANULE = 16,          /* objects are multiples of it */
    SMALL_MAX = 1024,      /* bytes; larger objects stand alone */
    SMALL_CLASSES = SMALL_MAX / GRANULE + 1,
    BALLAST_PIECES = 16,
    NAMES_PARTS = 16, /* of the table of names so many parts may be full, */
    NAMES_FREE = 12,  /* and one more at each level */
};

typedef struct block block;
typedef struct large large;

/* Where the next object of one size comes from: a run of free cells. */
typedef struct cell_run {
    char *at, *end;
    block *block; /* where the run is; NULL: only new blocks from here on */
} cell_run;

typedef struct heap {
    cell_run runs[SMALL_CLASSES];
    block *classes[SMALL_CLASSES]; /* every block of a size */
    block *free_blocks;
    size_t free_count;
    large *large;
    size_t used, max;      /* bytes charged, and the ceiling */
    size_t most;           /* the ceiling, or what the system gave */
    size_t limit;          /* what the evaluation may charge; see reserve.h */
    size_t spare;          /* less than this below it is next to nothing */
    unsigned level;        /* of the evaluation: an enum heap_level */
    bool saving;           /* nothing new is to hang on what is old */
    bool refused, emptied; /* what it wanted so; perhaps it made room */
    bool ageing;           /* what is marked becomes old */
    bool starved;          /* the system gave no memory */
    bool settled;          /* found is what the last collection left, */
    bool saved;            /* and nothing new was kept since it began */
    size_t found, found_others; /* taken when an evaluation began, and of it
                                   what no object has */
    void
        *ballast[BALLAST_PIECES]; /* given back when the system has no memory */
    size_t object_bytes;          /* of used: blocks and large objects */
    size_t since, trigger; /* bytes handed out since the last collection, and
                              how many make the next one due */
    bool due;              /* collect before the next step */
    size_t live;           /* bytes found by the collection under way */
    uint64_t scanned;      /* words that marking ever looked at */
    uint64_t refuse;       /* see heap_refuse */
    string **names;        /* the intern table: open addressing, weak */
    size_t name_count, name_capacity;
} heap;

/* Counts bytes against the limit before they are taken; false: over it. */
bool heap_charge(sx *, size_t bytes);
void heap_refund(sx *, size_t bytes);

/* After a collection: whether what is in use leaves next to nothing. */
bool heap_full(const sx *);

/* Grows a C array that is charged to the heap; NULL: memory is out. */
void *heap_realloc(sx *, void *old, size_t old_bytes, size_t new_bytes);
void heap_free(sx *, void *memory, size_t bytes);

/* The heap is the first member of a machine (machine.h). */
static inline heap *heap_of(sx *m)
{
    return (heap *)(void *)m;
}

/* For tests: the nth allocation from now on is refused, and no other. Every
 * allocation is slow until then. */
void heap_refuse(sx *, uint64_t n);

/* The slow ways of heap_object. */
bool heap_refill(sx *, size_t class);
object *heap_large(sx *, enum kind, size_t bytes);

/* An object of the kind with its words uninitialised; NULL: memory is out.
 * bytes: all of it, head included. The caller fills it before the step ends. */
static inline void *heap_object(sx *m, enum kind kind, size_t bytes)
{
    size_t class = (bytes + GRANULE - 1) / GRANULE;
    if (UNLIKELY(class >= SMALL_CLASSES))
        return heap_large(m, kind, bytes);
    cell_run *r = &heap_of(m)->runs[class];
    if (UNLIKELY(r->at == r->end) && !heap_refill(m, class))
        return NULL;
    object *o = (object *)(void *)r->at;
    r->at += class * GRANULE;
    HEAP_UNPOISON(o, class * GRANULE);
    *o = (object){.kind = (uint8_t)kind};
    return o;
}

/* Whether an object may get one more part, or refer to v; false: memory is
 * out. Whoever changes what programs can see asks; who would rather copy it
 * asks whether it is closed. */
bool heap_saving_adds(sx *, const object *holder);
bool heap_saving_holds(sx *, object *holder, value);
static inline bool heap_closed(sx *m, const object *holder)
{
    return UNLIKELY(heap_of(m)->saving) && (holder->flags & FLAG_OLD) != 0;
}
static inline bool heap_may_add(sx *m, const object *holder)
{
    return LIKELY(!heap_of(m)->saving) || heap_saving_adds(m, holder);
}
static inline bool heap_may_hold(sx *m, object *holder, value v)
{
    return LIKELY(!heap_of(m)->saving) || heap_saving_holds(m, holder, v);
}

/* Frees everything. */
void heap_release(sx *);
/* Collects: marks what the machine and keep reach, frees the rest. */
void heap_collect(sx *, const value *keep, size_t count);
/* Marks a value and what it reaches; for those who hold roots, during
 * heap_collect only. */
void heap_mark(sx *, value);

/* ---- numbers ---------------------------------------------------------- */

/* An integer that is no fixnum. */
bool make_boxed_integer(sx *, int64_t, value *out);
/* A float, boxed. */
bool make_float(sx *, double, value *out);

static inline bool make_integer(sx *m, int64_t n, value *out)
{
    if (LIKELY(n >= FIXNUM_MIN && n <= FIXNUM_MAX)) {
        *out = value_fixnum(n);
        return true;
    }
    return make_boxed_integer(m, n, out);
}

/* ---- strings and names ------------------------------------------------ */

/* A string with a copy of the bytes. */
bool make_string(sx *, slice, value *out);
/* A string whose bytes the caller writes before anybody sees it. */
string *string_alloc(sx *, size_t size);
bool string_equal(string *, string *);

/* The one name with these bytes; NULL: memory is out. */
string *intern(sx *, slice);
/* The same for a string; it may itself become the name. */
string *intern_string(sx *, string *);
/* The name if there is one already, else NULL. */
string *intern_find(sx *, slice);
bool make_symbol(sx *, slice, value *out);
bool make_keyword(sx *, slice, value *out);

/* ---- boxes ------------------------------------------------------------ */

/* A box that holds v; name: of its variable, for errors. */
bool make_box(sx *, value, string *name, value *out);

#endif
