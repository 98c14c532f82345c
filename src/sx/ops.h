/* SPDX-License-Identifier: MIT */
/* The instructions: each takes the machine one step, wholly or not at all. */
#ifndef SX_OPS_H
#define SX_OPS_H

#include "sx/machine.h"

/* X(name): the function is op_name, of type instr_fn. What each does, with the
 * stack before -> after, stands at its function. */
#define OP_LIST(X)                                                             \
    X(constant)                                                                \
    X(empty_list)                                                              \
    X(local)                                                                   \
    X(local_checked)                                                           \
    X(local_box)                                                               \
    X(captured)                                                                \
    X(captured_checked)                                                        \
    X(captured_box)                                                            \
    X(self)                                                                    \
    X(set_local)                                                               \
    X(set_local_box)                                                           \
    X(set_captured_box)                                                        \
    X(define_local_box)                                                        \
    X(box_local)                                                               \
    X(new_box)                                                                 \
    X(global)                                                                  \
    X(set_global)                                                              \
    X(define_global)                                                           \
    X(define_macro)                                                            \
    X(pop)                                                                     \
    X(slide)                                                                   \
    X(jump)                                                                    \
    X(jump_false)                                                              \
    X(jump_false_keep)                                                         \
    X(jump_true_keep)                                                          \
    X(closure)                                                                 \
    X(call)                                                                    \
    X(tail_call)                                                               \
    X(return )                                                                 \
    X(dict)                                                                    \
    X(append)                                                                  \
    X(append_all)                                                              \
    X(case_equal)                                                              \
    X(guard)                                                                   \
    X(unguard)                                                                 \
    X(raise)

#define OP_DECLARE(name) const instr *op_##name(sx *, const instr *);
OP_LIST(OP_DECLARE)
#undef OP_DECLARE

/* Where op_closure's captured values come from: the instructions behind it,
 * one each, with a = one of these and b = the index. */
enum { CAPTURE_LOCAL, CAPTURE_CAPTURED, CAPTURE_SELF };

#endif
