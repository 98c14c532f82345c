/* SPDX-License-Identifier: MIT */
/* Reader and printer: exact inverses on generated values, errors with their
 * place, hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sx.h"

enum { GENERATED = 3000, DEPTH = 5, WIDTH = 6 };

static persist_slice text_of(const char *text)
{
    return (persist_slice){text, strlen(text)};
}

static int set_up(void **state)
{
    return sx_open(NULL, (sx **)state, NULL);
}

static int tear_down(void **state)
{
    sx_close(*state);
    return 0;
}

/* ---- generated values ------------------------------------------------- */

static uint64_t seed = 0x5eed;

static uint64_t pick(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

static persist_slice bytes(char *room, size_t most, bool symbol)
{
    static const char plain[] = "abcXYZ019/?!-><=*+$.&%_:^~\xc3\xa9";
    size_t size = (size_t)pick(most) + (symbol ? 2 : 0);
    for (size_t i = 0; i < size; i++)
        room[i] = symbol ? plain[pick(sizeof plain - 1)] : (char)pick(256);
    if (symbol)
        room[0] = (char)('a' + pick(26));
    return (persist_slice){room, size};
}

static double any_float(void)
{
    for (;;) {
        uint64_t bits = pick(UINT64_C(1) << 53) << 11 ^ pick(1 << 30);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (pick(3) == 0)
            v = (double)(int64_t)pick(1000000) / 100;
        if (pick(20) == 0)
            v = -0.0;
        if (isfinite(v))
            return pick(2) == 0 ? v : -v;
    }
}

static sx_value generate(sx *m, int depth);

static void generate_list(sx *m, int depth, sx_value *out)
{
    assert_true(sx_make_list(m, 0, out));
    for (uint64_t n = pick(WIDTH); n > 0; n--)
        assert_true(sx_list_push(m, *out, generate(m, depth - 1)));
}

static void generate_dict(sx *m, int depth, sx_value *out)
{
    char room[64];
    assert_true(sx_make_dict(m, out));
    for (uint64_t n = pick(2 * WIDTH); n > 0; n--)
        assert_true(sx_dict_set(m, *out, bytes(room, 12, pick(2) == 0),
                                generate(m, depth - 1)));
}

static sx_value generate(sx *m, int depth)
{
    char room[64];
    sx_value v = sx_nil();
    switch (pick(depth > 0 ? 10 : 8)) {
    case 0:
        return sx_nil();
    case 1:
        return sx_boolean(pick(2) == 0);
    case 2:
        assert_true(sx_make_integer(m, (int64_t)pick(200) - 100, &v));
        break;
    case 3:
        assert_true(sx_make_integer(
            m, (int64_t)(pick(UINT64_C(1) << 53) << 11 | pick(2048)), &v));
        break;
    case 4:
        assert_true(sx_make_float(m, any_float(), &v));
        break;
    case 5:
        assert_true(sx_make_string(m, bytes(room, 40, false), &v));
        break;
    case 6:
        assert_true(sx_make_symbol(m, bytes(room, 8, true), &v));
        break;
    case 7:
        assert_true(sx_make_keyword(m, bytes(room, 8, true), &v));
        break;
    case 8:
        generate_list(m, depth, &v);
        break;
    default:
        generate_dict(m, depth, &v);
        break;
    }
    return v;
}

static void reads_back(sx *m, sx_value v)
{
    sx_out once = {0}, twice = {0};
    sx_value again;
    persist_error error;
    assert_int_equal(sx_print(m, v, SX_PRINT_STORABLE, &once, &error), 0);
    persist_status status =
        sx_read(m, (persist_slice){once.data, once.size}, &again, &error);
    if (status != PERSIST_OK)
        fail_msg("%s in %.*s", error.message, (int)once.size, once.data);
    assert_true(sx_equal(m, v, again));
    assert_int_equal(sx_print(m, again, SX_PRINT_STORABLE, &twice, &error), 0);
    assert_int_equal(once.size, twice.size);
    assert_memory_equal(once.data, twice.data, once.size);
    sx_out_release(&once);
    sx_out_release(&twice);
}

static void what_is_printed_reads_back(void **state)
{
    sx *m = *state;
    for (int i = 0; i < GENERATED; i++) {
        reads_back(m, generate(m, DEPTH));
        if (i % 100 == 0)
            sx_collect(m, NULL, 0);
    }
}

/* Random bits, and the neighbours of powers of two and ten. */
static void floats_read_back(void **state)
{
    sx *m = *state;
    sx_value v;
    for (int i = 0; i < 20000; i++) {
        assert_true(sx_make_float(m, any_float(), &v));
        reads_back(m, v);
    }
    for (int e = -1074; e <= 1023; e++) {
        double power = ldexp(1, e);
        double all[] = {power, nextafter(power, 0), nextafter(power, INFINITY)};
        for (size_t i = 0; i < 3; i++) {
            assert_true(sx_make_float(m, all[i], &v));
            reads_back(m, v);
        }
    }
}

/* ---- exact forms ------------------------------------------------------ */

static void prints_as(sx *m, const char *text, const char *printed)
{
    sx_value v;
    sx_out out = {0};
    persist_error error;
    if (sx_read(m, text_of(text), &v, &error) != PERSIST_OK)
        fail_msg("%s: %s", text, error.message);
    assert_int_equal(sx_print(m, v, 0, &out, NULL), PERSIST_OK);
    char *end = realloc(out.data, out.size + 1);
    assert_non_null(end);
    out.data = end;
    out.data[out.size] = '\0';
    assert_string_equal(out.data, printed);
    sx_out_release(&out);
}

static void floats_are_short(void **state)
{
    static const char *const same[] = {
        "0.0",
        "-0.0",
        "1.0",
        "0.1",
        "1.5",
        "100.0",
        "1e22",
        "1e100",
        "5e-324",
        "1e-7",
        "0.00001",
        "123456.789",
        "0.3",
        "2.5e-8",
        "1.7976931348623157e308",
        "5e-323",
        "5.684341886080802e-14",
        "9007199254740993e3",
        "2.2250738585072014e-308",
        "9007199254740992.0",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (strcmp(same[i], "9007199254740993e3") == 0)
            prints_as(*state, same[i], "9.007199254740993e18");
        else
            prints_as(*state, same[i], same[i]);
    }
    prints_as(*state, "1e3", "1000.0");
    prints_as(*state, ".5", "0.5");
    prints_as(*state, "5.", "5.0");
    prints_as(*state, "-1E-2", "-0.01");
    prints_as(*state, "0.1000000000000000055511151231257827", "0.1");
    prints_as(*state, "179769313486231570000000000000000000000e270",
              "1.7976931348623157e308");
}

static void forms_print_as_they_are(void **state)
{
    prints_as(*state, " ( 1  [2 3] {:a 1 \"b\" 2 c 3} ) ; end",
              "(1 (2 3) {:a 1 :b 2 :c 3})");
    prints_as(*state, "{\"odd key\" 1 \"\" 2 \"a\\\"b\" 3}",
              "{\"odd key\" 1 \"\" 2 \"a\\\"b\" 3}");
    prints_as(*state, "{:a 1 :b 2 :a 3}", "{:a 3 :b 2}");
    prints_as(*state, "'(a `b ,c ,@d)",
              "(quote (a (quasiquote b) (unquote c) (unquote-splicing d)))");
    prints_as(*state, "#|raw \"\\n|", "\"raw \\\"\\\\n\"");
    prints_as(*state, "\"\\u00e9\\u20ac\\ud83d\\ude00\"",
              "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    prints_as(*state, "(1 #;2 #;(3 #;4) 5)", "(1 5)");
    prints_as(*state, "9223372036854775807", "9223372036854775807");
    prints_as(*state, "-9223372036854775808", "-9223372036854775808");
    prints_as(*state, "(- + ... a.b -> +5 -x :1 :a:b)",
              "(- + ... a.b -> 5 -x :1 :a:b)");
}

static void sorted_keys(void **state)
{
    sx *m = *state;
    sx_value v;
    sx_out out = {0};
    assert_int_equal(
        sx_read(m, text_of("{:b {:z 1 :y 2} :ab 1 :a ({:d 1 :c 2}) \"\" 0}"),
                &v, NULL),
        PERSIST_OK);
    assert_int_equal(sx_print(m, v, SX_PRINT_SORTED, &out, NULL), PERSIST_OK);
    static const char want[] = "{\"\" 0 :a ({:c 2 :d 1}) :ab 1 :b {:y 2 :z 1}}";
    assert_int_equal(out.size, sizeof want - 1);
    assert_memory_equal(out.data, want, out.size);
    sx_out_release(&out);
}

/* ---- refusals --------------------------------------------------------- */

/* What is not wanted need not be given; what was to be written must. */
static void outs_may_be_missing(void **state)
{
    sx *m = *state;
    sx_value dict, v;
    persist_slice key;
    assert_int_equal(sx_read(m, text_of("{:a 7}"), &dict, NULL), PERSIST_OK);
    assert_true(sx_dict_find(m, dict, text_of("a"), NULL));
    assert_false(sx_dict_find(m, dict, text_of("b"), NULL));
    sx_dict_at(dict, 0, &key, NULL);
    assert_int_equal(key.size, 1);
    sx_dict_at(dict, 0, NULL, &v);
    assert_int_equal(sx_integer(v), 7);
    assert_true(sx_lookup(m, text_of("inc"), NULL));
    assert_false(sx_lookup(m, text_of("no such name"), NULL));
    assert_int_equal(sx_print(m, v, 0, NULL, NULL), PERSIST_BAD_REQUEST);
    assert_int_equal(sx_print_failure(m, v, NULL, NULL), PERSIST_BAD_REQUEST);
    sx_out_release(NULL);
}

static void refuses(sx *m, const char *text, const char *message)
{
    sx_value v;
    persist_error error;
    assert_int_equal(sx_read(m, text_of(text), &v, &error), SX_SYNTAX);
    assert_string_equal(error.message, message);
}

static void errors_name_their_place(void **state)
{
    sx *m = *state;
    sx_value v;
    assert_int_equal(sx_read(m, text_of(" ; note\n"), &v, NULL), PERSIST_NONE);
    assert_int_equal(sx_read(m, text_of("1"), NULL, NULL), PERSIST_BAD_REQUEST);
    refuses(m, "(1\n 2",
            "line 1, column 1: this bracket is never closed; add what closes "
            "it, or the rest of the text");
    refuses(m, "1\n  )", "line 2, column 3: ) closes nothing");
    refuses(m, "(1]", "line 1, column 3: ] where ) is expected");
    refuses(m, "{:a}", "line 1, column 1: a dict needs a value for each key");
    refuses(m, "(1 {2 3})",
            "line 1, column 4: a dict key must be a keyword, string or "
            "symbol, not 2");
    refuses(m, "\n\"abc",
            "line 2, column 1: this string is never closed; add what closes "
            "it, or the rest of the text");
    refuses(m, "\"a\\q\"", "line 1, column 3: unknown escape in a string");
    refuses(m, "\"\\ud800\"",
            "line 1, column 2: \\u needs four hex digits of a character");
    refuses(m, "9223372036854775808",
            "line 1, column 1: the number 9223372036854775808 is out of "
            "range");
    refuses(m, "1e999", "line 1, column 1: the number 1e999 is out of range");
    refuses(m, "12ab", "line 1, column 1: 12ab is no number");
    refuses(m, "1 2", "line 1, column 3: more than one value");
    refuses(m, "'",
            "line 1, column 1: nothing follows this prefix; add what it is "
            "for, or the rest of the text");
    refuses(m, "(')", "line 1, column 2: nothing follows quote");
    refuses(m, "(1 #;)", "line 1, column 4: nothing follows #;");
    refuses(m, "#<lambda f>", "line 1, column 1: # must be followed by ; or |");
    refuses(m, "a\x01", "line 1, column 2: unexpected byte 0x01");
    refuses(m, ":", "line 1, column 1: : without a name");
    refuses(m, "#|raw",
            "line 1, column 1: this raw string is never closed; add what "
            "closes it, or the rest of the text");
}

static void what_does_not_read_back_is_not_storable(void **state)
{
    sx *m = *state;
    sx_value all[8];
    size_t count = 0;
    assert_true(sx_make_float(m, INFINITY, &all[count++]));
    assert_true(sx_make_float(m, NAN, &all[count++]));
    assert_true(sx_make_symbol(m, text_of("a b"), &all[count++]));
    assert_true(sx_make_symbol(m, text_of("true"), &all[count++]));
    assert_true(sx_make_symbol(m, text_of("-12"), &all[count++]));
    assert_true(sx_make_symbol(m, text_of(":k"), &all[count++]));
    assert_true(sx_make_keyword(m, text_of(""), &all[count++]));
    assert_true(sx_lookup(m, text_of("len"), &all[count++]));
    for (size_t i = 0; i < count; i++) {
        sx_out out = {0};
        persist_error error;
        sx_value v;
        assert_int_equal(sx_print(m, all[i], SX_PRINT_STORABLE, &out, &error),
                         PERSIST_NOT_STORABLE);
        assert_int_equal(out.size, 0);
        assert_int_equal(sx_print(m, all[i], 0, &out, &error), PERSIST_OK);
        /* What is shown instead never reads back as something else. */
        assert_int_equal(
            sx_read(m, (persist_slice){out.data, out.size}, &v, &error),
            SX_SYNTAX);
        sx_out_release(&out);
    }
}

static void a_limit_leaves_the_text_as_it_was(void **state)
{
    sx *m = *state;
    sx_value v;
    sx_out out = {.size_max = 12};
    persist_error error;
    assert_int_equal(sx_read(m, text_of("(1 2 3 4)"), &v, NULL), PERSIST_OK);
    assert_int_equal(sx_print(m, v, 0, &out, NULL), PERSIST_OK);
    assert_int_equal(sx_print(m, v, 0, &out, &error), PERSIST_TOO_LARGE);
    assert_int_equal(out.size, strlen("(1 2 3 4)"));
    sx_out_release(&out);
}

/* ---- hostile input ---------------------------------------------------- */

static void a_million_brackets(void **state)
{
    enum { COUNT = 1000001 };
    sx *m = *state;
    sx_value v;
    persist_error error;
    char *text = malloc(COUNT);
    static const char openings[] = "([{'`,";
    for (size_t i = 0; i < sizeof openings - 1; i++) {
        memset(text, openings[i], COUNT);
        assert_int_equal(sx_read(m, (persist_slice){text, COUNT}, &v, &error),
                         PERSIST_LIMIT);
    }
    memset(text, '(', COUNT / 2);
    memset(text + COUNT / 2, ')', COUNT / 2);
    assert_int_equal(
        sx_read(m, (persist_slice){text, COUNT / 2 * 2}, &v, &error),
        PERSIST_OK);
    sx_out out = {0};
    assert_int_equal(sx_print(m, v, 0, &out, &error), PERSIST_OK);
    assert_int_equal(out.size, COUNT / 2 * 2);
    sx_collect(m, &v, 1);
    sx_out_release(&out);
    free(text);
}

static void a_string_of_100_megabytes(void **state)
{
    enum { SIZE = 100 << 20 };
    sx *m = *state;
    sx_value v;
    char *text = malloc(SIZE + 2);
    assert_non_null(text);
    memset(text, 'x', SIZE + 2);
    text[0] = text[SIZE + 1] = '"';
    assert_int_equal(sx_read(m, (persist_slice){text, SIZE + 2}, &v, NULL),
                     PERSIST_OK);
    assert_int_equal(sx_bytes(v).size, SIZE);
    sx_out out = {0};
    assert_int_equal(sx_print(m, v, SX_PRINT_STORABLE, &out, NULL), PERSIST_OK);
    assert_int_equal(out.size, SIZE + 2);
    assert_memory_equal(out.data, text, SIZE + 2);
    sx_out_release(&out);
    free(text);
}

/* A dict in itself, and a list that is huge only when printed. */
static void data_without_an_end(void **state)
{
    sx *m = *state;
    sx_value cycle, tree, next;
    sx_out out = {.size_max = 16 << 20};
    assert_true(sx_make_dict(m, &cycle));
    assert_true(sx_dict_set(m, cycle, text_of("self"), cycle));
    assert_int_equal(sx_print(m, cycle, 0, &out, NULL), PERSIST_LIMIT);
    assert_int_equal(out.size, 0);
    assert_true(sx_make_list(m, 0, &tree));
    for (int i = 0; i < 60; i++) {
        assert_true(sx_make_list(m, 2, &next));
        assert_true(sx_list_push(m, next, tree));
        assert_true(sx_list_push(m, next, tree));
        tree = next;
    }
    assert_int_equal(sx_print(m, tree, 0, &out, NULL), PERSIST_TOO_LARGE);
    sx_collect(m, &tree, 1);
    sx_out_release(&out);
}

/* No text, however damaged, does more than fail. */
static void damaged_texts(void **state)
{
    sx *m = *state;
    static const char from[] =
        "(define (f x &rest y) `(a ,x ,@y {:k \"v\\n\\u00e9\" #;z c 1.5e3}) "
        "#|raw| ; note\n -7 '(nil true false) [1 :two \"\"])";
    for (int i = 0; i < 20000; i++) {
        char text[sizeof from];
        sx_value v;
        memcpy(text, from, sizeof from);
        for (uint64_t n = 1 + pick(3); n > 0; n--)
            text[pick(sizeof text - 1)] = (char)pick(256);
        size_t size = (size_t)pick(sizeof text);
        persist_status status =
            sx_read(m, (persist_slice){text, size}, &v, NULL);
        assert_true(status == PERSIST_OK || status == PERSIST_NONE ||
                    status == SX_SYNTAX);
        if (status == PERSIST_OK)
            reads_back(m, v);
        if (i % 1000 == 0)
            sx_collect(m, NULL, 0);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_printed_reads_back),
        TEST(floats_read_back),
        TEST(floats_are_short),
        TEST(forms_print_as_they_are),
        TEST(sorted_keys),
        TEST(outs_may_be_missing),
        TEST(errors_name_their_place),
        TEST(what_does_not_read_back_is_not_storable),
        TEST(a_limit_leaves_the_text_as_it_was),
        TEST(a_million_brackets),
        TEST(a_string_of_100_megabytes),
        TEST(data_without_an_end),
        TEST(damaged_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
