/* SPDX-License-Identifier: MIT */
/* A store over the simulated system, for the tests of the engine: commits in
 * a line, kills, power failures, and a hand in its files. */
#ifndef TEST_UNIT_FIXTURE_H
#define TEST_UNIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/os_sim.h"
#include "base/buf.h"
#include "engine/engine.h"
#include "persist.h"
#include "store/store.h"

typedef struct fixture {
    os_sim *sim;
    persist_store *store; /* NULL: closed */
    uint32_t segment_size;
    uint32_t memtable_size, merge_width; /* 0: the defaults */
    uint32_t packed_max;                 /* the same */
    persist_error error;
    buf text;
} fixture;

static inline persist_status fixture_open(fixture *f)
{
    persist_options options = {PERSIST_OPTIONS,
                               .path = "store",
                               .create = true,
                               .segment_size = f->segment_size,
                               .memtable_size = f->memtable_size,
                               .merge_width = f->merge_width,
                               .packed_max = f->packed_max,
                               .os = os_sim_os(f->sim)};
    f->error = (persist_error){0};
    persist_status status = persist_open(&options, &f->store, &f->error);
    if (status != PERSIST_OK)
        f->store = NULL;
    return status;
}

static inline void fixture_reopen(fixture *f)
{
    if (fixture_open(f) != PERSIST_OK)
        fail_msg("open: %s", f->error.message);
}

static inline void fixture_begin(fixture *f, uint32_t segment_size)
{
    *f = (fixture){.sim = os_sim_new(1), .segment_size = segment_size};
    fixture_reopen(f);
}

/* The same with tables of so many bytes of commits. */
static inline void fixture_begin_tables(fixture *f, uint32_t memtable_size,
                                        uint32_t merge_width)
{
    *f = (fixture){.sim = os_sim_new(1), .segment_size = 4096};
    f->memtable_size = memtable_size;
    f->merge_width = merge_width;
    fixture_reopen(f);
}

static inline void fixture_close(fixture *f)
{
    persist_status status = persist_close(f->store, &f->error);
    f->store = NULL;
    if (status != PERSIST_OK)
        fail_msg("close: %s", f->error.message);
}

static inline void fixture_end(fixture *f)
{
    if (f->store != NULL)
        persist_close(f->store, NULL);
    assert_int_equal(os_sim_open_files(f->sim), 0);
    os_sim_free(f->sim);
    buf_release(&f->text);
}

static inline void fixture_become(fixture *f, os_sim *image)
{
    if (f->store != NULL)
        persist_close(f->store, NULL);
    f->store = NULL;
    os_sim_free(f->sim);
    f->sim = image;
}

/* The process dies: what it wrote stays in the page cache. */
static inline void fixture_kill(fixture *f)
{
    fixture_become(f, os_sim_kill(f->sim));
}

static inline void fixture_power_off(fixture *f, sim_keep keep)
{
    sim_plan plan = {.keep = keep};
    fixture_become(f, os_sim_crash(f->sim, &plan));
}

/* ---- commits ---------------------------------------------------------- */

static inline persist_status fixture_try(fixture *f, persist_edit_kind kind,
                                         const char *name, const char *data,
                                         uint64_t seq)
{
    persist_edit edit = {.kind = kind,
                         .name = slice_str(name),
                         .data = slice_str(data),
                         .seq = seq};
    persist_outcome out;
    persist_status status =
        persist_commit(f->store, &edit, 1, NULL, &out, &f->error);
    if (status == PERSIST_OK)
        persist_outcome_release(&out);
    return status;
}

/* One edit of that one of the names that begin alike. */
static inline persist_status fixture_try_one(fixture *f, persist_edit_kind kind,
                                             const char *of, unsigned n,
                                             slice data, uint64_t seq)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", of, n);
    persist_edit edit = {
        .kind = kind, .name = slice_str(name), .data = data, .seq = seq};
    return persist_commit(f->store, &edit, 1, NULL, NULL, &f->error);
}

static inline void fixture_do(fixture *f, persist_edit_kind kind,
                              const char *name, const char *data, uint64_t seq)
{
    if (fixture_try(f, kind, name, data, seq) != PERSIST_OK)
        fail_msg("commit: %s", f->error.message);
}

static inline void fixture_append(fixture *f, const char *name,
                                  const char *data)
{
    fixture_do(f, PERSIST_APPEND, name, data, 0);
}

static inline void fixture_wait(fixture *f)
{
    persist_lsn latest = persist_latest(f->store);
    if (persist_wait_durable(f->store, latest, &f->error) != PERSIST_OK)
        fail_msg("wait: %s", f->error.message);
}

/* Appends and waits, n times, events "<prefix>1", "<prefix>2" ... */
static inline void fixture_append_many(fixture *f, const char *name,
                                       const char *prefix, int n)
{
    for (int i = 1; i <= n; i++) {
        char data[64];
        snprintf(data, sizeof data, "%s%d", prefix, i);
        fixture_append(f, name, data);
        fixture_wait(f);
    }
}

/* So many steps of what was called for, as the threads make them; it ends with
 * one that fails. */
static inline void fixture_work(fixture *f, int steps)
{
    bool did = true;
    persist_error ignored;
    for (int i = 0; i < steps && did; i++)
        if (store_disk_step_called(f->store, &did, &ignored) != PERSIST_OK)
            return;
}

/* What threads come to behind a commit, by a number that is drawn below
 * FIXTURE_PACES: nothing, one step, two, or all; below FIXTURE_LAGS they lag
 * behind. */
enum { FIXTURE_LAGS = 2, FIXTURE_PACES = 4 };

static inline void fixture_keep_pace(fixture *f, uint64_t drawn)
{
    static const int steps[FIXTURE_PACES] = {0, 1, 2, 100000};
    fixture_work(f, steps[drawn]);
}

/* ---- looking ---------------------------------------------------------- */

/* Reads a cursor out as "1:data 2:data"; closes it. */
static inline const char *fixture_drain(fixture *f, persist_cursor *cursor)
{
    const persist_event *e;
    persist_status status;
    buf_clear(&f->text);
    while ((status = persist_next_event(cursor, &e, &f->error)) == PERSIST_OK) {
        buf_printf(&f->text, "%s%llu:", f->text.size == 0 ? "" : " ",
                   (unsigned long long)e->seq);
        buf_put_slice(&f->text, e->data);
    }
    assert_int_equal(status, PERSIST_NONE);
    buf_put_byte(&f->text, 0);
    persist_cursor_close(cursor);
    return (const char *)f->text.data;
}

static inline const char *fixture_events(fixture *f, const char *name,
                                         persist_view view)
{
    persist_cursor *cursor;
    assert_int_equal(persist_read(f->store, slice_str(name), 0,
                                  PERSIST_NO_LIMIT, view, &cursor, &f->error),
                     PERSIST_OK);
    return fixture_drain(f, cursor);
}

/* The value of a key, "-" if it is absent. */
static inline const char *fixture_value(fixture *f, const char *name,
                                        persist_view view)
{
    slice value;
    buf_clear(&f->text);
    persist_status status =
        persist_get(f->store, slice_str(name), view, &value, &f->error);
    if (status == PERSIST_OK) {
        buf_put_slice(&f->text, value);
        persist_free(value.data);
    } else {
        assert_int_equal(status, PERSIST_NONE);
        buf_put_str(&f->text, "-");
    }
    buf_put_byte(&f->text, 0);
    return (const char *)f->text.data;
}

static inline persist_stats fixture_stats(const fixture *f)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(f->store, &stats, NULL);
    return stats;
}

/* A stream, its newest state. */
static inline persist_stream_info fixture_info(const fixture *f,
                                               const char *name)
{
    persist_stream_info info;
    assert_int_equal(persist_info(f->store, slice_str(name), PERSIST_LATEST,
                                  &info, NULL, NULL),
                     PERSIST_OK);
    return info;
}

/* ---- files ------------------------------------------------------------ */

static inline void fixture_load(fixture *f, const char *path, buf *out)
{
    const os *sys = os_sim_os(f->sim);
    os_file *file;
    uint64_t size;
    size_t got;
    assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_READ, &file), 0);
    assert_int_equal(sys->file_size(sys, file, &size), 0);
    buf_clear(out);
    assert_true(buf_reserve(out, size));
    assert_int_equal(os_read_all(sys, file, out->data, size, 0, &got), 0);
    out->size = got;
    sys->file_close(sys, file);
}

static inline void fixture_patch(fixture *f, const char *path, uint64_t at,
                                 slice bytes)
{
    const os *sys = os_sim_os(f->sim);
    os_file *file;
    assert_int_equal(sys->file_open(sys, sys->cwd, path,
                                    OS_READ | OS_WRITE | OS_CREATE, &file),
                     0);
    assert_int_equal(os_write_all(sys, file, bytes.data, bytes.size, at), 0);
    assert_int_equal(sys->file_sync(sys, file), 0);
    sys->file_close(sys, file);
}

static inline void fixture_flip(fixture *f, const char *path, uint64_t at)
{
    buf bytes = {0};
    fixture_load(f, path, &bytes);
    assert_true(at < bytes.size);
    bytes.data[at] ^= 1;
    fixture_patch(f, path, at, slice_of(bytes.data + at, 1));
    buf_release(&bytes);
}

static inline void fixture_copy(fixture *f, const char *from, const char *to)
{
    const os *sys = os_sim_os(f->sim);
    buf bytes = {0};
    fixture_load(f, from, &bytes);
    sys->unlink(sys, sys->cwd, to);
    fixture_patch(f, to, 0, buf_slice(&bytes));
    buf_release(&bytes);
}

/* Finds the nth valid record of a segment, from 0; fails if there is none. */
static inline uint64_t fixture_record(fixture *f, const char *path, int n,
                                      record_header *header)
{
    buf bytes = {0};
    segment_header segment;
    fixture_load(f, path, &bytes);
    assert_true(segment_header_decode(buf_slice(&bytes), &segment));
    uint64_t at = SEGMENT_HEADER_SIZE;
    for (int i = 0;; i++) {
        assert_true(record_read(buf_slice(&bytes), at, segment.identity,
                                segment.number, header, NULL));
        if (i == n)
            break;
        at += record_size(header->body_size);
    }
    buf_release(&bytes);
    return at;
}

/* So many keys a scan of all finds. */
static inline int fixture_count_keys(fixture *f)
{
    int count = 0;
    persist_cursor *c = NULL;
    assert_int_equal(persist_scan(f->store, NULL, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &c, NULL),
                     PERSIST_OK);
    while (persist_next_key(c, NULL, NULL, NULL) == PERSIST_OK)
        count++;
    persist_cursor_close(c);
    return count;
}

#endif
