/* SPDX-License-Identifier: MIT */
/* Files of log segments. */
#include "engine/log/segment.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "engine/files/files.h"
#include "os/os_again.h"

int segment_path(const segment_place *place, uint64_t number,
                 char out[PERSIST_PATH_MAX])
{
    return numbered_path(place->dir->path, number, SEGMENT_SUFFIX, out);
}

/* Gives the file its size, durable. */
static int give_size(const os *sys, os_file *file, uint64_t size)
{
    uint64_t was, now = size;
    int code = sys->file_size(sys, file, &was);
    int again = 0;
    if (code == 0)
        do {
            code = sys->file_allocate(sys, file, size);
        } while (os_again(code, &again));
    if (code == 0)
        code = sys->file_size(sys, file, &now);
    if (code == 0 && now > size)
        code = sys->file_truncate(sys, file, size);
    if (code == 0 && was != size)
        code = os_sync(sys, file);
    return code;
}

/* The header tells the size, so that is durable before: a file that is shorter
 * has lost something. */
static int fill(const segment_place *place, os_file *file, uint64_t number,
                uint64_t size)
{
    const os *sys = place->sys;
    uint8_t header[SEGMENT_HEADER_SIZE];
    segment_header fields = {place->identity, number, place->epoch, size,
                             FORMAT_VERSION};
    segment_header_encode(&fields, header);
    int code = give_size(sys, file, size);
    if (code == 0)
        code = os_write_all(sys, file, header, sizeof header, 0);
    if (code == 0)
        code = os_sync(sys, file);
    if (code == 0)
        code = os_dir_sync(sys, place->dir);
    return code;
}

/* A copy of a store that was made of hard links shares its files with the
 * original: what has a second name is never written to. */
static int open_own(const segment_place *place, const char *path, os_file **out)
{
    const os *sys = place->sys;
    os_stat stat;
    int code =
        sys->file_open(sys, place->dir, os_name(path), OS_READ | OS_WRITE, out);
    if (code != 0)
        return code;
    code = sys->file_stat(sys, *out, &stat);
    if (code == 0 && stat.links > 1)
        code = -EMLINK;
    if (code != 0)
        sys->file_close(sys, *out);
    return code;
}

/* Gives a file a new name and opens it. What cannot be renamed or used goes, by
 * either name, since an error does not say which it has: nobody would ask for
 * it again. */
static bool reuse(const segment_place *place, uint64_t number, const char *path,
                  os_file **out)
{
    const os *sys = place->sys;
    char old[PERSIST_PATH_MAX];
    if (segment_path(place, number, old) != 0)
        return false;
    const char *name = os_name(path);
    if (sys->rename(sys, place->dir, os_name(old), place->dir, name) != 0)
        sys->unlink(sys, place->dir, os_name(old));
    else if (open_own(place, path, out) == 0)
        return true;
    sys->unlink(sys, place->dir, name);
    return false;
}

persist_status segment_prepare(const segment_place *place, uint64_t number,
                               uint64_t size, uint64_t recycled, os_file **out,
                               persist_error *error)
{
    CHECK(size >= SEGMENT_SIZE_MIN && size <= SEGMENT_SIZE_MAX);
    const os *sys = place->sys;
    char path[PERSIST_PATH_MAX];
    int code = segment_path(place, number, path);
    bool opened =
        code == 0 && recycled != 0 && reuse(place, recycled, path, out);
    if (code == 0 && !opened) {
        code =
            sys->file_open(sys, place->dir, os_name(path),
                           OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE, out);
        opened = code == 0;
    }
    if (opened)
        code = fill(place, *out, number, size);
    if (code == 0)
        return PERSIST_OK;
    if (!opened)
        return os_failed(error, code, "make", path);
    sys->file_close(sys, *out);
    sys->unlink(sys, place->dir, os_name(path));
    return os_failed(error, code, "make", path);
}

/* The header is durable before anything is written behind it. */
static int write_whole(const segment_place *place, os_file *file,
                       const buf *bytes)
{
    const os *sys = place->sys;
    int code = os_write_all(sys, file, bytes->data, SEGMENT_HEADER_SIZE, 0);
    if (code == 0)
        code = os_sync(sys, file);
    if (code == 0)
        code = os_write_all(sys, file, bytes->data + SEGMENT_HEADER_SIZE,
                            bytes->size - SEGMENT_HEADER_SIZE,
                            SEGMENT_HEADER_SIZE);
    if (code == 0)
        code = os_sync(sys, file);
    return code == 0 ? os_dir_sync(sys, place->dir) : code;
}

persist_status segment_write(const segment_place *place, uint64_t number,
                             buf *bytes, persist_error *error)
{
    CHECK(bytes->size >= SEGMENT_SIZE_MIN && bytes->size <= SEGMENT_SIZE_MAX);
    const os *sys = place->sys;
    char path[PERSIST_PATH_MAX];
    os_file *file;
    segment_header fields = {place->identity, number, place->epoch, bytes->size,
                             FORMAT_VERSION};
    segment_header_encode(&fields, bytes->data);
    int code = segment_path(place, number, path);
    if (code == 0)
        code = sys->file_open(sys, place->dir, os_name(path),
                              OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                              &file);
    if (code != 0)
        return os_failed(error, code, "make", path);
    code = write_whole(place, file, bytes);
    sys->file_close(sys, file);
    if (code == 0)
        return PERSIST_OK;
    sys->unlink(sys, place->dir, os_name(path));
    return os_failed(error, code, "write", path);
}

persist_status segment_open(const segment_place *place, uint64_t number,
                            os_file **out, persist_error *error)
{
    CHECK(number != 0);
    char path[PERSIST_PATH_MAX];
    int code = segment_path(place, number, path);
    if (code == 0)
        code = open_own(place, path, out);
    if (code == -EMLINK)
        return PERSIST_NONE;
    return code == 0 ? PERSIST_OK : os_failed(error, code, "open", path);
}

persist_status segment_check_name(const segment_place *place, uint64_t number,
                                  os_file *file, uint64_t size,
                                  persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_stat held;
    int code = segment_path(place, number, path);
    if (code == 0 && file != NULL)
        code = place->sys->file_stat(place->sys, file, &held);
    return code == 0
               ? layout_check_name(place->sys, place->dir, os_name(path),
                                   file == NULL ? NULL : &held, size, error)
               : os_failed(error, code, "look at", place->dir->path);
}

/* Copying takes a fifth of the time of an opening: it is for files that cannot
 * be mapped, or not be brought in. */
static int bring_in(const os *sys, os_file *file, uint64_t size,
                    segment_image *out)
{
    size_t got;
    if (size == 0)
        return 0;
    if (sys->file_map(sys, file, size, &out->map) == 0) {
        if (sys->map_load(sys, &out->map, 0, size) == 0) {
            out->bytes = slice_of(out->map.data, (size_t)size);
            return 0;
        }
        sys->map_release(sys, &out->map);
    }
    if (!buf_reserve(&out->copy, (size_t)size))
        return -ENOMEM;
    int code = os_read_all(sys, file, out->copy.data, (size_t)size, 0, &got);
    out->bytes = slice_of(out->copy.data, got);
    return code;
}

static persist_status load(const segment_place *place, os_file *file,
                           const char *path, uint64_t size_max,
                           segment_image *out, persist_error *error)
{
    const os *sys = place->sys;
    uint64_t size;
    int code = sys->file_size(sys, file, &size);
    if (code == 0 && size > size_max) {
        status_set(error, PERSIST_CORRUPT,
                   "%s has %llu bytes, more than a segment may; restore the "
                   "store from a backup",
                   path, (unsigned long long)size);
        status_at(error, path, size_max);
        return PERSIST_CORRUPT;
    }
    if (code == 0)
        code = bring_in(sys, file, size, out);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "read", path);
}

/* PERSIST_NONE: there is no such file. */
static persist_status open_to_read(const segment_place *place, uint64_t number,
                                   char path[PERSIST_PATH_MAX], os_file **out,
                                   persist_error *error)
{
    const os *sys = place->sys;
    CHECK(number != 0);
    *out = NULL;
    int code = segment_path(place, number, path);
    if (code == 0)
        code = sys->file_open(sys, place->dir, os_name(path), OS_READ, out);
    if (code == -ENOENT)
        return PERSIST_NONE;
    return code == 0 ? PERSIST_OK : os_failed(error, code, "open", path);
}

persist_status segment_sync(const segment_place *place, uint64_t number,
                            persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    persist_status status = open_to_read(place, number, path, &file, error);
    if (status != PERSIST_OK)
        return status;
    int code = os_sync(place->sys, file);
    place->sys->file_close(place->sys, file);
    /* A medium that cannot be written to has nothing to sync. (A file system
     * that has stopped because of an error says EROFS: what it shows may be in
     * memory only.) */
    return code == 0 || code == -EINVAL ? PERSIST_OK
                                        : os_failed(error, code, "sync", path);
}

persist_status segment_load(const segment_place *place, uint64_t number,
                            uint64_t size_max, segment_image *out,
                            persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    place->sys->map_release(place->sys, &out->map);
    out->bytes = slice_of(NULL, 0);
    persist_status status = open_to_read(place, number, path, &file, error);
    if (status != PERSIST_OK)
        return status;
    status = load(place, file, path, size_max, out, error);
    place->sys->file_close(place->sys, file);
    return status;
}

void segment_release(const segment_place *place, segment_image *image)
{
    if (place->sys != NULL)
        place->sys->map_release(place->sys, &image->map);
    buf_release(&image->copy);
    *image = (segment_image){0};
}

persist_status segment_read_header(const segment_place *place, uint64_t number,
                                   segment_header *out, persist_error *error)
{
    const os *sys = place->sys;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    char path[PERSIST_PATH_MAX];
    os_file *file;
    size_t got;
    persist_status status = open_to_read(place, number, path, &file, error);
    if (status != PERSIST_OK)
        return status;
    int code = os_read_all(sys, file, bytes, sizeof bytes, 0, &got);
    sys->file_close(sys, file);
    if (code != 0)
        return os_failed(error, code, "read", path);
    bool ours = segment_header_decode(slice_of(bytes, got), out) &&
                out->identity == place->identity && out->number == number;
    return ours ? PERSIST_OK : PERSIST_NONE;
}

persist_status segment_check_own(const segment_place *place, uint64_t number,
                                 uint64_t unlisted, slice bytes,
                                 persist_error *error)
{
    segment_header h;
    record_header record;
    CHECK(number >= unlisted);
    if (!segment_header_decode(bytes, &h) || h.identity != place->identity ||
        h.number < unlisted || h.number == number ||
        !record_read(bytes, SEGMENT_HEADER_SIZE, h.identity, h.number, &record,
                     NULL))
        return PERSIST_OK;
    return segment_read_header(place, h.number, &h, error);
}

persist_status segment_is_blank(const segment_place *place, uint64_t number,
                                bool *blank, persist_error *error)
{
    const os *sys = place->sys;
    char path[PERSIST_PATH_MAX];
    os_file *file;
    size_t got = 0, used = 0;
    *blank = false;
    uint8_t *bytes = mem_alloc(LOOK_EMPTY);
    if (bytes == NULL)
        return status_no_memory(error);
    persist_status status = open_to_read(place, number, path, &file, error);
    if (status == PERSIST_OK) {
        int code = os_read_all(sys, file, bytes, LOOK_EMPTY, 0, &got);
        sys->file_close(sys, file);
        if (code != 0)
            status = os_failed(error, code, "read", path);
    }
    while (used < got && bytes[used] == 0)
        used++;
    *blank = status == PERSIST_OK && used == got;
    mem_free(bytes);
    return status;
}
