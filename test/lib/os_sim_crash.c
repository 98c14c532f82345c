/* SPDX-License-Identifier: MIT */
/* The simulated operating system: what a crash leaves.
 *
 * Units are numbered inode by inode: changes of a directory in their order,
 * then the directory itself if it is fresh; the size of a file, then its
 * unsynced sectors by their number. A unit
 * has versions: 0 is what is durable, the highest what was written last. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "os_sim_disk.h"

enum { NOT_COPIED = 0 };

typedef struct image {
    const os_sim *from;
    os_sim *to;
    const sim_plan *plan;
    uint64_t random;
    uint64_t *first_unit; /* of each inode */
    unsigned *copies;     /* the inode's number in the image; 0: none */
} image;

/* ---- units ------------------------------------------------------------ */

static int by_sector(const void *a, const void *b)
{
    const sim_version *const *x = a, *const *y = b;
    if ((*x)->sector != (*y)->sector)
        return (*x)->sector < (*y)->sector ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

/* The unsynced versions of a file, by sector and then by age. */
static const sim_version **sorted_versions(const sim_inode *inode)
{
    const sim_version **sorted =
        sim_alloc(inode->version_count * sizeof *sorted);
    for (size_t i = 0; i < inode->version_count; i++)
        sorted[i] = &inode->versions[i];
    qsort(sorted, inode->version_count, sizeof *sorted, by_sector);
    return sorted;
}

/* Returns the end of the run of one sector's versions. */
static size_t run_end(const sim_version **sorted, size_t count, size_t i)
{
    size_t end = i + 1;
    while (end < count && sorted[end]->sector == sorted[i]->sector)
        end++;
    return end;
}

static size_t units_of(const sim_inode *inode)
{
    if (inode->is_dir)
        return inode->change_count + inode->fresh;
    size_t units = inode->size_count > 0;
    if (inode->version_count == 0)
        return units;
    const sim_version **sorted = sorted_versions(inode);
    for (size_t i = 0; i < inode->version_count; units++)
        i = run_end(sorted, inode->version_count, i);
    free(sorted);
    return units;
}

size_t os_sim_units(const os_sim *s)
{
    size_t units = 0;
    for (unsigned i = 0; i < s->inode_count; i++)
        units += units_of(&s->inodes[i]);
    return units;
}

size_t os_sim_last_write(const os_sim *s)
{
    return s->last_write.size;
}

/* Picks the version of a unit that survives. */
static size_t pick(image *im, uint64_t unit, size_t versions, bool is_dir)
{
    const sim_plan *plan = im->plan;
    switch (plan->keep) {
    case SIM_KEEP_NONE:
        return 0;
    case SIM_KEEP_ALL:
    case SIM_KEEP_TORN:
        return versions;
    case SIM_KEEP_FILES:
        return is_dir ? 0 : versions;
    case SIM_KEEP_NAMES:
        return is_dir ? versions : 0;
    case SIM_KEEP_ONE:
        return unit == plan->unit ? versions : 0;
    case SIM_KEEP_BUT:
        return unit == plan->unit ? 0 : versions;
    case SIM_KEEP_BITS:
        return unit < 64 && (plan->unit >> unit & 1) ? versions : 0;
    case SIM_KEEP_RANDOM:
        return sim_random(&im->random) % (versions + 1);
    }
    CHECK(false);
    return 0;
}

/* ---- files ------------------------------------------------------------ */

/* Fills a sector whose bytes did not survive. */
static void fill_sector(image *im, unsigned number, uint64_t at, uint8_t *out)
{
    memset(out, 0, SIM_SECTOR);
    if (im->plan->fill == SIM_FILL_GARBAGE)
        for (size_t i = 0; i < SIM_SECTOR; i++)
            out[i] = (uint8_t)sim_random(&im->random);
    if (im->plan->fill != SIM_FILL_OLD)
        return;
    unsigned start = (unsigned)sim_random(&im->random);
    for (unsigned i = 0; i < im->from->inode_count; i++) {
        unsigned other = (start + i) % im->from->inode_count;
        const sim_bytes *bytes = im->from->inodes[other].now;
        if (other == number || bytes->size <= at)
            continue;
        size_t left = bytes->size - at;
        memcpy(out, bytes->data + at, left < SIM_SECTOR ? left : SIM_SECTOR);
        return;
    }
}

/* The bytes of a sector in its version k; 0 is the durable one. */
static void sector_bytes(image *im, unsigned number,
                         const sim_version *const *run, size_t k,
                         uint64_t sector, uint8_t out[SIM_SECTOR])
{
    uint64_t at = sector * SIM_SECTOR;
    const sim_bytes *durable = im->from->inodes[number].durable;
    if (k > 0) {
        memcpy(out, run[k - 1]->bytes, SIM_SECTOR);
    } else if (at < durable->size) {
        uint64_t left = durable->size - at;
        memset(out, 0, SIM_SECTOR);
        memcpy(out, durable->data + at, left < SIM_SECTOR ? left : SIM_SECTOR);
    } else {
        fill_sector(im, number, at, out);
    }
}

/* Takes back what the last write did to a sector past its first bytes. */
static void tear(image *im, unsigned number, const sim_version *const *run,
                 size_t k, uint64_t sector, uint8_t out[SIM_SECTOR])
{
    const sim_write *last = &im->from->last_write;
    uint64_t at = sector * SIM_SECTOR;
    uint64_t cut = last->at + im->plan->unit;
    bool touched = last->size > 0 && last->inode == number &&
                   at < last->at + last->size && at + SIM_SECTOR > last->at;
    if (!touched || k == 0 || cut >= at + SIM_SECTOR)
        return;
    uint8_t before[SIM_SECTOR];
    sector_bytes(im, number, run, k - 1, sector, before);
    size_t kept = cut > at ? (size_t)(cut - at) : 0;
    memcpy(out + kept, before + kept, SIM_SECTOR - kept);
}

static void put_sector(sim_bytes *to, uint64_t sector,
                       const uint8_t bytes[SIM_SECTOR])
{
    uint64_t at = sector * SIM_SECTOR;
    if (at >= to->size)
        return;
    uint64_t left = to->size - at;
    memcpy(to->data + at, bytes, left < SIM_SECTOR ? left : SIM_SECTOR);
}

/* Fills the sectors of a grown file that were never written. */
static void fill_growth(image *im, unsigned number, sim_bytes *to)
{
    const sim_bytes *durable = im->from->inodes[number].durable;
    uint64_t first = (durable->size + SIM_SECTOR - 1) / SIM_SECTOR;
    uint8_t bytes[SIM_SECTOR];
    if (im->plan->fill == SIM_FILL_ZEROS)
        return;
    for (uint64_t i = first; i * SIM_SECTOR < to->size; i++) {
        fill_sector(im, number, i * SIM_SECTOR, bytes);
        put_sector(to, i, bytes);
    }
}

static void copy_file(image *im, unsigned number, sim_inode *to)
{
    const sim_inode *from = &im->from->inodes[number];
    uint64_t unit = im->first_unit[number];
    sim_bytes_unref(to->now);
    to->now = sim_bytes_ref(from->durable);
    if (from->size_count > 0) {
        size_t k = pick(im, unit++, from->size_count, false);
        if (k > 0) {
            sim_bytes_resize(&to->now, from->sizes[k - 1].size);
            fill_growth(im, number, to->now);
        }
    }
    if (from->version_count > 0)
        sim_bytes_resize(&to->now, to->now->size);
    const sim_version **sorted = sorted_versions(from);
    for (size_t i = 0, end; i < from->version_count; i = end, unit++) {
        end = run_end(sorted, from->version_count, i);
        uint64_t sector = sorted[i]->sector;
        size_t k = pick(im, unit, end - i, false);
        uint8_t bytes[SIM_SECTOR];
        sector_bytes(im, number, sorted + i, k, sector, bytes);
        if (im->plan->keep == SIM_KEEP_TORN)
            tear(im, number, sorted + i, k, sector, bytes);
        put_sector(to->now, sector, bytes);
    }
    free(sorted);
    sim_bytes_unref(to->durable);
    to->durable = sim_bytes_ref(to->now);
}

/* ---- directories ------------------------------------------------------ */

static unsigned copy_inode(image *im, unsigned number);

/* A file system without a journal may keep the name of a new folder and lose
 * the folder: then a repair takes the name too. */
static bool is_lost(image *im, unsigned number)
{
    const sim_inode *inode = &im->from->inodes[number];
    return inode->fresh &&
           pick(im, im->first_unit[number] + inode->change_count, 1, true) == 0;
}

/* Without a journal a rename may leave both names, or neither. */
enum { NOT_RENAMED, BOTH_NAMES, NEITHER_NAME, RENAMED };

static void apply_change(image *im, uint64_t unit, const sim_change *change,
                         sim_entries *kept)
{
    bool renames = change->from[0] != '\0' && change->to[0] != '\0';
    sim_change part = *change;
    size_t version = pick(im, unit, renames ? RENAMED : 1, true);
    if (version == NOT_RENAMED)
        return;
    if (renames && version == BOTH_NAMES)
        part.from[0] = '\0';
    sim_change_apply(kept, &part);
    if (renames && version == NEITHER_NAME)
        sim_entry_remove(kept, change->to);
}

static void copy_dir(image *im, unsigned number, unsigned copy)
{
    const sim_inode *from = &im->from->inodes[number];
    sim_entries kept = {
        sim_copy(from->durable_entries.items, from->durable_entries.count,
                 sizeof(sim_entry)),
        from->durable_entries.count,
    };
    for (size_t i = 0; i < from->change_count; i++)
        apply_change(im, im->first_unit[number] + i, &from->changes[i], &kept);
    size_t found = 0;
    for (size_t i = 0; i < kept.count; i++)
        if (!is_lost(im, kept.items[i].inode))
            kept.items[found++] = kept.items[i];
    kept.count = found;
    for (size_t i = 0; i < kept.count; i++) {
        unsigned inode = copy_inode(im, kept.items[i].inode);
        kept.items[i].inode = inode;
        im->to->inodes[inode].links++;
    }
    sim_inode *to = &im->to->inodes[copy];
    to->entries = kept;
    to->durable_entries.items =
        sim_copy(kept.items, kept.count, sizeof(sim_entry));
    to->durable_entries.count = kept.count;
}

static unsigned copy_inode(image *im, unsigned number)
{
    if (im->copies[number] != NOT_COPIED)
        return im->copies[number];
    const sim_inode *from = &im->from->inodes[number];
    unsigned copy =
        number == SIM_ROOT ? SIM_ROOT : sim_inode_new(im->to, from->is_dir);
    im->copies[number] = copy;
    if (from->is_dir)
        copy_dir(im, number, copy);
    else
        copy_file(im, number, &im->to->inodes[copy]);
    return copy;
}

os_sim *os_sim_crash(const os_sim *s, const sim_plan *plan)
{
    uint64_t seed = s->random ^ plan->seed;
    image im = {
        .from = s,
        .to = os_sim_new(sim_random(&seed)),
        .plan = plan,
        .random = plan->seed,
        .first_unit = sim_alloc(s->inode_count * sizeof *im.first_unit),
        .copies = sim_alloc(s->inode_count * sizeof *im.copies),
    };
    uint64_t units = 0;
    for (unsigned i = 0; i < s->inode_count; i++) {
        im.first_unit[i] = units;
        units += units_of(&s->inodes[i]);
    }
    copy_inode(&im, SIM_ROOT);
    im.to->clock_us = s->clock_us;
    im.to->space = s->space;
    im.to->files = s->files;
    im.to->block = s->block;
    im.to->refuse_maps = s->refuse_maps;
    free(im.first_unit);
    free(im.copies);
    return im.to;
}

/* ---- a killed process ------------------------------------------------- */

static void kill_inode(const sim_inode *from, sim_inode *to)
{
    to->links = from->links;
    to->fresh = from->fresh;
    sim_bytes_unref(to->now);
    sim_bytes_unref(to->durable);
    to->now = sim_bytes_ref(from->now);
    to->durable = sim_bytes_ref(from->durable);
    to->versions =
        sim_copy(from->versions, from->version_count, sizeof *to->versions);
    to->version_count = from->version_count;
    to->sizes = sim_copy(from->sizes, from->size_count, sizeof *to->sizes);
    to->size_count = from->size_count;
    to->entries.items =
        sim_copy(from->entries.items, from->entries.count, sizeof(sim_entry));
    to->entries.count = from->entries.count;
    to->durable_entries.items =
        sim_copy(from->durable_entries.items, from->durable_entries.count,
                 sizeof(sim_entry));
    to->durable_entries.count = from->durable_entries.count;
    to->changes =
        sim_copy(from->changes, from->change_count, sizeof *to->changes);
    to->change_count = from->change_count;
}

os_sim *os_sim_kill(const os_sim *s)
{
    os_sim *to = os_sim_new(s->random);
    for (unsigned i = 0; i < s->inode_count; i++) {
        unsigned copy =
            i == SIM_ROOT ? i : sim_inode_new(to, s->inodes[i].is_dir);
        CHECK(copy == i);
        kill_inode(&s->inodes[i], &to->inodes[i]);
    }
    to->last_write = s->last_write;
    to->clock_us = s->clock_us;
    to->space = s->space;
    to->files = s->files;
    to->block = s->block;
    to->refuse_maps = s->refuse_maps;
    return to;
}

static void damage_bytes(sim_bytes *bytes, uint64_t seed, bool sectors)
{
    uint64_t at = sim_random(&seed) % bytes->size, how = sim_random(&seed);
    if (how % 2 == 0 || !sectors) {
        bytes->data[at] ^= (uint8_t)(1u << how / 2 % 8);
        return;
    }
    uint64_t end = at / SIM_SECTOR * SIM_SECTOR + SIM_SECTOR;
    for (at = end - SIM_SECTOR; at < end && at < bytes->size; at++)
        bytes->data[at] = how % 4 == 1 ? 0 : (uint8_t)sim_random(&seed);
}

void os_sim_rot(os_sim *s, uint64_t seed, bool sectors)
{
    unsigned number = (unsigned)(sim_random(&seed) % s->inode_count);
    for (unsigned i = 0; i < s->inode_count; i++) {
        sim_inode *inode = &s->inodes[(number + i) % s->inode_count];
        if (inode->is_dir || inode->links == 0 || inode->now->size == 0)
            continue;
        sim_bytes_resize(&inode->now, inode->now->size);
        damage_bytes(inode->now, seed, sectors);
        sim_bytes_unref(inode->durable);
        inode->durable = sim_bytes_ref(inode->now);
        return;
    }
}

/* ---- the hash --------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const sim_entry *)a)->name, ((const sim_entry *)b)->name);
}

static uint64_t hash_inode(const os_sim *s, unsigned number)
{
    const sim_inode *inode = &s->inodes[number];
    if (!inode->is_dir)
        return sim_bytes_hash(inode->durable);
    size_t count = inode->durable_entries.count;
    sim_entry *sorted =
        sim_copy(inode->durable_entries.items, count, sizeof *sorted);
    if (count > 0)
        qsort(sorted, count, sizeof *sorted, by_name);
    uint64_t hash = 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t parts[3] = {
            hash, hash_inode(s, sorted[i].inode),
            hash_xxh3(slice_of(sorted[i].name, strlen(sorted[i].name)))};
        hash = hash_xxh3(slice_of(parts, sizeof parts));
    }
    free(sorted);
    return hash;
}

uint64_t os_sim_hash(const os_sim *s)
{
    return hash_inode(s, SIM_ROOT);
}
