/* SPDX-License-Identifier: MIT */
/* What commits make dead in tables. A truncation knows the bytes; a deletion
 * looks for what it deletes, and one of many puts looks for what it overwrites
 * and stands for the others. */
#include "engine/commit/plan.h"

/* What is left of a stream in older layers above a floor. */
static uint64_t left_below(const stream *s, const stream_floor *f)
{
    if (f->through >= s->base.mark)
        return 0;
    CHECK(f->index <= s->base.count && f->bytes <= s->base.bytes);
    return s->base.bytes - f->bytes +
           (s->base.count - f->index) * (s->name.size + EVENT_OVERHEAD);
}

void dead_note_floor(commit *c, const stream *s, const stream_floor *before,
                     const stream_floor *after)
{
    uint64_t was = left_below(s, before), is = left_below(s, after);
    c->dead += was > is ? was - is : 0;
}

/* How many puts or deletions one look stands for. A large value is looked for
 * each time, be it the new one or what is mostly there: of these a few are
 * much, and writing them takes longer than a look. */
static unsigned stands_for(const engine *e, const persist_edit *edit)
{
    const layers *v = e->layers;
    bool large = edit->data.size >= LARGE_VALUE ||
                 v->table_bytes / LARGE_VALUE >= v->table_entries;
    return edit->kind == PERSIST_DELETE || large ? 1 : PUTS_A_LOOK;
}

/* What cannot be read counts as nothing. */
void dead_note_key(commit *c, const persist_edit *edit)
{
    engine *e = c->e;
    found_value found;
    persist_error ignored;
    unsigned count = stands_for(e, edit);
    bool small = e->layers->table_bytes <= e->memtable_size;
    if (c->replayed || (small && !atomic_load(&e->wal.full)) ||
        (count > 1 && e->keys_made++ % count != 0) ||
        layers_tables_key(e->layers, edit->name, &found, &ignored) !=
            PERSIST_OK)
        return;
    c->dead += (edit->name.size + found.value.size) * count;
    found_value_release(&found);
}

void dead_publish(const commit *c)
{
    engine *e = c->e;
    const layers *v = e->layers;
    v->active->dead += c->dead;
    if (c->dead > 0)
        dead_call(e);
}
