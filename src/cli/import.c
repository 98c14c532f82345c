/* SPDX-License-Identifier: MIT */
/* persist import --legacy OLD NEW: the old host's directory into a store.
 *
 * OLD/streams/<hex of name>.log   one printed event a line
 * OLD/streams/<hex of name>.seq   the mark
 * OLD/kv/<hex of key>             one printed value
 * OLD/blobs/<cid>                 bytes
 *
 * Everything is read and checked once before the first write. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "cli/import.h"
#include "engine/layout.h"

enum { BLOB_STEP_SIZE = 1 << 20 };

typedef persist_status (*file_fn)(import *, const char *path, slice name);

/* One folder of the old layout: how its files end and who takes them. */
typedef struct folder {
    const char *name, *suffix;
    bool hex;
    file_fn take;
} folder;

typedef struct stream_walk {
    const char *path;
    slice name;
    uint64_t last; /* the number of the event before */
} stream_walk;

static persist_status take_value(import *im, const char *path, uint64_t offset,
                                 slice text)
{
    sx_value value;
    persist_error reading;
    persist_status status = sx_read(im->machine, text, &value, &reading);
    if (status == PERSIST_LIMIT) {
        sx_collect(im->machine, NULL, 0);
        status = sx_read(im->machine, text, &value, &reading);
    }
    if (status != PERSIST_OK)
        return import_damaged(im, path, offset, "it does not read as a value");
    im->value = value;
    im->text.size = 0;
    im->text.size_max = PERSIST_VALUE_SIZE_MAX;
    return sx_print(im->machine, value, SX_PRINT_STORABLE, &im->text,
                    &im->error);
}

/* ---- streams ---------------------------------------------------------- */

static persist_status take_event(import *im, void *context, slice line,
                                 uint64_t offset, bool whole)
{
    stream_walk *walk = context;
    sx_value v;
    persist_status status = take_value(im, walk->path, offset, line);
    if (status == PERSIST_CORRUPT && !whole) {
        im->counts.unfinished++;
        return PERSIST_OK;
    }
    if (status != PERSIST_OK)
        return status;
    if (sx_type_of(im->value) != SX_DICT ||
        !sx_dict_find(im->machine, im->value, slice_str("stream"), &v) ||
        sx_type_of(v) != SX_STRING || !slice_equal(sx_bytes(v), walk->name))
        return import_damaged(im, walk->path, offset,
                              "the line is no event of this stream");
    if (!sx_dict_find(im->machine, im->value, slice_str("seq"), &v) ||
        sx_type_of(v) != SX_INTEGER || sx_integer(v) <= 0 ||
        (uint64_t)sx_integer(v) <= walk->last)
        return import_damaged(im, walk->path, offset,
                              "the numbers of its events do not climb");
    walk->last = (uint64_t)sx_integer(v);
    im->counts.events++;
    return import_add(im, PERSIST_APPEND_AT, walk->name,
                      slice_of(im->text.data, im->text.size), walk->last);
}

static persist_status take_log(import *im, const char *path, slice name)
{
    stream_walk walk = {.path = path, .name = name};
    im->counts.streams++;
    cli_progress("%" PRIu64 " streams, %" PRIu64 " events, %" PRIu64 " keys",
                 im->counts.streams, im->counts.events, im->counts.keys);
    persist_status status = import_lines(im, path, take_event, &walk);
    if (status == PERSIST_OK)
        status = import_add(im, PERSIST_SET_MARK, name, slice_of(NULL, 0),
                            walk.last);
    return status;
}

static persist_status take_mark_line(import *im, void *context, slice line,
                                     uint64_t offset, bool whole)
{
    stream_walk *walk = context;
    persist_status status = take_value(im, walk->path, offset, line);
    (void)whole;
    if (status != PERSIST_OK)
        return status;
    if (sx_type_of(im->value) != SX_INTEGER || sx_integer(im->value) < 0)
        return import_damaged(im, walk->path, offset, "it is no mark");
    return import_add(im, PERSIST_SET_MARK, walk->name, slice_of(NULL, 0),
                      (uint64_t)sx_integer(im->value));
}

static persist_status take_mark(import *im, const char *path, slice name)
{
    stream_walk walk = {.path = path, .name = name};
    return import_lines(im, path, take_mark_line, &walk);
}

/* ---- keys and blobs --------------------------------------------------- */

static persist_status take_key(import *im, const char *path, slice name)
{
    buf bytes = {0};
    int result = os_file_slurp(path, PERSIST_COMMIT_SIZE_MAX, &bytes);
    persist_status status = result < 0
                                ? import_io(im, "read", path, result)
                                : take_value(im, path, 0, buf_slice(&bytes));
    buf_release(&bytes);
    if (status != PERSIST_OK)
        return status;
    im->counts.keys++;
    return import_add(im, PERSIST_PUT, name,
                      slice_of(im->text.data, im->text.size), 0);
}

static persist_status copy_blob(import *im, os_file *file, const char *path,
                                persist_blob_writer *writer)
{
    uint8_t *step = mem_alloc(BLOB_STEP_SIZE);
    size_t got = step == NULL ? 0 : 1;
    persist_status status =
        step != NULL ? PERSIST_OK
                     : status_set(&im->error, PERSIST_LIMIT, "out of memory");
    for (uint64_t at = 0; got > 0 && status == PERSIST_OK; at += got) {
        int result = os_read_all(im->os, file, step, BLOB_STEP_SIZE, at, &got);
        if (result < 0)
            status = import_io(im, "read", path, result);
        else
            status =
                persist_blob_write(writer, slice_of(step, got), &im->error);
    }
    mem_free(step);
    return status;
}

static persist_status store_blob(import *im, const char *path, slice name)
{
    CHECK(im->store != NULL);
    persist_blob_writer *writer;
    persist_cid cid;
    os_file *file;
    int result = im->os->file_open(im->os, im->os->cwd, path, OS_READ, &file);
    if (result < 0)
        return import_io(im, "open", path, result);
    persist_status status = persist_blob_create(im->store, &writer, &im->error);
    if (status == PERSIST_OK) {
        status = copy_blob(im, file, path, writer);
        if (status == PERSIST_OK)
            status = persist_blob_finish(writer, cid, &im->error);
        else
            persist_blob_abort(writer);
    }
    (void)im->os->file_close(im->os, file);
    if (status == PERSIST_OK && !slice_equal(name, slice_str(cid)))
        status = import_damaged(im, path, 0,
                                "its bytes are not those of its "
                                "name");
    return status;
}

static persist_status take_blob(import *im, const char *path, slice name)
{
    if (!persist_cid_valid(name)) {
        im->counts.unknown++;
        return PERSIST_OK;
    }
    im->counts.blobs++;
    return im->store == NULL ? PERSIST_OK : store_blob(im, path, name);
}

/* ---- walking ---------------------------------------------------------- */

static const folder folders[] = {
    {"blobs", "", false, take_blob},
    {"streams", ".log", true, take_log},
    {"streams", ".seq", true, take_mark},
    {"kv", "", true, take_key},
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_hex(slice hex, buf *out)
{
    const char *at = hex.data;
    if (hex.size % 2 != 0)
        return false;
    for (size_t i = 0; i < hex.size; i += 2) {
        int high = hex_digit(at[i]), low = hex_digit(at[i + 1]);
        if (high < 0 || low < 0)
            return false;
        buf_put_byte(out, (uint8_t)(high << 4 | low));
    }
    return !out->failed;
}

static bool ends_with(slice s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.size >= n &&
           memcmp((const char *)s.data + s.size - n, suffix, n) == 0;
}

/* Files that end otherwise are another folder row's, or nobody's. */
static bool is_foreign(const folder *f, slice file)
{
    bool streams = strcmp(f->name, "streams") == 0;
    return streams && strcmp(f->suffix, ".log") == 0 &&
           !ends_with(file, ".seq");
}

static persist_status walk_file(import *im, const folder *f, const char *file)
{
    char dir[IMPORT_PATH_SIZE], path[IMPORT_PATH_SIZE];
    slice stem = slice_str(file);
    buf name = {0};
    int bad = os_join(dir, sizeof dir, im->dir, f->name);
    if (bad == 0)
        bad = os_join(path, sizeof path, dir, file);
    if (bad != 0)
        return import_io(im, "name", file, bad);
    if (!ends_with(stem, f->suffix)) {
        im->counts.unknown += is_foreign(f, stem) ? 1 : 0;
        return PERSIST_OK;
    }
    stem.size -= strlen(f->suffix);
    persist_status status = PERSIST_OK;
    if (!f->hex)
        status = f->take(im, path, stem);
    else if (decode_hex(stem, &name))
        status = f->take(im, path, buf_slice(&name));
    else
        im->counts.unknown++;
    buf_release(&name);
    return status;
}

static int keep_name(void *context, const char *name)
{
    buf *names = context;
    buf_put(names, name, strlen(name) + 1);
    return names->failed ? -ENOMEM : 0;
}

static persist_status walk_folder(import *im, const folder *f)
{
    char dir[IMPORT_PATH_SIZE];
    buf names = {0};
    int bad = os_join(dir, sizeof dir, im->dir, f->name);
    if (bad == 0)
        bad = os_list_in(im->os, im->os->cwd, dir, keep_name, &names);
    persist_status status = PERSIST_OK;
    if (bad != 0 && bad != -ENOENT)
        status = import_io(im, "list", dir, bad);
    for (size_t at = 0; status == PERSIST_OK && at < names.size;) {
        const char *name = (const char *)names.data + at;
        status = walk_file(im, f, name);
        at += strlen(name) + 1;
    }
    buf_release(&names);
    return status;
}

static persist_status walk(import *im, persist_store *store)
{
    CHECK(im->edits.size == 0 && im->bytes.size == 0);
    persist_status status = PERSIST_OK;
    im->store = store;
    im->counts = (import_counts){0};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (status == PERSIST_OK)
            status = walk_folder(im, &folders[i]);
    if (status == PERSIST_OK)
        status = import_commit(im);
    cli_progress("%s", "");
    return status;
}

/* ---- the command ------------------------------------------------------ */

static persist_status check_old(import *im)
{
    char path[IMPORT_PATH_SIZE];
    static const char *const names[] = {"streams", "kv", "blobs"};
    os_stat log;
    if (os_join(path, sizeof path, im->dir, LAYOUT_LOG) == 0 &&
        im->os->stat(im->os, im->os->cwd, path, &log) == 0)
        return status_set(&im->error, PERSIST_BAD_STORE,
                          "%s is a store of this version: there is nothing to "
                          "import; open it",
                          im->dir);
    for (size_t i = 0; i < 3; i++) {
        os_stat found;
        if (os_join(path, sizeof path, im->dir, names[i]) == 0 &&
            im->os->stat(im->os, im->os->cwd, path, &found) == 0 &&
            found.is_dir)
            return PERSIST_OK;
    }
    return status_set(&im->error, PERSIST_BAD_STORE,
                      "%s has none of the folders streams, kv and blobs of "
                      "the old host; check the path",
                      im->dir);
}

static persist_status write_new(import *im, const char *dir)
{
    persist_options options = {.path = dir, .create = true, .unmapped = true};
    persist_store *store;
    persist_status status = persist_open(&options, &store, &im->error);
    if (status != PERSIST_OK)
        return status;
    if (persist_latest(store) > 0)
        status = status_set(&im->error, PERSIST_BAD_STORE,
                            "%s holds data already; name a new directory", dir);
    else
        status = walk(im, store);
    persist_error closing;
    persist_status closed = persist_close(store, &closing);
    if (status == PERSIST_OK && closed != PERSIST_OK) {
        im->error = closing;
        status = closed;
    }
    return status;
}

static void report(cli *c, const import_counts *n)
{
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {
        {"streams", n->streams},
        {"events", n->events},
        {"keys", n->keys},
        {"blobs", n->blobs},
        {"unfinished", n->unfinished},
        {"unknown", n->unknown},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        buf_printf(&c->out,
                   c->json ? "%s\"%s\":%" PRIu64 : "%s%-12s %" PRIu64 "\n",
                   !c->json ? ""
                   : i == 0 ? "{"
                            : ",",
                   rows[i].name, rows[i].count);
    if (c->json)
        buf_put_str(&c->out, "}\n");
}

int cli_import(cli *c)
{
    CHECK(c->arg_count == 2);
    sx_options options = {0};
import im = {.os = os_posix(), .dir = c->args[0] };
    if (im.os->random(im.os, &options.hash_seed, sizeof options.hash_seed) == 0)
        im.machine = sx_open(&options);
    persist_status status =
        im.machine != NULL
            ? check_old(&im)
            : status_set(&im.error, PERSIST_LIMIT, "out of memory");
    if (status == PERSIST_OK)
        status = walk(&im, NULL);
    if (status == PERSIST_OK)
        status = write_new(&im, c->args[1]);
    if (status == PERSIST_OK)
        report(c, &im.counts);
    sx_close(im.machine);
    sx_out_release(&im.text);
    buf_release(&im.edits);
    buf_release(&im.bytes);
    if (status != PERSIST_OK)
        return cli_fail(&im.error);
    return cli_flush(c) ? 0 : 1;
}
