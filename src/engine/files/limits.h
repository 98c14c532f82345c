/* SPDX-License-Identifier: MIT */
/* Every bound of the engine, and how the bounds depend on each other. */
#ifndef ENGINE_FILES_LIMITS_H
#define ENGINE_FILES_LIMITS_H

#include "base/check.h"
#include "persist.h"

/* Blobs up to this size share files, packs; bigger ones have their own. A pack
 * has room for so many of the biggest of them. */
#define PACKED_MAX_DEFAULT (1u << 20)
#define PACKED_MAX_MAX (64u << 20)
#define PACK_BLOBS 64u
/* Where a blob begins in a pack: at a sector. */
#define PACK_ALIGN 512u
/* A large blob is hashed and written in pieces of this size. */
#define BLOB_PIECE_SIZE (512u << 10)
/* From this part of the largest packed blob on, 16 KiB by default, writing
 * ahead of hashing pays. */
#define BLOB_AHEAD_SHARE 64u
/* A blob that is put again is as old as that put within so many microseconds.
 */
#define BLOB_RENEW_US UINT64_C(60000000)
/* Files of deleted blobs that one step takes away; and that wait, without a
 * thread, until a sync of the caller's covers them. */
#define GONE_STEP 64u
#define GONE_MAX 1024u
/* Parts of a blob that are read on their own are checked on their own. */
#define BLOB_PART_SIZE (64u << 10)
/* Blobs whose beginnings, of so many bytes, are remembered. */
#define BLOBS_SEEN 1024u
#define BLOB_BEGINNING 4096u
/* Large blobs that are not compared again while nobody writes to their files.
 */
#define BLOBS_COMPARED 1024u

/* Version of everything in a store directory; docs/FORMAT.md. Files of an older
 * one are read as they are, from this one on. */
#define FORMAT_VERSION 3u
#define FORMAT_OLDEST 2u
static inline bool format_is_known(uint64_t version)
{
    return version >= FORMAT_OLDEST && version <= FORMAT_VERSION;
}
/* What a store may hold beyond its version, a bit each: blobs that were
 * deleted, and the times of others. These are known. */
#define FEATURE_BLOBS_GO UINT64_C(1)
#define FORMAT_FEATURES FEATURE_BLOBS_GO

/* Parts of a log segment start at multiples of this. */
#define LOG_ALIGN 8u
/* The header has a sector of its own: later writes never touch it. */
#define SEGMENT_HEADER_SIZE 512u
#define SEGMENT_SIZE_DEFAULT (4u << 20)
#define SEGMENT_SIZE_MIN 4096u
#define SEGMENT_SIZE_MAX (1u << 30)
/* The first segment that an opening makes is this part of the usual size; the
 * next ones, up to the usual size, so many times what it has written. */
#define SEGMENT_FIRST_SHARE 64u
#define SEGMENT_GROWTH 4u
/* A segment that is not of the usual size is a multiple of this. */
#define SEGMENT_ROUND 4096u
/* Segments that the background keeps ready. */
#define SEGMENT_SPARES 2u
/* Where the disk has no room for the usual size, smaller ones are made, down to
 * this part of it, if what adds needs no more; and what only truncates and
 * deletes takes no more of a disk that is full. */
#define SEGMENT_LITTLE_SHARE 256u

/* The reserve: what is kept on the disk for the way out when it is full. */
/* For the table of a memtable: as much as its log, and this part of that. */
#define RESERVE_TABLE_SHARE 8u
/* For what is in tables already: so much at the least; and what the notes take
 * that delete all of it, for a stream twice so much, as for a key where no
 * table tells better. That is kept always up to this part of the tables, and
 * this; all of it where the disk has no room for twice as much, and so many
 * memtables.
 */
#define RESERVE_MIN (64u << 10)
#define RESERVE_NOTE 32u
/* Of a stream that is truncated there may be two, while tables are merged. */
#define STREAM_NOTES 2u
/* A name of this part of a leaf is long: what shorter ones take of the blocks
 * above is less than the eighth that a table has more than its log. */
#define LONG_NAME_SHARE 16u
/* What an event takes of a table for each tag, besides the tag and names. */
#define POSTING_OVERHEAD 24u
#define RESERVE_NOTES_SHARE 16u
#define RESERVE_NOTES_MAX (16u << 20)
#define RESERVE_MEMTABLES 4u
/* What a byte of the log comes to beside it is counted in parts of this. */
#define LOG_SHARE_ONE (64u << 10)
/* This part of the notes more, for a round in its log and for merging them. */
#define RESERVE_NOTES_MORE 3u
/* Of that, so much is not for segments of what deletes: a table, and manifests.
 * The last is for those alone, whatever else finds no room. */
#define RESERVE_UPKEEP_MIN (24u << 10)
#define RESERVE_LAST_MIN (12u << 10)
/* So much that the log has ahead, and nothing can be kept for, is worth leaving
 * it for a segment of what frees space. */
#define RESERVE_TAIL_MIN (64u << 10)
/* Files that are kept for when the disk has none to give. An opening after a
 * kill makes two, a copy of the log's end and a manifest, while the files that
 * these replace are still needed, and the next one as much again; a deletion
 * makes one of the log, a table and a manifest; and what is replaced goes two
 * manifests later. So commits that add leave that many, and two more where the
 * store has no table, and one file of the log only: it comes to have them. */
#define RESERVE_FILES 8u
#define RESERVE_FILES_ADD 6u
/* Of those, what segments of commits that delete leave: for the table that the
 * log becomes, for one that this and others are merged into, without which no
 * file comes back, and for the manifests, which alone get the last. */
#define RESERVE_FILES_UPKEEP 3u
#define RESERVE_FILES_MERGE 2u
#define RESERVE_FILES_LAST 1u
/* Where there is not enough for it, it grows in pieces down to this. */
#define RESERVE_PIECE_MIN 2048u
/* On a full disk a memtable that deletes is flushed when its log has this part
 * of it. */
#define RESERVE_ROUND_SHARE 8u
/* Files that wait to become spares; more are deleted. */
#define SEGMENT_FREE_MAX 4u

#define RECORD_HEADER_SIZE 48u
/* What an edit costs in a record besides its name and data, and what its tags
 * count for, at most. */
#define RECORD_EDIT_OVERHEAD 19u
#define RECORD_BODY_MAX (128u << 20)

/* Room for so many edits of a commit stays from one to the next. */
#define PLAN_KEPT 1024u

/* Who holds the directory is looked at no more often than this; each name in
 * it, where none is known to have changed, no more often than that. */
#define LOOK_AGAIN_US 50u
#define LOOK_AT_ALL_US 100000u

/* The log that is kept for whoever follows it, beside what the store needs; and
 * how much of it is handed out at a time, or one record. */
#define SHIP_BEHIND_MAX (64u << 20)
#define SHIP_PIECE (256u << 10)
/* Whoever waits for more looks this often whether waits were ended. */
#define SHIP_LOOK_US 20000u

/* Records that wait in memory to be written, two segments of them but no more
 * than this; a bigger one waits alone. */
#define LOG_BUFFER_SEGMENTS 2u
#define LOG_BUFFER_SIZE_MAX (8u << 20)

/* A log to which nothing came for so long, and up to as much again, gets its
 * proof. */
#define PROOF_AFTER_US 50000u

/* Damage is looked behind for valid records: this many times the length of a
 * segment is hashed for it at the most. */
#define LOOK_AHEAD_FACTOR 16u

/* A stray segment whose first bytes, so many, are zeros was never written to:
 * no more of it is read. */
#define LOOK_EMPTY (64u << 10)

/* Recovery writes the end of the log again; a piece that would be left in
 * front, of at most this part of a segment, is written again with it. */
#define COPY_WHOLE_SHARE 16u

/* An opening gives no more lsns than this beyond what is durable; so one that
 * follows an unclean end begins so much higher than what survived. */
#define LSN_AHEAD ((uint64_t)1 << 24)
/* Gaps between lsns that a manifest keeps, of some six bytes each. */
#define GAPS_MAX 4096u

/* What counts manifests, commits and files stays below. */
#define COUNT_MAX (UINT64_MAX / 2)
/* A manifest leaves so much to count on: more than a store gets through before
 * the next one. */
#define COUNT_LEFT ((uint64_t)1 << 40)
/* No opening makes so many files: one that is numbered so far ahead of the
 * next is not the store's. */
#define NUMBER_REACH ((uint64_t)1 << 32)
/* Openings that a store can have: the numbers of packs hold the epoch. */
#define EPOCH_MAX (UINT32_MAX / 2 - 1)
/* What is left then: an opening that writes nothing takes no number. */
#define USED_UP_ADVICE                                                         \
    "open it where nothing may be written (a disk mounted read-only), and "    \
    "put "                                                                     \
    "what it holds into a new one"

#define MANIFEST_SIZE_MAX (64u << 20)
/* Of a store, random. */
#define IDENTITY_SIZE 16u

/* Events of one stream lie in chunks: the first has room for one, as many
 * streams have no more; then they grow from the first size to the other. A
 * bigger event has a chunk of its own. */
#define CHUNK_SIZE_FIRST 512u
#define CHUNK_SIZE_MAX (16u << 10)
/* What an entry costs in memory besides its own struct, roughly. */
#define NAME_OVERHEAD 96u
#define ALLOCATION_OVERHEAD 16u
/* Events in one block of the order of all events. */
#define ORDER_BLOCK 1024u
/* So many cursors and reads at a time say what they use without a lock, each
 * in a place of its own of so many bytes. */
#define READERS_MAX 32u
#define READER_ROOM 128u
/* What a cursor over keys or over all streams takes in one look. */
#define CURSOR_BATCH 128u
/* So many events that have come since a condition was looked at are compared
 * one by one, under the writer's lock. */
#define EXPECT_NEAR 64u
/* Events that a cursor over a stream decodes at a time. */
#define CURSOR_EVENTS 32u
/* Blobs that a listing reads at a time, about, and at the most: they are sorted
 * in memory. */
#define LIST_PART 128u
#define LIST_PART_MAX 1024u
/* Matches of a query that are looked up together, and streams whose place it
 * remembers meanwhile. */
#define QUERY_AHEAD 16u
#define QUERY_STREAMS 16u
/* Bytes of a stream's name that need no memory of their own in a cursor. */
#define CURSOR_SHORT_NAME 64u

/* Bytes of a memtable, and of the log that it stands for, before it becomes a
 * table. Two of them at the most are in memory, and to be replayed. */
#define MEMTABLE_SIZE_DEFAULT (8u << 20)
/* And edits: small ones take longer to replay than their bytes would. */
#define MEMTABLE_EDITS_MAX (48u << 10)
/* So many tags of events count as one. */
#define TAGS_AN_EDIT 4u
/* Events and tags of a memtable that are indexed at a time, 0.1 ms: commits and
 * other readers wait. */
#define TAGS_A_STEP 1024u
/* Memory that flushes sort tags in is kept for so long, microseconds. */
#define TAGS_REST_US 250000u
/* So many tags are worth a thread that sorts them, once commits have waited so
 * long for a flush. */
#define TAGS_APART 4096u
#define TAGS_APART_US 2000u
/* Closing leaves no more log than this for the next opening to replay. */
#define CLOSE_LOG_SHARE 32u /* a memtable's size divided by it */

/* Blocks of a table are cut at this size; a bigger entry has its own. */
#define BLOCK_SIZE_MAX (32u << 10)
#define BLOCK_SIZE_MIN 64u
#define BLOCKS_OF_MEMTABLE 64u /* smaller memtables have smaller blocks */
#define BLOCK_HEADER_SIZE 32u
/* Who goes from leaf to leaf asks for so many bytes ahead; who reads a stream,
 * for so many tables, and so many bytes of each. */
#define AHEAD_SIZE (128u << 10)
#define TABLES_AHEAD 4u
#define AHEAD_MAX (256u << 10)
/* Names are looked up one by one: their blocks are smaller by this. */
#define NAME_BLOCK_SHARE 8u
#define BLOCK_RAW_MAX (96u << 20)
/* What an entry has at the most. */
#define TABLE_ENTRY_MAX (BLOCK_RAW_MAX / 2)
#define TABLE_HEADER_SIZE 512u
#define TABLE_FOOTER_SIZE 512u
/* A run of a tag's events ends once it has so many bytes. */
#define POSTINGS_SIZE 512u
/* Read together with the footer: roots and filters are there, mostly. */
#define TABLE_TAIL (32u << 10)
/* Two entries a block make a tree this high of as many as there can be. */
#define TREE_HEIGHT_MAX 31u
#define FILTER_BITS 10u              /* a name */
#define FILTER_PART_SIZE (16u << 10) /* bytes that one look-up reads */
#define FILTER_SIZE_MAX (8u << 20)
/* Bytes of a table that are gathered before they are written. */
#define TABLE_WRITE_SIZE (256u << 10)
/* And that were written before the disk is asked to begin with them. */
#define TABLE_START_SIZE (1u << 20)

#define CACHE_SIZE_DEFAULT (16u << 20)
/* Whoever goes through more blocks than this reads much, and once: blocks that
 * come after pass the cache by. */
#define SCAN_BLOCKS 128u

/* So many tables of about one size, side by side, become one. */
#define MERGE_WIDTH_DEFAULT 8u
#define MERGE_WIDTH_MAX 64u
/* Four times as many where each name has a block of its own or more: the seek
 * in each table is paid for, and merging would gain little for what it
 * writes. */
#define MERGE_WIDTH_LONG (4 * MERGE_WIDTH_DEFAULT)
/* A merge that found no room is tried again when this part less lives. */
#define STUCK_SHARE 4u
/* On a full disk, of those that are small. */
#define MERGE_WIDTH_SMALL 4u
/* With so many tables merging goes before flushing, and writers wait. */
#define TABLES_CROWDED 128u
/* Who asks for all tables to be merged is told after so many merges that there
 * is no room; and who waits for readers looks so often, in microseconds. */
#define TIDY_TRIES 3u
#define TIDY_LOOK_US 5000u
/* Sizes count as one within this factor. */
#define MERGE_SIZE_RATIO 4u
/* So many keys of a memtable are looked up to tell how many are new. */
#define KEYS_SAMPLED 128u
/* All tables are merged when they hold this many times what is there. */
#define GARBAGE_RATIO 2u
/* What is dead in tables, or replaced, goes by itself when it is more than
 * this, or than so many memtables if they are small, and than this part of what
 * lives. */
#define DEAD_SIZE_MIN (64u << 20)
#define DEAD_MEMTABLES 8u
#define DEAD_SHARE 4u
/* What an event takes in a table besides data and the stream's name. */
#define EVENT_OVERHEAD 24u
/* No more is taken to be, in a table, what is neither an event nor a key. */
#define OTHER_ENTRY 256.0
/* One of so many puts looks for what it overwrites. */
#define PUTS_A_LOOK 256u
/* But for values of this size, in bytes. */
#define LARGE_VALUE 4096u
/* What reading wastes when tables are many, in bytes of merging that take as
 * long. A byte takes 1.5 ns; a look into one more table 30 ns (their filters
 * are asked for all at once), a tournament between tables 60 an entry, a seek
 * for more events of a stream 300, one for a tag, which leads to events all
 * over the table, 1,500; to pass over what is gone 150, in a memtable 60. A
 * flush of next to nothing takes some 6 ms. */
#define LOOK_WORTH 20u
#define ENTRY_WORTH 40u
/* So often a merge that failed doubles what the next one costs. */
#define CREDIT_VAIN_MAX 20u
#define SEEK_WORTH 200u
#define TAG_WORTH 1000u
#define GONE_WORTH 100u
#define FLUSH_WORTH (4u << 20)
/* A reader hands in what it has wasted once it is worth this part of a
 * memtable. */
#define CREDIT_SHARE 64u
/* Entries that one step of a merge moves. */
#define MERGE_STEP 4096u
/* Streams of a table that are found without looking into its blocks, if their
 * names have no more bytes than this: 50 KiB a table at the most. */
#define TABLE_HINTS 256u
#define HINT_NAME_MAX 64u
/* Places of events that queries have found in a table: no fewer, nor more. */
#define SPOTS_MIN 64u
#define SPOTS_MAX (1u << 20)
/* Of so many that cannot be noted one asks for memory. */
#define SPOTS_PATIENCE 256u
/* Streams whose place a cursor over all events remembers, at the most. */
#define CURSOR_STREAMS 128u

CHECK_STATIC(SEGMENT_HEADER_SIZE % LOG_ALIGN == 0, "records are aligned");
CHECK_STATIC(RECORD_HEADER_SIZE % LOG_ALIGN == 0, "records are aligned");
CHECK_STATIC(SEGMENT_ROUND % LOG_ALIGN == 0, "segments are aligned");
CHECK_STATIC(SEGMENT_SIZE_DEFAULT % SEGMENT_ROUND == 0, "whole pages");
CHECK_STATIC(SEGMENT_SIZE_MIN >= SEGMENT_HEADER_SIZE + RECORD_HEADER_SIZE,
             "a segment holds a record");
CHECK_STATIC(PERSIST_COMMIT_SIZE_MAX / PERSIST_EDIT_OVERHEAD *
                         RECORD_EDIT_OVERHEAD +
                     PERSIST_NAME_SIZE_MAX + PERSIST_FINGERPRINT_SIZE + 64 <=
                 RECORD_BODY_MAX,
             "every commit fits in a record");
CHECK_STATIC(RECORD_BODY_MAX + (1u << 20) <= SEGMENT_SIZE_MAX,
             "every record fits in a segment");
CHECK_STATIC(PERSIST_VALUE_SIZE_MAX <= PERSIST_COMMIT_SIZE_MAX,
             "every value fits in a commit");
CHECK_STATIC(PERSIST_VALUE_SIZE_MAX < UINT32_MAX / 2, "chunk offsets fit");
/* A command id keeps the number of each append, ten bytes at the most. */
CHECK_STATIC(PERSIST_COMMIT_SIZE_MAX / PERSIST_EDIT_OVERHEAD * 10 +
                     PERSIST_VALUE_SIZE_MAX + 2 * PERSIST_NAME_SIZE_MAX <=
                 TABLE_ENTRY_MAX,
             "every entry fits in a block");
CHECK_STATIC(TABLE_ENTRY_MAX + 8 * BLOCK_SIZE_MAX <= BLOCK_RAW_MAX,
             "behind others, too");
CHECK_STATIC(2 * MEMTABLE_SIZE_DEFAULT <= 16u << 20, "replay is bounded");
CHECK_STATIC(NUMBER_REACH < COUNT_LEFT, "what is in reach can be counted on");
CHECK_STATIC((COUNT_MAX - 2 * COUNT_LEFT) / LSN_AHEAD > EPOCH_MAX,
             "lsns outlast the openings");
CHECK_STATIC(TABLE_FOOTER_SIZE >= 320, "a footer has room for its fields");

#endif
