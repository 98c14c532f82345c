/* SPDX-License-Identifier: MIT */
/* Blocks of events: a run gives what its entries give one by one, whatever
 * their keys and bytes are; and a search finds what looking at all finds, also
 * one for a number. What is no event's tags is refused. */
#include "fixture.h"

#include "../lib/os_sim_disk.h"
#include "base/cursor.h"
#include "engine/files/tagged.h"
#include "engine/table/entry.h"

enum { EVENTS = 40, SEED = 3, KIND = 1 };

/* An unpacked block, and the bytes it lies in. */
typedef struct sealed {
    buf packed;
    block_view view;
} sealed;

/* Lays the bytes out; false if they are refused. */
static bool lay_out(sealed *s)
{
    block_header h;
    return block_get_header(buf_slice(&s->packed), KIND, &h) &&
           block_lay_out(&h, s->packed.data + BLOCK_HEADER_SIZE, &s->view);
}

static const char with_tags[] = "\4type\2\1a\3bcd";

/* Events of two or three streams, some with tags, whose seqs pass a number
 * where their keys become longer, or bytes before the last one change; or of
 * one stream, whose keys differ in the last byte. */
static void make_events(uint64_t *random, sealed *out)
{
    static const uint64_t near[] = {20, 256, 65536, 1 << 24, (uint64_t)1 << 32};
    bool dense = sim_random(random) % 2 == 0;
    uint64_t ordinal = sim_random(random) % 300, seq = 0;
    block_writer w = {0};
    buf value = {0};
    for (int i = 0; i < EVENTS; i++) {
        uint8_t place[ENTRY_EVENT_KEY_MAX];
        if (i == 0 || (!dense && sim_random(random) % 20 == 0)) {
            ordinal++;
            seq = near[sim_random(random) % 5] - sim_random(random) % 20;
            seq += dense ? 50 : 0;
        }
        event_entry e = {.position = sim_random(random) >> (1 + i % 60),
                         .anchored = sim_random(random) % 8 == 0,
                         .index = seq,
                         .tagged =
                             slice_of(with_tags, sim_random(random) % 5 == 0
                                                     ? sizeof with_tags - 1
                                                     : 0),
                         .data = slice_of("0123456789abcdef", i % 17)};
        buf_clear(&value);
        entry_put_event(&value, &e);
        block_add(&w, entry_event_key(ordinal, seq, place), buf_slice(&value));
        seq += !dense && sim_random(random) % 4 == 0 ? 100 : 1;
    }
    assert_true(block_seal(&w, KIND, NULL, SEED, &out->packed));
    assert_true(lay_out(out));
    block_writer_release(&w);
    buf_release(&value);
}

/* One entry, by its whole key. */
static bool get_one(const block_view *v, uint32_t at, event_entry *out)
{
    block_entry e;
    if (!block_get(v, at, &e))
        return false;
    buf room = {0};
    assert_true(buf_reserve(&room, block_key_size(v, &e) + BLOCK_HEAD_SIZE));
    memcpy(room.data, v->prefix, v->prefix_size);
    block_put_rest(&e, room.data + v->prefix_size);
    bool is = entry_get_event(slice_of(room.data, block_key_size(v, &e)),
                              e.value, out);
    buf_release(&room);
    return is;
}

/* Takes a run, and the same events one by one; returns how many. */
static uint32_t must_be_same(const block_view *v, const event_run *run)
{
    persist_event events[EVENTS];
    uint32_t n = entry_get_run(v, run, events, EVENTS), at = run->at;
    for (uint32_t i = 0; i < EVENTS; i++) {
        event_entry e;
        if (at >= v->count || !get_one(v, at, &e) ||
            e.ordinal != run->ordinal || e.seq < run->low ||
            e.seq > run->high) {
            assert_int_equal(n, i);
            return n;
        }
        assert_true(i < n);
        assert_int_equal(events[i].seq, e.seq);
        assert_int_equal(events[i].position, e.position);
        assert_ptr_equal(events[i].data.data, e.data.data);
        assert_int_equal(events[i].data.size, e.data.size);
        assert_ptr_equal(events[i].tagged, e.tagged.data);
        assert_ptr_equal(events[i].stream.data, run->name.data);
        at += run->back ? UINT32_MAX : 1;
    }
    return n;
}

/* All runs of a block, from each of its entries; returns the longest. */
static uint32_t try_runs(const block_view *v, uint64_t *random)
{
    uint32_t longest = 0;
    for (uint32_t at = 0; at < v->count && at < 2 * EVENTS; at++) {
        event_entry e;
        event_run run = {at, at % 2 == 0, 1, 0, UINT64_MAX, slice_str("s")};
        if (get_one(v, at, &e)) {
            run.ordinal = e.ordinal;
            run.low = at % 3 == 0 ? e.seq - sim_random(random) % 9 : 0;
            run.high = at % 5 == 0 ? e.seq + sim_random(random) % 9 : e.seq * 2;
        }
        uint32_t n = must_be_same(v, &run);
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void a_run_is_what_its_entries_are(void **state)
{
    (void)state;
    uint64_t random = 7;
    uint32_t longest = 0;
    for (int n = 0; n < 2000; n++) {
        sealed s = {0};
        make_events(&random, &s);
        uint32_t got = try_runs(&s.view, &random);
        longest = got > longest ? got : longest;
        buf_release(&s.packed);
    }
    assert_true(longest > EVENTS / 2);
}

/* Bytes that nobody wrote end a run where they end the entries. */
static void a_damaged_run_ends_where_its_entries_do(void **state)
{
    (void)state;
    uint64_t random = 9, refused = 0;
    for (int n = 0; n < 4000; n++) {
        sealed s = {0};
        make_events(&random, &s);
        for (uint64_t k = sim_random(&random) % 6 + 1; k > 0; k--) {
            uint64_t at =
                BLOCK_HEADER_SIZE +
                sim_random(&random) % (s.packed.size - BLOCK_HEADER_SIZE);
            uint8_t byte = (uint8_t)sim_random(&random);
            s.packed.data[at] = k % 2 == 0 ? 0 : byte;
        }
        if (lay_out(&s))
            (void)try_runs(&s.view, &random);
        else
            refused++;
        buf_release(&s.packed);
    }
    assert_true(refused < 4000);
}

/* Keys of few different heads, and of many. */
static void a_search_finds_what_looking_at_all_finds(void **state)
{
    (void)state;
    for (int count = 1; count < 150; count++) {
        for (int step = 1; step < 40000; step *= 199) {
            sealed s = {0};
            block_writer w = {0};
            char name[32];
            for (int i = 0; i < count; i++) {
                snprintf(name, sizeof name, "%08d", (i + 1) * step * 2);
                block_add(&w, slice_str(name), slice_str("v"));
            }
            assert_true(block_seal(&w, KIND, NULL, SEED, &s.packed));
            assert_true(lay_out(&s));
            for (int i = 0; i <= 2 * count + 2; i++) {
                snprintf(name, sizeof name, "%08d", i * step);
                uint32_t less = i == 0 ? 0 : (uint32_t)(i - 1) / 2;
                uint32_t wanted =
                    less < (uint32_t)count ? less : (uint32_t)count;
                uint32_t beyond = (uint32_t)i / 2 < (uint32_t)count
                                      ? (uint32_t)i / 2
                                      : (uint32_t)count;
                slice it = slice_str(name);
                assert_int_equal(block_search(&s.view, it, false), wanted);
                assert_int_equal(block_search(&s.view, it, true), beyond);
            }
            block_writer_release(&w);
            buf_release(&s.packed);
        }
    }
}

/* Positions from one on, with such steps: how many of them are at or below. */
static uint32_t count_below(uint64_t first, uint64_t step, uint32_t count,
                            uint64_t number)
{
    if (number < first)
        return 0;
    uint64_t below = (number - first) / step + 1;
    return below < count ? (uint32_t)below : count;
}

static void check_numbers(uint64_t first, uint64_t step, uint32_t count)
{
    sealed s = {0};
    block_writer w = {0};
    uint8_t place[ENTRY_ORDER_KEY_SIZE];
    for (uint32_t i = 0; i < count; i++) {
        entry_order_key(first + i * step, place);
        block_add(&w, slice_of(place, sizeof place), slice_str("v"));
    }
    assert_true(block_seal(&w, KIND, NULL, SEED, &s.packed));
    assert_true(lay_out(&s));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = first + i * step, got = 0;
        slice value;
        for (uint64_t by = 0; by < 3; by++)
            assert_int_equal(block_search_number(&s.view, number - 1 + by),
                             count_below(first, step, count, number - 1 + by));
        assert_true(block_get_number(&s.view, i, &got, &value));
        assert_true(got == number && slice_equal(value, slice_str("v")));
    }
    assert_int_equal(block_search_number(&s.view, 0), 0);
    assert_int_equal(block_search_number(&s.view, UINT64_MAX - 1), count);
    block_writer_release(&w);
    buf_release(&s.packed);
}

/* Numbers that have prefixes of every size, as far as the last one there is;
 * and a key that is none. */
static void a_search_for_a_number_finds_the_last_one_below(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 57; bits++)
        for (uint32_t count = 1; count < 70; count = count * 3 + 1) {
            uint64_t step = (uint64_t)1 << bits;
            check_numbers(1, step, count);
            check_numbers(UINT64_MAX - 1 - step * (count - 1), step, count);
            check_numbers(0x1ffffffff, step, count);
        }
    for (size_t size = 1; size <= 12; size++) {
        sealed s = {0};
        block_writer w = {0};
        uint64_t number;
        slice value;
        block_add(&w, slice_of("12345678abcd", size), slice_str("v"));
        assert_true(block_seal(&w, KIND, NULL, SEED, &s.packed));
        assert_true(lay_out(&s));
        assert_int_equal(block_get_number(&s.view, 0, &number, &value),
                         size == sizeof number);
        block_writer_release(&w);
        buf_release(&s.packed);
    }
}

/* Takes tags from the front of some bytes; false if they are refused. */
static bool take_tags(const uint8_t *bytes, size_t size, size_t *took)
{
    cursor c = cursor_of(slice_of(bytes, size));
    slice tags = slice_of(NULL, 0);
    bool taken = tagged_get(&c, &tags);
    assert_int_equal(taken, !c.failed);
    assert_int_equal(tags.size, taken ? (size_t)(c.at - bytes) : 0);
    *took = tags.size;
    return taken;
}

/* Cut off anywhere, without a tag, with an empty one, or with too many. */
static void tags_that_nobody_writes_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[2 + 2 * (PERSIST_TAGS_MAX + 1)];
    size_t size = sizeof with_tags - 1, took;
    for (size_t n = 0; n <= sizeof with_tags; n++)
        assert_int_equal(take_tags((const uint8_t *)with_tags, n, &took),
                         n >= size);
    assert_int_equal(took, size);
    assert_false(take_tags((const uint8_t *)"\4type\0\1a", 8, &took));
    assert_false(take_tags((const uint8_t *)"\4type\2\1a\0b", 10, &took));
    for (unsigned count = 0; count <= PERSIST_TAGS_MAX + 1; count++) {
        memset(bytes, 1, sizeof bytes);
        bytes[0] = 0;
        bytes[1] = (uint8_t)count;
        bool valid = count > 0 && count <= PERSIST_TAGS_MAX;
        assert_int_equal(take_tags(bytes, sizeof bytes, &took), valid);
        assert_int_equal(took, valid ? 2 + 2 * count : 0);
    }
    cursor failed = cursor_of(slice_of(with_tags, size));
    slice tags;
    failed.failed = true;
    assert_false(tagged_get(&failed, &tags));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_what_its_entries_are),
        cmocka_unit_test(a_damaged_run_ends_where_its_entries_do),
        cmocka_unit_test(a_search_finds_what_looking_at_all_finds),
        cmocka_unit_test(a_search_for_a_number_finds_the_last_one_below),
        cmocka_unit_test(tags_that_nobody_writes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
