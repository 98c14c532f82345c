/* SPDX-License-Identifier: MIT */
/* The manifest: its bytes. */
#include "engine/files/manifest.h"

#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    ENTRY_SIZE = 40,
    TABLE_SIZE = 32,
    FIXED_SIZE = 192, /* all but the entries */
    FIXED_SIZE_2 = 112,
    PARENT_END = 168, /* from here to the entries there are zeros */
    CHECKSUM_SIZE = 8,
    CLEAN = 1,
    MERGED = 2,
};

static const char magic[8] = "manifst";
void manifest_release(manifest *m)
{
    mem_free(m->segments);
    mem_free(m->tables);
    gaps_release(&m->gaps);
    *m = (manifest){0};
}

bool manifest_add(manifest *m, segment_entry entry)
{
    CHECK(entry.number != 0 && entry.end <= entry.size);
    if (!mem_grow(&m->segments, m->segment_count, 1, &m->segment_capacity,
                  sizeof *m->segments))
        return false;
    m->segments[m->segment_count++] = entry;
    return true;
}

bool manifest_add_table(manifest *m, table_file entry)
{
    CHECK(entry.number != 0 && entry.first <= entry.last);
    if (!mem_grow(&m->tables, m->table_count, 1, &m->table_capacity,
                  sizeof *m->tables))
        return false;
    m->tables[m->table_count++] = entry;
    return true;
}

bool manifest_lists(const manifest *m, uint64_t segment)
{
    CHECK(segment != 0);
    for (size_t i = 0; i < m->segment_count; i++)
        if (m->segments[i].number == segment)
            return true;
    return false;
}

bool manifest_lists_table(const manifest *m, uint64_t number)
{
    CHECK(m->table_count == 0 || m->tables != NULL);
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].number == number)
            return true;
    return false;
}

persist_lsn manifest_tables_last(const manifest *m)
{
    return m->table_count == 0 ? 0 : m->tables[m->table_count - 1].last;
}

bool manifest_copy_tables(manifest *m, const manifest *from)
{
    m->table_count = 0;
    m->next_table = from->next_table;
    m->next_position = from->next_position;
    m->streams = from->streams;
    m->keys = from->keys;
    m->events = from->events;
    m->time = from->time;
    for (size_t i = 0; i < from->table_count; i++)
        if (!manifest_add_table(m, from->tables[i]))
            return false;
    return true;
}

bool manifest_copy_self(manifest *m, const manifest *from)
{
    m->identity = from->identity;
    m->features = from->features;
    memcpy(m->id, from->id, sizeof m->id);
    memcpy(m->parent, from->parent, sizeof m->parent);
    return gaps_copy(&m->gaps, &from->gaps);
}

persist_lsn manifest_next_lsn(const manifest *m)
{
    return gaps_next(&m->gaps, m->watermark);
}

/* ---- bytes ------------------------------------------------------------ */

void manifest_encode(const manifest *m, buf *b)
{
    CHECK(b->size == 0);
    buf_put(b, magic, sizeof magic);
    buf_put_u32(b, FORMAT_VERSION);
    buf_put_u32(b, (m->clean ? CLEAN : 0) | (m->gaps.merged ? MERGED : 0));
    buf_put_u64(b, m->identity);
    buf_put_u64(b, m->generation);
    buf_put_u64(b, m->epoch);
    buf_put_u64(b, m->watermark);
    buf_put_u64(b, m->next_segment);
    buf_put_u64(b, m->segment_count);
    buf_put_u64(b, m->next_table);
    buf_put_u64(b, m->table_count);
    buf_put_u64(b, m->next_position);
    buf_put_u64(b, m->streams);
    buf_put_u64(b, m->keys);
    buf_put_u64(b, m->events);
    buf_put_u64(b, m->features);
    buf_put_u64(b, m->time);
    buf_put_u64(b, m->gaps.count);
    buf_put(b, m->id, sizeof m->id);
    buf_put(b, m->parent, sizeof m->parent);
    for (size_t i = PARENT_END; i < FIXED_SIZE; i++)
        buf_put_byte(b, 0);
    for (size_t i = 0; i < m->segment_count; i++) {
        const segment_entry *e = &m->segments[i];
        buf_put_u64(b, e->number);
        buf_put_u64(b, e->size);
        buf_put_u64(b, e->first);
        buf_put_u64(b, e->last);
        buf_put_u64(b, e->end);
    }
    for (size_t i = 0; i < m->table_count; i++) {
        buf_put_u64(b, m->tables[i].number);
        buf_put_u64(b, m->tables[i].size);
        buf_put_u64(b, m->tables[i].first);
        buf_put_u64(b, m->tables[i].last);
    }
    gaps_encode(&m->gaps, b);
    if (!b->failed)
        buf_put_u64(b, hash_xxh3(buf_slice(b)));
}

persist_status manifest_damaged(persist_error *error, const char *what)
{
    CHECK(what[0] != '\0');
    return status_set(error, PERSIST_CORRUPT,
                      "the manifest is damaged (%s); restore the store from a "
                      "backup",
                      what);
}

/* Entries follow each other without gaps; the first begins where the tables
 * end, or before. */
static bool entry_follows(const manifest *m, const segment_entry *e)
{
    uint64_t number = 0;
    persist_lsn last = e->first - 1;
    if (m->segment_count > 0) {
        number = m->segments[m->segment_count - 1].number;
        last = m->segments[m->segment_count - 1].last;
    }
    return e->number > number && e->number < m->next_segment && e->first > 0 &&
           e->first == last + 1 && e->last >= e->first &&
           e->end > SEGMENT_HEADER_SIZE && e->end % LOG_ALIGN == 0 &&
           e->end <= e->size && e->size >= SEGMENT_SIZE_MIN &&
           e->size <= SEGMENT_SIZE_MAX;
}

static persist_status decode_entries(cursor *c, uint64_t count, manifest *out,
                                     persist_error *error)
{
    for (uint64_t i = 0; i < count; i++) {
        segment_entry e = {.number = cursor_u64(c)};
        e.size = cursor_u64(c);
        e.first = cursor_u64(c);
        e.last = cursor_u64(c);
        e.end = cursor_u64(c);
        if (c->failed || !entry_follows(out, &e))
            return manifest_damaged(error, "segments");
        if (!manifest_add(out, e))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

static persist_status decode_tables(cursor *c, uint64_t count, manifest *out,
                                    persist_error *error)
{
    for (uint64_t i = 0; i < count; i++) {
        table_file t = {.number = cursor_u64(c)};
        t.size = cursor_u64(c);
        t.first = cursor_u64(c);
        t.last = cursor_u64(c);
        if (c->failed || t.number == 0 || t.number >= out->next_table ||
            t.size < TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE ||
            t.first != manifest_tables_last(out) + 1 || t.last < t.first)
            return manifest_damaged(error, "tables");
        if (!manifest_add_table(out, t))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

static bool survived(const manifest *m, persist_lsn lsn)
{
    return gaps_judge(&m->gaps, lsn) != LSN_LOST;
}

/* What is listed ends with commits that survived, and not before the newest
 * gap. */
static bool gaps_agree(const manifest *m)
{
    for (size_t i = 0; i < m->segment_count; i++)
        if (!survived(m, m->segments[i].last))
            return false;
    for (size_t i = 0; i < m->table_count; i++)
        if (!survived(m, m->tables[i].last))
            return false;
    return gaps_may_end(&m->gaps, m->watermark) &&
           manifest_next_lsn(m) <= COUNT_MAX - COUNT_LEFT &&
           (!m->gaps.merged || m->gaps.count > 0);
}

/* The log goes on where the tables end, up to the watermark. */
static bool lsns_agree(const manifest *m)
{
    persist_lsn tables = manifest_tables_last(m);
    if (!gaps_agree(m))
        return false;
    if (m->segment_count == 0)
        return m->watermark == tables;
    return m->segments[0].first <= tables + 1 && m->watermark >= tables &&
           m->watermark == m->segments[m->segment_count - 1].last;
}

/* Whoever counts on from here comes to the next manifest before the end of the
 * numbers. */
static bool is_count(uint64_t number)
{
    return number > 0 && number <= COUNT_MAX - COUNT_LEFT;
}

/* The version, once the checksum says that the rest is as it was written. */
static persist_status check_version(cursor *c, slice bytes, uint32_t *version,
                                    persist_error *error)
{
    slice begins = cursor_bytes(c, sizeof magic);
    if (begins.data == NULL || memcmp(begins.data, magic, sizeof magic) != 0)
        return manifest_damaged(error, "not a manifest");
    *version = cursor_u32(c);
    if (c->failed || cursor_left(c) < CHECKSUM_SIZE)
        return manifest_damaged(error, "too short");
    cursor tail = cursor_of(
        slice_of((const uint8_t *)bytes.data + bytes.size - CHECKSUM_SIZE,
                 CHECKSUM_SIZE));
    slice summed = slice_of(bytes.data, bytes.size - CHECKSUM_SIZE);
    if (cursor_u64(&tail) != hash_xxh3(summed))
        return manifest_damaged(error, "checksum");
    if (!format_is_known(*version))
        return status_set(error, PERSIST_BAD_STORE,
                          "the store has format version %u, this program reads "
                          "the versions %u to %u; use %s program",
                          *version, FORMAT_OLDEST, FORMAT_VERSION,
                          *version > FORMAT_VERSION ? "a newer" : "an older");
    uint32_t fixed = *version < FORMAT_VERSION ? FIXED_SIZE_2 : FIXED_SIZE;
    return bytes.size < fixed + CHECKSUM_SIZE
               ? manifest_damaged(error, "too short")
               : PERSIST_OK;
}

static void take_id(cursor *c, uint8_t id[IDENTITY_SIZE])
{
    slice bytes = cursor_bytes(c, IDENTITY_SIZE);
    CHECK(bytes.size == IDENTITY_SIZE);
    memcpy(id, bytes.data, IDENTITY_SIZE);
}

/* What came with version 3: features, the time, the identity, and zeros. */
static persist_status decode_rest(cursor *c, manifest *out, uint64_t *gap_count,
                                  persist_error *error)
{
    uint64_t features = out->features = cursor_u64(c);
    out->time = cursor_u64(c);
    *gap_count = cursor_u64(c);
    take_id(c, out->id);
    take_id(c, out->parent);
    slice zeros = cursor_bytes(c, FIXED_SIZE - PARENT_END);
    CHECK(!c->failed);
    if ((features & ~FORMAT_FEATURES) != 0)
        return status_set(error, PERSIST_BAD_STORE,
                          "the store has features (%llx) that this program "
                          "does not know; use a newer program",
                          (unsigned long long)(features & ~FORMAT_FEATURES));
    for (size_t i = 0; i < zeros.size; i++)
        if (((const uint8_t *)zeros.data)[i] != 0)
            return manifest_damaged(error, "fields");
    return PERSIST_OK;
}

static bool counts_agree(const manifest *m)
{
    return m->epoch <= EPOCH_MAX && is_count(m->generation) &&
           is_count(m->next_segment) && is_count(m->next_table) &&
           m->next_position > 0 && m->next_position <= PERSIST_SEQ_MAX + 1 &&
           (m->watermark == 0 || is_count(m->watermark)) &&
           m->streams <= COUNT_MAX && m->keys <= COUNT_MAX &&
           m->events <= COUNT_MAX && m->time <= PERSIST_SEQ_MAX;
}

/* The fields in front; how many entries of each kind follow. */
static persist_status decode_fixed(cursor *c, uint32_t version, manifest *out,
                                   uint64_t counts[3], persist_error *error)
{
    uint32_t flags = cursor_u32(c);
    uint32_t known = version > 2 ? CLEAN | MERGED : CLEAN;
    out->clean = (flags & CLEAN) != 0;
    out->gaps.merged = (flags & MERGED) != 0;
    out->identity = cursor_u64(c);
    out->generation = cursor_u64(c);
    out->epoch = cursor_u64(c);
    out->watermark = cursor_u64(c);
    out->next_segment = cursor_u64(c);
    counts[0] = cursor_u64(c);
    out->next_table = cursor_u64(c);
    counts[1] = cursor_u64(c);
    out->next_position = cursor_u64(c);
    out->streams = cursor_u64(c);
    out->keys = cursor_u64(c);
    out->events = cursor_u64(c);
    counts[2] = 0;
    persist_status status = PERSIST_OK;
    if (version > 2) /* a feature may be what gives other bits a meaning */
        status = decode_rest(c, out, &counts[2], error);
    else /* no other was there: so it is one, also where nothing is written */
        memcpy(out->id, &out->identity, sizeof out->identity);
    if (status == PERSIST_OK && (flags & ~known) != 0)
        status = manifest_damaged(error, "fields");
    return status;
}

persist_status manifest_decode(slice bytes, manifest *out, persist_error *error)
{
    cursor c = cursor_of(bytes);
    uint32_t version = 0;
    uint64_t counts[3]; /* segments, tables, gaps */
    bool memory;
    persist_status status = check_version(&c, bytes, &version, error);
    if (status == PERSIST_OK)
        status = decode_fixed(&c, version, out, counts, error);
    if (status == PERSIST_OK)
        status = decode_entries(&c, counts[0], out, error);
    if (status == PERSIST_OK)
        status = decode_tables(&c, counts[1], out, error);
    if (status != PERSIST_OK)
        return status;
    if (!gaps_decode(&c, counts[2], &out->gaps, &memory))
        return memory ? manifest_damaged(error, "gaps")
                      : status_no_memory(error);
    if (cursor_left(&c) != CHECKSUM_SIZE || !counts_agree(out))
        return manifest_damaged(error, "fields");
    return lsns_agree(out) ? PERSIST_OK : manifest_damaged(error, "watermark");
}
