/* SPDX-License-Identifier: MIT */
/* What persist_verify says of tables whose checksums are right, and whose
 * content is not: nothing but a bug makes those, so they are made by hand. */
#include "forge.h"

#include <errno.h>

#include "../lib/shapes.h"
#include "base/mem.h"

static bool note(void *context, const persist_finding *found)
{
    forge *f = context;
    if (f->damages++ == 0)
        snprintf(f->what, sizeof f->what, "%s", found->what);
    return true;
}

/* Lists the tables, and expects the first damage to be this; NULL: none. */
static void end(forge *f, uint64_t streams, uint64_t events,
                uint64_t next_position, const char *what)
{
    persist_error error;
    list_tables(f, streams, events, next_position);
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = f->sys};
    const persist_watcher watcher = {PERSIST_WATCHER, f, note, NULL};
    must(persist_verify(&options, &watcher, NULL, &error), &error);
    if (what == NULL)
        assert_int_equal(f->damages, 0);
    else
        assert_string_equal(f->what, what);
    clean_up(f);
}

/* Their events and the order of these are to come. */
static void begin_two_streams(forge *f)
{
    begin(f);
    begin_table(f);
    put_stream(f, "a", stream_of(0, 1, 2));
    put_stream(f, "b", stream_of(1, 1, 1));
}

static void put_their_order(forge *f)
{
    put_order(f, 1, 1, "a");
    put_order(f, 2, 1, "b");
    put_order(f, 3, 2, "a");
}

static void put_their_events(forge *f)
{
    put_event(f, 0, 1, 1, 0);
    put_event(f, 0, 2, 3, 1);
    put_event(f, 1, 1, 2, 0);
}

static void whole_table(void **state)
{
    (void)state;
    forge f;
    begin_two_streams(&f);
    put_their_events(&f);
    put_their_order(&f);
    put_once(&f, "id", 1);
    end_table(&f);
    end(&f, 2, 3, 4, NULL);
}

static void missing_event(void **state)
{
    (void)state;
    forge f;
    begin_two_streams(&f);
    put_event(&f, 0, 1, 1, 0);
    put_event(&f, 1, 1, 2, 0);
    put_their_order(&f);
    end_table(&f);
    end(&f, 2, 3, 4, "events of a stream are missing");
}

static void event_without_stream(void **state)
{
    (void)state;
    forge f;
    begin(&f);
    begin_table(&f);
    put_stream(&f, "a", stream_of(0, 1, 1));
    put_event(&f, 0, 1, 1, 0);
    put_event(&f, 7, 1, 2, 0);
    put_order(&f, 1, 1, "a");
    end_table(&f);
    end(&f, 1, 1, 3, "an event is of no stream");
}

static void wrong_count(void **state)
{
    (void)state;
    forge f;
    begin_two_streams(&f);
    put_event(&f, 0, 1, 1, 0);
    put_event(&f, 0, 2, 3, 5);
    put_event(&f, 1, 1, 2, 0);
    put_their_order(&f);
    end_table(&f);
    end(&f, 2, 3, 4, "the counts of a stream's events do not fit");
}

/* The second of three is in no table. */
static void parted_events(void **state)
{
    (void)state;
    forge f;
    stream_entry e = stream_of(0, 1, 3);
    e.events = 2;
    begin(&f);
    begin_table(&f);
    put_stream(&f, "a", e);
    put_event(&f, 0, 1, 1, 0);
    put_event(&f, 0, 3, 2, 1);
    put_order(&f, 1, 1, "a");
    put_order(&f, 2, 3, "a");
    end_table(&f);
    end(&f, 1, 3, 3, "a stream's events are not the last ones that it had");
}

static void wrong_order(void **state)
{
    (void)state;
    forge f;
    begin_two_streams(&f);
    put_their_events(&f);
    put_order(&f, 1, 1, "b");
    put_order(&f, 2, 1, "a");
    put_order(&f, 3, 2, "a");
    end_table(&f);
    end(&f, 2, 3, 4, "the order of events does not name the events there");
}

static void foreign_id(void **state)
{
    (void)state;
    forge f;
    begin(&f);
    begin_table(&f);
    put_once(&f, "id", 9);
    end_table(&f);
    end(&f, 0, 0, 1, "the entry of a command id is damaged");
}

static void wrong_number(void **state)
{
    (void)state;
    forge f;
    begin(&f);
    begin_table(&f);
    put_stream(&f, "a", stream_of(3, 1, 0));
    end_table(&f);
    end(&f, 1, 0, 1, "the numbers of streams are out of order");
}

/* A stream of one event in one table, and of one more in the next. */
static void put_second(forge *f, stream_entry e, uint64_t position)
{
    begin(f);
    begin_table(f);
    put_stream(f, "a", stream_of(0, 1, 1));
    put_event(f, 0, 1, 1, 0);
    put_order(f, 1, 1, "a");
    end_table(f);
    begin_table(f);
    put_stream(f, "a", e);
    put_event(f, 0, e.first, position, e.state.count - 1);
    put_order(f, position, e.first, "a");
    end_table(f);
}

static void two_tables(void **state)
{
    (void)state;
    forge f;
    put_second(&f, stream_of(0, 2, 1), 2);
    end(&f, 1, 2, 3, NULL);
    put_second(&f, stream_of(0, 1, 1), 2);
    end(&f, 1, 2, 3, "a stream contradicts what older tables say of it");
    put_second(&f, stream_of(0, 2, 1), 1);
    end(&f, 1, 2, 3, "a position is in two tables");
    put_second(&f, stream_of(0, 2, 1), 2);
    end(&f, 1, 7, 3,
        "the tables hold other numbers of streams and events, or a later "
        "time, than the manifest says");
}

/* ---- faults ----------------------------------------------------------- */

static bool note_path(void *context, const persist_finding *found)
{
    (void)context;
    assert_null(strstr(found->what, found->path)); /* it is told apart */
    assert_null(strstr(found->what, "; "));
    return strncmp(found->path, "store", 5) == 0 && found->advice[0] != '\0';
}

static persist_status verify(os_sim *sim, persist_progress *out)
{
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = os_sim_os(sim)};
    const persist_watcher watcher = {PERSIST_WATCHER, NULL, note_path, NULL};
    persist_error error;
    persist_status status = persist_verify(&options, &watcher, out, &error);
    assert_int_equal(os_sim_open_files(sim), 0);
    return status;
}

enum { CALLS_TO_LOCK = 5 };

/* Each call in turn fails. `judge` says what is to come of it. */
static void fail_every_call(int code,
                            void (*judge)(uint64_t call, persist_status,
                                          uint64_t damages))
{
    for (unsigned i = 0; i < SHAPES; i++) {
        shape *s = shape_new(i);
        bool hit = true;
        for (uint64_t n = 1; hit; n++) {
            os_sim *sim = os_sim_kill(s->sim);
            persist_progress p = {PERSIST_PROGRESS};
            os_sim_fail(sim, (sim_fault){.calls = ~(1u << SIM_CLOSE),
                                         .nth = n,
                                         .error = code});
            persist_status status = verify(sim, &p);
            hit = os_sim_faults(sim, SIM_CALLS) > 0;
            /* a mapping that fails is read instead */
            bool harmless = os_sim_faults(sim, SIM_MAP) > 0 ||
                            os_sim_faults(sim, SIM_MAP_LOAD) > 0;
            if (!hit || harmless) {
                assert_int_equal(status, PERSIST_OK);
                assert_int_equal(p.damages, 0);
            } else {
                judge(n, status, p.damages);
            }
            os_sim_free(sim);
        }
        shape_free(s);
    }
}

/* That is a finding, or it could not run; never well. */
static void of_the_disk(uint64_t call, persist_status status, uint64_t damages)
{
    if (status == PERSIST_OK)
        assert_true(damages > 0 && call > CALLS_TO_LOCK);
    else
        assert_int_equal(status, PERSIST_IO);
}

static void unread(void **state)
{
    (void)state;
    fail_every_call(EIO, of_the_disk);
    fail_every_call(EUCLEAN, of_the_disk);
    fail_every_call(EBADMSG, of_the_disk);
}

/* It says nothing of what is on the disk. But who may not write a lock, or
 * not look into the working directory, goes on without. */
static void of_the_system(uint64_t call, persist_status status,
                          uint64_t damages)
{
    assert_int_equal(damages, 0);
    if (call > CALLS_TO_LOCK || status != PERSIST_OK)
        assert_true(status == PERSIST_IO || status == PERSIST_LIMIT);
}

static void not_seen(void **state)
{
    static const int codes[] = {EACCES, EPERM,  EMFILE, ENFILE, ENOMEM,
                                ELOOP,  ESTALE, EBUSY,  ENOLCK};
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        fail_every_call(codes[i], of_the_system);
}

static int countdown(void *context)
{
    uint64_t *left = context;
    return *left > 0 && --*left == 0;
}

static void every_allocation_fails(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SHAPES; i++) {
        shape *s = shape_new(i);
        bool hit = true;
        for (uint64_t n = 1; hit; n++) {
            os_sim *sim = os_sim_kill(s->sim);
            persist_progress p = {PERSIST_PROGRESS};
            uint64_t left = n;
            mem_set_fail(countdown, &left);
            persist_status status = verify(sim, &p);
            mem_set_fail(NULL, NULL);
            hit = left == 0;
            assert_int_equal(status, hit ? PERSIST_LIMIT : PERSIST_OK);
            assert_int_equal(p.damages, 0);
            os_sim_free(sim);
        }
        shape_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_table),
        cmocka_unit_test(missing_event),
        cmocka_unit_test(event_without_stream),
        cmocka_unit_test(wrong_count),
        cmocka_unit_test(parted_events),
        cmocka_unit_test(wrong_order),
        cmocka_unit_test(foreign_id),
        cmocka_unit_test(wrong_number),
        cmocka_unit_test(two_tables),
        cmocka_unit_test(unread),
        cmocka_unit_test(not_seen),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
