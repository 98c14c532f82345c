/* SPDX-License-Identifier: MIT */
/* Files that earlier openings left behind: noted at opening, before numbers
 * are given out; dealt with one by one, as background work, once the manifest
 * says that the store is in use. Then neither manifest knows them. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "engine/files/files.h"
#include "engine/upkeep/upkeep.h"

/* ---- noting ----------------------------------------------------------- */

static bool note(number_list *l, uint64_t number)
{
    if (!mem_grow(&l->numbers, l->count, 1, &l->capacity, sizeof *l->numbers))
        return false;
    l->numbers[l->count++] = number;
    return true;
}

void leftovers_release(leftovers *l)
{
    mem_free(l->segments.numbers);
    mem_free(l->tables.numbers);
    mem_free(l->copied.numbers);
    *l = (leftovers){0};
}

/* A listing of the folder of tables. */
typedef struct listing {
    engine *e;
    const manifest *listed;
} listing;

static int note_table(void *context, const char *name)
{
    listing *l = context;
    uint64_t number;
    if (!table_number(name, &number) ||
        !numbered_is_near(number, l->listed->next_table))
        return 0;
    if (number >= l->e->next_table)
        l->e->next_table = number + 1;
    for (size_t i = 0; i < l->listed->table_count; i++)
        if (l->listed->tables[i].number == number)
            return 0;
    return note(&l->e->leftovers.tables, number) ? 0 : -ENOMEM;
}

persist_status leftovers_find_tables(engine *e, const manifest *listed,
                                     persist_error *error)
{
    listing l = {e, listed};
    CHECK(e->leftovers.tables.count == 0);
    e->next_table = listed->next_table;
    int code = e->sys->dir_list(e->sys, e->at.tables.dir, note_table, &l);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "list", e->at.tables.dir->path);
}

persist_status leftovers_find_segments(engine *e, const manifest *newest,
                                       const recovery *r, persist_error *error)
{
    for (size_t i = 0; i < r->number_count; i++) {
        uint64_t number = r->numbers[i];
        bool listed = manifest_lists(newest, number);
        if (number < newest->next_segment && !listed &&
            !note(&e->leftovers.segments, number))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

persist_status leftovers_note_copied(engine *e, const manifest *old,
                                     const recovery *r, persist_error *error)
{
    leftovers *l = &e->leftovers;
    CHECK(l->copied.count == 0 && !e->at.read_only);
    l->copied_with = e->manifest.generation;
    for (size_t i = 0; i < r->number_count; i++) {
        uint64_t number = r->numbers[i];
        bool was = number >= old->next_segment || manifest_lists(old, number);
        if (was && number < r->first_copy &&
            !manifest_lists(&e->manifest, number) && !note(&l->copied, number))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

/* ---- dealing with them ------------------------------------------------ */

/* What is not understood is left alone: only a file with a header of this
 * store, or with none yet, goes. It is not used again: a crash in the middle of
 * a rename may have left it another name, of a segment that is needed. */
int leftovers_delete_segment(const segment_place *place, uint64_t number)
{
    static const uint8_t none[SEGMENT_HEADER_SIZE];
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    char path[PERSIST_PATH_MAX];
    segment_header header;
    size_t got;
    int code = segment_path(place, number, path);
    if (code == 0)
        code = os_read_start(place->sys, place->dir, os_name(path), bytes,
                             sizeof bytes, &got);
    if (code != 0)
        return code;
    bool ours = segment_header_decode(slice_of(bytes, got), &header) &&
                header.identity == place->identity;
    if (!ours && memcmp(bytes, none, sizeof bytes) != 0)
        return 0;
    return place->sys->unlink(place->sys, place->dir, os_name(path));
}

void leftovers_make_room(engine *e, const manifest *newest,
                         const manifest *previous, const recovery *r)
{
    CHECK(!e->at.read_only && !newest->clean);
    for (size_t i = 0; i < r->number_count; i++) {
        uint64_t number = r->numbers[i];
        if (number > r->last_number && !manifest_lists(newest, number) &&
            !manifest_lists(previous, number))
            (void)leftovers_delete_segment(&r->place, number);
    }
    const number_list *l = &e->leftovers.tables;
    for (size_t i = 0; i < l->count; i++)
        if (!manifest_lists_table(previous, l->numbers[i]) &&
            table_is_ours(&e->table_place, l->numbers[i]))
            upkeep_delete_table(e, l->numbers[i]);
}

void leftovers_delete_segments(engine *e, const segment_place *place,
                               const manifest *previous)
{
    number_list *l = &e->leftovers.segments;
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (manifest_lists(previous, l->numbers[i]))
            l->numbers[kept++] = l->numbers[i];
        else
            (void)leftovers_delete_segment(place, l->numbers[i]);
    }
    l->count = kept;
}

bool leftovers_step(engine *e)
{
    leftovers *l = &e->leftovers;
    CHECK(atomic_load(&e->in_use));
    if (l->segments.count > 0)
        (void)leftovers_delete_segment(
            &e->wal.place, l->segments.numbers[--l->segments.count]);
    else if (l->copied.count > 0 && e->manifest.generation > l->copied_with)
        (void)leftovers_delete_segment(&e->wal.place,
                                       l->copied.numbers[--l->copied.count]);
    else if (l->tables.count == 0)
        return false;
    else if (table_is_ours(&e->table_place,
                           l->tables.numbers[--l->tables.count]))
        upkeep_delete_table(e, l->tables.numbers[l->tables.count]);
    return true;
}
