/* SPDX-License-Identifier: MIT */
/* Packs: many blobs in one file. */
#include "engine/blob/pack.h"

#include <errno.h>

#include "base/check.h"
#include "engine/files/files.h"

/* Packs that one opening can make. */
#define PACKS_OF_EPOCH ((uint64_t)1 << 32)

void pack_open(pack_writer *w, const os *sys, const os_dir *dir, uint64_t epoch,
               uint64_t size_max)
{
    CHECK(epoch > 0 && epoch <= EPOCH_MAX + 1 && size_max > 0);
    *w = (pack_writer){.sys = sys, .dir = dir, .size_max = size_max};
    w->first = w->number = epoch * PACKS_OF_EPOCH;
    pthread_mutex_init(&w->sync, NULL);
}

void pack_close(pack_writer *w)
{
    if (w->sys == NULL)
        return;
    if (w->file != NULL)
        w->sys->file_close(w->sys, w->file);
    pthread_mutex_destroy(&w->sync);
    w->sys = NULL;
}

int pack_path(const os_dir *dir, uint64_t number, char out[PERSIST_PATH_MAX])
{
    return numbered_path(dir->path, number, PACK_SUFFIX, out);
}

/* With `sync` held, under which a failure is remembered: whoever takes it next
 * must not find that there is nothing to do. */
static int sync_file(pack_writer *w)
{
    if (w->failure != 0)
        return w->failure;
    if (!atomic_exchange(&w->unsynced, false))
        return 0;
    CHECK(w->file != NULL);
    w->failure = os_sync(w->sys, w->file);
    return w->failure;
}

int pack_sync(pack_writer *w)
{
    pthread_mutex_lock(&w->sync);
    int code = sync_file(w);
    pthread_mutex_unlock(&w->sync);
    return code;
}

/* With `sync` held. */
static persist_status check_name(const pack_writer *w, persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_stat held;
    if (w->file == NULL)
        return PERSIST_OK;
    uint64_t size = atomic_load(&w->whole); /* it only grows */
    int code = pack_path(w->dir, w->number, path);
    CHECK(code == 0);
    code = w->sys->file_stat(w->sys, w->file, &held);
    return code == 0 ? layout_check_name(w->sys, w->dir, os_name(path), &held,
                                         size, error)
                     : os_failed(error, code, "look at", path);
}

persist_status pack_check_name(pack_writer *w, persist_error *error)
{
    pthread_mutex_lock(&w->sync);
    persist_status status = check_name(w, error);
    pthread_mutex_unlock(&w->sync);
    return status;
}

bool pack_in_hand(pack_writer *w, uint64_t *number, uint64_t *size)
{
    pthread_mutex_lock(&w->sync);
    bool open = w->file != NULL;
    *number = w->number;
    *size = atomic_load(&w->whole);
    pthread_mutex_unlock(&w->sync);
    return open;
}

/* Makes the next pack; a number that is taken is passed over. */
static int make(const pack_writer *w, uint64_t *number, os_file **out)
{
    char path[PERSIST_PATH_MAX];
    int code = -EEXIST;
    while (code == -EEXIST) {
        if (*number - w->first >= PACKS_OF_EPOCH - 1)
            return -EDQUOT; /* the next opening has new numbers */
        code = pack_path(w->dir, ++*number, path);
        if (code == 0)
            code = w->sys->file_open(w->sys, w->dir, os_name(path),
                                     OS_WRITE | OS_CREATE | OS_EXCLUSIVE, out);
    }
    if (code == 0) {
        code = os_dir_sync(w->sys, w->dir);
        if (code != 0) {
            w->sys->file_close(w->sys, *out);
            w->sys->unlink(w->sys, w->dir, os_name(path));
        }
    }
    return code;
}

/* Turns to the next pack, once all of the one in hand is durable. */
static int turn_over(pack_writer *w, bool *unsynced)
{
    os_file *file;
    uint64_t number = w->number;
    pthread_mutex_lock(&w->sync);
    int code = sync_file(w);
    /* who looks later finds the next one */
    if (code == 0 && check_name(w, NULL) != PERSIST_OK)
        code = w->failure = -ENOENT;
    *unsynced = code != 0;
    if (code == 0)
        code = make(w, &number, &file);
    if (code == 0) {
        if (w->file != NULL)
            w->sys->file_close(w->sys, w->file);
        w->file = file;
        w->number = number;
        w->end = w->before = 0;
        atomic_store(&w->whole, 0);
    }
    pthread_mutex_unlock(&w->sync);
    return code;
}

/* A blob shares no sector with others: a torn write harms none of them. */
static uint64_t next_offset(const pack_writer *w)
{
    return (w->end + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
}

/* What was cut would grow again, and look whole, by being written to. */
static int check_whole(const pack_writer *w)
{
    uint64_t size = 0;
    int code = w->sys->file_size(w->sys, w->file, &size);
    return code == 0 && size < atomic_load(&w->whole) ? -ERANGE : code;
}

int pack_add(pack_writer *w, slice bytes, uint64_t *number, uint64_t *offset,
             bool *unsynced)
{
    *unsynced = false;
    int code = 0;
    if (w->file == NULL || next_offset(w) + bytes.size > w->size_max)
        code = turn_over(w, unsynced);
    if (code != 0)
        return code;
    code = check_whole(w);
    if (code != 0)
        return code;
    uint64_t at = next_offset(w);
    w->before = w->end;
    code = os_write_all(w->sys, w->file, bytes.data, bytes.size, at);
    if (code != 0)
        return code;
    w->sys->file_start_write(w->sys, w->file, at, bytes.size);
    w->end = at + bytes.size;
    /* nothing, at a place of its own, makes the file no longer; and what is
     * taken back stays in it */
    if (bytes.size > 0 && w->end > atomic_load(&w->whole))
        atomic_store(&w->whole, w->end);
    atomic_store(&w->unsynced, true);
    *number = w->number;
    *offset = at;
    CHECK(w->end <= w->size_max || at == 0);
    return 0;
}

void pack_take_back(pack_writer *w)
{
    CHECK(w->file != NULL && w->before <= w->end);
    w->end = w->before;
}

/* Nothing goes to a file that may have no name any more. */
static void leave(pack_writer *w)
{
    pthread_mutex_lock(&w->sync);
    os_file *file = w->file;
    w->sys->file_close(w->sys, file);
    w->file = NULL;
    w->end = w->before = 0;
    pthread_mutex_unlock(&w->sync);
}

/* What has a second name is not ours alone, and never written to. */
static int open_again(const pack_writer *w, const char *path, os_file **out)
{
    os_stat stat;
    int code = w->sys->file_open(w->sys, w->dir, os_name(path),
                                 OS_WRITE | OS_CREATE, out);
    if (code != 0)
        return code;
    code = w->sys->file_stat(w->sys, *out, &stat);
    if (code == 0 && stat.links > 1)
        code = -EMLINK;
    if (code != 0)
        w->sys->file_close(w->sys, *out);
    return code;
}

int pack_restore(pack_writer *w, uint64_t number, uint64_t offset, slice bytes,
                 bool *unsynced)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    *unsynced = false;
    bool in_hand = w->file != NULL && number == w->number;
    int code = in_hand ? pack_sync(w) : 0;
    if (code != 0) {
        *unsynced = true;
        return code;
    }
    if (in_hand)
        leave(w);
    code = pack_path(w->dir, number, path);
    if (code == 0)
        code = open_again(w, path, &file);
    if (code != 0)
        return code;
    code = os_write_all(w->sys, file, bytes.data, bytes.size, offset);
    if (code == 0) {
        code = os_sync(w->sys, file);
        if (code == 0)
            code = os_dir_sync(w->sys, w->dir);
        *unsynced = code != 0;
    }
    w->sys->file_close(w->sys, file);
    return code;
}
