/* SPDX-License-Identifier: MIT */
/* What a program does with its own process: standard streams, the end, whole
 * text files, the environment. Kept apart from os.h because the engine needs
 * none of it.
 *
 * *The end* is a signal to end or a standard output that nobody reads any
 * more. Who has called os_stream_catch is told of it by every wait here. */
#ifndef OS_OS_STREAM_H
#define OS_OS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

enum { OS_STDIN = 0, OS_STDOUT = 1, OS_STDERR = 2 };

/* From now on SIGTERM, SIGINT and, unless the program was started to ignore
 * it, SIGHUP wait for os_stream_catch, which also tells if that could not be.
 * The first call of a program that catches them: what comes before main ends
 * it, as the system does that. */
void os_stream_hold(void);

/* The first call of a program but for that, by its name. A standard stream that
 * is closed gets a place that nothing comes from and nothing goes to, so that
 * no file ever gets its number. A closed standard output and a limit on file
 * sizes (SIGPIPE, SIGXFSZ) become errors of the write. A limit on the stack is
 * raised if it is too low; false, after saying so, if one of these cannot be.
 * Then the program is to end with OS_CANNOT_RUN, which for no command of ours
 * means anything else. */
enum { OS_CANNOT_RUN = 2 };
bool os_stream_begin(const char *program);

/* From now on the signals that are held mean the end, those that have come
 * already, too. After os_stream_begin, and before any thread is started.
 * Returns 0 or a negative errno. */
int os_stream_catch(void);

/* Starts a thread that, when the end has come, gives the program grace_ms to
 * end by itself; then it calls `end` and ends the process with what that
 * returns, whatever the other threads are in the middle of. Returns 0 or a
 * negative errno. */
int os_stream_watch(int grace_ms, int (*end)(void *), void *context);

/* `end` is called no more: code is what it would return. When it is being
 * called this does not return. */
void os_stream_leave(int code);

/* Tells whether the end has come since os_stream_catch. */
bool os_stream_stopped(void);

/* Waits until the stream can be read without blocking, for timeout_ms at
 * most (-1: for ever). Returns 1 if it can (or is at its end), 0 if the time
 * is up, -EINTR if the end came first. */
int os_stream_wait(int stream, int timeout_ms);

/* Waits until somebody, in any thread, calls os_stream_rouse, or did so since
 * the last time, for timeout_ms at most; false when the end has come. After
 * os_stream_catch. */
bool os_stream_pause(int timeout_ms);
void os_stream_rouse(void);

/* Reads what is there, at most size bytes; 0 at the end of the input.
 * Returns a count or a negative errno, -EINTR at the end. */
ssize_t os_stream_read(int stream, void *buffer, size_t size);

/* Writes all bytes. Returns 0 or a negative errno. When the end has come, all
 * writes together wait for a moment only, and those to standard error not at
 * all: -EINTR. */
int os_stream_write(int stream, const void *bytes, size_t size);

/* Writes a line for people to standard error and adds the newline. Control
 * characters in it, such as a name may hold, are spelled out: it stays one
 * line, and no terminal obeys it. */
void os_stream_say(const char *line);

/* Tells whether a negative errno of os_stream_write means that nobody reads
 * standard output, or that the end has come; else the write failed, as it does
 * where the program was given one that can only be read. */
bool os_stream_is_closed(int code);

/* Tells whether a stream is a terminal. */
bool os_stream_is_terminal(int stream);

/* Appends a whole file, or what comes from a pipe until it ends, to buf,
 * refusing with -EFBIG when it is larger than size_max. Returns 0 or a
 * negative errno, -EINTR at the end. */
int os_file_slurp(const char *path, size_t size_max, buf *out);

/* Returns an environment variable, NULL if it is not set. */
const char *os_env(const char *name);

#endif
