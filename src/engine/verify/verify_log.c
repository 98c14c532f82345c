/* SPDX-License-Identifier: MIT */
/* Verifying the log. Whether the store opens is what recovery says, which stops
 * at the first damage; a walk through the records names all of it. */
#include <string.h>

#include "engine/log/log.h"
#include "engine/verify/verify_parts.h"

static const char stops[] =
    "the store cannot be opened; restore it from a backup";

typedef struct log_check {
    verifier *verifier;
    recovery recovery;
    segment_place place;
    uint64_t positions; /* the next position is not below */
    uint64_t time;      /* nor is that of the next commit */
    persist_lsn last;   /* of the last record met */
    /* where the record after it should be */
    uint64_t number, offset;
    persist_lsn watermark;
    persist_error error; /* of recovery; told: the walk has named its place */
    bool refused, told;
    bool again; /* what is loaded now has been before */
} log_check;

/* ---- what recovery says ----------------------------------------------- */

static persist_status count(void *context, persist_lsn lsn,
                            const record_body *body, persist_error *error)
{
    log_check *c = context;
    persist_progress *p = c->verifier->progress;
    if (lsn <= manifest_tables_last(&c->verifier->newest))
        return PERSIST_OK;
    if (body->position < c->positions || body->time < c->time)
        return status_set(error, PERSIST_CORRUPT, "a record is out of order");
    c->positions = body->position;
    c->time = body->time;
    p->commits++;
    if (body->has_blob && c->verifier->status == PERSIST_OK)
        (void)verify_blob(c->verifier, &body->blob);
    for (size_t i = 0; i < body->edit_count; i++) {
        bool append = body->edits[i].kind == PERSIST_APPEND_AT;
        c->positions += append;
        p->events += append;
        p->keys += body->edits[i].kind == PERSIST_PUT;
    }
    return PERSIST_OK;
}

/* ---- the walk --------------------------------------------------------- */

/* Names a stream or a key that the damaged record tells of. */
static void guess(record_body *body, slice bytes, uint64_t offset,
                  persist_finding *f)
{
    if (record_guess_body(bytes, offset, body) != RECORD_OK)
        return;
    for (size_t i = 0; i < body->edit_count && f->name.data == NULL; i++)
        f->name = body->edits[i].name;
}

/* Commits are missing, from the one after the last that was met. bytes: the
 * segment where they should begin, if it is loaded. */
static bool report_gap(log_check *c, slice bytes, const char *what,
                       persist_lsn end)
{
    char path[PERSIST_PATH_MAX];
    persist_finding f = {.damage = true,
                         .what = what,
                         .advice = stops,
                         .path = path,
                         .offset = c->offset,
                         .touched = PERSIST_TOUCHED_COMMITS,
                         .number = c->last + 1,
                         .end_number = end};
    CHECK(end > c->last);
    if (!recovery_found(&c->recovery, c->number)) {
        f.what = "a log segment is missing";
        f.offset = 0;
    }
    if (segment_path(&c->place, c->number, path) != 0)
        path[0] = '\0';
    if (bytes.size > 0)
        guess(&c->recovery.body, bytes, c->offset, &f);
    if (c->refused && c->error.offset == f.offset &&
        strcmp(c->error.path, path) == 0)
        c->told = true;
    return verify_found(c->verifier, &f);
}

static bool is_record(log_check *c, uint64_t number, uint64_t at,
                      record_header *h, uint64_t *hashed)
{
    slice bytes = c->recovery.image.bytes;
    if (!record_read(bytes, at, c->place.identity, number, h, hashed) ||
        h->lsn <= c->last)
        return false;
    if (record_is_proof(h) && c->number != number) {
        /* the commit that it tells of was in front of it, in this segment */
        c->number = number;
        c->offset = SEGMENT_HEADER_SIZE;
    }
    const uint8_t *body = (const uint8_t *)bytes.data + at + RECORD_HEADER_SIZE;
    return record_decode_body(slice_of(body, h->body_size),
                              &c->recovery.body) != RECORD_MALFORMED;
}

/* Goes through the records of the loaded segment within [from, until). The
 * first one of a segment lies at its start: if it is there, what is missing
 * before it was in the segment before. */
static bool walk(log_check *c, uint64_t number, uint64_t from, uint64_t until,
                 persist_lsn needed)
{
    slice bytes = c->recovery.image.bytes;
    uint64_t hashed = 0, hashed_max = LOOK_AHEAD_FACTOR * (bytes.size + 1);
    record_header h;
    for (uint64_t at = from; at < until && at < bytes.size;) {
        if (hashed > hashed_max || c->last >= needed)
            break;
        if (!is_record(c, number, at, &h, &hashed)) {
            at = record_look(bytes, at + LOG_ALIGN);
            continue;
        }
        if (c->number != number && at > from) {
            c->number = number;
            c->offset = from;
        }
        bool here = c->number == number;
        if (!gaps_may_follow(&c->verifier->newest.gaps, c->last, h.lsn) &&
            !report_gap(c, here ? bytes : slice_of(NULL, 0),
                        here ? "a log record is damaged"
                             : "a log record is damaged or missing",
                        h.lsn <= needed ? h.lsn : needed + 1))
            return false;
        at += record_size(h.body_size);
        c->last = h.lsn;
        c->number = number;
        c->offset = at;
    }
    return true;
}

/* A segment is loaded for several reasons, and told of once. */
static void tell_unread(log_check *c, const persist_error *error)
{
    CHECK(error->status > PERSIST_NONE);
    if ((c->error.has & error->has & PERSIST_HAS_PATH) != 0 &&
        strcmp(c->error.path, error->path) == 0)
        c->told = true;
    if (!c->again || error->status == PERSIST_LIMIT)
        verify_failed(c->verifier, error, (persist_finding){.advice = stops});
}

/* PERSIST_NONE: there is no such segment; PERSIST_CORRUPT: it is there, but for
 * its header; PERSIST_IO: it cannot be read, which has been reported. */
static persist_status load(log_check *c, uint64_t number)
{
    persist_error error;
    segment_header header;
    persist_status status = segment_load(&c->place, number, SEGMENT_SIZE_MAX,
                                         &c->recovery.image, &error);
    if (status == PERSIST_NONE)
        return status;
    if (status != PERSIST_OK) {
        tell_unread(c, &error);
        return PERSIST_IO;
    }
    return segment_header_decode(c->recovery.image.bytes, &header) &&
                   header.identity == c->place.identity &&
                   header.number == number
               ? PERSIST_OK
               : PERSIST_CORRUPT;
}

static bool walk_listed(log_check *c, const segment_entry *e)
{
    const slice none = {0};
    bool go_on = true;
    persist_status status = load(c, e->number);
    c->verifier->progress->files += status != PERSIST_NONE;
    c->last = e->first - 1;
    c->number = e->number;
    c->offset = 0;
    if (status == PERSIST_NONE)
        go_on = report_gap(c, none, "a log segment is missing", e->last + 1);
    if (status == PERSIST_CORRUPT)
        go_on = report_gap(c, none, "the header of a log segment is damaged",
                           e->last + 1);
    if (status == PERSIST_OK || status == PERSIST_CORRUPT) {
        c->offset = SEGMENT_HEADER_SIZE;
        go_on = go_on && walk(c, e->number, c->offset, e->end, e->last);
        if (go_on && c->last < e->last)
            go_on = report_gap(c, c->recovery.image.bytes,
                               "a log record is damaged", e->last + 1);
    }
    c->last = e->last;
    c->offset = e->end;
    return go_on && c->verifier->status == PERSIST_OK &&
           verify_read(c->verifier, e->end);
}

/* ---- what no manifest lists ------------------------------------------- */

/* Loads a segment that may belong to the log: spares of earlier openings, and
 * copies that an interrupted recovery left, do not. A bad header is no reason:
 * records behind it say that it was a good one. */
static bool load_unlisted(log_check *c, uint64_t number, bool *headless)
{
    segment_header header;
    const manifest *m = &c->verifier->newest;
    persist_status status = load(c, number);
    *headless = status == PERSIST_CORRUPT;
    if (status != PERSIST_OK)
        return *headless;
    slice bytes = c->recovery.image.bytes;
    return segment_header_decode(bytes, &header) && header.epoch == m->epoch;
}

/* Raises the watermark by what the loaded segment proves; returns the newest
 * commit in it, 0: none. */
static persist_lsn find_proof(log_check *c, uint64_t number, uint64_t from)
{
    slice bytes = c->recovery.image.bytes;
    uint64_t hashed = 0, hashed_max = LOOK_AHEAD_FACTOR * (bytes.size + 1);
    persist_lsn newest = 0;
    for (uint64_t at = record_look(bytes, from);
         at < bytes.size && hashed <= hashed_max;) {
        record_header h;
        uint64_t step = LOG_ALIGN;
        if (record_read(bytes, at, c->place.identity, number, &h, &hashed)) {
            step = record_size(h.body_size);
            if (h.lsn > newest)
                newest = h.lsn;
            if (h.watermark > c->watermark)
                c->watermark = h.watermark;
        }
        at = record_look(bytes, at + step);
    }
    return newest;
}

/* The segment holds commits up to `newest`. */
static bool report_header(log_check *c, uint64_t number, persist_lsn newest)
{
    log_check place = *c;
    place.number = number;
    place.offset = 0;
    bool go_on = report_gap(&place, slice_of(NULL, 0),
                            "the header of a log segment is damaged",
                            newest > c->last ? newest + 1 : c->last + 2);
    c->told = place.told;
    return go_on;
}

static bool find_watermark(log_check *c)
{
    const manifest *m = &c->verifier->newest;
    const recovery *r = &c->recovery;
    bool headless;
    c->watermark = m->watermark;
    c->again = true;
    if (m->segment_count > 0 && load(c, c->number) != PERSIST_NONE)
        find_proof(c, c->number, c->offset);
    c->again = false;
    for (size_t i = 0; i < r->number_count; i++)
        if (r->numbers[i] >= m->next_segment &&
            load_unlisted(c, r->numbers[i], &headless))
            find_proof(c, r->numbers[i], SEGMENT_HEADER_SIZE);
    return c->verifier->status == PERSIST_OK;
}

static bool walk_unlisted(log_check *c, uint64_t number)
{
    bool headless;
    if (!load_unlisted(c, number, &headless))
        return c->verifier->status == PERSIST_OK;
    persist_lsn newest = find_proof(c, number, SEGMENT_HEADER_SIZE);
    c->verifier->progress->files += newest > 0;
    if (headless && newest == 0)
        return true;
    if (headless && !report_header(c, number, newest))
        return false;
    return walk(c, number, SEGMENT_HEADER_SIZE, UINT64_MAX, c->watermark);
}

/* Whole up to the watermark. */
static bool walk_tail(log_check *c)
{
    const manifest *m = &c->verifier->newest;
    const recovery *r = &c->recovery;
    if (!find_watermark(c))
        return false;
    c->again = true;
    bool go_on = true;
    if (m->segment_count > 0 && load(c, c->number) != PERSIST_NONE)
        go_on = walk(c, c->number, c->offset, UINT64_MAX, c->watermark);
    for (size_t i = 0; i < r->number_count && go_on; i++)
        if (r->numbers[i] >= m->next_segment)
            go_on = walk_unlisted(c, r->numbers[i]);
    if (go_on && c->last < c->watermark)
        go_on =
            report_gap(c, slice_of(NULL, 0),
                       "a log record is damaged or missing", c->watermark + 1);
    return go_on && c->verifier->status == PERSIST_OK;
}

/* ---- all of it -------------------------------------------------------- */

static bool walk_all(log_check *c)
{
    const manifest *m = &c->verifier->newest;
    bool go_on = true;
    c->last = manifest_tables_last(m);
    c->number = m->next_segment;
    c->offset = SEGMENT_HEADER_SIZE;
    for (size_t i = 0; i < m->segment_count && go_on; i++)
        go_on = walk_listed(c, &m->segments[i]);
    /* an older manifest than the newest knows less than the log */
    return go_on && (!c->verifier->newest_known || walk_tail(c));
}

bool verify_log(verifier *v)
{
    log_check c = {.verifier = v,
                   .positions = v->newest.next_position,
                   .time = v->newest.time};
    c.place = (segment_place){v->sys, v->log.dir, v->newest.identity,
                              v->newest.epoch + 1};
    c.recovery = (recovery){
        .place = c.place, .old = &v->newest, .replay = count, .context = &c};
    persist_status status = recover_read(&c.recovery, &c.error);
    c.refused = status == PERSIST_CORRUPT;
    bool go_on = v->status == PERSIST_OK;
    if (go_on && status == PERSIST_LIMIT)
        go_on = verify_no_memory(v);
    else if (go_on)
        go_on = walk_all(&c);
    if (go_on && status != PERSIST_OK && !c.told && v->newest_known)
        go_on = verify_failed(v, &c.error, (persist_finding){.advice = stops});
    recovery_release(&c.recovery);
    return go_on;
}
