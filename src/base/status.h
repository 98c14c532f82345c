/* SPDX-License-Identifier: MIT */
/* Filling a persist_error. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "persist_base.h"

/* Says that memory is out; returns PERSIST_LIMIT. */
persist_status status_no_memory(persist_error *);

/* Sets status and message (printf format) and clears the rest; returns the
 * status, so that `return status_set(...)` reads well. error may be NULL. */
persist_status status_set(persist_error *error, persist_status status,
                          const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts what the error is about, and a colon, before its message; returns its
 * status. */
persist_status status_prefix(persist_error *error, const char *what);

/* A message tells what is wrong and, behind "; ", what to do. Returns how many
 * bytes the first part has. */
size_t status_fault_size(const char *message);

/* Hands over an error that was kept; returns its status. error may be NULL. */
persist_status status_copy(persist_error *error, const persist_error *from);

/* Adds the place: a path, and an offset in bytes unless it is
 * STATUS_NO_OFFSET. */
#define STATUS_NO_OFFSET UINT64_MAX
void status_at(persist_error *error, const char *path, uint64_t offset);

/* The same as status_set, with the path as its place. */
persist_status status_of_path(persist_error *error, persist_status status,
                              const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds the stream, or the beginning of a name that is longer than there is
 * room for. */
void status_of_stream(persist_error *error, persist_slice name);

/* The number seq was asked for in a stream that has come to mark already. */
persist_status status_seq_conflict(persist_error *error, persist_slice stream,
                                   uint64_t seq, uint64_t mark);

/* Something that only goes upwards, and is at `there`, was to be set lower. */
persist_status status_downwards(persist_error *error, const char *what,
                                uint64_t given, uint64_t there);

#endif
