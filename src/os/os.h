/* SPDX-License-Identifier: MIT */
/* Every outside effect of the engine: one small table of functions.
 *
 * os_posix.c is the real one; test/lib/os_sim.c its twin, which keeps apart
 * what is written from what is durable. Calls behave like their POSIX
 * namesakes, so that the simulation can do what a real system may do: they
 * return 0 (or a count) or a negative errno; reads and writes may be short or
 * fail with -EINTR. The os_*_all helpers below loop until
 * done, or until -EINTR has come too often in a row (os_again.h).
 *
 * What is durable: file bytes and size after file_sync; a name (create,
 * rename, unlink, mkdir) after dir_sync of the directory that holds it. */
#ifndef OS_OS_H
#define OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "persist_base.h"

typedef struct os os;
typedef struct os_file os_file;   /* opaque; each os defines its own */
typedef struct os_watch os_watch; /* the same */

/* A directory that is held open. Names are looked up in it, wherever its own
 * name leads by now; each os puts what it needs behind this. */
typedef struct os_dir {
    const char *path; /* as it was opened, for messages */
    bool gone;        /* it could not be opened: no name is in it */
} os_dir;

enum {
    OS_READ = 1,
    OS_WRITE = 2,
    OS_CREATE = 4,    /* make the file if it is missing */
    OS_EXCLUSIVE = 8, /* with OS_CREATE: fail with -EEXIST if it is there */
};

enum { OS_WATCHED = 4 };

typedef struct os_stat {
    uint64_t size; /* bytes */
    bool is_dir;
    bool is_file; /* a regular one */
    /* Together they tell which file it is, whatever its name. */
    uint64_t device, inode;
    uint64_t links; /* names that it has */
    bool for_group; /* the group may look at it, others may not */
} os_stat;

/* The bytes of a file in memory. */
typedef struct os_map {
    const uint8_t *data; /* NULL: none */
    uint64_t size;
} os_map;

/* Called with each name in a directory, without "." and ".."; a value other
 * than 0 ends the listing and is returned by it. */
typedef int (*os_list_fn)(void *context, const char *name);

/* Version of the table, which an opening checks. */
enum { OS_VERSION = 14 };

struct os {
    int version;
    bool group;        /* what is made is for the user's group, too */
    void *context;     /* of the implementation */
    const os_dir *cwd; /* the current directory; never closed */

    /* A name is looked up in a directory; it may be a path. In cwd symbolic
     * links are followed, elsewhere the last part of it must not be one:
     * -ELOOP. dir_open closes with dir_close, which cannot fail. */
    int (*dir_open)(const os *, const os_dir *, const char *name, os_dir **out);
    void (*dir_close)(const os *, os_dir *);
    /* Only regular files: -EISDIR, and -EMEDIUMTYPE for a pipe, a device and
     * the like, without waiting for anybody. What is made is for its user
     * alone (and the group, see above), less what the umask takes away. */
    int (*file_open)(const os *, const os_dir *, const char *name, int flags,
                     os_file **out);
    /* Releases the handle even when it returns an error. */
    int (*file_close)(const os *, os_file *);
    /* Is not cancelled (pthread_cancel). */
    ssize_t (*file_read)(const os *, os_file *, void *, size_t, uint64_t at);
    ssize_t (*file_write)(const os *, os_file *, const void *, size_t,
                          uint64_t at);
    /* -ENOENT if no name of the file is left: its bytes go with the handle.
     * -ERANGE if it is shorter than it was when it was opened, or than what
     * this handle has written to it: not all that was written is there.
     * -EBADF if the program has closed the handle's descriptor, and made
     * another file of it; dir_sync too. */
    int (*file_sync)(const os *, os_file *);
    /* Begins to write bytes to the disk, and does not wait: a hint. */
    void (*file_start_write)(const os *, os_file *, uint64_t at, uint64_t size);
    /* Begins to read bytes into the system's memory: a hint too. */
    void (*file_start_read)(const os *, os_file *, uint64_t at, uint64_t size);
    /* Reserves blocks for [0, size) and grows the file to size; the new bytes
     * read as zeros. -ENOSPC when the disk is full. */
    int (*file_allocate)(const os *, os_file *, uint64_t size);
    /* The same for a file that is only there to take room: nobody will write to
     * the new bytes, nor read them. */
    int (*file_take_room)(const os *, os_file *, uint64_t size);
    int (*file_truncate)(const os *, os_file *, uint64_t size);
    int (*file_size)(const os *, os_file *, uint64_t *size);
    int (*file_stat)(const os *, os_file *, os_stat *out);
    /* A number that becomes another one when somebody writes to the file; 0 if
     * there is none. Not yet `settled`, somebody has a moment ago, and who does
     * so once more within that moment may leave it as it is. */
    uint64_t (*file_stamp)(const os *, os_file *, bool *settled);
    /* Takes a lock on the file without waiting, shared with others that take
     * it so, or alone; the latter writes the process's id there, and needs
     * OS_WRITE. -EWOULDBLOCK if another process (or handle) has it, *holder is
     * then its pid, or 0 where that is not known. The lock goes with the handle
     * or the process; a forked child has none. */
    int (*file_lock)(const os *, os_file *, bool shared, int64_t *holder);
    /* Maps the bytes [0, size) of a file that does not change while it is
     * mapped, to be read in place. The mapping outlives the handle and the
     * name. An error says only that this file is to be read instead. */
    int (*file_map)(const os *, os_file *, uint64_t size, os_map *out);
    /* Brings a range of a mapping in: to be called before the range is read,
     * which ends the process where the file has no such bytes any more, or
     * the disk does not give them. This says so: -EIO. */
    int (*map_load)(const os *, const os_map *, uint64_t at, uint64_t size);
    /* Safe on a zeroed one. Where the system does not take it back it stays,
     * and cannot be reached any more. */
    void (*map_release)(const os *, os_map *);

    int (*stat)(const os *, const os_dir *, const char *name, os_stat *out);
    int (*rename)(const os *, const os_dir *from_dir, const char *from,
                  const os_dir *to_dir, const char *to);
    /* Gives a file a second name, on the same file system: -EXDEV elsewhere,
     * -EEXIST if the name is there, -EPERM, -EOPNOTSUPP or -EMLINK where files
     * have one name, or no more of them. */
    int (*link)(const os *, const os_dir *from_dir, const char *from,
                const os_dir *to_dir, const char *to);
    int (*unlink)(const os *, const os_dir *, const char *name);
    /* -EEXIST if there */
    int (*dir_make)(const os *, const os_dir *, const char *name);
    /* Takes away from other users (from the group too, but see above) what they
     * may do in a directory. */
    int (*dir_protect)(const os *, const os_dir *);
    /* Whether names may be made there: 0, -EROFS, -EACCES or -EPERM. */
    int (*dir_may_write)(const os *, const os_dir *);
    /* As file_lock, on the directory itself: whatever is done to the names in
     * it, the lock stays. -EOPNOTSUPP: not on this file system. */
    int (*dir_lock)(const os *, const os_dir *, bool shared);
    /* Only an empty one: -ENOTEMPTY */
    int (*dir_remove)(const os *, const os_dir *, const char *name);
    int (*dir_sync)(const os *, const os_dir *);
    int (*dir_list)(const os *, const os_dir *, os_list_fn, void *);
    /* Bytes that the disk has left for this user; UINT64_MAX if that cannot be
     * seen. */
    uint64_t (*dir_room)(const os *, const os_dir *);

    /* Watches up to OS_WATCHED directories for names that are taken out of
     * them, or take the place of others. Any error: this is not to be had here,
     * and whoever wants to know looks. A hint: see os_watch.h. */
    int (*watch_open)(const os *, const os_dir *const *, size_t count,
                      os_watch **out);
    bool (*watch_is_quiet)(const os *, os_watch *);
    void (*watch_close)(const os *, os_watch *);

    uint64_t (*clock_us)(const os *); /* monotonic, microseconds */
    /* os_sleep_for of os_sleep.h, by that clock. */
    void (*sleep_while)(const os *, const _Atomic uint32_t *word,
                        uint32_t value, uint64_t us);
    /* The wall clock, microseconds since 1970; it may go back. */
    uint64_t (*wall_us)(const os *);
    int (*random)(const os *, void *, size_t);
};

/* The real operating system. The table is static. */
const os *os_posix(void);

/* Makes a table that does what another one does, but refuses to map files. */
void os_without_maps(const os *, os *out);

/* Reads exactly size bytes at an offset; *got is less only at the end of the
 * file. Repeats short reads and -EINTR. Returns 0 or a negative errno. */
int os_read_all(const os *, os_file *, void *, size_t size, uint64_t at,
                size_t *got);

/* Reads the first bytes of a file; those that it does not have, beyond *got,
 * are zeros. Returns 0 or a negative errno. */
int os_read_start(const os *, const os_dir *, const char *name, void *,
                  size_t size, size_t *got);

/* Writes exactly size bytes at an offset. Repeats short writes and -EINTR.
 * Returns 0 or a negative errno; then some of the bytes may be written. */
int os_write_all(const os *, os_file *, const void *, size_t size, uint64_t at);

/* Syncs a file, or a directory; repeats -EINTR. Returns 0 or a negative errno.
 */
int os_sync(const os *, os_file *);
int os_dir_sync(const os *, const os_dir *);

/* Opens a directory, syncs or lists it, and closes it. Returns 0, a negative
 * errno, or what ended the listing. */
int os_sync_in(const os *, const os_dir *, const char *name);
int os_list_in(const os *, const os_dir *, const char *name, os_list_fn,
               void *);

/* Tells whether two looks have met the same file or directory. */
bool os_same(const os_stat *, const os_stat *);

/* Tells whether a call was refused because nothing may be written there. */
bool os_forbids_writing(int code);

/* Returns the last part of a path. */
const char *os_name(const char *path);

/* Joins directory and name with a slash into out, of size bytes. Returns 0 or
 * -ENAMETOOLONG. */
int os_join(char *out, size_t size, const char *dir, const char *name);

/* What the system calls a negative errno; stays valid until the next call in
 * this thread. */
const char *os_reason(int code);

/* Turns a negative errno into a status and an error "cannot <what> <path>:
 * ...": PERSIST_NO_SPACE, PERSIST_LIMIT for no memory, else PERSIST_IO. */
persist_status os_failed(persist_error *, int code, const char *what,
                         const char *path);

/* Tells of an error of os_failed that is PERSIST_NO_SPACE, or of one that ends
 * with the same advice, whether a limit on the sizes of files was in the way:
 * then no space that is freed helps. */
#define OS_RAISE_LIMIT                                                         \
    "raise the limit on file sizes (ulimit -f) and start again"
bool os_is_size_limit(const persist_error *);

/* Puts other advice behind a PERSIST_NO_SPACE: to free some space, and then to
 * do something; a limit keeps its own. */
void os_advise_space(persist_error *, const char *then);

/* The error of a thread that the system did not start: PERSIST_LIMIT. */
persist_status os_no_thread(persist_error *, int code, const char *path);

#endif
