/* SPDX-License-Identifier: MIT */
/* Which bug on purpose is on; only in builds that have them. */
#include "base/seeded_bug.h"

#ifdef SEEDED_BUGS
int seeded_bug = BUG_NONE;
#endif
