/* SPDX-License-Identifier: MIT */
/* The bytes of an entry of the index of blobs. */
#include "engine/files/blob_entry.h"

#include "base/cursor.h"
#include "engine/files/limits.h"

void blob_entry_put(buf *b, const blob_entry *e)
{
    CHECK(e->offset % PACK_ALIGN == 0 && (e->pack != 0 || e->offset == 0));
    buf_put_varint(b, e->pack);
    if (e->pack != 0)
        buf_put_varint(b, e->offset);
    buf_put_varint(b, e->size);
}

bool blob_entry_get(cursor *c, blob_entry *out)
{
    out->pack = cursor_varint(c);
    out->offset = out->pack == 0 ? 0 : cursor_varint(c);
    out->size = cursor_varint(c);
    return !c->failed && out->pack <= COUNT_MAX &&
           out->offset % PACK_ALIGN == 0 && out->size <= INT64_MAX &&
           out->offset <= INT64_MAX - out->size;
}
