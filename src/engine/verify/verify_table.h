/* SPDX-License-Identifier: MIT */
/* Verifying tables, inside: the walk through a section, and what its entries
 * are checked for. */
#ifndef ENGINE_VERIFY_VERIFY_TABLE_H
#define ENGINE_VERIFY_VERIFY_TABLE_H

#include "base/cursor.h"
#include "engine/table/table.h"
#include "engine/verify/verify_parts.h"

typedef struct verify_tree verify_tree;

struct verify_tree {
    verifier *verifier;
    table *table;
    const char *path; /* of the table */
    table_section section;
    /* Checks one entry: NULL, or what is wrong with it. */
    const char *(*check)(verify_tree *, slice key, slice value);
    void *context;           /* of check */
    uint8_t *named;          /* a bit for each number of a block */
    uint64_t entries, bytes; /* met so far */
    uint64_t blocks;         /* that index blocks name */
    buf key, last_key;       /* of the entry in hand, and the one before */
    bool lost;       /* entries before the one in hand were not readable */
    bool incomplete; /* any */
};

/* Walks the section; false when the verification ends. The caller releases
 * both keys. */
bool verify_walk(verify_tree *);

#endif
