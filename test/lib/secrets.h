/* SPDX-License-Identifier: MIT */
/* What is put into a store, taken away again, and then looked for in the raw
 * bytes of its files. */
#ifndef TEST_SECRETS_H
#define TEST_SECRETS_H

#include "base/slice.h"
#include "os_sim.h"
#include "persist.h"

enum { SECRET_SIZE = 32 };

typedef struct secrets {
    unsigned count;
    unsigned *slots; /* by the hash of the end of each; 0: free */
    size_t slot_count;
    bool *seen;
} secrets;

/* So many texts, which share nothing that a search could miss: tables leave out
 * what one name has in common with the one before. */
void secrets_make(secrets *, unsigned count);
void secrets_release(secrets *);
slice secret(unsigned i, char room[SECRET_SIZE + 1]);

/* Commits them, as values, names of keys, events, tags and types of events, in
 * turn, beside others that stay; then overwrites, deletes and truncates all.
 * Returns what a commit said. */
persist_status secrets_write(const secrets *, persist_store *, persist_error *);
persist_status secrets_drop(const secrets *, persist_store *, persist_error *);
/* Whether what is to stay is there. */
bool secrets_left_the_rest(const secrets *, persist_store *);

/* Notes those that are in some bytes; counts those that were noted. */
void secrets_look(secrets *, slice bytes);
unsigned secrets_found(const secrets *);
void secrets_forget(secrets *);

/* The same in all files of a folder and those in it; and of a simulated disk.
 */
unsigned secrets_in_folder(secrets *, const char *path);
unsigned secrets_on_disk(secrets *, const os_sim *);

#endif
