/* SPDX-License-Identifier: MIT */
/* Tables whose checksums are right, and whose content is not: nothing but a bug
 * makes those, so they are made by hand. */
#ifndef TEST_UNIT_FORGE_H
#define TEST_UNIT_FORGE_H

#include "fixture.h"

#include "engine/files/manifest.h"
#include "engine/table/entry.h"
#include "engine/table/times.h"

enum { BLOCK_SIZE = 256 };

typedef struct forge {
    os_sim *sim;
    const os *sys;
    os_dir *root, *tables;
    manifest manifest;
    manifest_files files;
    table_writer writer;
    times_writer times;
    uint64_t timed; /* the position of the last event with one */
    uint64_t time;  /* of the next event */
    persist_lsn last;
    char what[128]; /* of the first damage found */
    unsigned damages;
} forge;

static inline void must(persist_status status, const persist_error *error)
{
    if (status != PERSIST_OK)
        fail_msg("%s", error->message);
}

/* A new store, closed: its manifest will be written anew. */
static inline void begin(forge *f)
{
    persist_store *store;
    persist_error error;
    manifest previous;
    *f = (forge){.sim = os_sim_new(1),
                 .files = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    f->sys = os_sim_os(f->sim);
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .create = true, .os = f->sys};
    must(persist_open(&options, &store, &error), &error);
    must(persist_close(store, &error), &error);
    assert_int_equal(f->sys->dir_open(f->sys, f->sys->cwd, "store", &f->root),
                     0);
    assert_int_equal(f->sys->dir_open(f->sys, f->root, "tables", &f->tables),
                     0);
    must(manifest_load(f->sys, f->root, &f->manifest, &previous, &error),
         &error);
    manifest_release(&previous);
}

static inline void begin_table(forge *f)
{
    persist_error error;
    const table_place place = {
        .sys = f->sys, .dir = f->tables, .identity = f->manifest.identity};
    must(table_begin(&f->writer, &place, f->manifest.next_table, BLOCK_SIZE,
                     false, 16, &error),
         &error);
}

static inline void put_stream(forge *f, const char *name, stream_entry e)
{
    buf value = {0};
    entry_put_stream(&value, &e);
    table_add(&f->writer, TABLE_STREAMS, slice_str(name), buf_slice(&value));
    buf_release(&value);
}

/* A stream of so many events of one byte, all in this table, the first ones
 * numbered from `first` on. */
static inline stream_entry stream_of(uint64_t ordinal, uint64_t first,
                                     uint64_t events)
{
    uint64_t last = events == 0 ? 0 : first + events - 1;
    stream_entry e = {.ordinal = ordinal, .events = events};
    e.state.mark = first + events - 1;
    e.state.count = e.state.bytes = first + events - 1;
    e.state.floor.first = e.state.count > 0 ? 1 : 0;
    e.first = events == 0 ? 0 : first;
    e.last = last;
    return e;
}

static inline void put_event(forge *f, uint64_t ordinal, uint64_t seq,
                             uint64_t position, uint64_t index)
{
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    buf value = {0};
    const event_entry e = {.position = position,
                           .anchored = true,
                           .index = index,
                           .bytes_before = index,
                           .data = slice_str("x")};
    entry_put_event(&value, &e);
    table_add(&f->writer, TABLE_EVENTS, entry_event_key(ordinal, seq, place),
              buf_slice(&value));
    buf_release(&value);
}

static inline void put_order(forge *f, uint64_t position, uint64_t seq,
                             const char *name)
{
    uint8_t place[ENTRY_ORDER_KEY_SIZE];
    buf value = {0};
    entry_order_key(position, place);
    entry_put_order(&value, seq, slice_str(name));
    table_add(&f->writer, TABLE_ORDER, slice_of(place, sizeof place),
              buf_slice(&value));
    buf_release(&value);
    if (position <= f->timed)
        return;
    times_add(&f->times, &f->writer, position, f->time);
    f->timed = position;
}

static inline void put_once(forge *f, const char *id, persist_lsn lsn)
{
    uint8_t print[PERSIST_FINGERPRINT_SIZE] = {0};
    buf value = {0};
    entry_put_once(&value, lsn, print, NULL, 0);
    table_add(&f->writer, TABLE_ONCES, slice_str(id), buf_slice(&value));
    buf_release(&value);
}

/* The table holds one commit more. */
static inline void end_table(forge *f)
{
    persist_error error;
    f->last++;
    times_end(&f->times, &f->writer);
    buf_release(&f->times.value);
    f->times = (times_writer){0};
    must(table_finish(&f->writer, f->last, f->last, &error), &error);
    const table_file file = {f->manifest.next_table++, f->writer.footer.size,
                             f->last, f->last};
    assert_true(manifest_add_table(&f->manifest, file));
}

/* Lists the tables. */
static inline void list_tables(forge *f, uint64_t streams, uint64_t events,
                               uint64_t next_position)
{
    persist_error error;
    bool renamed;
    f->manifest.streams = streams;
    f->manifest.events = events;
    f->manifest.next_position = next_position;
    f->manifest.watermark = f->last;
    must(manifest_store(f->sys, f->root, &f->files, &f->manifest, &renamed,
                        &error),
         &error);
}

static inline void clean_up(forge *f)
{
    manifest_release(&f->manifest);
    manifest_release_files(f->sys, &f->files);
    f->sys->dir_close(f->sys, f->tables);
    f->sys->dir_close(f->sys, f->root);
    os_sim_free(f->sim);
}

#endif
