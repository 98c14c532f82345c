/* SPDX-License-Identifier: MIT */
/* Which store it is; and sessions, which are lost with what they rest on. */
#include <errno.h>

#include "fixture.h"
#include "store/store.h"

static fixture f;

/* ---- identities --------------------------------------------------------- */

static void expect_identity(persist_store *store, const char *self,
                            const char *parent)
{
    persist_identity_text is, from;
    assert_int_equal(persist_identity(store, is, from, NULL), PERSIST_OK);
    assert_string_equal(is, self);
    assert_string_equal(from, parent);
}

static void a_store_is_itself_for_ever(void **state)
{
    (void)state;
    persist_identity_text first, parent;
    fixture_begin_tables(&f, 300, 2);
    assert_int_equal(persist_identity(f.store, first, parent, NULL),
                     PERSIST_OK);
    assert_int_equal(strlen(first), PERSIST_IDENTITY_SIZE);
    assert_int_equal(strspn(first, "0123456789abcdef"), PERSIST_IDENTITY_SIZE);
    assert_string_equal(parent, "");
    for (int i = 0; i < 6; i++) {
        fixture_append_many(&f, "s", "d", 4); /* tables, merges */
        if (i % 2 == 0)
            fixture_close(&f);
        else
            fixture_kill(&f);
        fixture_reopen(&f);
        expect_identity(f.store, first, "");
    }
    fixture_end(&f);
}

static void another_one_names_its_parent(void **state)
{
    (void)state;
    persist_identity_text first, second, parent;
    const char *given = "0123456789abcdef0123456789abcdef";
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 2);
    assert_int_equal(persist_identity(f.store, first, NULL, NULL), PERSIST_OK);
    assert_int_equal(store_become_another(f.store, NULL, &f.error), PERSIST_OK);
    assert_int_equal(persist_identity(f.store, second, parent, NULL),
                     PERSIST_OK);
    assert_string_not_equal(first, second);
    assert_string_equal(parent, first);
    fixture_power_off(&f, SIM_KEEP_NONE); /* it was durable at once */
    fixture_reopen(&f);
    expect_identity(f.store, second, first);
    assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "1:d1 2:d2");
    fixture_close(&f);
    fixture_reopen(&f); /* and without a commit in between */
    assert_int_equal(store_become_another(f.store, given, &f.error),
                     PERSIST_OK);
    fixture_append(&f, "s", "d3");
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(persist_identity(f.store, second, parent, NULL),
                     PERSIST_OK);
    assert_string_equal(parent, given);
    assert_int_equal(store_become_another(f.store, "xyz", &f.error),
                     PERSIST_BAD_REQUEST);
    fixture_end(&f);
}

/* Fails each call of it once, and crashes: it is the one or the other. */
static void a_fault_leaves_one_or_the_other(void **state)
{
    (void)state;
    persist_identity_text first, now, parent;
    for (unsigned nth = 1, hit = 1; hit != 0; nth++) {
        fixture_begin(&f, 0);
        fixture_append_many(&f, "s", "d", 1);
        assert_int_equal(persist_identity(f.store, first, NULL, NULL),
                         PERSIST_OK);
        os_sim_fail(f.sim, (sim_fault){.calls = ~0u, .nth = nth, .error = EIO});
        persist_status status = store_become_another(f.store, NULL, &f.error);
        hit = (unsigned)os_sim_faults(f.sim, SIM_CALLS);
        assert_true(status == PERSIST_OK || hit > 0);
        persist_identity(f.store, now, NULL, NULL);
        assert_true((strcmp(first, now) != 0) == (status == PERSIST_OK));
        fixture_power_off(&f, nth % 2 == 0 ? SIM_KEEP_NONE : SIM_KEEP_ALL);
        fixture_reopen(&f);
        persist_identity(f.store, now, parent, NULL);
        if (status == PERSIST_OK || strcmp(first, now) != 0)
            assert_string_equal(parent, first);
        assert_string_equal(fixture_events(&f, "s", PERSIST_DURABLE), "1:d1");
        fixture_end(&f);
    }
}

static void one_in_memory_has_one_too(void **state)
{
    (void)state;
    persist_options options = {PERSIST_OPTIONS};
    persist_store *a, *b;
    persist_identity_text first, second, parent;
    assert_int_equal(persist_open(&options, &a, NULL), PERSIST_OK);
    assert_int_equal(persist_open(&options, &b, NULL), PERSIST_OK);
    persist_identity(a, first, parent, NULL);
    assert_string_equal(parent, "");
    persist_identity(b, second, NULL, NULL);
    assert_string_not_equal(first, second);
    assert_int_equal(store_become_another(a, NULL, NULL), PERSIST_OK);
    persist_identity(a, second, parent, NULL);
    assert_string_equal(parent, first);
    assert_string_not_equal(first, second);
    assert_int_equal(persist_identity(a, NULL, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_identity(NULL, first, NULL, NULL), PERSIST_CLOSED);
    persist_close(a, NULL);
    persist_close(b, NULL);
    os_sim *sim = os_sim_new(1);
    options.os = os_sim_os(sim);
    os_sim_fail(sim, (sim_fault){.calls = ~0u, .nth = 1, .error = EIO});
    assert_int_equal(persist_open(&options, &a, NULL), PERSIST_IO);
    assert_int_equal(persist_open(&options, &a, NULL), PERSIST_OK);
    persist_identity(a, first, NULL, NULL);
    os_sim_fail(sim, (sim_fault){.calls = ~0u, .nth = 1, .error = EIO});
    assert_int_equal(store_become_another(a, NULL, NULL), PERSIST_IO);
    persist_identity(a, second, parent, NULL);
    assert_string_equal(second, first);
    assert_string_equal(parent, "");
    persist_close(a, NULL);
    os_sim_free(sim);
}

/* ---- sessions ----------------------------------------------------------- */

static persist_store *session(persist_store *over)
{
    persist_store *out = NULL;
    assert_int_equal(persist_session(over, &out, &f.error), PERSIST_OK);
    return out;
}

static persist_status put(persist_store *s, const char *name)
{
    persist_edit edit = {.kind = PERSIST_PUT, .name = slice_str(name)};
    return persist_commit(s, &edit, 1, NULL, NULL, &f.error);
}

static persist_status has(persist_store *s, persist_view view)
{
    return persist_has(s, slice_str("k"), view, &f.error);
}

static void a_session_is_one_more_handle(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    persist_store *a = session(f.store), *b = session(a);
    persist_cursor *c;
    persist_identity_text one, other;
    persist_stats stats = {PERSIST_STATS};
    assert_int_equal(put(a, "k"), PERSIST_OK);
    assert_int_equal(has(b, PERSIST_LATEST), PERSIST_OK);
    assert_int_equal(has(f.store, PERSIST_LATEST), PERSIST_OK);
    assert_int_equal(has(b, PERSIST_DURABLE), PERSIST_NONE);
    assert_int_equal(persist_latest(b), 1);
    assert_int_equal(persist_wait_durable(b, 1, NULL), PERSIST_OK);
    assert_int_equal(persist_durable(a), 1);
    assert_int_equal(persist_wait_durable(b, 2, NULL), PERSIST_BAD_REQUEST);
    assert_int_equal(persist_get_stats(a, &stats, NULL), PERSIST_OK);
    assert_int_equal(stats.commits, 1);
    persist_identity(a, one, NULL, NULL);
    persist_identity(f.store, other, NULL, NULL);
    assert_string_equal(one, other);
    assert_int_equal(persist_position(a, PERSIST_LATEST), 0);
    /* none of them is closed before what is over it */
    assert_int_equal(persist_close(f.store, &f.error), PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "2 sessions"));
    assert_int_equal(persist_close(a, NULL), PERSIST_OK);
    assert_int_equal(persist_scan(b, NULL, 9, PERSIST_LATEST, &c, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_close(b, NULL), PERSIST_OK);
    assert_int_equal(persist_next_key(c, NULL, NULL, NULL), PERSIST_OK);
    assert_int_equal(persist_close(f.store, NULL), PERSIST_BAD_REQUEST);
    persist_cursor_close(c);
    fixture_end(&f);
}

/* Blobs that are read and written, and a session of it. */
static void what_a_session_opened_outlasts_it(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    slice bytes = slice_str("bytes"), more = slice_str(" and more");
    persist_blob_reader *reader;
    persist_blob_writer *writer;
    persist_cid cid;
    uint64_t size;
    char read[8];
    size_t got;
    persist_store *a = session(f.store), *b = session(a);
    assert_int_equal(persist_blob_add(a, bytes, cid, NULL, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_open(a, slice_str(cid), &size, &reader, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_blob_create(a, &writer, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_write(writer, bytes, NULL), PERSIST_OK);
    assert_int_equal(persist_close(a, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_read(reader, read, sizeof read, &got, NULL),
                     PERSIST_OK);
    assert_true(slice_equal(slice_of(read, got), bytes));
    persist_blob_close(reader);
    assert_int_equal(persist_blob_write(writer, more, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_finish(writer, cid, NULL), PERSIST_OK);
    assert_int_equal(persist_blob_has(b, slice_str(cid), NULL), PERSIST_OK);
    assert_int_equal(persist_close(b, NULL), PERSIST_OK);
    fixture_end(&f);
}

/* The next sync fails, for somebody. */
static void fail_sync(void)
{
    os_sim_fail(f.sim,
                (sim_fault){.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO});
    fixture_append(&f, "s", "u");
    assert_int_equal(
        persist_wait_durable(f.store, persist_latest(f.store), NULL),
        PERSIST_READ_ONLY);
}

/* Every call but those that judge one commit, or tell of the store. */
static void expect_lost(persist_store *s)
{
    slice name = slice_str("k"), out;
    const persist_view view = PERSIST_DURABLE;
    const persist_query_item item = {.tags = &name, .tag_count = 1};
    persist_cursor *c;
    persist_snapshot *kept;
    persist_stream_info info;
    persist_outcome outcome;
    persist_blob_writer *writer;
    persist_blob_reader *reader;
    persist_cid cid;
    uint64_t position;
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_error *e = &f.error;
    persist_cid_of(name, cid);
    slice is_cid = slice_str(cid);
    const persist_status said[] = {
        put(s, "k"),
        persist_once_find(s, name, print, &outcome, e),
        persist_wait_position(s, 0, 0, NULL, e),
        persist_read(s, name, 0, 1, view, &c, e),
        persist_read_back(s, name, 0, 1, view, &c, e),
        persist_read_all(s, 0, 1, view, &c, e),
        persist_query(s, &item, 1, 0, 1, view, &c, e),
        persist_streams(s, NULL, 1, view, &c, e),
        persist_scan(s, NULL, 1, view, &c, e),
        persist_commands(s, name, NULL, 1, view, &c, e),
        persist_snapshot_open(s, view, &kept, e),
        persist_position_at(s, 0, view, &position, e),
        persist_info(s, name, view, &info, NULL, e),
        persist_get(s, name, view, &out, e),
        persist_has(s, name, view, e),
        persist_blob_add(s, name, cid, NULL, e),
        persist_blob_put(s, name, cid, e),
        persist_blob_has(s, is_cid, e),
        persist_blob_create(s, &writer, e),
        persist_blob_open(s, is_cid, NULL, &reader, e),
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (said[i] != PERSIST_LOST)
            fail_msg("the call of index %zu said %d", i, (int)said[i]);
    assert_non_null(strstr(f.error.message, "persist_resync"));
}

static void who_made_or_saw_what_is_lost_is_lost(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 1);
    persist_store *made = session(f.store), *saw = session(f.store),
                  *before = session(f.store), *other = session(f.store);
    assert_int_equal(has(before, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(put(made, "k"), PERSIST_OK);
    assert_int_equal(has(saw, PERSIST_LATEST), PERSIST_OK);
    assert_int_equal(has(other, PERSIST_DURABLE), PERSIST_NONE);
    fail_sync();
    for (int again = 0; again < 2; again++) {
        expect_lost(made);
        expect_lost(saw);
    }
    /* what was waited for is judged by itself */
    assert_int_equal(persist_wait_durable(made, 1, NULL), PERSIST_OK);
    assert_int_equal(persist_wait_durable(made, 2, NULL), PERSIST_READ_ONLY);
    assert_int_equal(persist_latest(made), persist_latest(f.store));
    /* the others go on, as the store does: they rest on nothing of it */
    persist_store *const whole[] = {before, other, f.store};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(has(whole[i], PERSIST_LATEST), PERSIST_NONE);
        assert_int_equal(put(whole[i], "k"), PERSIST_READ_ONLY);
        assert_int_equal(has(whole[i], PERSIST_LATEST), PERSIST_NONE);
    }
    assert_int_equal(persist_resync(made, NULL), PERSIST_OK);
    assert_int_equal(has(made, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(put(made, "k"), PERSIST_READ_ONLY);
    assert_int_equal(has(made, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(persist_resync(f.store, NULL), PERSIST_OK);
    persist_close(made, NULL);
    persist_close(saw, NULL);
    persist_close(before, NULL);
    persist_close(other, NULL);
    fixture_end(&f);
}

/* What was durable by then is not lost. */
static void who_waited_goes_on(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    persist_store *s = session(f.store);
    assert_int_equal(put(s, "k"), PERSIST_OK);
    assert_int_equal(persist_wait_durable(s, persist_latest(s), NULL),
                     PERSIST_OK);
    fail_sync();
    assert_int_equal(has(s, PERSIST_LATEST), PERSIST_OK);
    assert_int_equal(put(s, "k"), PERSIST_READ_ONLY);
    persist_close(s, NULL);
    fixture_end(&f);
}

static persist_snapshot *snapshot_of(persist_store *of, persist_view view)
{
    persist_snapshot *out = NULL;
    assert_int_equal(persist_snapshot_open(of, view, &out, &f.error),
                     PERSIST_OK);
    return out;
}

/* It is of the store, whoever opened it. */
static void a_snapshot_is_for_all_sessions(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    persist_store *a = session(f.store), *b = session(f.store);
    assert_int_equal(put(a, "k"), PERSIST_OK);
    persist_snapshot *s = snapshot_of(a, PERSIST_LATEST);
    persist_snapshot *own = snapshot_of(f.store, PERSIST_DURABLE);
    assert_int_equal(persist_close(a, NULL), PERSIST_OK);
    assert_int_equal(has(b, s), PERSIST_OK);
    assert_int_equal(has(f.store, s), PERSIST_OK);
    assert_int_equal(has(b, own), PERSIST_NONE);
    assert_int_equal(persist_position(b, s), 0);
    assert_int_equal(persist_close(b, NULL), PERSIST_OK);
    assert_int_equal(persist_close(f.store, &f.error), PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "2 snapshots"));
    persist_snapshot_close(s);
    persist_snapshot_close(own);
    fixture_end(&f);
}

/* A session rests on what it reads in a snapshot, and on no more. */
static void who_reads_in_a_snapshot_has_seen_its_commit(void **state)
{
    (void)state;
    fixture_begin(&f, 0);
    fixture_append_many(&f, "s", "d", 1);
    persist_snapshot *kept = snapshot_of(f.store, PERSIST_LATEST);
    assert_int_equal(persist_wait_durable(f.store, 1, NULL), PERSIST_OK);
    assert_int_equal(put(f.store, "k"), PERSIST_OK);
    persist_snapshot *lost = snapshot_of(f.store, PERSIST_LATEST);
    persist_snapshot *durable = snapshot_of(f.store, PERSIST_DURABLE);
    persist_store *of_kept = session(f.store), *of_lost = session(f.store),
                  *of_durable = session(f.store), *opener = session(f.store),
                  *late = session(f.store), *asker = session(f.store);
    persist_snapshot_close(snapshot_of(opener, PERSIST_LATEST));
    assert_int_equal(has(of_kept, kept), PERSIST_NONE);
    assert_int_equal(has(of_lost, lost), PERSIST_OK);
    assert_int_equal(has(of_durable, durable), PERSIST_NONE);
    assert_int_equal(has(late, NULL), PERSIST_BAD_REQUEST); /* saw nothing */
    assert_int_equal(persist_position(asker, PERSIST_LATEST), 1);
    fail_sync();
    expect_lost(of_lost);
    expect_lost(opener);
    expect_lost(asker);
    assert_int_equal(persist_position(asker, PERSIST_LATEST), 1);
    assert_int_equal(has(of_kept, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(has(of_durable, PERSIST_LATEST), PERSIST_NONE);
    /* what it showed it shows; whoever looks now is told at the next call */
    assert_int_equal(has(late, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(has(late, lost), PERSIST_OK);
    expect_lost(late);
    assert_int_equal(persist_resync(late, NULL), PERSIST_OK);
    assert_int_equal(has(late, kept), PERSIST_NONE);
    assert_int_equal(has(late, PERSIST_LATEST), PERSIST_NONE);
    assert_int_equal(persist_position(late, lost), 1);
    expect_lost(late);
    persist_store *const sessions[] = {of_kept, of_lost, of_durable,
                                       opener,  late,    asker};
    for (int i = 0; i < 6; i++)
        persist_close(sessions[i], NULL);
    persist_snapshot_close(kept);
    persist_snapshot_close(lost);
    persist_snapshot_close(durable);
    fixture_end(&f);
}

static void a_session_wants_a_store(void **state)
{
    (void)state;
    persist_store *s;
    fixture_begin(&f, 0);
    assert_int_equal(persist_session(NULL, &s, NULL), PERSIST_CLOSED);
    assert_int_equal(persist_session(f.store, NULL, NULL), PERSIST_BAD_REQUEST);
    assert_int_equal(persist_resync(NULL, NULL), PERSIST_CLOSED);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_itself_for_ever),
        cmocka_unit_test(another_one_names_its_parent),
        cmocka_unit_test(a_fault_leaves_one_or_the_other),
        cmocka_unit_test(one_in_memory_has_one_too),
        cmocka_unit_test(a_session_is_one_more_handle),
        cmocka_unit_test(what_a_session_opened_outlasts_it),
        cmocka_unit_test(who_made_or_saw_what_is_lost_is_lost),
        cmocka_unit_test(who_waited_goes_on),
        cmocka_unit_test(a_snapshot_is_for_all_sessions),
        cmocka_unit_test(who_reads_in_a_snapshot_has_seen_its_commit),
        cmocka_unit_test(a_session_wants_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
