/* SPDX-License-Identifier: MIT */
/* Bugs put in on purpose, to test the tests: test/crash/bugs.py shows that
 * each is found. They exist only in a build with -DSEEDED_BUGS; elsewhere
 * SEEDED_BUG is the constant 0 and the compiler drops what hangs on it. */
#ifndef BASE_SEEDED_BUG_H
#define BASE_SEEDED_BUG_H

/* X(NAME, "what the engine then does wrong") */
#define SEEDED_BUG_LIST(X)                                                     \
    X(SKIP_LOG_SYNC, "reports a batch durable without syncing the log")        \
    X(EARLY_WATERMARK, "writes a watermark that is not durable yet")           \
    X(ACCEPT_CHECKSUM, "accepts a log record with a bad checksum")             \
    X(ACCEPT_BLOCK, "accepts a block of a table with a bad checksum")          \
    X(ACCEPT_ENDS, "accepts both ends of a table with a bad checksum")         \
    X(ACCEPT_MANIFEST, "accepts a manifest with a bad checksum")               \
    X(VERIFY_PASSES_LOG, "verifies, and does not tell of a damaged record")    \
    X(SKIP_DIR_SYNC, "does not sync the directory after a new manifest")       \
    X(SKIP_MANIFEST_SYNC, "renames a manifest that is not synced")             \
    X(SKIP_FOLDER_SYNC, "syncs the name of a new folder, not the folder")      \
    X(SERVE_EARLY, "serves replayed records before they are durable again")    \
    X(REFUSE_TORN, "takes a plain torn batch for damage")                      \
    X(CUT_DAMAGE, "cuts a damaged middle of the log as if it were the tail")   \
    X(FORGET_ONCE, "drops command ids when it replays the log")                \
    X(FORGET_MARK, "gives a truncated number again")                           \
    X(HALF_COMMIT, "replays a commit without its last edit")                   \
    X(IGNORE_READ_ONLY, "goes on writing after a failed sync")                 \
    X(DELETE_RENAMED, "deletes a table that a renamed manifest lists")         \
    X(FAILED_TABLE_STAYS, "leaves the table of a manifest that failed")        \
    X(PASS_EMPTY_SEGMENT, "counts beyond a segment that is not listed")        \
    X(KEEP_COPIES, "leaves the copies of an opening that failed")              \
    X(SYNC_NAMES_ONCE, "takes an interrupted sync of names for a failed one")  \
    X(HALF_MADE_STAYS, "leaves a segment that could not be made ready")        \
    X(TRUST_RENAMES, "replaces a manifest while the other is not durable")     \
    X(SHOW_UNDURABLE, "shows what is not durable after a failed sync")         \
    X(SKIP_TABLE_SYNC, "lists a table that is not synced")                     \
    X(SKIP_TABLE_NAME_SYNC, "lists a table whose name is not durable")         \
    X(MERGE_FORGETS_ONCE, "drops command ids when it merges tables")           \
    X(MERGE_FORGETS_DELETE, "drops a deletion that an older table needs")      \
    X(PAID_MERGE_FORGETS, "drops such a deletion in merges reads paid for")    \
    X(MERGE_FORGETS_BLOB, "drops the places of blobs when it merges tables")   \
    X(BLOB_NO_SYNC, "names a blob in the log that is not synced")              \
    X(BLOB_LATE_SYNC, "syncs a pack after the log that names its bytes")       \
    X(BLOB_NO_NAME_SYNC, "names a blob whose own name is not durable")         \
    X(GIVE_TWICE, "gives one number to two events of a commit")                \
    X(FULL_DISK_STOPS, "stops writing for good when the disk is full")         \
    X(UNDO_NOTHING, "leaves half of a commit when memory runs out")            \
    X(REFUSED_LEAVES_STREAM, "makes the stream of a commit that is refused")   \
    X(ONCE_ANY_COMMAND, "takes another command for one that was done")         \
    X(EXPECT_ANY_VALUE, "lets an expectation of a value always hold")          \
    X(WRITE_ONE_EXTENT, "writes of a batch what fits in one segment")          \
    X(SYNC_ONE_SEGMENT, "syncs one of the segments of a batch")                \
    X(SKIP_HEADER_SYNC, "uses a segment whose header is not synced")           \
    X(SKIP_SEGMENT_NAME_SYNC, "uses a segment whose name is not durable")      \
    X(TRIM_LIVE, "frees segments that no table stands for")                    \
    X(TRUNCATE_SHORT, "truncates one event too few")                           \
    X(FLUSH_FORGETS_STREAM, "flushes no stream that has no event left")        \
    X(FLUSH_FORGETS_DELETE, "flushes no deletion")                             \
    X(FLUSH_WRONG_ANCHOR, "counts one event too many in a table")              \
    X(FORGET_POSITION, "gives positions again after a flush")                  \
    X(DELETE_FIRST, "deletes merged tables before the manifest")               \
    X(MERGE_KEEPS_OLDEST, "keeps of merged tables the oldest value")           \
    X(MERGE_FORGETS_MARK, "drops empty streams when it merges tables")         \
    X(MERGE_SHORTENS_ORDER, "drops the order of the newest merged table")      \
    X(FILTER_MISSES, "enters names in the filter by another hash")             \
    X(CACHE_MIXES_TABLES, "takes the block of another table from the cache")   \
    X(SNAPSHOT_MOVES, "shows later commits to an open cursor")                 \
    X(FREE_READ_LAYERS, "frees the layers that an open cursor reads")          \
    X(DURABLE_SHOWS_ALL, "shows in the durable view what is not durable")      \
    X(BACK_STOPS, "reads backwards one layer only")                            \
    X(SCAN_REPEATS, "begins a scan with the key it comes after")               \
    X(SHOW_DELETED, "lists deleted keys")                                      \
    X(STAY_CLEAN, "opens a store without marking it as in use")                \
    X(LOG_FORGETS_STATE, "logs a stream that tables have as a new one")        \
    X(LOG_SHORT_FLOOR, "logs that a truncation left one event more")           \
    X(COPY_KEEPS_WATERMARK, "copies records as if they had been written new")  \
    X(SKIP_COPY_SYNC, "lists copied segments that are not synced")             \
    X(LOOK_NO_FURTHER, "does not look for records behind damage")              \
    X(RECYCLE_LISTED, "recycles segments that the manifest lists")             \
    X(BLOB_NO_VERIFY, "does not compare a blob with its name")                 \
    X(REPLY_EARLY, "replies before the sync")                                  \
    X(REFUSAL_EARLY, "lets errors overtake the sync of what they saw")         \
    X(REQUEST_EARLY, "asks the outside before the sync")                       \
    X(PACK_FORGETS_FAILURE, "forgets that the sync of a pack has failed")      \
    X(FAILED_MEANWHILE, "acknowledges a sync after another one failed")        \
    X(COUNT_FROM_ANY, "counts on from a file with any number")                 \
    X(ACCEPT_LAST_NUMBERS, "takes a manifest that leaves no number")           \
    X(STORE_ANY_MANIFEST, "stores a manifest that it would not read")          \
    X(REPEAT_ANY_BLOB, "takes a blob for whole because the index has it")      \
    X(IGNORE_CUT, "takes a segment that was cut short for a whole one")        \
    X(HEADER_BEFORE_SIZE, "writes a segment's header before its size is safe") \
    X(PACE_WITHOUT_END, "makes log segments by all that was ever logged")      \
    X(LOST_SAYS_OK, "says ok to what a failed sync has lost")                  \
    X(CANCELLED_INSIDE, "lets a thread be cancelled within a call")            \
    X(NAMES_COST_NOTHING, "takes commits that name millions of streams")       \
    X(FULL_DISK_TAKES_ALL, "keeps no space for commits that free some")        \
    X(FULL_DISK_STAYS_FULL, "gives nothing back to what will free space")      \
    X(DEAD_STAYS, "never lets dead space go by itself")                        \
    X(REPLACED_WAIT, "keeps replaced tables until there is another merge")     \
    X(TRUNCATED_COUNTS_NOTHING, "does not count what a truncation frees")      \
    X(CLOSED_CURSOR_KEEPS, "deletes nothing when the last reader is gone")     \
    X(THREADS_TAKE_SIGNALS, "lets its own threads take signals")               \
    X(NO_LOOK_AT_PATH, "does not look whether its directory was replaced")     \
    X(LOCK_FILE_ONLY, "holds the file, and not the directory")                 \
    X(FORK_UNSEEN, "lets a forked process use the handle")                     \
    X(FORK_KEEPS_LOCK, "leaves the lock with a forked process")                \
    X(WRITE_HARD_LINK, "writes to files that have a second name")              \
    X(READ_ONLY_EARLY, "shows what a crash left before it is durable")         \
    X(CLOSE_OVER_NOTHING,                                                      \
      "copies a local into a closure before its definition")                   \
    X(MARK_SKIPS_WORD, "does not mark what stands behind a nested object")     \
    X(HALF_STEP, "keeps half of a step that is tried again")                   \
    X(SPLICE_SHARED, "gives a list with nothing spliced to each entry")        \
    X(RANGE_BY_QUOTIENT, "counts a range by the quotient of its distance")     \
    X(SUM_FROM_ZERO, "begins a sum of floats with the integer zero")           \
    X(UNSEEDED_HASH, "hashes names as every other process does")               \
    X(FLUSH_FORGETS_RUNNING, "a failed flush forgets the evaluation it is in") \
    X(RESERVE_STAYS, "keeps its reserve when the disk is full")                \
    X(FULL_DISK_STAYS_SHUT, "cannot be opened to be read on a full disk")      \
    X(BLOB_WITH_A_HOLE, "goes on with a blob after a failed write")            \
    X(WRITE_TO_DELETED, "acknowledges what goes to a file that was deleted")   \
    X(REST_ON_LATEST, "rests replies on the newest lsn, which may fall back")  \
    X(PRINT_EARLY, "prints before the sync")                                   \
    X(DEAF_WITH_OPS, "looks around in no evaluation that performs ops")        \
    X(HOLD_REPLIES, "lets a long evaluation hold earlier replies back")        \
    X(DEAF_TO_OUTPUT, "does not see that nobody reads its output any more")    \
    X(END_LATE, "ends when the program looks around, and not before")          \
    X(MEMORY_UNSWEPT, "keeps in memory what a refused commit has made")        \
    X(PREFIX_OF_ANY_SIZE, "leaves the size of a prefix to who comes after")    \
    X(NEGATIVE_IS_ZERO, "tells of a number below 0 that it was 0")             \
    X(EXPECT_BELOW_ZERO, "takes a number below 0 for a mark")                  \
    X(ANY_ABSENT, "takes {:absent false} for an absence")                      \
    X(END_EARLY, "ends at once, without a sync of what was accepted")

enum {
    BUG_NONE,
#define SEEDED_BUG_ENUM(name, text) BUG_##name,
    SEEDED_BUG_LIST(SEEDED_BUG_ENUM)
#undef SEEDED_BUG_ENUM
        BUG_COUNT
};

#ifdef SEEDED_BUGS
#include <stdbool.h>

extern int seeded_bug; /* the one that is on */
/* The name of a bug, and what the engine then does wrong. */
const char *seeded_bug_name(int bug);
const char *seeded_bug_text(int bug);
/* Switches a bug on; false for a name that is none. */
bool seeded_bug_choose(const char *name);
#define SEEDED_BUG(name) (seeded_bug == BUG_##name)
#else
#define SEEDED_BUG(name) 0
#endif

#endif
