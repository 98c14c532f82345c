/* SPDX-License-Identifier: MIT */
/* JSON, which programs read from outside: a text that decodes encodes, and
 * that text decodes to the same. */
#include "lib/fuzz.h"

static const char program[] =
    "(let ((value (json-decode text)))"
    "  (let ((printed (json-encode value)))"
    "    (let ((back (json-decode printed)))"
    "      (and (equal? value back) (equal? printed (json-encode back))))))";

static bool failed_with(sx *m, const char *code)
{
    sx_value e = sx_failure(m), found;
    return sx_type_of(e) == SX_DICT &&
           sx_dict_find(m, e, slice_str("error"), &found) &&
           sx_type_of(found) == SX_STRING &&
           slice_equal(sx_bytes(found), slice_str(code));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sx *m = fuzz_machine();
    sx_value text;
    bool made = sx_make_string(m, slice_of(data, size), &text) &&
                sx_define(m, slice_str("text"), text);
    CHECK(made);
    sx_load(m, slice_str(program));
    sx_state end = sx_run(m, 0);
    if (end == SX_DONE)
        CHECK(sx_is_true(sx_result(m)));
    else
        CHECK(failed_with(m, "syntax") || failed_with(m, "limit"));
    return 0;
}
