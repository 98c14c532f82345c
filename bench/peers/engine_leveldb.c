/* SPDX-License-Identifier: MIT */
/* LevelDB as it comes: sync on, one batch for events and marks. */
#include "bench.h"

#define ENGINE_NAME "LevelDB"
#if __has_include(<leveldb/c.h>)
#include <leveldb/c.h>

/* leveldb_t is the database itself. */
#define DB(name) leveldb_##name
#include "engine_lsm.h"

static void lsm_options(database *d)
{
    leveldb_options_set_compression(d->options, leveldb_snappy_compression);
}

static void lsm_get(void *context, slice key, sink *out)
{
    session *s = context;
    char *error = NULL;
    size_t size;
    char *value = leveldb_get(s->d->db, s->d->read, s->key,
                              make_key(s, 'k', key), &size, &error);
    check(error);
    if (value != NULL)
        sink_take(out, 0, value, size);
    leveldb_free(value);
}

/* A synced write makes all writes before it durable. */
static void lsm_sync(void *context)
{
    write_batch(context, true);
}

const engine engine_leveldb = LSM_ENGINE;
#else
const engine engine_leveldb = {.name = ENGINE_NAME};
#endif
