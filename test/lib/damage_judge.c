/* SPDX-License-Identifier: MIT */
/* Doing one damage, and judging what is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "damage.h"
#include "engine/files/limits.h"
#include "store/store.h"

enum { SECTOR = SIM_SECTOR, FINDINGS_MAX = 32, HEADER_KNOWN = 40 };

/* What persist_verify said, kept beyond the call. */
typedef struct finding {
    persist_finding f;
    char path[SIM_PATH_MAX], what[128];
    char name[SHAPE_NAME_MAX], end_name[SHAPE_NAME_MAX];
} finding;

typedef struct findings {
    finding items[FINDINGS_MAX];
    size_t count;
} findings;

typedef struct judgement {
    const target *target;
    const damage *damage;
    uint32_t bit; /* of a flip */
    damage_figures *figures;
    buf *report;
    findings findings;
    bool refused, failed, earlier;
    bool right;
} judgement;

/* ---- doing it --------------------------------------------------------- */

static void set_sector(os_sim *s, const sim_file *f, uint32_t at, slice from)
{
    slice old =
        slice_of(s->inodes[f->inode].now->data, s->inodes[f->inode].now->size);
    size_t size = f->bytes.size - at < SECTOR ? f->bytes.size - at : SECTOR;
    uint8_t *bytes = sim_file_set(s, f, old);
    memset(bytes + at, 0, size);
    if (from.size > 0)
        memcpy(bytes + at, from.data, from.size < size ? from.size : size);
}

static slice sector(const sim_file *f, uint32_t at)
{
    size_t left = f->bytes.size > at ? f->bytes.size - at : 0;
    return slice_of((const uint8_t *)f->bytes.data + at,
                    left < SECTOR ? left : SECTOR);
}

/* Of the store's own folder these are the manifests. */
static bool in_group(const sim_file *folder, const sim_file *f)
{
    size_t size = strlen(folder->path);
    if (f->is_dir || strncmp(f->path, folder->path, size) != 0)
        return false;
    if (strcmp(folder->path, "store") == 0)
        return strncmp(f->path, "store/manifest", 14) == 0;
    return f->path[size] == '/';
}

static void put_older_group(const target *t, const damage *d, os_sim *s)
{
    const sim_file *folder = &t->files[d->file];
    const sim_file *old = t->older[d->from];
    size_t old_count = t->older_counts[d->from];
    for (size_t i = 0; i < t->file_count; i++)
        if (in_group(folder, &t->files[i]) &&
            sim_files_find(old, old_count, t->files[i].path) == NULL)
            sim_file_delete(s, &t->files[i]);
    for (size_t i = 0; i < old_count; i++) {
        const sim_file *now =
            sim_files_find(t->files, t->file_count, old[i].path);
        if (!in_group(folder, &old[i]))
            continue;
        if (now != NULL)
            sim_file_set(s, now, old[i].bytes);
        else
            sim_file_put(s, folder, old[i].path, old[i].bytes);
    }
}

static os_sim *make_image(const judgement *j)
{
    const target *t = j->target;
    const damage *d = j->damage;
    const sim_file *f = &t->files[d->file], *other = &t->files[d->other];
    os_sim *s = os_sim_kill(t->shape->sim);
    const sim_file *old;
    switch (d->kind) {
    case DAMAGE_FLIP:
        sim_file_set(s, f, f->bytes)[d->at] ^= (uint8_t)(1u << j->bit);
        break;
    case DAMAGE_CUT:
        sim_file_set(s, f, slice_of(f->bytes.data, d->at));
        break;
    case DAMAGE_ZERO:
        set_sector(s, f, d->at, slice_of(NULL, 0));
        break;
    case DAMAGE_COPY:
        set_sector(s, f, d->at, sector(other, d->from));
        break;
    case DAMAGE_SWAP:
        set_sector(s, f, d->at, sector(other, d->from));
        set_sector(s, other, d->from, sector(f, d->at));
        break;
    case DAMAGE_DELETE:
        sim_file_delete(s, f);
        break;
    case DAMAGE_OLDER:
        old = sim_files_find(t->older[d->from], t->older_counts[d->from],
                             f->path);
        sim_file_set(s, f, old->bytes);
        break;
    case DAMAGE_OLDER_GROUP:
        put_older_group(t, d, s);
        break;
    case DAMAGE_KINDS:
        CHECK(false);
    }
    return s;
}

/* ---- what is wrong ---------------------------------------------------- */

static void put_range(buf *out, const finding *f)
{
    buf_printf(out, "  verify: %s at %lld: %s", f->path, (long long)f->f.offset,
               f->what);
    buf_printf(out, "; touched %d: %s %llu to %s %llu\n", (int)f->f.touched,
               f->name, (unsigned long long)f->f.number, f->end_name,
               (unsigned long long)f->f.end_number);
}

static void wrong(judgement *j, const char *what, const char *detail)
{
    const damage *d = j->damage;
    const target *t = j->target;
    j->right = false;
    buf_printf(j->report, "%s: %s\n  %s: %s at %u bit %u", what, detail,
               t->shape->name, t->files[d->file].path, d->at, j->bit);
    buf_printf(j->report, "; %s, other %s from %u\n", damage_name(d->kind),
               t->files[d->other].path, d->from);
    for (size_t i = 0; i < j->findings.count; i++)
        put_range(j->report, &j->findings.items[i]);
}

/* ---- verify ----------------------------------------------------------- */

static void copy_name(char *out, slice name)
{
    size_t size = name.size < SHAPE_NAME_MAX ? name.size : SHAPE_NAME_MAX - 1;
    if (size > 0)
        memcpy(out, name.data, size);
    out[size] = '\0';
}

static bool note(void *context, const persist_finding *f)
{
    findings *all = context;
    if (!f->damage || all->count == FINDINGS_MAX)
        return true;
    finding *n = &all->items[all->count++];
    n->f = *f;
    snprintf(n->path, sizeof n->path, "%s", f->path);
    snprintf(n->what, sizeof n->what, "%s", f->what);
    copy_name(n->name, f->name);
    copy_name(n->end_name, f->end_name);
    return true;
}

static void verify(judgement *j, os_sim *s)
{
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = os_sim_os(s)};
    const persist_watcher watcher = {PERSIST_WATCHER, &j->findings, note, NULL};
    persist_error error;
    uint64_t before = os_sim_hash(s);
    persist_status status = persist_verify(&options, &watcher, NULL, &error);
    /* without manifests nobody can tell a store from another directory */
    bool nothing =
        status == PERSIST_BAD_STORE && (j->damage->kind == DAMAGE_DELETE ||
                                        j->damage->kind == DAMAGE_OLDER_GROUP);
    if (status != PERSIST_OK && !nothing)
        wrong(j, "verify did not run", error.message);
    if (os_sim_hash(s) != before)
        wrong(j, "verify changed something", "");
    if (os_sim_open_files(s) != 0)
        wrong(j, "verify left a file open", "");
}

/* A file that is missing may be named by its folder. */
static bool names_path(const judgement *j, const char *path)
{
    damage_kind kind = j->damage->kind;
    bool gone = kind == DAMAGE_DELETE || kind == DAMAGE_OLDER ||
                kind == DAMAGE_OLDER_GROUP;
    for (size_t i = 0; i < j->findings.count; i++) {
        const char *named = j->findings.items[i].path;
        size_t size = strlen(named), least = strlen(path);
        if (strcmp(named, path) == 0)
            return true;
        if (gone && (strncmp(path, named, size) == 0 ||
                     strncmp(path, named, least) == 0))
            return true;
        /* that a manifest is missing shows in the log */
        if (gone && strncmp(path, "store/manifest", 14) == 0)
            return true;
        /* where a record is missing, the log before it is named */
        if (gone && strncmp(path, "store/wal", 9) == 0 &&
            strncmp(named, "store/wal", 9) == 0)
            return true;
    }
    return false;
}

static bool is_named(const judgement *j)
{
    const target *t = j->target;
    return names_path(j, t->files[j->damage->file].path) ||
           (j->damage->kind == DAMAGE_SWAP &&
            names_path(j, t->files[j->damage->other].path));
}

/* ---- reads ------------------------------------------------------------ */

/* Tells whether a place lies in [first, end) of names and numbers. */
static bool in_range(const finding *f, const char *name, uint64_t from,
                     uint64_t to)
{
    if (f->f.name.data == NULL)
        return true;
    int low = strcmp(name, f->name);
    int high = f->f.end_name.data == NULL ? -1 : strcmp(name, f->end_name);
    if (low < 0 || high > 0)
        return false;
    if (low == 0 && f->f.number > 0 && to < f->f.number)
        return false;
    return high < 0 || (f->f.end_number > 0 && from < f->f.end_number);
}

/* The same of an event that is asked for by the order of all, or a tag. */
static bool touches_event(const finding *f, const probe *p,
                          const shape_event *e)
{
    switch (f->f.touched) {
    case PERSIST_TOUCHED_EVENTS:
        return in_range(f, e->stream, e->seq, e->seq);
    case PERSIST_TOUCHED_STREAMS:
        return in_range(f, e->stream, 0, UINT64_MAX);
    case PERSIST_TOUCHED_POSITIONS:
        return e->position >= f->f.number &&
               (f->f.end_number == 0 || e->position < f->f.end_number);
    case PERSIST_TOUCHED_TAGS: /* all of one size */
        return p->kind == PROBE_QUERY &&
               in_range(f, p->name, e->position, e->position);
    default:
        return false;
    }
}

static bool touches_ordered(const finding *f, const probe *p, const shape *s)
{
    bool touched = false, any = false;
    for (size_t i = 0; i < s->event_count && !touched; i++) {
        const shape_event *e = &s->events[i];
        bool asked = p->kind != PROBE_QUERY || probe_matches(p, e);
        touched = asked && touches_event(f, p, e);
        any = any || asked;
    }
    /* that there is none is read as well */
    return touched || (!any && f->f.touched == PERSIST_TOUCHED_TAGS &&
                       in_range(f, p->name, p->from, p->from));
}

/* Tells whether a read may fail because of a finding. */
static bool touches(const finding *f, const probe *p, const shape *s)
{
    bool events = p->kind == PROBE_STREAM || p->kind == PROBE_BACK;
    bool ordered = p->kind == PROBE_ALL || p->kind == PROBE_QUERY ||
                   p->kind == PROBE_TIMES;
    uint64_t most = UINT64_MAX;
    switch (f->f.touched) {
    case PERSIST_TOUCHED_UNKNOWN: /* a part of the filter, or blobs */
        return p->kind != PROBE_STREAMS && p->kind != PROBE_KEYS &&
               p->kind != PROBE_IDS;
    case PERSIST_TOUCHED_EVENTS:
        return (events && in_range(f, p->name, p->from, most)) ||
               (ordered && touches_ordered(f, p, s));
    case PERSIST_TOUCHED_STREAMS:
        return p->kind == PROBE_STREAMS ||
               ((events || p->kind == PROBE_INFO) &&
                in_range(f, p->name, 0, most)) ||
               (ordered && touches_ordered(f, p, s));
    case PERSIST_TOUCHED_KEYS:
        return p->kind == PROBE_KEYS ||
               (p->kind == PROBE_KEY && in_range(f, p->name, 0, most));
    case PERSIST_TOUCHED_IDS:
        return p->kind == PROBE_IDS ||
               (p->kind == PROBE_ID && in_range(f, p->name, 0, most));
    case PERSIST_TOUCHED_POSITIONS:
    case PERSIST_TOUCHED_TAGS:
        return ordered && touches_ordered(f, p, s);
    case PERSIST_TOUCHED_BLOB:
        return p->kind == PROBE_BLOB && strcmp(p->name, f->name) == 0;
    case PERSIST_TOUCHED_COMMITS:
        return false;
    }
    return false;
}

static bool is_touched(const judgement *j, const probe *p)
{
    if (j->damage->kind != DAMAGE_FLIP)
        return true;
    for (size_t i = 0; i < j->findings.count; i++)
        if (touches(&j->findings.items[i], p, j->target->shape))
            return true;
    return false;
}

static void ask(judgement *j, persist_store *store, const uint64_t *answers)
{
    const shape *s = j->target->shape;
    char text[SHAPE_NAME_MAX * 2];
    for (size_t i = 0; i < s->probe_count && j->right; i++) {
        const probe *p = &s->probes[i];
        persist_error error;
        uint64_t digest;
        persist_status status = probe_ask(store, p, &digest, &error);
        if (status == PERSIST_CORRUPT) {
            j->failed = true;
            if (!is_touched(j, p))
                wrong(j, "a read fails that is not touched",
                      probe_text(p, text));
        } else if (status != PERSIST_OK) {
            wrong(j, "a read fails otherwise", error.message);
        } else if (digest != answers[i]) {
            wrong(j, "a read is wrong", probe_text(p, text));
        }
    }
}

static bool takes_proof(const target *t, size_t file, uint32_t at)
{
    return file == t->last_log && t->proof < at + SECTOR &&
           at < t->proof + RECORD_HEADER_SIZE;
}

/* Whether the proof, if there is one, has gone with what was damaged: of one
 * flip it is itself what was damaged, or what tells of it. */
static bool is_unproven(const judgement *j)
{
    const target *t = j->target;
    const damage *d = j->damage;
    if (t->proof == UINT32_MAX)
        return true;
    switch (d->kind) {
    case DAMAGE_FLIP:
        return false;
    case DAMAGE_ZERO:
    case DAMAGE_COPY:
        return takes_proof(t, d->file, d->at);
    case DAMAGE_SWAP:
        return takes_proof(t, d->file, d->at) ||
               takes_proof(t, d->other, d->from);
    case DAMAGE_CUT:
    case DAMAGE_DELETE:
    case DAMAGE_OLDER:
    case DAMAGE_OLDER_GROUP:
    case DAMAGE_KINDS:
        break;
    }
    return true;
}

/* The earliest commit that it may be open as after. In a log that was not
 * closed, and not quiet, the last batch looks like the tear of a write that
 * nobody waited for; with the sector that holds the proof, or the file, go
 * those before it. */
static persist_lsn lowest(const judgement *j)
{
    const target *t = j->target;
    const damage *d = j->damage;
    const shape *s = t->shape;
    bool last = d->file == t->last_log ||
                (d->kind == DAMAGE_SWAP && d->other == t->last_log) ||
                (d->kind == DAMAGE_OLDER_GROUP &&
                 strcmp(t->files[d->file].path, "store/wal") == 0);
    /* A cut shows, but where too little is left to tell whose it is. */
    bool shows = d->kind == DAMAGE_CUT && d->at >= HEADER_KNOWN;
    if (s->closed || !last || shows || !is_unproven(j))
        return s->latest;
    return d->kind == DAMAGE_FLIP ? s->latest - 1 : 0;
}

/* What nobody has touched can be written. */
static void write_on(judgement *j, persist_store *store)
{
    const persist_edit edits[] = {{.kind = PERSIST_APPEND,
                                   .name = slice_str("stream-new"),
                                   .data = slice_str("new")},
                                  {.kind = PERSIST_PUT,
                                   .name = slice_str("key-new"),
                                   .data = slice_str("new")}};
    persist_error error;
    persist_status status = persist_commit(store, edits, 2, NULL, NULL, &error);
    if (status == PERSIST_OK)
        status = persist_wait_durable(store, store_visible(store), &error);
    if (status != PERSIST_OK && status != PERSIST_CORRUPT)
        wrong(j, "writing fails otherwise", error.message);
}

static void read_store(judgement *j, os_sim *image)
{
    const shape *s = j->target->shape;
    persist_store *store = NULL;
    persist_error error;
    persist_status status = shape_open(image, &store, &error);
    j->refused = status != PERSIST_OK;
    if (j->refused) {
        bool gone =
            status == PERSIST_BAD_STORE && j->damage->kind >= DAMAGE_DELETE;
        if (status != PERSIST_CORRUPT && !gone)
            wrong(j, "opening fails otherwise", error.message);
        return;
    }
    persist_lsn latest = shape_commit(store_visible(store));
    j->earlier = latest < s->latest;
    if (latest > s->latest || latest < lowest(j) || !s->answered[latest])
        wrong(j, "opened as after another commit", "");
    else
        ask(j, store, s->answers[latest]);
    if (j->right && j->bit == 0)
        write_on(j, store);
    os_sim_fail(
        image,
        (sim_fault){.calls = ~0u, .nth = 1, .from_then_on = true, .error = 5});
    persist_close(store, NULL);
}

/* A flip in a table ends no opening, unless the table itself is not to be
 * known by its footer. */
static bool may_refuse(const judgement *j)
{
    const sim_file *f = &j->target->files[j->damage->file];
    if (j->damage->kind != DAMAGE_FLIP ||
        strncmp(f->path, "store/tables/", 13) != 0)
        return true;
    return j->findings.count > 0 &&
           j->findings.items[0].f.touched == PERSIST_TOUCHED_COMMITS;
}

/* ---- judging ---------------------------------------------------------- */

static void note_place(judgement *j)
{
    const damage *d = j->damage;
    const sim_file *f = &j->target->files[d->file];
    uint32_t place = 0;
    for (size_t i = 0; i < j->findings.count; i++) {
        const finding *n = &j->findings.items[i];
        if (strcmp(n->path, f->path) != 0)
            continue;
        if (n->f.offset != UINT64_MAX && n->f.offset > d->at)
            wrong(j, "verify names a place behind the damage", "");
        place = n->f.offset == UINT64_MAX ? 1 : (uint32_t)n->f.offset + 1;
        break;
    }
    j->target->named[d->file][d->at] = place;
}

static void count(judgement *j)
{
    damage_figures *n = j->figures;
    n->tried[j->damage->kind]++;
    n->refused += j->refused;
    n->failed += j->failed;
    n->earlier += j->earlier;
    if (!j->refused && !j->failed && !j->earlier) {
        n->found += j->findings.count > 0;
        n->harmless += j->findings.count == 0;
    }
    n->violations += !j->right;
}

static bool judge_one(target *t, const damage *d, uint32_t bit,
                      damage_figures *figures, buf *report)
{
    judgement *j = sim_alloc(sizeof *j);
    *j = (judgement){.target = t,
                     .damage = d,
                     .bit = bit,
                     .figures = figures,
                     .report = report,
                     .right = true};
    os_sim *image = make_image(j);
    verify(j, image);
    if (j->right)
        read_store(j, image);
    if (j->right && j->refused && !may_refuse(j))
        wrong(j, "opening is refused for a block", "");
    if (j->right && (j->refused || j->failed) && !is_named(j))
        wrong(j, "verify does not name the file", "");
    if (j->right && d->kind == DAMAGE_FLIP)
        note_place(j);
    count(j);
    bool right = j->right;
    os_sim_free(image);
    free(j);
    return right;
}

bool damage_judge(target *t, const damage *d, damage_figures *figures,
                  buf *report)
{
    bool right = true;
    uint32_t bits = d->kind == DAMAGE_FLIP ? 8 : 1;
    for (uint32_t bit = 0; bit < bits && right; bit++)
        right = judge_one(t, d, bit, figures, report);
    return right;
}

bool damage_check_places(target *t, buf *report)
{
    for (size_t i = 0; i < t->file_count; i++)
        for (size_t at = 1; at < t->files[i].bytes.size; at++) {
            uint32_t before = t->named[i][at - 1], now = t->named[i][at];
            if (before == 0 || now == 0 || now == before || now == at + 1)
                continue;
            buf_printf(report, "%s, %s: a flip at %zu is named at %u\n",
                       t->shape->name, t->files[i].path, at, now - 1);
            return false;
        }
    return true;
}
