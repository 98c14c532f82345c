/* SPDX-License-Identifier: MIT */
/* The log, as other rooms see it. */
#ifndef ENGINE_LOG_LOG_H
#define ENGINE_LOG_LOG_H

#include "engine/log/record.h"
#include "engine/log/recover.h"
#include "engine/log/segment.h"
#include "engine/log/wal.h"

#endif
