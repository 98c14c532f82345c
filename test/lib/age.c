/* SPDX-License-Identifier: MIT */
/* Ages a store: both manifests and the end of the table are written anew with
 * higher numbers. */
#include "age.h"

#include "engine/files/manifest.h"
#include "engine/table/table_file.h"
#include "store/memory.h"

/* Even: the manifests keep their files. */
CHECK_STATIC(AGE_YEARS % 2 == 0, "a generation's last bit is its file");

/* Opens a file, and reads its last bytes, at most so many; *at is where they
 * begin. */
static os_file *open_end(const os *sys, const char *path, slice room,
                         size_t *size, uint64_t *at)
{
    os_file *file;
    os_stat stat;
    int code = sys->stat(sys, sys->cwd, path, &stat);
    CHECK(code == 0);
    *at = stat.size < room.size ? 0 : stat.size - room.size;
    code = sys->file_open(sys, sys->cwd, path, OS_READ | OS_WRITE, &file);
    CHECK(code == 0);
    code = os_read_all(sys, file, (void *)(uintptr_t)room.data, room.size, *at,
                       size);
    CHECK(code == 0);
    return file;
}

static void put_end(const os *sys, os_file *file, slice bytes, uint64_t at)
{
    int code = os_write_all(sys, file, bytes.data, bytes.size, at);
    CHECK(code == 0);
    code = os_sync(sys, file);
    CHECK(code == 0);
    sys->file_close(sys, file);
}

/* The table of the first commit then stands for all until AGE_YEARS later. */
static void age_table(const table_place *place, uint64_t number)
{
    char path[PERSIST_PATH_MAX];
    uint8_t bytes[TABLE_FOOTER_SIZE];
    size_t got;
    uint64_t at;
    table_footer footer;
    int code = table_path(place, number, path);
    CHECK(code == 0);
    slice room = slice_of(bytes, sizeof bytes);
    os_file *file = open_end(place->sys, path, room, &got, &at);
    bool known = table_footer_decode(slice_of(bytes, got), &footer);
    CHECK(known && footer.first == 1);
    if (footer.last == 1)
        footer.last += AGE_YEARS;
    table_footer_encode(&footer, bytes);
    put_end(place->sys, file, room, at);
}

static void age_manifest(const os *sys, const char *dir, const char *name,
                         uint64_t epoch)
{
    char path[PERSIST_PATH_MAX], tables[PERSIST_PATH_MAX];
    uint8_t bytes[4096];
    size_t got;
    uint64_t at;
    manifest m = {0};
    buf out = {0};
    int code = os_join(path, sizeof path, dir, name);
    CHECK(code == 0 && os_join(tables, sizeof tables, dir, "tables") == 0);
    os_file *file =
        open_end(sys, path, slice_of(bytes, sizeof bytes), &got, &at);
    persist_status status = manifest_decode(slice_of(bytes, got), &m, NULL);
    CHECK(status == PERSIST_OK && m.generation < AGE_YEARS);
    m.generation += AGE_YEARS;
    m.epoch = epoch;
    m.next_segment += AGE_YEARS;
    m.next_table += AGE_YEARS;
    if (m.table_count == 1) {
        CHECK(m.watermark == 1 && m.tables[0].last == 1);
        m.segment_count = 0; /* the older one may list what is in the table */
        m.watermark += AGE_YEARS;
        m.tables[0].last += AGE_YEARS;
        os_dir *folder;
        code = sys->dir_open(sys, sys->cwd, tables, &folder);
        CHECK(code == 0);
        age_table(
            &(table_place){.sys = sys, .dir = folder, .identity = m.identity},
            m.tables[0].number);
        sys->dir_close(sys, folder);
    }
    manifest_encode(&m, &out);
    CHECK(!out.failed && at == 0);
    code = sys->file_truncate(sys, file, out.size);
    CHECK(code == 0);
    put_end(sys, file, buf_slice(&out), at);
    manifest_release(&m);
    buf_release(&out);
}

void age_store(const os *sys, const char *dir, uint64_t epoch)
{
    age_manifest(sys, dir, "manifest.0", epoch);
    age_manifest(sys, dir, "manifest.1", epoch);
}

void age_memory(persist_store *store)
{
    memory_store *m = memory_enter(store);
    CHECK(m->latest == 0);
    m->latest = AGE_YEARS;
    memory_leave(m);
}
