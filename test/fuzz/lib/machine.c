/* SPDX-License-Identifier: MIT */
/* A machine for one input after the other. */
#include "fuzz.h"

enum { HEAP_MAX = 8 << 20, DEPTH_MAX = 1000, KEPT_MAX = 2 << 20 };

sx *fuzz_machine(void)
{
    static const sx_options options = {SX_OPTIONS, .heap_max = HEAP_MAX,
                                       .depth_max = DEPTH_MAX};
    static sx *kept;
    if (kept != NULL)
        sx_reset(kept);
    if (kept != NULL)
        sx_collect(kept, NULL, 0);
    if (kept != NULL && sx_heap_used(kept) > KEPT_MAX) {
        sx_close(kept);
        kept = NULL;
    }
    if (kept == NULL)
        CHECK(sx_open(&options, &kept, NULL) == PERSIST_OK);
    return kept;
}
