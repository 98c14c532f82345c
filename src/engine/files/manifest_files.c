/* SPDX-License-Identifier: MIT */
/* The manifest: the two files that take turns. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/files/manifest.h"

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

bool manifest_is_there(const os *sys, const os_dir *dir)
{
    os_stat found;
    CHECK(!dir->gone);
    return sys->stat(sys, dir, slots[0], &found) == 0 ||
           sys->stat(sys, dir, slots[1], &found) == 0;
}

/* ---- reading ---------------------------------------------------------- */

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
        return manifest_damaged(error, "too large");
    return code == 0 ? PERSIST_OK : os_failed(error, code, "read", path);
}

/* Damage is told with the file that has it. */
static void name_file(persist_error *error, const char *path)
{
    if (error == NULL)
        return;
    persist_error bare = *error;
    size_t size = status_fault_size(bare.message);
    if (bare.status == PERSIST_CORRUPT)
        status_set(error, bare.status, "%.*s, in %.300s%s", (int)size,
                   bare.message, path, bare.message + size);
    status_at(error, path, STATUS_NO_OFFSET);
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
            status = manifest_damaged(error, "in the other one's place");
    }
    if (status > PERSIST_NONE)
        name_file(error, path);
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

bool manifest_is_spare(persist_status one, persist_status other)
{
    return one == PERSIST_CORRUPT && other == PERSIST_OK;
}

/* Gives that advice where it is true. */
static persist_status refuse(persist_status one, persist_status other,
                             persist_error *error)
{
    if (error != NULL && manifest_is_spare(one, other)) {
        size_t size = status_fault_size(error->message);
        snprintf(error->message + size, sizeof error->message - size,
                 "; " MANIFEST_SPARE_ADVICE);
    }
    return one;
}

persist_status manifest_load(const os *sys, const os_dir *dir, manifest *newest,
                             manifest *previous, persist_error *error)
{
    persist_status status[2];
    persist_error why;
    status[0] = manifest_load_one(sys, dir, 0, newest, &why);
    status[1] = manifest_load_one(sys, dir, 1, previous,
                                  status[0] > PERSIST_NONE ? NULL : &why);
    for (unsigned i = 0; i < 2; i++) {
        if (status[i] <= PERSIST_NONE)
            continue;
        if (error != NULL)
            *error = why;
        return refuse(status[i], status[1 - i], error);
    }
    if (status[0] == PERSIST_NONE && status[1] == PERSIST_NONE)
        return PERSIST_NONE;
    if (newest->generation < previous->generation) {
        manifest swap = *newest;
        *newest = *previous;
        *previous = swap;
    }
    return check_pair(dir->path, newest, previous, error);
}

/* ---- writing ---------------------------------------------------------- */

/* A new file each time: after a power cut in the middle of a rename the old
 * name may be another one of the file that became a manifest. */
static int write_temporary(const os *sys, const os_dir *dir, slice bytes,
                           os_file **out)
{
    int code = sys->unlink(sys, dir, temporary);
    if (code == 0 || code == -ENOENT)
        code =
            sys->file_open(sys, dir, temporary,
                           OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE, out);
    if (code != 0)
        return code;
    code = os_write_all(sys, *out, bytes.data, bytes.size, 0);
    if (code == 0)
        code = os_sync(sys, *out);
    if (code != 0)
        sys->file_close(sys, *out);
    return code;
}

int manifest_drop_temporary(const os *sys, const os_dir *dir)
{
    int code = sys->unlink(sys, dir, temporary);
    return code == 0 || code == -ENOENT ? os_dir_sync(sys, dir) : code;
}

/* Whether a name leads to a file that is open: 0, or a negative errno. */
static int leads_to(const os *sys, const os_dir *dir, const char *name,
                    os_file *file, bool *leads)
{
    os_stat named, held;
    *leads = false;
    int code = sys->stat(sys, dir, name, &named);
    if (code != 0)
        return code == -ENOENT ? 0 : code;
    code = sys->file_stat(sys, file, &held);
    *leads = code == 0 && os_same(&named, &held);
    return code;
}

/* What reports an error may be done all the same: the server of a network's
 * file system answers, and the answer is lost. Surely nothing is only where
 * both names can be looked at, and the old one still leads to the file. */
static int rename_to(const os *sys, const os_dir *dir, const char *slot,
                     os_file *file, bool *renamed)
{
    bool there, left = false;
    int code = sys->rename(sys, dir, temporary, dir, slot);
    *renamed = true;
    if (code == 0)
        return 0;
    int looked = leads_to(sys, dir, slot, file, &there);
    if (there)
        return 0;
    if (looked == 0)
        looked = leads_to(sys, dir, temporary, file, &left);
    *renamed = looked != 0 || !left;
    return code;
}

static void let_go(const os *sys, manifest_files *files, unsigned number)
{
    if (files->held[number] != NULL)
        sys->file_close(sys, files->held[number]);
    files->held[number] = NULL;
}

static int hold(const os *sys, const os_dir *dir, manifest_files *files,
                unsigned number)
{
    CHECK(files->held[number] == NULL);
    int code =
        sys->file_open(sys, dir, slots[number], OS_READ, &files->held[number]);
    if (code != 0) {
        files->held[number] = NULL;
        return code;
    }
    code = sys->file_size(sys, files->held[number], &files->size[number]);
    if (code != 0)
        let_go(sys, files, number);
    return code;
}

/* The file in the making becomes one of the two, if its name still is its own:
 * another one would take the place of a manifest that is good. The one that it
 * replaces is let go before: of what is open, file systems that have no such
 * thing as a file without a name keep it by another one, in two steps. */
static int exchange(const os *sys, const os_dir *dir, manifest_files *files,
                    unsigned number, os_file *file, uint64_t size,
                    bool *renamed)
{
    bool ours;
    int code = leads_to(sys, dir, temporary, file, &ours);
    if (code == 0 && !ours)
        code = -ENOENT;
    if (code != 0)
        return code;
    pthread_mutex_lock(&files->lock);
    let_go(sys, files, number);
    code = rename_to(sys, dir, slots[number], file, renamed);
    if (code == 0) {
        files->held[number] = file;
        files->size[number] = size;
    } else {
        (void)hold(sys, dir, files, number); /* there is none, the first time */
    }
    pthread_mutex_unlock(&files->lock);
    return code;
}

int manifest_hold_files(const os *sys, const os_dir *dir,
                        const manifest *newest, const manifest *previous,
                        manifest_files *files)
{
    manifest_release_files(sys, files);
    int code = hold(sys, dir, files, newest->generation % 2);
    return code == 0 && previous->generation != 0
               ? hold(sys, dir, files, previous->generation % 2)
               : code;
}

void manifest_release_files(const os *sys, manifest_files *files)
{
    for (unsigned i = 0; i < 2; i++)
        let_go(sys, files, i);
}

static persist_status replace(const os *sys, const os_dir *dir,
                              manifest_files *files, unsigned number,
                              slice bytes, bool *renamed, persist_error *error)
{
    os_file *file;
    char from[PERSIST_PATH_MAX], to[PERSIST_PATH_MAX];
    int code = os_join(from, sizeof from, dir->path, temporary);
    if (code == 0)
        code = os_join(to, sizeof to, dir->path, slots[number]);
    if (code != 0)
        return os_failed(error, code, "write the manifest in", dir->path);
    code = write_temporary(sys, dir, bytes, &file);
    if (code != 0)
        return os_failed(error, code, "write", from);
    code = exchange(sys, dir, files, number, file, bytes.size, renamed);
    if (code != 0) {
        sys->file_close(sys, file);
        return os_failed(error, code, "replace", to);
    }
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
                      "could not be read; " USED_UP_ADVICE);
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
