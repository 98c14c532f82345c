/* SPDX-License-Identifier: MIT */
/* The disk inside the simulated operating system. */
#include "os_sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

void *sim_alloc(size_t size)
{
    void *memory = calloc(1, size == 0 ? 1 : size);
    CHECK(memory != NULL);
    return memory;
}

void *sim_more(void *items, size_t count, size_t item_size)
{
    bool full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!full)
        return items;
    size_t capacity = count < 4 ? 4 : count * 2;
    items = realloc(items, capacity * item_size);
    CHECK(items != NULL);
    return items;
}

uint64_t sim_random(uint64_t *state)
{
    /* splitmix64 (S. Vigna) */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void *sim_copy(const void *items, size_t count, size_t item_size)
{
    if (count == 0)
        return NULL;
    size_t capacity = 4;
    while (capacity < count)
        capacity *= 2;
    void *copy = sim_alloc(capacity * item_size);
    memcpy(copy, items, count * item_size);
    return copy;
}

/* ---- bytes ------------------------------------------------------------ */

sim_bytes *sim_bytes_new(void)
{
    sim_bytes *b = sim_alloc(sizeof *b);
    b->references = 1;
    return b;
}

sim_bytes *sim_bytes_ref(sim_bytes *b)
{
    b->references++;
    return b;
}

void sim_bytes_unref(sim_bytes *b)
{
    if (b == NULL || --b->references > 0)
        return;
    free(b->data);
    free(b);
}

static void reserve(sim_bytes *b, size_t size)
{
    if (size <= b->capacity)
        return;
    size_t capacity = size < 2 * b->capacity ? 2 * b->capacity : size;
    b->data = realloc(b->data, capacity);
    CHECK(b->data != NULL);
    memset(b->data + b->capacity, 0, capacity - b->capacity);
    b->capacity = capacity;
}

void sim_bytes_resize(sim_bytes **bytes, size_t size)
{
    sim_bytes *old = *bytes;
    if (old->references > 1) {
        sim_bytes *own = sim_bytes_new();
        size_t kept = old->size < size ? old->size : size;
        reserve(own, size);
        if (kept > 0)
            memcpy(own->data, old->data, kept);
        own->size = kept;
        sim_bytes_unref(old);
        *bytes = old = own;
    }
    reserve(old, size);
    if (size < old->size)
        memset(old->data + size, 0, old->size - size);
    old->size = size;
    old->hash = 0;
}

uint64_t sim_bytes_hash(sim_bytes *b)
{
    if (b->hash == 0)
        b->hash = hash_xxh3(slice_of(b->data, b->size)) | 1;
    return b->hash;
}

/* ---- inodes ----------------------------------------------------------- */

unsigned sim_inode_new(os_sim *s, bool is_dir)
{
    s->inodes = sim_more(s->inodes, s->inode_count, sizeof *s->inodes);
    sim_inode *inode = &s->inodes[s->inode_count];
    memset(inode, 0, sizeof *inode);
    inode->is_dir = is_dir;
    inode->now = sim_bytes_new();
    inode->durable = sim_bytes_ref(inode->now);
    return s->inode_count++;
}

void sim_inode_release(sim_inode *inode)
{
    sim_bytes_unref(inode->now);
    sim_bytes_unref(inode->durable);
    free(inode->versions);
    free(inode->sizes);
    free(inode->entries.items);
    free(inode->durable_entries.items);
    free(inode->changes);
    memset(inode, 0, sizeof *inode);
}

/* A file that nobody names any more lives while somebody has it open. */
uint64_t os_sim_files_used(const os_sim *s)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < s->inode_count; i++)
        used += s->inodes[i].links > 0 || s->inodes[i].opens > 0 ||
                s->inodes[i].maps > 0;
    return used;
}

int sim_may_make(const os_sim *s)
{
    bool full = s->files != UINT64_MAX && os_sim_files_used(s) >= s->files;
    return s->space == 0 || full ? -ENOSPC : 0;
}

/* ---- directories ------------------------------------------------------ */

sim_entry *sim_entry_find(const sim_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    return NULL;
}

void sim_entry_set(sim_entries *entries, const char *name, unsigned inode)
{
    sim_entry *entry = sim_entry_find(entries, name);
    if (entry == NULL) {
        entries->items =
            sim_more(entries->items, entries->count, sizeof *entries->items);
        entry = &entries->items[entries->count++];
        memcpy(entry->name, name, strlen(name) + 1);
    }
    entry->inode = inode;
}

void sim_entry_remove(sim_entries *entries, const char *name)
{
    sim_entry *entry = sim_entry_find(entries, name);
    if (entry == NULL)
        return;
    size_t after = (size_t)(entries->items + entries->count - entry - 1);
    memmove(entry, entry + 1, after * sizeof *entry);
    entries->count--;
}

void sim_change_apply(sim_entries *entries, const sim_change *change)
{
    if (change->from[0] != '\0')
        sim_entry_remove(entries, change->from);
    if (change->to[0] != '\0')
        sim_entry_set(entries, change->to, change->inode);
}

static void unlink_now(os_sim *s, sim_inode *dir, const char *name)
{
    const sim_entry *entry = sim_entry_find(&dir->entries, name);
    if (entry != NULL)
        s->inodes[entry->inode].links--;
}

void sim_disk_change(os_sim *s, unsigned dir_number, const char *from,
                     const char *to, unsigned inode)
{
    sim_inode *dir = &s->inodes[dir_number];
    CHECK(dir->is_dir && strlen(from) < SIM_NAME_MAX);
    CHECK(strlen(to) < SIM_NAME_MAX);
    dir->changes =
        sim_more(dir->changes, dir->change_count, sizeof *dir->changes);
    sim_change *change = &dir->changes[dir->change_count++];
    memset(change, 0, sizeof *change);
    memcpy(change->from, from, strlen(from));
    memcpy(change->to, to, strlen(to));
    change->inode = inode;
    unlink_now(s, dir, from);
    unlink_now(s, dir, to);
    if (to[0] != '\0')
        s->inodes[inode].links++;
    sim_change_apply(&dir->entries, change);
}

/* ---- files ------------------------------------------------------------ */

static void note_size(sim_inode *inode, uint64_t size)
{
    inode->sizes =
        sim_more(inode->sizes, inode->size_count, sizeof *inode->sizes);
    inode->sizes[inode->size_count++] = (sim_size){size, false};
}

static void note_sector(sim_inode *inode, uint64_t sector)
{
    inode->versions = sim_more(inode->versions, inode->version_count,
                               sizeof *inode->versions);
    sim_version *version = &inode->versions[inode->version_count++];
    memset(version, 0, sizeof *version);
    version->sector = sector;
    uint64_t at = sector * SIM_SECTOR;
    if (at >= inode->now->size)
        return;
    uint64_t left = inode->now->size - at;
    memcpy(version->bytes, inode->now->data + at,
           left < SIM_SECTOR ? left : SIM_SECTOR);
}

void sim_disk_write(os_sim *s, unsigned number, const void *bytes, size_t size,
                    uint64_t at)
{
    sim_inode *inode = &s->inodes[number];
    CHECK(!inode->is_dir && size > 0);
    uint64_t end = at + size;
    bool grows = end > inode->now->size;
    sim_bytes_resize(&inode->now, grows ? end : inode->now->size);
    memcpy(inode->now->data + at, bytes, size);
    if (grows)
        note_size(inode, end);
    for (uint64_t i = at / SIM_SECTOR; i <= (end - 1) / SIM_SECTOR; i++)
        note_sector(inode, i);
    s->last_write = (sim_write){number, at, size};
}

void sim_disk_resize(os_sim *s, unsigned number, uint64_t size)
{
    sim_inode *inode = &s->inodes[number];
    CHECK(!inode->is_dir);
    uint64_t old = inode->now->size;
    if (size == old)
        return;
    sim_bytes_resize(&inode->now, size);
    note_size(inode, size);
    for (uint64_t i = size / SIM_SECTOR; i * SIM_SECTOR < old; i++)
        if (size < old)
            note_sector(inode, i);
}

/* A sector that has only versions which a failed sync dropped. */
static bool only_dropped(const sim_inode *inode, uint64_t sector)
{
    for (size_t i = 0; i < inode->version_count; i++)
        if (inode->versions[i].sector == sector && !inode->versions[i].dropped)
            return false;
    return true;
}

/* Puts the durable bytes of a sector into the file as a reader sees it. */
static void copy_sector(sim_bytes *to, const sim_bytes *from, uint64_t sector)
{
    uint64_t at = sector * SIM_SECTOR;
    if (at >= to->size)
        return;
    uint64_t size = to->size - at < SIM_SECTOR ? to->size - at : SIM_SECTOR;
    memset(to->data + at, 0, size);
    if (at < from->size)
        memcpy(to->data + at, from->data + at,
               from->size - at < size ? from->size - at : size);
}

static void sync_file(sim_inode *inode)
{
    sim_bytes *durable = sim_bytes_ref(inode->now);
    bool size_dropped = inode->size_count > 0;
    for (size_t i = 0; i < inode->size_count; i++)
        size_dropped = size_dropped && inode->sizes[i].dropped;
    size_t kept = 0;
    for (size_t i = 0; i < inode->version_count; i++)
        if (inode->versions[i].dropped &&
            only_dropped(inode, inode->versions[i].sector))
            inode->versions[kept++] = inode->versions[i];
    inode->version_count = kept;
    if (kept > 0 || size_dropped)
        sim_bytes_resize(&durable, size_dropped ? inode->durable->size
                                                : inode->now->size);
    for (size_t i = 0; i < kept; i++)
        copy_sector(durable, inode->durable, inode->versions[i].sector);
    if (!size_dropped)
        inode->size_count = 0;
    sim_bytes_unref(inode->durable);
    inode->durable = durable;
}

/* Whether a name leads to a file, or may after a crash. */
static bool is_named(const os_sim *s, unsigned inode)
{
    for (unsigned d = 0; d < s->inode_count; d++) {
        const sim_inode *dir = &s->inodes[d];
        for (size_t i = 0; i < dir->durable_entries.count; i++)
            if (dir->durable_entries.items[i].inode == inode)
                return true;
        for (size_t i = 0; i < dir->change_count; i++)
            if (dir->changes[i].to[0] != '\0' && dir->changes[i].inode == inode)
                return true;
    }
    return s->inodes[inode].links > 0;
}

/* What nobody can ever read again takes no memory. */
static void forget(os_sim *s, unsigned number)
{
    sim_inode *inode = &s->inodes[number];
    if (inode->is_dir || inode->opens > 0 || inode->maps > 0 ||
        is_named(s, number))
        return;
    sim_inode_release(inode);
    inode->now = sim_bytes_new();
    inode->durable = sim_bytes_ref(inode->now);
}

static void sync_dir(os_sim *s, unsigned number)
{
    sim_inode *dir = &s->inodes[number];
    size_t count = dir->change_count, n = 0;
    unsigned *lost = sim_alloc(2 * count * sizeof *lost);
    for (size_t i = 0; i < count; i++) {
        const sim_change *c = &dir->changes[i];
        const sim_entry *from = sim_entry_find(&dir->durable_entries, c->from);
        if (from != NULL)
            lost[n++] = from->inode;
        const sim_entry *to = sim_entry_find(&dir->durable_entries, c->to);
        if (to != NULL)
            lost[n++] = to->inode;
        sim_change_apply(&dir->durable_entries, c);
    }
    dir->change_count = 0;
    for (size_t i = 0; i < n; i++)
        forget(s, lost[i]);
    free(lost);
}

void sim_disk_sync(os_sim *s, unsigned number)
{
    sim_inode *inode = &s->inodes[number];
    if (inode->is_dir) {
        sync_dir(s, number);
        inode->fresh = false;
    } else {
        sync_file(inode);
    }
    if (s->last_write.inode == number)
        s->last_write.size = 0;
}

void sim_disk_drop(os_sim *s, unsigned number, bool evict)
{
    sim_inode *inode = &s->inodes[number];
    for (size_t i = 0; i < inode->size_count; i++)
        inode->sizes[i].dropped = true;
    for (size_t i = 0; i < inode->version_count; i++) {
        inode->versions[i].dropped = true;
        if (!evict)
            continue;
        sim_bytes_resize(&inode->now, inode->now->size);
        copy_sector(inode->now, inode->durable, inode->versions[i].sector);
    }
}
