/* SPDX-License-Identifier: MIT */
/* Which operating system a store uses, and how. */
#include "engine/files/system.h"

const os *system_of(const persist_options *options, os *own)
{
    const os *sys = options->os == NULL ? os_posix() : options->os;
    if (!options->unmapped && !options->group)
        return sys;
    *own = *sys;
    if (options->unmapped)
        os_without_maps(sys, own);
    own->group = options->group;
    return own;
}
