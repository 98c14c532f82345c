/* SPDX-License-Identifier: MIT */
/* Verifying tables: the ends, the filter, and that the sections say the
 * same. Events lie in the order of the streams' numbers, which is that of their
 * names: both sections are walked side by side. */
#include "engine/verify/verify_table.h"

#include "base/mem.h"
#include "engine/verify/verify_tags.h"

/* What is gathered over all tables, oldest first. */
typedef struct tables_check {
    verifier *verifier;
    cache cache;
    table **tables; /* owned; those that could be opened */
    size_t count;
    bool whole;               /* all states could be read so far */
    uint64_t streams, events; /* that there are after the last one */
    uint64_t position;        /* the highest one */
    uint64_t time;            /* of the event there */
} tables_check;

/* What is gathered over a table. */
typedef struct table_check {
    tables_check *all;
    verifier *verifier;
    table *table;
    char path[PERSIST_PATH_MAX];
    bool filter_known, streams_known, times_known;
    times_reader times;
    uint64_t bytes, blocks; /* of blocks that were met */
    uint8_t *named;         /* a bit for each number of a block */
    bool incomplete;
    uint64_t next_ordinal;
    uint64_t event_sum, order_sum; /* the same if both name the same events */
    tags_check tags;               /* and the same tags of them */
    /* the stream whose events are being walked */
    table_iter streams;
    stream_entry stream;
    bool has_stream;
    bool uncertain; /* some of its events are not readable */
    bool lost;      /* those behind the last one of the section */
    uint64_t run, index, run_bytes;
    bool counted; /* index and run_bytes are known */
    uint64_t last_seq;
} table_check;

static bool report(table_check *c, const char *what, uint64_t offset)
{
    return verify_found(
        c->verifier,
        &(persist_finding){.damage = true,
                           .what = what,
                           .advice = "restore the store from a backup",
                           .path = c->path,
                           .offset = offset});
}

static bool filter_has(table_check *c, table_section section, slice name)
{
    persist_error ignored;
    return !c->filter_known ||
           verify_lookup(c->verifier, table_may_have(c->table, section,
                                                     filter_hash(section, name),
                                                     &ignored)) != PERSIST_NONE;
}

static const char not_in_filter[] = "a name is not in the filter";

/* ---- streams across tables -------------------------------------------- */

/* The state of a stream in the newest of the tables before. */
static persist_status find_older(const tables_check *all, slice name,
                                 stream_entry *out)
{
    persist_status status = PERSIST_NONE;
    for (size_t i = all->count; i-- > 0 && status == PERSIST_NONE;) {
        table_iter at;
        persist_error ignored;
        table_iter_init(&at, all->tables[i], TABLE_STREAMS, false);
        status = verify_lookup(all->verifier, table_find(&at, name, &ignored));
        if (status == PERSIST_OK && !entry_get_stream(table_value(&at), out))
            status = PERSIST_CORRUPT;
        table_iter_release(&at);
    }
    return status;
}

static uint64_t events_of(const stream_entry *e)
{
    CHECK(e->state.floor.index <= e->state.count);
    return e->state.count - e->state.floor.index;
}

/* A stream goes on where an older table left it. */
static const char *check_history(tables_check *all, slice name,
                                 const stream_entry *e)
{
    static const stream_entry none;
    stream_entry old = none;
    const stream_state *now = &e->state, *before = &old.state;
    persist_status status = find_older(all, name, &old);
    if (status > PERSIST_NONE) {
        all->whole = false; /* that table's damage has been reported */
        return NULL;
    }
    all->streams += status == PERSIST_NONE;
    all->events += events_of(e) - events_of(&old);
    bool goes_on = now->mark >= before->mark && now->bytes >= before->bytes &&
                   now->count >= before->count &&
                   now->count - before->count >= e->events &&
                   now->floor.through >= before->floor.through &&
                   now->floor.index >= before->floor.index &&
                   (e->events == 0 || e->first > before->mark);
    return goes_on ? NULL : "a stream contradicts what older tables say of it";
}

static bool check_counts(const tables_check *all)
{
    verifier *v = all->verifier;
    const manifest *m = &v->newest;
    if (!all->whole || v->progress->damages > 0 ||
        (all->streams == m->streams && all->events == m->events &&
         all->position < m->next_position && all->time <= m->time))
        return true;
    return verify_found(
        v, &(persist_finding){.damage = true,
                              .what = "the tables hold other numbers of "
                                      "streams and events, or a later time, "
                                      "than the manifest says",
                              .advice = "restore the store from a backup",
                              .path = v->tables.path,
                              .offset = STATUS_NO_OFFSET});
}

/* ---- entries ---------------------------------------------------------- */

static const char *check_stream(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    stream_entry e;
    if (key.size > PERSIST_NAME_SIZE_MAX || !entry_get_stream(value, &e))
        return "the entry of a stream is damaged";
    bool follows =
        w->lost ? e.ordinal >= c->next_ordinal : e.ordinal == c->next_ordinal;
    c->next_ordinal = e.ordinal + 1;
    if (!follows)
        return "the numbers of streams are out of order";
    if (!filter_has(c, TABLE_STREAMS, key))
        return not_in_filter;
    return check_history(c->all, key, &e);
}

static const char *check_key(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    bool deleted;
    slice bytes;
    c->verifier->progress->keys++;
    if (key.size > PERSIST_NAME_SIZE_MAX ||
        !entry_get_key(value, &deleted, &bytes) ||
        bytes.size > PERSIST_VALUE_SIZE_MAX)
        return "the entry of a key is damaged";
    return filter_has(c, TABLE_KEYS, key) ? NULL : not_in_filter;
}

static const char *check_once(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    once_entry e;
    static const char damaged[] = "the entry of a command id is damaged";
    if (key.size > PERSIST_NAME_SIZE_MAX || !entry_get_once(value, &e) ||
        e.lsn < c->table->footer.first || e.lsn > c->table->footer.last ||
        gaps_judge(&c->verifier->newest.gaps, e.lsn) == LSN_LOST)
        return damaged;
    cursor seqs = cursor_of(e.seqs);
    for (uint64_t i = 0; i < e.seq_count; i++)
        (void)cursor_varint(&seqs);
    if (!cursor_done(&seqs))
        return damaged;
    return filter_has(c, TABLE_ONCES, key) ? NULL : not_in_filter;
}

static bool blobs_go(const verifier *v)
{
    return !v->newest_known || (v->newest.features & FEATURE_BLOBS_GO) != 0;
}

/* The bytes are read at once; what is wrong with them is no damage of the
 * table, and reported by itself. */
static const char *check_blob(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    blob_entry e;
    if (!entry_get_blob(key, value, &e) ||
        (!blobs_go(c->verifier) && (e.deleted || e.time != 0)))
        return "the entry of a blob is damaged";
    if (c->verifier->status == PERSIST_OK)
        (void)verify_blob(c->verifier, &e);
    return filter_has(c, TABLE_BLOBS, key) ? NULL : not_in_filter;
}

/* The times grow with the positions. */
static const char *check_time(table_check *c, uint64_t position)
{
    uint64_t time = 0, before = c->all->time;
    persist_error ignored;
    if (!c->times_known)
        return NULL;
    persist_status status = verify_lookup(
        c->verifier, times_at(&c->times, position, &time, &ignored));
    if (status != PERSIST_OK)
        return status == PERSIST_CORRUPT ? "the time of an event is missing"
                                         : NULL;
    c->all->time = time;
    return time >= before && time <= PERSIST_SEQ_MAX
               ? NULL
               : "an event is of an earlier time than the one before";
}

static const char *check_order(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    uint64_t position, seq;
    slice name;
    if (!entry_get_order(key, value, &position, &seq, &name))
        return "an entry of the order is damaged";
    c->order_sum += verify_event_hash(name, seq, position);
    bool grows = position > c->all->position && position <= PERSIST_SEQ_MAX;
    c->all->position = position;
    return grows ? check_time(c, position) : "a position is in two tables";
}

static const char *check_times(verify_tree *w, slice key, slice value)
{
    times_entry e;
    (void)w;
    return times_entry_get(key, value, &e)
               ? NULL
               : "an entry of the times of commits is damaged";
}

static const char *check_tag(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    const char *what = verify_run(&c->tags, key, value);
    bool has = what != NULL || filter_has(c, TABLE_TAGS, entry_tag_of(key));
    return has ? what : not_in_filter;
}

/* ---- events beside their streams -------------------------------------- */

static const char *end_of_run(const table_check *c)
{
    if (c->uncertain || !c->has_stream)
        return NULL;
    if (c->run != c->stream.events ||
        (c->run > 0 && c->last_seq != c->stream.last))
        return "events of a stream are missing";
    return c->counted && (c->index != c->stream.state.count ||
                          c->run_bytes != c->stream.state.bytes)
               ? "a stream's events are not the last ones that it had"
               : NULL;
}

static void read_stream(table_check *c, persist_status status)
{
    verify_lookup(c->verifier, status);
    c->has_stream = status == PERSIST_OK &&
                    entry_get_stream(table_value(&c->streams), &c->stream);
    c->run = c->index = c->run_bytes = c->last_seq = 0;
    c->counted = false;
}

/* Goes on to the first stream of that number or a higher one; NULL, or what is
 * wrong with those before it. lost: their events may have been unreadable. */
static const char *pass_streams(table_check *c, uint64_t ordinal, bool lost)
{
    persist_error ignored;
    const char *what = NULL;
    c->uncertain = c->uncertain || lost;
    while (c->has_stream && c->stream.ordinal < ordinal) {
        if (what == NULL)
            what = end_of_run(c);
        read_stream(c, table_next(&c->streams, &ignored));
        c->uncertain = lost;
    }
    return what;
}

/* The anchors tell how many events, and bytes, ever came before. */
static const char *count_event(table_check *c, const event_entry *e)
{
    if (!c->counted && !e->anchored)
        return c->uncertain ? NULL : "the first event has no count";
    if (c->counted && e->anchored &&
        (e->index != c->index || e->bytes_before != c->run_bytes))
        return "the counts of a stream's events do not fit";
    if (e->anchored) {
        c->index = e->index;
        c->run_bytes = e->bytes_before;
        c->counted = true;
    }
    c->index++;
    c->run_bytes += e->data.size;
    return NULL;
}

/* Adds what the order and the tags say of it, too. */
static void sum_event(table_check *c, const event_entry *e)
{
    uint64_t hash =
        verify_event_hash(table_key(&c->streams), e->seq, e->position);
    c->event_sum += hash;
    if (e->tagged.size > 0)
        verify_tags_of(&c->tags, e->tagged, hash);
}

static const char *check_event(verify_tree *w, slice key, slice value)
{
    table_check *c = w->context;
    event_entry e;
    c->verifier->progress->events++;
    if (!entry_get_event(key, value, &e) || e.position == 0 ||
        e.data.size > PERSIST_VALUE_SIZE_MAX ||
        (e.tagged.size > 0 && !tagged_differ(e.tagged.data)))
        return "the entry of an event is damaged";
    if (!c->streams_known)
        return NULL;
    if (w->lost)
        c->counted = false;
    const char *what = pass_streams(c, e.ordinal, w->lost);
    if (what != NULL)
        return what;
    if (!c->has_stream || c->stream.ordinal != e.ordinal)
        return "an event is of no stream";
    if (c->run == 0 && !c->uncertain && e.seq != c->stream.first)
        what = "events of a stream are missing";
    else if (e.seq > c->stream.state.mark)
        what = "an event is above its stream's mark";
    else
        what = count_event(c, &e);
    c->run++;
    c->last_seq = e.seq;
    sum_event(c, &e);
    return what;
}

/* ---- sections --------------------------------------------------------- */

static bool check_section(table_check *c, table_section section,
                          const char *(*check)(verify_tree *, slice, slice),
                          bool *whole)
{
    verify_tree w = {.verifier = c->verifier,
                     .table = c->table,
                     .path = c->path,
                     .section = section,
                     .named = c->named,
                     .check = check,
                     .context = c};
    uint64_t before = c->verifier->progress->damages;
    bool go_on = verify_walk(&w);
    /* cppcheck-suppress knownConditionTrueFalse ; the walk counts them */
    *whole = c->verifier->progress->damages == before;
    c->incomplete = c->incomplete || w.incomplete;
    c->bytes += w.bytes;
    c->blocks += w.blocks;
    c->lost = w.lost;
    buf_release(&w.key);
    buf_release(&w.last_key);
    return go_on && c->verifier->status == PERSIST_OK;
}

static bool check_events(table_check *c, bool *whole)
{
    persist_error ignored;
    table_iter_init(&c->streams, c->table, TABLE_STREAMS, true);
    read_stream(c, table_seek(&c->streams, slice_of(NULL, 0), &ignored));
    bool go_on = check_section(c, TABLE_EVENTS, check_event, whole);
    const char *what = NULL;
    if (go_on && c->streams_known)
        what = pass_streams(c, UINT64_MAX, c->lost);
    table_iter_release(&c->streams);
    if (what != NULL)
        go_on = report(c, what, c->table->footer.roots[TABLE_STREAMS].offset);
    return go_on;
}

static bool check_order_with_times(table_check *c, bool *whole)
{
    times_open(&c->times, c->table, true);
    bool go_on = check_section(c, TABLE_TIMES, check_times, &c->times_known) &&
                 check_section(c, TABLE_ORDER, check_order, whole);
    times_close(&c->times);
    return go_on;
}

static bool check_sections(table_check *c)
{
    bool keys, onces, events, order, blobs, tags;
    if (!check_section(c, TABLE_STREAMS, check_stream, &c->streams_known) ||
        !check_events(c, &events) ||
        !check_section(c, TABLE_KEYS, check_key, &keys) ||
        !check_section(c, TABLE_ONCES, check_once, &onces) ||
        !check_order_with_times(c, &order) ||
        !check_section(c, TABLE_BLOBS, check_blob, &blobs) ||
        !check_section(c, TABLE_TAGS, check_tag, &tags))
        return false;
    const table_footer *f = &c->table->footer;
    bool known = c->streams_known && events;
    if (known && order && c->event_sum != c->order_sum &&
        !report(c, "the order of events does not name the events there",
                f->roots[TABLE_ORDER].offset))
        return false;
    if ((known && tags && c->tags.of_events != c->tags.of_tags) ||
        (tags && c->tags.count != f->tags))
        return report(c, "the tags do not name the events there",
                      f->roots[TABLE_TAGS].offset);
    return true;
}

/* ---- the ends and the filter ------------------------------------------ */

static bool check_filter(table_check *c)
{
    const table_footer *f = &c->table->footer;
    uint64_t size = f->filter_part_size + BLOCK_HEADER_SIZE;
    persist_error error;
    bool go_on = true;
    c->filter_known = true;
    for (uint64_t i = 0; i < f->filter_parts && go_on; i++) {
        table_step part;
        uint64_t at = f->filter_offset + i * size;
        if (table_read_block(c->table, TABLE_FILTER, 0, at, size, &part,
                             &error) == PERSIST_OK) {
            block_unref(part.held);
            c->verifier->progress->blocks++;
            go_on = verify_read(c->verifier, size);
            continue;
        }
        c->filter_known = false;
        go_on = verify_failed(
            c->verifier, &error,
            (persist_finding){.path = c->path,
                              .offset = at,
                              .what = error.status == PERSIST_CORRUPT
                                          ? "a part of the filter is damaged"
                                          : NULL,
                              .advice = "look-ups of the names in it fail, all "
                                        "others work; restore the store from a "
                                        "backup"});
    }
    c->bytes += f->filter_parts * size;
    return go_on;
}

static bool check_header(table_check *c)
{
    uint8_t bytes[TABLE_HEADER_SIZE];
    size_t got;
    int code = os_read_all(c->verifier->sys, c->table->file, bytes,
                           sizeof bytes, 0, &got);
    if (!verify_read(c->verifier, TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE))
        return false;
    if (code == 0 && got == sizeof bytes &&
        table_header_is(slice_of(bytes, sizeof bytes),
                        c->verifier->newest.identity))
        return true;
    return verify_found(
        c->verifier,
        &(persist_finding){.damage = true,
                           .what = "the header of a table is damaged",
                           .advice = "no read needs it, nothing is lost; the "
                                     "next merge writes the table anew",
                           .path = c->path});
}

static bool check_ends(table_check *c, const table_file *listed)
{
    const table_footer *f = &c->table->footer;
    uint64_t at = f->size - TABLE_FOOTER_SIZE;
    if (!check_header(c))
        return false;
    if (f->first != listed->first || f->last != listed->last)
        return report(c, "a table holds other commits than the manifest says",
                      at);
    return true;
}

/* ---- one table, all tables -------------------------------------------- */

static bool check_open_table(table_check *c, const table_file *listed)
{
    uint64_t ends = TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE;
    c->named = mem_alloc_zero((size_t)(c->table->footer.blocks / 8 + 1));
    if (c->named == NULL)
        return verify_no_memory(c->verifier);
    if (!check_ends(c, listed) || !check_filter(c) || !check_sections(c))
        return false;
    if (!c->incomplete && (c->bytes + ends != c->table->footer.size ||
                           c->blocks != c->table->footer.blocks))
        return report(c, "there are bytes in a table that belong to nothing",
                      STATUS_NO_OFFSET);
    return true;
}

static bool missing(verifier *v, const table_file *listed,
                    const persist_error *error)
{
    return verify_failed(
        v, error,
        (persist_finding){.touched = PERSIST_TOUCHED_COMMITS,
                          .number = listed->first,
                          .end_number = listed->last + 1,
                          .advice = "the store cannot be opened; restore it "
                                    "from a backup"});
}

/* The table stays open: those that come are compared with it. */
static bool check_table(tables_check *all, table_check *c,
                        const table_file *listed)
{
    verifier *v = all->verifier;
    table_place place = {v->sys, v->tables.dir, v->newest.identity, NULL, NULL};
    persist_error error;
    uint64_t end = v->progress->bytes + listed->size;
    bool go_on;
    persist_status status = table_open(&place, &all->cache, listed->number,
                                       listed->size, &c->table, &error);
    v->progress->files++;
    if (status == PERSIST_OK &&
        table_path(&place, listed->number, c->path) == 0) {
        uint64_t before = v->progress->damages;
        go_on = check_open_table(c, listed);
        all->whole = all->whole && v->progress->damages == before;
        all->tables[all->count++] = c->table;
    } else {
        all->whole = false;
        go_on = missing(v, listed, &error);
    }
    /* what could not be read is behind us as well */
    if (go_on && v->progress->bytes < end)
        go_on = verify_read(v, end - v->progress->bytes);
    return go_on;
}

static bool check_tables(tables_check *all)
{
    verifier *v = all->verifier;
    table_check *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return verify_no_memory(v);
    bool go_on = true;
    for (size_t i = 0; i < v->newest.table_count && go_on; i++) {
        *c = (table_check){.all = all, .verifier = v};
        go_on = check_table(all, c, &v->newest.tables[i]);
        mem_free(c->named);
    }
    mem_free(c);
    return go_on && check_counts(all);
}

bool verify_tables(verifier *v)
{
    tables_check *all = mem_alloc_zero(sizeof *all);
    if (all == NULL)
        return verify_no_memory(v);
    all->verifier = v;
    all->whole = true;
    all->tables = mem_alloc(v->newest.table_count * sizeof(table *));
    bool go_on = all->tables != NULL || verify_no_memory(v);
    cache_init(&all->cache, CACHE_SIZE_DEFAULT);
    if (go_on)
        go_on = check_tables(all);
    for (size_t i = 0; i < all->count; i++)
        table_unref(all->tables[i]);
    cache_release(&all->cache);
    mem_free(all->tables);
    mem_free(all);
    return go_on;
}
