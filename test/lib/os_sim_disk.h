/* SPDX-License-Identifier: MIT */
/* The disk inside the simulated operating system: inodes, and what of them is
 * durable. Only for the os_sim files. */
#ifndef TEST_OS_SIM_DISK_H
#define TEST_OS_SIM_DISK_H

#include "base/check.h"
#include "os_sim.h"

enum { SIM_SECTOR = 512, SIM_NAME_MAX = 96, SIM_ROOT = 0 };

/* Bytes that files share until one of them writes. */
typedef struct sim_bytes {
    unsigned references;
    uint64_t hash; /* 0: not known */
    size_t size, capacity;
    uint8_t *data;
} sim_bytes;

/* What a sector held after one unsynced write. */
typedef struct sim_version {
    uint64_t sector;
    bool dropped; /* by a failed sync: later ones do not write it */
    uint8_t bytes[SIM_SECTOR];
} sim_version;

typedef struct sim_size {
    uint64_t size;
    bool dropped;
} sim_size;

typedef struct sim_entry {
    char name[SIM_NAME_MAX];
    unsigned inode;
} sim_entry;

/* An unsynced change of a directory: `from` goes away, `to` is the inode.
 * Either may be empty. */
typedef struct sim_change {
    char from[SIM_NAME_MAX];
    char to[SIM_NAME_MAX];
    unsigned inode;
} sim_change;

typedef struct sim_entries {
    sim_entry *items;
    size_t count;
} sim_entries;

typedef struct sim_inode {
    bool is_dir;
    unsigned links; /* entries that name it now */
    unsigned opens, maps;
    unsigned met;          /* of its number, see os_sim_forget_numbers */
    const void *locked_by; /* alone */
    unsigned shared_by;    /* so many have it shared */
    /* a file */
    sim_bytes *now, *durable;
    sim_version *versions;
    sim_size *sizes;
    size_t version_count, size_count;
    /* a directory */
    bool fresh; /* made, and not synced itself: its name alone is little */
    sim_entries entries, durable_entries;
    sim_change *changes;
    size_t change_count;
} sim_inode;

typedef struct sim_write {
    unsigned inode;
    uint64_t at;
    size_t size; /* 0: none that is unsynced */
} sim_write;

/* A directory that is held open. */
typedef struct sim_dir {
    os_dir head; /* first */
    unsigned inode;
    bool shares; /* its lock */
    char path[];
} sim_dir;

struct os_sim {
    os table;
    sim_dir *cwd;
    sim_inode *inodes;
    unsigned inode_count;
    sim_write last_write;
    uint64_t random, clock_us, space;
    uint64_t files;    /* so many, and directories, there may be */
    uint64_t block;    /* of the disk: files take whole ones; 0: single bytes */
    size_t open_files; /* mappings too */
    unsigned refuse_maps, maps;
    sim_fault fault;
    uint64_t fault_seen;
    const char *name; /* that the call in hand is given; NULL: none */
    sim_choose_fn choose;
    uint64_t calls[SIM_CALLS + 1], faults[SIM_CALLS + 1];
    sim_watch_fn watch;
    void *watch_context;
    sim_actor_fn actor;
    void *actor_context;
    uint64_t acted;
    bool acting, read_only;
    bool forgets; /* the numbers of what is not open */
};

struct os_file {
    unsigned inode;
    int flags;
    bool shares;    /* its lock */
    uint64_t whole; /* bytes that it had, or was given through this */
};

static inline os_sim *sim_of(const os *o)
{
    CHECK(o->version == OS_VERSION);
    return o->context;
}

/* Begins a call that a fault always refuses; 0 or a negative errno. */
int sim_refuse(os_sim *, sim_call, int flags);

/* Whether the disk takes one more file or directory: 0 or -ENOSPC. */
int sim_may_make(const os_sim *);

/* Lets go of the lock that a handle may have. */
void sim_unlock(os_sim *, unsigned inode, const void *handle, bool shares);

/* Changes of names: see os.h for the calls. */
int sim_rename(const os *, const os_dir *from_dir, const char *from,
               const os_dir *to_dir, const char *to);
int sim_link(const os *, const os_dir *from_dir, const char *from,
             const os_dir *to_dir, const char *to);
int sim_unlink(const os *, const os_dir *, const char *name);
int sim_dir_make(const os *, const os_dir *, const char *name);

/* Locks and permissions: see os.h for the calls. */
int sim_file_lock(const os *, os_file *, bool shared, int64_t *holder);
int sim_dir_lock(const os *, const os_dir *, bool shared);
int sim_dir_remove(const os *, const os_dir *, const char *name);
int sim_dir_protect(const os *, const os_dir *);
int sim_dir_may_write(const os *, const os_dir *);

/* Directories: see os.h for the calls. */
sim_dir *sim_dir_new(unsigned inode, const char *above_path, const char *name);
const sim_dir *sim_dir_of(const os_dir *);
int sim_dir_open(const os *, const os_dir *, const char *name, os_dir **out);
void sim_dir_close(const os *, os_dir *);
/* Finds the directory that holds the last component, which goes to name; and
 * what a path names. */
int sim_find_parent(const os_sim *, const os_dir *, const char *path,
                    unsigned *dir, char name[SIM_NAME_MAX]);
int sim_find(const os_sim *, const os_dir *, const char *path, unsigned *inode);

/* The calls that map files, see os.h. */
int sim_file_map(const os *, os_file *, uint64_t size, os_map *out);
int sim_map_load(const os *, const os_map *, uint64_t at, uint64_t size);
void sim_map_release(const os *, os_map *);

/* Zeroed memory; ends the process when it is out. */
void *sim_alloc(size_t size);
/* Makes room for one more item after count of them. */
void *sim_more(void *items, size_t count, size_t item_size);
/* Copies an array so that sim_more can go on with it. */
void *sim_copy(const void *items, size_t count, size_t item_size);

/* Empty bytes with one reference; one more; one less. */
sim_bytes *sim_bytes_new(void);
sim_bytes *sim_bytes_ref(sim_bytes *);
void sim_bytes_unref(sim_bytes *);
/* Makes *bytes the caller's alone, ready to be changed, with that size; new
 * bytes are zeros. */
void sim_bytes_resize(sim_bytes **bytes, size_t size);
/* A hash of the bytes, kept until they change. */
uint64_t sim_bytes_hash(sim_bytes *);

/* Adds an empty inode and returns its number. */
unsigned sim_inode_new(os_sim *, bool is_dir);
/* Frees what an inode holds. */
void sim_inode_release(sim_inode *);

/* Returns the entry of a name, NULL if there is none. */
sim_entry *sim_entry_find(const sim_entries *, const char *name);
/* Sets, or adds, the inode of a name. */
void sim_entry_set(sim_entries *, const char *name, unsigned inode);
/* Removes a name, if it is there. */
void sim_entry_remove(sim_entries *, const char *name);
/* Does a change to a list of entries. */
void sim_change_apply(sim_entries *, const sim_change *);

/* Writes to a file, as a reader sees it, and remembers the versions. */
void sim_disk_write(os_sim *, unsigned inode, const void *, size_t size,
                    uint64_t at);
/* Cuts or grows a file with zeros, as a reader sees it. */
void sim_disk_resize(os_sim *, unsigned inode, uint64_t size);
/* Makes a file, or the entries of a directory, durable. */
void sim_disk_sync(os_sim *, unsigned inode);
/* What a failed sync does to a file: the pages count as clean and may be read
 * from the disk again. */
void sim_disk_drop(os_sim *, unsigned inode, bool evict);
/* Does a change of a directory now, durable after its sync. */
void sim_disk_change(os_sim *, unsigned dir, const char *from, const char *to,
                     unsigned inode);

/* The next number of the simulation's own sequence. */
uint64_t sim_random(uint64_t *state);

#endif
