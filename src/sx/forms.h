/* SPDX-License-Identifier: MIT */
/* What the files of special forms share. */
#ifndef SX_FORMS_H
#define SX_FORMS_H

#include "sx/compiler.h"

/* Each compiles one special form and returns false after fail().
 * (fn (param ...) form ...), named after t->name if that is set. */
bool compile_lambda(sx *, const task *);
/* (define name value) and (define (name param ...) form ...). */
bool compile_define(sx *, const task *);
/* (defmacro name (param ...) form ...): always a global. */
bool compile_define_macro(sx *, const task *);
/* (let ((name value) ...) form ...), also flat, also with a name. */
bool compile_let(sx *, const task *);
/* (letrec ((name value) ...) form ...). */
bool compile_letrec(sx *, const task *);
/* (set! name value). */
bool compile_set(sx *, const task *);
/* (quote x). */
bool compile_quote(sx *, const task *);
/* (quasiquote x), nested ones included. */
bool compile_quasiquote(sx *, const task *);
/* (guard (name (test form ...) ...) form ...). */
bool compile_guard(sx *, const task *);

/* Declares the definitions in the forms of a body. */
bool declare_definitions(sx *, value body, uint32_t from);
/* Declares a name of the current body. */
bool declare_local(sx *, string *name, uint32_t *out);
/* What becomes of the value of a definition: a global or a local. */
bool push_defined(sx *, string *name, bool tail);
/* Declares the next parameter of the current unit. */
bool declare_param(sx *, value name);
/* Boxes the variables that came into scope since outer, where need be. */
bool bind_params(sx *, uint32_t outer);
/* Ends a lambda and makes the closure. a: what the scope was. */
bool run_end_lambda(sx *, const task *);
/* Takes variables off: a: what the scope was, b: how many to take from below
 * the result. */
bool run_unbind(sx *, const task *);
bool wants_name(sx *, const char *form, value);

/* The symbol or keyword else. */
bool is_else(value);
/* A branch that is left when the test is false, for a label. */
bool push_test(sx *, value test, uint32_t other);
/* Between two branches: the value of the first stays and goes to the common
 * end, unless it has returned; the second does not see it. */
bool push_between(sx *, uint32_t other, uint32_t end, bool tail);
/* The common end. */
bool push_end(sx *, uint32_t end, bool tail);

#endif
