/* SPDX-License-Identifier: MIT */
/* No engine: what the machine does at best with the same bytes. Writes go
 * into a small file whose blocks are there, round and round; reads walk
 * through memory. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_SIZE = 32 << 20, DIGESTS_MAX = 4096, BUFFER_SIZE = 8 << 20 };

/* A file filled in big pieces has big folios in the page cache, and syncing a
 * small write among them takes longer. */
enum { FILL_SIZE = 4096 };

/* A stream in memory: seq, size and data of each event. */
typedef struct run {
    char *bytes;
    size_t size;
} run;

typedef struct raw {
    int fd;
    off_t at;
    char *buffer;
    size_t used;
    run *streams; /* set.streams of them */
    unsigned char digests[DIGESTS_MAX][32];
    size_t digest_count;
} raw;

static void *raw_open(const char *dir)
{
    char path[PATH_SIZE];
    raw *r = must_alloc(sizeof *r);
    r->buffer = must_alloc(BUFFER_SIZE);
    r->streams = must_alloc(set.streams * sizeof *r->streams);
    make_dir(dir);
    snprintf(path, sizeof path, "%s/raw", dir);
    r->fd = open(path, O_RDWR | O_CREAT, 0666);
    must(r->fd >= 0, path, NULL);
    for (off_t at = 0; at < FILE_SIZE; at += FILL_SIZE)
        must(pwrite(r->fd, r->buffer, FILL_SIZE, at) == FILL_SIZE, path, NULL);
    must(fsync(r->fd) == 0, path, NULL);
    return r;
}

static void raw_close(void *context)
{
    raw *r = context;
    for (size_t i = 0; i < set.streams; i++)
        free(r->streams[i].bytes);
    close(r->fd);
    free(r->streams);
    free(r->buffer);
    free(r);
}

static void *raw_session(void *db)
{
    return db;
}

static void raw_session_end(void *session)
{
    (void)session;
}

static void gather(raw *r, slice s)
{
    must(r->used + s.size <= BUFFER_SIZE, "raw", "a batch is too big");
    memcpy(r->buffer + r->used, s.data, s.size);
    r->used += s.size;
}

static void write_out(raw *r)
{
    if (r->at + (off_t)r->used > FILE_SIZE)
        r->at = 0;
    must(pwrite(r->fd, r->buffer, r->used, r->at) == (ssize_t)r->used, "pwrite",
         NULL);
    must(fdatasync(r->fd) == 0, "fdatasync", NULL);
    r->at += (off_t)r->used;
    r->used = 0;
}

static void raw_append(void *context, const batch *b, bool durable)
{
    (void)durable;
    for (size_t i = 0; i < b->event_count; i++) {
        gather(context, (slice){&b->events[i].seq, 8});
        gather(context, b->events[i].stream);
        gather(context, b->events[i].data);
    }
    write_out(context);
}

static void raw_put(void *context, const pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gather(context, pairs[i].key);
        gather(context, pairs[i].value);
    }
    write_out(context);
}

/* Lays a stream of the bulk out in memory. */
static void load(raw *r, size_t stream)
{
    uint64_t events = set.bulk / set.streams;
    size_t capacity = (size_t)events * (16 + 256), used = 0;
    char *bytes = must_alloc(capacity);
    for (uint64_t seq = 1; seq <= events; seq++) {
        slice data = payload((seq - 1) * set.streams + stream);
        uint64_t head[2] = {seq, data.size};
        must(used + sizeof head + data.size <= capacity, "raw", "too big");
        memcpy(bytes + used, head, sizeof head);
        memcpy(bytes + used + sizeof head, data.data, data.size);
        used += sizeof head + data.size;
    }
    r->streams[stream].bytes = bytes;
    r->streams[stream].size = used;
}

static void raw_read(void *context, slice name, sink *out)
{
    raw *r = context;
    size_t stream = strtoul((const char *)name.data + 7, NULL, 10);
    must(stream < set.streams, "raw", "no such stream");
    if (r->streams[stream].bytes == NULL)
        load(r, stream);
    const char *at = r->streams[stream].bytes;
    const char *end = at + r->streams[stream].size;
    while (at < end) {
        uint64_t head[2];
        memcpy(head, at, sizeof head);
        sink_take(out, head[0], at + sizeof head, head[1]);
        at += sizeof head + head[1];
    }
}

/* What cannot be less: the digest, a look, and if new one write and sync. */
static void raw_put_blob(void *context, slice bytes)
{
    raw *r = context;
    unsigned char digest[32];
    sha256(bytes, digest);
    for (size_t i = 0; i < r->digest_count; i++)
        if (memcmp(r->digests[i], digest, sizeof digest) == 0)
            return;
    must(r->digest_count < DIGESTS_MAX, "raw", "too many blobs");
    memcpy(r->digests[r->digest_count++], digest, sizeof digest);
    gather(r, bytes);
    write_out(r);
}

const engine engine_raw = {
    .name = "raw",
    .limit = true,
    .open = raw_open,
    .close = raw_close,
    .session = raw_session,
    .session_end = raw_session_end,
    .append = raw_append,
    .read = raw_read,
    .put = raw_put,
    .put_blob = raw_put_blob,
};
