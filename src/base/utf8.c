/* SPDX-License-Identifier: MIT */
/* UTF-8. */
#include "base/utf8.h"

#include <string.h>

#include "base/check.h"

bool utf8_valid_code(int64_t code)
{
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code >= 0 && code <= UTF8_CODE_MAX && !surrogate;
}

size_t utf8_encode(uint32_t code, char out[UTF8_MAX])
{
    CHECK(utf8_valid_code(code));
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[size] | code);
    return size;
}

size_t utf8_length(const char *data, size_t size)
{
    CHECK(size > 0);
    const uint8_t *at = (const uint8_t *)data;
    if (at[0] < 0x80)
        return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > size)
        return 0;
    uint32_t code = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= least[length] && utf8_valid_code(code) ? length : 0;
}

size_t utf8_cut(const char *data, size_t size, size_t most)
{
    if (size <= most)
        return size;
    size_t cut = most;
    while (cut > 0 && most - cut < UTF8_MAX &&
           ((unsigned char)data[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

void utf8_shorten(const char *data, size_t size, size_t most, char *out)
{
    size_t cut = utf8_cut(data, size, most);
    CHECK(cut <= most);
    if (cut > 0)
        memcpy(out, data, cut);
    memcpy(out + cut, "...", 4);
    if (cut == size)
        out[cut] = '\0';
}
