/* SPDX-License-Identifier: MIT */
/* What tells files apart that have one name and one size. */
#include "engine/files/mark.h"

#include <errno.h>

#include "base/check.h"
#include "base/hash.h"

enum { MARKED_SIZE = 4096 };

int file_mark(const os *sys, os_file *file, uint64_t size, uint64_t *out)
{
    uint8_t bytes[MARKED_SIZE];
    size_t got, want = size < sizeof bytes ? (size_t)size : sizeof bytes;
    CHECK(file != NULL);
    int code = os_read_all(sys, file, bytes, want, size - want, &got);
    if (code == 0 && got < want)
        code = -ERANGE;
    if (code == 0)
        *out = hash_xxh3(slice_of(bytes, want));
    return code;
}
