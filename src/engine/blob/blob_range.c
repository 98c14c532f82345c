/* SPDX-License-Identifier: MIT */
/* Reading a blob at any place.
 *
 * Nothing but its digest says whether bytes are those that were put, and that
 * takes all of them. So the first such read goes through the whole blob once,
 * and remembers, when the digest is right, what each part hashes to; from then
 * on a read takes the parts that it asks for. */
#include "base/mem.h"
#include "engine/blob/blob.h"
#include "engine/files/files.h"

static size_t size_of_part(const blob_reader *r, uint64_t index)
{
    uint64_t left = r->size - index * BLOB_PART_SIZE;
    CHECK(index * BLOB_PART_SIZE < r->size);
    return left < BLOB_PART_SIZE ? (size_t)left : BLOB_PART_SIZE;
}

static persist_status read_part(const blob_reader *r, uint64_t index,
                                uint8_t *out, persist_error *error)
{
    size_t size = size_of_part(r, index), got;
    int code = os_read_all(r->store->sys, r->file, out, size,
                           r->base + index * BLOB_PART_SIZE, &got);
    if (code != 0)
        return os_failed(error, code, "read", r->path);
    return got == size ? PERSIST_OK : blob_corrupt(r, error);
}

static uint64_t hash_part(const blob_reader *r, uint64_t index,
                          const uint8_t *bytes)
{
    return hash_xxh3_seed(slice_of(bytes, size_of_part(r, index)), index);
}

/* Reads all of it, into parts[], against its digest. */
static persist_status hash_all(const blob_reader *r, uint64_t *parts,
                               uint64_t count, persist_error *error)
{
    hash_sha256_state hash;
    uint8_t digest[HASH_SHA256_SIZE];
    persist_status status = PERSIST_OK;
    hash_sha256_begin(&hash);
    for (uint64_t i = 0; i < count && status == PERSIST_OK; i++) {
        status = read_part(r, i, r->room, error);
        if (status != PERSIST_OK)
            break;
        parts[i] = hash_part(r, i, r->room);
        hash_sha256_add(&hash, slice_of(r->room, size_of_part(r, i)));
    }
    hash_sha256_end(&hash, digest);
    if (status == PERSIST_OK && memcmp(digest, r->digest, sizeof digest) != 0)
        status = blob_corrupt(r, error);
    return status;
}

/* Comes to know the parts; they are kept only if all of them are right. */
static persist_status learn_parts(blob_reader *r, persist_error *error)
{
    uint64_t count = (r->size - 1) / BLOB_PART_SIZE + 1;
    if (r->room == NULL)
        r->room = mem_alloc(BLOB_PART_SIZE);
    uint64_t *parts = count > SIZE_MAX / sizeof *parts
                          ? NULL
                          : mem_alloc((size_t)count * sizeof *parts);
    persist_status status = r->room == NULL || parts == NULL
                                ? status_no_memory(error)
                                : hash_all(r, parts, count, error);
    if (status == PERSIST_OK)
        r->parts = parts;
    else
        mem_free(parts);
    return status;
}

/* Reads what one part has of a range, at most size bytes from an offset on. A
 * part that is wanted whole needs no room. */
static persist_status take(const blob_reader *r, uint64_t offset, uint8_t *out,
                           size_t size, size_t *taken, persist_error *error)
{
    uint64_t index = offset / BLOB_PART_SIZE;
    size_t skip = (size_t)(offset % BLOB_PART_SIZE);
    size_t whole = size_of_part(r, index);
    uint8_t *into = skip == 0 && size >= whole ? out : r->room;
    CHECK(r->parts != NULL && skip < whole);
    *taken = whole - skip < size ? whole - skip : size;
    persist_status status = read_part(r, index, into, error);
    if (status == PERSIST_OK && hash_part(r, index, into) != r->parts[index])
        status = blob_corrupt(r, error);
    if (status == PERSIST_OK && into != out)
        memcpy(out, into + skip, *taken);
    return status;
}

persist_status blob_read_at(blob_reader *r, uint64_t offset, void *data,
                            size_t size, size_t *got, persist_error *error)
{
    uint8_t *out = data;
    persist_status status = PERSIST_OK;
    size_t done = 0, taken;
    *got = 0;
    if (offset >= r->size || size == 0)
        return PERSIST_OK;
    if (r->size - offset < size)
        size = (size_t)(r->size - offset);
    if (r->parts == NULL)
        status = learn_parts(r, error);
    for (; done < size && status == PERSIST_OK; done += taken)
        status = take(r, offset + done, out + done, size - done, &taken, error);
    if (status == PERSIST_OK)
        *got = done;
    return status;
}
