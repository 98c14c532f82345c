/* SPDX-License-Identifier: MIT */
/* What a terminal would obey, spelled out. */
#include "base/visible.h"

#include "base/utf8.h"

/* The second row of control characters, U+0080 to U+009F, is two bytes in
 * UTF-8. */
static bool is_control(const char *data, size_t length)
{
    const uint8_t *at = (const uint8_t *)data;
    return length == 1 ? at[0] < 0x20 || at[0] == 0x7f
                       : at[0] == 0xc2 && at[1] < 0xa0;
}

size_t visible_length(const char *data, size_t size)
{
    size_t length = utf8_length(data, size);
    return length > 0 && is_control(data, length) ? 0 : length;
}

size_t visible_next(slice *rest, char out[VISIBLE_MAX])
{
    static const char digits[] = "0123456789abcdef";
    const char *at = rest->data;
    size_t length = visible_length(at, rest->size), taken = 1;
    if (length > 0) {
        taken = length;
        memcpy(out, at, length);
    } else {
        out[0] = '\\';
        out[1] = 'x';
        out[2] = digits[(uint8_t)at[0] >> 4];
        out[3] = digits[(uint8_t)at[0] & 15];
        length = VISIBLE_MAX;
    }
    *rest = slice_of(at + taken, rest->size - taken);
    return length;
}

void visible_put(buf *out, slice s)
{
    char shown[VISIBLE_MAX];
    while (s.size > 0)
        buf_put(out, shown, visible_next(&s, shown));
}
