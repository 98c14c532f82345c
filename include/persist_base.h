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

#define PERSIST_VERSION "0.1.0"

/* A run of bytes that somebody else owns. Any bytes may occur, NUL included;
 * data may be NULL when size is 0. How long the bytes live is said by the
 * function that takes or returns the slice. */
typedef struct persist_slice {
    const void *data;
    size_t size; /* bytes */
} persist_slice;

/* The closed list of what can go wrong: X(NAME, "code", "hint"). The code is
 * what SX programs and users see; the hint says what it means and what to do.
 * First the codes of storage, then those of the language. */
#define PERSIST_STATUS_LIST(X)                                                 \
    X(BAD_REQUEST, "bad-request", "wrong number or types of arguments")        \
    X(UNKNOWN_OP, "unknown-op", "no such operation in this host")              \
    X(SEQ_CONFLICT, "seq-conflict", "the number is taken; read and try again") \
    X(NOT_STORABLE, "not-storable", "the value has no stored form")            \
    X(TOO_LARGE, "too-large", "over a size limit; split the value")            \
    X(NO_SPACE, "no-space", "the disk is full; free space and try again")      \
    X(IO, "io", "the system refused a file operation")                         \
    X(CORRUPT, "corrupt", "stored bytes are damaged; restore from a backup")   \
    X(READ_ONLY, "read-only", "a sync failed earlier; reopen the store")       \
    X(LOCKED, "locked", "another process holds the store")                     \
    X(BAD_STORE, "bad-store", "the directory is not a store of this version")  \
    X(BAD_CID, "bad-cid", "not a CIDv1 of raw bytes in base32")                \
    X(CLOSED, "closed", "the handle is closed")                                \
    X(ERROR, "error", "raised by the program")                                 \
    X(SYNTAX, "syntax", "the text is not a well-formed expression")            \
    X(UNBOUND, "unbound", "the name has no value")                             \
    X(NOT_CALLABLE, "not-callable", "the value is not a function")             \
    X(ARITY, "arity", "wrong number of arguments")                             \
    X(TYPE, "type", "an argument has the wrong type")                          \
    X(OVERFLOW, "overflow", "the integer does not fit in 64 bits")             \
    X(DIVIDE, "divide", "division by zero")                                    \
    X(LIMIT, "limit", "a memory or depth limit is reached")                    \
    X(ASSERT, "assert", "an assertion of the program failed")

/* What most functions return. PERSIST_OK is 0. PERSIST_NONE is no error: there
 * is nothing (more) to return, such as an absent key or the end of a cursor. */
typedef enum persist_status {
    PERSIST_OK = 0,
    PERSIST_NONE = 1,
#define PERSIST_STATUS_ENUM(name, code, hint) PERSIST_##name,
    PERSIST_STATUS_LIST(PERSIST_STATUS_ENUM)
#undef PERSIST_STATUS_ENUM
        PERSIST_STATUS_COUNT
} persist_status;

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
} persist_error;

#ifdef __cplusplus
}
#endif

#endif
