/* SPDX-License-Identifier: MIT */
/* The bytes of a stream's state. */
#include "engine/files/stream_state.h"

#include "base/cursor.h"
#include "persist.h"

void stream_state_put(buf *b, const stream_state *s)
{
    buf_put_varint(b, s->mark);
    buf_put_varint(b, s->count);
    buf_put_varint(b, s->bytes);
    buf_put_varint(b, s->floor.through);
    buf_put_varint(b, s->floor.index);
    buf_put_varint(b, s->floor.bytes);
    buf_put_varint(b, s->floor.first);
}

bool stream_state_holds(const stream_state *s)
{
    bool empty = s->floor.first == 0;
    return s->mark <= PERSIST_SEQ_MAX && s->count <= s->mark &&
           s->bytes <= PERSIST_SEQ_MAX && s->floor.through <= s->mark &&
           s->floor.first <= s->mark && s->floor.index <= s->count &&
           s->floor.bytes <= s->bytes &&
           empty == (s->floor.index == s->count) &&
           (empty || s->floor.first > s->floor.through);
}

bool stream_state_get(cursor *c, stream_state *out)
{
    out->mark = cursor_varint(c);
    out->count = cursor_varint(c);
    out->bytes = cursor_varint(c);
    out->floor.through = cursor_varint(c);
    out->floor.index = cursor_varint(c);
    out->floor.bytes = cursor_varint(c);
    out->floor.first = cursor_varint(c);
    return !c->failed && stream_state_holds(out);
}
