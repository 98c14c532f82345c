/* SPDX-License-Identifier: MIT */
/* The parts of a verification, and what they tell.
 *
 * Whatever is damaged is reported and passed by; only what cannot be looked at,
 * a lack of memory, or the watcher, ends it. Each part returns false then. */
#ifndef ENGINE_VERIFY_VERIFY_PARTS_H
#define ENGINE_VERIFY_VERIFY_PARTS_H

#include "base/hashmap.h"
#include "engine/files/files.h"
#include "engine/table/table.h"

typedef struct verifier verifier;

/* The os of those who verify: it keeps what it could not look at. */
typedef struct verify_os {
    os table;
    const os *real;
    verifier *verifier;
} verify_os;

struct verifier {
    const os *sys; /* own, but at the very beginning */
    verify_os own;
    const persist_watcher *watcher;
    persist_progress *progress;
    const char *dir; /* the path of the store */
    os_dir *root;
    layout_folder log, tables, blobs, temporary;
    bool blobs_told;           /* the folder is missing, which is told */
    manifest newest, previous; /* newest: generation 0 when none is readable */
    bool newest_known;         /* both manifests are whole */
    uint64_t blob_bytes;       /* of all files of blobs, still to be read */
    hashmap late;              /* blobs whose bytes are not right, by digest */
    persist_status status;     /* what ended it; PERSIST_OK: nothing yet */
    persist_error *error;      /* of that */
    persist_error unseen;      /* the first thing that could not be looked at */
    persist_error unread; /* what the disk did not give, not yet reported */
};

#define VERIFY_RESTORE "restore the store from a backup"

/* The text of an error without the place and the advice, which a finding has
 * apart. */
typedef char verify_text[PERSIST_MESSAGE_MAX];
const char *verify_short(const persist_error *, verify_text out);

/* Has every call that looks note what it could not see. */
void verify_look(verifier *);
/* Ends the verification, and returns false, if there was any. */
bool verify_could_look(verifier *);
/* Reports what the disk did not give, if nobody else has. */
bool verify_unread(verifier *);

/* Each counts and tells the watcher; false when the verification ends. */
bool verify_found(verifier *, const persist_finding *);
/* Some bytes have been read. */
bool verify_read(verifier *, uint64_t bytes);
/* Reports the failure of a call, at the error's place unless `finding` has a
 * path; a lack of memory ends the verification. */
bool verify_failed(verifier *, const persist_error *, persist_finding finding);
/* Ends the verification for a lack of memory; returns false. */
bool verify_no_memory(verifier *);
/* The same if that is what a look-up returned; anything else that it met is
 * reported where it lies. Returns the status. */
persist_status verify_lookup(verifier *, persist_status);

/* The parts. */
bool verify_tables(verifier *);
bool verify_log(verifier *);
/* Adds the sizes of all files of blobs to what is to be read. */
bool verify_count_blobs(verifier *);
/* Reads a blob that a table or the log names, from the oldest layer on. What is
 * wrong with it counts only if no newer one says where it is, or that it was
 * deleted: so that is told when all have been seen. */
bool verify_blob(verifier *, const blob_entry *);
bool verify_late_blobs(verifier *);
/* Remarks on files among them that can have no blob. */
bool verify_blob_files(verifier *);
/* Remarks on files that nothing needs. */
bool verify_rest(verifier *);

#endif
