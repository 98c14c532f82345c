/* SPDX-License-Identifier: MIT */
/* Tables, as other rooms see them. */
#ifndef ENGINE_TABLE_TABLE_H
#define ENGINE_TABLE_TABLE_H

#include "engine/table/cache.h"
#include "engine/table/entry.h"
#include "engine/table/filter.h"
#include "engine/table/hints.h"
#include "engine/table/merge.h"
#include "engine/table/postings.h"
#include "engine/table/spots.h"
#include "engine/table/table_file.h"
#include "engine/table/times.h"
#include "engine/table/tournament.h"

#endif
