/* SPDX-License-Identifier: MIT */
/* Directories of backups: names, and trees that are removed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "keep/keep.h"

enum { DEPTH_MAX = 6, DIGITS_MIN = 6, DIGITS_MAX = 18 };

static int keep_one(void *context, const char *name)
{
    buf_put(context, name, strlen(name) + 1);
    return ((const buf *)context)->failed ? -ENOMEM : 0;
}

int keep_list(const os *sys, const os_dir *dir, buf *out)
{
    CHECK(out->size == 0);
    return sys->dir_list(sys, dir, keep_one, out);
}

static int remove_tree(const os *sys, const os_dir *at, const char *name,
                       int depth)
{
    os_dir *dir;
    buf names = {0};
    CHECK(depth >= 0 && depth <= DEPTH_MAX);
    int code = sys->dir_open(sys, at, name, &dir);
    if (code == -ENOTDIR || code == -ELOOP)
        return sys->unlink(sys, at, name);
    if (code != 0)
        return code == -ENOENT ? 0 : code;
    code = depth == 0 ? -ENOTEMPTY : keep_list(sys, dir, &names);
    for (size_t i = 0; code == 0 && i < names.size;) {
        const char *each = (const char *)names.data + i;
        code = remove_tree(sys, dir, each, depth - 1);
        i += strlen(each) + 1;
    }
    buf_release(&names);
    sys->dir_close(sys, dir);
    return code == 0 ? sys->dir_remove(sys, at, name) : code;
}

int keep_remove(const os *sys, const os_dir *at, const char *name)
{
    CHECK(name[0] != '\0');
    return remove_tree(sys, at, name, DEPTH_MAX);
}

persist_status keep_open_parent(const os *sys, const char *path, os_dir **out,
                                char name[PERSIST_PATH_MAX],
                                persist_error *error)
{
    char whole[PERSIST_PATH_MAX];
    *out = NULL;
    if (!layout_path(path, whole, error))
        return PERSIST_BAD_REQUEST;
    const char *last = os_name(whole);
    size_t above = (size_t)(last - whole);
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "\"%.200s\" is no name for a new directory", path);
    memcpy(name, last, strlen(last) + 1);
    memcpy(whole, above == 0 ? "." : whole, above == 0 ? 1 : above);
    whole[above == 0 ? 1 : above] = '\0';
    int code = sys->dir_open(sys, sys->cwd, whole, out);
    if (code == -ENOENT || code == -ENOTDIR)
        return status_of_path(error, PERSIST_BAD_STORE, whole,
                              "%.300s is no directory; make it first", whole);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "open", whole);
}

bool keep_number(const char *name, uint64_t *number)
{
    char again[KEEP_NAME_MAX];
    size_t digits = strspn(name, "0123456789");
    *number = 0;
    if (digits < DIGITS_MIN || digits > DIGITS_MAX || name[digits] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        *number = *number * 10 + (uint64_t)(name[i] - '0');
    return *number > 0 && strcmp(keep_name(*number, again), name) == 0;
}

const char *keep_name(uint64_t number, char out[KEEP_NAME_MAX])
{
    int size =
        snprintf(out, KEEP_NAME_MAX, "%06llu", (unsigned long long)number);
    CHECK(size > 0 && size < KEEP_NAME_MAX);
    return out;
}
