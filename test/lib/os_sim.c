/* SPDX-License-Identifier: MIT */
/* The simulated operating system: the calls of os.h, and their faults. */
#include "os_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "os_sim_disk.h"
#include "wall.h"

/* Each call takes so long: no two looks are at one time. */
enum { CALL_US = 1000 };

/* ---- faults and watching ---------------------------------------------- */

static bool changes_something(sim_call call, int flags)
{
    switch (call) {
    case SIM_OPEN:
        return (flags & OS_CREATE) != 0;
    case SIM_WRITE:
    case SIM_SYNC:
    case SIM_ALLOCATE:
    case SIM_TRUNCATE:
    case SIM_RENAME:
    case SIM_LINK:
    case SIM_UNLINK:
    case SIM_MKDIR:
    case SIM_DIR_SYNC:
        return true;
    default:
        return false;
    }
}

static void act(os_sim *s)
{
    if (s->actor == NULL || s->acting)
        return;
    s->acting = true;
    s->actor(s->actor_context, s, ++s->acted);
    s->acting = false;
}

/* Begins a call; true when the fault that was asked for hits it. */
static bool begin(os_sim *s, sim_call call, int flags)
{
    act(s);
    if (s->acting)
        return false;
    s->clock_us += CALL_US;
    s->calls[call]++;
    s->calls[SIM_CALLS]++;
    if (s->watch != NULL && changes_something(call, flags))
        s->watch(s->watch_context, s, call);
    const sim_fault *fault = &s->fault;
    const char *name = s->name;
    s->name = NULL;
    if (fault->nth == 0 || (fault->calls & (1u << call)) == 0)
        return false;
    if (fault->on != NULL && (name == NULL || strstr(name, fault->on) == NULL))
        return false;
    /* What is only read may lie where nothing can be written. */
    if (fault->error == EROFS && call == SIM_OPEN && (flags & OS_WRITE) == 0)
        return false;
    uint64_t seen = ++s->fault_seen;
    bool hit = seen == fault->nth || (fault->from_then_on && seen > fault->nth);
    if (s->choose != NULL)
        hit = s->choose();
    s->faults[call] += hit;
    s->faults[SIM_CALLS] += hit;
    return hit;
}

static bool writes(sim_call call, int flags)
{
    if (call == SIM_SYNC || call == SIM_DIR_SYNC)
        return false;
    return changes_something(call, flags) || call == SIM_PROTECT ||
           (call == SIM_OPEN && (flags & OS_WRITE) != 0);
}

int sim_refuse(os_sim *s, sim_call call, int flags)
{
    if (begin(s, call, flags) && s->fault.error != 0)
        return -s->fault.error;
    return s->read_only && writes(call, flags) ? -EROFS : 0;
}

void os_sim_fail(os_sim *s, sim_fault fault)
{
    s->fault = fault;
    s->fault_seen = 0;
}

void os_sim_choose(os_sim *s, sim_choose_fn choose)
{
    s->choose = choose;
}

void os_sim_limit_space(os_sim *s, uint64_t bytes)
{
    s->space = bytes;
}

uint64_t os_sim_space(const os_sim *s)
{
    return s->space;
}

void os_sim_limit_files(os_sim *s, uint64_t count)
{
    s->files = count;
}

void os_sim_watch(os_sim *s, sim_watch_fn watch, void *context)
{
    s->watch = watch;
    s->watch_context = context;
}

void os_sim_act(os_sim *s, sim_actor_fn actor, void *context)
{
    s->actor = actor;
    s->actor_context = context;
    s->acted = 0;
}

void os_sim_read_only(os_sim *s, bool read_only)
{
    s->read_only = read_only;
}

uint64_t os_sim_calls(const os_sim *s, sim_call call)
{
    return s->calls[call];
}

uint64_t os_sim_faults(const os_sim *s, sim_call call)
{
    return s->faults[call];
}

size_t os_sim_open_files(const os_sim *s)
{
    return s->open_files;
}

const char *os_sim_call_name(sim_call call)
{
    static const char *const names[] = {
        "file_open", "file_close",    "file_read",     "file_write",
        "file_sync", "file_allocate", "file_truncate", "file_size",
        "file_stat", "file_lock",     "file_map",      "map_load",
        "stat",      "rename",        "link",          "unlink",
        "dir_make",  "dir_protect",   "dir_may_write", "dir_lock",
        "dir_sync",  "dir_list",      "dir_open",      "random",
    };
    CHECK_STATIC(sizeof names / sizeof *names == SIM_CALLS, "a name each");
    CHECK(call < SIM_CALLS);
    return names[call];
}

/* ---- files ------------------------------------------------------------ */

static int open_inode(os_sim *s, const os_dir *from, const char *path,
                      int flags, unsigned *inode)
{
    char name[SIM_NAME_MAX];
    unsigned dir;
    int rc = sim_find_parent(s, from, path, &dir, name);
    if (rc != 0)
        return rc;
    rc = sim_find(s, from, path, inode);
    if (rc == 0 && (flags & OS_CREATE) && (flags & OS_EXCLUSIVE))
        return -EEXIST;
    if (rc == 0)
        return s->inodes[*inode].is_dir ? -EISDIR : 0;
    if (rc != -ENOENT || !(flags & OS_CREATE))
        return rc;
    rc = sim_may_make(s);
    if (rc != 0)
        return rc;
    *inode = sim_inode_new(s, false);
    sim_disk_change(s, dir, "", name, *inode);
    return 0;
}

static int file_open(const os *o, const os_dir *from, const char *path,
                     int flags, os_file **out)
{
    os_sim *s = sim_of(o);
    unsigned inode;
    s->name = path;
    int rc = sim_refuse(s, SIM_OPEN, flags);
    if (rc == 0)
        rc = open_inode(s, from, path, flags, &inode);
    if (rc != 0)
        return rc;
    os_file *file = sim_alloc(sizeof *file);
    *file = (os_file){
        .inode = inode, .flags = flags, .whole = s->inodes[inode].now->size};
    s->inodes[inode].opens++;
    s->open_files++;
    *out = file;
    return 0;
}

static int file_close(const os *o, os_file *file)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_CLOSE, 0);
    sim_inode *inode = &s->inodes[file->inode];
    CHECK(inode->opens > 0 && s->open_files > 0);
    inode->opens--;
    s->open_files--;
    sim_unlock(s, file->inode, file, file->shares);
    free(file);
    return rc;
}

static ssize_t file_read(const os *o, os_file *file, void *bytes, size_t size,
                         uint64_t at)
{
    os_sim *s = sim_of(o);
    if (begin(s, SIM_READ, 0)) {
        if (s->fault.error != 0)
            return -s->fault.error;
        size = (size + 1) / 2;
    }
    CHECK(file->flags & OS_READ);
    const sim_bytes *now = s->inodes[file->inode].now;
    if (at >= now->size)
        return 0;
    if (size > now->size - at)
        size = now->size - at;
    if (size > 0)
        memcpy(bytes, now->data + at, size);
    return (ssize_t)size;
}

void os_sim_use_blocks(os_sim *s, uint64_t bytes)
{
    s->block = bytes;
}

/* What a file of that size takes. */
static uint64_t in_blocks(const os_sim *s, uint64_t size)
{
    return s->block == 0 ? size : (size + s->block - 1) / s->block * s->block;
}

uint64_t os_sim_space_used(const os_sim *s)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < s->inode_count; i++)
        if (s->inodes[i].links > 0 || s->inodes[i].opens > 0)
            used += in_blocks(s, s->inodes[i].now->size);
    return used;
}

/* The highest size that the file may have, its present one at least. */
static uint64_t size_allowed(const os_sim *s, unsigned inode)
{
    uint64_t size = s->inodes[inode].now->size;
    if (s->space == UINT64_MAX)
        return UINT64_MAX;
    uint64_t used = os_sim_space_used(s);
    uint64_t taken = in_blocks(s, size);
    return used >= s->space ? taken : taken + (s->space - used);
}

static void grow(os_file *file, uint64_t size)
{
    if (size > file->whole)
        file->whole = size;
}

static ssize_t file_write(const os *o, os_file *file, const void *bytes,
                          size_t size, uint64_t at)
{
    os_sim *s = sim_of(o);
    int rc = 0;
    bool hit = begin(s, SIM_WRITE, 0);
    if (s->read_only)
        return -EROFS;
    if (hit) {
        rc = -s->fault.error;
        size = rc == 0      ? (size + 1) / 2
               : rc == -EIO ? sim_random(&s->random) % (size + 1)
                            : 0;
    }
    CHECK(file->flags & OS_WRITE);
    uint64_t allowed = size_allowed(s, file->inode);
    if (rc == 0 && size > 0 && at >= allowed)
        rc = -ENOSPC;
    if (at >= allowed)
        size = 0;
    else if (size > allowed - at)
        size = (size_t)(allowed - at);
    if (size > 0)
        sim_disk_write(s, file->inode, bytes, size, at);
    grow(file, size > 0 ? at + size : 0);
    return rc != 0 ? rc : (ssize_t)size;
}

static int file_sync(const os *o, os_file *file)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_SYNC, 0);
    if (rc != 0) {
        if (!s->fault.keep_pages)
            sim_disk_drop(s, file->inode, sim_random(&s->random) & 1);
        return rc;
    }
    sim_disk_sync(s, file->inode);
    const sim_inode *is = &s->inodes[file->inode];
    return is->links == 0 ? -ENOENT : is->now->size < file->whole ? -ERANGE : 0;
}

static int file_allocate(const os *o, os_file *file, uint64_t size)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_ALLOCATE, 0);
    if (rc != 0)
        return rc;
    CHECK(file->flags & OS_WRITE);
    if (size <= s->inodes[file->inode].now->size)
        return 0;
    if (size > size_allowed(s, file->inode))
        return -ENOSPC;
    sim_disk_resize(s, file->inode, size);
    grow(file, size);
    return 0;
}

static int file_truncate(const os *o, os_file *file, uint64_t size)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_TRUNCATE, 0);
    if (rc != 0)
        return rc;
    CHECK(file->flags & OS_WRITE);
    if (size > size_allowed(s, file->inode))
        return -ENOSPC;
    sim_disk_resize(s, file->inode, size);
    file->whole = size;
    return 0;
}

/* Hints: a crash may keep what was written, begun or not. */
static void start(const os *o, os_file *file, uint64_t at, uint64_t size)
{
    (void)o;
    (void)file;
    (void)at;
    (void)size;
}

static int file_size(const os *o, os_file *file, uint64_t *size)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_SIZE, 0);
    if (rc == 0)
        *size = s->inodes[file->inode].now->size;
    return rc;
}

void os_sim_forget_numbers(os_sim *s, bool forget)
{
    s->forgets = forget;
}

/* What nobody has open is met as another one each time, if so told. */
static os_stat stat_of(os_sim *s, unsigned number)
{
    sim_inode *inode = &s->inodes[number];
    if (s->forgets && inode->opens == 0)
        inode->met++;
    return (os_stat){.size = inode->now->size,
                     .is_dir = inode->is_dir,
                     .is_file = !inode->is_dir,
                     .inode = number | (uint64_t)inode->met << 32,
                     .links = inode->links};
}

static int file_stat(const os *o, os_file *file, os_stat *out)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_FILE_STAT, 0);
    if (rc == 0)
        *out = stat_of(s, file->inode);
    return rc;
}

static uint64_t file_stamp(const os *o, os_file *file, bool *settled)
{
    os_sim *s = sim_of(o);
    const sim_bytes *now = s->inodes[file->inode].now;
    *settled = true;
    if (sim_refuse(s, SIM_FILE_STAT, 0) != 0)
        return 0;
    return hash_xxh3(slice_of(now->data, now->size)) | 1;
}

/* ---- names ------------------------------------------------------------ */

static int sim_stat(const os *o, const os_dir *from, const char *path,
                    os_stat *out)
{
    os_sim *s = sim_of(o);
    unsigned inode;
    int rc = sim_refuse(s, SIM_STAT, 0);
    if (rc == 0)
        rc = sim_find(s, from, path, &inode);
    if (rc == 0)
        *out = stat_of(s, inode);
    return rc;
}

static int dir_sync(const os *o, const os_dir *dir)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_DIR_SYNC, 0);
    if (dir->gone)
        return -ENOENT;
    if (rc != 0)
        return rc;
    sim_disk_sync(s, sim_dir_of(dir)->inode);
    return 0;
}

static uint64_t dir_room(const os *o, const os_dir *dir)
{
    const os_sim *s = sim_of(o);
    (void)dir;
    uint64_t used = s->space == UINT64_MAX ? 0 : os_sim_space_used(s);
    return used >= s->space ? 0 : s->space - used;
}

static int dir_list(const os *o, const os_dir *dir, os_list_fn each,
                    void *context)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_LIST, 0);
    if (rc != 0 || dir->gone)
        return rc;
    unsigned inode = sim_dir_of(dir)->inode;
    /* The caller may change the directory while it is listed. */
    size_t count = s->inodes[inode].entries.count;
    sim_entry *names = sim_alloc(count * sizeof *names);
    if (count > 0)
        memcpy(names, s->inodes[inode].entries.items, count * sizeof *names);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = each(context, names[i].name);
    free(names);
    return rc;
}

/* There is no watch: who wants to know looks at each name. */
static int watch_open(const os *o, const os_dir *const *dirs, size_t count,
                      os_watch **out)
{
    (void)o;
    (void)dirs;
    (void)count;
    (void)out;
    return -ENOSYS;
}

/* ---- clock and random ------------------------------------------------- */

static uint64_t clock_us(const os *o)
{
    return sim_of(o)->clock_us += CALL_US;
}

/* There is one thread, so nobody will wake it: the time passes. */
static void sleep_while(const os *o, const _Atomic uint32_t *word,
                        uint32_t value, uint64_t us)
{
    CHECK(*word == value && us != UINT64_MAX);
    sim_of(o)->clock_us += us;
}

static int random_bytes(const os *o, void *bytes, size_t size)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_RANDOM, 0);
    for (size_t i = 0; rc == 0 && i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)sim_random(&s->random);
    return rc;
}

/* ---- the simulation --------------------------------------------------- */

os_sim *os_sim_new(uint64_t seed)
{
    os_sim *s = sim_alloc(sizeof *s);
    s->table = (os){
        .version = OS_VERSION,
        .context = s,
        .dir_open = sim_dir_open,
        .dir_close = sim_dir_close,
        .file_open = file_open,
        .file_close = file_close,
        .file_read = file_read,
        .file_write = file_write,
        .file_sync = file_sync,
        .file_allocate = file_allocate,
        .file_take_room = file_allocate,
        .file_truncate = file_truncate,
        .file_start_write = start,
        .file_start_read = start,
        .file_size = file_size,
        .file_stat = file_stat,
        .file_stamp = file_stamp,
        .file_lock = sim_file_lock,
        .file_map = sim_file_map,
        .map_load = sim_map_load,
        .map_release = sim_map_release,
        .stat = sim_stat,
        .rename = sim_rename,
        .link = sim_link,
        .unlink = sim_unlink,
        .dir_make = sim_dir_make,
        .dir_protect = sim_dir_protect,
        .dir_may_write = sim_dir_may_write,
        .dir_lock = sim_dir_lock,
        .dir_remove = sim_dir_remove,
        .dir_sync = dir_sync,
        .dir_room = dir_room,
        .dir_list = dir_list,
        .watch_open = watch_open,
        .clock_us = clock_us,
        .sleep_while = sleep_while,
        .wall_us = wall_now,
        .random = random_bytes,
    };
    s->random = seed;
    s->space = s->files = UINT64_MAX;
    unsigned root = sim_inode_new(s, true);
    CHECK(root == SIM_ROOT);
    s->inodes[root].links = 1;
    s->cwd = sim_dir_new(SIM_ROOT, "", "");
    s->table.cwd = &s->cwd->head;
    return s;
}

void os_sim_free(os_sim *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->inode_count; i++)
        sim_inode_release(&s->inodes[i]);
    free(s->inodes);
    free(s->cwd);
    free(s);
}

const os *os_sim_os(os_sim *s)
{
    return &s->table;
}
