/* SPDX-License-Identifier: MIT */
/* The operating system of a store. */
#ifndef ENGINE_FILES_SYSTEM_H
#define ENGINE_FILES_SYSTEM_H

#include "os/os.h"
#include "persist.h"

/* The operating system that options ask for; `own` is room for a table of its
 * own, and lives as long as what is returned. */
const os *system_of(const persist_options *, os *own);

#endif
