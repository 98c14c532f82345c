/* SPDX-License-Identifier: MIT */
/* Makes the seeds of the targets that read files: stores of a few shapes, and
 * their parts, in the present format: seeds DIR. They lie in DIR/<target>. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../lib/ops.h"
#include "../lib/fuzz.h"
#include "engine/files/manifest.h"
#include "engine/log/segment.h"
#include "engine/table/table_file.h"
#include "store/store.h"

static const char *root;

/* A shape: what is done, and how the store is left. */
static const struct {
    const char *ops;
    uint32_t memtable_size;
    bool compress, closed;
} shapes[] = {
    {"append-a:1 put-k:2 blob-small:4 wait:0", 0, false, true},
    {"append-a:1 batch:2 once-append:3 wait:0 append-b:4 put-k:5", 0, false,
     false},
    {"append-a:1 append-b:2 put-k:3 once-append:4 blob-small:4 wait:0 mixed:5 "
     "truncate-half:6 delete-k:7 set-mark:8",
     1, false, true},
    {"append-a:1 append-b:2 batch:3 once-append:4 wait:0 mixed:5 append-a:6 "
     "put-k:7 append-a:8 wait:0 append-b:9",
     1, true, false},
    {"append-a:1 put-k:2 append-a:3 put-delete:4 blob-small:4 batch:6 wait:0 "
     "append-a:7 once-append:8 append-a:9",
     200, false, false},
    {"tagged:1 tagged:7 set-once:2 blob-small:4 refer:4 wait:0 tagged:12 "
     "decided:3 set-once:7",
     0, false, false},
    {"tagged:2 append-a:3 tagged:4 set-once:5 truncate-half:6 tagged:9 mixed:4",
     1, false, true},
};

static void write_seed(const char *target, const char *name, slice head,
                       slice bytes)
{
    char path[PERSIST_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", root, target);
    CHECK(n > 0 && (size_t)n < sizeof path);
    (void)mkdir(path, 0777);
    n = snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    CHECK(n > 0 && (size_t)n < sizeof path);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    if (head.size > 0)
        (void)fwrite(head.data, 1, head.size, file);
    if (bytes.size > 0)
        (void)fwrite(bytes.data, 1, bytes.size, file);
    int closed = fclose(file);
    CHECK(closed == 0);
}

/* An input of formats.c, in the order of its decoders. */
enum {
    CID,
    FILE_NAMES,
    SEGMENT,
    RECORD,
    MANIFEST,
    TABLE_HEADER,
    TABLE_FOOTER,
    ENTRIES, /* of the eight sections, one after the other */
};

static void write_format(int kind, slice bytes)
{
    static unsigned count;
    char name[32];
    uint8_t tag = (uint8_t)kind;
    snprintf(name, sizeof name, "seed-%u", count++);
    write_seed("formats", name, slice_of(&tag, 1), bytes);
}

static void read_file(const os *sys, const char *path, buf *out)
{
    os_file *file;
    uint64_t size;
    int code = sys->file_open(sys, sys->cwd, path, OS_READ, &file);
    CHECK(code == 0 && sys->file_size(sys, file, &size) == 0);
    buf_clear(out);
    CHECK(buf_reserve(out, size + 1));
    code = os_read_all(sys, file, out->data, size, 0, &out->size);
    CHECK(code == 0 && out->size == size);
    sys->file_close(sys, file);
}

static void take_segment(slice bytes, const char *name)
{
    segment_header header;
    record_header h;
    CHECK(segment_header_decode(bytes, &header));
    write_format(SEGMENT, slice_of(bytes.data, SEGMENT_HEADER_SIZE));
    uint64_t at = SEGMENT_HEADER_SIZE;
    while (record_read(bytes, at, header.identity, header.number, &h, NULL)) {
        const uint8_t *body =
            (const uint8_t *)bytes.data + at + RECORD_HEADER_SIZE;
        write_format(RECORD, slice_of(body, h.body_size));
        at += record_size(h.body_size);
    }
    write_seed("log", name, slice_of(NULL, 0),
               slice_of(bytes.data, (size_t)at + 64));
}

static void take_entries(table *t)
{
    for (unsigned s = 0; s < TABLE_SECTIONS; s++) {
        bool sized = s == TABLE_EVENTS || s == TABLE_TAGS;
        bool keyed = sized || s == TABLE_ORDER || s == TABLE_TIMES;
        table_iter i;
        buf entry = {0};
        table_iter_init(&i, t, (table_section)s, false);
        persist_status status = table_seek(&i, slice_of(NULL, 0), NULL);
        for (; status == PERSIST_OK; status = table_next(&i, NULL)) {
            buf_clear(&entry);
            if (sized)
                buf_put_byte(&entry, (uint8_t)table_key(&i).size);
            if (keyed)
                buf_put_slice(&entry, table_key(&i));
            buf_put_slice(&entry, table_value(&i));
            write_format(ENTRIES + (int)s, buf_slice(&entry));
        }
        CHECK(status == PERSIST_NONE);
        table_iter_release(&i);
        buf_release(&entry);
    }
}

static void take_table(const os *sys, const char *dir, slice bytes,
                       const char *name)
{
    const uint8_t *end = (const uint8_t *)bytes.data + bytes.size;
    slice tail = slice_of(end - TABLE_FOOTER_SIZE, TABLE_FOOTER_SIZE);
    table_footer footer;
    cache blocks;
    table *t;
    CHECK(table_footer_decode(tail, &footer));
    write_format(TABLE_HEADER, slice_of(bytes.data, TABLE_HEADER_SIZE));
    write_format(TABLE_FOOTER, tail);
    write_seed("table", name, slice_of(NULL, 0), bytes);
    os_dir *folder;
    CHECK(sys->dir_open(sys, sys->cwd, dir, &folder) == 0);
    const table_place place = {
        .sys = sys, .dir = folder, .identity = footer.identity};
    cache_init(&blocks, 1 << 20);
    CHECK(table_open(&place, &blocks, footer.number, bytes.size, &t, NULL) ==
          PERSIST_OK);
    take_entries(t);
    table_unref(t);
    cache_release(&blocks);
    sys->dir_close(sys, folder);
}

typedef struct walk {
    const os *sys;
    const char *dir;
    unsigned shape;
} walk;

static int take_file(void *context, const char *name)
{
    walk *w = context;
    char path[PERSIST_PATH_MAX], seed[PERSIST_PATH_MAX];
    os_stat stat;
    uint64_t number;
    buf bytes = {0};
    CHECK(os_join(path, sizeof path, w->dir, name) == 0);
    CHECK(w->sys->stat(w->sys, w->sys->cwd, path, &stat) == 0);
    walk below = {w->sys, path, w->shape};
    if (stat.is_dir)
        return os_list_in(w->sys, w->sys->cwd, path, take_file, &below);
    read_file(w->sys, path, &bytes);
    snprintf(seed, sizeof seed, "seed-%u-%s", w->shape, name);
    if (manifest_is_name(name))
        write_format(MANIFEST, buf_slice(&bytes));
    if (segment_number(name, &number) || table_number(name, &number))
        write_format(FILE_NAMES, slice_str(name));
    if (segment_number(name, &number))
        take_segment(buf_slice(&bytes), seed);
    if (table_number(name, &number))
        take_table(w->sys, w->dir, buf_slice(&bytes), seed);
    buf_release(&bytes);
    return 0;
}

/* ---- making stores ---------------------------------------------------- */

static void run(persist_store *store, const char *text)
{
    op ops[64];
    buf answer = {0};
    persist_error error;
    size_t count = ops_parse(text, ops, 64);
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == OP_WAIT)
            CHECK(persist_wait_durable(store, persist_latest(store), &error) ==
                  PERSIST_OK);
        else
            (void)op_apply(store, ops[i], &answer, &error);
    buf_release(&answer);
}

static void make(unsigned shape)
{
    os_sim *sim = os_sim_new(shape), *killed = NULL;
    persist_options options = {PERSIST_OPTIONS,
                               .path = "store",
                               .create = true,
                               .segment_size = 4096,
                               .memtable_size = shapes[shape].memtable_size,
                               .merge_width = 2,
                               .compress = shapes[shape].compress,
                               .os = os_sim_os(sim)};
    persist_store *store;
    CHECK(persist_open(&options, &store, NULL) == PERSIST_OK);
    run(store, shapes[shape].ops);
    if (!shapes[shape].closed)
        killed = os_sim_kill(sim);
    CHECK(persist_close(store, NULL) == PERSIST_OK);
    os_sim *left = killed == NULL ? sim : killed;
    walk w = {os_sim_os(left), "store", shape};
    CHECK(os_list_in(w.sys, w.sys->cwd, w.dir, take_file, &w) == 0);
    buf files = {0};
    char name[32];
    uint8_t sizes = (uint8_t)(shapes[shape].memtable_size == 1 ? 1 : 0);
    fuzz_files_save(left, "store", &files);
    snprintf(name, sizeof name, "seed-%u", shape);
    write_seed("store", name, slice_of(&sizes, 1), buf_slice(&files));
    buf_release(&files);
    os_sim_free(sim);
    os_sim_free(killed);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seeds DIR\n");
        return 2;
    }
    root = argv[1];
    fuzz_sums_hold = true;
    persist_cid cid;
    persist_cid_of(slice_str("a"), cid);
    write_format(CID, slice_str(cid));
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        make(i);
    return 0;
}
