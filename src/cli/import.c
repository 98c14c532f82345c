/* SPDX-License-Identifier: MIT */
/* persist import --legacy OLD NEW: the old host's directory into a store.
 *
 * OLD/streams/<hex of name>.log   one printed event a line
 * OLD/streams/<hex of name>.seq   the mark
 * OLD/kv/<hex of key>             one printed value
 * OLD/blobs/<cid>                 bytes
 *
 * Everything is read and checked once before the first write, and again while
 * it is written. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/cid.h"
#include "base/hash.h"
#include "base/status.h"
#include "cli/import.h"
#include "engine/files/files.h"
#include "os/os_stream.h"

enum {
    NAME_SIZE = 256, /* of a file */
    TAGS_KEPT = 64 * 1024,
};

typedef persist_status (*file_fn)(import *, const import_file *, slice name);

enum { STREAMS, KEYS, BLOBS };
static const char *const folder_names[IMPORT_FOLDERS] = {
    [STREAMS] = "streams", [KEYS] = "kv", [BLOBS] = "blobs"};

/* One kind of file of the old layout: where, how its name ends, and who takes
 * it. */
typedef struct kind {
    int folder;
    const char *suffix;
    bool hex;
    file_fn take;
} kind;

typedef struct stream_walk {
    const char *path;
    slice name;
    uint64_t last;  /* the number of the event before */
    unsigned lines; /* of a mark */
} stream_walk;

static persist_status take_value(import *im, const char *path, slice text)
{
    sx_value value;
    persist_error reading;
    persist_status status = sx_read(im->machine, text, &value, &reading);
    if (status == PERSIST_LIMIT) {
        sx_collect(im->machine, NULL, 0);
        status = sx_read(im->machine, text, &value, &reading);
    }
    if (status == PERSIST_LIMIT)
        return import_failed(im, path, reading.status, reading.message);
    if (status != PERSIST_OK)
        return import_damaged(im, path, "it does not read as a value");
    im->value = value;
    im->text.size = 0;
    im->text.size_max = PERSIST_VALUE_SIZE_MAX;
    status =
        sx_print(im->machine, value, SX_PRINT_STORABLE, &im->text, &reading);
    return status == PERSIST_OK
               ? status
               : import_failed(im, path, reading.status, reading.message);
}

/* ---- streams ---------------------------------------------------------- */

static persist_status set_mark(import *im, slice name, uint64_t mark)
{
    const persist_edit edit = {
        .kind = PERSIST_SET_MARK, .name = name, .seq = mark};
    return import_add(im, &edit);
}

static persist_status take_event(import *im, void *context, slice line,
                                 bool whole)
{
    stream_walk *walk = context;
    sx_value v;
    persist_status status = take_value(im, walk->path, line);
    if (status == PERSIST_CORRUPT && !whole)
        return import_leave_out(im, walk->path, true);
    if (status != PERSIST_OK)
        return status;
    if (sx_type_of(im->value) != SX_DICT ||
        !sx_dict_find(im->machine, im->value, slice_str("stream"), &v) ||
        sx_type_of(v) != SX_STRING || !slice_equal(sx_bytes(v), walk->name))
        return import_damaged(im, walk->path,
                              "the line is no event of this stream");
    if (!sx_dict_find(im->machine, im->value, slice_str("seq"), &v) ||
        sx_type_of(v) != SX_INTEGER || sx_integer(v) <= 0 ||
        (uint64_t)sx_integer(v) <= walk->last)
        return import_damaged(im, walk->path,
                              "the numbers of its events do not climb");
    walk->last = (uint64_t)sx_integer(v);
    im->counts.events++;
    return import_add_event(im, walk->path, walk->name, walk->last);
}

static persist_status take_log(import *im, const import_file *file, slice name)
{
    stream_walk walk = {.path = file->path, .name = name};
    im->counts.streams++;
    cli_progress("%" PRIu64 " streams, %" PRIu64 " events, %" PRIu64 " keys",
                 im->counts.streams, im->counts.events, im->counts.keys);
    persist_status status = import_lines(im, file, take_event, &walk);
    if (status == PERSIST_OK)
        status = set_mark(im, name, walk.last);
    return status;
}

/* The old host wrote an event before its mark: a kill in between leaves an
 * older one. */
static persist_status raise_mark(import *im, slice name, uint64_t mark)
{
    persist_stream_info info;
    bool known;
    if (im->store == NULL)
        return PERSIST_OK;
    persist_status status = persist_info(im->store, name, PERSIST_LATEST, &info,
                                         &known, &im->error);
    if (status != PERSIST_OK || (known && mark <= info.mark))
        return status;
    return set_mark(im, name, mark);
}

static persist_status take_mark_line(import *im, void *context, slice line,
                                     bool whole)
{
    stream_walk *walk = context;
    persist_status status = take_value(im, walk->path, line);
    (void)whole;
    if (status != PERSIST_OK)
        return status;
    if (sx_type_of(im->value) != SX_INTEGER || sx_integer(im->value) < 0 ||
        ++walk->lines > 1)
        return import_damaged(im, walk->path, "it is no mark");
    return raise_mark(im, walk->name, (uint64_t)sx_integer(im->value));
}

/* Without its mark a stream might give numbers again. */
static persist_status take_mark(import *im, const import_file *file, slice name)
{
    stream_walk walk = {.path = file->path, .name = name};
    persist_status status = import_lines(im, file, take_mark_line, &walk);
    if (status == PERSIST_OK && walk.lines == 0)
        return import_damaged(im, file->path, "it holds no mark");
    return status;
}

/* ---- keys and blobs --------------------------------------------------- */

typedef struct key_bytes {
    const char *path;
    buf text;
} key_bytes;

static persist_status take_key_bytes(import *im, void *context, slice bytes)
{
    key_bytes *key = context;
    if (key->text.size + bytes.size > PERSIST_COMMIT_SIZE_MAX)
        return import_damaged(im, key->path, "it is too large for a value");
    buf_put_slice(&key->text, bytes);
    return key->text.failed ? status_no_memory(&im->error) : PERSIST_OK;
}

static persist_status take_key(import *im, const import_file *file, slice name)
{
    key_bytes key = {.path = file->path};
    persist_status status = import_read(im, file, take_key_bytes, &key);
    if (status == PERSIST_OK)
        status = take_value(im, file->path, buf_slice(&key.text));
    buf_release(&key.text);
    if (status != PERSIST_OK)
        return status;
    im->counts.keys++;
    const persist_edit edit = {.kind = PERSIST_PUT,
                               .name = name,
                               .data = slice_of(im->text.data, im->text.size)};
    return import_add(im, &edit);
}

typedef struct blob_copy {
    hash_sha256_state sum;
    persist_blob_writer *writer; /* NULL: only check */
} blob_copy;

static persist_status take_blob_bytes(import *im, void *context, slice bytes)
{
    blob_copy *copy = context;
    hash_sha256_add(&copy->sum, bytes);
    return copy->writer == NULL
               ? PERSIST_OK
               : persist_blob_write(copy->writer, bytes, &im->error);
}

/* Its bytes are those of its name, or nothing of it is stored. */
static persist_status take_blob(import *im, const import_file *file, slice name)
{
    uint8_t named[HASH_SHA256_SIZE], found[HASH_SHA256_SIZE];
    blob_copy copy = {0};
    persist_cid cid;
    if (!cid_decode(name, named))
        return import_leave_out(im, file->path, false);
    im->counts.blobs++;
    hash_sha256_begin(&copy.sum);
    persist_status status = PERSIST_OK;
    if (im->store != NULL)
        status = persist_blob_create(im->store, &copy.writer, &im->error);
    if (status == PERSIST_OK)
        status = import_read(im, file, take_blob_bytes, &copy);
    hash_sha256_end(&copy.sum, found);
    if (status == PERSIST_OK && memcmp(named, found, sizeof named) != 0)
        status = import_damaged(im, file->path,
                                "its bytes are not those of its name");
    if (status != PERSIST_OK)
        persist_blob_abort(copy.writer);
    else if (copy.writer != NULL)
        status = persist_blob_finish(copy.writer, cid, &im->error);
    return status;
}

/* ---- walking ---------------------------------------------------------- */

static const kind kinds[] = {
    {BLOBS, "", false, take_blob},
    {STREAMS, ".log", true, take_log},
    {STREAMS, ".seq", true, take_mark},
    {KEYS, "", true, take_key},
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
    return true;
}

/* The old host writes lower case: of two names for one thing, one would be
 * lost. */
static persist_status check_case(import *im, const import_file *file,
                                 size_t size)
{
    char lower[NAME_SIZE];
    bool same = true;
    snprintf(lower, sizeof lower, "%s", file->name);
    for (size_t i = 0; i < size && i < sizeof lower; i++)
        if (lower[i] >= 'A' && lower[i] <= 'F') {
            lower[i] = (char)(lower[i] - 'A' + 'a');
            same = false;
        }
    if (same)
        return PERSIST_OK;
    return status_set(&im->error, PERSIST_CORRUPT,
                      "%.250s names the same as %.200s, and the old host "
                      "writes lower case; rename or remove it and import again",
                      file->path, lower);
}

static bool ends_with(slice s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.size >= n &&
           memcmp((const char *)s.data + s.size - n, suffix, n) == 0;
}

/* Files that end otherwise are another kind's, or nobody's. */
static bool is_foreign(const kind *k, slice file)
{
    return k->take == take_log && !ends_with(file, ".seq");
}

static persist_status take_hex(import *im, const kind *k,
                               const import_file *file, slice stem)
{
    buf name = {0};
    persist_status status = PERSIST_OK;
    bool hex = decode_hex(stem, &name);
    if (name.failed)
        status = status_no_memory(&im->error);
    else if (!hex)
        status = import_leave_out(im, file->path, false);
    else
        status = check_case(im, file, stem.size);
    if (status == PERSIST_OK && hex)
        status = k->take(im, file, buf_slice(&name));
    buf_release(&name);
    return status;
}

static persist_status walk_file(import *im, const kind *k, const char *name)
{
    import_file file = {.dir = im->folders[k->folder], .name = name};
    slice stem = slice_str(name);
    int code = os_join(file.path, sizeof file.path, file.dir->path, name);
    if (code != 0)
        return os_failed(&im->error, code, "name", name);
    if (!ends_with(stem, k->suffix))
        return is_foreign(k, stem) ? import_leave_out(im, file.path, false)
                                   : PERSIST_OK;
    stem.size -= strlen(k->suffix);
    return k->hex ? take_hex(im, k, &file, stem) : k->take(im, &file, stem);
}

static persist_status walk_kind(import *im, const kind *k)
{
    buf names = {0};
    const os_dir *dir = im->folders[k->folder];
    if (dir == NULL)
        return PERSIST_OK;
    int code = im->os->dir_list(im->os, dir, import_keep_name, &names);
    persist_status status =
        code == 0 ? PERSIST_OK : os_failed(&im->error, code, "list", dir->path);
    for (size_t at = 0; status == PERSIST_OK && at < names.size;) {
        const char *name = (const char *)names.data + at;
        status = walk_file(im, k, name);
        at += strlen(name) + 1;
    }
    buf_release(&names);
    return status;
}

/* Beside the folders the old host kept nothing. */
static int note_beside(void *context, const char *name)
{
    import *im = context;
    char path[IMPORT_PATH_SIZE];
    bool known = strcmp(name, LAYOUT_LOST_FOUND) == 0;
    for (int i = 0; i < IMPORT_FOLDERS; i++)
        known = known || strcmp(name, folder_names[i]) == 0;
    if (known || os_join(path, sizeof path, im->old->path, name) != 0)
        return 0;
    return import_leave_out(im, path, false) == PERSIST_OK ? 0 : -ENOMEM;
}

static persist_status walk(import *im)
{
    CHECK(im->edits.size == 0 && im->bytes.size == 0);
    im->counts = (import_counts){0};
    int code = im->os->dir_list(im->os, im->old, note_beside, im);
    persist_status status =
        code == 0 ? PERSIST_OK
                  : os_failed(&im->error, code, "list", im->old->path);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (status == PERSIST_OK)
            status = walk_kind(im, &kinds[i]);
        if (status == PERSIST_OK) /* the marks look at the events */
            status = import_commit(im);
    }
    cli_progress("%s", "");
    return status;
}

/* ---- the command ------------------------------------------------------ */

/* A link is not followed out of OLD. */
static persist_status open_folders(import *im)
{
    bool any = false;
    for (int i = 0; i < IMPORT_FOLDERS; i++) {
        const char *name = folder_names[i];
        int code = im->os->dir_open(im->os, im->old, name, &im->folders[i]);
        any = any || code == 0;
        if (code == -ENOTDIR || code == -ELOOP)
            return status_set(&im->error, PERSIST_BAD_STORE,
                              "%.300s/%s is no directory; put the one of the "
                              "old host in its place",
                              im->old->path, name);
        if (code != 0 && code != -ENOENT)
            return os_failed(&im->error, code, "open the folder", name);
    }
    return any ? PERSIST_OK
               : status_set(&im->error, PERSIST_BAD_STORE,
                            "%.300s has no folder streams, kv or blobs: it is "
                            "no directory of the old host; check the path",
                            im->old->path);
}

static persist_status open_old(import *im, const char *path)
{
    os_stat log;
    int code = im->os->dir_open(im->os, im->os->cwd, path, &im->old);
    if (code == -ENOTDIR || code == -ENOENT)
        return status_set(&im->error, PERSIST_BAD_STORE,
                          "%.300s is no directory; check the path", path);
    if (code != 0)
        return os_failed(&im->error, code, "open", path);
    if (im->os->stat(im->os, im->old, LAYOUT_LOG, &log) == 0)
        return status_set(&im->error, PERSIST_BAD_STORE,
                          "%.300s is a store of this version: there is nothing "
                          "to import; open it",
                          path);
    return open_folders(im);
}

/* What NEW holds, by its own account. */
static persist_status count(import *im)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(im->store, &stats, NULL);
    im->counts.streams = stats.streams;
    im->counts.events = stats.events;
    return cli_count_keys(im->store, &im->counts.keys, &im->error);
}

static persist_status fill(import *im)
{
    persist_options options = {PERSIST_OPTIONS, .path = im->place.store_path,
                               .create = true, .unmapped = true};
    options.group = im->group;
    persist_status status = persist_open(&options, &im->store, &im->error);
    if (status != PERSIST_OK)
        return status;
    status = walk(im);
    if (status == PERSIST_OK)
        status = count(im);
    persist_error closing;
    persist_status closed = persist_close(im->store, &closing);
    im->store = NULL;
    return status == PERSIST_OK && closed != PERSIST_OK
               ? status_copy(&im->error, &closing)
               : status;
}

static persist_status import_all(import *im)
{
    persist_status status = walk(im);
    if (status == PERSIST_OK)
        status = import_place_begin(im);
    if (status == PERSIST_OK)
        status = fill(im);
    return import_place_end(im, status);
}

static void release(import *im)
{
    import_place_release(im);
    for (int i = 0; i < IMPORT_FOLDERS; i++)
        if (im->folders[i] != NULL)
            im->os->dir_close(im->os, im->folders[i]);
    if (im->old != NULL)
        im->os->dir_close(im->os, im->old);
    buf_release(&im->left_out);
    sx_close(im->machine);
    sx_out_release(&im->text);
    sx_out_release(&im->type);
    arena_release(&im->index);
    arena_pool_release(&im->pool);
    buf_release(&im->edits);
    buf_release(&im->bytes);
}

/* A line each on standard error for people, a list for programs. */
static void report_left_out(cli *c, const buf *names)
{
    const char *separator = "";
    char line[IMPORT_PATH_SIZE + 128];
    for (size_t at = 0; at < names->size;) {
        const char *path = (const char *)names->data + at;
        size_t size = strlen(path);
        bool unfinished = path[size + 1] != 0;
        at += size + 2;
        if (c->json) {
            buf_printf(&c->out, "%s{\"path\":", separator);
            cli_put_json(c, slice_of(path, size));
            buf_printf(&c->out, ",\"why\":\"%s\"}",
                       unfinished ? "unfinished" : "unknown");
            separator = ",";
            continue;
        }
        snprintf(line, sizeof line, "persist: left out: %s: %s", path,
                 unfinished ? "its last line, which a crash cut short"
                            : "the old host made no file of this name");
        os_stream_say(line);
    }
}

/* All that was left out, by so much as it is. */
static int end_report(cli *c, const import *im)
{
    char line[256];
    uint64_t all = im->counts.unfinished + im->counts.unknown;
    if (all == 0)
        return 0;
    snprintf(line, sizeof line,
             "persist: the new store is whole but for %" PRIu64
             " left out%s; if they are needed mend or rename them and import "
             "into another NEW",
             all,
             all > IMPORT_NAMED_MAX ? ", of which the first 100 are named"
                                    : "");
    if (!c->json)
        os_stream_say(line);
    return 1;
}

static void report(cli *c, const import *im)
{
    const import_counts *n = &im->counts;
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
        buf_put_str(&c->out, ",\"left_out\":[");
    report_left_out(c, &im->left_out);
    if (c->json)
        buf_put_str(&c->out, "]}\n");
}

/* On a full disk it is the import that is begun anew: nobody waits for room.
 */
static int fail(import *im)
{
    if (im->error.status == PERSIST_NO_SPACE)
        os_advise_space(&im->error, "import again");
    return cli_fail(&im->error);
}

int cli_import(cli *c)
{
    CHECK(c->arg_count == 2);
    sx_options options = {SX_OPTIONS};
    struct import im = {0}; /* import alone is a keyword to formatters */
    arena_pool_init(&im.pool, TAGS_KEPT, NULL);
    im.index = arena_of(&im.pool);
    im.os = os_posix();
    im.group = c->group;
    if (im.os->random(im.os, &options.hash_seed, sizeof options.hash_seed) == 0)
        (void)sx_open(&options, &im.machine, NULL);
    persist_status status = im.machine != NULL ? open_old(&im, c->args[0])
                                               : status_no_memory(&im.error);
    if (status == PERSIST_OK)
        status = import_place_find(&im, c->args[1]);
    if (status == PERSIST_OK)
        status = import_all(&im);
    int code = status == PERSIST_OK ? 0 : fail(&im);
    if (status == PERSIST_OK) {
        report(c, &im);
        code = end_report(c, &im);
    }
    release(&im);
    return cli_flush(c) ? code : 1;
}
