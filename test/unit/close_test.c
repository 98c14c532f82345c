/* SPDX-License-Identifier: MIT */
/* A store that is closed while something of it is open: it stays open, says
 * what that is, and goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../lib/os_sim.h"
#include "base/slice.h"
#include "engine/files/files.h"
#include "persist.h"

enum { CURSORS = READERS_MAX + 9 }; /* more than there are places */

static os_sim *sim;
static persist_store *store;
static persist_cid cid;

static void begin(bool on_disk)
{
    sim = os_sim_new(1);
    persist_options options = {PERSIST_OPTIONS,
                               .path = on_disk ? "store" : NULL, .create = true,
                               .packed_max = 8, .os = os_sim_os(sim)};
    persist_edit edit = {.kind = PERSIST_APPEND, .name = {"s", 1}};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_put(store, slice_str("bytes"), cid, NULL),
                     PERSIST_OK);
}

/* Closing is refused, and says of what; and the store takes a commit. */
__attribute__((format(printf, 2, 3))) static void
stays_open(bool one, const char *what, ...)
{
    char list[200], wanted[300];
    persist_error error;
    va_list args;
    va_start(args, what);
    vsnprintf(list, sizeof list, what, args);
    va_end(args);
    snprintf(wanted, sizeof wanted,
             "%s %s open; close %s, and then the store again", list,
             one ? "is" : "are", one ? "it" : "them");
    assert_int_equal(persist_close(store, &error), PERSIST_BAD_REQUEST);
    assert_string_equal(error.message, wanted);
    persist_edit edit = {.kind = PERSIST_PUT, .name = {"k", 1}};
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_wait_durable(store, persist_latest(store), NULL),
                     PERSIST_OK);
}

static void end(void)
{
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    os_sim_free(sim);
}

static persist_cursor *open_cursor(void)
{
    persist_cursor *c;
    assert_int_equal(persist_read(store, slice_str("s"), 0, PERSIST_NO_LIMIT,
                                  PERSIST_LATEST, &c, NULL),
                     PERSIST_OK);
    return c;
}

static void cursors_keep_it_open(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        persist_cursor *open[CURSORS];
        const persist_event *event;
        begin(on_disk == 1);
        for (size_t i = 0; i < CURSORS; i++)
            open[i] = open_cursor();
        stays_open(false, "%d cursors", CURSORS);
        for (size_t i = 0; i < CURSORS; i++) {
            assert_int_equal(persist_next_event(open[i], &event, NULL),
                             PERSIST_OK);
            persist_cursor_close(open[i]);
            if (i == 0)
                stays_open(false, "%d cursors", CURSORS - 1);
            if (i == CURSORS - 2)
                stays_open(true, "1 cursor");
        }
        end();
    }
}

static void snapshots_keep_it_open(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        persist_snapshot *open[CURSORS];
        begin(on_disk == 1);
        for (size_t i = 0; i < CURSORS; i++)
            assert_int_equal(persist_snapshot_open(store,
                                                   i % 2 == 0 ? PERSIST_LATEST
                                                              : PERSIST_DURABLE,
                                                   &open[i], NULL),
                             PERSIST_OK);
        persist_cursor *c = open_cursor();
        stays_open(false, "1 cursor and %d snapshots", CURSORS);
        persist_cursor_close(c);
        for (size_t i = 0; i < CURSORS; i++) {
            persist_snapshot_close(open[i]);
            if (i == 0)
                stays_open(false, "%d snapshots", CURSORS - 1);
            if (i == CURSORS - 2)
                stays_open(true, "1 snapshot");
        }
        end();
    }
}

static void *close_both(void *context)
{
    void **handles = context;
    persist_blob_close(handles[0]);
    persist_cursor_close(handles[1]);
    return NULL;
}

static void blobs_keep_it_open(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        persist_blob_writer *writers[3];
        persist_blob_reader *reader, *none;
        begin(on_disk == 1);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(persist_blob_create(store, &writers[i], NULL),
                             PERSIST_OK);
        stays_open(false, "3 readers and writers of blobs");
        assert_int_equal(
            persist_blob_open(store, slice_str(cid), NULL, &reader, NULL),
            PERSIST_OK);
        persist_cid absent;
        persist_cid_of(slice_str("absent"), absent);
        assert_int_equal(
            persist_blob_open(store, slice_str(absent), NULL, &none, NULL),
            PERSIST_NONE);
        stays_open(false, "4 readers and writers of blobs");
        persist_blob_abort(writers[0]);
        assert_int_equal(persist_blob_finish(writers[1], absent, NULL),
                         PERSIST_OK);
        assert_int_equal(
            persist_blob_write(writers[2], slice_str("more than 8"), NULL),
            PERSIST_OK);
        assert_int_equal(persist_blob_finish(writers[2], absent, NULL),
                         PERSIST_OK);
        /* closed by another thread than has opened them */
        void *handles[] = {reader, open_cursor()};
        pthread_t thread;
        stays_open(false, "1 cursor and 1 reader or writer of a blob");
        persist_store *session;
        persist_snapshot *snapshot;
        assert_int_equal(persist_session(store, &session, NULL), PERSIST_OK);
        assert_int_equal(
            persist_snapshot_open(session, PERSIST_LATEST, &snapshot, NULL),
            PERSIST_OK);
        stays_open(false, "1 session, 1 cursor, 1 snapshot and 1 reader or "
                          "writer of a blob");
        persist_snapshot_close(snapshot);
        assert_int_equal(persist_close(session, NULL), PERSIST_OK);
        assert_int_equal(pthread_create(&thread, NULL, close_both, handles), 0);
        pthread_join(thread, NULL);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursors_keep_it_open),
        cmocka_unit_test(snapshots_keep_it_open),
        cmocka_unit_test(blobs_keep_it_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
