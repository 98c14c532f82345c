/* SPDX-License-Identifier: MIT */
/* The simulated operating system: mapped files. A mapping is memory of its own,
 * and holds garbage where it was not loaded: who reads that finds damage. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os_sim_disk.h"

enum { GARBAGE = 0xdd };

typedef struct mapping {
    unsigned inode;
    uint8_t bytes[];
} mapping;

static mapping *mapping_of(const uint8_t *data)
{
    return (mapping *)(uintptr_t)(data - offsetof(mapping, bytes));
}

void os_sim_refuse_maps(os_sim *s, unsigned one_of)
{
    s->refuse_maps = one_of;
    s->maps = 0;
}

int sim_file_map(const os *o, os_file *file, uint64_t size, os_map *out)
{
    os_sim *s = sim_of(o);
    int rc = sim_refuse(s, SIM_MAP, 0);
    CHECK(size > 0 && (file->flags & OS_READ) != 0);
    if (rc == 0 && s->refuse_maps > 0 && ++s->maps % s->refuse_maps == 0)
        rc = -ENODEV;
    if (rc == 0 && size > s->inodes[file->inode].now->size)
        rc = -EIO;
    if (rc != 0)
        return rc;
    mapping *m = sim_alloc(sizeof *m + size);
    m->inode = file->inode;
    memset(m->bytes, GARBAGE, size);
    s->open_files++;
    s->inodes[m->inode].maps++;
    *out = (os_map){m->bytes, size};
    return 0;
}

int sim_map_load(const os *o, const os_map *map, uint64_t at, uint64_t size)
{
    os_sim *s = sim_of(o);
    mapping *m = mapping_of(map->data);
    const sim_bytes *now = s->inodes[m->inode].now;
    int rc = sim_refuse(s, SIM_MAP_LOAD, 0);
    CHECK(at <= map->size && size <= map->size - at);
    if (rc == 0 && at + size > now->size)
        rc = -EIO;
    if (rc == 0)
        memcpy(m->bytes + at, now->data + at, size);
    return rc;
}

void sim_map_release(const os *o, os_map *map)
{
    os_sim *s = sim_of(o);
    if (map->data == NULL)
        return;
    CHECK(s->open_files > 0);
    s->open_files--;
    s->inodes[mapping_of(map->data)->inode].maps--;
    free(mapping_of(map->data));
    *map = (os_map){0};
}
