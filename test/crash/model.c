/* SPDX-License-Identifier: MIT */
/* The model: random commits and reads go to the memory backend and to the
 * disk backend, which is closed and opened at random moments. Both must agree
 * on every answer, error, number and order, in both views. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/bugs.h"
#include "../lib/clock.h"
#include "../lib/os_sim.h"
#include "../lib/os_sim_disk.h"
#include "base/buf.h"
#include "base/slice.h"
#include "persist.h"
#include "store/store.h"

enum { EDITS_MAX = 6, NAMES = 10, DATA_MAX = 5000, PENDING_MAX = 4096 };

/* A commit that the durable twin has not got yet. */
typedef struct pending {
    persist_lsn lsn;
    persist_edit edits[EDITS_MAX];
    size_t count;
    bool has_once;
    persist_once once;
    uint8_t *bytes; /* of the data, owned */
} pending;

typedef struct pair {
    uint64_t seed, random;
    persist_options options;
    os_sim *sim;           /* NULL: the real system */
    persist_store *disk;   /* under test */
    persist_store *latest; /* all that was committed */
    persist_store *twin;   /* all that is durable on disk */
    pending *waiting;
    size_t waiting_count;
    buf said; /* by the disk, and by the model */
    buf wanted;
    uint64_t checks;
    const char *failed;
} pair;

static uint64_t draw(pair *p, uint64_t below)
{
    return sim_random(&p->random) % below;
}

static slice any_name(pair *p)
{
    static const struct {
        const char *text;
        size_t size;
    } names[NAMES - 1] = {{"", 0},    {"a", 1},    {"b", 1},
                          {"a/b", 3}, {"\0", 1},   {"\xff\xfe", 2},
                          {"$g", 2},  {"a\0b", 3}, {"..", 2}};
    static char longest[PERSIST_NAME_SIZE_MAX];
    uint64_t i = draw(p, NAMES);
    if (i < NAMES - 1)
        return slice_of(names[i].text, names[i].size);
    return slice_of(longest, 300 + draw(p, 3));
}

/* Values are equal for this test when they differ in case only. */
static bool equal_but_case(void *context, slice a, slice b)
{
    (void)context;
    for (size_t i = 0; i < a.size && i < b.size; i++)
        if ((((const char *)a.data)[i] | 32) !=
            (((const char *)b.data)[i] | 32))
            return false;
    return a.size == b.size;
}

static slice any_data(pair *p, uint8_t *out)
{
    size_t size = draw(p, 12) == 0 ? draw(p, DATA_MAX) : draw(p, 60);
    uint64_t letter = draw(p, 26);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)('a' + (letter + i / 9) % 26);
    return slice_of(out, size);
}

/* ---- comparing -------------------------------------------------------- */

static void agree(pair *p, const char *what)
{
    p->checks++;
    if (p->failed != NULL ||
        slice_equal(buf_slice(&p->said), buf_slice(&p->wanted)))
        return;
    p->failed = what;
    printf("VIOLATION in %s\n disk: %.*s\nmodel: %.*s\n", what,
           (int)p->said.size, (const char *)p->said.data, (int)p->wanted.size,
           (const char *)p->wanted.data);
}

static void clear(pair *p)
{
    buf_clear(&p->said);
    buf_clear(&p->wanted);
}

static void put_status(buf *out, persist_status status,
                       const persist_error *error)
{
    buf_printf(out, "%s ", persist_status_code(status));
    if (status <= PERSIST_NONE)
        return;
    if (error->has & PERSIST_HAS_NUMBERS)
        buf_printf(out, "expected %llu actual %llu ",
                   (unsigned long long)error->expected,
                   (unsigned long long)error->actual);
    if (error->has & PERSIST_HAS_STREAM)
        buf_put(out, error->stream, error->stream_size);
}

static void put_outcome(buf *out, const persist_outcome *o)
{
    buf_printf(out, "kind %d lsn %llu edit %zu seq %llu present %d ",
               (int)o->kind, (unsigned long long)o->lsn, o->edit,
               (unsigned long long)o->actual_seq, o->actual_present);
    for (size_t i = 0; i < o->seq_count; i++)
        buf_printf(out, "#%llu ", (unsigned long long)o->seqs[i]);
    buf_put_slice(out, o->actual_value);
}

/* ---- committing ------------------------------------------------------- */

static uint64_t any_seq(pair *p, slice name)
{
    persist_stream_info info;
    persist_info(p->latest, name, PERSIST_LATEST, &info, NULL, NULL);
    switch (draw(p, 8)) {
    case 0:
        return draw(p, 5);
    case 1:
        return info.mark + draw(p, 20);
    case 2:
        return draw(p, 400) == 0 ? PERSIST_SEQ_MAX - draw(p, 3) : info.mark;
    case 3:
        return info.mark / 2;
    default:
        return info.mark + draw(p, 2);
    }
}

static persist_edit any_edit(pair *p, uint8_t *bytes)
{
    static const persist_edit_kind kinds[] = {
        PERSIST_APPEND,     PERSIST_APPEND,       PERSIST_APPEND,
        PERSIST_APPEND,     PERSIST_APPEND,       PERSIST_APPEND_AT,
        PERSIST_PUT,        PERSIST_PUT,          PERSIST_PUT,
        PERSIST_DELETE,     PERSIST_TRUNCATE,     PERSIST_SET_MARK,
        PERSIST_EXPECT_SEQ, PERSIST_SET_POSITION, PERSIST_EXPECT_ABSENT,
        PERSIST_EXPECT_KEY};
    persist_edit edit = {.kind = kinds[draw(p, 16)], .name = any_name(p)};
    edit.seq = any_seq(p, edit.name);
    if (edit.kind == PERSIST_SET_POSITION)
        edit.seq = draw(p, 300);
    edit.data = any_data(p, bytes);
    slice value;
    bool known = edit.kind == PERSIST_EXPECT_KEY && draw(p, 2) == 0 &&
                 persist_get(p->latest, edit.name, PERSIST_LATEST, &value,
                             NULL) == PERSIST_OK;
    if (!known)
        return edit;
    edit.data.size = value.size < DATA_MAX ? value.size : DATA_MAX;
    for (size_t i = 0; i < edit.data.size; i++)
        bytes[i] = ((const uint8_t *)value.data)[i] ^ 32;
    persist_free(value.data);
    return edit;
}

static persist_status commit_to(persist_store *store, const pending *c,
                                persist_lsn *lsn, buf *said)
{
    persist_outcome outcome = {0};
    persist_error error = {0};
    persist_status status =
        persist_commit(store, c->edits, c->count, c->has_once ? &c->once : NULL,
                       &outcome, &error);
    if (said != NULL) {
        put_status(said, status, &error);
        if (status == PERSIST_OK)
            put_outcome(said, &outcome);
    }
    *lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    return status;
}

static void commit(pair *p)
{
    static const char *const ids[] = {"", "x", "y", "z", "\0\0"};
    pending c = {.bytes = sim_alloc(EDITS_MAX * DATA_MAX)};
    c.count = draw(p, 4) == 0 ? draw(p, EDITS_MAX + 1) : 1;
    for (size_t i = 0; i < c.count; i++)
        c.edits[i] = any_edit(p, c.bytes + i * DATA_MAX);
    c.has_once = draw(p, 10) == 0;
    c.once.id = slice_of(ids[draw(p, 5)], draw(p, 2));
    c.once.fingerprint[3] = (uint8_t)draw(p, 2);
    persist_lsn before = persist_latest(p->latest);
    persist_lsn ignored;
    clear(p);
    commit_to(p->disk, &c, &ignored, &p->said);
    commit_to(p->latest, &c, &ignored, &p->wanted);
    agree(p, "commit");
    c.lsn = persist_latest(p->latest);
    if (c.lsn == before || p->waiting_count == PENDING_MAX) {
        free(c.bytes);
        return;
    }
    p->waiting[p->waiting_count++] = c;
}

/* Brings the twin up to what the disk backend says is durable. */
static void follow(pair *p)
{
    persist_lsn durable = persist_durable(p->disk), ignored;
    size_t done = 0;
    while (done < p->waiting_count && p->waiting[done].lsn <= durable) {
        commit_to(p->twin, &p->waiting[done], &ignored, NULL);
        free(p->waiting[done++].bytes);
    }
    p->waiting_count -= done;
    memmove(p->waiting, p->waiting + done,
            p->waiting_count * sizeof *p->waiting);
}

/* ---- reading ---------------------------------------------------------- */

/* A read, the same for both. */
typedef struct reading {
    int kind;
    slice name, after;
    bool has_after;
    uint64_t from, limit;
    persist_view view;
} reading;

static reading any_reading(pair *p)
{
    reading r = {.kind = (int)draw(p, 5), .name = any_name(p)};
    r.after = any_name(p);
    r.has_after = draw(p, 2) == 0;
    r.from = draw(p, 4) == 0 ? UINT64_MAX : any_seq(p, r.name);
    r.limit = draw(p, 3) == 0 ? draw(p, 6) : PERSIST_NO_LIMIT;
    r.view = draw(p, 2) == 0 ? PERSIST_DURABLE : PERSIST_LATEST;
    if (r.kind == 4 && r.name.size > 1)
        r.name.size = draw(p, 3);
    return r;
}

static persist_status open_reading(persist_store *store, const reading *r,
                                   persist_cursor **out)
{
    const slice *after = r->has_after ? &r->after : NULL;
    switch (r->kind) {
    case 0:
        return persist_read(store, r->name, r->from, r->limit, r->view, out,
                            NULL);
    case 1:
        return persist_read_back(store, r->name, r->from, r->limit, r->view,
                                 out, NULL);
    case 2:
        return persist_read_all(store, r->from, r->limit, r->view, out, NULL);
    case 3:
        return persist_streams(store, after, r->view, out, NULL);
    default:
        return persist_scan(store, r->name, after, r->limit, r->view, out,
                            NULL);
    }
}

static void drain(persist_cursor *cursor, const reading *r, buf *out)
{
    persist_event event;
    slice name, value;
    persist_status status = PERSIST_OK;
    persist_error error = {0};
    while (status == PERSIST_OK && r->kind <= 2) {
        status = persist_next_event(cursor, &event, &error);
        if (status != PERSIST_OK)
            break;
        buf_put_slice(out, event.stream);
        buf_printf(out, " %llu@%llu ", (unsigned long long)event.seq,
                   (unsigned long long)event.position);
        buf_put_slice(out, event.data);
    }
    while (status == PERSIST_OK) {
        status = persist_next_key(cursor, &name, &value, &error);
        if (status != PERSIST_OK)
            break;
        buf_put_slice(out, name);
        buf_put_byte(out, '=');
        buf_put_slice(out, value);
        buf_put_byte(out, ' ');
    }
    put_status(out, status, &error);
    persist_cursor_close(cursor);
}

static void read_info_and_key(pair *p, persist_store *oracle, persist_view view)
{
    slice name = any_name(p);
    persist_store *stores[2] = {p->disk, oracle};
    buf *outs[2] = {&p->said, &p->wanted};
    for (int i = 0; i < 2; i++) {
        persist_stream_info info;
        persist_error error = {0};
        bool known = false;
        slice value = {0};
        put_status(outs[i],
                   persist_info(stores[i], name, view, &info, &known, &error),
                   &error);
        buf_printf(
            outs[i], "%d %llu %llu %llu %llu ", known,
            (unsigned long long)info.mark, (unsigned long long)info.first,
            (unsigned long long)info.count, (unsigned long long)info.bytes);
        put_status(outs[i], persist_has(stores[i], name, view, &error), &error);
        put_status(outs[i], persist_get(stores[i], name, view, &value, &error),
                   &error);
        buf_put_slice(outs[i], value);
        persist_free(value.data);
    }
}

static persist_store *model_of(pair *p, persist_view view)
{
    if (view == PERSIST_LATEST)
        return p->latest;
    follow(p);
    return p->twin;
}

/* Reads; with commits between opening the cursors and using them, at times. */
static void read_both(pair *p)
{
    reading r = any_reading(p);
    persist_store *oracle = model_of(p, r.view);
    persist_cursor *a = NULL, *b = NULL;
    buf said = {0}, wanted = {0};
    bool later = draw(p, 3) == 0;
    /* A thread may have synced since: a view that moves cannot be compared. */
    if (r.view == PERSIST_DURABLE && p->options.background)
        return;
    persist_status first = open_reading(p->disk, &r, &a);
    persist_status second = open_reading(oracle, &r, &b);
    for (uint64_t i = draw(p, 8); later && i > 0; i--)
        commit(p);
    clear(p);
    buf_printf(&said, "%d ", first);
    buf_printf(&wanted, "%d ", second);
    if (first == PERSIST_OK)
        drain(a, &r, &said);
    if (second == PERSIST_OK)
        drain(b, &r, &wanted);
    buf_put_slice(&p->said, buf_slice(&said));
    buf_put_slice(&p->wanted, buf_slice(&wanted));
    agree(p, later ? "a cursor held over commits" : "a read");
    clear(p);
    read_info_and_key(p, model_of(p, r.view), r.view);
    agree(p, "info and key");
    buf_release(&said);
    buf_release(&wanted);
}

/* ---- opening and closing ---------------------------------------------- */

static void open_disk(pair *p)
{
    persist_error error;
    if (persist_open(&p->options, &p->disk, &error) != PERSIST_OK) {
        printf("VIOLATION: opening: %s\n", error.message);
        p->failed = "opening";
    }
}

static void close_disk(pair *p)
{
    persist_error error;
    if (persist_close(p->disk, &error) != PERSIST_OK) {
        printf("VIOLATION: closing: %s\n", error.message);
        p->failed = "closing";
    }
    p->disk = NULL;
}

static void wait_disk(pair *p)
{
    persist_error error = {0};
    persist_lsn latest = persist_latest(p->latest);
    persist_lsn lsn = draw(p, 2) == 0 ? latest : draw(p, latest + 2);
    clear(p);
    put_status(&p->said, persist_wait_durable(p->disk, lsn, &error), &error);
    put_status(&p->wanted, persist_wait_durable(p->latest, lsn, &error),
               &error);
    buf_printf(&p->said, "%d", persist_durable(p->disk) >= lsn || lsn > latest);
    buf_printf(&p->wanted, "1");
    agree(p, "wait_durable");
}

static persist_store *open_memory(const pair *p)
{
    persist_store *store = NULL;
    persist_options options = p->options;
    options.path = NULL;
    persist_status status = persist_open(&options, &store, NULL);
    CHECK(status == PERSIST_OK);
    return store;
}

static void step(pair *p)
{
    uint64_t what = draw(p, 100);
    if (what < 60) {
        commit(p);
    } else if (what < 90) {
        read_both(p);
    } else if (what < 97) {
        bool did;
        wait_disk(p);
        if (store_step(p->disk, &did, NULL) != PERSIST_OK)
            p->failed = "background work";
    } else {
        close_disk(p);
        if (p->failed == NULL)
            open_disk(p);
    }
}

/* Runs one sequence; returns false when the two disagreed. */
static bool run(pair *p, unsigned steps)
{
    p->random = p->seed;
    p->options.create = true;
    p->options.equal = equal_but_case;
    p->latest = open_memory(p);
    p->twin = open_memory(p);
    p->waiting = sim_alloc(PENDING_MAX * sizeof *p->waiting);
    open_disk(p);
    for (unsigned i = 0; i < steps && p->failed == NULL; i++)
        step(p);
    if (p->disk != NULL)
        close_disk(p);
    persist_close(p->latest, NULL);
    persist_close(p->twin, NULL);
    for (size_t i = 0; i < p->waiting_count; i++)
        free(p->waiting[i].bytes);
    free(p->waiting);
    buf_release(&p->said);
    buf_release(&p->wanted);
    return p->failed == NULL;
}

/* From a table a commit to none at all. */
static void choose_tables(pair *p)
{
    static const uint32_t sizes[] = {1, 300, 3000, 30000, 0};
    /* A real table takes a few real syncs. */
    uint64_t smallest = p->options.os == NULL ? 2 : 0;
    p->options.memtable_size = sizes[smallest + p->seed / 4 % (5 - smallest)];
    p->options.merge_width = 2 + p->seed / 20 % 3;
    p->options.cache_size = 4096u << p->seed % 7;
    p->options.compress = p->seed % 8 < 4;
}

/* On the real system, with its thread, in a new directory. */
static bool run_real(uint64_t seed, unsigned steps, uint64_t *checks)
{
    char dir[] = "/tmp/persist-model-XXXXXX";
    char path[64], command[96];
    if (mkdtemp(dir) == NULL)
        return false;
    snprintf(path, sizeof path, "%s/store", dir);
    pair p = {.seed = seed};
    p.options.path = path;
    p.options.background = seed % 2 == 0;
    p.options.segment_size = seed % 3 == 0 ? 4096 : 65536;
    choose_tables(&p);
    bool ok = run(&p, steps);
    *checks += p.checks;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 && ok;
}

static bool run_simulated(uint64_t seed, unsigned steps, uint64_t *checks)
{
    pair p = {.seed = seed, .sim = os_sim_new(seed)};
    p.options.path = "store";
    p.options.segment_size = 4096u << seed % 5;
    choose_tables(&p);
    os_sim_refuse_maps(p.sim, (unsigned)(seed / 2 % 4));
    p.options.os = os_sim_os(p.sim);
    bool ok = run(&p, steps);
    *checks += p.checks;
    ok = ok && os_sim_open_files(p.sim) == 0;
    os_sim_free(p.sim);
    return ok;
}

int main(int argc, char **argv)
{
    arguments args = arguments_read(argc, argv, 15);
    uint64_t checks = 0, failed = 0, runs = 0;
    static explorer unused;
    if (!bugs_set(&unused, args.bug)) {
        bugs_list();
        return 2;
    }
    while (seconds() < args.budget && failed == 0) {
        static char word[64];
        uint64_t seed = args.seed + runs++;
        unsigned steps = 100 + seed % 7 * 300;
        snprintf(word, sizeof word, "model --seed %llu",
                 (unsigned long long)seed);
        last_word(word);
        bool ok = seed % 4 == 0 ? run_real(seed, steps, &checks)
                                : run_simulated(seed, steps, &checks);
        if (!ok)
            printf("replay: %s (%s)\n", word,
                   seed % 4 == 0 ? "real" : "simulated");
        failed += !ok;
    }
    printf("figure: %llu sequences, %llu answers compared, %.0f s\n",
           (unsigned long long)runs, (unsigned long long)checks, seconds());
    return verdict(checks, failed);
}
