/* SPDX-License-Identifier: MIT */
/* RocksDB as it comes: sync on, one batch for events and marks. */
#include "bench.h"

#define ENGINE_NAME "RocksDB"
#if __has_include(<rocksdb/c.h>)
#include <rocksdb/c.h>

/* rocksdb_t is the database itself. */
#define DB(name) rocksdb_##name
#include "engine_lsm.h"

static void lsm_options(database *d)
{
    rocksdb_options_set_compression(d->options, rocksdb_snappy_compression);
}

static void lsm_get(void *context, slice key, sink *out)
{
    session *s = context;
    char *error = NULL;
    size_t size;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned(
        s->d->db, s->d->read, s->key, make_key(s, 'k', key), &error);
    check(error);
    if (pinned == NULL)
        return;
    const char *value = rocksdb_pinnableslice_value(pinned, &size);
    sink_take(out, 0, value, size);
    rocksdb_pinnableslice_destroy(pinned);
}

static void lsm_sync(void *context)
{
    session *s = context;
    char *error = NULL;
    rocksdb_flush_wal(s->d->db, 1, &error);
    check(error);
}

const engine engine_rocksdb = LSM_ENGINE;
#else
const engine engine_rocksdb = {.name = ENGINE_NAME};
#endif
