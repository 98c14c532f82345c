/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: what is read of both. */
#include <string.h>

#include "engine/files/limits.h"
#include "ops.h"
#include "pair.h"
#include "wall.h"

enum { PIECES_MAX = 1000, MORE_THAN_A_BATCH = 2 * CURSOR_BATCH };

/* ---- pair_read ---------------------------------------------------------- */

static persist_view any_view(pair *p)
{
    return pair_draw(p, 2) == 0 ? PERSIST_DURABLE : PERSIST_LATEST;
}

/* NULL: none. */
static const pair_kept *any_kept(pair *p)
{
    const pair_kept *k = &p->kept[pair_draw(p, PAIR_KEPT)];
    return pair_draw(p, 3) == 0 && k->disk != NULL ? k : NULL;
}

static pair_read any_read(pair *p)
{
    pair_read r = {.kind = (int)pair_draw(p, 8), .name = pair_any_name(p)};
    for (int i = 0; i < 4; i++)
        r.bounds[i] = pair_any_name(p);
    r.bounded = (unsigned)(pair_draw(p, 16) & pair_draw(p, 16));
    r.back = pair_draw(p, 2) == 0;
    r.from = pair_draw(p, 4) == 0 ? UINT64_MAX : pair_any_seq(p, r.name);
    r.limit = pair_draw(p, 3) == 0 ? pair_draw(p, 6) : PERSIST_NO_LIMIT;
    r.view = any_view(p);
    r.kept = any_kept(p);
    r.query = pair_draw(p, 1000);
    if (p->crowded && pair_draw(p, 2) == 0) {
        r.kind = 5;
        r.from = 0;
        r.limit = PERSIST_NO_LIMIT;
    } else if (r.kind == 5 && pair_draw(p, 2) == 0) {
        r.from = pair_any_position(p);
    }
    if (r.kind == 7)
        r.bounds[1] = slice_str(pair_any_cid(p));
    if (r.kind == 6 && pair_draw(p, 2) == 0)
        r.name = r.bounds[1] = slice_of("x/com", pair_draw(p, 6));
    if (r.name.size > 1 && (r.kind == 3 || r.kind == 4 || r.kind == 6))
        r.name.size = pair_draw(p, 3);
    return r;
}

static persist_range range_of(const pair_read *r)
{
    return (persist_range){
        PERSIST_RANGE,
        .backward = r->back,
        .prefix = r->name,
        .from = r->bounded & 1 ? &r->bounds[0] : NULL,
        .after = r->bounded & 2 ? &r->bounds[1] : NULL,
        .to = r->bounded & 4 ? &r->bounds[2] : NULL,
        .before = r->bounded & 8 ? &r->bounds[3] : NULL,
    };
}

static persist_status open_read(persist_store *store, persist_view view,
                                const pair_read *r, persist_cursor **out)
{
    size_t count;
    const persist_query_item *items = pool_query(r->query, &count);
    const persist_range range = range_of(r);
    switch (r->kind) {
    case 0:
        return persist_read(store, r->name, r->from, r->limit, view, out, NULL);
    case 1:
        return persist_read_back(store, r->name, r->from, r->limit, view, out,
                                 NULL);
    case 2:
        return persist_read_all(store, r->from, r->limit, view, out, NULL);
    case 3:
        return persist_streams(store, &range, r->limit, view, out, NULL);
    case 4:
        return persist_scan(store, &range, r->limit, view, out, NULL);
    case 6:
        return persist_commands(store, r->name, range.after, r->limit, view,
                                out, NULL);
    case 7:
        return persist_blobs(store, range.after, r->limit, view, out, NULL);
    default:
        return persist_query(store, items, count, r->from, r->limit, view, out,
                             NULL);
    }
}

/* Where a state is seen: on disk, and in a model. */
typedef struct sight {
    persist_store *disk, *model;
    persist_view disk_view, model_view;
} sight;

/* False: it cannot be compared. A thread may sync at any time, and then a view
 * moves. */
static bool see(pair *p, persist_view view, const pair_kept *kept, sight *out)
{
    *out = (sight){pair_hand(p), NULL, view, view};
    if (kept != NULL) {
        *out = (sight){out->disk, kept->oracle, kept->disk, kept->model};
        return true;
    }
    if (view != PERSIST_LATEST && p->options.background)
        return false;
    out->model = pair_model(p, view);
    return true;
}

static bool take_command(persist_cursor *cursor, buf *out)
{
    const persist_command *c;
    persist_error error = {0};
    persist_status status = persist_next_command(cursor, &c, &error);
    if (status != PERSIST_OK) {
        pair_put_status(out, status, &error);
        return false;
    }
    buf_put_slice(out, c->id);
    buf_printf(out, " %d lsn %llu", c->fingerprint[3],
               (unsigned long long)c->lsn);
    for (size_t i = 0; i < c->seq_count; i++)
        buf_printf(out, " #%llu", (unsigned long long)c->seqs[i]);
    return true;
}

static bool take_blob(persist_cursor *cursor, buf *out)
{
    const persist_blob *b;
    persist_error error = {0};
    persist_status status = persist_next_blob(cursor, &b, &error);
    if (status == PERSIST_OK)
        buf_printf(out, "%s %llu at %llu ", b->cid, (unsigned long long)b->size,
                   (unsigned long long)b->time);
    else
        pair_put_status(out, status, &error);
    return status == PERSIST_OK;
}

/* Appends the next item; false at the end, or after an error. */
static bool take(persist_cursor *cursor, const pair_read *r, buf *out)
{
    if (r->kind == 6)
        return take_command(cursor, out);
    if (r->kind == 7)
        return take_blob(cursor, out);
    const persist_event *event;
    slice name, value = {0};
    persist_error error = {0};
    bool events = r->kind <= 2 || r->kind == 5;
    persist_status status =
        events ? persist_next_event(cursor, &event, &error)
               : persist_next_key(cursor, &name, &value, &error);
    if (status != PERSIST_OK) {
        pair_put_status(out, status, &error);
        return false;
    }
    if (events) {
        buf_put_slice(out, event->stream);
        buf_printf(out, " %llu@%llu at %llu ", (unsigned long long)event->seq,
                   (unsigned long long)event->position,
                   (unsigned long long)event->time);
        buf_put_slice(out, event->data);
        pool_put_tags(out, event);
    } else {
        buf_put_slice(out, name);
        buf_put_byte(out, '=');
        buf_put_slice(out, value);
        buf_put_byte(out, ' ');
    }
    return true;
}

static void drain(persist_cursor *cursor, const pair_read *r, bool more,
                  buf *out)
{
    while (more && cursor != NULL && take(cursor, r, out))
        ;
    persist_cursor_close(cursor);
}

void pair_do_info(pair *p)
{
    slice name = pair_any_name(p);
    persist_view view = any_view(p);
    const pair_kept *kept = any_kept(p);
    sight at;
    if (!see(p, view, kept, &at))
        return;
    uint64_t time = wall_now(NULL) + pair_draw(p, 20000) - 15000;
    pair_clear(p);
    persist_store *stores[2] = {at.disk, at.model};
    persist_view views[2] = {at.disk_view, at.model_view};
    buf *outs[2] = {&p->said, &p->wanted};
    for (int i = 0; i < 2; i++) {
        persist_stream_info info;
        persist_error error = {0};
        bool known = false;
        slice value = {0};
        persist_store *store = stores[i];
        view = views[i];
        pair_put_status(outs[i],
                        persist_info(store, name, view, &info, &known, &error),
                        &error);
        buf_printf(
            outs[i], "%d %llu %llu %llu %llu ", known,
            (unsigned long long)info.mark, (unsigned long long)info.first,
            (unsigned long long)info.count, (unsigned long long)info.bytes);
        pair_put_status(outs[i], persist_has(store, name, view, &error),
                        &error);
        pair_put_status(outs[i], persist_get(store, name, view, &value, &error),
                        &error);
        buf_put_slice(outs[i], value);
        persist_free(value.data);
        uint64_t position = 0;
        pair_put_status(
            outs[i], persist_position_at(store, time, view, &position, &error),
            &error);
        buf_printf(outs[i], "%llu of %llu", (unsigned long long)position,
                   (unsigned long long)persist_position(store, view));
    }
    pair_agree(p, kept != NULL ? "info, key and time in a snapshot"
                               : "info, key and time");
}

/* Takes some items of both while they say the same; false at the end. */
static bool take_some(persist_cursor *a, persist_cursor *b, const pair_read *r,
                      uint64_t count, buf *said, buf *wanted)
{
    bool more = a != NULL && b != NULL;
    while (count-- > 0 && more) {
        more = take(a, r, said);
        more = take(b, r, wanted) && more;
    }
    return more;
}

/* How many are taken of a cursor that stays open. */
static uint64_t any_count(pair *p)
{
    return 1 + pair_draw(p, p->crowded ? MORE_THAN_A_BATCH : 5);
}

/* Reads; with commits between opening the cursors and using them, at times, and
 * while they are used. */
void pair_do_read(pair *p)
{
    pair_read r = any_read(p);
    persist_cursor *a = NULL, *b = NULL;
    buf said = {0}, wanted = {0};
    bool more = true;
    sight at;
    if (!see(p, r.view, r.kept, &at))
        return;
    bool later = pair_draw(p, 3) == 0;
    buf_printf(&said, "%d ", open_read(at.disk, at.disk_view, &r, &a));
    buf_printf(&wanted, "%d ", open_read(at.model, at.model_view, &r, &b));
    for (uint64_t i = pair_draw(p, 8); later && i > 0; i--) {
        if (more && p->crowded)
            more = take_some(a, b, &r, any_count(p), &said, &wanted);
        pair_do_commit(p);
    }
    drain(a, &r, more, &said);
    drain(b, &r, more, &wanted);
    pair_clear(p);
    buf_put_slice(&p->said, buf_slice(&said));
    buf_put_slice(&p->wanted, buf_slice(&wanted));
    pair_agree(p, later            ? "a cursor held over commits"
                  : r.kept != NULL ? "a read in a snapshot"
                                   : "a read");
    buf_release(&said);
    buf_release(&wanted);
}

/* ---- in pieces -------------------------------------------------------- */

/* Scans a few names at a time, each piece behind the last name of the one
 * before. */
static void read_pages(persist_store *store, persist_view view, pair_read r,
                       buf *out)
{
    buf last = {0};
    slice name = {0}, value = {0};
    persist_status status = PERSIST_OK;
    bool more = true;
    for (int n = 0; more && status <= PERSIST_NONE && n < PIECES_MAX; n++) {
        persist_cursor *cursor = NULL;
        persist_error error = {0};
        status = open_read(store, view, &r, &cursor);
        more = false;
        for (uint64_t i = 0; status == PERSIST_OK && i < r.limit; i++) {
            status = persist_next_key(cursor, &name, &value, &error);
            if (status != PERSIST_OK)
                break;
            more = true;
            buf_put_slice(out, name);
            buf_put_byte(out, '=');
            buf_put_slice(out, value);
            buf_clear(&last);
            buf_put_slice(&last, name);
        }
        pair_put_status(out, status, &error);
        persist_cursor_close(cursor);
        r.bounds[r.back ? 3 : 1] = buf_slice(&last);
        if (n == 0)
            r.bounded |= r.back ? 8 : 2;
    }
    buf_release(&last);
}

void pair_do_pages(pair *p)
{
    pair_read r = {.kind = 3 + (int)pair_draw(p, 2),
                   .limit = 1 + pair_draw(p, 3),
                   .back = pair_draw(p, 2) == 0,
                   .view = any_view(p),
                   .kept = any_kept(p)};
    sight at;
    if (!see(p, r.view, r.kept, &at))
        return;
    pair_clear(p);
    read_pages(at.disk, at.disk_view, r, &p->said);
    read_pages(at.model, at.model_view, r, &p->wanted);
    pair_agree(p, "a scan in pieces");
}

/* ---- positions -------------------------------------------------------- */

static void say_wait(persist_store *store, uint64_t above, uint64_t ms,
                     buf *out)
{
    persist_error error = {0};
    uint64_t newest = 0;
    pair_put_status(
        out, persist_wait_position(store, above, ms, &newest, &error), &error);
    buf_printf(out, "%llu ", (unsigned long long)newest);
}

/* In memory time is real, so nobody waits there. */
void pair_do_position(pair *p)
{
    persist_view view = any_view(p);
    uint64_t ms = p->sim == NULL ? 0 : pair_draw(p, 3) * 1000;
    uint64_t back = pair_draw(p, 3);
    sight at;
    if (!see(p, view, NULL, &at))
        return;
    persist_store *oracle = at.model;
    uint64_t position = persist_position(oracle, view);
    pair_clear(p);
    buf_printf(&p->wanted, "%llu ", (unsigned long long)position);
    buf_printf(&p->said, "%llu ",
               (unsigned long long)persist_position(p->disk, view));
    if (view == PERSIST_DURABLE) {
        uint64_t above = position < back ? 0 : position - back;
        say_wait(p->disk, above, ms, &p->said);
        say_wait(oracle, above, 0, &p->wanted);
    }
    pair_agree(p, "the position");
}

/* ---- command ids and blobs -------------------------------------------- */

void pair_do_once(pair *p)
{
    static const char *const ids[] = {"", "x", "y", "z"};
    persist_store *stores[2] = {p->disk, p->latest};
    buf *outs[2] = {&p->said, &p->wanted};
    slice id = slice_str(ids[pair_draw(p, 4)]);
    pair_clear(p);
    for (int i = 0; i < 2; i++) {
        uint8_t print[PERSIST_FINGERPRINT_SIZE] = {0};
        persist_outcome outcome = {0};
        persist_error error = {0};
        persist_status status =
            persist_once_find(stores[i], id, print, &outcome, &error);
        pair_put_status(outs[i], status, &error);
        if (status == PERSIST_OK)
            pair_put_outcome(outs[i], &outcome);
        buf_put(outs[i], print, sizeof print);
        persist_outcome_release(&outcome);
    }
    pair_agree(p, "a command id");
}

static void read_range(persist_store *store, slice cid, uint64_t from,
                       size_t size, buf *out)
{
    static uint8_t piece[70000];
    persist_blob_reader *reader = NULL;
    persist_error error = {0};
    size_t got = 0;
    uint64_t whole = 0;
    persist_status status = persist_blob_size(store, cid, &whole, &error);
    pair_put_status(out, status, &error);
    buf_printf(out, "%llu ", (unsigned long long)whole);
    CHECK(size <= sizeof piece);
    if (status == PERSIST_OK)
        status = persist_blob_open(store, cid, NULL, &reader, &error);
    if (status == PERSIST_OK)
        status = persist_blob_read_at(reader, from, piece, size, &got, &error);
    buf_put(out, piece, got);
    persist_blob_close(reader);
    pair_put_status(out, status, &error);
}

static void read_blob(persist_store *store, slice cid, buf *out)
{
    uint8_t piece[4096];
    persist_blob_reader *reader = NULL;
    persist_error error = {0};
    uint64_t size = 0;
    size_t got = 1;
    persist_status status =
        persist_blob_open(store, cid, &size, &reader, &error);
    buf_printf(out, "%llu ", (unsigned long long)size);
    while (status == PERSIST_OK && got > 0) {
        status = persist_blob_read(reader, piece, sizeof piece, &got, &error);
        buf_put(out, piece, status == PERSIST_OK ? got : 0);
    }
    persist_blob_close(reader);
    pair_put_status(out, status, &error);
    pair_put_status(out, persist_blob_has(store, cid, &error), &error);
}

void pair_do_read_blob(pair *p)
{
    if (p->blob_count == 0)
        return;
    unsigned known = p->blob_count < PAIR_BLOBS ? p->blob_count : PAIR_BLOBS;
    slice cid = slice_str(p->blobs[pair_draw(p, known)]);
    uint64_t from = pair_draw(p, 7000);
    size_t size = (size_t)pair_draw(p, 3000);
    pair_clear(p);
    read_blob(p->disk, cid, &p->said);
    read_blob(p->latest, cid, &p->wanted);
    read_range(p->disk, cid, from, size, &p->said);
    read_range(p->latest, cid, from, size, &p->wanted);
    pair_agree(p, "a blob");
}

/* ---- cursors and snapshots that stay open ------------------------------ */

static void let_go(pair_held *h)
{
    persist_cursor_close(h->disk);
    persist_cursor_close(h->model);
    *h = (pair_held){0};
}

static void end_kept(pair_kept *k)
{
    persist_snapshot_close(k->disk);
    persist_snapshot_close(k->model);
    *k = (pair_kept){0};
}

void pair_let_go(pair *p)
{
    for (size_t i = 0; i < PAIR_KEPT; i++)
        end_kept(&p->kept[i]);
    for (size_t i = 0; i < PAIR_HELD; i++)
        let_go(&p->held[i]);
}

void pair_hold(pair *p)
{
    pair_held *h = &p->held[pair_draw(p, PAIR_HELD)];
    sight at;
    let_go(h);
    h->read = any_read(p);
    if (!see(p, h->read.view, h->read.kept, &at))
        return;
    pair_clear(p);
    buf_printf(&p->said, "%d",
               open_read(at.disk, at.disk_view, &h->read, &h->disk));
    buf_printf(&p->wanted, "%d",
               open_read(at.model, at.model_view, &h->read, &h->model));
    h->read.kept = NULL; /* that may end before the cursor does */
    pair_agree(p, "opening a cursor");
}

void pair_keep(pair *p)
{
    pair_kept *k = &p->kept[pair_draw(p, PAIR_KEPT)];
    persist_view view = any_view(p);
    sight at;
    end_kept(k);
    if (!see(p, view, NULL, &at))
        return;
    pair_clear(p);
    k->oracle = at.model;
    buf_printf(&p->said, "%d",
               persist_snapshot_open(at.disk, view, &k->disk, NULL));
    buf_printf(&p->wanted, "%d",
               persist_snapshot_open(at.model, view, &k->model, NULL));
    buf_printf(&p->said, " of %llu",
               (unsigned long long)persist_snapshot_lsn(k->disk));
    buf_printf(&p->wanted, " of %llu",
               (unsigned long long)persist_snapshot_lsn(k->model));
    pair_agree(p, "opening a snapshot");
}

void pair_go_on(pair *p)
{
    pair_held *h = &p->held[pair_draw(p, PAIR_HELD)];
    uint64_t count = any_count(p);
    if (h->disk == NULL || h->model == NULL)
        return;
    pair_clear(p);
    bool more =
        take_some(h->disk, h->model, &h->read, count, &p->said, &p->wanted);
    pair_agree(p, "a cursor that stayed open");
    if (!more)
        let_go(h);
}
