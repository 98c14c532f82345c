/* SPDX-License-Identifier: MIT */
/* Verifying a store: what could not be looked at.
 *
 * A call that the system refuses (no permission, no descriptor, no memory) says
 * nothing of what is on the disk. Each call that looks goes through here, so
 * that nothing which follows from such a refusal passes for damage, and none is
 * passed over. What is not there, what is something else, and what the disk
 * does not give is damage. */
#include "engine/verify/verify_parts.h"

#include <errno.h>

#include "os/os_again.h"

static verifier *verifier_of(const os *sys)
{
    const verify_os *w = (const verify_os *)(const void *)sys;
    CHECK(w->verifier->sys == sys && w->real != NULL);
    return w->verifier;
}

/* What a disk says that does not give what it holds. */
static bool is_of_disk(int code)
{
    return code == -EIO || code == -EUCLEAN || code == -EBADMSG;
}

/* It is not there, or is no file, or no folder, as it should be. A link is
 * another thing: what belongs there may well be where it leads. */
static bool is_answer(int code)
{
    return code == -ENOENT || code == -ENOTDIR || code == -EISDIR ||
           code == -EMEDIUMTYPE;
}

static int note(verifier *v, int code, const char *what, const os_dir *dir,
                const char *name)
{
    char path[PERSIST_PATH_MAX];
    if (code >= 0 || is_answer(code))
        return code;
    persist_error *kept = is_of_disk(code) ? &v->unread : &v->unseen;
    if (kept->status == PERSIST_OK)
        os_failed(kept, code, what,
                  name != NULL &&
                          os_join(path, sizeof path, dir->path, name) == 0
                      ? path
                  : dir != NULL ? dir->path
                                : v->dir);
    return code;
}

static int dir_open(const os *sys, const os_dir *dir, const char *name,
                    os_dir **out)
{
    const os *real = verifier_of(sys)->own.real;
    return note(verifier_of(sys), real->dir_open(real, dir, name, out), "open",
                dir, name);
}

static int file_open(const os *sys, const os_dir *dir, const char *name,
                     int flags, os_file **out)
{
    const os *real = verifier_of(sys)->own.real;
    CHECK((flags & (OS_WRITE | OS_CREATE)) == 0);
    return note(verifier_of(sys), real->file_open(real, dir, name, flags, out),
                "open", dir, name);
}

static int look(const os *sys, const os_dir *dir, const char *name,
                os_stat *out)
{
    const os *real = verifier_of(sys)->own.real;
    return note(verifier_of(sys), real->stat(real, dir, name, out), "look at",
                dir, name);
}

/* What ends a listing of its own accord is no failure of the call. */
typedef struct listing {
    os_list_fn each;
    void *context;
    bool ended;
} listing;

static int list_each(void *context, const char *name)
{
    listing *l = context;
    int code = l->each(l->context, name);
    l->ended = code != 0;
    return code;
}

static int dir_list(const os *sys, const os_dir *dir, os_list_fn each,
                    void *context)
{
    const os *real = verifier_of(sys)->own.real;
    listing l = {each, context, false};
    int code = real->dir_list(real, dir, list_each, &l);
    return l.ended ? code : note(verifier_of(sys), code, "list", dir, NULL);
}

/* Of calls that get handles the caller knows the name. */
static const char a_file[] = "read a file of";

static int file_size(const os *sys, os_file *file, uint64_t *size)
{
    const os *real = verifier_of(sys)->own.real;
    return note(verifier_of(sys), real->file_size(real, file, size), a_file,
                NULL, NULL);
}

static int file_stat(const os *sys, os_file *file, os_stat *out)
{
    const os *real = verifier_of(sys)->own.real;
    return note(verifier_of(sys), real->file_stat(real, file, out), a_file,
                NULL, NULL);
}

static ssize_t file_read(const os *sys, os_file *file, void *data, size_t size,
                         uint64_t at)
{
    const os *real = verifier_of(sys)->own.real;
    ssize_t got;
    int again = 0;
    do {
        got = real->file_read(real, file, data, size, at);
    } while (got < 0 && os_again((int)got, &again));
    if (got < 0)
        (void)note(verifier_of(sys), (int)got, a_file, NULL, NULL);
    return got;
}

void verify_look(verifier *v)
{
    CHECK(v->sys != NULL && v->unseen.status == PERSIST_OK);
    v->own = (verify_os){*v->sys, v->sys, v};
    v->own.table.dir_open = dir_open;
    v->own.table.file_open = file_open;
    v->own.table.stat = look;
    v->own.table.dir_list = dir_list;
    v->own.table.file_size = file_size;
    v->own.table.file_stat = file_stat;
    v->own.table.file_read = file_read;
    v->sys = &v->own.table;
}

bool verify_could_look(verifier *v)
{
    if (v->status == PERSIST_OK && v->unseen.status != PERSIST_OK)
        v->status = status_copy(v->error, &v->unseen);
    return v->status == PERSIST_OK;
}

bool verify_unread(verifier *v)
{
    persist_error error = v->unread;
    return error.status == PERSIST_OK ||
           verify_failed(v, &error, (persist_finding){0});
}
