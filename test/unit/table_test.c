/* SPDX-License-Identifier: MIT */
/* Tables: what is written is found, forwards, backwards and by name, in trees
 * of any height; and no lost bit goes unseen. */
#include "fixture.h"
#include "folder.h"

#include <errno.h>

#include "../lib/os_sim_disk.h"
#include "base/hash.h"
#include "engine/table/entry.h"
#include "engine/table/merge.h"
#include "sx.h"

enum { ENTRIES = 3000, NUMBER = 7, IDENTITY = 99, SMALL_CACHE = 4096 };

static os_sim *sim;
static cache blocks;
static table_place place;
static os_dir *folder; /* of the place */
static uint64_t hole;  /* the blocks of a table that is written begin there */

static int set_up(void **state)
{
    (void)state;
    sim = os_sim_new(1);
    const os *sys = os_sim_os(sim);
    assert_int_equal(sys->dir_make(sys, sys->cwd, "t"), 0);
    cache_init(&blocks, SMALL_CACHE);
    assert_int_equal(sys->dir_open(sys, sys->cwd, "t", &folder), 0);
    place = (table_place){.sys = sys, .dir = folder, .identity = IDENTITY};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    const os *sys = os_sim_os(sim);
    cache_release(&blocks);
    sys->dir_close(sys, folder);
    assert_int_equal(os_sim_open_files(sim), 0);
    os_sim_free(sim);
    return 0;
}

/* Every third number is a key. */
static slice key_name(int i, char out[32])
{
    int size = snprintf(out, 32, "key-%06d", i * 3);
    return slice_of(out, (size_t)size);
}

static void write_keys(uint32_t block_size, bool compress, int count)
{
    table_writer w;
    buf value = {0};
    assert_int_equal(table_begin(&w, &place, NUMBER, block_size, compress,
                                 (uint64_t)count, NULL),
                     PERSIST_OK);
    if (hole > 0) {
        assert_int_equal(
            os_write_all(place.sys, w.file, w.out.data, w.out.size, w.offset),
            0);
        buf_clear(&w.out);
        w.offset = hole;
    }
    for (int i = 0; i < count; i++) {
        char name[32];
        buf_clear(&value);
        buf_printf(&value, "value %d of %s", i, i % 100 == 0 ? "many" : "");
        for (int k = 0; k < 200 && i % 100 == 0; k++)
            buf_put_byte(&value, (uint8_t)k);
        table_add(&w, TABLE_KEYS, key_name(i, name), buf_slice(&value));
    }
    buf_release(&value);
    assert_int_equal(table_finish(&w, 1, 9, NULL), PERSIST_OK);
}

static table *open_table(void)
{
    os_stat stat;
    char path[PERSIST_PATH_MAX];
    table *t = NULL;
    assert_int_equal(table_path(&place, NUMBER, path), 0);
    assert_int_equal(place.sys->stat(place.sys, place.sys->cwd, path, &stat),
                     0);
    assert_int_equal(table_open(&place, &blocks, NUMBER, stat.size, &t, NULL),
                     PERSIST_OK);
    return t;
}

static void check_all(table_iter *i, int count)
{
    char name[32];
    persist_status status = table_seek(i, slice_of(NULL, 0), NULL);
    for (int n = 0; n < count; n++) {
        assert_int_equal(status, PERSIST_OK);
        assert_true(slice_equal(table_key(i), key_name(n, name)));
        assert_true(slice_starts_with(table_value(i), slice_str("value ")));
        status = table_next(i, NULL);
    }
    assert_int_equal(status, PERSIST_NONE);
    status = table_seek_back(i, slice_str("z"), NULL);
    for (int n = count; n-- > 0;) {
        assert_int_equal(status, PERSIST_OK);
        assert_true(slice_equal(table_key(i), key_name(n, name)));
        status = table_previous(i, NULL);
    }
    assert_int_equal(status, PERSIST_NONE);
}

/* From every place that is between two keys, and at every key. */
static void check_seeks(table_iter *i, int count)
{
    char name[32], wanted[32];
    for (int n = 0; n < count * 3; n += 7) {
        int size = snprintf(name, sizeof name, "key-%06d", n);
        slice at = slice_of(name, (size_t)size);
        int above = (n + 2) / 3, below = n / 3;
        persist_status status = table_seek(i, at, NULL);
        assert_int_equal(status, above < count ? PERSIST_OK : PERSIST_NONE);
        if (status == PERSIST_OK)
            assert_true(slice_equal(table_key(i), key_name(above, wanted)));
        assert_int_equal(table_seek_back(i, at, NULL), PERSIST_OK);
        assert_true(slice_equal(table_key(i), key_name(below, wanted)));
        assert_int_equal(table_find(i, at, NULL),
                         n % 3 == 0 ? PERSIST_OK : PERSIST_NONE);
    }
    assert_int_equal(table_seek_back(i, slice_str("a"), NULL), PERSIST_NONE);
    assert_int_equal(table_seek(i, slice_str("z"), NULL), PERSIST_NONE);
}

/* Compressed and not, mapped and read. */
static void what_is_written_is_found(void **state)
{
    static const uint32_t sizes[] = {64, 300, 4096, 32768};
    (void)state;
    for (size_t n = 0; n < 16; n++) {
        os_sim_refuse_maps(sim, n < 8 ? 0 : 1);
        write_keys(sizes[n / 2 % 4], n % 2 != 0, ENTRIES);
        table *t = open_table();
        table_iter i;
        assert_int_equal(t->footer.roots[TABLE_KEYS].entries, ENTRIES);
        assert_int_equal(t->map.data == NULL, n >= 8);
        assert_true(sizes[n / 2 % 4] > 64 ||
                    t->footer.roots[TABLE_KEYS].height > 3);
        table_iter_init(&i, t, TABLE_KEYS, n % 2 != 0);
        check_all(&i, ENTRIES);
        check_seeks(&i, ENTRIES);
        table_iter_release(&i);
        table_iter_init(&i, t, TABLE_ONCES, false);
        assert_int_equal(table_seek(&i, slice_of(NULL, 0), NULL), PERSIST_NONE);
        table_unref(t);
        char path[PERSIST_PATH_MAX];
        table_path(&place, NUMBER, path);
        assert_int_equal(place.sys->unlink(place.sys, place.sys->cwd, path), 0);
        cache_release(&blocks);
        cache_init(&blocks, SMALL_CACHE);
    }
}

static void the_filter_tells_most_absent_names(void **state)
{
    (void)state;
    write_keys(4096, false, ENTRIES);
    table *t = open_table();
    int maybe = 0;
    for (int i = 0; i < ENTRIES; i++) {
        char name[32];
        assert_int_equal(
            table_may_have(t, TABLE_KEYS,
                           filter_hash(TABLE_KEYS, key_name(i, name)), NULL),
            PERSIST_OK);
        snprintf(name, sizeof name, "absent-%d", i);
        maybe += table_may_have(t, TABLE_KEYS,
                                filter_hash(TABLE_KEYS, slice_str(name)),
                                NULL) == PERSIST_OK;
    }
    assert_true(maybe < ENTRIES / 20);
    assert_int_equal(table_may_have(t, TABLE_STREAMS,
                                    filter_hash(TABLE_STREAMS, slice_str("x")),
                                    NULL),
                     PERSIST_NONE);
    table_unref(t);
}

/* The cache keeps to its bound, and what is held stays. */
static void the_cache_is_bounded(void **state)
{
    (void)state;
    os_sim_refuse_maps(sim, 1);
    write_keys(256, false, ENTRIES);
    table *t = open_table();
    table_iter held, i;
    table_iter_init(&held, t, TABLE_KEYS, false);
    table_iter_init(&i, t, TABLE_KEYS, false);
    assert_int_equal(table_seek(&held, slice_str("key-000300"), NULL),
                     PERSIST_OK);
    check_all(&i, ENTRIES);
    assert_true(cache_size(&blocks) <= SMALL_CACHE);
    assert_true(slice_equal(table_key(&held), slice_str("key-000300")));
    table_iter_release(&held);
    table_iter_release(&i);
    table_unref(t);
}

/* Reads everything; PERSIST_OK only if all of it is as it was written. */
static persist_status read_whole(uint64_t size, persist_error *error)
{
    table *t;
    table_iter i;
    char name[32];
    persist_status status =
        table_open(&place, &blocks, NUMBER, size, &t, error);
    if (status != PERSIST_OK)
        return status;
    table_iter_init(&i, t, TABLE_KEYS, true);
    status = table_seek(&i, slice_of(NULL, 0), error);
    for (int n = 0; status == PERSIST_OK; n++) {
        if (!slice_equal(table_key(&i), key_name(n, name)))
            status = SX_ERROR;
        else if (table_may_have(t, TABLE_KEYS,
                                filter_hash(TABLE_KEYS, table_key(&i)),
                                error) > PERSIST_NONE)
            status = PERSIST_CORRUPT;
        else
            status = table_next(&i, error);
    }
    table_iter_release(&i);
    table_unref(t);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static void lose_each_bit(void)
{
    fixture f = {.sim = sim};
    buf bytes = {0};
    char path[PERSIST_PATH_MAX];
    write_keys(256, false, 20);
    table_path(&place, NUMBER, path);
    fixture_load(&f, path, &bytes);
    assert_int_equal(read_whole(bytes.size, NULL), PERSIST_OK);
    for (uint64_t at = 0; at < bytes.size; at++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t byte = bytes.data[at] ^ (uint8_t)(1 << bit);
            persist_error error = {0};
            fixture_patch(&f, path, at, slice_of(&byte, 1));
            cache_release(&blocks);
            cache_init(&blocks, SMALL_CACHE);
            persist_status status = read_whole(bytes.size, &error);
            /* The header tells whose file it is; nothing else needs it. */
            bool header = at < TABLE_HEADER_SIZE;
            assert_int_equal(status, header ? PERSIST_OK : PERSIST_CORRUPT);
            assert_true(header || (strcmp(error.path, path) == 0 &&
                                   (error.has & PERSIST_HAS_OFFSET) != 0 &&
                                   error.offset <= at));
            fixture_patch(&f, path, at, slice_of(bytes.data + at, 1));
        }
    assert_true(
        table_header_is(slice_of(bytes.data, TABLE_HEADER_SIZE), IDENTITY));
    for (size_t at = 0; at < TABLE_HEADER_SIZE; at++) {
        bytes.data[at] ^= 1;
        assert_false(
            table_header_is(slice_of(bytes.data, TABLE_HEADER_SIZE), IDENTITY));
        bytes.data[at] ^= 1;
    }
    buf_release(&bytes);
}

static void no_lost_bit_goes_unseen(void **state)
{
    (void)state;
    lose_each_bit();
    os_sim_refuse_maps(sim, 1);
    char path[PERSIST_PATH_MAX];
    table_path(&place, NUMBER, path);
    assert_int_equal(place.sys->unlink(place.sys, place.sys->cwd, path), 0);
    lose_each_bit();
}

/* Blocks are brought in, and looked at, once; what lies in the file
 * uncompressed takes no memory. */
static void a_block_is_brought_in_once(void **state)
{
    (void)state;
    write_keys(256, false, ENTRIES);
    table *t = open_table();
    table_iter i;
    table_iter_init(&i, t, TABLE_KEYS, false);
    check_all(&i, ENTRIES);
    uint64_t loads = os_sim_calls(sim, SIM_MAP_LOAD);
    assert_true(loads > 100);
    check_all(&i, ENTRIES);
    assert_int_equal(os_sim_calls(sim, SIM_MAP_LOAD), loads);
    assert_int_equal(cache_size(&blocks), 0);
    table_iter_release(&i);
    table_unref(t);
}

/* Where a mapping fails, reading helps, or says what is wrong. */
static void what_cannot_be_brought_in_is_read(void **state)
{
    (void)state;
    write_keys(256, false, ENTRIES);
    table *t = open_table();
    table_iter i;
    persist_error error;
    table_iter_init(&i, t, TABLE_KEYS, true);
    os_sim_fail(sim, (sim_fault){.calls = 1u << SIM_MAP_LOAD,
                                 .nth = 1,
                                 .from_then_on = true,
                                 .error = EIO});
    check_all(&i, ENTRIES);
    assert_true(os_sim_faults(sim, SIM_MAP_LOAD) > 100);
    cache_release(&blocks);
    cache_init(&blocks, SMALL_CACHE);
    os_sim_fail(sim, (sim_fault){.calls = 1u << SIM_MAP_LOAD | 1u << SIM_READ,
                                 .nth = 1,
                                 .from_then_on = true,
                                 .error = EIO});
    assert_int_equal(table_seek(&i, slice_str("k"), &error), PERSIST_IO);
    os_sim_fail(sim, (sim_fault){0});
    table_iter_release(&i);
    table_unref(t);
}

/* Somebody cuts the file of a table that is open. */
static void cut_while_it_is_open(void)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    persist_error error = {0};
    write_keys(256, false, ENTRIES);
    table *t = open_table();
    table_iter i;
    table_path(&place, NUMBER, path);
    table_iter_init(&i, t, TABLE_KEYS, false);
    assert_int_equal(
        place.sys->file_open(place.sys, place.sys->cwd, path, OS_WRITE, &file),
        0);
    assert_int_equal(place.sys->file_truncate(place.sys, file, 5000), 0);
    assert_int_equal(place.sys->file_close(place.sys, file), 0);
    assert_int_equal(table_seek(&i, slice_str("k"), &error), PERSIST_CORRUPT);
    assert_string_equal(error.path, path);
    assert_int_equal(table_find(&i, slice_str("key-000300"), &error),
                     PERSIST_CORRUPT);
    table_iter_release(&i);
    table_unref(t);
}

static void a_table_that_is_cut_is_an_error(void **state)
{
    (void)state;
    cut_while_it_is_open();
    place.sys = os_posix();
    place.dir = folder_make("table");
    cut_while_it_is_open();
    folder_remove(place.dir);
}

static int refuse_map(const os *sys, os_file *file, uint64_t size, os_map *out)
{
    (void)sys, (void)file, (void)size, (void)out;
    return -ENOMEM;
}

/* Offsets that cross 2^31 and 2^32, mapped and read: in a file with a hole. */
static void blocks_may_lie_far_behind(void **state)
{
    (void)state;
    os reading = *os_posix();
    reading.file_map = refuse_map;
    place.sys = os_posix();
    place.dir = folder_make("table");
    for (int n = 0; n < 8; n++) {
        char path[PERSIST_PATH_MAX];
        table_iter i;
        hole = ((uint64_t)1 << (n % 2 == 0 ? 31 : 32)) - 3000;
        place.sys = n / 2 % 2 == 0 ? os_posix() : &reading;
        write_keys(300, n / 4 == 0, ENTRIES);
        hole = 0;
        table *t = open_table();
        assert_int_equal(t->map.data == NULL, n / 2 % 2 != 0);
        table_iter_init(&i, t, TABLE_KEYS, false);
        check_all(&i, ENTRIES);
        check_seeks(&i, ENTRIES);
        table_iter_release(&i);
        table_unref(t);
        cache_release(&blocks);
        cache_init(&blocks, SMALL_CACHE);
        assert_int_equal(table_path(&place, NUMBER, path), 0);
        assert_int_equal(place.sys->unlink(place.sys, place.sys->cwd, path), 0);
    }
    folder_remove(place.dir);
}

static void a_table_of_another_length_is_refused(void **state)
{
    (void)state;
    fixture f = {.sim = sim};
    buf bytes = {0};
    char path[PERSIST_PATH_MAX];
    write_keys(256, false, 20);
    table_path(&place, NUMBER, path);
    fixture_load(&f, path, &bytes);
    for (uint64_t size = bytes.size; size-- > 0;) {
        os_file *file;
        const os *sys = place.sys;
        int flags = OS_READ | OS_WRITE;
        assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &file), 0);
        assert_int_equal(place.sys->file_truncate(place.sys, file, size), 0);
        place.sys->file_close(place.sys, file);
        assert_int_equal(read_whole(bytes.size, NULL), PERSIST_CORRUPT);
    }
    buf_release(&bytes);
}

/* Reads all of a block, and searches it; false if it is refused. */
static bool read_hostile(slice packed, uint64_t *random)
{
    block_header h;
    block_view view = {0};
    block *b = NULL;
    char name[32];
    const uint8_t *stored = (const uint8_t *)packed.data + BLOCK_HEADER_SIZE;
    assert_true(block_verify(packed, 3));
    if (!block_get_header(packed, 1, &h))
        return false;
    if (h.compressed ? block_unpack(&h, stored, &b) != PERSIST_OK
                     : !block_lay_out(&h, stored, &view))
        return false;
    if (b != NULL)
        view = b->view;
    bool sound = true;
    for (uint32_t i = 0; i < view.count && sound; i++) {
        block_entry e;
        sound = block_get(&view, i, &e);
        if (!sound)
            continue;
        buf room = {0};
        assert_true(
            buf_reserve(&room, block_key_size(&view, &e) + BLOCK_HEAD_SIZE));
        memcpy(room.data, view.prefix, view.prefix_size);
        block_put_rest(&e, room.data + view.prefix_size);
        *random += hash_xxh3(slice_of(room.data, block_key_size(&view, &e)));
        *random += hash_xxh3(e.value);
        buf_release(&room);
    }
    for (int i = 0; i < 6 && view.count > 0; i++)
        assert_true(block_search(&view, key_name(i, name), i % 2 == 0) <=
                    view.count);
    block_unref(b);
    return sound;
}

/* Bytes that nobody wrote decode to an error or to something; they never do
 * harm. A right checksum is put over them, so that they get that far. */
static void hostile_blocks_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = 5, refused = 0;
    block_packer packer = {0};
    for (int n = 0; n < 20000; n++) {
        block_writer w = {0};
        buf packed = {0};
        char name[32];
        for (int i = 0; i < 5; i++)
            block_add(&w, key_name(i, name), slice_str("v"));
        assert_true(block_seal(&w, 1, n % 2 == 0 ? &packer : NULL, 3, &packed));
        for (uint64_t k = sim_random(&random) % 4 + 1; k > 0; k--) {
            uint64_t at = 8 + sim_random(&random) % (packed.size - 8);
            packed.data[at] = (uint8_t)sim_random(&random);
        }
        uint64_t sum =
            hash_xxh3_seed(slice_of(packed.data + 8, packed.size - 8), 3);
        memcpy(packed.data, &sum, sizeof sum);
        refused += !read_hostile(buf_slice(&packed), &random);
        buf_release(&packed);
        block_writer_release(&w);
    }
    block_packer_release(&packer);
    assert_true(refused > 0);
}

/* Appends a block to a table's bytes; index blocks name the block below twice.
 * Returns how to name this one. */
static void put_level(buf *bytes, unsigned level, buf *child)
{
    block_writer w = {0};
    uint64_t offset = bytes->size;
    block_add(&w, slice_str("k"), buf_slice(child));
    if (level > 0)
        block_add(&w, slice_str("l"), buf_slice(child));
    assert_true(block_seal(&w, table_kind(TABLE_EVENTS, level), NULL,
                           block_seed(IDENTITY, NUMBER, offset), bytes));
    buf_clear(child);
    buf_put_varint(child, offset);
    buf_put_varint(child, bytes->size - offset);
    buf_put_varint(child, level);
    block_writer_release(&w);
}

/* A table of a few kilobytes, every level of which names the one below twice:
 * a walk through all of it would come to its leaf two thousand million times.
 */
static void a_block_that_is_named_twice_is_damage(void **state)
{
    (void)state;
    fixture f = {.sim = sim};
    buf bytes = {0}, child = {0};
    char path[PERSIST_PATH_MAX];
    table_footer footer;
    uint8_t end[TABLE_FOOTER_SIZE];
    write_keys(4096, false, 20);
    assert_int_equal(table_path(&place, NUMBER, path), 0);
    fixture_load(&f, path, &bytes);
    bytes.size -= TABLE_FOOTER_SIZE;
    assert_true(table_footer_decode(
        slice_of(bytes.data + bytes.size, TABLE_FOOTER_SIZE), &footer));
    uint64_t top = 0;
    for (unsigned level = 0; level < TREE_HEIGHT_MAX; level++) {
        top = bytes.size;
        put_level(&bytes, level, &child);
    }
    footer.roots[TABLE_EVENTS] =
        (table_root){top, bytes.size - top, TREE_HEIGHT_MAX, 2};
    footer.blocks += TREE_HEIGHT_MAX;
    footer.size = bytes.size + TABLE_FOOTER_SIZE;
    table_footer_encode(&footer, end);
    buf_put(&bytes, end, sizeof end);
    fixture_patch(&f, path, 0, buf_slice(&bytes));
    table *t = open_table();
    table_iter i;
    persist_error error = {0};
    table_iter_init(&i, t, TABLE_EVENTS, false);
    assert_int_equal(table_seek(&i, slice_of(NULL, 0), NULL), PERSIST_OK);
    assert_int_equal(table_next(&i, &error), PERSIST_CORRUPT);
    assert_string_equal(error.path, path);
    assert_int_equal(table_seek_back(&i, slice_str("z"), NULL), PERSIST_OK);
    assert_int_equal(table_previous(&i, NULL), PERSIST_CORRUPT);
    table_iter_release(&i);
    table_unref(t);
    buf_release(&bytes);
    buf_release(&child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_found, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_filter_tells_most_absent_names,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cache_is_bounded, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_lost_bit_goes_unseen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_block_is_brought_in_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_brought_in_is_read,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_that_is_cut_is_an_error, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(blocks_may_lie_far_behind, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_table_of_another_length_is_refused,
                                        set_up, tear_down),
        cmocka_unit_test(hostile_blocks_do_no_harm),
        cmocka_unit_test_setup_teardown(a_block_that_is_named_twice_is_damage,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
