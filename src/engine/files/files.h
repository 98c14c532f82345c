/* SPDX-License-Identifier: MIT */
/* What the other rooms know of files: sizes and numbers, names, manifests, and
 * the bytes of what several of them write. */
#ifndef ENGINE_FILES_FILES_H
#define ENGINE_FILES_FILES_H

#include "engine/files/blob_entry.h"
#include "engine/files/edit.h"
#include "engine/files/gaps.h"
#include "engine/files/layout.h"
#include "engine/files/limits.h"
#include "engine/files/manifest.h"
#include "engine/files/mark.h"
#include "engine/files/numbered.h"
#include "engine/files/stream_state.h"
#include "engine/files/system.h"
#include "engine/files/tagged.h"

#endif
