/* SPDX-License-Identifier: MIT */
/* Ops in any order, on memory and on a simulated disk that is flushed, merged,
 * closed and killed in between: both give the same answers, those on disk by
 * the store or by a session of it. Two bytes are an op; the first byte of all
 * chooses the sizes. */
#include <stdio.h>

#include "../lib/model.h"
#include "lib/fuzz.h"
#include "store/store.h"

enum { OPS_MAX = 200, SERIALS = 16 };

typedef struct world {
    persist_snapshot *held; /* opened by a read, compared when it goes */
    os_sim *sim;
    persist_options options;
    persist_store *disk, *session;
    model model;
    persist_lsn waited; /* durable for sure */
    bool blobs_differ;  /* the model forgot some that the disk has */
} world;

static void open_disk(world *w)
{
    persist_error error;
    w->options.os = os_sim_os(w->sim);
    persist_status status = persist_open(&w->options, &w->disk, &error);
    CHECK(status == PERSIST_OK);
    CHECK(persist_session(w->disk, &w->session, NULL) == PERSIST_OK);
}

static void let_go(world *w)
{
    buf why = {0};
    bool same =
        w->held == NULL || model_shows(&w->model, w->disk, w->held, &why);
    if (!same)
        fprintf(stderr, "%.*s\n", (int)why.size, (const char *)why.data);
    CHECK(same);
    persist_snapshot_close(w->held);
    w->held = NULL;
    buf_release(&why);
}

static void hold(world *w, op o)
{
    persist_view view = o.serial % 2 == 0 ? PERSIST_LATEST : PERSIST_DURABLE;
    let_go(w);
    CHECK(persist_snapshot_open(w->session, view, &w->held, NULL) ==
          PERSIST_OK);
}

static void close_disk(world *w)
{
    let_go(w);
    persist_error error;
    CHECK(persist_close(w->session, NULL) == PERSIST_OK);
    persist_status status = persist_close(w->disk, &error);
    CHECK(status == PERSIST_OK && os_sim_open_files(w->sim) == 0);
}

static void expect_same(world *w, persist_view view)
{
    buf why = {0};
    bool same = model_matches(&w->model, w->disk, view, &why);
    if (!same)
        fprintf(stderr, "%.*s\n", (int)why.size, (const char *)why.data);
    CHECK(same);
    buf_release(&why);
}

/* The power fails; what is left is at least what was waited for. */
static void kill_disk(world *w, unsigned seed)
{
    const sim_plan plan = {.keep = SIM_KEEP_RANDOM, .seed = seed};
    let_go(w);
    os_sim *after = os_sim_crash(w->sim, &plan);
    persist_close(w->session, NULL);
    persist_close(w->disk, NULL);
    os_sim_free(w->sim);
    w->sim = fuzz_process_now.sim = after;
    open_disk(w);
    persist_lsn latest = persist_latest(w->disk);
    CHECK(latest >= w->waited && latest <= w->model.latest);
    if (latest < w->model.latest)
        w->blobs_differ = true;
    CHECK(model_check_lsns(&w->model, w->disk, false) == NULL);
    model_roll_back(&w->model, latest);
    model_skip(&w->model, w->disk->first_lsn);
    w->waited = latest;
    expect_same(w, PERSIST_DURABLE);
}

static void control(world *w, op o)
{
    persist_error error;
    persist_lsn latest = persist_latest(w->disk);
    persist_backup *backup;
    const persist_backup_file *file;
    bool did;
    switch (o.kind) {
    case OP_STEP:
        CHECK(store_step(w->disk, &did, &error) == PERSIST_OK);
        break;
    case OP_WAIT:
        CHECK(persist_wait_durable(w->disk, latest, &error) == PERSIST_OK);
        w->waited = latest;
        if (o.serial % 2 == 0)
            CHECK(persist_resync(w->session, NULL) == PERSIST_OK);
        break;
    case OP_BACKUP: /* crash_states takes it, and compares */
        CHECK(persist_backup_begin(w->disk, &backup, NULL, &error) ==
              PERSIST_OK);
        while (persist_backup_next(backup, &file, &error) == PERSIST_OK) {
        }
        persist_backup_end(backup);
        w->waited = latest;
        break;
    case OP_REOPEN:
        close_disk(w);
        open_disk(w);
        w->waited = latest;
        break;
    case OP_COMPACT:
    case OP_PURGE:
        let_go(w);
        CHECK(op_tidy(w->disk, o, &error) == PERSIST_OK);
        w->waited = persist_durable(w->disk);
        break;
    default:
        kill_disk(w, o.serial);
    }
}

static void apply(world *w, op o)
{
    persist_error error;
    buf expected = {0}, actual = {0};
    persist_status wanted = model_apply(&w->model, o, &expected);
    persist_store *hand = o.serial % 4 < 2 ? w->disk : w->session;
    persist_status status = op_apply(hand, o, &actual, &error);
    CHECK(status == wanted);
    CHECK(slice_equal(buf_slice(&expected), buf_slice(&actual)));
    if (o.kind == OP_READ)
        hold(w, o);
    buf_release(&expected);
    buf_release(&actual);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cursor c = cursor_of(slice_of(data, size));
    uint8_t sizes = cursor_u8(&c);
    world w = {.sim = os_sim_new(1)};
    w.options = (persist_options){PERSIST_OPTIONS,
                                  .path = "store",
                                  .create = true,
                                  .segment_size = 4096u << (sizes & 1),
                                  .memtable_size = 1u << (sizes >> 1 & 15),
                                  .merge_width = 2 + (sizes >> 5 & 1),
                                  .cache_size = sizes & 64 ? 1 : 0,
                                  .compress = (sizes & 128) != 0};
    fuzz_process_now.sim = w.sim; /* the model asks it for the time */
    model_begin(&w.model, false);
    open_disk(&w);
    for (int i = 0; i < OPS_MAX && cursor_left(&c) >= 2; i++) {
        op o = {cursor_u8(&c) % OP_KINDS, cursor_u8(&c) % SERIALS};
        if (op_is_control(o.kind))
            control(&w, o);
        else if ((o.kind != OP_BLOB_READ && o.kind != OP_REFER) ||
                 !w.blobs_differ)
            apply(&w, o);
    }
    expect_same(&w, PERSIST_LATEST);
    close_disk(&w);
    model_end(&w.model);
    fuzz_process_now.sim = NULL;
    os_sim_free(w.sim);
    return 0;
}
