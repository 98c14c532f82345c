/* SPDX-License-Identifier: MIT */
/* What a program does with its own process: standard streams, the signal to
 * end, whole text files, the environment. Kept apart from os.h because the
 * engine needs none of it. */
#ifndef OS_OS_STREAM_H
#define OS_OS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

enum { OS_STDIN = 0, OS_STDOUT = 1, OS_STDERR = 2 };

/* Catches SIGTERM and SIGINT (see os_stream_stopped) and ignores SIGPIPE, so
 * that a closed standard output is an error of the write. */
void os_stream_begin(void);

/* Tells whether a signal to end has come since os_stream_begin. */
bool os_stream_stopped(void);

/* Waits until the stream can be read without blocking, for timeout_ms at
 * most (-1: for ever). Returns 1 if it can (or is at its end), 0 if the time
 * is up, -EINTR if a signal to end came first. */
int os_stream_wait(int stream, int timeout_ms);

/* Reads what is there, at most size bytes; 0 at the end of the input.
 * Returns a count or a negative errno, -EINTR after a signal to end. */
ssize_t os_stream_read(int stream, void *buffer, size_t size);

/* Writes all bytes. Returns 0 or a negative errno; -EINTR if a signal to end
 * has come and nobody reads. */
int os_stream_write(int stream, const void *bytes, size_t size);

/* Writes a line for people to standard error and adds the newline. Control
 * characters in it, such as a name may hold, are spelled out: it stays one
 * line, and no terminal obeys it. */
void os_stream_say(const char *line);

/* Tells whether a stream is a terminal. */
bool os_stream_is_terminal(int stream);

/* Appends a whole file to buf, refusing with -EFBIG when it is larger than
 * size_max. Returns 0 or a negative errno. */
int os_file_slurp(const char *path, size_t size_max, buf *out);

/* Returns an environment variable, NULL if it is not set. */
const char *os_env(const char *name);

#endif
