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

void visible_put(buf *out, slice s)
{
    const char *at = s.data;
    for (size_t i = 0; i < s.size;) {
        size_t length = visible_length(at + i, s.size - i);
        if (length == 0)
            buf_printf(out, "\\x%02x", (uint8_t)at[i]);
        buf_put(out, at + i, length);
        i += length == 0 ? 1 : length;
    }
}
