/* SPDX-License-Identifier: MIT */
/* Structs that begin with their size. */
#include "base/sized.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"

/* The whole of a bigger struct is the caller's, so it can be looked at. */
static bool asks_for_more(const sized *s, const void *given, size_t size)
{
    const unsigned char *bytes = given;
    for (size_t i = s->size; i < size; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

persist_status sized_take(const sized *s, const void *given, void *own,
                          persist_error *error)
{
    CHECK(s->first > sizeof(size_t) && s->first <= s->size);
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < s->first || size > SIZED_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "%zu is not the size of a %s; begin the struct "
                          "with {%s, ...}",
                          size, s->name, s->macro);
    if (asks_for_more(s, given, size))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the %s has a field that version " PERSIST_VERSION
                          " of the library does not know; leave it 0, or link "
                          "a newer one",
                          s->name);
    memset(own, 0, s->size);
    memcpy(own, given, size < s->size ? size : s->size);
    memcpy(own, &s->size, sizeof s->size);
    return PERSIST_OK;
}

void sized_give(const sized *s, const void *own, void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    CHECK(size >= s->first);
    size_t known = size < s->size ? size : s->size;
    memcpy((char *)given + sizeof size, (const char *)own + sizeof size,
           known - sizeof size);
}
