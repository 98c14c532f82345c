/* SPDX-License-Identifier: MIT */
/* Makes stores of many shapes by the engine, from a seed, and dumps them.
 *
 *     usage: store make DIR SEED ROUNDS [NAME=NUMBER...]
 *            store dump DIR < ASKED
 *
 * A letter of ROUNDS is a time the store is open: c ends with a clean close,
 * x without one. It prints the cids of the blobs that it put. The dump is that
 * of tools/read_store.py; blobs cannot be listed, they are asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "persist.h"

enum { NAMES = 24, EDITS_MAX = 6, BIG = 40000 };

static uint64_t state, seed;

static uint64_t draw(uint64_t below)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t x = state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) % below;
}

static void must(persist_status status, const persist_error *error)
{
    if (status == PERSIST_OK)
        return;
    fprintf(stderr, "%s: %s\n", persist_status_code(status), error->message);
    exit(3);
}

/* ---- making ----------------------------------------------------------- */

static uint64_t commits = 200, big = 0, keys = 60, blobs = 0, tagged = 0,
                imported = 0;

/* A name of a number: some are hard ones. */
static persist_slice name_of(char kind, uint64_t number, char out[400])
{
    static const struct {
        const char *bytes;
        size_t size;
    } hard[] = {{"", 0},     {"\0", 1},         {"a", 1},   {"aa", 2},
                {"a\0b", 3}, {"\xff\xfe\n", 3}, {"$", 1},   {"a/../b", 6},
                {"\"\\", 2}, {"\xc3\xa4", 2},   {"aa\0", 3}};
    if (number < sizeof hard / sizeof hard[0])
        return (persist_slice){hard[number].bytes, hard[number].size};
    int size = snprintf(out, 400, "%c/%llu", kind, (unsigned long long)number);
    if (number % 7 == 0) {
        memset(out + size, 'n', 300);
        size += 300;
    }
    return (persist_slice){out, (size_t)size};
}

/* Bytes that compress, and bytes that do not. */
static persist_slice data_of(char *out)
{
    uint64_t size = draw(big > 0 && draw(40) == 0 ? big : 120);
    bool plain = draw(2) == 0;
    for (uint64_t i = 0; i < size; i++)
        out[i] = plain ? "the same again, "[i % 16] : (char)draw(256);
    return (persist_slice){out, (size_t)size};
}

/* Some of a few tags, twice here so that those side by side are different. */
static void tag(persist_edit *e)
{
    static char longest[255];
    static persist_slice tags[] = {
        {"a", 1}, {"\0", 1}, {"\xff\n", 2}, {"order:17", 8}, {longest, 255},
        {"a", 1}, {"\0", 1}, {"\xff\n", 2}, {"order:17", 8}, {longest, 255}};
    static const persist_slice types[] = {{"", 0}, {"placed", 6}, {"\"\\", 2}};
    memset(longest, 'l', sizeof longest);
    e->tags = tags + draw(5);
    e->tag_count = 1 + draw(5);
    e->type = types[draw(3)];
}

typedef struct scratch {
    char name[400];
    char data[BIG];
    uint64_t seqs[4];
    persist_command command;
} scratch;

/* A command id as an import brings it: some are there already. */
static void set_once(persist_edit *e, scratch *s)
{
    uint64_t number = draw(commits);
    *e = (persist_edit){.kind = PERSIST_SET_ONCE, .command = &s->command};
    s->command = (persist_command){.seqs = s->seqs, .seq_count = number % 5};
    s->command.id = name_of('o', number, s->name);
    memset(s->command.fingerprint, (int)(number & 255),
           sizeof s->command.fingerprint);
    for (uint64_t i = 0; i < 4; i++)
        s->seqs[i] = 1 + number * (i + 1);
}

static void make_edit(persist_store *store, persist_edit *e, scratch *s)
{
    persist_stream_info info;
    persist_error error;
    uint64_t kind = draw(20);
    if (imported > 0 && draw(100) < imported) {
        set_once(e, s);
        return;
    }
    *e = (persist_edit){.kind = PERSIST_APPEND};
    if (kind >= 14 && kind < 19) {
        e->kind = kind == 18 ? PERSIST_DELETE : PERSIST_PUT;
        e->name = name_of('k', draw(keys), s->name);
        if (e->kind == PERSIST_PUT)
            e->data = data_of(s->data);
        return;
    }
    e->name = name_of('s', draw(NAMES), s->name);
    must(persist_info(store, e->name, PERSIST_LATEST, &info, NULL, &error),
         &error);
    if (kind == 19 && draw(20) == 0) {
        e->kind = PERSIST_SET_POSITION;
        e->seq = persist_position(store, PERSIST_LATEST) + draw(50);
        e->name = (persist_slice){NULL, 0};
    } else if (kind == 19) {
        e->kind = PERSIST_SET_MARK;
        e->seq = info.mark + draw(4);
    } else if (kind == 13) {
        e->kind = PERSIST_TRUNCATE;
        e->seq = draw(4) == 0 ? info.mark + 2 : draw(info.mark + 1);
    } else if (kind == 12) {
        e->kind = PERSIST_APPEND_AT;
        e->seq = info.mark + 1 + draw(3);
    }
    if (e->kind == PERSIST_APPEND || e->kind == PERSIST_APPEND_AT)
        e->data = data_of(s->data);
    if (e->data.data != NULL && tagged > 0 && draw(100) < tagged)
        tag(e);
}

static void make_commit(persist_store *store, const char *round, uint64_t n)
{
    static scratch scratches[EDITS_MAX];
    persist_edit edits[EDITS_MAX];
    persist_once once = {0};
    persist_outcome outcome = {0};
    persist_error error;
    char id[64];
    size_t count = draw(EDITS_MAX) + 1;
    for (size_t i = 0; i < count; i++)
        make_edit(store, &edits[i], &scratches[i]);
    bool with_id = draw(6) == 0;
    if (with_id) {
        int size =
            snprintf(id, sizeof id, "id-%llu-%s-%llu", (unsigned long long)seed,
                     round, (unsigned long long)n);
        once.id = (persist_slice){id, (size_t)size};
        memset(once.fingerprint, (int)draw(256), sizeof once.fingerprint);
    }
    persist_status status = persist_commit(
        store, edits, count, with_id ? &once : NULL, &outcome, &error);
    if (status == PERSIST_SEQ_CONFLICT) /* two edits for one stream */
        return;
    must(status, &error);
    if (draw(5) == 0)
        must(persist_wait_durable(store, outcome.lsn, &error), &error);
    persist_outcome_release(&outcome);
}

static void make_blob(persist_store *store)
{
    static char data[BIG];
    persist_cid cid;
    persist_error error;
    must(persist_blob_put(store, data_of(data), cid, &error), &error);
    printf("blob %s\n", cid);
}

static void make_round(const persist_options *options, const char *round)
{
    persist_store *store;
    persist_error error;
    must(persist_open(options, &store, &error), &error);
    for (uint64_t n = 0; n < commits; n++)
        make_commit(store, round, n);
    for (uint64_t n = 0; n < blobs; n++)
        make_blob(store);
    if (*round == 'c')
        must(persist_close(store, &error), &error);
    fflush(stdout);
    _exit(0);
}

static void set(persist_options *o, const char *setting)
{
    const char *value = strchr(setting, '=');
    uint64_t number = value == NULL ? 0 : strtoull(value + 1, NULL, 10);
    size_t size = value == NULL ? 0 : (size_t)(value - setting);
    const struct {
        const char *name;
        uint32_t *field;
    } sizes[] = {{"segment", &o->segment_size},
                 {"memtable", &o->memtable_size},
                 {"width", &o->merge_width},
                 {"packed", &o->packed_max}};
    const struct {
        const char *name;
        uint64_t *field;
    } ours[] = {{"commits", &commits}, {"big", &big},
                {"keys", &keys},       {"blobs", &blobs},
                {"tagged", &tagged},   {"imported", &imported}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (strlen(sizes[i].name) == size &&
            memcmp(sizes[i].name, setting, size) == 0)
            *sizes[i].field = (uint32_t)number;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strlen(ours[i].name) == size &&
            memcmp(ours[i].name, setting, size) == 0)
            *ours[i].field = number;
    o->compress = o->compress || strcmp(setting, "compress=1") == 0;
    o->background = o->background || strcmp(setting, "background=1") == 0;
}

static int make(int argc, char **argv)
{
    persist_options options = {PERSIST_OPTIONS, .path = argv[2],
                               .create = true};
    seed = strtoull(argv[3], NULL, 10);
    for (int i = 5; i < argc; i++)
        set(&options, argv[i]);
    if (big > BIG)
        return 2;
    for (const char *round = argv[4]; *round != '\0'; round++) {
        int ended;
        fflush(stdout);
        state = seed++ * 1000003;
        pid_t child = fork();
        if (child == 0)
            make_round(&options, round);
        if (child < 0 || waitpid(child, &ended, 0) != child || ended != 0)
            return 1;
    }
    return 0;
}

/* ---- dumping ---------------------------------------------------------- */

static void put(persist_slice s)
{
    const unsigned char *at = s.data;
    putchar('"');
    for (size_t i = 0; i < s.size; i++)
        if (at[i] >= 32 && at[i] < 127 && at[i] != '"' && at[i] != '\\')
            putchar(at[i]);
        else
            printf("\\x%02x", at[i]);
    putchar('"');
}

static void put_tags(const persist_event *e)
{
    persist_slice tags[PERSIST_TAGS_MAX], type;
    size_t count = persist_event_tags(e, tags, &type);
    if (count == 0)
        return;
    printf(" type ");
    put(type);
    printf(" tags");
    for (size_t i = 0; i < count; i++) {
        printf(" ");
        put(tags[i]);
    }
}

static void put_events(persist_cursor *cursor, bool data)
{
    const persist_event *e;
    persist_error error;
    persist_status status;
    while ((status = persist_next_event(cursor, &e, &error)) == PERSIST_OK) {
        unsigned long long seq = e->seq, position = e->position;
        if (data)
            printf("event ");
        else
            printf("order %llu ", position);
        put(e->stream);
        printf(" seq %llu", seq);
        if (!data && e->time != 0)
            printf(" time %llu", (unsigned long long)e->time);
        if (data) {
            printf(" position %llu ", position);
            put(e->data);
            put_tags(e);
        }
        printf("\n");
    }
    if (status != PERSIST_NONE)
        must(status, &error);
    persist_cursor_close(cursor);
}

static void put_streams(persist_store *store)
{
    persist_cursor *names, *events;
    persist_error error;
    persist_slice name;
    persist_status status;
    must(persist_streams(store, NULL, PERSIST_NO_LIMIT, PERSIST_DURABLE, &names,
                         &error),
         &error);
    while ((status = persist_next_key(names, &name, NULL, &error)) ==
           PERSIST_OK) {
        persist_stream_info i;
        must(persist_info(store, name, PERSIST_DURABLE, &i, NULL, &error),
             &error);
        printf("stream ");
        put(name);
        printf(" mark %llu first %llu count %llu bytes %llu\n",
               (unsigned long long)i.mark, (unsigned long long)i.first,
               (unsigned long long)i.count, (unsigned long long)i.bytes);
        must(persist_read(store, name, 1, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                          &events, &error),
             &error);
        put_events(events, true);
    }
    if (status != PERSIST_NONE)
        must(status, &error);
    persist_cursor_close(names);
}

static void put_keys(persist_store *store)
{
    persist_cursor *cursor;
    persist_error error;
    persist_slice key, value;
    persist_status status;
    must(persist_scan(store, NULL, PERSIST_NO_LIMIT, PERSIST_DURABLE, &cursor,
                      &error),
         &error);
    while ((status = persist_next_key(cursor, &key, &value, &error)) ==
           PERSIST_OK) {
        printf("key ");
        put(key);
        printf(" ");
        put(value);
        printf("\n");
    }
    if (status != PERSIST_NONE)
        must(status, &error);
    persist_cursor_close(cursor);
}

static void put_commands(persist_store *store)
{
    persist_cursor *cursor;
    const persist_command *c;
    persist_error error;
    persist_status status;
    must(persist_commands(store, (persist_slice){NULL, 0}, NULL,
                          PERSIST_NO_LIMIT, PERSIST_DURABLE, &cursor, &error),
         &error);
    while ((status = persist_next_command(cursor, &c, &error)) == PERSIST_OK) {
        printf("command ");
        put(c->id);
        printf(" lsn %llu ", (unsigned long long)c->lsn);
        for (size_t i = 0; i < sizeof c->fingerprint; i++)
            printf("%02x", c->fingerprint[i]);
        printf(" seqs");
        for (size_t i = 0; i < c->seq_count; i++)
            printf(" %llu", (unsigned long long)c->seqs[i]);
        printf("\n");
    }
    if (status != PERSIST_NONE)
        must(status, &error);
    persist_cursor_close(cursor);
}

static void put_blob(persist_store *store, const char *cid)
{
    char bytes[4096];
    persist_blob_reader *reader;
    persist_error error;
    uint64_t size, read = 0;
    size_t got;
    persist_slice name = {cid, PERSIST_CID_SIZE};
    persist_status status =
        persist_blob_open(store, name, &size, &reader, &error);
    if (status == PERSIST_NONE)
        return;
    must(status, &error);
    do {
        must(persist_blob_read(reader, bytes, sizeof bytes, &got, &error),
             &error);
        read += got;
    } while (got > 0);
    persist_blob_close(reader);
    printf("blob %.*s bytes %llu\n", PERSIST_CID_SIZE, cid,
           (unsigned long long)read);
}

/* Of one start, and of where later ones begin, what did not survive. */
static void put_lsns(persist_store *store)
{
    for (persist_lsn start = 0; start < 8; start++)
        for (persist_lsn i = 1; i <= 32; i++) {
            persist_lsn lsn = (start << 24) + i;
            if (persist_wait_durable(store, lsn, NULL) == PERSIST_LOST)
                printf("lsn %llu lost\n", (unsigned long long)lsn);
        }
}

static void put_identity(persist_store *store)
{
    persist_identity_text self, parent;
    persist_error error;
    must(persist_identity(store, self, parent, &error), &error);
    printf("store %s%s%s\n", self, parent[0] == '\0' ? "" : " from ", parent);
}

static int dump(const char *dir)
{
    char line[256];
    persist_options options = {PERSIST_OPTIONS, .path = dir};
    persist_store *store;
    persist_cursor *all;
    persist_error error;
    must(persist_open(&options, &store, &error), &error);
    put_lsns(store);
    put_identity(store);
    put_streams(store);
    must(persist_read_all(store, 1, PERSIST_NO_LIMIT, PERSIST_DURABLE, &all,
                          &error),
         &error);
    put_events(all, false);
    put_keys(store);
    put_commands(store);
    while (fgets(line, sizeof line, stdin) != NULL)
        if (strlen(line) > PERSIST_CID_SIZE)
            put_blob(store, line + strlen("blob "));
    must(persist_close(store, &error), &error);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "make") == 0)
        return make(argc, argv);
    if (argc == 3 && strcmp(argv[1], "dump") == 0)
        return dump(argv[2]);
    fprintf(stderr, "usage: store make DIR SEED ROUNDS [NAME=NUMBER...]\n"
                    "       store dump DIR < ASKED\n");
    return 2;
}
