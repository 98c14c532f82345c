/* SPDX-License-Identifier: MIT */
/* The words that persist.h and sx.h share: byte slices, status codes, errors.
 */
#ifndef PERSIST_BASE_H
#define PERSIST_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERSIST_VERSION "0.2.0"
/* 1,000,000 times the first number, 1,000 times the second, and the third */
#define PERSIST_VERSION_NUMBER 2000

/* The same of the library that is linked, which may be another one than the
 * header is of. The string is static. Never fails. */
const char *persist_version(void);
int persist_version_number(void);

/* What a library calls before it ends the process, because it has found a
 * mistake of its own or memory that was overwritten: the sentence names file,
 * line and what does not hold. It may call nothing of the library, nor leave
 * the call (longjmp); when it returns, abort follows. */
typedef void (*persist_panic_fn)(void *context, const char *sentence);

/* A run of bytes that somebody else owns. Any bytes may occur, NUL included;
 * data may be NULL when size is 0. How long the bytes live is said by the
 * function that takes or returns the slice. */
typedef struct persist_slice {
    const void *data;
    size_t size; /* bytes */
} persist_slice;

/* What most functions return: a number of this list, or of SX_STATUS_LIST in
 * sx.h, where those of the language are, from 100 on. Numbers never change.
 * PERSIST_OK is 0. PERSIST_NONE is no error: there is nothing (more) to return,
 * such as an absent key or the end of a cursor. */
typedef int persist_status;

/* What can go wrong with a store: X(NAME, number, "code", "hint"). The code is
 * what SX programs and users see; the hint says what it means and what to do.
 */
#define PERSIST_STATUS_LIST(X)                                                 \
    X(BAD_REQUEST, 2, "bad-request",                                           \
      "wrong arguments, or a call that cannot be made now")                    \
    X(UNKNOWN_OP, 3, "unknown-op", "no such operation in this host")           \
    X(SEQ_CONFLICT, 4, "seq-conflict",                                         \
      "the number is taken, or passed; read and try again")                    \
    X(NOT_STORABLE, 5, "not-storable", "the value has no stored form")         \
    X(TOO_LARGE, 6, "too-large", "over a size limit; split it")                \
    X(NO_SPACE, 7, "no-space",                                                 \
      "no room: a full disk, a quota, a limit on files; make some and try "    \
      "again")                                                                 \
    X(IO, 8, "io", "the system refused a file operation")                      \
    X(CORRUPT, 9, "corrupt",                                                   \
      "stored bytes are damaged; restore from a backup")                       \
    X(READ_ONLY, 10, "read-only",                                              \
      "nothing can be written; mend what the message names and reopen the "    \
      "store")                                                                 \
    X(LOCKED, 11, "locked", "the store is open already; close it there first") \
    X(BAD_STORE, 12, "bad-store",                                              \
      "no store of this version is there; check the path")                     \
    X(BAD_CID, 13, "bad-cid", "not a CIDv1 of raw bytes in base32")            \
    X(CLOSED, 14, "closed", "the handle is closed, or of a parent process")    \
    X(LOST, 15, "lost",                                                        \
      "it was taken back, or may be; ask again with its command id")           \
    X(LIMIT, 16, "limit", "a memory or depth limit is reached; keep less")

enum {
    PERSIST_OK = 0,
    PERSIST_NONE = 1,
#define PERSIST_STATUS_ENUM(name, number, code, hint) PERSIST_##name = (number),
    PERSIST_STATUS_LIST(PERSIST_STATUS_ENUM)
#undef PERSIST_STATUS_ENUM
};

/* Returns the code of a status, such as "seq-conflict"; "ok" and "none" for
 * the two that are no errors, and "unknown" for a number that is none of them.
 * The string is static. Never fails. */
const char *persist_status_code(persist_status status);

/* Returns one line on what the status means and what to do. The string is
 * static. Never fails, whatever the number. */
const char *persist_status_hint(persist_status status);

enum { PERSIST_MESSAGE_MAX = 512, PERSIST_PATH_MAX = 512 };

/* Which fields of a persist_error beyond the message hold something. */
enum {
    PERSIST_HAS_PATH = 1,    /* path */
    PERSIST_HAS_OFFSET = 2,  /* offset */
    PERSIST_HAS_NUMBERS = 4, /* expected, actual */
    PERSIST_HAS_STREAM = 8,  /* stream */
    PERSIST_HAS_SEQ = 16,    /* seq */
    PERSIST_HAS_HOLDER = 32  /* holder_pid */
};

/* A store, as persist_open of persist.h gives it. */
typedef struct persist_store persist_store;

/* An error with its context. The caller owns the struct; it holds no pointers
 * and needs no release. Functions that take one accept NULL, and write to it
 * only when they return an error. */
typedef struct persist_error {
    persist_status status;
    unsigned has;                      /* PERSIST_HAS_... bits */
    char message[PERSIST_MESSAGE_MAX]; /* NUL-terminated, cut if too long */
    char path[PERSIST_PATH_MAX];       /* NUL-terminated, cut if too long */
    uint64_t offset;                   /* bytes from the start of path */
    uint64_t expected, actual;         /* event numbers */
    char stream[PERSIST_PATH_MAX];     /* first stream_size bytes of the name */
    size_t stream_size;                /* bytes used in stream */
    uint64_t seq;
    int64_t holder_pid; /* process that holds the lock; 0 if unknown */
    uint64_t reserved[4];
} persist_error;

#ifdef __cplusplus
}
#endif

#endif
