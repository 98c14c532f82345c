/* SPDX-License-Identifier: MIT */
/* The end of a process that found a mistake of its own. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *text, const char *file, int line)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
    abort();
}
