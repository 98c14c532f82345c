/* SPDX-License-Identifier: MIT */
/* Shipping: the log, as it becomes durable, to whoever follows it.
 *
 * What is durable is on the disk, and is read from there: so nothing is kept in
 * memory for who is slow, and commits wait for nobody. A record is verified,
 * and follows the one before. */
#include "engine/backup/backup.h"

#include <errno.h>

persist_status engine_ship_begin(engine *e, persist_lsn after, engine_ship *s,
                                 persist_error *error)
{
    *s = (engine_ship){.engine = e};
    s->hold.after = after;
    s->hold.upto = UINT64_MAX;
    s->hold.most = SHIP_BEHIND_MAX;
    atomic_fetch_add(&e->ships, 1);
    if (after > wal_durable(&e->wal))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the commit %llu is not durable, or was never made; "
                          "what comes behind it can be had later",
                          (unsigned long long)after);
    persist_status status = wal_hold_begin(&e->wal, &s->hold, error);
    s->holds = status == PERSIST_OK;
    return status;
}

void engine_ship_end(engine_ship *s)
{
    engine *e = s->engine;
    if (s->holds) {
        wal_hold_end(&e->wal, &s->hold);
        wal_drop_free(&e->wal, SEGMENT_FREE_MAX);
    }
    buf_release(&s->bytes);
    unsigned before = atomic_fetch_sub(&e->ships, 1);
    CHECK(before > 0);
}

/* Brings in so many bytes, or what the file has of them. */
static int read_from(engine_ship *s, os_file *file, uint64_t at, uint64_t size)
{
    size_t got = 0;
    CHECK(size > 0 && size <= SEGMENT_SIZE_MAX);
    buf_clear(&s->bytes);
    if (!buf_reserve(&s->bytes, (size_t)size))
        return -ENOMEM;
    int code = os_read_all(s->engine->sys, file, s->bytes.data, (size_t)size,
                           at, &got);
    s->bytes.size = got;
    return code;
}

/* The size of the record that the bytes begin with, as it says. */
static uint64_t size_of_first(const engine_ship *s)
{
    enum { AT_BODY_SIZE = 12 };
    uint32_t size;
    if (s->bytes.size < RECORD_HEADER_SIZE)
        return RECORD_HEADER_SIZE;
    memcpy(&size, s->bytes.data + AT_BODY_SIZE, sizeof size);
    return size <= RECORD_BODY_MAX ? record_size(size) : RECORD_HEADER_SIZE;
}

/* Counts the durable records that the bytes begin with. What is shipped already
 * is passed over. */
static persist_status take_records(engine_ship *s, const segment_entry *in,
                                   persist_lsn durable, persist_error *error)
{
    const engine *e = s->engine;
    slice bytes = buf_slice(&s->bytes);
    uint64_t from = s->offset, at = from, begin = from;
    persist_lsn last = s->hold.after, first = 0;
    while (last < durable && at < in->end) {
        record_header h;
        if (!record_read_part(bytes, from, at, e->wal.place.identity,
                              in->number, &h, NULL))
            break;
        uint64_t size = record_size(h.body_size);
        if (h.lsn > durable)
            break;
        if (h.lsn <= last && first == 0) {
            begin = at + size;
        } else if (!gaps_may_follow(&e->gaps, last, h.lsn)) {
            return backup_log_damaged(s->engine, in->number, at, error);
        } else {
            first = first == 0 ? h.lsn : first;
            last = h.lsn;
        }
        at += size;
    }
    s->offset = at;
    if (first == 0)
        return at > from ? PERSIST_NONE
                         : backup_log_damaged(s->engine, in->number, at, error);
    s->piece =
        (persist_shipped){.first = first,
                          .last = last,
                          .segment = in->number,
                          .offset = begin,
                          .bytes = slice_part(bytes, (size_t)(begin - from),
                                              (size_t)(at - begin))};
    wal_hold_move(&s->engine->wal, &s->hold, last);
    return PERSIST_OK;
}

static persist_status read_segment(engine_ship *s, const segment_entry *in,
                                   persist_lsn durable, persist_error *error)
{
    const os *sys = s->engine->sys;
    const segment_place *place = &s->engine->wal.place;
    char path[PERSIST_PATH_MAX];
    os_file *file;
    int code = segment_path(place, in->number, path);
    if (code == 0)
        code = sys->file_open(sys, place->dir, os_name(path), OS_READ, &file);
    if (code != 0)
        return os_failed(error, code, "open the log in", place->dir->path);
    CHECK(s->offset < in->end);
    uint64_t left = in->end - s->offset;
    code = read_from(s, file, s->offset, left < SHIP_PIECE ? left : SHIP_PIECE);
    uint64_t whole = size_of_first(s);
    if (code == 0 && whole > s->bytes.size && whole <= left)
        code = read_from(s, file, s->offset, whole);
    (void)sys->file_close(sys, file);
    return code == 0
               ? take_records(s, in, durable, error)
               : os_failed(error, code, "read the log in", place->dir->path);
}

/* PERSIST_NONE: there is nothing more just now. */
static persist_status look(engine_ship *s, persist_error *error)
{
    wal *w = &s->engine->wal;
    persist_status status = PERSIST_NONE;
    persist_lsn durable = wal_durable(w);
    segment_entry in;
    while (status == PERSIST_NONE && s->hold.after < durable) {
        if (wal_hold_is_gone(w, &s->hold))
            return status_set(error, PERSIST_LOST,
                              "more than %u bytes of the log came behind the "
                              "commit %llu, or the disk was full: it is gone; "
                              "begin another backup",
                              SHIP_BEHIND_MAX,
                              (unsigned long long)s->hold.after);
        if (!wal_find_behind(w, s->hold.after, &in))
            break; /* lsns of a gap */
        if (in.number != s->segment)
            s->offset = SEGMENT_HEADER_SIZE;
        s->segment = in.number;
        status = read_segment(s, &in, durable, error);
    }
    return status;
}

persist_status engine_ship_next(engine_ship *s, uint64_t timeout_ms,
                                persist_error *error)
{
    engine *e = s->engine;
    wal *w = &e->wal;
    uint64_t begun = e->sys->clock_us(e->sys);
    CHECK(s->holds);
    for (;;) {
        uint32_t word = atomic_load(&w->shipped);
        bool failed = wal_failed(w);
        persist_status status = look(s, error);
        if (status != PERSIST_NONE)
            return status;
        if (os_news_is_closed(&w->news))
            return PERSIST_CLOSED;
        if (failed)
            return wal_read_only(w, error);
        uint64_t passed = (e->sys->clock_us(e->sys) - begun) / 1000;
        if (passed >= timeout_ms)
            return PERSIST_NONE;
        uint64_t left = timeout_ms - passed;
        e->sys->sleep_while(e->sys, &w->shipped, word,
                            left < SHIP_LOOK_US / 1000 ? left * 1000
                                                       : SHIP_LOOK_US);
    }
}
