/* SPDX-License-Identifier: MIT */
/* Stores, and processes that are forked while they are open. */
#include <pthread.h>

#include "world.h"

typedef struct handles {
    persist_store *store;
    persist_cursor *events, *keys;
    persist_snapshot *snapshot;
    persist_blob_writer *writer;
    persist_blob_reader *reader;
    persist_cid cid;
} handles;

static int use_reads(handles *h)
{
    persist_store *s = h->store;
    persist_cursor *c;
    const persist_event *e;
    persist_stream_info info;
    slice name = slice_str("s"), out;
    persist_view v = PERSIST_LATEST;
    SEE_CLOSED(persist_read(s, name, 0, 9, v, &c, &error));
    SEE_CLOSED(persist_read_back(s, name, 9, 9, v, &c, &error));
    SEE_CLOSED(persist_read_all(s, 0, 9, v, &c, &error));
    SEE_CLOSED(persist_streams(s, NULL, PERSIST_NO_LIMIT, v, &c, &error));
    SEE_CLOSED(persist_scan(s, NULL, 9, v, &c, &error));
    SEE_CLOSED(persist_next_event(h->events, &e, &error));
    SEE_CLOSED(persist_next_key(h->keys, &out, &out, &error));
    SEE_CLOSED(persist_info(s, name, v, &info, NULL, &error));
    SEE_CLOSED(persist_get(s, name, v, &out, &error));
    SEE_CLOSED(persist_has(s, name, v, &error));
    persist_snapshot *other;
    SEE_CLOSED(persist_snapshot_open(s, v, &other, &error));
    SEE_CLOSED(persist_has(s, name, h->snapshot, &error));
    SEE(persist_snapshot_lsn(h->snapshot) == 0);
    const persist_options in_memory = {PERSIST_OPTIONS};
    persist_store *own;
    SEE(persist_open(&in_memory, &own, &error) == PERSIST_OK);
    SEE_CLOSED(persist_has(own, name, h->snapshot, &error));
    SEE(persist_position(own, h->snapshot) == 0);
    SEE(persist_close(own, &error) == PERSIST_OK);
    SEE(persist_latest(s) == 0 && persist_durable(s) == 0);
    SEE(persist_position(s, v) == 0);
    SEE_CLOSED(persist_wait_position(s, 0, PERSIST_FOREVER, NULL, &error));
    persist_notify(s, NULL, NULL);
    persist_end_waits(s);
    persist_identity_text self;
    persist_store *session;
    SEE_CLOSED(persist_identity(s, self, NULL, &error));
    SEE_CLOSED(persist_session(s, &session, &error));
    SEE_CLOSED(persist_resync(s, &error));
    persist_stats stats = {PERSIST_STATS};
    SEE_CLOSED(persist_get_stats(s, &stats, &error));
    return 0;
}

static int use_handles(void *context)
{
    handles *h = context;
    persist_store *s = h->store;
    slice name = slice_str("s"), cid = slice_str(h->cid);
    persist_edit edit = {.kind = PERSIST_APPEND, .name = name, .data = name};
    persist_once once = {.id = name};
    persist_outcome outcome;
    persist_blob_writer *w;
    persist_blob_reader *r;
    char byte;
    size_t got;
    SEE_CLOSED(persist_commit(s, &edit, 1, NULL, NULL, &error));
    SEE_CLOSED(persist_once_find(s, name, once.fingerprint, &outcome, &error));
    SEE_CLOSED(persist_wait_durable(s, 1, &error));
    SEE_CLOSED(persist_wait_durable(s, 0, &error));
    SEE_CLOSED(persist_blob_add(s, name, h->cid, NULL, &error));
    SEE_CLOSED(persist_blob_put(s, name, h->cid, &error));
    SEE_CLOSED(persist_blob_has(s, cid, &error));
    SEE_CLOSED(persist_blob_create(s, &w, &error));
    SEE_CLOSED(persist_blob_write(h->writer, name, &error));
    SEE_CLOSED(persist_blob_open(s, cid, NULL, &r, &error));
    SEE_CLOSED(persist_blob_read(h->reader, &byte, 1, &got, &error));
    int line = use_reads(h);
    SEE_CLOSED(persist_blob_finish(h->writer, h->cid, &error));
    persist_blob_abort(h->writer);
    persist_blob_close(h->reader);
    persist_cursor_close(h->events);
    persist_cursor_close(h->keys);
    persist_snapshot_close(h->snapshot);
    SEE(persist_close(s, &error) == PERSIST_OK);
    return line;
}

static void open_handles(const char *path, handles *h)
{
    slice name = slice_str("s");
    persist_edit edit = {.kind = PERSIST_APPEND, .name = name, .data = name};
    h->store = open_at(path);
    for (int i = 0; i < 3; i++)
        assert_int_equal(persist_commit(h->store, &edit, 1, NULL, NULL, &error),
                         PERSIST_OK);
    assert_int_equal(put(h->store, "k"), PERSIST_OK);
    assert_int_equal(persist_blob_put(h->store, name, h->cid, &error),
                     PERSIST_OK);
    persist_view v = PERSIST_LATEST;
    persist_read(h->store, name, 0, 9, v, &h->events, &error);
    persist_scan(h->store, NULL, 9, v, &h->keys, &error);
    persist_snapshot_open(h->store, v, &h->snapshot, &error);
    const persist_event *e;
    assert_int_equal(persist_next_event(h->events, &e, &error), PERSIST_OK);
    persist_blob_create(h->store, &h->writer, &error);
    assert_int_equal(persist_blob_open(h->store, slice_str(h->cid), NULL,
                                       &h->reader, &error),
                     PERSIST_OK);
}

static void a_child_cannot_use_what_it_inherits(void **state)
{
    (void)state;
    for (int memory = 0; memory < 2; memory++) {
        handles h;
        const persist_event *e;
        char byte;
        size_t got;
        open_handles(memory ? NULL : data, &h);
        int line = in_child(use_handles, &h);
        if (line != 0)
            fail_msg("the child failed at line %d (mod 256)", line);
        assert_int_equal(put(h.store, "after"), PERSIST_OK);
        assert_int_equal(persist_next_event(h.events, &e, &error), PERSIST_OK);
        assert_int_equal(persist_blob_read(h.reader, &byte, 1, &got, &error),
                         PERSIST_OK);
        persist_cursor_close(h.events);
        persist_cursor_close(h.keys);
        assert_int_equal(
            persist_has(h.store, slice_str("after"), h.snapshot, &error),
            PERSIST_NONE);
        persist_snapshot_close(h.snapshot);
        persist_blob_close(h.reader);
        assert_int_equal(persist_blob_finish(h.writer, h.cid, &error),
                         PERSIST_OK);
        assert_int_equal(persist_close(h.store, &error), PERSIST_OK);
    }
    persist_store *s = open_at(data);
    assert_true(has(s, "after"));
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* ---- forks at any moment ---------------------------------------------- */

static atomic_bool stop;
static atomic_uint turns;

static void *commit_on(void *context)
{
    while (!atomic_load(&stop)) {
        char key[16];
        snprintf(key, sizeof key, "%u", atomic_fetch_add(&turns, 1) % 100);
        if (put(context, key) != PERSIST_OK)
            break;
    }
    return NULL;
}

static int use_and_close(void *context)
{
    persist_store *own;
    SEE_CLOSED(persist_wait_durable(context, 1, &error));
    SEE(persist_latest(context) == 0);
    SEE(persist_close(context, &error) == PERSIST_OK);
    SEE(try_open(data, &own) == PERSIST_LOCKED);
    return 0;
}

static void a_child_never_waits_for_threads_it_has_not(void **state)
{
    (void)state;
    enum { THREADS = 3, FORKS = 100 };
    pthread_t threads[THREADS];
    persist_options options = {PERSIST_OPTIONS, .path = data, .create = true,
                               .background = true};
    options.segment_size = options.memtable_size = 65536;
    persist_store *s;
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
    atomic_store(&stop, false);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, commit_on, s);
    for (int i = 0; i < FORKS; i++)
        assert_int_equal(in_child(use_and_close, s), 0);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(put(s, "last"), PERSIST_OK);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* A child that waits until the pipe is closed. */
static pid_t linger(const int ends[2])
{
    char byte = 0;
    pid_t child = fork();
    if (child != 0)
        return child;
    close(ends[1]);
    alarm(CHILD_SECONDS_MAX);
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
}

/* Also one that did not come to run yet. */
static void a_child_that_outlives_keeps_no_lock(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        int ends[2], status;
        assert_int_equal(pipe(ends), 0);
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "k"), PERSIST_OK);
        pid_t child = linger(ends);
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        s = open_at(data);
        assert_int_equal(put(s, "k2"), PERSIST_OK);
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        close(ends[0]);
        close(ends[1]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

typedef struct pipes {
    int alive[2]; /* while somebody has the second end */
    int here[2];  /* a byte: the child runs */
} pipes;

static int die_before_child(void *context)
{
    const pipes *p = context;
    persist_store *s;
    char byte = 0;
    SEE(try_open(data, &s) == PERSIST_OK);
    SEE(put(s, "k") == PERSIST_OK);
    pid_t child = fork();
    SEE(child >= 0);
    if (child == 0) {
        close(p->alive[1]);
        SEE(write(p->here[1], &byte, 1) == 1);
        SEE(read(p->alive[0], &byte, 1) == 0);
        return 0;
    }
    SEE(read(p->here[0], &byte, 1) == 1);
    return 0;
}

static void a_child_of_a_dead_owner_keeps_no_lock(void **state)
{
    (void)state;
    pipes p;
    assert_int_equal(pipe(p.alive), 0);
    assert_int_equal(pipe(p.here), 0);
    assert_int_equal(in_child(die_before_child, &p), 0);
    persist_store *s = open_at(data);
    assert_true(has(s, "k"));
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    for (int i = 0; i < 2; i++) {
        close(p.alive[i]);
        close(p.here[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_child_cannot_use_what_it_inherits),
        WORLD(a_child_never_waits_for_threads_it_has_not),
        WORLD(a_child_that_outlives_keeps_no_lock),
        WORLD(a_child_of_a_dead_owner_keeps_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
