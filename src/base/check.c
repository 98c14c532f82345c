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

/* One that fails in the panic function is told to standard error. */
_Noreturn static void end(const char *sentence)
{
    static _Thread_local bool panics;
    if (on_panic != NULL && !panics) {
        panics = true;
        on_panic(panic_context, sentence);
    } else {
        fprintf(stderr, "%s\n", sentence);
    }
    abort();
}

/* Nothing is allocated: the heap may be what is broken. */
_Noreturn void check_failed(const char *text, const char *file, int line)
{
    char sentence[SENTENCE_MAX];
    snprintf(sentence, sizeof sentence,
             "%s:%d: check failed: %s; this is a mistake in the library, or "
             "memory was overwritten: please report it",
             file, line, text);
    end(sentence);
}

_Noreturn void check_misused(const char *function, const char *what)
{
    char sentence[SENTENCE_MAX];
    snprintf(sentence, sizeof sentence,
             "%s: %s; this is a mistake of the program that called it",
             function, what);
    end(sentence);
}
