/* SPDX-License-Identifier: MIT */
/* Assertions on our own mistakes; they stay on in release builds. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <assert.h>

#include "persist_base.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Ends the process with place and text when the condition does not hold. Never
 * used on bytes from outside. */
#define CHECK(cond)                                                            \
    (LIKELY(cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

/* The same at compile time. */
#define CHECK_STATIC(cond, why) static_assert(cond, why)

/* Tells the panic function, or standard error, of the place and the text, and
 * ends the process. */
_Noreturn void check_failed(const char *text, const char *file, int line);

/* For functions that programs call, on what their caller has to see to. */
#define CHECK_CALLER(cond, what)                                               \
    (LIKELY(cond) ? (void)0 : check_misused(__func__, what))

/* The same, of the mistake of whoever called a function. */
_Noreturn void check_misused(const char *function, const char *what);

/* Sets the panic function; see persist_on_panic. */
void check_on_panic(persist_panic_fn, void *context);

#endif
