/* SPDX-License-Identifier: MIT */
/* A store directory: it opens, or says why not. One that opens can be read and
 * written, and reads the same after a close and a kill; one that verifies
 * without damage opens and reads whole. The first byte chooses the sizes, the
 * rest are files (fuzz.h). */
#include <string.h>

#include "../lib/ops.h"
#include "lib/fuzz.h"
#include "sx.h"

enum { SPACE_MAX = 4 << 20 };

typedef struct world {
    os_sim *sim;
    persist_options options;
    persist_error error;
} world;

static void expect_typed(const world *w, persist_status status)
{
    CHECK(status > PERSIST_NONE && status <= PERSIST_LIMIT);
    CHECK(w->error.status == status && w->error.message[0] != '\0');
}

static persist_store *open_store(world *w)
{
    persist_store *store = NULL;
    persist_status status = persist_open(&w->options, &store, &w->error);
    if (status != PERSIST_OK)
        expect_typed(w, status);
    CHECK((status == PERSIST_OK) == (store != NULL));
    return store;
}

/* All there is; false where something is damaged, or forged so that two ways of
 * reading disagree. */
static bool dump(world *w, persist_store *store, buf *out)
{
    buf_clear(out);
    persist_status status = store_dump(store, PERSIST_DURABLE, out, &w->error);
    if (status != PERSIST_OK && status != SX_ERROR)
        expect_typed(w, status);
    return status == PERSIST_OK;
}

/* What persist_verify promises of a store without damage. */
static bool verify(world *w)
{
    const persist_watcher nobody = {PERSIST_WATCHER};
    persist_progress figures = {PERSIST_PROGRESS};
    persist_status status =
        persist_verify(&w->options, &nobody, &figures, &w->error);
    if (status != PERSIST_OK)
        expect_typed(w, status);
    return status == PERSIST_OK && figures.damages == 0;
}

/* Verifying reads the commits of the log, but does not apply them. */
static bool contradicts_itself(const world *w)
{
    return w->error.status == PERSIST_CORRUPT &&
           strstr(w->error.message, "contradicts those before") != NULL;
}

static void read_blob(world *w, persist_store *store)
{
    persist_status status =
        op_read_blob(store, (op){OP_BLOB_SMALL, 4}, &w->error);
    CHECK(status != SX_ERROR);
    if (status > PERSIST_NONE)
        expect_typed(w, status);
}

static bool append(world *w, persist_store *store)
{
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str("a"),
                         .data = slice_str("new")};
    persist_outcome out;
    persist_status status =
        persist_commit(store, &edit, 1, NULL, &out, &w->error);
    if (status == PERSIST_OK) {
        persist_outcome_release(&out);
        status = persist_wait_durable(store, persist_latest(store), &w->error);
    }
    if (status != PERSIST_OK)
        expect_typed(w, status);
    return status == PERSIST_OK;
}

static void power_off(world *w)
{
    const sim_plan plan = {.keep = SIM_KEEP_NONE};
    os_sim *after = os_sim_crash(w->sim, &plan);
    os_sim_free(w->sim);
    w->sim = after;
    w->options.os = os_sim_os(after);
    os_sim_limit_space(after, 2 * SPACE_MAX);
}

/* What was there stays there. */
static void expect_again(world *w, const buf *before)
{
    buf now = {0};
    persist_store *store = open_store(w);
    CHECK(store != NULL);
    if (dump(w, store, &now))
        CHECK(slice_equal(buf_slice(before), buf_slice(&now)));
    buf_release(&now);
    persist_close(store, NULL);
}

static void use(world *w, persist_store *store, bool whole)
{
    buf before = {0}, after = {0};
    bool read = dump(w, store, &before);
    CHECK(read || !whole);
    read_blob(w, store);
    bool wrote = append(w, store);
    bool read_new = dump(w, store, &after);
    persist_status closed = persist_close(store, &w->error);
    CHECK(os_sim_open_files(w->sim) == 0);
    if (closed == PERSIST_OK && read && read_new) {
        CHECK(wrote || slice_equal(buf_slice(&before), buf_slice(&after)));
        expect_again(w, &after);
        power_off(w);
        expect_again(w, &after);
    }
    buf_release(&before);
    buf_release(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cursor c = cursor_of(slice_of(data, size));
    uint8_t sizes = cursor_u8(&c);
    world w = {.sim = os_sim_new(1)};
    w.options = (persist_options){
        PERSIST_OPTIONS,       .path = "store",
        .segment_size = 4096,  .memtable_size = sizes & 1 ? 1 : 4096,
        .merge_width = 2,      .compress = (sizes & 2) != 0,
        .os = os_sim_os(w.sim)};
    fuzz_sums_hold = true;
    fuzz_files_load(&c, w.sim);
    os_sim_limit_space(w.sim, SPACE_MAX);
    bool whole = verify(&w);
    persist_store *store = open_store(&w);
    CHECK(store != NULL || !whole || contradicts_itself(&w));
    if (store != NULL)
        use(&w, store, whole);
    CHECK(os_sim_open_files(w.sim) == 0);
    os_sim_free(w.sim);
    return 0;
}
