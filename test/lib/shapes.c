/* SPDX-License-Identifier: MIT */
/* Making the shapes, and asking the probes. */
#include "shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "os_sim_disk.h"
#include "store/store.h"
#include "wall.h"

/* How a shape is made. */
typedef struct recipe {
    const char *name;
    uint32_t memtable, width, commits;
    bool compress, truncates, blobs, closed;
    unsigned tail; /* commits after a close and a new opening */
    bool gap;      /* no close, but a kill */
} recipe;

static const recipe recipes[SHAPES] = {
    {.name = "log", .commits = 12, .closed = true},
    {.name = "log-killed", .commits = 12},
    {.name = "segments",
     .commits = 28,
     .memtable = 3000,
     .width = 8,
     .tail = 8,
     .gap = true},
    {.name = "tables",
     .commits = 20,
     .memtable = 1200,
     .width = 8,
     .closed = true},
    {.name = "compressed",
     .commits = 24,
     .memtable = 2500,
     .width = 8,
     .compress = true,
     .closed = true},
    {.name = "merged",
     .commits = 24,
     .memtable = 600,
     .width = 2,
     .truncates = true,
     .closed = true},
    {.name = "blobs",
     .commits = 8,
     .memtable = 900,
     .width = 4,
     .blobs = true,
     .closed = true},
    {.name = "blobs-killed", .commits = 8, .blobs = true},
    {.name = "tables-killed",
     .commits = 18,
     .memtable = 1500,
     .width = 4,
     .truncates = true,
     .tail = 5},
};

enum { STREAMS = 5, KEYS = 9, IDS = 8, TAGS = 7 };
enum { TIMES_STEP = 3100, TIMES_ASKED = 8 }; /* microseconds; times */
enum { SMALL_BLOB = 300, LARGE_BLOB = 1500, PACKED_MAX = SMALL_BLOB };

/* ---- opening ---------------------------------------------------------- */

static persist_status open_as(os_sim *sim, const recipe *r, persist_store **out,
                              persist_error *error)
{
    const persist_options options = {
        PERSIST_OPTIONS,
        .path = "store",
        .create = true,
        .segment_size = 4096,
        .memtable_size = r->memtable,
        .merge_width = r->width,
        .compress = r->compress,
        .packed_max = PACKED_MAX,
        .os = os_sim_os(sim),
    };
    return persist_open(&options, out, error);
}

/* Whoever opens it later needs no other setting. */
persist_status shape_open(os_sim *sim, persist_store **out,
                          persist_error *error)
{
    static const recipe plain;
    return open_as(sim, &plain, out, error);
}

/* ---- asking ----------------------------------------------------------- */

static void add(uint64_t *digest, slice bytes, uint64_t number)
{
    *digest = hash_xxh3_seed(bytes, *digest ^ number * 0x9e3779b97f4a7c15u);
}

static persist_status ask_events(persist_cursor *cursor, uint64_t *digest,
                                 persist_error *error)
{
    const persist_event *e;
    persist_status status;
    while ((status = persist_next_event(cursor, &e, error)) == PERSIST_OK) {
        add(digest, e->stream, e->seq);
        add(digest, e->data, e->position);
        add(digest, slice_of(&e->time, sizeof e->time), 6);
        slice tags[PERSIST_TAGS_MAX], type;
        size_t count = persist_event_tags(e, tags, &type);
        for (size_t i = 0; i < count; i++)
            add(digest, tags[i], hash_xxh3(type));
    }
    persist_cursor_close(cursor);
    return status;
}

static persist_status ask_names(persist_cursor *cursor, uint64_t *digest,
                                persist_error *error)
{
    slice name, value;
    persist_status status;
    while ((status = persist_next_key(cursor, &name, &value, error)) ==
           PERSIST_OK) {
        add(digest, name, 1);
        add(digest, value, 2);
    }
    persist_cursor_close(cursor);
    return status;
}

static persist_status ask_info(persist_store *s, slice name, uint64_t *digest,
                               persist_error *error)
{
    persist_stream_info info;
    bool known;
    persist_status status =
        persist_info(s, name, PERSIST_LATEST, &info, &known, error);
    if (status == PERSIST_OK)
        add(digest, slice_of(&info, sizeof info), known);
    return status;
}

static persist_status ask_key(persist_store *s, slice name, uint64_t *digest,
                              persist_error *error)
{
    slice value = {0};
    persist_status status = persist_get(s, name, PERSIST_LATEST, &value, error);
    if (status == PERSIST_OK) {
        add(digest, value, 3);
        persist_free(value.data);
    }
    return status;
}

static persist_status ask_id(persist_store *s, slice name, uint64_t *digest,
                             persist_error *error)
{
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_outcome out = {0};
    persist_status status = persist_once_find(s, name, print, &out, error);
    if (status != PERSIST_OK)
        return status;
    add(digest, slice_of(print, sizeof print), out.lsn);
    add(digest, slice_of(out.seqs, out.seq_count * sizeof *out.seqs), 4);
    persist_outcome_release(&out);
    return PERSIST_OK;
}

static persist_status ask_blob(persist_store *s, slice cid, uint64_t *digest,
                               persist_error *error)
{
    persist_blob_reader *reader = NULL;
    static uint8_t bytes[LARGE_BLOB * 2];
    size_t got = 1, size = 0;
    persist_status status = persist_blob_open(s, cid, NULL, &reader, error);
    while (status == PERSIST_OK && got > 0 && size < sizeof bytes) {
        status = persist_blob_read(reader, bytes + size, sizeof bytes - size,
                                   &got, error);
        size += got;
    }
    if (status == PERSIST_OK)
        add(digest, slice_of(bytes, size), 5);
    persist_blob_close(reader);
    return status;
}

/* Over all that the shapes' commits have, and beyond. */
static persist_status ask_times(persist_store *s, uint64_t *digest,
                                persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (uint64_t i = 0; i <= TIMES_ASKED && status == PERSIST_OK; i++) {
        uint64_t position, time = WALL_BEGIN - TIMES_STEP / 2 + i * TIMES_STEP;
        status = persist_position_at(s, time, PERSIST_LATEST, &position, error);
        if (status == PERSIST_OK)
            add(digest, slice_of(&position, sizeof position), time);
    }
    return status;
}

static persist_status ask_ids(persist_cursor *cursor, uint64_t *digest,
                              persist_error *error)
{
    const persist_command *c;
    persist_status status;
    while ((status = persist_next_command(cursor, &c, error)) == PERSIST_OK) {
        add(digest, c->id, c->lsn);
        add(digest, slice_of(c->fingerprint, sizeof c->fingerprint), 7);
        add(digest, slice_of(c->seqs, c->seq_count * sizeof *c->seqs), 8);
    }
    persist_cursor_close(cursor);
    return status;
}

static persist_status ask_cursor(const probe *p, persist_cursor *cursor,
                                 uint64_t *digest, persist_error *error)
{
    if (p->kind == PROBE_IDS)
        return ask_ids(cursor, digest, error);
    return p->kind == PROBE_STREAMS || p->kind == PROBE_KEYS
               ? ask_names(cursor, digest, error)
               : ask_events(cursor, digest, error);
}

persist_status probe_ask(persist_store *s, const probe *p, uint64_t *digest,
                         persist_error *error)
{
    persist_cursor *cursor = NULL;
    persist_status status = PERSIST_OK;
    slice name = slice_str(p->name);
    const persist_query_item item = {.tags = &name, .tag_count = 1};
    *digest = 1;
    if (p->kind == PROBE_STREAM)
        status = persist_read(s, name, p->from, PERSIST_NO_LIMIT,
                              PERSIST_LATEST, &cursor, error);
    else if (p->kind == PROBE_BACK)
        status = persist_read_back(s, name, UINT64_MAX, PERSIST_NO_LIMIT,
                                   PERSIST_LATEST, &cursor, error);
    else if (p->kind == PROBE_ALL)
        status = persist_read_all(s, 0, PERSIST_NO_LIMIT, PERSIST_LATEST,
                                  &cursor, error);
    else if (p->kind == PROBE_QUERY)
        status = persist_query(s, &item, 1, p->from, PERSIST_NO_LIMIT,
                               PERSIST_LATEST, &cursor, error);
    else if (p->kind == PROBE_STREAMS)
        status = persist_streams(s, NULL, PERSIST_NO_LIMIT, PERSIST_LATEST,
                                 &cursor, error);
    else if (p->kind == PROBE_KEYS)
        status = persist_scan(s, NULL, PERSIST_NO_LIMIT, PERSIST_LATEST,
                              &cursor, error);
    else if (p->kind == PROBE_IDS)
        status = persist_commands(s, name, NULL, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &cursor, error);
    else if (p->kind == PROBE_TIMES)
        status = ask_times(s, digest, error);
    else if (p->kind == PROBE_INFO)
        status = ask_info(s, name, digest, error);
    else if (p->kind == PROBE_KEY)
        status = ask_key(s, name, digest, error);
    else if (p->kind == PROBE_ID)
        status = ask_id(s, name, digest, error);
    else
        status = ask_blob(s, name, digest, error);
    if (status == PERSIST_OK && cursor != NULL)
        status = ask_cursor(p, cursor, digest, error);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

const char *probe_text(const probe *p, char out[SHAPE_NAME_MAX * 2])
{
    static const char *const kinds[] = {
        [PROBE_STREAM] = "stream",  [PROBE_BACK] = "stream, backwards,",
        [PROBE_INFO] = "info of",   [PROBE_KEY] = "key",
        [PROBE_ID] = "command id",  [PROBE_BLOB] = "blob",
        [PROBE_STREAMS] = "names",  [PROBE_KEYS] = "all keys",
        [PROBE_ALL] = "all events", [PROBE_QUERY] = "events tagged",
        [PROBE_TIMES] = "times",    [PROBE_IDS] = "command ids"};
    snprintf(out, SHAPE_NAME_MAX * 2, "%s %s from %llu", kinds[p->kind],
             p->name, (unsigned long long)p->from);
    return out;
}

/* ---- making ----------------------------------------------------------- */

static void must(persist_status status, const persist_error *error)
{
    if (status == PERSIST_OK)
        return;
    printf("no shape: %s\n0 passed, 1 failed\n", error->message);
    exit(1);
}

static probe *new_probe(shape *s, probe_kind kind, uint64_t from)
{
    CHECK(s->probe_count < PROBES_MAX);
    probe *p = &s->probes[s->probe_count++];
    *p = (probe){.kind = kind, .from = from};
    return p;
}

static void add_probes(shape *s)
{
    for (int i = 0; i < STREAMS + 1; i++) { /* one that never is */
        const probe_kind kinds[] = {PROBE_STREAM, PROBE_STREAM, PROBE_STREAM,
                                    PROBE_BACK, PROBE_INFO};
        for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
            snprintf(new_probe(s, kinds[k], k < 3 ? 9 * k : 0)->name,
                     SHAPE_NAME_MAX, "stream-%d", i);
    }
    for (int i = 0; i < KEYS + 1; i++)
        snprintf(new_probe(s, PROBE_KEY, 0)->name, SHAPE_NAME_MAX, "key-%d", i);
    for (int i = 0; i < IDS + 1; i++)
        snprintf(new_probe(s, PROBE_ID, 0)->name, SHAPE_NAME_MAX, "id-%d", i);
    for (unsigned i = 0; i < TAGS + 1; i++)
        snprintf(new_probe(s, PROBE_QUERY, i * 3)->name, SHAPE_NAME_MAX,
                 "tag-%u", i);
    new_probe(s, PROBE_STREAMS, 0);
    new_probe(s, PROBE_KEYS, 0);
    new_probe(s, PROBE_ALL, 0);
    new_probe(s, PROBE_TIMES, 0);
    new_probe(s, PROBE_IDS, 0);
}

persist_lsn shape_commit(persist_lsn lsn)
{
    return lsn % LSN_AHEAD;
}

static unsigned tags_of(const persist_event *e)
{
    slice tags[PERSIST_TAGS_MAX], type;
    unsigned found = 0;
    for (size_t n = persist_event_tags(e, tags, &type); n > 0; n--) {
        slice t = tags[n - 1];
        found |= 1u << (((const char *)t.data)[t.size - 1] - '0');
    }
    return found;
}

bool probe_matches(const probe *p, const shape_event *e)
{
    CHECK(p->kind == PROBE_QUERY);
    unsigned tag = (unsigned)(p->name[strlen(p->name) - 1] - '0');
    return e->position >= p->from && (e->tags >> tag & 1) != 0;
}

/* What has come since this was called. */
static void note_events(shape *s, persist_store *store)
{
    persist_cursor *c;
    const persist_event *e;
    persist_error error;
    uint64_t from = 0;
    if (s->event_count > 0)
        from = s->events[s->event_count - 1].position + 1;
    must(persist_read_all(store, from, PERSIST_NO_LIMIT, PERSIST_LATEST, &c,
                          &error),
         &error);
    while (persist_next_event(c, &e, NULL) == PERSIST_OK) {
        CHECK(s->event_count < SHAPE_EVENTS_MAX);
        shape_event *to = &s->events[s->event_count++];
        *to = (shape_event){
            .seq = e->seq, .position = e->position, .tags = tags_of(e)};
        memcpy(to->stream, e->stream.data, e->stream.size);
    }
    persist_cursor_close(c);
}

/* What all probes say now, which is after the latest commit. */
static void note_answers(shape *s, persist_store *store)
{
    persist_error error;
    persist_lsn now = shape_commit(store_visible(store));
    CHECK(now < COMMITS_MAX);
    note_events(s, store);
    for (size_t i = 0; i < s->probe_count; i++)
        must(probe_ask(store, &s->probes[i], &s->answers[now][i], &error),
             &error);
    s->answered[now] = true;
    s->latest = now;
}

static slice filling(char *room, unsigned n, size_t size)
{
    for (size_t i = 0; i < size; i++)
        room[i] = (char)('a' + (i / 7 + n + i % 5 * (n % 3)) % 26);
    return slice_of(room, size);
}

/* Two tags for most events. */
static void tag(persist_edit *edit, slice tags[2], char names[2][8], unsigned n)
{
    const unsigned numbers[2] = {n % 4, 4 + n % 3};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(names[i], 8, "tag-%u", numbers[i] % TAGS);
        tags[i] = slice_str(names[i]);
    }
    if (n % 3 == 1)
        return;
    edit->tags = tags;
    edit->tag_count = 2;
    edit->type = slice_str(n % 2 == 0 ? "even" : "odd");
}

/* Times of every width, also back, and the same again. */
static void move_clock(unsigned n)
{
    static const unsigned steps[] = {0, 1, 90, 700, 2900, 300};
    wall_set(wall_now(NULL) + steps[n % 6] - (n % 7 == 3 ? 500 : 0));
}

static void commit(shape *s, persist_store *store, const recipe *r, unsigned n)
{
    char stream[SHAPE_NAME_MAX], key[SHAPE_NAME_MAX], id[SHAPE_NAME_MAX];
    char room[3][200], names[2][2][8];
    slice tags[2][2];
    persist_edit edits[4];
    size_t count = 0;
    persist_outcome outcome = {0};
    persist_error error;
    move_clock(n);
    snprintf(stream, sizeof stream, "stream-%u", n * n % STREAMS);
    snprintf(key, sizeof key, "key-%u", n % KEYS);
    snprintf(id, sizeof id, "id-%u", n / 9);
    persist_once once = {.id = slice_str(id)};
    memset(once.fingerprint, (int)n, sizeof once.fingerprint);
    for (unsigned i = 0; i < 1 + n % 2; i++) {
        edits[count] =
            (persist_edit){.kind = PERSIST_APPEND,
                           .name = slice_str(stream),
                           .data = filling(room[i], n + i, 20 + n * 13 % 150)};
        tag(&edits[count++], tags[i], names[i], n + i);
    }
    if (n % 3 != 0)
        edits[count++] = (persist_edit){
            .kind = n % 8 == 7 ? PERSIST_DELETE : PERSIST_PUT,
            .name = slice_str(key),
            .data = n % 8 == 7 ? slice_of(NULL, 0)
                               : filling(room[2], n, n * 7 % 90)};
    if (r->truncates && n % 7 == 6)
        edits[count++] = (persist_edit){
            .kind = PERSIST_TRUNCATE, .name = slice_str(stream), .seq = n / 4};
    must(persist_commit(store, edits, count, n % 9 == 4 ? &once : NULL,
                        &outcome, &error),
         &error);
    must(persist_wait_durable(store, outcome.lsn, &error), &error);
    persist_outcome_release(&outcome);
    note_answers(s, store);
}

static void put_blobs(shape *s, persist_store *store)
{
    const size_t sizes[] = {SMALL_BLOB, 0, LARGE_BLOB, SMALL_BLOB + 1};
    static char room[LARGE_BLOB];
    persist_error error;
    probe *probes[4];
    for (unsigned i = 0; i < 4; i++) {
        probes[i] = new_probe(s, PROBE_BLOB, 0);
        persist_cid cid;
        persist_cid_of(filling(room, i, sizes[i]), cid);
        snprintf(probes[i]->name, SHAPE_NAME_MAX, "%s", cid);
    }
    note_answers(s, store);
    for (unsigned i = 0; i < 4; i++) {
        persist_cid cid;
        must(persist_blob_put(store, filling(room, i, sizes[i]), cid, &error),
             &error);
        CHECK(strcmp(cid, probes[i]->name) == 0);
        note_answers(s, store);
    }
    must(persist_wait_durable(store, store_visible(store), &error), &error);
}

/* Background work is done to its end. */
static void settle(persist_store *store)
{
    persist_error error;
    bool did = true;
    for (int i = 0; i < 1000 && did; i++)
        must(store->backend->step(store, &did, &error), &error);
}

static void keep_older(shape *s, unsigned n, unsigned commits)
{
    if (n % (commits / OLDER_MAX + 1) == 0 && s->older_count < OLDER_MAX)
        s->older[s->older_count++] = os_sim_kill(s->sim);
}

shape *shape_new(unsigned number)
{
    CHECK(number < SHAPES);
    const recipe *r = &recipes[number];
    shape *s = sim_alloc(sizeof *s);
    persist_store *store;
    persist_error error;
    s->name = r->name;
    s->closed = r->closed;
    s->quiet = r->tail == 0;
    s->sim = os_sim_new(number + 1);
    wall_set(WALL_BEGIN);
    add_probes(s);
    must(open_as(s->sim, r, &store, &error), &error);
    note_answers(s, store);
    if (r->blobs)
        put_blobs(s, store);
    for (unsigned n = 0; n < r->commits; n++) {
        commit(s, store, r, n);
        settle(store);
        keep_older(s, n, r->commits);
    }
    for (unsigned n = 0; n < r->tail; n++) {
        if (n == 0) {
            os_sim *left = r->gap ? os_sim_kill(s->sim) : NULL;
            must(persist_close(store, &error), &error);
            if (r->gap) {
                os_sim_free(s->sim);
                s->sim = left;
            }
            must(open_as(s->sim, r, &store, &error), &error);
        }
        commit(s, store, &recipes[0], r->commits + n);
    }
    os_sim *rest = r->closed ? NULL : os_sim_kill(s->sim);
    must(persist_close(store, &error), &error);
    if (rest != NULL) {
        os_sim_free(s->sim);
        s->sim = rest;
    }
    return s;
}

void shape_free(shape *s)
{
    os_sim_free(s->sim);
    for (size_t i = 0; i < s->older_count; i++)
        os_sim_free(s->older[i]);
    free(s);
}
