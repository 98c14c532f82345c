/* SPDX-License-Identifier: MIT */
/* How much the reserve is to hold: for the table of the memtable of which the
 * log is longest, and for notes of all that may be deleted, by what tables say
 * of their names, by what memtables count, and by what a byte of the log has
 * come to so far for those it has yet to be written. */
#include "engine/upkeep/upkeep.h"

uint64_t reserve_pages(uint64_t size)
{
    return (size + SEGMENT_ROUND - 1) / SEGMENT_ROUND * SEGMENT_ROUND;
}

static uint64_t share_of(uint64_t part, uint64_t whole)
{
    CHECK(whole > 0);
    return (uint64_t)((double)part * LOG_SHARE_ONE / (double)whole);
}

/* The latest count most. */
static void learn(engine *e, uint64_t added, uint64_t beyond, uint64_t notes)
{
    log_tells *tells = &e->log_tells;
    if (tells->logged > e->memtable_size)
        *tells =
            (log_tells){tells->logged / 2, tells->beyond / 2, tells->notes / 2};
    tells->logged += added;
    tells->beyond += beyond;
    tells->notes += notes;
    atomic_store_explicit(&e->beyond_share,
                          share_of(tells->beyond, tells->logged),
                          memory_order_relaxed);
    atomic_store_explicit(&e->notes_share,
                          share_of(tells->notes, tells->logged),
                          memory_order_relaxed);
}

void reserve_note_log(engine *e, const layers *v, uint64_t added)
{
    uint64_t beyond = layers_beyond(v), notes = layers_notes(v);
    if (added > 0)
        learn(e, added, beyond - atomic_load(&e->beyond),
              notes - atomic_load(&e->notes));
    atomic_store_explicit(&e->unflushed, layers_logged(v),
                          memory_order_relaxed);
    atomic_store_explicit(&e->beyond, beyond, memory_order_relaxed);
    atomic_store_explicit(&e->notes, notes, memory_order_relaxed);
}

/* What comes is like what came. */
static uint64_t with_ahead(uint64_t has, uint64_t share, uint64_t ahead)
{
    return has +
           (uint64_t)((double)share * (double)ahead / (double)LOG_SHARE_ONE);
}

/* The table of a memtable, which is full when its log has its size, but for one
 * big record. A log that is longer is of two, and but for the segment in which
 * both are, the first gives its own back before the other is flushed. */
uint64_t reserve_for_log(const engine *e, wal_size log)
{
    uint64_t most = e->memtable_size + e->wal.segment_size + log.biggest;
    uint64_t size = atomic_load(&e->unflushed) + log.ahead;
    uint64_t beyond = with_ahead(atomic_load(&e->beyond),
                                 atomic_load(&e->beyond_share), log.ahead);
    if (size > most)
        size = most;
    return reserve_pages(size + size / RESERVE_TABLE_SHARE + beyond);
}

/* Adds up the sizes of a block's names, and of what they stand for. */
static void add_up(const block_view *v, uint64_t *names, uint64_t *values)
{
    block_entry entry;
    for (uint32_t n = 0; n < v->count; n++)
        if (block_get(v, n, &entry)) {
            *names += block_key_size(v, &entry);
            *values += entry.value.size;
        }
}

/* What a name takes of a table, about: its part of the first leaf, and of the
 * blocks above, of which each names two blocks at the least. Names that are
 * longer elsewhere show in the topmost block. A key is without its value. */
static uint64_t size_of_note(const block_view *top, const block_view *leaf,
                             bool of_key)
{
    uint64_t names = 0, values = 0, all = 0, ignored = 0;
    CHECK(top->count > 0 && leaf->count > 0);
    add_up(leaf, &names, &values);
    add_up(top, &all, &ignored);
    uint64_t name = names / leaf->count, elsewhere = all / top->count;
    uint64_t ends =
        leaf->count * (uint64_t)(BLOCK_HEAD_SIZE + sizeof(uint16_t));
    uint64_t size = BLOCK_HEADER_SIZE + leaf->prefix_size + ends + leaf->size +
                    2 * (elsewhere + BLOCK_HEADER_SIZE);
    return (of_key ? size - values : size) / leaf->count + FILTER_BITS / 8 + 1 +
           (elsewhere > name ? elsewhere - name : 0);
}

static uint64_t look_at_names(table *t, table_section section)
{
    table_iter i;
    persist_error ignored;
    uint64_t size = RESERVE_NOTE;
    table_iter_init(&i, t, section, true);
    if (table_seek(&i, slice_of(NULL, 0), &ignored) == PERSIST_OK)
        size = size_of_note(&i.path[0].view, &i.path[i.height - 1].view,
                            section == TABLE_KEYS);
    table_iter_release(&i);
    return size;
}

/* Of a key, or a stream, by the table that has most of them. */
static uint64_t measure_note(const layers *v, table_section section,
                             note_size *note)
{
    table *most = NULL;
    uint64_t count = 0;
    for (size_t i = 0; i < v->table_count; i++)
        if (v->tables[i]->footer.roots[section].entries > count) {
            most = v->tables[i];
            count = most->footer.roots[section].entries;
        }
    if (most != NULL && note->of != most->footer.number)
        *note = (note_size){look_at_names(most, section), most->footer.number};
    return note->size;
}

/* A note is kept of each key that is deleted until all is merged, and of each
 * stream that is truncated, which then has one for ever: there is one more
 * while they are merged. Those that are empty need none. There is room for a
 * part of them always, and for all where the disk has not much more. */
void reserve_measure(engine *e, const layers *v)
{
    const manifest *m = &e->manifest;
    uint64_t streams = m->streams < m->events ? m->streams : m->events;
    uint64_t notes = measure_note(v, TABLE_KEYS, &e->key_note) * m->keys +
                     measure_note(v, TABLE_STREAMS, &e->stream_note) * streams *
                         STREAM_NOTES;
    /* no more than what they delete, whatever the manifest counts */
    if (notes > 2 * v->table_bytes)
        notes = 2 * v->table_bytes;
    uint64_t all = notes + notes / RESERVE_NOTES_MORE;
    uint64_t always = v->table_bytes / RESERVE_NOTES_SHARE;
    if (always > RESERVE_NOTES_MAX)
        always = RESERVE_NOTES_MAX;
    if (always > all)
        always = all;
    atomic_store(&e->reserve_tables, reserve_pages(RESERVE_MIN + always));
    atomic_store(&e->reserve_notes, reserve_pages(all - always));
}

/* All of them, also of what is in no table yet, or has yet to come. */
uint64_t reserve_all_notes(const engine *e, uint64_t ahead)
{
    uint64_t fresh =
        with_ahead(atomic_load(&e->notes), atomic_load(&e->notes_share), ahead);
    return reserve_pages(atomic_load(&e->reserve_notes) + fresh +
                         fresh / RESERVE_NOTES_MORE);
}

static uint64_t for_tables(const engine *e, uint64_t ahead)
{
    uint64_t notes =
        atomic_load(&e->is_scarce) ? reserve_all_notes(e, ahead) : 0;
    return atomic_load(&e->reserve_tables) + notes;
}

uint64_t reserve_wanted(const engine *e, wal_size log)
{
    return for_tables(e, log.ahead) + reserve_for_log(e, log);
}

uint64_t reserve_round(const engine *e)
{
    return for_tables(e, 0) / RESERVE_ROUND_SHARE;
}
