/* SPDX-License-Identifier: MIT */
/* Verifying one section of a table: its tree block by block, each entry.
 *
 * A block that is damaged is passed by; the blocks above it tell which keys
 * were in it. */
#include "engine/verify/verify_table.h"

#include "base/hash.h"
#include "base/mem.h"

/* The keys that a block may hold: from low on, below high if that is known. */
typedef struct key_range {
    slice low, high;
    bool has_high;
    bool known; /* low is its first key */
} key_range;

/* ---- what is touched -------------------------------------------------- */

/* The name of the stream of that number in the table; NULL: not known. */
static slice stream_name(const verify_tree *w, uint64_t ordinal, buf *room)
{
    table_iter i;
    persist_error ignored;
    slice name = {0};
    table_iter_init(&i, w->table, TABLE_STREAMS, true);
    persist_status status = table_seek(&i, slice_of(NULL, 0), &ignored);
    CHECK(w->table->footer.roots[TABLE_STREAMS].size > 0 ||
          status == PERSIST_NONE);
    while (status == PERSIST_OK) {
        stream_entry e;
        if (!entry_get_stream(table_value(&i), &e))
            break;
        if (e.ordinal == ordinal) {
            name = slice_of("", 0);
            buf_put_slice(room, table_key(&i));
            break;
        }
        status = table_next(&i, &ignored);
    }
    table_iter_release(&i);
    return room->size > 0 ? buf_slice(room) : name;
}

/* The first stream that has events in the table, and the number of its first
 * one there; NULL: not known. */
static slice first_stream(const verify_tree *w, uint64_t *number, buf *room)
{
    table_iter i;
    persist_error ignored;
    stream_entry e = {0};
    slice name = {0};
    table_iter_init(&i, w->table, TABLE_STREAMS, true);
    persist_status status = table_seek(&i, slice_of(NULL, 0), &ignored);
    while (status == PERSIST_OK && entry_get_stream(table_value(&i), &e) &&
           e.events == 0)
        status = table_next(&i, &ignored);
    if (status == PERSIST_OK && e.events > 0) {
        *number = e.first;
        name = slice_of("", 0);
        buf_put_slice(room, table_key(&i));
    }
    table_iter_release(&i);
    return room->size > 0 ? buf_slice(room) : name;
}

static void name_tag(slice key, slice *tag, uint64_t *position)
{
    if (entry_split_tag(key, tag, position))
        return;
    *tag = slice_of(NULL, 0);
    *position = 0;
}

/* A key tells the last position of its run: the first one is behind what the
 * entry before it says of the tag. */
static void name_first_tag(const verify_tree *w, slice key, persist_finding *f)
{
    slice tag;
    uint64_t last;
    name_tag(key, &f->name, &f->number);
    f->number = 0;
    if (entry_split_tag(buf_slice(&w->last_key), &tag, &last) &&
        slice_equal(tag, f->name))
        f->number = last + 1;
}

/* Says in a finding which part of the store these keys are. */
static void name_keys(const verify_tree *w, const key_range *keys,
                      persist_finding *f, buf room[2])
{
    static const persist_touched touched[TABLE_SECTIONS] = {
        [TABLE_STREAMS] = PERSIST_TOUCHED_STREAMS,
        [TABLE_EVENTS] = PERSIST_TOUCHED_EVENTS,
        [TABLE_KEYS] = PERSIST_TOUCHED_KEYS,
        [TABLE_ONCES] = PERSIST_TOUCHED_IDS,
        [TABLE_ORDER] = PERSIST_TOUCHED_POSITIONS,
        [TABLE_TIMES] = PERSIST_TOUCHED_POSITIONS,
        [TABLE_TAGS] = PERSIST_TOUCHED_TAGS,
    };
    uint64_t ordinal;
    f->touched = touched[w->section];
    if (w->section == TABLE_EVENTS) {
        if (entry_split_event(keys->low, &ordinal, &f->number))
            f->name = stream_name(w, ordinal, &room[0]);
        else
            f->name = first_stream(w, &f->number, &room[0]);
        if (keys->has_high &&
            entry_split_event(keys->high, &ordinal, &f->end_number))
            f->end_name = stream_name(w, ordinal, &room[1]);
    } else if (w->section == TABLE_ORDER || w->section == TABLE_TIMES) {
        if (keys->low.size == ENTRY_ORDER_KEY_SIZE)
            f->number = big_u64(keys->low.data);
        if (keys->has_high && keys->high.size == ENTRY_ORDER_KEY_SIZE)
            f->end_number = big_u64(keys->high.data);
    } else if (w->section == TABLE_TAGS) {
        name_first_tag(w, keys->low, f);
        if (keys->has_high)
            name_tag(keys->high, &f->end_name, &f->end_number);
    } else if (w->section != TABLE_BLOBS) { /* digests are no names */
        f->name = keys->low;
        if (keys->has_high)
            f->end_name = keys->high;
    }
}

static bool report(verify_tree *w, const key_range *keys, persist_finding f,
                   const persist_error *error)
{
    buf room[2] = {{0}, {0}};
    static const char reads_fail[] =
        "the reads that need it fail, all others work; restore the store from "
        "a backup";
    name_keys(w, keys, &f, room);
    f.damage = true;
    f.path = w->path;
    f.advice = reads_fail;
    bool go_on = error == NULL ? verify_found(w->verifier, &f)
                               : verify_failed(w->verifier, error, f);
    buf_release(&room[0]);
    buf_release(&room[1]);
    return go_on;
}

/* ---- the tree --------------------------------------------------------- */

static bool report_entry(verify_tree *w, slice key, const char *what,
                         uint64_t offset)
{
    const key_range one = {.low = key};
    return report(w, &one, (persist_finding){.what = what, .offset = offset},
                  NULL);
}

/* Decodes an entry. A head that is longer than its key has zeros behind it:
 * reads look for it with them. */
static bool get_entry(const block_view *v, uint32_t index, block_entry *out)
{
    if (!block_get(v, index, out))
        return false;
    for (uint32_t i = out->rest; i < BLOCK_HEAD_SIZE; i++)
        if (out->head[i] != 0)
            return false;
    return true;
}

/* Puts a key together; a lack of memory shows in out.failed. */
static void get_key(const block_view *v, const block_entry *e, buf *out)
{
    size_t size = block_key_size(v, e);
    buf_clear(out);
    if (!buf_reserve(out, size + BLOCK_HEAD_SIZE))
        return;
    memcpy(out->data, v->prefix, v->prefix_size);
    block_put_rest(e, out->data + v->prefix_size);
    out->size = size;
}

/* What is wrong with the entry in hand; NULL: nothing. */
static const char *judge(verify_tree *w, slice value)
{
    slice key = buf_slice(&w->key);
    bool grows =
        w->entries == 0 || slice_compare(buf_slice(&w->last_key), key) < 0;
    return grows ? w->check(w, key, value) : "keys are out of order";
}

static bool check_leaf(verify_tree *w, const table_step *s)
{
    bool go_on = true;
    for (uint32_t i = 0; i < s->view.count && go_on; i++) {
        block_entry e;
        if (!get_entry(&s->view, i, &e)) {
            w->lost = w->incomplete = true;
            go_on = report_entry(w, buf_slice(&w->last_key),
                                 "an entry of a block is damaged", s->offset);
            continue;
        }
        get_key(&s->view, &e, &w->key);
        if (w->key.failed)
            return verify_no_memory(w->verifier);
        const char *what = judge(w, e.value);
        if (w->verifier->status != PERSIST_OK)
            return false;
        w->entries++;
        w->lost = false;
        if (what != NULL)
            go_on = report_entry(w, buf_slice(&w->key), what, s->offset);
        buf swap = w->last_key;
        w->last_key = w->key;
        w->key = swap;
    }
    return go_on;
}

static bool walk(verify_tree *w, unsigned level, uint64_t offset, uint64_t size,
                 const key_range *keys);

/* Every block has a number of its own. */
static bool name_block(verify_tree *w, slice value, table_child *out)
{
    if (!table_get_child(value, out) ||
        out->number >= w->table->footer.blocks ||
        (w->named[out->number / 8] >> out->number % 8 & 1) != 0)
        return false;
    w->named[out->number / 8] |= (uint8_t)(1u << out->number % 8);
    w->blocks++;
    return true;
}

static bool walk_children(verify_tree *w, unsigned level, const table_step *s,
                          const key_range *keys, buf room[2])
{
    const block_view *v = &s->view;
    bool go_on = true;
    block_entry e, next = {0};
    bool known = get_entry(v, 0, &next);
    if (known)
        get_key(v, &next, &room[0]);
    for (uint32_t i = 0; i < v->count && go_on && known; i++) {
        table_child child;
        buf *low = &room[i % 2], *high = &room[(i + 1) % 2];
        key_range range = {buf_slice(low), keys->high, keys->has_high, true};
        e = next;
        if (i + 1 < v->count && (known = get_entry(v, i + 1, &next))) {
            get_key(v, &next, high);
            range.high = buf_slice(high);
            range.has_high = true;
        }
        if (low->failed || high->failed)
            return verify_no_memory(w->verifier);
        if (name_block(w, e.value, &child)) {
            go_on = walk(w, level - 1, child.offset, child.size, &range);
            continue;
        }
        w->lost = w->incomplete = true;
        go_on =
            report_entry(w, range.low, "an index entry is damaged", s->offset);
    }
    if (known || !go_on)
        return go_on;
    w->lost = w->incomplete = true;
    return report_entry(w, keys->low, "an index entry is damaged", s->offset);
}

/* A block begins with the key that names it, behind all that came before: so
 * no block is walked twice, whatever the blocks above say. */
static bool is_in_order(verify_tree *w, const table_step *s,
                        const key_range *keys)
{
    block_entry e;
    if (s->view.count == 0 || !get_entry(&s->view, 0, &e))
        return false;
    get_key(&s->view, &e, &w->key);
    slice first = buf_slice(&w->key);
    bool starts = !keys->known || slice_equal(first, keys->low);
    bool grows =
        w->entries == 0 || slice_compare(buf_slice(&w->last_key), first) < 0;
    if (w->key.failed || !get_entry(&s->view, s->view.count - 1, &e))
        return false;
    get_key(&s->view, &e, &w->key);
    return starts && grows &&
           (!keys->has_high ||
            slice_compare(buf_slice(&w->key), keys->high) < 0);
}

static bool walk_block(verify_tree *w, unsigned level, const table_step *s,
                       uint64_t size, const key_range *keys)
{
    bool ordered = is_in_order(w, s, keys);
    if (w->key.failed)
        return verify_no_memory(w->verifier);
    if (!ordered) {
        w->lost = w->incomplete = true;
        return report(
            w, keys,
            (persist_finding){.what = "a block does not fit into its tree",
                              .offset = s->offset},
            NULL);
    }
    w->verifier->progress->blocks++;
    w->bytes += size;
    if (!verify_read(w->verifier, size))
        return false;
    if (level == 0)
        return check_leaf(w, s);
    buf room[2] = {{0}, {0}};
    bool go_on = walk_children(w, level, s, keys, room);
    buf_release(&room[0]);
    buf_release(&room[1]);
    return go_on;
}

static bool walk(verify_tree *w, unsigned level, uint64_t offset, uint64_t size,
                 const key_range *keys)
{
    CHECK(level < TREE_HEIGHT_MAX);
    persist_error error;
    table_step step;
    persist_status status = table_read_block(w->table, w->section, level,
                                             offset, size, &step, &error);
    if (status != PERSIST_OK) {
        w->lost = w->incomplete = true;
        return report(w, keys, (persist_finding){.offset = offset}, &error);
    }
    bool go_on = walk_block(w, level, &step, size, keys);
    block_unref(step.held);
    return go_on;
}

bool verify_walk(verify_tree *w)
{
    const table_root *root = &w->table->footer.roots[w->section];
    const key_range all = {0};
    if (root->size == 0)
        return true;
    if (!walk(w, root->height - 1, root->offset, root->size, &all))
        return false;
    if (w->incomplete || w->entries == root->entries)
        return true;
    return report(w, &all,
                  (persist_finding){.what = "a section has another number of "
                                            "entries than the footer says",
                                    .offset = root->offset},
                  NULL);
}
