/* SPDX-License-Identifier: MIT */
/* A table: one immutable file that holds what a run of commits did.
 *
 * It is eight sorted trees of blocks (see docs/FORMAT.md): the streams by name,
 * each with its state as of the table's last commit; the events by stream and
 * number; the keys; the command ids; the order, which says for each position
 * the stream and number of its event; where the blobs are; the events by tag;
 * and when they were committed. A filter tells which names, and tags, are not
 * there. The footer comes
 * last: without it the file is nothing. */
#ifndef ENGINE_TABLE_TABLE_FILE_H
#define ENGINE_TABLE_TABLE_FILE_H

#include "base/status.h"
#include "engine/table/cache.h"
#include "engine/table/filter.h"
#include "os/os.h"

typedef enum table_section {
    TABLE_STREAMS,
    TABLE_EVENTS,
    TABLE_KEYS,
    TABLE_ONCES,
    TABLE_ORDER,
    TABLE_BLOBS,
    TABLE_TAGS,
    TABLE_TIMES,
    TABLE_SECTIONS,
    TABLE_FILTER = 255, /* a kind of block, not a tree */
} table_section;

/* Sections that a footer of version 2 has roots for. */
enum { TABLE_SECTIONS_2 = TABLE_TAGS };

/* Bytes of a key that need no memory of their own in an iterator. */
#define TABLE_SHORT_KEY 48u
/* That can be looked up together with others: of events. */
#define TABLE_SPOT_KEY 24u

/* Where the tables of a store are, and whose they are. */
typedef struct table_place {
    const os *sys;
    const os_dir *dir; /* the folder of the tables */
    uint64_t identity;
    /* A table found no room: makes some, so many bytes if it can, or, for 0,
     * a file; false if there is none. NULL: there is none. For those who write.
     */
    bool (*lend)(void *context, uint64_t size);
    void *context;
} table_place;

/* Writes the path of a table. Returns 0 or -ENAMETOOLONG. */
int table_path(const table_place *, uint64_t number,
               char out[PERSIST_PATH_MAX]);

/* Takes the number out of a file name; false if it is no table's name. */
bool table_number(const char *name, uint64_t *number);

/* ---- the bytes of the ends -------------------------------------------- */

typedef struct table_root {
    uint64_t offset, size; /* of the topmost block; size 0: no entries */
    uint32_t height;       /* levels of blocks */
    uint64_t entries;
} table_root;

typedef struct table_footer {
    uint32_t version; /* of the format */
    uint64_t identity, number;
    uint64_t size; /* of the file, bytes */
    persist_lsn first, last;
    table_root roots[TABLE_SECTIONS];
    uint64_t filter_offset, filter_parts, filter_part_size;
    uint64_t blocks; /* that are named by others: neither roots nor filters */
    uint64_t tags;   /* different ones */
} table_footer;

/* Encodes the header. */
void table_header_encode(uint64_t identity, uint64_t number,
                         uint8_t out[TABLE_HEADER_SIZE]);
/* Tells whether bytes are the header of a table of that store. */
bool table_header_is(slice bytes, uint64_t identity);
/* Tells whether a file that has a table's name is of this store, or was begun
 * and no more: what has the header of another one, or none, is left alone. */
bool table_is_ours(const table_place *, uint64_t number);
/* Encodes and decodes the footer; decoding fails on anything that encoding
 * does not make. */
void table_footer_encode(const table_footer *, uint8_t out[TABLE_FOOTER_SIZE]);
bool table_footer_decode(slice bytes, table_footer *out);

/* Which block this is: section and level, 0 for leaves. */
static inline uint8_t table_kind(unsigned section, unsigned level)
{
    return (uint8_t)(section + 8 * level);
}

/* A part of the filter. */
static inline uint8_t table_filter_kind(const table_footer *f)
{
    return f->version == FORMAT_OLDEST ? TABLE_SECTIONS_2 : TABLE_FILTER;
}

/* Tells whether the filter knows the names of a section, which are its keys. Of
 * TABLE_TAGS it knows the tags. */
static inline bool table_has_filter(unsigned section)
{
    return section == TABLE_STREAMS || section == TABLE_KEYS ||
           section == TABLE_ONCES || section == TABLE_BLOBS;
}

/* ---- writing ---------------------------------------------------------- */

typedef struct table_level {
    block_writer block;
    buf first_key; /* of the block in hand */
} table_level;

typedef struct table_writer {
    table_place place;
    os_file *file;
    buf out;          /* gathered, not yet written */
    uint64_t offset;  /* in the file, where `out` begins */
    uint64_t started; /* up to here the disk was asked to begin */
    uint32_t block_size;
    bool compress;
    block_packer packer;
    table_level levels[TABLE_SECTIONS][TREE_HEIGHT_MAX];
    filter filter;
    uint64_t last_tag; /* its hash */
    table_footer footer;
    persist_status status; /* the first failure */
    persist_error error;
} table_writer;

/* Begins a table file. names: about how many streams, keys and ids there will
 * be. After an error nothing is left; else end with finish or abort. */
persist_status table_begin(table_writer *, const table_place *, uint64_t number,
                           uint32_t block_size, bool compress, uint64_t names,
                           persist_error *);

/* Adds an entry; within a section keys must grow, sections may interleave.
 * A failure is kept for table_finish, see also `status`. */
void table_add(table_writer *, table_section, slice key, slice value);

/* The same with a value for which memory may have run out. */
void table_add_buf(table_writer *, table_section, slice key, const buf *value);

/* Tells whether the next entry of a section begins a block. */
bool table_begins_block(const table_writer *, table_section);

/* Ends the table and makes it durable, its name too; releases the writer.
 * After an error the file is gone. */
persist_status table_finish(table_writer *, persist_lsn first, persist_lsn last,
                            persist_error *);

/* Drops a table in the making. Safe on a zeroed writer. */
void table_abort(table_writer *);

/* ---- reading ---------------------------------------------------------- */

/* A block that an iterator stands in, and at which entry. */
typedef struct table_step {
    block_view view;
    block *held; /* what keeps the view in memory; NULL: the mapping */
    uint64_t offset;
    uint32_t at;
} table_step;

typedef enum table_top_state {
    TOP_IS_NOT_HERE,
    TOP_IS_COMING, /* somebody puts it here */
    TOP_IS_HERE,
} table_top_state;

/* The topmost block of a section, once a reader has found it in the mapping. */
typedef struct table_top {
    _Atomic table_top_state state;
    table_step step;
} table_top;

typedef struct table {
    _Atomic unsigned references;
    table_place place;
    cache *cache;
    os_file *file;
    table_footer footer;
    /* The file in memory, and a bit for each block whose checksum was right
     * since; without a mapping the file is read. */
    os_map map;
    _Atomic uint64_t *verified;
    table_top tops[TABLE_SECTIONS];
    _Atomic(struct stream_hint *) hints[TABLE_HINTS]; /* see hints.h */
    _Atomic(struct spots *) spots;                    /* see spots.h */
    _Atomic uint32_t spots_missed;   /* notes that there was no memory for */
    _Atomic uint64_t first_position; /* 0: not known, see the function */
} table;

/* Opens a table of that size; *out has one reference. PERSIST_CORRUPT if it is
 * missing or not what it should be. */
persist_status table_open(const table_place *, cache *, uint64_t number,
                          uint64_t size, table **out, persist_error *);
/* The same in two halves, for who opens many: the first begins to read what the
 * second waits for. A table that could not be opened is given back too. */
persist_status table_begin_open(const table_place *, cache *, uint64_t number,
                                uint64_t size, table **out, persist_error *);
persist_status table_end_open(table *, persist_error *);
table *table_ref(table *);
/* Gives a reference back; the last one closes the file. NULL is fine. */
void table_unref(table *);

/* Fills the error for a table whose bytes at an offset are damaged. */
persist_status table_corrupt(const table *, uint64_t offset, const char *what,
                             persist_error *);

/* The lowest position that an event of a table has. 0: it has no events, or
 * cannot tell; whoever reads it then will be told why. */
uint64_t table_first_position(table *);

/* Tells whether a name, of which filter_hash gave the hash, may be in a
 * section: PERSIST_NONE if surely not. */
persist_status table_may_have(table *, table_section, uint64_t hash,
                              persist_error *);

/* What an entry of an index block names: the block below. */
typedef struct table_child {
    uint64_t offset, size;
    uint64_t number; /* among all that index blocks name */
} table_child;

/* Decodes the value of such an entry; false if it is not well-formed. */
bool table_get_child(slice value, table_child *out);

/* Let a step stand in a section's topmost block, or in one that is named, of a
 * level (0: a leaf). After an error it stands in none; what it holds is else
 * the caller's to give back. passing: without filling the cache. */
persist_status table_load_root(table *, table_section, bool passing,
                               table_step *out, persist_error *);
persist_status table_load_child(table *, table_section, unsigned level,
                                const table_child *, bool passing,
                                table_step *out, persist_error *);

/* For table_iter.c: lets the processor fetch the front of a named leaf, if that
 * is in the mapping. */
void table_fetch_leaf(const table *, const table_child *leaf);
/* For table_iter.c: tells whether a named leaf was read before, and is at hand;
 * begins to read the bytes [from, end) of the file, or the first AHEAD_MAX of
 * them, and returns up to where. The latter is only a hint. */
bool table_was_read(table *, const table_child *leaf);
uint64_t table_start_read(table *, uint64_t from, uint64_t end);

/* For who reads a table block by block, and believes nothing: reads a block of
 * a section's level (0: a leaf), or, of TABLE_FILTER, a part of the filter,
 * from the file. What `out` holds is the caller's to give back. */
persist_status table_read_block(table *, table_section, unsigned level,
                                uint64_t offset, uint64_t size, table_step *out,
                                persist_error *);

/* A place in a section; zeroed it is at no entry. It holds the blocks it
 * stands in, and the table must be held while it does. */
typedef struct table_iter {
    table *table; /* not owned */
    table_section section;
    bool passing;     /* reads without filling the cache */
    unsigned scanned; /* leaves it has gone through from one to the next */
    uint64_t asked;   /* for the file up to here, see table_start_read */
    slice within;     /* see table_iter_within */
    unsigned height;
    /* The entry. Its key is put together here, unless it is long. */
    const uint8_t *prefix; /* which is in short_key; NULL: none */
    size_t key_size;
    uint8_t short_key[TABLE_SHORT_KEY + BLOCK_HEAD_SIZE];
    buf long_key;
    block_entry entry;
    table_step path[TREE_HEIGHT_MAX]; /* from the root to the leaf */
} table_iter;

/* Sets an iterator up, at no entry. */
void table_iter_init(table_iter *, table *, table_section, bool passing);
void table_iter_release(table_iter *);

/* Going forwards, ends it before a leaf whose first key does not begin with
 * these bytes, which stay the caller's: no more is read than is needed. */
void table_iter_within(table_iter *, slice prefix);

/* Go to the first entry whose key is at least `key`, to the last one whose
 * key is at most `key`, to the last of all, to the next and the previous one.
 * PERSIST_NONE: there is none, and the iterator is at no entry. */
persist_status table_seek(table_iter *, slice key, persist_error *);
persist_status table_seek_back(table_iter *, slice key, persist_error *);
persist_status table_seek_last(table_iter *, persist_error *);
/* As table_seek_back, in a section whose keys are numbers of eight bytes, the
 * highest first. */
persist_status table_seek_number(table_iter *, uint64_t number,
                                 persist_error *);
persist_status table_next(table_iter *, persist_error *);
persist_status table_previous(table_iter *, persist_error *);

/* Goes to the entry with exactly this key, asking the filter first if the
 * section has one. PERSIST_NONE if it is not there. */
persist_status table_find(table_iter *, slice key, persist_error *);

/* The same in a section with a filter, by a key whose filter_hash is known:
 * whoever looks into several tables hashes once. */
persist_status table_find_hashed(table_iter *, slice key, uint64_t hash,
                                 persist_error *);

/* Several entries that are looked up together, so that what each of them has
 * to wait for comes at once: aim at all, get near to all, then land. */
typedef struct table_spot {
    table_child leaf;
    table_step step; /* in the leaf, at the entry, once landed */
    block_entry entry;
    size_t key_size;
    uint8_t key[TABLE_SPOT_KEY];
} table_spot;

/* Finds the leaf where an entry with exactly this key belongs, and lets the
 * processor fetch its front. The iterator is for this alone, and at no entry;
 * it keeps the blocks above the leaf. PERSIST_NONE: the section is empty. */
persist_status table_aim(table_iter *above, slice key, table_spot *,
                         persist_error *);
/* Goes to the leaf, and lets the processor fetch the entry. */
persist_status table_near(table_iter *above, table_spot *, persist_error *);
/* Finds the entry. PERSIST_NONE: it is not there. */
persist_status table_land(const table_iter *above, table_spot *,
                          persist_error *);
/* Gives back what it holds. Safe on one that was aimed, whatever came. */
void table_spot_release(table_spot *);

/* Begins to read the leaves with the keys from `first` to `last`, AHEAD_MAX
 * bytes of them, the last ones if a reader begins there, and does not wait: a
 * hint, for an iterator that is at no entry yet. */
void table_expect(table_iter *, slice first, slice last, bool back);

/* Lets the processor fetch what table_may_have will read, if that is there. */
void table_fetch_filter(const table *, uint64_t hash);

static inline bool table_iter_valid(const table_iter *i)
{
    return i->height > 0 && i->path[i->height - 1].view.count > 0;
}

/* The block that it stands in, and the place there; to go through the entries
 * of one block without a call for each. */
static inline const table_step *table_leaf(const table_iter *i)
{
    CHECK(table_iter_valid(i));
    return &i->path[i->height - 1];
}

/* Stands at another entry of its block from now on, whose key and value are
 * not in hand. */
static inline void table_iter_set(table_iter *i, uint32_t at)
{
    CHECK(table_iter_valid(i) && at < i->path[i->height - 1].view.count);
    i->path[i->height - 1].at = at;
}

/* Key and value of the entry; they live until the iterator moves. */
static inline slice table_key(const table_iter *i)
{
    CHECK(table_iter_valid(i));
    return slice_of(i->key_size <= TABLE_SHORT_KEY ? i->short_key
                                                   : i->long_key.data,
                    i->key_size);
}

static inline slice table_value(const table_iter *i)
{
    CHECK(table_iter_valid(i));
    return i->entry.value;
}

/* Fills the error for an entry that is not well-formed, or for one in a block
 * of the iterator's table. */
persist_status table_bad_entry(const table_iter *, persist_error *);
persist_status table_bad_step(const table_iter *, const table_step *,
                              persist_error *);

/* How big the leaves of names are where blocks have that size. */
static inline uint32_t table_name_block(uint32_t block_size)
{
    uint32_t size = block_size / NAME_BLOCK_SHARE;
    return size < BLOCK_SIZE_MIN ? BLOCK_SIZE_MIN : size;
}

#endif
