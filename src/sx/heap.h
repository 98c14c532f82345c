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

/* ---- raw memory ------------------------------------------------------- */

enum {
    BLOCK_SIZE = 32 << 10, /* also the alignment of a block */
    GRANULE = 16,          /* objects are multiples of it */
    SMALL_MAX = 1024,      /* bytes; larger objects stand alone */
    SMALL_CLASSES = SMALL_MAX / GRANULE + 1,
};

typedef struct block block;
typedef struct large large;

/* Where the next object of one size comes from: a run of free cells. */
typedef struct run {
    char *at, *end;
    block *next; /* to look through when the run is used up */
} run;

typedef struct mark_entry {
    object *object;
    size_t next; /* child to look at */
} mark_entry;

typedef struct heap {
    run runs[SMALL_CLASSES];
    block *classes[SMALL_CLASSES]; /* every block of a size */
    block *free_blocks;
    size_t free_count;
    large *large;
    size_t used, max;      /* bytes charged, and the ceiling */
    size_t since, trigger; /* bytes handed out since the last collection, and
                              how many make the next one due */
    bool due;              /* collect before the next step */
    mark_entry *marks;
    size_t mark_count, mark_capacity;
    bool mark_overflow;
    size_t live;    /* bytes found by the collection under way */
    string **names; /* the intern table: open addressing, weak */
    size_t name_count, name_capacity;
} heap;

/* Counts bytes against the ceiling before they are taken; false: over it. */
bool heap_charge(sx *, size_t bytes);
void heap_refund(sx *, size_t bytes);

/* Grows a C array that is charged to the heap; NULL: memory is out. */
void *heap_realloc(sx *, void *old, size_t old_bytes, size_t new_bytes);
void heap_free(sx *, void *memory, size_t bytes);

/* An object of the kind with its words uninitialised; NULL: memory is out.
 * bytes: all of it, head included. The caller fills it before the step ends. */
object *heap_object(sx *, enum kind, size_t bytes);

/* ---- numbers ---------------------------------------------------------- */

bool make_boxed_integer(sx *, int64_t, value *out);
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

bool make_string(sx *, slice, value *out);
/* A string whose bytes the caller writes before anybody sees it. */
string *string_alloc(sx *, size_t size);
uint32_t string_hash(string *);
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

bool make_box(sx *, value, string *name, value *out);

#endif
