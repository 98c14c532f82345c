/* SPDX-License-Identifier: MIT */
/* Reading the log at opening: find the files; replay what the manifest lists,
 * then what follows, looking ahead for W; write the end of it again. Every
 * segment is read once, its end twice. */
#include "engine/log/recover.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "engine/files/files.h"

void recovery_release(recovery *r)
{
    manifest_release(&r->out);
    record_body_release(&r->body);
    segment_release(&r->place, &r->image);
    buf_release(&r->copy);
    mem_free(r->numbers);
    mem_free(r->tail);
    *r = (recovery){0};
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
    if (!segment_number(name, &number) ||
        !numbered_is_near(number, r->old->next_segment))
        return 0;
    if (!mem_grow(&r->numbers, r->number_count, 1, &r->number_capacity,
                  sizeof *r->numbers))
        return -ENOMEM;
    r->numbers[r->number_count++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool recovery_found(const recovery *r, uint64_t number)
{
    return r->number_count > 0 &&
           bsearch(&number, r->numbers, r->number_count, sizeof number,
                   compare_numbers) != NULL;
}

static persist_status list_files(recovery *r, persist_error *error)
{
    const os *sys = r->place.sys;
    int code = sys->dir_list(sys, r->place.dir, collect_number, r);
    if (code != 0)
        return os_failed(error, code, "list", r->place.dir->path);
    if (r->number_count > 1)
        qsort(r->numbers, r->number_count, sizeof *r->numbers, compare_numbers);
    r->next_number = r->old->next_segment;
    if (r->number_count > 0 &&
        r->numbers[r->number_count - 1] >= r->next_number)
        r->next_number = r->numbers[r->number_count - 1] + 1;
    CHECK(r->next_number >= r->old->next_segment && r->tail == NULL);
    r->first_copy = r->next_number;
    r->tail = mem_alloc_zero((r->number_count + 1) * sizeof *r->tail);
    return r->tail == NULL ? status_no_memory(error) : PERSIST_OK;
}

/* What a segment of the manifest's epoch, or before, says of itself was durable
 * in this order: its size, its header, its records. So what is shorter than
 * its header tells, or ends within that, was cut. */
static bool was_cut(const recovery *r, uint64_t number, bool ours,
                    const segment_header *header)
{
    slice bytes = r->image.bytes;
    segment_header begun;
    if (ours)
        return bytes.size < header->size && header->epoch <= r->old->epoch;
    return bytes.size < SEGMENT_HEADER_SIZE &&
           segment_header_begins(bytes, &begun) &&
           begun.identity == r->place.identity && begun.number == number &&
           begun.epoch == r->old->epoch;
}

/* Loads a segment and its header; PERSIST_NONE if either is not ours. */
static persist_status load(recovery *r, uint64_t number, segment_header *header,
                           persist_error *error)
{
    r->loaded = 0;
    persist_status status =
        segment_load(&r->place, number, SEGMENT_SIZE_MAX, &r->image, error);
    if (status != PERSIST_OK)
        return status;
    bool ours = segment_header_decode(r->image.bytes, header) &&
                header->identity == r->place.identity &&
                header->number == number;
    if (was_cut(r, number, ours, header))
        return damage(r, number, r->image.bytes.size,
                      "a log segment was cut short", error);
    r->loaded = ours ? number : 0;
    return ours ? PERSIST_OK : PERSIST_NONE;
}

/* ---- the tail --------------------------------------------------------- */

/* Takes what a valid record behind the listed ones tells. */
static void note(recovery *r, tail_segment *t, uint64_t at,
                 const record_header *h)
{
    /* An interrupted recovery leaves copies; they prove nothing. */
    if (t->later && h->watermark == h->lsn)
        return;
    if (t->newest == 0)
        t->first = at;
    t->used = t->used || !record_is_proof(h);
    if (h->lsn > t->newest)
        t->newest = h->lsn;
    if (!t->later && h->watermark > r->watermark)
        r->watermark = h->watermark;
}

/* Looks for valid records in the loaded segment, behind damage too. */
static persist_status scan(recovery *r, tail_segment *t, uint64_t from,
                           persist_error *error)
{
    slice bytes = r->image.bytes;
    uint64_t hashed = 0, hashed_max = LOOK_AHEAD_FACTOR * (bytes.size + 1);
    for (uint64_t at = record_look(bytes, from); at < bytes.size;) {
        record_header h;
        if (record_read(bytes, at, r->place.identity, t->number, &h, &hashed)) {
            note(r, t, at, &h);
            at = record_look(bytes, at + record_size(h.body_size));
            continue;
        }
        at = record_look(bytes, at + LOG_ALIGN);
        if (hashed > hashed_max)
            return damage(r, t->number, at, "damage without end", error);
    }
    return PERSIST_OK;
}

/* A header is durable before any record is written behind it: one that is bad
 * and has records has been damaged since. */
static persist_status check_headless(recovery *r, uint64_t number,
                                     persist_error *error)
{
    tail_segment t = {.number = number};
    persist_status status = segment_check_own(
        &r->place, number, r->old->next_segment, r->image.bytes, error);
    if (status == PERSIST_NONE)
        return damage(r, number, 0, "a log segment has another one's name",
                      error);
    if (status == PERSIST_OK)
        status = scan(r, &t, SEGMENT_HEADER_SIZE, error);
    if (status == PERSIST_OK && t.newest > 0)
        status =
            damage(r, number, 0, "a log segment has a damaged header", error);
    return status;
}

/* ---- replay ----------------------------------------------------------- */

/* Replays valid records of the loaded segment that follow each other, from
 * e->end on, up to an offset; moves e->last and e->end. t: NULL where the
 * manifest lists them. */
static persist_status replay_run(recovery *r, segment_entry *e, uint64_t until,
                                 tail_segment *t, persist_error *error)
{
    slice bytes = r->image.bytes;
    CHECK(e->end >= SEGMENT_HEADER_SIZE && e->end % LOG_ALIGN == 0);
    if (until < bytes.size)
        bytes.size = (size_t)until;
    record_header h;
    while (record_read(bytes, e->end, r->place.identity, e->number, &h, NULL) &&
           gaps_may_follow(&r->old->gaps, e->last, h.lsn)) {
        if (t != NULL)
            note(r, t, e->end, &h);
        slice body =
            slice_part(bytes, e->end + RECORD_HEADER_SIZE, h.body_size);
        record_result result = record_decode_body(body, &r->body);
        if (result == RECORD_NO_MEMORY)
            return status_no_memory(error);
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
    status = replay_run(r, &e, listed->end, NULL, error);
    if (status != PERSIST_OK)
        return status;
    if (e.last != listed->last || e.end != listed->end)
        return damage(r, e.number, e.end, "a log record is damaged", error);
    r->replayed += e.end;
    return manifest_add(&r->out, e) ? PERSIST_OK : status_no_memory(error);
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

/* Goes on in the loaded segment, if the next record is there, and looks at
 * what lies behind. */
static persist_status read_tail(recovery *r, tail_segment *t,
                                persist_error *error)
{
    uint64_t size = r->image.bytes.size;
    if (size < SEGMENT_SIZE_MIN)
        size = SEGMENT_SIZE_MIN;
    segment_entry e = {t->number, size, last_lsn(r) + 1, last_lsn(r), t->from};
    segment_entry *known = last_entry(r);
    bool listed = known != NULL && known->number == t->number;
    persist_status status = PERSIST_OK;
    if (listed)
        e = *known;
    CHECK(e.end == t->from);
    if (!t->later)
        status = replay_run(r, &e, UINT64_MAX, t, error);
    if (status == PERSIST_OK)
        status = scan(r, t, e.end, error);
    r->replayed += e.end - t->from;
    if (status != PERSIST_OK || e.end == t->from)
        return status;
    if (listed)
        *known = e;
    else if (!manifest_add(&r->out, e))
        return status_no_memory(error);
    return PERSIST_OK;
}

static tail_segment *add_tail(recovery *r, uint64_t number, uint64_t from)
{
    tail_segment *t = &r->tail[r->tail_count++];
    CHECK(r->tail_count <= r->number_count + 1);
    *t = (tail_segment){.number = number, .from = from};
    return t;
}

/* A segment that the manifest does not list: a spare of an earlier opening is
 * known by its header and not read, one that was never written to by its first
 * bytes, however long it is. */
static persist_status read_unlisted(recovery *r, uint64_t number,
                                    persist_error *error)
{
    segment_header header;
    bool blank = false;
    persist_status status =
        segment_read_header(&r->place, number, &header, error);
    if (status == PERSIST_OK && header.epoch < r->old->epoch)
        return PERSIST_OK;
    if (status == PERSIST_NONE)
        status = segment_is_blank(&r->place, number, &blank, error);
    if (blank)
        return PERSIST_OK;
    if (status == PERSIST_OK || status == PERSIST_NONE)
        status = load(r, number, &header, error);
    if (status == PERSIST_NONE)
        return check_headless(r, number, error);
    if (status != PERSIST_OK)
        return status;
    tail_segment *t = add_tail(r, number, SEGMENT_HEADER_SIZE);
    t->later = header.epoch > r->old->epoch;
    return read_tail(r, t, error);
}

static persist_status replay_all(recovery *r, persist_error *error)
{
    const manifest *old = r->old;
    persist_status status = PERSIST_OK;
    r->watermark = old->watermark;
    for (size_t i = 0; i < old->segment_count && status == PERSIST_OK; i++)
        status = replay_listed(r, &old->segments[i], error);
    if (status == PERSIST_OK && old->segment_count > 0) {
        const segment_entry *last = last_entry(r);
        status = read_tail(r, add_tail(r, last->number, last->end), error);
    }
    for (size_t i = 0; i < r->number_count && status == PERSIST_OK; i++)
        if (r->numbers[i] >= old->next_segment)
            status = read_unlisted(r, r->numbers[i], error);
    return status;
}

/* Names the place where a promised record should have been: behind the last
 * good one, or, if the segment that goes on has lost its start, there. */
static persist_status report_hole(recovery *r, persist_error *error)
{
    const segment_entry *last = last_entry(r);
    uint64_t number = last == NULL ? r->old->next_segment : last->number;
    uint64_t offset = last == NULL ? SEGMENT_HEADER_SIZE : last->end;
    for (size_t i = 0; i < r->tail_count; i++) {
        const tail_segment *t = &r->tail[i];
        if (t->newest <= last_lsn(r))
            continue;
        if (t->number != number && t->first > SEGMENT_HEADER_SIZE) {
            number = t->number;
            offset = SEGMENT_HEADER_SIZE;
        }
        break;
    }
    if (!recovery_found(r, number))
        return damage(r, number, 0, "a log segment is missing", error);
    return damage(r, number, offset, "a log record is damaged or missing",
                  error);
}

/* What was found must reach W, and nothing may lie where the log ends. */
static persist_status check_end(recovery *r, persist_error *error)
{
    if (last_lsn(r) < r->watermark)
        return report_hole(r, error);
    for (size_t i = 0; i < r->tail_count; i++) {
        const tail_segment *t = &r->tail[i];
        if (t->used && (r->old->clean || t->later))
            return damage(r, t->number, t->from,
                          "the log goes on where the manifest says it ends: "
                          "the manifest is an old one",
                          error);
    }
    return PERSIST_OK;
}

/* ---- writing again ---------------------------------------------------- */

/* Where the records that are written again begin: with the first one above W,
 * and the last one in any case, so that nothing behind it is taken for the
 * log's next. What would leave a small piece is taken as a whole: however
 * often a store crashes, its log stays in few files. */
typedef struct cut {
    size_t segment; /* of r->out.segments */
    uint64_t offset;
    persist_lsn lsn; /* behind the record before */
} cut;

static persist_status reload(recovery *r, const segment_entry *e,
                             persist_error *error)
{
    segment_header header;
    if (r->loaded == e->number)
        return PERSIST_OK;
    persist_status status = load(r, e->number, &header, error);
    return status == PERSIST_NONE
               ? damage(r, e->number, 0, "a segment has gone", error)
               : status;
}

static persist_status changed(const recovery *r, const segment_entry *e,
                              uint64_t at, persist_error *error)
{
    return damage(r, e->number, at, "a record has changed", error);
}

static bool is_small(const recovery *r, uint64_t end)
{
    return end - SEGMENT_HEADER_SIZE <= r->segment_size / COPY_WHOLE_SHARE;
}

static persist_status find_cut(recovery *r, cut *c, persist_error *error)
{
    const segment_entry *s = r->out.segments;
    CHECK(r->out.segment_count > 0);
    size_t i = r->out.segment_count - 1;
    persist_lsn lsn = r->watermark < s[i].last ? r->watermark + 1 : s[i].last;
    while (i > 0 && lsn < s[i].first)
        i--;
    if (lsn < s[i].first)
        lsn = s[i].first;
    persist_status status = reload(r, &s[i], error);
    if (status != PERSIST_OK)
        return status;
    *c = (cut){i, SEGMENT_HEADER_SIZE, s[i].first};
    for (;;) {
        record_header h;
        if (!record_read(r->image.bytes, c->offset, r->place.identity,
                         s[i].number, &h, NULL))
            return changed(r, &s[i], c->offset, error);
        if (h.lsn >= lsn)
            break;
        c->offset += record_size(h.body_size);
        c->lsn = h.lsn + 1;
    }
    if (r->spares || !is_small(r, c->offset))
        return PERSIST_OK;
    while (i > 0 && is_small(r, s[i - 1].end))
        i--;
    *c = (cut){i, SEGMENT_HEADER_SIZE, s[i].first};
    return PERSIST_OK;
}

/* Appends the records of a segment, from an offset on, to the new one in the
 * making. */
static persist_status copy_records(recovery *r, const segment_entry *e,
                                   uint64_t from, persist_error *error)
{
    buf *out = &r->copy;
    persist_status status = reload(r, e, error);
    if (status != PERSIST_OK)
        return status;
    for (uint64_t at = from; at < e->end;) {
        record_header h;
        if (!record_read(r->image.bytes, at, r->place.identity, e->number, &h,
                         NULL))
            return changed(r, e, at, error);
        uint64_t size = record_size(h.body_size), to = out->size;
        buf_put_slice(out, slice_part(r->image.bytes, at, size));
        if (out->failed)
            return status_no_memory(error);
        record_copy(out->data + to, at, r->next_number, to);
        at += size;
    }
    return PERSIST_OK;
}

/* Writes the new segment, which holds the records up to `last`, and lists
 * it. */
static persist_status write_copy(recovery *r, persist_lsn first,
                                 persist_lsn last, persist_error *error)
{
    uint64_t end = r->copy.size;
    CHECK(first <= last && end > SEGMENT_HEADER_SIZE);
    segment_entry e = {r->next_number++, end, first, last, end};
    if (end < SEGMENT_SIZE_MIN) {
        if (!buf_reserve(&r->copy, SEGMENT_SIZE_MIN - end))
            return status_no_memory(error);
        memset(r->copy.data + end, 0, SEGMENT_SIZE_MIN - end);
        e.size = r->copy.size = SEGMENT_SIZE_MIN;
    }
    persist_status status = segment_write(&r->place, e.number, &r->copy, error);
    r->copy.size = SEGMENT_HEADER_SIZE;
    if (status != PERSIST_OK)
        return status;
    return manifest_add(&r->out, e) ? PERSIST_OK : status_no_memory(error);
}

/* The segments from the cut on, taken off the list, give way to new ones. */
static persist_status copy_from(recovery *r, const cut *c,
                                const segment_entry *old, size_t count,
                                persist_error *error)
{
    persist_status status = PERSIST_OK;
    persist_lsn first = c->lsn;
    uint64_t most = r->joins ? SEGMENT_SIZE_MAX : r->segment_size;
    CHECK(count > 0 && first >= old[0].first && first <= old[count - 1].last);
    if (!buf_reserve(&r->copy, SEGMENT_HEADER_SIZE))
        return status_no_memory(error);
    r->copy.size = SEGMENT_HEADER_SIZE;
    for (size_t i = 0; i < count && status == PERSIST_OK; i++) {
        uint64_t from = i == 0 ? c->offset : SEGMENT_HEADER_SIZE;
        bool begun = r->copy.size > SEGMENT_HEADER_SIZE;
        if (begun && r->copy.size + (old[i].end - from) > most) {
            status = write_copy(r, first, old[i].first - 1, error);
            first = old[i].first;
        }
        if (status == PERSIST_OK)
            status = copy_records(r, &old[i], from, error);
    }
    return status == PERSIST_OK
               ? write_copy(r, first, old[count - 1].last, error)
               : status;
}

static void delete_file(const recovery *r, uint64_t number)
{
    char path[PERSIST_PATH_MAX];
    if (segment_path(&r->place, number, path) == 0)
        r->place.sys->unlink(r->place.sys, r->place.dir, os_name(path));
}

/* Copies of a recovery that did not come to its end are in no manifest. */
static void drop_copies(const recovery *r)
{
    for (size_t i = 0; i < r->tail_count; i++)
        if (r->tail[i].later)
            delete_file(r, r->tail[i].number);
}

static persist_status make_durable(recovery *r, persist_error *error)
{
    manifest *out = &r->out;
    cut c;
    if (out->segment_count == 0)
        return PERSIST_OK;
    persist_status status = find_cut(r, &c, error);
    if (status != PERSIST_OK)
        return status;
    CHECK(c.segment < out->segment_count);
    size_t count = out->segment_count - c.segment;
    segment_entry *old = mem_alloc(count * sizeof *old);
    if (old == NULL)
        return status_no_memory(error);
    memcpy(old, out->segments + c.segment, count * sizeof *old);
    out->segment_count = c.segment;
    if (c.lsn > old[0].first) {
        segment_entry *kept = &out->segments[out->segment_count++];
        kept->last = c.lsn - 1;
        kept->end = c.offset;
    }
    drop_copies(r);
    status = copy_from(r, &c, old, count, error);
    mem_free(old);
    return status;
}

/* Where nothing can be written, what was kept above W is made durable where it
 * lies: to sync takes no more than to read. A medium that nobody can write to
 * may not know how to, and does not need it. */
static persist_status sync_kept(const recovery *r, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < r->out.segment_count && status == PERSIST_OK; i++)
        if (r->out.segments[i].last > r->watermark)
            status = segment_sync(&r->place, r->out.segments[i].number, error);
    return status;
}

persist_status recover_read(recovery *r, persist_error *error)
{
    CHECK(r->place.epoch > r->old->epoch);
    persist_status status = list_files(r, error);
    if (status == PERSIST_OK)
        status = replay_all(r, error);
    if (status == PERSIST_OK && r->out.segment_count > 0)
        r->last_number = r->out.segments[r->out.segment_count - 1].number;
    return status == PERSIST_OK ? check_end(r, error) : status;
}

void recover_undo(recovery *r)
{
    for (uint64_t number = r->first_copy; number < r->next_number; number++)
        delete_file(r, number);
    r->next_number = r->first_copy;
}

persist_status recover_write(recovery *r, persist_error *error)
{
    persist_status status = PERSIST_OK;
    if (!r->old->clean && r->read_only)
        status = sync_kept(r, error);
    else if (!r->old->clean)
        status = make_durable(r, error);
    if (status != PERSIST_OK)
        return status;
    CHECK(last_lsn(r) >= r->old->watermark);
    if (!manifest_copy_self(&r->out, r->old) ||
        (!r->old->clean && !gaps_note(&r->out.gaps, last_lsn(r))))
        return status_no_memory(error);
    r->out.generation = r->old->generation;
    r->out.epoch = r->place.epoch;
    r->out.clean = false;
    r->out.watermark = last_lsn(r);
    r->out.next_segment = r->next_number;
    return PERSIST_OK;
}
