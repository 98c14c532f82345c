/* SPDX-License-Identifier: MIT */
/* Reading the log at opening, in four steps: find the files, find W, replay
 * what the manifest lists, replay what follows. */
#include "engine/recover.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/seeded_bug.h"

void recovery_release(recovery *r)
{
    manifest_release(&r->out);
    record_body_release(&r->body);
    buf_release(&r->bytes);
    mem_free(r->numbers);
    mem_free(r->tail);
    *r = (recovery){0};
}

static persist_status no_memory(persist_error *error)
{
    return status_set(error, PERSIST_LIMIT, "out of memory");
}

static persist_status damage(const recovery *r, uint64_t number,
                             uint64_t offset, const char *what,
                             persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (segment_path(&r->place, number, path) != 0)
        path[0] = '\0';
    status_set(error, PERSIST_CORRUPT,
               "%s, in %s at byte %llu; nothing was changed: restore the "
               "store from a backup",
               what, path, (unsigned long long)offset);
    status_at(error, path, offset);
    return PERSIST_CORRUPT;
}

/* ---- files ------------------------------------------------------------ */

static int collect_number(void *context, const char *name)
{
    recovery *r = context;
    uint64_t number;
    if (!segment_number(name, &number))
        return 0;
    if (r->number_count == r->number_capacity) {
        size_t capacity = r->number_capacity * 2 + 16;
        uint64_t *grown = mem_realloc(r->numbers, capacity * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        r->numbers = grown;
        r->number_capacity = capacity;
    }
    r->numbers[r->number_count++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static persist_status list_files(recovery *r, persist_error *error)
{
    const os *sys = r->place.sys;
    int code = sys->dir_list(sys, r->place.dir, collect_number, r);
    if (code != 0)
        return os_failed(error, code, "list", r->place.dir);
    if (r->number_count > 1)
        qsort(r->numbers, r->number_count, sizeof *r->numbers, compare_numbers);
    r->next_number = r->old->next_segment;
    if (r->number_count > 0 &&
        r->numbers[r->number_count - 1] >= r->next_number)
        r->next_number = r->numbers[r->number_count - 1] + 1;
    r->tail = mem_alloc_zero((r->number_count + 1) * sizeof *r->tail);
    return r->tail == NULL ? no_memory(error) : PERSIST_OK;
}

/* Loads a segment and its header; PERSIST_NONE if either is not ours. */
static persist_status load(recovery *r, uint64_t number, segment_header *header,
                           persist_error *error)
{
    buf_clear(&r->bytes);
    persist_status status =
        segment_load(&r->place, number, SEGMENT_SIZE_MAX, &r->bytes, error);
    if (status != PERSIST_OK)
        return status;
    bool ours = segment_header_decode(buf_slice(&r->bytes), header) &&
                header->identity == r->place.identity &&
                header->number == number;
    return ours ? PERSIST_OK : PERSIST_NONE;
}

/* ---- W ---------------------------------------------------------------- */

/* Looks for valid records in the loaded segment, behind damage too. */
static persist_status scan(recovery *r, tail_segment *t, persist_error *error)
{
    slice bytes = buf_slice(&r->bytes);
    uint64_t hashed = 0, hashed_max = LOOK_AHEAD_FACTOR * (bytes.size + 1);
    for (uint64_t at = t->from; at < bytes.size;) {
        record_header h;
        if (!record_read(bytes, at, r->place.identity, t->number, &h,
                         &hashed)) {
            at += LOG_ALIGN;
            if (hashed > hashed_max)
                return damage(r, t->number, at, "damage without end", error);
            continue;
        }
        at += record_size(h.body_size);
        /* An interrupted recovery leaves copies; they prove nothing. */
        if (t->later && h.watermark == h.lsn)
            continue;
        t->used = true;
        if (h.lsn > t->newest)
            t->newest = h.lsn;
        if (!t->later && h.watermark > r->watermark)
            r->watermark = h.watermark;
    }
    return PERSIST_OK;
}

/* A header is durable before any record is written behind it: one that is bad
 * and has records has been damaged since. */
static persist_status check_headless(recovery *r, uint64_t number,
                                     uint64_t from, persist_error *error)
{
    tail_segment t = {.number = number, .from = from};
    persist_status status = scan(r, &t, error);
    if (status == PERSIST_OK && t.used)
        status =
            damage(r, number, 0, "a log segment has a damaged header", error);
    return status;
}

static persist_status scan_file(recovery *r, uint64_t number, uint64_t from,
                                persist_error *error)
{
    segment_header header;
    persist_status status = load(r, number, &header, error);
    if (status == PERSIST_NONE)
        return check_headless(r, number, from, error);
    if (status != PERSIST_OK)
        return status;
    bool listed = from > SEGMENT_HEADER_SIZE;
    if (!listed && header.epoch < r->old->epoch)
        return PERSIST_OK;
    tail_segment *t = &r->tail[r->tail_count++];
    CHECK(r->tail_count <= r->number_count + 1);
    *t = (tail_segment){.number = number, .from = from};
    t->later = header.epoch > r->old->epoch;
    return scan(r, t, error);
}

static persist_status find_watermark(recovery *r, persist_error *error)
{
    const manifest *old = r->old;
    persist_status status = PERSIST_OK;
    r->watermark = old->watermark;
    if (old->segment_count > 0) {
        const segment_entry *last = &old->segments[old->segment_count - 1];
        status = scan_file(r, last->number, last->end, error);
    }
    for (size_t i = 0; i < r->number_count && status == PERSIST_OK; i++)
        if (r->numbers[i] >= old->next_segment)
            status = scan_file(r, r->numbers[i], SEGMENT_HEADER_SIZE, error);
    return status;
}

/* ---- replay ----------------------------------------------------------- */

/* Replays valid records of the loaded segment that follow each other, from
 * e->end on, up to an offset; moves e->last and e->end. */
static persist_status replay_run(recovery *r, segment_entry *e, uint64_t until,
                                 persist_error *error)
{
    slice bytes = slice_of(r->bytes.data, r->bytes.size);
    CHECK(e->end >= SEGMENT_HEADER_SIZE && e->end % LOG_ALIGN == 0);
    if (until < bytes.size)
        bytes.size = (size_t)until;
    record_header h;
    while (record_read(bytes, e->end, r->place.identity, e->number, &h, NULL) &&
           h.lsn == e->last + 1) {
        slice body =
            slice_of(r->bytes.data + e->end + RECORD_HEADER_SIZE, h.body_size);
        record_result result = record_decode_body(body, &r->body);
        if (result == RECORD_NO_MEMORY)
            return no_memory(error);
        if (result == RECORD_MALFORMED)
            break;
        persist_status status = r->replay(r->context, h.lsn, &r->body, error);
        if (status == PERSIST_CORRUPT)
            return damage(r, e->number, e->end,
                          "a record contradicts those before it", error);
        if (status != PERSIST_OK)
            return status;
        e->last = h.lsn;
        e->end += record_size(h.body_size);
    }
    return PERSIST_OK;
}

static persist_status replay_listed(recovery *r, const segment_entry *listed,
                                    persist_error *error)
{
    segment_header header;
    persist_status status = load(r, listed->number, &header, error);
    if (status == PERSIST_NONE)
        return damage(r, listed->number, 0,
                      "a log segment is missing or has a damaged header",
                      error);
    if (status != PERSIST_OK)
        return status;
    segment_entry e = *listed;
    e.last = listed->first - 1;
    e.end = SEGMENT_HEADER_SIZE;
    status = replay_run(r, &e, listed->end, error);
    if (status != PERSIST_OK)
        return status;
    if ((e.last != listed->last || e.end != listed->end) &&
        !SEEDED_BUG(CUT_DAMAGE))
        return damage(r, e.number, e.end, "a log record is damaged", error);
    r->replayed += e.end;
    return manifest_add(&r->out, e) ? PERSIST_OK : no_memory(error);
}

static segment_entry *last_entry(recovery *r)
{
    return r->out.segment_count == 0
               ? NULL
               : &r->out.segments[r->out.segment_count - 1];
}

static persist_lsn last_lsn(recovery *r)
{
    const segment_entry *last = last_entry(r);
    return last == NULL ? manifest_tables_last(r->old) : last->last;
}

/* Goes on in one more segment, if the next record is there. */
static persist_status replay_tail(recovery *r, const tail_segment *t,
                                  persist_error *error)
{
    segment_header header;
    persist_status status = load(r, t->number, &header, error);
    if (status != PERSIST_OK)
        return status == PERSIST_NONE ? PERSIST_OK : status;
    uint64_t size =
        r->bytes.size < SEGMENT_SIZE_MIN ? SEGMENT_SIZE_MIN : r->bytes.size;
    segment_entry e = {t->number, size, last_lsn(r) + 1, last_lsn(r),
                       SEGMENT_HEADER_SIZE};
    segment_entry *known = last_entry(r);
    bool listed = known != NULL && known->number == t->number;
    if (listed)
        e = *known;
    status = replay_run(r, &e, UINT64_MAX, error);
    r->replayed += e.end - t->from;
    if (status != PERSIST_OK || e.end == t->from)
        return status;
    if (listed)
        *known = e;
    else if (!manifest_add(&r->out, e))
        return no_memory(error);
    return PERSIST_OK;
}

/* Names the place where a promised record should have been: behind the last
 * good one, unless only a later segment goes on. */
static persist_status report_hole(recovery *r, persist_error *error)
{
    const segment_entry *last = last_entry(r);
    uint64_t number = last == NULL ? r->old->next_segment : last->number;
    uint64_t offset = last == NULL ? SEGMENT_HEADER_SIZE : last->end;
    for (size_t i = 0; i < r->tail_count; i++) {
        const tail_segment *t = &r->tail[i];
        if (!t->used || t->newest <= last_lsn(r))
            continue;
        if (t->number != number) {
            number = t->number;
            offset = SEGMENT_HEADER_SIZE;
        }
        break;
    }
    return damage(r, number, offset, "a log record is damaged or missing",
                  error);
}

static persist_status replay_rest(recovery *r, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < r->tail_count && status == PERSIST_OK; i++)
        if (r->tail[i].used && !r->tail[i].later)
            status = replay_tail(r, &r->tail[i], error);
    if (status != PERSIST_OK)
        return status;
    if (last_lsn(r) < r->watermark && !SEEDED_BUG(CUT_DAMAGE))
        return report_hole(r, error);
    for (size_t i = 0; i < r->tail_count; i++) {
        const tail_segment *t = &r->tail[i];
        if (SEEDED_BUG(REFUSE_TORN) && t->used && t->newest > last_lsn(r))
            return report_hole(r, error);
        if (t->used && (r->old->clean || t->later))
            return damage(r, t->number, t->from,
                          "the log goes on where the manifest says it ends: "
                          "the manifest is an old one",
                          error);
    }
    return PERSIST_OK;
}

/* ---- writing again ---------------------------------------------------- */

static persist_status write_records(recovery *r, os_file *file,
                                    const segment_entry *e,
                                    persist_error *error)
{
    const os *sys = r->place.sys;
    int code = os_write_all(sys, file, r->bytes.data + SEGMENT_HEADER_SIZE,
                            (size_t)(e->end - SEGMENT_HEADER_SIZE),
                            SEGMENT_HEADER_SIZE);
    if (code == 0)
        code = os_sync(sys, file);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "write", r->place.dir);
}

/* Copies a segment into a new one, record by record to the same offsets. */
static persist_status rewrite(recovery *r, segment_entry *e,
                              persist_error *error)
{
    segment_header header;
    persist_status status = load(r, e->number, &header, error);
    if (status == PERSIST_NONE)
        return damage(r, e->number, 0, "a segment has gone", error);
    if (status != PERSIST_OK)
        return status;
    uint64_t number = r->next_number++;
    CHECK(number > e->number);
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < e->end;) {
        record_header h;
        if (!record_read(buf_slice(&r->bytes), at, r->place.identity, e->number,
                         &h, NULL))
            return damage(r, e->number, at, "a record has changed", error);
        record_copy(r->bytes.data + at, number, at);
        at += record_size(h.body_size);
    }
    os_file *file;
    status = segment_prepare(&r->place, number, e->size, 0, &file, error);
    if (status != PERSIST_OK)
        return status;
    status = write_records(r, file, e, error);
    r->place.sys->file_close(r->place.sys, file);
    e->number = number;
    return status;
}

static persist_status make_durable(recovery *r, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < r->out.segment_count && status == PERSIST_OK; i++) {
        segment_entry *e = &r->out.segments[i];
        bool last = i + 1 == r->out.segment_count;
        bool room = e->size - e->end >= RECORD_HEADER_SIZE;
        if (e->last > r->watermark || (last && room))
            status = rewrite(r, e, error);
    }
    return status;
}

persist_status recover_log(recovery *r, persist_error *error)
{
    CHECK(r->place.epoch > r->old->epoch);
    persist_status status = list_files(r, error);
    if (status == PERSIST_OK)
        status = find_watermark(r, error);
    for (size_t i = 0; i < r->old->segment_count && status == PERSIST_OK; i++)
        status = replay_listed(r, &r->old->segments[i], error);
    if (status == PERSIST_OK)
        status = replay_rest(r, error);
    if (status == PERSIST_OK && !r->old->clean && !SEEDED_BUG(SERVE_EARLY))
        status = make_durable(r, error);
    if (status != PERSIST_OK)
        return status;
    CHECK(last_lsn(r) >= r->old->watermark || SEEDED_BUG(CUT_DAMAGE));
    r->out.identity = r->old->identity;
    r->out.generation = r->old->generation;
    r->out.epoch = r->place.epoch;
    r->out.clean = false;
    r->out.watermark = last_lsn(r);
    r->out.next_segment = r->next_number;
    return PERSIST_OK;
}
