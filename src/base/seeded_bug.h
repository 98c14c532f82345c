/* SPDX-License-Identifier: MIT */
/* Bugs put in on purpose, to test the tests: test/crash/bugs.sh shows that
 * each is found. They exist only in a build with -DSEEDED_BUGS; elsewhere
 * SEEDED_BUG is the constant 0 and the compiler drops what hangs on it. */
#ifndef BASE_SEEDED_BUG_H
#define BASE_SEEDED_BUG_H

/* X(NAME, "what the engine then does wrong") */
#define SEEDED_BUG_LIST(X)                                                     \
    X(SKIP_LOG_SYNC, "reports a batch durable without syncing the log")        \
    X(EARLY_WATERMARK, "writes a watermark that is not durable yet")           \
    X(ACCEPT_CHECKSUM, "accepts a log record with a bad checksum")             \
    X(SKIP_DIR_SYNC, "does not sync the directory after a new manifest")       \
    X(SKIP_MANIFEST_SYNC, "renames a manifest that is not synced")             \
    X(SERVE_EARLY, "serves replayed records before they are durable again")    \
    X(REFUSE_TORN, "takes a plain torn batch for damage")                      \
    X(CUT_DAMAGE, "cuts a damaged middle of the log as if it were the tail")   \
    X(FORGET_ONCE, "drops command ids when it replays the log")                \
    X(FORGET_MARK, "gives a truncated number again")                           \
    X(HALF_COMMIT, "replays a commit without its last edit")                   \
    X(IGNORE_READ_ONLY, "goes on writing after a failed sync")                 \
    X(SHOW_UNDURABLE, "shows what is not durable after a failed sync")         \
    X(SKIP_TABLE_SYNC, "lists a table that is not synced")                     \
    X(SKIP_TABLE_NAME_SYNC, "lists a table whose name is not durable")         \
    X(MERGE_FORGETS_ONCE, "drops command ids when it merges tables")           \
    X(MERGE_FORGETS_DELETE, "drops a deletion that an older table needs")      \
    X(MERGE_FORGETS_BLOB, "drops the places of blobs when it merges tables")   \
    X(BLOB_NO_SYNC, "names a blob in the log that is not synced")              \
    X(BLOB_LATE_SYNC, "syncs a pack after the log that names its bytes")       \
    X(BLOB_NO_NAME_SYNC, "names a blob whose own name is not durable")

enum {
    BUG_NONE,
#define SEEDED_BUG_ENUM(name, text) BUG_##name,
    SEEDED_BUG_LIST(SEEDED_BUG_ENUM)
#undef SEEDED_BUG_ENUM
        BUG_COUNT
};

#ifdef SEEDED_BUGS
extern int seeded_bug; /* the one that is on */
#define SEEDED_BUG(name) (seeded_bug == BUG_##name)
#else
#define SEEDED_BUG(name) 0
#endif

#endif
