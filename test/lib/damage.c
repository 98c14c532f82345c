/* SPDX-License-Identifier: MIT */
/* Doing damage: all that can be done to a shape, and one of it done. */
#include "damage.h"
#include "engine/files/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { SECTOR = SIM_SECTOR };

const char *damage_name(damage_kind kind)
{
    static const char *const names[] = {
        "flips",          "cuts",          "sectors zeroed", "sectors swapped",
        "sectors copied", "names deleted", "files older",    "folders older"};
    CHECK((size_t)kind < sizeof names / sizeof *names);
    return names[kind];
}

/* ---- all there is ----------------------------------------------------- */

static void add(target *t, damage d)
{
    if (t->damage_count == t->damage_capacity) {
        t->damage_capacity = t->damage_capacity * 2 + 1024;
        t->damages =
            mem_realloc(t->damages, t->damage_capacity * sizeof *t->damages);
        CHECK(t->damages != NULL);
    }
    t->damages[t->damage_count++] = d;
}

/* Nothing but zeros, and most of what a small store takes. */
static bool is_reserve(const sim_file *f)
{
    return strcmp(f->path, "store/" LAYOUT_RESERVE) == 0;
}

static void add_sectors(target *t, damage d)
{
    const sim_file *f = &t->files[d.file];
    for (uint32_t at = 0; at < f->bytes.size; at += SECTOR) {
        d.at = at;
        d.kind = DAMAGE_ZERO;
        add(t, d);
        for (size_t i = 0; i < t->file_count; i++) {
            d.other = (uint16_t)i;
            if (is_reserve(&t->files[i]))
                continue;
            for (d.from = 0; d.from + SECTOR <= t->files[i].bytes.size;
                 d.from += SECTOR) {
                /* into other files: to the same place */
                if (i != d.file ? d.from != at : d.from == at)
                    continue;
                d.kind = DAMAGE_COPY;
                add(t, d);
                d.kind = DAMAGE_SWAP;
                if (i > d.file || (i == d.file && d.from > at))
                    add(t, d);
            }
        }
        d.other = d.file;
        d.from = 0;
    }
}

static void add_older(target *t, damage d)
{
    const sim_file *f = &t->files[d.file];
    for (size_t i = 0; i < t->shape->older_count; i++) {
        const sim_file *old =
            sim_files_find(t->older[i], t->older_counts[i], f->path);
        d.from = (uint32_t)i;
        d.kind = f->is_dir ? DAMAGE_OLDER_GROUP : DAMAGE_OLDER;
        if (old != NULL && (f->is_dir || !slice_equal(old->bytes, f->bytes)))
            add(t, d);
    }
}

static bool is_named(const sim_file *f, const char *path)
{
    return strcmp(f->path, path) == 0;
}

static void add_all(target *t, uint16_t number)
{
    CHECK(t->file_count <= UINT16_MAX);
    for (size_t i = 0; i < t->file_count; i++) {
        damage d = {.shape = number, .file = (uint16_t)i, .other = (uint16_t)i};
        const sim_file *f = &t->files[i];
        if (is_named(f, "store")) {
            add_older(t, d); /* of the manifests */
            continue;
        }
        d.kind = DAMAGE_DELETE;
        add(t, d);
        if (is_named(f, "store/lock"))
            continue;
        add_older(t, d);
        if (f->is_dir)
            continue;
        uint32_t step = is_reserve(f) ? SECTOR : 1;
        d.kind = DAMAGE_FLIP;
        for (d.at = 0; d.at < f->bytes.size; d.at += step)
            add(t, d);
        d.kind = DAMAGE_CUT;
        for (d.at = 0; d.at < f->bytes.size; d.at += step)
            add(t, d);
        if (!is_reserve(f))
            add_sectors(t, d);
    }
}

/* A record of the commit; only the newest use of a file has the latest one.
 * Behind it there may be the proof, which has no body. */
static bool holds_commit(slice bytes, uint64_t lsn, uint32_t *proof)
{
    static const uint8_t none[4];
    const uint8_t *at = bytes.data;
    bool holds = false;
    for (size_t i = SECTOR; i + 48 <= bytes.size; i += 8) {
        uint64_t found = 0;
        for (int k = 0; k < 8; k++)
            found |= (uint64_t)at[i + 16 + (size_t)k] << (8 * k);
        if (memcmp(at + i + 8, "PREC", 4) != 0 || shape_commit(found) != lsn)
            continue;
        holds = true;
        if (memcmp(at + i + 12, none, sizeof none) == 0)
            *proof = (uint32_t)i;
    }
    return holds;
}

void target_make(target *t, uint16_t number)
{
    *t = (target){.shape = shape_new(number), .proof = UINT32_MAX};
    shape *s = t->shape;
    t->file_count = t->last_log = sim_files(s->sim, t->files);
    for (size_t i = 0; i < t->file_count; i++) {
        const sim_file *f = &t->files[i];
        t->named[i] = sim_alloc((f->bytes.size + 1) * sizeof **t->named);
        if (strncmp(f->path, "store/wal/", 10) == 0 &&
            holds_commit(f->bytes, s->latest, &t->proof))
            t->last_log = i;
    }
    CHECK(!s->quiet || s->closed || t->proof != UINT32_MAX);
    for (size_t i = 0; i < s->older_count; i++)
        t->older_counts[i] = sim_files(s->older[i], t->older[i]);
    add_all(t, number);
}

void target_release(target *t)
{
    for (size_t i = 0; i < t->file_count; i++)
        free(t->named[i]);
    mem_free(t->damages);
    shape_free(t->shape);
}
