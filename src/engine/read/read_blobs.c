/* SPDX-License-Identifier: MIT */
/* Blobs in the byte order of their cids.
 *
 * Layers have them in the order of digests, which is another one: a cid is its
 * digest in digits of five bits, and those that are written 2 to 7 are the
 * highest, but come before a to z as text. All cids that begin alike are one
 * run of digests all the same. So a listing goes from part to part, which are
 * cids with one beginning, in their order as text; it reads the digests of a
 * part in theirs, and sorts them. The more blobs there are, the longer are the
 * beginnings; where a part holds too many for once, as that of digests which
 * were looked for, longer ones are taken for as long as it lasts. */
#include <stdlib.h>

#include "base/mem.h"
#include "engine/read/read.h"

/* All cids have the first characters in common; the next one has three bits of
 * the digest, and the last one, too. */
enum { COMMON = 7, PART_MAX = CID_SIZE - 1 };
static const char common[] = "bafkrei";
static const char first_highest = 'h', last_highest = '4';

static char lowest(unsigned at)
{
    CHECK(at >= COMMON && at < CID_SIZE);
    return at == COMMON ? 'a' : '2';
}

/* Moves to the first part of this size behind the one in hand. */
static void move_on(blob_lister *l)
{
    unsigned at = l->size;
    while (at > COMMON) {
        char *c = &l->part[--at];
        if (*c != (at == COMMON ? first_highest : 'z')) {
            *c = *c == '7' ? 'a' : (char)(*c + 1);
            /* a longer one is left where another one begins */
            l->size = at + 1 > l->size_min ? at + 1 : l->size_min;
            while (++at < CID_SIZE)
                l->part[at] = lowest(at);
            return;
        }
    }
    l->ended = true;
}

/* The digest that is lowest, or highest, among those of a part. */
static void bound(const blob_lister *l, bool high,
                  uint8_t out[HASH_SHA256_SIZE])
{
    char text[CID_SIZE];
    memset(text, high ? '7' : 'a', sizeof text);
    if (high) {
        text[COMMON] = first_highest;
        text[CID_SIZE - 1] = last_highest;
    }
    memcpy(text, l->part, l->size);
    bool valid = cid_decode(slice_of(text, sizeof text), out);
    CHECK(valid);
}

static int compare(const void *a, const void *b)
{
    const persist_blob *x = a, *y = b;
    return memcmp(x->cid, y->cid, CID_SIZE);
}

/* Takes the blobs of the open part; *all: there are no more than fit. */
static persist_status take(engine_cursor *c, bool *all, persist_error *error)
{
    blob_lister *l = &c->u.blobs;
    slice name, value;
    blob_entry entry;
    persist_status status = PERSIST_OK;
    for (*all = true;;) {
        status = name_reader_next(c, &name, &value, error);
        *all = status != PERSIST_OK || l->count < LIST_PART_MAX;
        if (status != PERSIST_OK || !*all)
            break;
        status = name_reader_blob(c, &entry, error);
        if (status != PERSIST_OK)
            break;
        persist_blob *b = &l->found[l->count];
        *b = (persist_blob){.size = entry.size, .time = entry.time};
        cid_encode(entry.digest, b->cid);
        l->count += memcmp(b->cid, l->after, CID_SIZE) > 0;
    }
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status read_part(engine_cursor *c, bool *all,
                                persist_error *error)
{
    blob_lister *l = &c->u.blobs;
    uint8_t low[HASH_SHA256_SIZE], high[HASH_SHA256_SIZE];
    bound(l, false, low);
    bound(l, true, high);
    slice from = slice_of(low, sizeof low), to = slice_of(high, sizeof high);
    const persist_range range = {PERSIST_RANGE, .from = &from, .to = &to};
    l->at = l->count = 0;
    persist_status status = name_reader_open(c, &range, error);
    if (status == PERSIST_OK)
        status = take(c, all, error);
    name_reader_close(c);
    l->names = (name_reader){0};
    return status;
}

/* Reads parts until one has a blob, or none is left. */
static persist_status fill(engine_cursor *c, persist_error *error)
{
    blob_lister *l = &c->u.blobs;
    bool all;
    l->at = l->count = 0;
    while (l->count == 0 && !l->ended) {
        persist_status status = read_part(c, &all, error);
        if (status != PERSIST_OK)
            return status;
        if (all) {
            move_on(l);
            continue;
        }
        CHECK(l->size < PART_MAX);
        l->size++; /* what stands there is where the part begins */
        l->count = 0;
    }
    if (l->count > 0)
        qsort(l->found, l->count, sizeof *l->found, compare);
    return PERSIST_OK;
}

/* So long that a part has a few of them, if no digest was looked for. */
static unsigned size_for(const engine_cursor *c)
{
    const layers *v = c->snapshot.layers;
    uint64_t count = v->frozen == NULL ? 0 : v->frozen->blob_map.count;
    unsigned size = COMMON;
    readers_look(&c->engine->readers, c->snapshot.place);
    if (c->snapshot.with_active)
        count += v->active->blob_map.count;
    readers_look_end(&c->engine->readers, c->snapshot.place);
    for (size_t i = 0; i < v->table_count; i++)
        count += v->tables[i]->footer.roots[TABLE_BLOBS].entries;
    for (; count > LIST_PART && size < PART_MAX; size++)
        count /= size == COMMON ? 8 : 32;
    return size;
}

persist_status blob_lister_open(engine_cursor *c, slice after,
                                persist_error *error)
{
    blob_lister *l = &c->u.blobs;
    *l = (blob_lister){0};
    CHECK(after.size == 0 || after.size == CID_SIZE);
    memcpy(l->part, common, COMMON);
    for (unsigned at = COMMON; at < CID_SIZE; at++)
        l->part[at] = lowest(at);
    if (after.size > 0) {
        memcpy(l->part, after.data, CID_SIZE);
        memcpy(l->after, after.data, CID_SIZE);
    }
    l->size = l->size_min = size_for(c);
    l->found = mem_alloc(LIST_PART_MAX * sizeof *l->found);
    return l->found != NULL ? PERSIST_OK : status_no_memory(error);
}

persist_status blob_lister_next(engine_cursor *c, const persist_blob **out,
                                persist_error *error)
{
    blob_lister *l = &c->u.blobs;
    persist_status status = PERSIST_OK;
    CHECK(l->at <= l->count && l->count <= LIST_PART_MAX);
    if (l->at == l->count)
        status = fill(c, error);
    if (status != PERSIST_OK || l->count == 0)
        return status == PERSIST_OK ? PERSIST_NONE : status;
    *out = &l->found[l->at++];
    return PERSIST_OK;
}

void blob_lister_close(engine_cursor *c)
{
    CHECK(c->kind == ENGINE_BLOBS);
    mem_free(c->u.blobs.found);
}
