/* SPDX-License-Identifier: MIT */
/* The write-ahead log: what one that has failed holds all the same. Its last
 * segment may have records that never became durable, and it is not known what
 * of them is on the disk. */
#include "engine/log/wal.h"

/* The segment goes on where the list ends, and ends with what is durable. */
static bool add(manifest *out, const segment_entry *e, persist_lsn durable)
{
    if (e->number == 0 || e->last > durable || e->last <= out->watermark)
        return true;
    out->watermark = e->last;
    out->next_segment = e->number + 1;
    return manifest_add(out, *e);
}

bool wal_describe_durable(wal *w, persist_lsn tables_last, manifest *out)
{
    persist_lsn durable = wal_durable(w);
    CHECK(wal_failed(w) && !w->led && tables_last <= durable);
    bool added = true;
    out->segment_count = 0;
    out->watermark = tables_last;
    for (size_t i = 0; i < w->sealed.segment_count && added; i++)
        added = add(out, &w->sealed.segments[i], durable);
    added = added && add(out, &w->synced_end, durable);
    return added && out->segment_count > 0 && out->watermark == durable;
}
