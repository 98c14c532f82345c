/* SPDX-License-Identifier: MIT */
/* The manifest: encoding, and the two files that take turns. */
#include "engine/files/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    ENTRY_SIZE = 40,
    TABLE_SIZE = 32,
    FIXED_SIZE = 112, /* all but the entries */
    CHECKSUM_SIZE = 8,
    CLEAN = 1,
};

static const char magic[8] = "manifst";
static const char *const slots[2] = {"manifest.0", "manifest.1"};
static const char temporary[] = "manifest.tmp";

bool manifest_is_name(const char *name)
{
    return strcmp(name, slots[0]) == 0 || strcmp(name, slots[1]) == 0;
}

bool manifest_is_temporary(const char *name)
{
    return strcmp(name, temporary) == 0;
}

const char *manifest_name(unsigned number)
{
    CHECK(number < 2);
    return slots[number];
}

void manifest_release(manifest *m)
{
    mem_free(m->segments);
    mem_free(m->tables);
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
    for (size_t i = 0; i < from->table_count; i++)
        if (!manifest_add_table(m, from->tables[i]))
            return false;
    return true;
}

/* ---- bytes ------------------------------------------------------------ */

void manifest_encode(const manifest *m, buf *b)
{
    CHECK(b->size == 0);
    buf_put(b, magic, sizeof magic);
    buf_put_u32(b, FORMAT_VERSION);
    buf_put_u32(b, m->clean ? CLEAN : 0);
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
    if (!b->failed)
        buf_put_u64(b, hash_xxh3(buf_slice(b)));
}

static persist_status damaged(persist_error *error, const char *what)
{
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
            return damaged(error, "segments");
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
            return damaged(error, "tables");
        if (!manifest_add_table(out, t))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

/* The log goes on where the tables end, up to the watermark. */
static bool lsns_agree(const manifest *m)
{
    persist_lsn tables = manifest_tables_last(m);
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

persist_status manifest_decode(slice bytes, manifest *out, persist_error *error)
{
    if (bytes.size < sizeof magic + 4 ||
        memcmp(bytes.data, magic, sizeof magic) != 0)
        return damaged(error, "not a manifest");
    cursor c = cursor_of(bytes);
    (void)cursor_bytes(&c, sizeof magic);
    uint32_t version = cursor_u32(&c);
    if (c.failed || cursor_left(&c) < CHECKSUM_SIZE)
        return damaged(error, "too short");
    cursor tail = cursor_of(
        slice_of((const uint8_t *)bytes.data + bytes.size - CHECKSUM_SIZE,
                 CHECKSUM_SIZE));
    slice summed = slice_of(bytes.data, bytes.size - CHECKSUM_SIZE);
    if (cursor_u64(&tail) != hash_xxh3(summed))
        return damaged(error, "checksum");
    if (version != FORMAT_VERSION)
        return status_set(error, PERSIST_BAD_STORE,
                          "the store has format version %u, this program reads "
                          "version %u; use %s program",
                          version, FORMAT_VERSION,
                          version > FORMAT_VERSION ? "a newer" : "an older");
    if (bytes.size < FIXED_SIZE + CHECKSUM_SIZE)
        return damaged(error, "too short");
    uint32_t flags = cursor_u32(&c);
    out->clean = (flags & CLEAN) != 0;
    out->identity = cursor_u64(&c);
    out->generation = cursor_u64(&c);
    out->epoch = cursor_u64(&c);
    out->watermark = cursor_u64(&c);
    out->next_segment = cursor_u64(&c);
    uint64_t count = cursor_u64(&c);
    out->next_table = cursor_u64(&c);
    uint64_t table_count = cursor_u64(&c);
    out->next_position = cursor_u64(&c);
    out->streams = cursor_u64(&c);
    out->keys = cursor_u64(&c);
    out->events = cursor_u64(&c);
    persist_status status = decode_entries(&c, count, out, error);
    if (status == PERSIST_OK)
        status = decode_tables(&c, table_count, out, error);
    if (status != PERSIST_OK)
        return status;
    if (cursor_left(&c) != CHECKSUM_SIZE || flags > CLEAN ||
        out->epoch > EPOCH_MAX || !is_count(out->generation) ||
        !is_count(out->next_segment) || !is_count(out->next_table) ||
        out->next_position == 0 || out->next_position > PERSIST_SEQ_MAX + 1 ||
        (out->watermark > 0 && !is_count(out->watermark)) ||
        out->streams > COUNT_MAX || out->keys > COUNT_MAX ||
        out->events > COUNT_MAX)
        return damaged(error, "fields");
    return lsns_agree(out) ? PERSIST_OK : damaged(error, "watermark");
}

bool manifest_is_there(const os *sys, const os_dir *dir)
{
    os_stat found;
    CHECK(!dir->gone);
    return sys->stat(sys, dir, slots[0], &found) == 0 ||
           sys->stat(sys, dir, slots[1], &found) == 0;
}

/* ---- files ------------------------------------------------------------ */

static persist_status read_file(const os *sys, const os_dir *dir,
                                const char *path, buf *out,
                                persist_error *error)
{
    os_file *file;
    int code = sys->file_open(sys, dir, os_name(path), OS_READ, &file);
    if (code == -ENOENT)
        return PERSIST_NONE;
    if (code != 0)
        return os_failed(error, code, "open", path);
    uint64_t size;
    size_t got = 0;
    code = sys->file_size(sys, file, &size);
    bool too_large = code == 0 && size > MANIFEST_SIZE_MAX;
    if (code == 0 && !too_large && !buf_reserve(out, (size_t)size))
        code = -ENOMEM;
    if (code == 0 && !too_large)
        code = os_read_all(sys, file, out->data, (size_t)size, 0, &got);
    out->size = got;
    sys->file_close(sys, file);
    if (too_large)
        return damaged(error, "too large");
    return code == 0 ? PERSIST_OK : os_failed(error, code, "read", path);
}

persist_status manifest_load_one(const os *sys, const os_dir *dir,
                                 unsigned number, manifest *out,
                                 persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    CHECK(number < sizeof slots / sizeof *slots);
    *out = (manifest){0};
    int code = os_join(path, sizeof path, dir->path, slots[number]);
    if (code != 0)
        return os_failed(error, code, "open", dir->path);
    buf bytes = {0};
    persist_status status = read_file(sys, dir, path, &bytes, error);
    if (status == PERSIST_OK) {
        status = manifest_decode(buf_slice(&bytes), out, error);
        if (status == PERSIST_OK && out->generation % 2 != number)
            status = damaged(error, "in the other one's place");
    }
    if (status > PERSIST_NONE)
        status_at(error, path, STATUS_NO_OFFSET);
    buf_release(&bytes);
    return status;
}

/* The first manifest of a store is alone, later there are two. But a power cut
 * in the middle of a rename can take the name that was to be replaced, where
 * the file system has no journal. The other one is then the newest that
 * counts; and whatever it lists is there, since nothing is let go before both
 * manifests have. */
static persist_status check_pair(const char *dir, const manifest *newest,
                                 const manifest *previous, persist_error *error)
{
    CHECK(newest->generation >= previous->generation);
    if (previous->generation == 0)
        return PERSIST_OK;
    if (newest->generation == previous->generation + 1 &&
        newest->identity == previous->identity)
        return PERSIST_OK;
    return status_of_path(
        error, PERSIST_CORRUPT, dir,
        "of the manifests in %s one is older than it should be or of "
        "another store; restore the store from a backup",
        dir);
}

persist_status manifest_load(const os *sys, const os_dir *dir, manifest *newest,
                             manifest *previous, persist_error *error)
{
    *previous = (manifest){0};
    persist_status status[2];
    status[0] = manifest_load_one(sys, dir, 0, newest, error);
    if (status[0] > PERSIST_NONE)
        return status[0];
    status[1] = manifest_load_one(sys, dir, 1, previous, error);
    if (status[1] > PERSIST_NONE)
        return status[1];
    if (status[0] == PERSIST_NONE && status[1] == PERSIST_NONE)
        return PERSIST_NONE;
    if (newest->generation < previous->generation) {
        manifest swap = *newest;
        *newest = *previous;
        *previous = swap;
    }
    return check_pair(dir->path, newest, previous, error);
}

/* A new file each time: after a power cut in the middle of a rename the old
 * name may be another one of the file that became a manifest. */
static int write_temporary(const os *sys, const os_dir *dir, slice bytes,
                           os_stat *is)
{
    os_file *file;
    int code = sys->unlink(sys, dir, temporary);
    if (code == 0 || code == -ENOENT)
        code = sys->file_open(sys, dir, temporary,
                              OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                              &file);
    if (code != 0)
        return code;
    code = os_write_all(sys, file, bytes.data, bytes.size, 0);
    if (code == 0)
        code = os_sync(sys, file);
    if (code == 0)
        code = sys->file_stat(sys, file, is);
    int closed = sys->file_close(sys, file);
    return code != 0 ? code : closed;
}

/* The file in the making becomes one of the two, if its name still is its own:
 * another one would take the place of a manifest that is good. */
static int exchange(const os *sys, const os_dir *dir, manifest_files *files,
                    unsigned number, const os_stat *is)
{
    os_stat named;
    int code = sys->stat(sys, dir, temporary, &named);
    if (code == 0 && !os_same(&named, is))
        code = -ENOENT;
    if (code != 0)
        return code;
    pthread_mutex_lock(&files->lock);
    code = sys->rename(sys, dir, temporary, dir, slots[number]);
    if (code == 0)
        files->is[number] = *is;
    pthread_mutex_unlock(&files->lock);
    return code;
}

static int find_file(const os *sys, const os_dir *dir, const manifest *m,
                     manifest_files *files)
{
    unsigned number = m->generation % 2;
    return m->generation == 0
               ? 0
               : sys->stat(sys, dir, slots[number], &files->is[number]);
}

int manifest_find_files(const os *sys, const os_dir *dir,
                        const manifest *newest, const manifest *previous,
                        manifest_files *files)
{
    int code = find_file(sys, dir, newest, files);
    return code == 0 ? find_file(sys, dir, previous, files) : code;
}

static persist_status replace(const os *sys, const os_dir *dir,
                              manifest_files *files, unsigned number,
                              slice bytes, bool *renamed, persist_error *error)
{
    os_stat is;
    char from[PERSIST_PATH_MAX], to[PERSIST_PATH_MAX];
    int code = os_join(from, sizeof from, dir->path, temporary);
    if (code == 0)
        code = os_join(to, sizeof to, dir->path, slots[number]);
    if (code != 0)
        return os_failed(error, code, "write the manifest in", dir->path);
    code = write_temporary(sys, dir, bytes, &is);
    if (code != 0)
        return os_failed(error, code, "write", from);
    code = exchange(sys, dir, files, number, &is);
    if (code != 0)
        return os_failed(error, code, "replace", to);
    *renamed = true;
    code = os_dir_sync(sys, dir);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "sync", dir->path);
}

/* What no reader would take must not take the place of what one does. */
static persist_status check_readable(slice bytes, persist_error *error)
{
    manifest again = {0};
    persist_error why;
    persist_status status = manifest_decode(bytes, &again, &why);
    manifest_release(&again);
    if (status == PERSIST_OK)
        return PERSIST_OK;
    if (status == PERSIST_LIMIT)
        return status_set(error, status, "%s", why.message);
    return status_set(error, PERSIST_LIMIT,
                      "the numbers of the store are used up, its next manifest "
                      "could not be read; import a dump of it into a new one");
}

persist_status manifest_store(const os *sys, const os_dir *dir,
                              manifest_files *files, manifest *m, bool *renamed,
                              persist_error *error)
{
    buf bytes = {0};
    *renamed = false;
    m->generation++;
    CHECK(m->next_segment > 0 && (m->epoch > 0 || m->clean));
    manifest_encode(m, &bytes);
    persist_status status = bytes.failed
                                ? status_no_memory(error)
                                : check_readable(buf_slice(&bytes), error);
    if (status == PERSIST_OK)
        status = replace(sys, dir, files, m->generation % 2, buf_slice(&bytes),
                         renamed, error);
    buf_release(&bytes);
    if (status != PERSIST_OK)
        m->generation--;
    return status;
}
