/* SPDX-License-Identifier: MIT */
/* Text for people, in lines that fit on a terminal. */
#include "base/help.h"

enum { WIDTH = 79 };

/* As much of the text as fits on a line, up to a space. */
static size_t line_size(const char *text, size_t room)
{
    size_t size = strcspn(text, "\n");
    if (size <= room)
        return size;
    for (size = room; size > 0 && text[size] != ' ';)
        size--;
    return size > 0 ? size : strcspn(text, " \n");
}

void help_put(buf *b, size_t indent, const char *head, const char *text)
{
    CHECK(indent < WIDTH / 2);
    size_t at = strlen(head);
    buf_put_str(b, head);
    if (at >= indent && at > 0 && *text != '\0') {
        buf_put_byte(b, '\n');
        at = 0;
    }
    do {
        size_t size = line_size(text, WIDTH - indent);
        if (size > 0)
            buf_printf(b, "%*s", (int)(indent - at), "");
        buf_put(b, text, size);
        buf_put_byte(b, '\n');
        text += size;
        text += *text == ' ' || *text == '\n';
        at = 0;
    } while (*text != '\0');
}
