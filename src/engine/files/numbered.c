/* SPDX-License-Identifier: MIT */
/* Files that are named by a number. */
#include "engine/files/numbered.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "engine/files/limits.h"
#include "os/os.h"

enum { NUMBER_DIGITS = 16, NAME_SIZE = NUMBER_DIGITS + 4 };

int numbered_path(const char *dir, uint64_t number, const char *suffix,
                  char out[PERSIST_PATH_MAX])
{
    char name[NAME_SIZE + 1];
    CHECK(number != 0 && number <= COUNT_MAX);
    int size = snprintf(name, sizeof name, "%016llx%s",
                        (unsigned long long)number, suffix);
    CHECK(size == NAME_SIZE);
    return os_join(out, PERSIST_PATH_MAX, dir, name);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool numbered_parse(const char *name, const char *suffix, uint64_t *number)
{
    if (strlen(name) != NAME_SIZE || strcmp(name + NUMBER_DIGITS, suffix) != 0)
        return false;
    uint64_t value = 0;
    for (int i = 0; i < NUMBER_DIGITS; i++) {
        int digit = hex_digit(name[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *number = value;
    return value != 0 && value <= COUNT_MAX;
}

bool numbered_is_near(uint64_t number, uint64_t next)
{
    CHECK(next > 0 && next <= COUNT_MAX);
    return number < next || number - next < NUMBER_REACH;
}

bool segment_number(const char *name, uint64_t *number)
{
    return numbered_parse(name, SEGMENT_SUFFIX, number);
}
