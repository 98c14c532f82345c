/* SPDX-License-Identifier: MIT */
/* Commits: checked, planned, logged, applied. */
#ifndef ENGINE_COMMIT_COMMIT_H
#define ENGINE_COMMIT_COMMIT_H

#include "engine/upkeep/upkeep.h"

/* Commits as persist_commit does; sizes have been checked. */
persist_status engine_commit(engine *, const persist_edit *, size_t count,
                             const persist_once *, persist_outcome *,
                             persist_error *);

/* Finds a command id as persist_once_find does. */
persist_status engine_once_find(engine *, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *, persist_error *);

/* Commits that a blob, which has its place, is there, or was deleted. */
persist_status engine_commit_blob(engine *, const blob_entry *,
                                  persist_lsn *lsn, persist_error *);

/* Applies a commit that was read from the log, which says all that is needed of
 * older layers: no table is read. PERSIST_CORRUPT if it contradicts what is
 * there. */
persist_status engine_replay(engine *, persist_lsn, const record_body *,
                             persist_error *);

/* ---- blob_delete.c ---------------------------------------------------- */

/* As persist_blob_delete, the cid being well-formed. */
persist_status engine_blob_delete(engine *, slice cid, uint64_t put_before,
                                  persist_lsn *, persist_error *);
/* At opening: notes the files of blobs that the log says are deleted. */
persist_status engine_find_gone(engine *, persist_error *);
/* For upkeep, under its step: takes files away whose blobs were deleted; *did
 * tells whether there was any. */
persist_status engine_blob_step(engine *, bool *did, persist_error *);

/* ---- blob_index.c ----------------------------------------------------- */

/* PERSIST_NONE: the index does not have it. *lsn: the commit that has to be
 * durable for it to be; 0: it is. */
persist_status blob_find(engine *, const uint8_t *digest, blob_entry *,
                         persist_lsn *lsn, persist_error *);
/* With the blobs' lock: whether its file is to be taken away yet. */
bool blob_is_gone(const blob_store *, const uint8_t *digest);

/* As persist_blob_size, the cid being well-formed; persist_blob_add; and the
 * public functions on writers and readers, which are the caller's structs. The
 * others of them are in blob.h. finish takes the writer, and does not wait. */
persist_status engine_blob_size(engine *, slice cid, uint64_t *size,
                                persist_error *);
persist_status engine_blob_add(engine *, slice bytes, persist_cid out,
                               persist_lsn *lsn, persist_error *);
persist_status engine_blob_finish(engine *, blob_writer *, persist_cid out,
                                  persist_lsn *lsn, persist_error *);
persist_status engine_blob_open(engine *, slice cid, blob_reader *out,
                                persist_error *);

#endif
