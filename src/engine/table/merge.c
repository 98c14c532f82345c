/* SPDX-License-Identifier: MIT */
/* Merging tables, stage by stage. */
#include "engine/table/merge.h"

#include "base/mem.h"

/* ---- beginning and ending --------------------------------------------- */

static void release(merge *m)
{
    for (size_t i = 0; i < m->source_count; i++) {
        table_iter_release(&m->sources[i].iter);
        table_iter_release(&m->sources[i].events);
        table_unref(m->sources[i].table);
    }
    mem_free(m->sources);
    mem_free(m->same);
    tournament_release(&m->tournament);
    buf_release(&m->name);
    buf_release(&m->value);
    buf_release(&m->cached_name);
    buf_release(&m->times.value);
    postings_release(&m->tags);
    times_close(&m->when);
    m->sources = NULL;
    m->same = NULL;
    m->source_count = 0;
}

void merge_abort(merge *m)
{
    table_abort(&m->writer);
    release(m);
}

persist_status merge_begin(merge *m, const table_place *place,
                           table *const *tables, size_t count,
                           bool to_the_bottom, uint64_t number,
                           uint32_t block_size, bool compress,
                           persist_error *error)
{
    CHECK(count > 0);
    uint64_t names = 0;
    *m = (merge){.to_the_bottom = to_the_bottom};
    m->sources = mem_alloc_zero(count * sizeof *m->sources);
    m->same = mem_alloc(count * sizeof *m->same);
    if (!tournament_init(&m->tournament, (uint32_t)count) ||
        m->sources == NULL || m->same == NULL) {
        release(m);
        return status_no_memory(error);
    }
    m->source_count = count;
    for (size_t i = 0; i < count; i++) {
        const table_root *roots = tables[i]->footer.roots;
        m->sources[i].table = table_ref(tables[i]);
        names += roots[TABLE_STREAMS].entries + roots[TABLE_KEYS].entries +
                 roots[TABLE_ONCES].entries + roots[TABLE_BLOBS].entries +
                 tables[i]->footer.tags;
        m->bytes += tables[i]->footer.size;
        for (unsigned s = 0; s < TABLE_SECTIONS; s++)
            m->entries += s == TABLE_TIMES ? 0 : roots[s].entries;
    }
    persist_status status = table_begin(&m->writer, place, number, block_size,
                                        compress, names, error);
    if (status != PERSIST_OK)
        release(m);
    return status;
}

/* Counts of a damaged table may say anything. */
uint64_t merge_done(const merge *m)
{
    CHECK(m->source_count > 0);
    double share =
        m->moved < m->entries ? (double)m->moved / (double)m->entries : 1;
    return (uint64_t)((double)m->bytes * share);
}

persist_status merge_finish(merge *m, uint64_t *size, persist_error *error)
{
    CHECK(m->stage == MERGE_DONE && m->source_count > 0);
    persist_lsn first = m->sources[0].table->footer.first;
    persist_lsn last = m->sources[m->source_count - 1].table->footer.last;
    persist_status status = table_finish(&m->writer, first, last, error);
    *size = m->writer.footer.size;
    CHECK(first <= last);
    release(m);
    return status;
}

/* Adds an entry of a source, which may be longer than any that is written:
 * nothing but its block bounds it. */
static persist_status carry(merge *m, table_section section,
                            const table_iter *i, slice key, slice value,
                            persist_error *error)
{
    if (key.size > PERSIST_NAME_SIZE_MAX ||
        value.size > TABLE_ENTRY_MAX - PERSIST_NAME_SIZE_MAX)
        return table_bad_entry(i, error);
    table_add(&m->writer, section, key, value);
    return PERSIST_OK;
}

/* ---- one section of all sources, in the order of keys ------------------ */

/* The newest is the first to play; the other way is its own inverse. */
static uint32_t player_of(const merge *m, size_t source)
{
    CHECK(source < m->source_count);
    return (uint32_t)(m->source_count - 1 - source);
}

/* Notes what moving a source's iterator gave. */
static persist_status note(merge *m, size_t source, persist_status status)
{
    merge_source *s = &m->sources[source];
    s->has = status == PERSIST_OK;
    if (s->has)
        tournament_set(&m->tournament, player_of(m, source),
                       table_key(&s->iter));
    else
        tournament_end(&m->tournament, player_of(m, source));
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status open_section(merge *m, table_section section,
                                   persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < m->source_count && status == PERSIST_OK; i++) {
        merge_source *s = &m->sources[i];
        table_iter_release(&s->iter);
        table_iter_init(&s->iter, s->table, section, true);
        status = note(m, i, table_seek(&s->iter, slice_of(NULL, 0), error));
    }
    if (status == PERSIST_OK)
        tournament_begin(&m->tournament);
    m->opened = status == PERSIST_OK;
    m->named = false;
    return status;
}

/* Keeps the name in hand, which comes after the one before. */
static persist_status keep_name(merge *m, const table_iter *from,
                                persist_error *error)
{
    slice name = table_key(from);
    if (m->named && slice_compare(buf_slice(&m->name), name) >= 0)
        return table_bad_entry(from, error);
    buf_clear(&m->name);
    buf_put_slice(&m->name, name);
    m->named = !m->name.failed;
    return m->named ? PERSIST_OK : status_no_memory(error);
}

/* Finds who has the key in hand: the winner, and those it has hidden. */
static void find_same(merge *m)
{
    const tournament *t = &m->tournament;
    m->same_count = 0;
    for (size_t i = 0; i < m->source_count; i++) {
        uint32_t player = player_of(m, i);
        if (player == t->winner ||
            (t->players[player].hidden &&
             slice_equal(t->players[player].name, t->players[t->winner].name)))
            m->same[m->same_count++] = (uint32_t)i;
    }
}

/* Takes the lowest key in hand; NULL at the end, else the newest source that
 * has it. */
static merge_source *take_lowest(merge *m, persist_error *error,
                                 persist_status *status)
{
    *status = PERSIST_OK;
    if (tournament_over(&m->tournament))
        return NULL;
    merge_source *lowest = &m->sources[player_of(m, m->tournament.winner)];
    find_same(m);
    *status = keep_name(m, &lowest->iter, error);
    return lowest;
}

/* Those with the key in hand win one after the other, until all have moved
 * on to later ones. */
static persist_status advance(merge *m, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < m->same_count && status == PERSIST_OK; i++) {
        size_t source = player_of(m, m->tournament.winner);
        table_iter *iter = &m->sources[source].iter;
        status = note(m, source, table_next(iter, error));
        tournament_play(&m->tournament);
        m->moved++;
    }
    return status;
}

/* ---- streams ---------------------------------------------------------- */

/* Of a stream a table has the last events up to its last commit. Where they
 * begin behind the end of those in older tables, commits behind both have
 * truncated what was in between (a flush leaves that out), and so all before
 * it, whatever the newest state says. */
typedef struct event_joint {
    uint64_t gone;  /* every event up to this seq */
    uint64_t begin; /* index of the first event that is not */
} event_joint;

static event_joint join_newest(const stream_entry *e)
{
    return (event_joint){e->state.floor.through, e->state.count - e->events};
}

/* Tells whether the events of an older table join those of the newer ones. */
static bool join_older(event_joint *j, const stream_entry *e)
{
    if (e->state.count >= j->begin) {
        j->begin = e->state.count - e->events;
        return true;
    }
    if (j->gone < e->last)
        j->gone = e->last;
    return false;
}

/* The sums that anchors need, of the event in hand. */
typedef struct event_sums {
    uint64_t index, bytes;
    bool known;
} event_sums;

static persist_status copy_event(merge *m, event_entry *e, stream_entry *out,
                                 event_sums *sums)
{
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    if (e->anchored)
        *sums = (event_sums){e->index, e->bytes_before, true};
    bool first = out->events == 0;
    CHECK(e->seq > m->gone);
    if (!sums->known || (!first && e->seq <= out->last))
        return PERSIST_CORRUPT;
    e->anchored = first || table_begins_block(&m->writer, TABLE_EVENTS);
    e->index = sums->index++;
    e->bytes_before = sums->bytes;
    sums->bytes += e->data.size;
    buf_clear(&m->value);
    entry_put_event(&m->value, e);
    if (m->value.failed)
        return PERSIST_LIMIT;
    if (m->value.size > TABLE_ENTRY_MAX - ENTRY_EVENT_KEY_MAX)
        return PERSIST_CORRUPT;
    table_add(&m->writer, TABLE_EVENTS,
              entry_event_key(m->ordinal, e->seq, place), buf_slice(&m->value));
    out->first = first ? e->seq : out->first;
    out->last = e->seq;
    out->events++;
    return PERSIST_OK;
}

/* Copies the events of one source that are not gone. */
static persist_status copy_run(merge *m, merge_source *s, stream_entry *out,
                               persist_error *error)
{
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    event_sums sums = {0};
    uint64_t left = s->entry.events;
    m->moved += left;
    if (s->entry.last <= m->gone) {
        m->dropped = m->dropped || left > 0;
        return PERSIST_OK;
    }
    slice at = entry_event_key(s->entry.ordinal, s->entry.first, place);
    if (!table_iter_valid(&s->events))
        table_iter_init(&s->events, s->table, TABLE_EVENTS, true);
    persist_status status = table_seek(&s->events, at, error);
    for (; left > 0 && status == PERSIST_OK; left--) {
        event_entry e;
        status =
            entry_get_event(table_key(&s->events), table_value(&s->events), &e)
                ? PERSIST_OK
                : PERSIST_CORRUPT;
        if (status == PERSIST_OK && e.ordinal != s->entry.ordinal)
            status = PERSIST_CORRUPT;
        if (status == PERSIST_OK && e.seq <= m->gone) {
            m->dropped = true;
            if (e.anchored)
                sums = (event_sums){e.index, e.bytes_before, true};
            sums.index++;
            sums.bytes += e.data.size;
        } else if (status == PERSIST_OK) {
            status = copy_event(m, &e, out, &sums);
        }
        if (status == PERSIST_CORRUPT)
            return table_bad_entry(&s->events, error);
        if (status == PERSIST_LIMIT)
            return status_no_memory(error);
        status = table_next(&s->events, error);
    }
    if (left > 0 && status == PERSIST_NONE)
        return table_corrupt(s->table, s->table->footer.size,
                             "events are missing", error);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status merge_stream(merge *m, merge_source *newest,
                                   persist_error *error)
{
    persist_status status = PERSIST_OK;
    event_joint joint = {0};
    for (size_t i = m->same_count; i-- > 0;) {
        merge_source *s = &m->sources[m->same[i]];
        if (!entry_get_stream(table_value(&s->iter), &s->entry))
            return table_bad_entry(&s->iter, error);
        if (s == newest)
            joint = join_newest(&s->entry);
        else if (!join_older(&joint, &s->entry))
            m->parted = true;
    }
    m->gone = joint.gone;
    stream_entry out = {.state = newest->entry.state, .ordinal = m->ordinal};
    for (size_t i = 0; i < m->same_count && status == PERSIST_OK; i++)
        status = copy_run(m, &m->sources[m->same[i]], &out, error);
    if (status != PERSIST_OK)
        return status;
    buf_clear(&m->value);
    entry_put_stream(&m->value, &out);
    if (m->value.failed)
        return status_no_memory(error);
    m->ordinal++;
    return carry(m, TABLE_STREAMS, &newest->iter, buf_slice(&m->name),
                 buf_slice(&m->value), error);
}

/* ---- keys, command ids, blobs ------------------------------------------- */

static persist_status merge_key(merge *m, merge_source *newest,
                                persist_error *error)
{
    bool deleted;
    slice value, entry = table_value(&newest->iter);
    if (!entry_get_key(entry, &deleted, &value))
        return table_bad_entry(&newest->iter, error);
    if (deleted && m->to_the_bottom)
        return PERSIST_OK;
    return carry(m, TABLE_KEYS, &newest->iter, buf_slice(&m->name), entry,
                 error);
}

static persist_status merge_blob(merge *m, const merge_source *newest,
                                 persist_error *error)
{
    blob_entry e;
    slice entry = table_value(&newest->iter);
    if (!entry_get_blob(table_key(&newest->iter), entry, &e))
        return table_bad_entry(&newest->iter, error);
    if (e.deleted && m->to_the_bottom)
        return PERSIST_OK;
    return carry(m, TABLE_BLOBS, &newest->iter, buf_slice(&m->name), entry,
                 error);
}

/* ---- order and tags ---------------------------------------------------- */

static persist_status find_stream(table *t, slice name, stream_entry *out,
                                  persist_error *error)
{
    table_iter iter;
    table_iter_init(&iter, t, TABLE_STREAMS, false);
    persist_status status = table_find(&iter, name, error);
    if (status == PERSIST_OK && !entry_get_stream(table_value(&iter), out))
        status = table_bad_entry(&iter, error);
    table_iter_release(&iter);
    return status;
}

/* Finds how much of a stream is gone. The newest state tells it, if no stream
 * is parted. */
static persist_status find_gone(merge *m, slice name, persist_error *error)
{
    if (m->has_cached && slice_equal(buf_slice(&m->cached_name), name))
        return PERSIST_OK;
    event_joint joint = {0};
    bool found = false;
    m->has_cached = false;
    for (size_t i = m->source_count; i-- > 0 && (m->parted || !found);) {
        stream_entry e;
        persist_status status =
            find_stream(m->sources[i].table, name, &e, error);
        if (status > PERSIST_NONE)
            return status;
        if (status == PERSIST_OK && found)
            (void)join_older(&joint, &e);
        else if (status == PERSIST_OK)
            joint = join_newest(&e);
        found = found || status == PERSIST_OK;
    }
    buf_clear(&m->cached_name);
    buf_put_slice(&m->cached_name, name);
    m->cached_gone = joint.gone;
    m->has_cached = found && !m->cached_name.failed;
    return found ? PERSIST_OK : PERSIST_NONE;
}

/* Tells whether an event is kept, which an entry of its order or of its tags
 * tells of. */
static persist_status is_kept(merge *m, const table_iter *i, slice name,
                              uint64_t seq, bool *keep, persist_error *error)
{
    *keep = true;
    if (!m->dropped)
        return PERSIST_OK;
    persist_status status = find_gone(m, name, error);
    if (status == PERSIST_NONE)
        return table_bad_entry(i, error);
    *keep = status != PERSIST_OK || seq > m->cached_gone;
    return status;
}

/* Copies an entry of the order, with the time of its event. */
static persist_status copy_time(merge *m, const table_iter *i,
                                uint64_t position, persist_error *error)
{
    uint64_t time;
    if (m->when.iter.table != i->table) {
        times_close(&m->when);
        times_open(&m->when, i->table, true);
    }
    persist_status status = times_at(&m->when, position, &time, error);
    if (status != PERSIST_OK)
        return status;
    if (time < m->times.last || time > PERSIST_SEQ_MAX)
        return table_bad_entry(i, error);
    table_add(&m->writer, TABLE_ORDER, table_key(i), table_value(i));
    times_add(&m->times, &m->writer, position, time);
    return PERSIST_OK;
}

static persist_status copy_order(merge *m, const table_iter *i,
                                 persist_error *error)
{
    uint64_t position, seq;
    slice name;
    bool keep;
    if (!entry_get_order(table_key(i), table_value(i), &position, &seq,
                         &name) ||
        position <= m->position)
        return table_bad_entry(i, error);
    m->position = position;
    persist_status status = is_kept(m, i, name, seq, &keep, error);
    return status == PERSIST_OK && keep ? copy_time(m, i, position, error)
                                        : status;
}

/* Adds the events of a run that are kept to the run in hand. Those of a tag
 * grow from source to source. */
static persist_status merge_tag(merge *m, const table_iter *i,
                                persist_error *error)
{
    postings_reader r;
    bool keep, valid = postings_begin(&r, table_key(i), table_value(i));
    slice tag = entry_tag_of(table_key(i));
    for (; valid; valid = postings_next(&r)) {
        if (!postings_go_on(&m->tags, tag, r.now.position))
            break;
        persist_status status =
            is_kept(m, i, r.now.stream, r.now.seq, &keep, error);
        if (status != PERSIST_OK)
            return status;
        if (keep)
            postings_add(&m->tags, &m->writer, tag, &r.now);
        if (r.now.position == r.last)
            return PERSIST_OK;
    }
    return table_bad_entry(i, error);
}

/* Positions grow from table to table: one source after the other. */
static persist_status order_some(merge *m, persist_error *error)
{
    for (unsigned n = 0; n < MERGE_STEP; n++) {
        while (m->order_source < m->source_count &&
               !m->sources[m->order_source].has)
            m->order_source++;
        if (m->order_source >= m->source_count) {
            times_end(&m->times, &m->writer);
            m->stage = MERGE_DONE;
            return PERSIST_OK;
        }
        merge_source *s = &m->sources[m->order_source];
        m->moved++;
        persist_status status = copy_order(m, &s->iter, error);
        if (status == PERSIST_OK)
            status = note(m, m->order_source, table_next(&s->iter, error));
        if (status != PERSIST_OK)
            return status;
    }
    return PERSIST_OK;
}

/* ---- steps ------------------------------------------------------------ */

static persist_status merge_entry(merge *m, merge_source *newest,
                                  persist_error *error)
{
    if (m->stage == MERGE_STREAMS)
        return merge_stream(m, newest, error);
    if (m->stage == MERGE_KEYS)
        return merge_key(m, newest, error);
    if (m->stage == MERGE_TAGS)
        return merge_tag(m, &newest->iter, error);
    if (m->stage == MERGE_BLOBS)
        return merge_blob(m, newest, error);
    return carry(m, TABLE_ONCES, &newest->iter, buf_slice(&m->name),
                 table_value(&newest->iter), error);
}

static persist_status merge_some(merge *m, persist_error *error)
{
    uint64_t events = m->writer.footer.roots[TABLE_EVENTS].entries + MERGE_STEP;
    for (unsigned n = 0; n < MERGE_STEP; n++) {
        persist_status status;
        merge_source *newest = take_lowest(m, error, &status);
        if (newest == NULL) {
            if (m->stage == MERGE_TAGS)
                postings_end(&m->tags, &m->writer);
            m->stage++;
            m->opened = false;
            return PERSIST_OK;
        }
        if (status == PERSIST_OK)
            status = merge_entry(m, newest, error);
        if (status == PERSIST_OK)
            status = advance(m, error);
        if (status != PERSIST_OK)
            return status;
        if (m->writer.footer.roots[TABLE_EVENTS].entries >= events)
            break;
    }
    return PERSIST_OK;
}

persist_status merge_step(merge *m, persist_error *error)
{
    static const table_section sections[] = {
        [MERGE_STREAMS] = TABLE_STREAMS, [MERGE_KEYS] = TABLE_KEYS,
        [MERGE_ONCES] = TABLE_ONCES,     [MERGE_BLOBS] = TABLE_BLOBS,
        [MERGE_TAGS] = TABLE_TAGS,       [MERGE_ORDER] = TABLE_ORDER,
    };
    CHECK(m->stage < MERGE_DONE);
    persist_status status = PERSIST_OK;
    if (!m->opened)
        status = open_section(m, sections[m->stage], error);
    if (status == PERSIST_OK)
        status = m->stage == MERGE_ORDER ? order_some(m, error)
                                         : merge_some(m, error);
    if (status == PERSIST_OK && m->writer.status != PERSIST_OK) {
        status = m->writer.status;
        if (error != NULL)
            *error = m->writer.error;
    }
    return status;
}
