/* SPDX-License-Identifier: MIT */
/* The mappings of os.h over a descriptor. */
#ifndef OS_OS_MAP_H
#define OS_OS_MAP_H

#include "os/os.h"

/* As file_map, map_load and map_release of os.h. */
int os_map_file(int fd, uint64_t size, os_map *out);
int os_map_load(const os *, const os_map *, uint64_t at, uint64_t size);
void os_map_release(const os *, os_map *);

#endif
