/* SPDX-License-Identifier: MIT */
/* Numbers and names as bytes: varints in every size and with every count of
 * bytes behind them, those that are malformed, the order of slices, buffers
 * that have no room; and what status codes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/status.h"
#include "sx.h"

enum { BEHIND = 12 };

/* Decodes with so many bytes behind it; checks that it stops before them. */
static uint64_t decode(const uint8_t *bytes, size_t size, size_t behind)
{
    cursor c = cursor_of(slice_of(bytes, size + behind));
    uint64_t value = cursor_varint(&c);
    assert_false(c.failed);
    assert_int_equal(cursor_left(&c), behind);
    return value;
}

static void a_varint_comes_back(void **state)
{
    (void)state;
    buf b = {0};
    for (unsigned bit = 0; bit < 64; bit++)
        for (int less = 0; less < 2; less++) {
            uint64_t value = ((uint64_t)1 << bit) - (less != 0);
            buf_clear(&b);
            buf_put_varint(&b, value);
            size_t size = b.size;
            for (int i = 0; i < BEHIND; i++)
                buf_put_byte(&b, (uint8_t)(i % 2 == 0 ? 0xff : 0));
            for (size_t behind = 0; behind <= BEHIND; behind++)
                assert_true(decode(b.data, size, behind) == value);
        }
    buf_release(&b);
}

static void is_malformed(const uint8_t *bytes, size_t size)
{
    cursor c = cursor_of(slice_of(bytes, size));
    assert_int_equal(cursor_varint(&c), 0);
    assert_true(c.failed);
}

static void a_malformed_varint_fails(void **state)
{
    (void)state;
    uint8_t bytes[BEHIND + 12];
    for (size_t size = 0; size <= 11; size++) {
        memset(bytes, 0xff, sizeof bytes);
        is_malformed(bytes, size); /* cut off, or over 64 bits */
        if (size < 2)
            continue;
        bytes[size - 1] = 0; /* longer than needed */
        is_malformed(bytes, size);
        is_malformed(bytes, sizeof bytes);
    }
    memset(bytes, 0xff, sizeof bytes);
    bytes[9] = 1;
    assert_true(decode(bytes, 10, BEHIND) == UINT64_MAX);
    bytes[9] = 2;
    is_malformed(bytes, 10);
}

static int sign_of(int value)
{
    return (value > 0) - (value < 0);
}

/* Against memcmp, and for equality, with a difference at each place and each
 * length. */
static void slices_have_the_order_of_their_bytes(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    for (size_t n = 0; n <= sizeof a; n++)
        for (size_t at = 0; at < n; at++) {
            memset(a, 'x', sizeof a);
            memset(b, 'x', sizeof b);
            b[at] = at % 2 == 0 ? 0xf0 : 'a';
            slice x = slice_of(a, n), y = slice_of(b, n);
            assert_false(slice_equal(x, y) || slice_starts_with(y, x));
            assert_true(slice_equal(slice_of(a, at), slice_of(b, at)));
            assert_true(slice_starts_with(y, slice_of(a, at)));
            int order = sign_of(memcmp(a, b, n));
            assert_int_equal(sign_of(slice_compare(x, y)), order);
            assert_int_equal(sign_of(slice_compare(y, x)), -order);
            assert_int_equal(slice_compare(x, x), 0);
            assert_int_equal(sign_of(slice_compare(slice_of(a, at), y)), -1);
            assert_int_equal(sign_of(slice_compare(y, slice_of(a, at))), 1);
        }
}

static int always(void *context)
{
    (void)context;
    return 1;
}

/* A buffer that could not grow takes nothing more until it is cleared. */
static void a_buffer_without_room_has_failed(void **state)
{
    (void)state;
    buf b = {0};
    buf_put_str(&b, "kept");
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed && b.size == 4);
    buf_put_u64(&b, 1);
    buf_put_varint(&b, 1);
    buf_put_byte(&b, 1);
    assert_true(b.failed && b.size == 4);
    buf_clear(&b);
    assert_true(buf_grow(&b, 1) && !b.failed);
    mem_set_fail(always, NULL);
    assert_false(buf_reserve(&b, b.capacity + 1));
    mem_set_fail(NULL, NULL);
    buf_clear(&b);
    buf_printf(&b, "%0600d", 1);
    assert_true(b.size > 0 && b.size <= 512 && b.data[0] == '0');
    buf_release(&b);
}

static void every_status_has_its_own_words(void **state)
{
    (void)state;
#define NUMBER(name, number, code, hint) number,
    static const persist_status all[] = {PERSIST_OK, PERSIST_NONE,
                                         PERSIST_STATUS_LIST(NUMBER)
                                             SX_STATUS_LIST(NUMBER)};
#undef NUMBER
    for (size_t a = 0; a < sizeof all / sizeof *all; a++) {
        const char *code = persist_status_code(all[a]);
        assert_string_not_equal(code, "unknown");
        assert_true(code[0] != '\0' && persist_status_hint(all[a])[0] != '\0');
        for (size_t b = 0; b < a; b++)
            assert_string_not_equal(code, persist_status_code(all[b]));
    }
}

/* A hint is not told which of several causes it was. */
static void a_hint_is_true_for_each_cause(void **state)
{
    (void)state;
    assert_null(strstr(persist_status_hint(PERSIST_READ_ONLY), "sync"));
    assert_null(strstr(persist_status_hint(PERSIST_LOCKED), "process"));
    assert_non_null(strstr(persist_status_hint(PERSIST_NO_SPACE), "quota"));
    assert_non_null(strstr(persist_status_hint(PERSIST_CLOSED), "parent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_varint_comes_back),
        cmocka_unit_test(a_malformed_varint_fails),
        cmocka_unit_test(slices_have_the_order_of_their_bytes),
        cmocka_unit_test(a_buffer_without_room_has_failed),
        cmocka_unit_test(every_status_has_its_own_words),
        cmocka_unit_test(a_hint_is_true_for_each_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
