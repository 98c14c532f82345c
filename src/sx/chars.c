/* SPDX-License-Identifier: MIT */
/* What each byte means to the reader, and so to the printer. */
#include "sx/chars.h"

#define S CHAR_SYMBOL
#define D (CHAR_SYMBOL | CHAR_DIGIT)
#define W CHAR_SPACE
#define L (CHAR_SPACE | CHAR_ESCAPE)
#define E CHAR_ESCAPE
#define S16 S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S

const uint8_t char_class[256] = {
    0,   0,   0,   0,   0,   0,   0,   0,
    0,   L,   L,   0,   W,   L,   0,   0, /* \t \n \f \r */
    0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0, /* */
    W,   S,   E,   S,   S,   S,   S,   0,
    0,   0,   S,   S,   0,   S,   S,   S, /*  !"#$%&'()*+,-./ */
    D,   D,   D,   D,   D,   D,   D,   D,
    D,   D,   S,   0,   S,   S,   S,   S, /* 0123456789:;<=>? */
    0,   S,   S,   S,   S,   S,   S,   S,
    S,   S,   S,   S,   S,   S,   S,   S, /* @A...O */
    S,   S,   S,   S,   S,   S,   S,   S,
    S,   S,   S,   0,   E,   0,   S,   S, /* P...Z[\]^_ */
    0,   S,   S,   S,   S,   S,   S,   S,
    S,   S,   S,   S,   S,   S,   S,   S, /* `a...o */
    S,   S,   S,   S,   S,   S,   S,   S,
    S,   S,   S,   0,   0,   0,   S,   0,   /* p...z{|}~ */
    S16, S16, S16, S16, S16, S16, S16, S16, /* UTF-8, any bytes */
};

bool chars_numeric(slice token)
{
    const char *at = token.data;
    size_t left = token.size;
    if (left > 1 && (*at == '-' || *at == '+')) {
        at++;
        left--;
    }
    if (left > 1 && *at == '.')
        at++;
    return left > 0 && char_is(*at, CHAR_DIGIT);
}

static bool is_constant(slice s)
{
    return slice_equal(s, slice_str("nil")) ||
           slice_equal(s, slice_str("true")) ||
           slice_equal(s, slice_str("false"));
}

static void check(string *name)
{
    CHECK((name->head.flags & FLAG_INTERNED) != 0);
    bool keyword = name->size > 0;
    for (size_t i = 0; keyword && i < name->size; i++)
        keyword = char_is(name->bytes[i], CHAR_SYMBOL);
    slice text = string_slice(name);
    bool symbol = keyword && name->bytes[0] != ':' && name->bytes[0] != '#' &&
                  !chars_numeric(text) && !is_constant(text);
    name->head.flags |=
        (uint8_t)(FLAG_CHECKED | (keyword ? FLAG_AS_KEYWORD : 0) |
                  (symbol ? FLAG_AS_SYMBOL : 0));
}

bool chars_keyword(string *name)
{
    if ((name->head.flags & FLAG_CHECKED) == 0)
        check(name);
    return (name->head.flags & FLAG_AS_KEYWORD) != 0;
}

bool chars_symbol(string *name)
{
    if ((name->head.flags & FLAG_CHECKED) == 0)
        check(name);
    return (name->head.flags & FLAG_AS_SYMBOL) != 0;
}
