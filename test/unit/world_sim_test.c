/* SPDX-License-Identifier: MIT */
/* The world moves at every call of a store's life, in the simulation: another
 * actor moves the directory, puts a copy there, deletes or replaces the lock,
 * mounts the disk anew, fills it, or opens the store as well.
 *
 * What must hold: of two owners only one is told that something is durable;
 * what was acknowledged is in the directory that it was acknowledged for;
 * whoever is told no is told why; and what was being read is read to its end.
 */
#include <errno.h>
#include <inttypes.h>

#include "fixture.h"

enum { COMMITS = 60, BLOB_EACH = 8, HOLD_AT = COMMITS / 3 };
enum { HOLD_EACH = 5 }; /* of so many lives one holds something */

typedef enum held_kind { STREAM, BACK, ALL, QUERY, KEYS, IDS, HELD } held_kind;

/* Cursors of one state that stay open, and a snapshot of it. */
typedef struct holding {
    persist_snapshot *kept; /* NULL: none yet */
    persist_cursor *cursors[HELD];
    unsigned taken[HELD];
    unsigned count; /* of all that there is */
} holding;

typedef enum action {
    MOVE,            /* the directory gets another name */
    MOVE_AND_COPY,   /* and a copy of it takes its place */
    MOVE_AND_RETURN, /* and gets its own back: nothing has happened */
    DELETE_LOCK,
    REPLACE_LOCK,
    OPEN,       /* a second owner tries, and nothing else */
    TAKE_BLOBS, /* a part of it goes, and a copy may take its place */
    TAKE_TEMPORARY,
    TAKE_MANIFESTS,
    TAKE_SEGMENTS,
    TAKE_PACK,
    READ_ONLY, /* the disk */
    FULL,      /* the disk, for a while */
    ACTIONS
} action;

/* A store that somebody works in, and what he was told is durable. */
typedef struct owner {
    persist_store *store;
    const char *keys;
    bool holds;    /* and commits what cursors of all kinds find */
    unsigned said; /* keys "<keys>0", "<keys>1" ... */
    persist_cid cids[COMMITS / BLOB_EACH + 1];
} owner;

typedef struct world {
    os_sim *sim;
    action action;
    uint64_t at;   /* the call to act at */
    bool reached;  /* that call */
    bool acted;    /* to an effect, */
    bool opened;   /* with the store open, */
    unsigned said; /* when the first owner was told so much */
    owner first, second;
    holding held; /* by the first */
} world;

static uint64_t points, refused;

/* ---- the actor -------------------------------------------------------- */

typedef struct copy {
    const os *sys;
    const os_dir *from, *to;
} copy;

static int copy_name(void *context, const char *name);

static int copy_folder(const copy *c, const char *name, const char *as)
{
    os_dir *from, *to;
    assert_int_equal(c->sys->dir_make(c->sys, c->to, as), 0);
    assert_int_equal(c->sys->dir_open(c->sys, c->from, name, &from), 0);
    assert_int_equal(c->sys->dir_open(c->sys, c->to, as, &to), 0);
    copy inner = {c->sys, from, to};
    assert_int_equal(c->sys->dir_list(c->sys, from, copy_name, &inner), 0);
    os_dir_sync(c->sys, to);
    c->sys->dir_close(c->sys, from);
    c->sys->dir_close(c->sys, to);
    return 0;
}

static int copy_name(void *context, const char *name)
{
    const copy *c = context;
    const os *sys = c->sys;
    os_stat stat;
    os_file *from, *to;
    size_t got;
    assert_int_equal(sys->stat(sys, c->from, name, &stat), 0);
    if (stat.is_dir)
        return copy_folder(c, name, name);
    uint8_t *bytes = malloc(stat.size + 1);
    assert_int_equal(sys->file_open(sys, c->from, name, OS_READ, &from), 0);
    assert_int_equal(os_read_all(sys, from, bytes, (size_t)stat.size, 0, &got),
                     0);
    int flags = OS_WRITE | OS_CREATE;
    assert_int_equal(sys->file_open(sys, c->to, name, flags, &to), 0);
    if (got > 0)
        assert_int_equal(os_write_all(sys, to, bytes, got, 0), 0);
    sys->file_sync(sys, to); /* who copies a store sees to it */
    sys->file_close(sys, from);
    sys->file_close(sys, to);
    free(bytes);
    return 0;
}

/* Takes what a folder has with these names out of the store. */
typedef struct taking {
    const os *sys;
    os_dir *from, *aside;
    const char *begins, *ends;
    bool copies;
    unsigned taken;
} taking;

static int take_name(void *context, const char *name)
{
    taking *t = context;
    const os *sys = t->sys;
    size_t size = strlen(name), end = strlen(t->ends);
    if (strncmp(name, t->begins, strlen(t->begins)) != 0 || size < end ||
        strcmp(name + size - end, t->ends) != 0)
        return 0;
    assert_int_equal(sys->rename(sys, t->from, name, t->aside, name), 0);
    t->taken++;
    return 0;
}

static int return_name(void *context, const char *name)
{
    const taking *t = context;
    os_stat stat;
    if (t->sys->stat(t->sys, t->from, name, &stat) == 0)
        return 0; /* it was made anew */
    return t->sys->rename(t->sys, t->aside, name, t->from, name);
}

static const struct {
    const char *folder, *begins, *ends;
} parts[ACTIONS] = {
    [TAKE_BLOBS] = {"store", "blobs", ""},
    [TAKE_TEMPORARY] = {"store", "tmp", ""},
    [TAKE_MANIFESTS] = {"store", "manifest.", ""},
    [TAKE_SEGMENTS] = {"store/wal", "", ".log"},
    [TAKE_PACK] = {"store/blobs", "", ".pak"},
};

/* Moves a part of the store aside, or back again; whether there was one. */
static bool take(const os *sys, action a, bool back, bool copies)
{
    taking t = {.sys = sys, .begins = parts[a].begins, .ends = parts[a].ends};
    if (sys->dir_open(sys, sys->cwd, parts[a].folder, &t.from) != 0)
        return false;
    sys->dir_make(sys, sys->cwd, "aside");
    assert_int_equal(sys->dir_open(sys, sys->cwd, "aside", &t.aside), 0);
    if (back)
        sys->dir_list(sys, t.aside, return_name, &t);
    else
        sys->dir_list(sys, t.from, take_name, &t);
    if (copies)
        sys->dir_list(sys, t.aside, copy_name, &(copy){sys, t.aside, t.from});
    os_dir_sync(sys, t.from);
    os_dir_sync(sys, t.aside);
    os_dir_sync(sys, sys->cwd);
    sys->dir_close(sys, t.from);
    sys->dir_close(sys, t.aside);
    return t.taken > 0;
}

static int rename_in(const os *sys, const char *from, const char *to)
{
    return sys->rename(sys, sys->cwd, from, sys->cwd, to);
}

static persist_status put(owner *o, persist_error *error)
{
    char named[16];

    snprintf(named, sizeof named, "%s%u", o->keys, o->said);
    if (o->said % BLOB_EACH == 0) {
        persist_status status = persist_blob_put(
            o->store, slice_str(named), o->cids[o->said / BLOB_EACH], error);
        if (status != PERSIST_OK)
            return status;
    }
    const slice name = slice_str(named), tag = slice_str("t");
    const persist_edit edits[] = {
        {.kind = PERSIST_PUT, .name = name, .data = name},
        {.kind = PERSIST_APPEND,
         .name = slice_str("s"),
         .data = name,
         .tags = &tag,
         .tag_count = 1},
    };
    const persist_once id = {.id = name};
    persist_outcome out;
    persist_status status = persist_commit(o->store, edits, o->holds ? 2 : 1,
                                           o->holds ? &id : NULL, &out, error);
    if (status == PERSIST_OK) {
        status = persist_wait_durable(o->store, out.lsn, error);
        persist_outcome_release(&out);
    }
    o->said += status == PERSIST_OK;
    return status;
}

static persist_status open_owner(const os *sys, owner *o, persist_error *error)
{
    persist_options options = {PERSIST_OPTIONS,       .path = "store",
                               .create = true,        .segment_size = 4096,
                               .memtable_size = 2048, .os = sys};
    return persist_open(&options, &o->store, error);
}

static void open_second(world *w, const os *sys)
{
    persist_error error;
    if (open_owner(sys, &w->second, &error) != PERSIST_OK)
        return;
    w->acted = true;
    assert_int_equal(put(&w->second, &error), PERSIST_OK);
}

/* Else the part comes back at the end, unless more than the commit in hand was
 * said without it: a segment may be needed no more. */
static bool copy_stays(const world *w)
{
    return w->at % 2 == 0;
}

static void act(void *context, os_sim *sim, uint64_t call)
{
    world *w = context;
    const os *sys = os_sim_os(sim);
    if (call != w->at)
        return;
    w->reached = true;
    w->opened = w->first.store != NULL;
    w->said = w->first.said;
    if (parts[w->action].folder != NULL) {
        w->acted = take(sys, w->action, false, copy_stays(w));
        return;
    }
    bool there = rename_in(sys, "store", "moved") == 0;
    if (there && w->action == MOVE_AND_COPY)
        copy_folder(&(copy){sys, sys->cwd, sys->cwd}, "moved", "store");
    else if (there && w->action != MOVE)
        assert_int_equal(rename_in(sys, "moved", "store"), 0);
    os_dir_sync(sys, sys->cwd);
    w->acted = there;
    if (w->action == DELETE_LOCK || w->action == REPLACE_LOCK)
        w->acted = sys->unlink(sys, sys->cwd, "store/lock") == 0;
    os_file *lock;
    if (w->action == REPLACE_LOCK && w->acted) {
        sys->file_open(sys, sys->cwd, "store/lock", OS_WRITE | OS_CREATE,
                       &lock);
        sys->file_close(sys, lock);
    }
    if (w->action == READ_ONLY || w->action == FULL)
        w->acted = true;
    if (w->action == READ_ONLY)
        os_sim_read_only(sim, true);
    else if (w->action == FULL)
        os_sim_limit_space(sim, os_sim_space_used(sim));
    else if (w->action != MOVE_AND_RETURN && there)
        open_second(w, sys);
}

/* ---- what stays open -------------------------------------------------- */

static void open_cursors(holding *h, persist_store *s, persist_view view)
{
    const slice name = slice_str("s"), tag = slice_str("t");
    const persist_query_item item = {.tags = &tag, .tag_count = 1};
    const uint64_t all = PERSIST_NO_LIMIT;
    persist_cursor **c = h->cursors;
    const persist_status said[HELD] = {
        persist_read(s, name, 0, all, view, &c[STREAM], NULL),
        persist_read_back(s, name, UINT64_MAX, all, view, &c[BACK], NULL),
        persist_read_all(s, 0, all, view, &c[ALL], NULL),
        persist_query(s, &item, 1, 0, all, view, &c[QUERY], NULL),
        persist_scan(s, NULL, all, view, &c[KEYS], NULL),
        persist_commands(s, slice_of(NULL, 0), NULL, all, view, &c[IDS], NULL),
    };
    for (int i = 0; i < HELD; i++)
        assert_int_equal(said[i], PERSIST_OK);
}

/* The next item is the right one, whatever has become of the directory. */
static bool take_one(const world *w, holding *h, held_kind kind)
{
    slice name, value = {0};
    const persist_event *e = NULL;
    const persist_command *command;
    persist_error error = {0};
    char named[16];
    persist_status status;
    if (kind == IDS)
        status = persist_next_command(h->cursors[kind], &command, &error);
    else if (kind == KEYS)
        status = persist_next_key(h->cursors[kind], &name, &value, &error);
    else
        status = persist_next_event(h->cursors[kind], &e, &error);
    if (status > PERSIST_NONE)
        fail_msg("%d at %" PRIu64 ": a cursor ends: %s", w->action, w->at,
                 error.message);
    if (status == PERSIST_NONE)
        return false;
    unsigned i = h->taken[kind]++;
    snprintf(named, sizeof named, "%s%u", w->first.keys,
             kind == BACK ? h->count - i - 1 : i);
    assert_true(e == NULL || slice_equal(e->data, slice_str(named)));
    assert_true(kind != KEYS || slice_equal(name, value));
    return true;
}

static void take_to_the_end(world *w)
{
    holding *h = &w->held;
    for (int i = 0; i < HELD; i++) {
        while (take_one(w, h, (held_kind)i))
            ;
        assert_int_equal(h->taken[i], h->count);
        h->taken[i] = 0;
        persist_cursor_close(h->cursors[i]);
    }
}

static void hold(world *w)
{
    assert_int_equal(persist_snapshot_open(w->first.store, PERSIST_DURABLE,
                                           &w->held.kept, NULL),
                     PERSIST_OK);
    w->held.count = w->first.said;
    open_cursors(&w->held, w->first.store, PERSIST_DURABLE);
}

/* What is open is read to its end, and then all of the snapshot anew. */
static void let_go(world *w)
{
    if (w->held.kept == NULL)
        return;
    take_to_the_end(w);
    open_cursors(&w->held, w->first.store, w->held.kept);
    take_to_the_end(w);
    persist_snapshot_close(w->held.kept);
}

/* ---- a life ----------------------------------------------------------- */

static bool is_final(const world *w)
{
    action a = w->action;
    return (parts[a].folder != NULL && a != TAKE_SEGMENTS && w->opened) ||
           a == MOVE || a == MOVE_AND_COPY || a == DELETE_LOCK ||
           a == REPLACE_LOCK || a == READ_ONLY;
}

static bool has_blob(persist_store *s, const persist_cid cid, const char *bytes)
{
    persist_blob_reader *r;
    char room[16];
    uint64_t size;
    size_t got;
    if (persist_blob_open(s, slice_str(cid), &size, &r, NULL) != PERSIST_OK)
        return false;
    bool same =
        persist_blob_read(r, room, sizeof room, &got, NULL) == PERSIST_OK &&
        got == strlen(bytes) && memcmp(room, bytes, got) == 0;
    persist_blob_close(r);
    return same;
}

static void assert_said(world *w, const char *path, const owner *o)
{
    persist_options options = {PERSIST_OPTIONS, .path = path,
                               .segment_size = 4096, .memtable_size = 2048,
                               .os = os_sim_os(w->sim)};
    persist_store *s;
    persist_error error;
    if (o->said == 0)
        return;
    if (persist_open(&options, &s, &error) != PERSIST_OK)
        fail_msg("%d at %" PRIu64 ": %s does not open: %s", w->action, w->at,
                 path, error.message);
    for (unsigned i = 0; i < o->said; i++) {
        char named[16];
        snprintf(named, sizeof named, "%s%u", o->keys, i);
        bool there = persist_has(s, slice_str(named), PERSIST_LATEST, NULL) ==
                     PERSIST_OK;
        if (i % BLOB_EACH == 0)
            there = there && has_blob(s, o->cids[i / BLOB_EACH], named);
        if (!there)
            fail_msg("%d at %" PRIu64 ": %s was said to be in %s", w->action,
                     w->at, named, path);
    }
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* The first owner works; what he begins after the world has moved for good is
 * refused. */
static void work(world *w)
{
    persist_error error = {0};
    const os *sys = os_sim_os(w->sim);
    persist_status status = open_owner(sys, &w->first, &error);
    for (int i = 0; status == PERSIST_OK && i < COMMITS; i++) {
        bool before = !w->acted;
        if (i == HOLD_AT && w->first.holds)
            hold(w);
        for (int k = 0; w->held.kept != NULL && k < HELD; k++)
            if (i % 2 == 0)
                take_one(w, &w->held, (held_kind)k);
        status = put(&w->first, &error);
        if (!before && status == PERSIST_OK && is_final(w))
            fail_msg("%d at %" PRIu64 ": said after the world had moved",
                     w->action, w->at);
    }
    if (status == PERSIST_OK)
        return;
    refused++;
    if (error.message[0] == '\0' || !w->acted)
        fail_msg("%d at %" PRIu64 ": no reason: %s", w->action, w->at,
                 error.message);
    if (w->action == MOVE_AND_RETURN ||
        (w->action == OPEN && status != PERSIST_LOCKED))
        fail_msg("%d at %" PRIu64 ": %s", w->action, w->at, error.message);
    if (w->action != FULL || w->first.store == NULL)
        return;
    os_sim_limit_space(w->sim, UINT64_MAX); /* it heals by itself */
    if (put(&w->first, &error) != PERSIST_OK)
        fail_msg("%d at %" PRIu64 ": %s", w->action, w->at, error.message);
}

static void close_owner(owner *o)
{
    if (o->store != NULL)
        persist_close(o->store, NULL);
    o->store = NULL;
}

/* Power is lost after it, or not. Returns whether the call was reached. */
static bool live(action a, uint64_t at, bool crash)
{
    world w = {.sim = os_sim_new(1), .action = a, .at = at};
    w.first.keys = "a";
    w.second.keys = "b";
    w.first.holds = at % HOLD_EACH == 0;
    os_sim_act(w.sim, act, &w);
    work(&w);
    let_go(&w);
    os_sim_act(w.sim, NULL, NULL);
    bool both = w.first.said > 0 && w.second.said > 0;
    if (both && (a == DELETE_LOCK || a == REPLACE_LOCK || a == OPEN))
        fail_msg("%d at %" PRIu64 ": two owners", a, at);
    os_sim_read_only(w.sim, false);
    os_sim_limit_space(w.sim, UINT64_MAX);
    if (crash) {
        sim_plan plan = {.keep = at % 2 == 0 ? SIM_KEEP_NAMES : SIM_KEEP_NONE};
        os_sim *after = os_sim_crash(w.sim, &plan);
        close_owner(&w.first);
        close_owner(&w.second);
        os_sim_free(w.sim);
        w.sim = after;
    }
    close_owner(&w.first);
    close_owner(&w.second);
    if (w.acted && parts[a].folder != NULL && !copy_stays(&w) &&
        w.first.said <= w.said + 1)
        take(os_sim_os(w.sim), a, true, false);
    bool moved = w.acted && (a == MOVE || a == MOVE_AND_COPY);
    assert_said(&w, moved ? "moved" : "store", &w.first);
    assert_said(&w, "store", &w.second);
    assert_int_equal(os_sim_open_files(w.sim), 0);
    os_sim_free(w.sim);
    points += w.acted;
    return w.reached;
}

static void whenever_the_world_moves(void **state)
{
    (void)state;
    for (int a = 0; a < ACTIONS; a++)
        for (uint64_t at = 1; live((action)a, at, true); at++)
            live((action)a, at, false);
    printf("figure: the world moved at %" PRIu64 " calls, in %d ways; %" PRIu64
           " openings or commits refused, no owner too many\n",
           points, ACTIONS, refused);
}

/* ---- disks that cannot be written ------------------------------------- */

/* What a killed process left may be in the page cache only: it is durable
 * before a reader shows it, and nothing else is changed. */
static void what_is_read_from_a_dead_store_is_durable(void **state)
{
    (void)state;
    enum { EVENTS = 600 };
    uint64_t unsynced = 0;
    for (int synced = 0; synced < EVENTS; synced += EVENTS / 3) {
        static fixture f;
        fixture_begin(&f, 4096);
        for (int i = 0; i < EVENTS; i++) {
            fixture_append(&f, "s", "some event that has a few bytes");
            if (i < synced)
                fixture_wait(&f);
        }
        fixture_kill(&f);
        os_sim_read_only(f.sim, true);
        fixture_reopen(&f);
        uint64_t seen = fixture_info(&f, "s").count;
        unsynced += seen - (uint64_t)synced;
        assert_int_equal(persist_durable(f.store), persist_latest(f.store));
        assert_true(seen >= (uint64_t)synced);
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "x", 0),
                         PERSIST_READ_ONLY);
        os_sim *after = os_sim_crash(f.sim, &(sim_plan){.keep = SIM_KEEP_NONE});
        fixture_close(&f);
        fixture_become(&f, after);
        fixture_reopen(&f);
        assert_int_equal(fixture_info(&f, "s").count, seen);
        fixture_end(&f);
    }
    assert_true(unsynced > 0);
}

/* Each call of such an opening fails with each error: it opens, and shows all,
 * or says why not. */
static void each_call_of_a_reader_fails(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOMEM, EMFILE, EACCES, EINVAL};
    static fixture f;
    uint64_t hit = 0, opened = 0;
    fixture_begin(&f, 4096);
    for (int i = 0; i < 600; i++)
        fixture_append(&f, "s", "some event that has a few bytes");
    fixture_kill(&f);
    os_sim_read_only(f.sim, true);
    fixture_reopen(&f);
    uint64_t all = fixture_info(&f, "s").count;
    fixture_close(&f);
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (uint64_t nth = 1;; nth++) {
            uint64_t before = os_sim_faults(f.sim, SIM_CALLS);
            os_sim_fail(f.sim, (sim_fault){.calls = ~0u,
                                           .nth = nth,
                                           .error = errors[e],
                                           .keep_pages = true});
            persist_status status = fixture_open(&f);
            bool reached = os_sim_faults(f.sim, SIM_CALLS) > before;
            os_sim_fail(f.sim, (sim_fault){0});
            if (status == PERSIST_OK) {
                assert_int_equal(fixture_info(&f, "s").count, all);
                fixture_close(&f);
                opened++;
            }
            assert_true(status == PERSIST_OK || f.error.message[0] != '\0');
            assert_int_equal(os_sim_open_files(f.sim), 0);
            hit += reached;
            if (!reached)
                break;
        }
    printf("figure: %" PRIu64 " faults in an opening that only reads, %" PRIu64
           " opened all the same\n",
           hit, opened);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whenever_the_world_moves),
        cmocka_unit_test(what_is_read_from_a_dead_store_is_durable),
        cmocka_unit_test(each_call_of_a_reader_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
