/* SPDX-License-Identifier: MIT */
/* The work's data: payloads, names, orders; what reading it must give. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

/* A prime number of payloads: the events of one stream, and those of one
 * commit, do not repeat before all were used. */
enum { PAYLOADS = 8191, PAYLOAD_MAX = 256 };

static char texts[PAYLOADS][PAYLOAD_MAX];
static size_t sizes[PAYLOADS];
static uint64_t sums[PAYLOADS];

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static const char *word(uint64_t *state)
{
    static const char *const words[] = {
        "the",   "old",   "bell",  "rings", "twice", "please", "leave",
        "it",    "with",  "our",   "next",  "door",  "before", "noon",
        "call",  "first", "blue",  "paper", "fold",  "once",   "and",
        "keep",  "dry",   "light", "heavy", "glass", "north",  "gate",
        "river", "seven", "green", "stone"};
    return words[random_next(state) % (sizeof words / sizeof *words)];
}

static void make_payload(size_t number)
{
    static const char *const types[] = {"order-placed", "order-paid",
                                        "order-shipped", "order-returned"};
    uint64_t s = number + 1;
    const char *type = types[random_next(&s) % 4];
    unsigned at = (unsigned)(1700000000 + random_next(&s) % 40000000);
    uint64_t id = random_next(&s);
    unsigned customer = (unsigned)(random_next(&s) % 10000000);
    unsigned first = (unsigned)(random_next(&s) % 10000);
    unsigned second = (unsigned)(random_next(&s) % 10000);
    unsigned total = (unsigned)(random_next(&s) % 100000);
    const char *a = word(&s), *b = word(&s), *c = word(&s), *d = word(&s);
    int n = snprintf(
        texts[number], PAYLOAD_MAX,
        "{:type \"%s\" :at %u :data {:id \"%016llx\" :customer \"c-%07u\" "
        ":items ((\"sku-%04u\" %u) (\"sku-%04u\" %u)) :note \"%s %s %s %s\" "
        ":total %u :currency \"EUR\" :vat 0.19}}",
        type, at, (unsigned long long)id, customer, first, first % 9 + 1,
        second, second % 7 + 1, a, b, c, d, total);
    must(n > 0 && n < PAYLOAD_MAX, "payload", "too long");
    sizes[number] = (size_t)n;
    sums[number] = words_sum(texts[number], sizes[number]);
}

static size_t payload_slot(uint64_t number)
{
    if (sizes[0] == 0)
        for (size_t i = PAYLOADS; i-- > 0;)
            make_payload(i);
    return (size_t)(number % PAYLOADS);
}

slice payload(uint64_t number)
{
    size_t slot = payload_slot(number);
    return (slice){texts[slot], sizes[slot]};
}

uint64_t payload_words(uint64_t number)
{
    return sums[payload_slot(number)];
}

double payload_bytes(uint64_t count)
{
    double bytes = 0;
    for (uint64_t i = 0; i < count; i++)
        bytes += (double)payload(i).size;
    return bytes;
}

static slice numbered(const char *prefix, uint64_t number, char out[NAME_SIZE])
{
    size_t size = strlen(prefix);
    memcpy(out, prefix, size);
    for (int digit = 7; digit >= 0; digit--, number /= 10)
        out[size + (size_t)digit] = (char)('0' + number % 10);
    out[size + 8] = '\0';
    return (slice){out, size + 8};
}

slice stream_name(uint64_t number, char out[NAME_SIZE])
{
    return numbered("orders-", number, out);
}

slice key_name(uint64_t number, char out[NAME_SIZE])
{
    return numbered("customer/", number, out);
}

/* Four Feistel rounds over 32 bits at the most, walked until in range. */
uint64_t shuffled(uint64_t number, uint64_t count)
{
    unsigned half = 1;
    while ((uint64_t)1 << (2 * half) < count)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = number >> half, right = number & mask;
        for (uint64_t round = 1; round <= 4; round++) {
            uint64_t state = right * 5 + round;
            uint64_t mixed = left ^ (random_next(&state) & mask);
            left = right;
            right = mixed;
        }
        number = left << half | right;
    } while (number >= count);
    return number;
}

void random_fill(void *memory, size_t size, uint64_t seed)
{
    unsigned char *p = memory;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word_value = random_next(&seed);
        memcpy(p + i, &word_value, 8);
    }
}

/* ---- tags ------------------------------------------------------------- */

static uint64_t tags_of_a_kind(void)
{
    return set.bulk / TAG_EVENTS;
}

uint64_t event_pair(uint64_t number)
{
    return shuffled(number, set.bulk) / PAIR_EVENTS;
}

static uint64_t pair_customer(uint64_t number)
{
    return number / (TAG_EVENTS / PAIR_EVENTS);
}

uint64_t event_customer(uint64_t number)
{
    return pair_customer(event_pair(number));
}

slice customer_tag(uint64_t number, char out[NAME_SIZE])
{
    return numbered("customer:", number, out);
}

void pair_tags(uint64_t number, event_tags *out)
{
    out->tags[0] = customer_tag(pair_customer(number), out->names[0]);
    out->tags[1] = numbered("order:", number % tags_of_a_kind(), out->names[1]);
}

static void give_tags(event *e, uint64_t number, event_tags *out)
{
    uint64_t other = shuffled(set.bulk - 1 - number, set.bulk);
    pair_tags(event_pair(number), out);
    out->tags[2] = numbered("product:", other / TAG_EVENTS, out->names[2]);
    e->tags = out->tags;
    e->tag_count = EVENT_TAGS;
}

/* ---- the bulk --------------------------------------------------------- */

void bulk_init(bulk *b, size_t capacity, size_t streams)
{
    *b = (bulk){.streams = streams, .capacity = capacity};
    b->events = must_alloc(capacity * sizeof *b->events);
    b->marks = must_alloc(capacity * sizeof *b->marks);
    b->names = must_alloc(capacity * sizeof *b->names);
}

void bulk_tag(bulk *b)
{
    b->tags = must_alloc(b->capacity * sizeof *b->tags);
}

const batch *bulk_fill(bulk *b, uint64_t first, size_t count)
{
    size_t mark_count = count < b->streams ? count : b->streams;
    must(count <= b->capacity, "bulk", "too many events");
    for (size_t i = 0; i < count; i++) {
        uint64_t number = first + i;
        event *e = &b->events[i];
        e->stream = i < b->streams
                        ? stream_name(number % b->streams, b->names[i])
                        : b->events[i - b->streams].stream;
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is a stream */
        e->seq = number / b->streams + 1;
        e->data = payload(number);
        if (b->tags != NULL)
            give_tags(e, number, &b->tags[i]);
    }
    for (size_t i = 0; i < mark_count; i++) {
        b->marks[i] = b->events[count - mark_count + i];
        b->marks[i].data = (slice){0};
        b->marks[i].tag_count = 0;
    }
    b->batch = (batch){b->events, count, b->marks, mark_count};
    return &b->batch;
}

void bulk_release(bulk *b)
{
    free(b->events);
    free(b->marks);
    free(b->names);
    free(b->tags);
}

sink bulk_expected(uint64_t count, size_t streams)
{
    sink s = {.count = count};
    for (uint64_t i = 0; i < count; i++)
        s.sum += sink_term(payload_words(i), i / streams + 1);
    return s;
}

void must_match(const char *what, const sink *got, const sink *wanted)
{
    char why[128];
    if (got->count == wanted->count && got->sum == wanted->sum)
        return;
    snprintf(why, sizeof why, "read %llu items, wanted %llu%s",
             (unsigned long long)got->count, (unsigned long long)wanted->count,
             got->count == wanted->count ? ", and the bytes differ" : "");
    fail(what, why);
}
