/* SPDX-License-Identifier: MIT */
/* The end of a process that found a mistake of its own. */
#include "base/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENTENCE_MAX = 512 };

static persist_panic_fn on_panic;
static void *panic_context;

void check_on_panic(persist_panic_fn panic, void *context)
{
    on_panic = panic;
    panic_context = context;
}

/* Nothing is allocated: the heap may be what is broken. One that fails in the
 * panic function is told to standard error. */
_Noreturn void check_failed(const char *text, const char *file, int line)
{
    static _Thread_local bool panics;
    char sentence[SENTENCE_MAX];
    snprintf(sentence, sizeof sentence,
             "%s:%d: check failed: %s; this is a mistake in the library, or "
             "memory was overwritten: please report it",
             file, line, text);
    if (on_panic != NULL && !panics) {
        panics = true;
        on_panic(panic_context, sentence);
    } else {
        fprintf(stderr, "%s\n", sentence);
    }
    abort();
}
