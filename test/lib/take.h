/* SPDX-License-Identifier: MIT */
/* Takes what a backup lists into a directory, as a program would. */
#ifndef TEST_TAKE_H
#define TEST_TAKE_H

#include "os/os.h"
#include "persist.h"

/* What was taken, and how. */
typedef struct taken {
    bool link; /* what is sealed; the rest is copied */
    size_t files, sealed;
    uint64_t bytes;
} taken;

/* Takes all that is left of a backup into a directory, which is made; syncs
 * nothing. PERSIST_NONE: the system has refused something. */
persist_status take_backup(const os *, persist_backup *, const char *dir,
                           taken *, persist_error *);

/* Takes a directory away, with all that is in it. */
void take_away(const os *, const char *dir);

#endif
