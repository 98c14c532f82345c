/* SPDX-License-Identifier: MIT */
/* Summing up the tags of a table's events, from both sides. */
#include "engine/verify/verify_tags.h"

#include "base/hash.h"

uint64_t verify_event_hash(slice name, uint64_t seq, uint64_t position)
{
    const uint64_t numbers[2] = {seq, position};
    return hash_xxh3_seed(name, hash_xxh3(slice_of(numbers, sizeof numbers)));
}

static uint64_t tag_hash(slice tag, slice type, uint64_t of_event)
{
    return hash_xxh3_seed(tag, hash_xxh3_seed(type, of_event));
}

void verify_tags_of(tags_check *c, slice tagged, uint64_t hash)
{
    slice tag;
    CHECK(tagged.size > 0);
    tag_set t = tagged_of(tagged.data);
    while (tagged_next(&t, &tag))
        c->of_events += tag_hash(tag, t.type, hash);
}

static void add(tags_check *c, slice tag, const posting *p)
{
    c->of_tags += tag_hash(tag, p->type,
                           verify_event_hash(p->stream, p->seq, p->position));
}

const char *verify_run(tags_check *c, slice key, slice value)
{
    static const char damaged[] = "the entry of a tag is damaged";
    postings_reader r;
    if (!postings_begin(&r, key, value))
        return damaged;
    slice tag = entry_tag_of(key);
    uint64_t hash = filter_hash(TABLE_TAGS, tag);
    bool same = c->count > 0 && hash == c->last;
    if (same && r.now.position <= c->position)
        return "the events of a tag are out of order";
    c->count += !same;
    c->last = hash;
    c->position = r.last;
    add(c, tag, &r.now);
    while (r.now.position < r.last) {
        if (!postings_next(&r))
            return damaged;
        add(c, tag, &r.now);
    }
    return NULL;
}
