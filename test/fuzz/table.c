/* SPDX-License-Identifier: MIT */
/* A whole table file over a simulated disk: opened, walked both ways, sought
 * in, its entries decoded. Bytes that are wrong are `corrupt`, or else what is
 * read does not contradict itself. */
#include "engine/files/blob_entry.h"
#include "engine/table/entry.h"
#include "engine/table/times.h"
#include "lib/fuzz.h"

enum { CACHE_SIZE = 1 << 20, STEPS_MAX = 3000 };

static void decode(table_section section, slice key, slice value)
{
    stream_entry state;
    event_entry one;
    once_entry once;
    uint64_t position, seq, seqs[64];
    slice bytes;
    bool deleted;
    if (section == TABLE_STREAMS)
        (void)entry_get_stream(value, &state);
    if (section == TABLE_EVENTS)
        (void)entry_get_event(key, value, &one);
    if (section == TABLE_KEYS)
        (void)entry_get_key(value, &deleted, &bytes);
    if (section == TABLE_ONCES && entry_get_once(value, &once) &&
        once.seq_count <= sizeof seqs / sizeof *seqs)
        (void)entry_get_seqs(&once, seqs);
    times_entry times;
    if (section == TABLE_TIMES)
        (void)times_entry_get(key, value, &times);
    cursor c = cursor_of(value);
    blob_entry blob;
    if (section == TABLE_BLOBS)
        (void)blob_entry_get(&c, &blob);
    if (section == TABLE_ORDER)
        (void)entry_get_order(key, value, &position, &seq, &bytes);
}

static void expect_typed(persist_status status, const persist_error *error)
{
    CHECK(status == PERSIST_NONE || status == PERSIST_CORRUPT ||
          status == PERSIST_LIMIT);
    CHECK(status == PERSIST_NONE || error->status == status);
}

/* What stands at a key is found by it, unless a block or the filter lies. */
static void find_again(table *t, table_section section, slice key)
{
    table_iter i;
    persist_error error;
    table_iter_init(&i, t, section, false);
    persist_status status = table_find(&i, key, &error);
    if (status == PERSIST_OK)
        CHECK(slice_equal(table_key(&i), key));
    else
        expect_typed(status, &error);
    table_iter_release(&i);
}

static void walk(table *t, table_section section, bool back)
{
    static const uint8_t last[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff};
    table_iter i;
    persist_error error;
    table_iter_init(&i, t, section, back);
    persist_status status =
        back ? table_seek_back(&i, slice_of(last, sizeof last), &error)
             : table_seek(&i, slice_of(NULL, 0), &error);
    for (int n = 0; status == PERSIST_OK && n < STEPS_MAX; n++) {
        decode(section, table_key(&i), table_value(&i));
        if (n % 8 == 0)
            find_again(t, section, table_key(&i));
        status = back ? table_previous(&i, &error) : table_next(&i, &error);
    }
    if (status != PERSIST_OK)
        expect_typed(status, &error);
    table_iter_release(&i);
}

/* Whatever the section says, work is bounded, and what is found is there. */
static void look_at_times(table *t)
{
    times_reader r;
    persist_error error;
    uint64_t got, time;
    times_open(&r, t, false);
    for (unsigned bit = 0; bit < 64; bit += 3) {
        persist_status status =
            times_find(&r, (uint64_t)1 << bit, &got, &error);
        if (status == PERSIST_OK)
            status = times_at(&r, got, &time, &error);
        if (status != PERSIST_OK)
            expect_typed(status, &error);
    }
    times_close(&r);
}

static void look(const table_place *place, uint64_t number, uint64_t size)
{
    cache blocks;
    table *t;
    persist_error error;
    cache_init(&blocks, CACHE_SIZE);
    persist_status status =
        table_open(place, &blocks, number, size, &t, &error);
    if (status == PERSIST_OK) {
        for (unsigned s = 0; s < TABLE_SECTIONS; s++) {
            walk(t, (table_section)s, false);
            walk(t, (table_section)s, true);
        }
        look_at_times(t);
        table_unref(t);
    } else {
        expect_typed(status, &error);
    }
    cache_release(&blocks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < TABLE_HEADER_SIZE + TABLE_FOOTER_SIZE)
        return 0;
    fuzz_sums_hold = true;
    table_footer footer;
    slice tail = slice_of(data + size - TABLE_FOOTER_SIZE, TABLE_FOOTER_SIZE);
    if (!table_footer_decode(tail, &footer))
        footer.identity = footer.number = 1;
    os_sim *sim = os_sim_new(1);
    const os *sys = os_sim_os(sim);
    const table_place place = {
        .sys = sys, .dir = sys->cwd, .identity = footer.identity};
    char path[PERSIST_PATH_MAX];
    os_file *file;
    int code = table_path(&place, footer.number, path);
    CHECK(code == 0);
    code = sys->file_open(sys, sys->cwd, os_name(path),
                          OS_READ | OS_WRITE | OS_CREATE, &file);
    CHECK(code == 0 && os_write_all(sys, file, data, size, 0) == 0);
    sys->file_close(sys, file);
    look(&place, footer.number, size);
    CHECK(os_sim_open_files(sim) == 0);
    os_sim_free(sim);
    return 0;
}
