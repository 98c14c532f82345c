/* SPDX-License-Identifier: MIT */
/* Directories of files as one run of bytes, and back. */
#include <string.h>

#include "fuzz.h"

enum { FILES_MAX = 64, ZEROS_MAX = 1 << 20 };

/* Makes the folders that a path goes through, and what is in them durable. */
static void make_folders(const os *sys, char *path)
{
    for (char *at = path; *at != '\0'; at++) {
        if (*at != '/' || at == path)
            continue;
        *at = '\0';
        (void)sys->dir_make(sys, sys->cwd, path);
        (void)os_sync_in(sys, sys->cwd, path);
        *at = '/';
    }
}

static void make_file(const os *sys, const char *path, slice bytes,
                      uint64_t size)
{
    os_file *file;
    if (sys->file_open(sys, sys->cwd, path, OS_READ | OS_WRITE | OS_CREATE,
                       &file) != 0)
        return;
    (void)os_write_all(sys, file, bytes.data, bytes.size, 0);
    (void)sys->file_truncate(sys, file, size);
    (void)sys->file_sync(sys, file);
    (void)sys->file_close(sys, file);
}

static bool load_one(cursor *c, const os *sys)
{
    char path[PERSIST_PATH_MAX];
    const uint8_t *end = memchr(c->at, '\0', cursor_left(c));
    if (end == NULL || (size_t)(end - c->at) >= sizeof path)
        return false;
    slice name = cursor_bytes(c, (uint64_t)(end - c->at) + 1);
    memcpy(path, name.data, name.size);
    uint64_t size = cursor_varint(c), zeros = cursor_varint(c);
    if (size > cursor_left(c))
        size = cursor_left(c);
    slice bytes = cursor_bytes(c, size);
    if (c->failed)
        return false;
    make_folders(sys, path);
    if (name.size > 1 && path[name.size - 2] == '/')
        return true;
    make_file(sys, path, bytes, size + zeros % ZEROS_MAX);
    make_folders(sys, path);
    return true;
}

void fuzz_files_load(cursor *c, os_sim *sim)
{
    const os *sys = os_sim_os(sim);
    for (int i = 0; i < FILES_MAX && cursor_left(c) > 0; i++)
        if (!load_one(c, sys))
            break;
    (void)os_sync_in(sys, sys->cwd, "/");
}

/* ---- the other way ---------------------------------------------------- */

typedef struct saver {
    const os *sys;
    const char *dir;
    buf *out;
} saver;

static void save_file(const os *sys, const char *path, uint64_t size, buf *out)
{
    os_file *file;
    buf bytes = {0};
    int code = sys->file_open(sys, sys->cwd, path, OS_READ, &file);
    CHECK(code == 0 && buf_reserve(&bytes, size + 1));
    code = os_read_all(sys, file, bytes.data, size, 0, &bytes.size);
    CHECK(code == 0 && bytes.size == size);
    (void)sys->file_close(sys, file);
    while (bytes.size > 0 && bytes.data[bytes.size - 1] == 0)
        bytes.size--;
    buf_put(out, path, strlen(path) + 1);
    buf_put_varint(out, bytes.size);
    buf_put_varint(out, size - bytes.size);
    buf_put_slice(out, buf_slice(&bytes));
    buf_release(&bytes);
}

static int save_entry(void *context, const char *name)
{
    saver *s = context;
    char path[PERSIST_PATH_MAX];
    os_stat stat;
    int code = os_join(path, sizeof path, s->dir, name);
    CHECK(code == 0 && s->sys->stat(s->sys, s->sys->cwd, path, &stat) == 0);
    saver below = {s->sys, path, s->out};
    if (stat.is_dir) {
        buf_put_str(s->out, path);
        buf_put(s->out, "/\0\0\0", 4);
        return os_list_in(s->sys, s->sys->cwd, path, save_entry, &below);
    }
    save_file(s->sys, path, stat.size, s->out);
    return 0;
}

void fuzz_files_save(os_sim *sim, const char *dir, buf *out)
{
    saver s = {os_sim_os(sim), dir, out};
    int code = os_list_in(s.sys, s.sys->cwd, dir, save_entry, &s);
    CHECK(code == 0 && !out->failed);
}
