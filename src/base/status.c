/* SPDX-License-Identifier: MIT */
/* The one table of status codes, and filling a persist_error. */
#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sx.h"

typedef struct row {
    const char *code;
    const char *hint;
} row;

#define ROW(name, number, code, hint) [number] = {code, hint},
static const row table[] = {[PERSIST_OK] = {"ok", "no error"},
                            [PERSIST_NONE] = {"none", "nothing there"},
                            PERSIST_STATUS_LIST(ROW) SX_STATUS_LIST(ROW)};
#undef ROW
enum { TABLE_SIZE = sizeof table / sizeof *table };

static bool is_known(persist_status status)
{
    return status >= 0 && status < TABLE_SIZE && table[status].code != NULL;
}

/* The number may come from a newer library, or from anywhere. */
static const row *row_of(persist_status status)
{
    static const row unknown = {"unknown", "not a status of this version"};
    return is_known(status) ? &table[status] : &unknown;
}

const char *persist_version(void)
{
    return PERSIST_VERSION;
}

int persist_version_number(void)
{
    return PERSIST_VERSION_NUMBER;
}

const char *persist_status_code(persist_status status)
{
    return row_of(status)->code;
}

const char *persist_status_hint(persist_status status)
{
    return row_of(status)->hint;
}

__attribute__((format(printf, 3, 0))) static void set(persist_error *error,
                                                      persist_status status,
                                                      const char *format,
                                                      va_list args)
{
    CHECK(status > PERSIST_NONE && is_known(status));
    if (error == NULL)
        return;
    error->status = status;
    error->has = 0;
    memset(error->reserved, 0, sizeof error->reserved);
    vsnprintf(error->message, sizeof error->message, format, args);
}

persist_status status_set(persist_error *error, persist_status status,
                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(error, status, format, args);
    va_end(args);
    return status;
}

persist_status status_prefix(persist_error *error, const char *what)
{
    char message[PERSIST_MESSAGE_MAX];
    CHECK(error->status > PERSIST_NONE);
    memcpy(message, error->message, sizeof message);
    return status_set(error, error->status, "%s: %s", what, message);
}

persist_status status_of_path(persist_error *error, persist_status status,
                              const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(error, status, format, args);
    va_end(args);
    status_at(error, path, STATUS_NO_OFFSET);
    return status;
}

size_t status_fault_size(const char *message)
{
    size_t size = strlen(message);
    for (const char *at = message; (at = strstr(at, "; ")) != NULL; at++)
        size = (size_t)(at - message);
    return size;
}

persist_status status_copy(persist_error *error, const persist_error *from)
{
    CHECK(from->status > PERSIST_NONE);
    if (error != NULL)
        *error = *from;
    return from->status;
}

void status_at(persist_error *error, const char *path, uint64_t offset)
{
    if (error == NULL)
        return;
    CHECK(error->status > PERSIST_NONE);
    snprintf(error->path, sizeof error->path, "%s", path);
    error->has |= PERSIST_HAS_PATH;
    if (offset == STATUS_NO_OFFSET)
        return;
    error->offset = offset;
    error->has |= PERSIST_HAS_OFFSET;
}

void status_of_stream(persist_error *error, persist_slice name)
{
    if (error == NULL)
        return;
    CHECK(error->status > PERSIST_NONE);
    size_t room = sizeof error->stream;
    error->has |= PERSIST_HAS_STREAM;
    error->stream_size = name.size < room ? name.size : room;
    if (name.size > 0)
        memcpy(error->stream, name.data, error->stream_size);
}

static persist_status of_numbers(persist_error *error, uint64_t expected,
                                 uint64_t actual)
{
    if (error == NULL)
        return PERSIST_SEQ_CONFLICT;
    CHECK(error->status == PERSIST_SEQ_CONFLICT);
    error->has |= PERSIST_HAS_NUMBERS;
    error->expected = expected;
    error->actual = actual;
    return PERSIST_SEQ_CONFLICT;
}

persist_status status_seq_conflict(persist_error *error, persist_slice stream,
                                   uint64_t seq, uint64_t mark)
{
    CHECK(seq <= mark);
    status_set(error, PERSIST_SEQ_CONFLICT,
               "the number %llu is not greater than the mark %llu; read the "
               "mark and try again",
               (unsigned long long)seq, (unsigned long long)mark);
    status_of_stream(error, stream);
    return of_numbers(error, seq, mark);
}

persist_status status_downwards(persist_error *error, const char *what,
                                uint64_t given, uint64_t there)
{
    CHECK(given < there);
    status_set(error, PERSIST_SEQ_CONFLICT,
               "%s cannot be set to %llu, for it is %llu; it goes upwards only",
               what, (unsigned long long)given, (unsigned long long)there);
    return of_numbers(error, given, there);
}

persist_status status_no_memory(persist_error *error)
{
    return status_set(error, PERSIST_LIMIT,
                      "out of memory; free some and try again");
}
