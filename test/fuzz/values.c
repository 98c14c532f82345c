/* SPDX-License-Identifier: MIT */
/* The SX reader: what it reads prints, and reads back equal. */
#include "lib/fuzz.h"

static slice text_of(const sx_out *out)
{
    return slice_of(out->data, out->size);
}

/* What was read has a text that reads back; the limit apart. */
static void check_value(sx *m, sx_value v, unsigned flags)
{
    sx_out first = {0}, second = {0};
    sx_value back;
    persist_error error;
    persist_status status = sx_print(m, v, flags, &first, &error);
    CHECK(status == PERSIST_OK || status == PERSIST_LIMIT);
    if (status == PERSIST_OK) {
        status = sx_read(m, text_of(&first), &back, &error);
        CHECK(status == PERSIST_OK || status == PERSIST_LIMIT);
    }
    if (status == PERSIST_OK) {
        CHECK(sx_equal(m, v, back));
        status = sx_print(m, back, flags, &second, &error);
        CHECK(status == PERSIST_OK || status == PERSIST_LIMIT);
        CHECK(status != PERSIST_OK ||
              slice_equal(text_of(&first), text_of(&second)));
    }
    sx_out_release(&first);
    sx_out_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sx *m = fuzz_machine();
    sx_value v;
    persist_error error;
    persist_status status = sx_read(m, slice_of(data, size), &v, &error);
    CHECK(status == PERSIST_OK || status == PERSIST_NONE ||
          status == SX_SYNTAX || status == PERSIST_LIMIT);
    if (status == PERSIST_OK) {
        check_value(m, v, SX_PRINT_STORABLE);
        check_value(m, v, SX_PRINT_STORABLE | SX_PRINT_SORTED);
    }
    return 0;
}
