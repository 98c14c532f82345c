/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: what is read of both. */
#include <string.h>

#include "pair.h"

enum { PIECES_MAX = 1000 };

/* ---- pair_read ---------------------------------------------------------- */

static persist_view any_view(pair *p)
{
    return pair_draw(p, 2) == 0 ? PERSIST_DURABLE : PERSIST_LATEST;
}

static pair_read any_read(pair *p)
{
    pair_read r = {.kind = (int)pair_draw(p, 5), .name = pair_any_name(p)};
    r.after = pair_any_name(p);
    r.has_after = pair_draw(p, 2) == 0;
    r.from = pair_draw(p, 4) == 0 ? UINT64_MAX : pair_any_seq(p, r.name);
    r.limit = pair_draw(p, 3) == 0 ? pair_draw(p, 6) : PERSIST_NO_LIMIT;
    r.view = any_view(p);
    if (r.kind == 4 && r.name.size > 1)
        r.name.size = pair_draw(p, 3);
    return r;
}

static persist_status open_read(persist_store *store, const pair_read *r,
                                persist_cursor **out)
{
    const slice *after = r->has_after ? &r->after : NULL;
    switch (r->kind) {
    case 0:
        return persist_read(store, r->name, r->from, r->limit, r->view, out,
                            NULL);
    case 1:
        return persist_read_back(store, r->name, r->from, r->limit, r->view,
                                 out, NULL);
    case 2:
        return persist_read_all(store, r->from, r->limit, r->view, out, NULL);
    case 3:
        return persist_streams(store, after, r->view, out, NULL);
    default:
        return persist_scan(store, r->name, after, r->limit, r->view, out,
                            NULL);
    }
}

/* Appends the next item; false at the end, or after an error. */
static bool take(persist_cursor *cursor, const pair_read *r, buf *out)
{
    persist_event event;
    slice name, value = {0};
    persist_error error = {0};
    persist_status status =
        r->kind <= 2 ? persist_next_event(cursor, &event, &error)
                     : persist_next_key(cursor, &name, &value, &error);
    if (status != PERSIST_OK) {
        pair_put_status(out, status, &error);
        return false;
    }
    if (r->kind <= 2) {
        buf_put_slice(out, event.stream);
        buf_printf(out, " %llu@%llu ", (unsigned long long)event.seq,
                   (unsigned long long)event.position);
        buf_put_slice(out, event.data);
    } else {
        buf_put_slice(out, name);
        buf_put_byte(out, '=');
        buf_put_slice(out, value);
        buf_put_byte(out, ' ');
    }
    return true;
}

static void drain(persist_cursor *cursor, const pair_read *r, buf *out)
{
    while (take(cursor, r, out))
        ;
    persist_cursor_close(cursor);
}

/* A thread may sync at any time: a view that moves cannot be compared. */
static bool is_comparable(const pair *p, persist_view view)
{
    return view == PERSIST_LATEST || !p->options.background;
}

void pair_do_info(pair *p)
{
    slice name = pair_any_name(p);
    persist_view view = any_view(p);
    if (!is_comparable(p, view))
        return;
    persist_store *oracle = pair_model(p, view);
    pair_clear(p);
    persist_store *stores[2] = {p->disk, oracle};
    buf *outs[2] = {&p->said, &p->wanted};
    for (int i = 0; i < 2; i++) {
        persist_stream_info info;
        persist_error error = {0};
        bool known = false;
        slice value = {0};
        pair_put_status(
            outs[i], persist_info(stores[i], name, view, &info, &known, &error),
            &error);
        buf_printf(
            outs[i], "%d %llu %llu %llu %llu ", known,
            (unsigned long long)info.mark, (unsigned long long)info.first,
            (unsigned long long)info.count, (unsigned long long)info.bytes);
        pair_put_status(outs[i], persist_has(stores[i], name, view, &error),
                        &error);
        pair_put_status(outs[i],
                        persist_get(stores[i], name, view, &value, &error),
                        &error);
        buf_put_slice(outs[i], value);
        persist_free(value.data);
    }
    pair_agree(p, "info and key");
}

/* Reads; with commits between opening the cursors and using them, at times. */
void pair_do_read(pair *p)
{
    pair_read r = any_read(p);
    persist_cursor *a = NULL, *b = NULL;
    buf said = {0}, wanted = {0};
    if (!is_comparable(p, r.view))
        return;
    persist_store *oracle = pair_model(p, r.view);
    bool later = pair_draw(p, 3) == 0;
    buf_printf(&said, "%d ", open_read(p->disk, &r, &a));
    buf_printf(&wanted, "%d ", open_read(oracle, &r, &b));
    for (uint64_t i = pair_draw(p, 8); later && i > 0; i--)
        pair_do_commit(p);
    if (a != NULL)
        drain(a, &r, &said);
    if (b != NULL)
        drain(b, &r, &wanted);
    pair_clear(p);
    buf_put_slice(&p->said, buf_slice(&said));
    buf_put_slice(&p->wanted, buf_slice(&wanted));
    pair_agree(p, later ? "a cursor held over commits" : "a read");
    buf_release(&said);
    buf_release(&wanted);
}

/* ---- in pieces -------------------------------------------------------- */

/* Scans a few names at a time, each piece behind the last name of the one
 * before. */
static void read_pages(persist_store *store, pair_read r, buf *out)
{
    buf last = {0};
    slice name = {0}, value = {0};
    persist_status status = PERSIST_OK;
    bool more = true;
    for (int n = 0; more && status <= PERSIST_NONE && n < PIECES_MAX; n++) {
        persist_cursor *cursor = NULL;
        persist_error error = {0};
        status = open_read(store, &r, &cursor);
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
        r.after = buf_slice(&last);
        r.has_after = true;
    }
    buf_release(&last);
}

void pair_do_pages(pair *p)
{
    pair_read r = {.kind = 3 + (int)pair_draw(p, 2),
                   .limit = 1 + pair_draw(p, 3),
                   .view = any_view(p)};
    if (!is_comparable(p, r.view))
        return;
    persist_store *oracle = pair_model(p, r.view);
    pair_clear(p);
    read_pages(p->disk, r, &p->said);
    read_pages(oracle, r, &p->wanted);
    pair_agree(p, "a scan in pieces");
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
    pair_clear(p);
    read_blob(p->disk, cid, &p->said);
    read_blob(p->latest, cid, &p->wanted);
    pair_agree(p, "a blob");
}

/* ---- cursors that stay open ------------------------------------------- */

static void let_go(pair_held *h)
{
    persist_cursor_close(h->disk);
    persist_cursor_close(h->model);
    *h = (pair_held){0};
}

void pair_let_go(pair *p)
{
    for (size_t i = 0; i < PAIR_HELD; i++)
        let_go(&p->held[i]);
}

void pair_hold(pair *p)
{
    pair_held *h = &p->held[pair_draw(p, PAIR_HELD)];
    let_go(h);
    h->read = any_read(p);
    if (!is_comparable(p, h->read.view))
        return;
    persist_store *oracle = pair_model(p, h->read.view);
    pair_clear(p);
    buf_printf(&p->said, "%d", open_read(p->disk, &h->read, &h->disk));
    buf_printf(&p->wanted, "%d", open_read(oracle, &h->read, &h->model));
    pair_agree(p, "opening a cursor");
}

void pair_go_on(pair *p)
{
    pair_held *h = &p->held[pair_draw(p, PAIR_HELD)];
    uint64_t count = 1 + pair_draw(p, 5);
    if (h->disk == NULL || h->model == NULL)
        return;
    bool more = true, model_more = true;
    pair_clear(p);
    for (uint64_t i = 0; i < count && more && model_more; i++) {
        more = take(h->disk, &h->read, &p->said);
        model_more = take(h->model, &h->read, &p->wanted);
    }
    pair_agree(p, "a cursor that stayed open");
    if (!more || !model_more)
        let_go(h);
}
