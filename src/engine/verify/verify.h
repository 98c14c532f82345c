/* SPDX-License-Identifier: MIT */
/* Verifying a store: reads everything, tells of all damage, changes nothing.
 *
 * The happy path is: the lock, the manifests, the folders, then every table and
 * the log, with the blobs that they name. */
#ifndef ENGINE_VERIFY_VERIFY_H
#define ENGINE_VERIFY_VERIFY_H

#include "persist.h"

/* Verifies as persist_verify does. */
persist_status verify_store(const persist_options *, const persist_watcher *,
                            persist_progress *, persist_error *);

#endif
