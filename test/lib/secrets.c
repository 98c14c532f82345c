/* SPDX-License-Identifier: MIT */
/* What is put into a store, taken away again, and then looked for in the raw
 * bytes of its files. */
#include "secrets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/hash.h"
#include "sim_files.h"

enum { END = 8, KINDS = 4 };

slice secret(unsigned i, char room[SECRET_SIZE + 1])
{
    uint64_t parts[2] = {i, 0x5ec4e7}, more[2] = {i, 0x7e4ce5};
    snprintf(room, SECRET_SIZE + 1, "%016llx%016llx",
             (unsigned long long)hash_xxh3(slice_of(parts, sizeof parts)),
             (unsigned long long)hash_xxh3(slice_of(more, sizeof more)));
    return slice_of(room, SECRET_SIZE);
}

static size_t slot_of(const secrets *s, const char *end)
{
    return (size_t)hash_xxh3(slice_of(end, END)) % s->slot_count;
}

void secrets_make(secrets *s, unsigned count)
{
    char room[SECRET_SIZE + 1];
    *s = (secrets){.count = count, .slot_count = 8 * (size_t)count + 1};
    s->slots = calloc(s->slot_count, sizeof *s->slots);
    s->seen = calloc(count, sizeof *s->seen);
    CHECK(s->slots != NULL && s->seen != NULL);
    for (unsigned i = 0; i < count; i++) {
        (void)secret(i, room);
        size_t at = slot_of(s, room + SECRET_SIZE - END);
        while (s->slots[at] != 0)
            at = (at + 1) % s->slot_count;
        s->slots[at] = i + 1;
    }
}

void secrets_release(secrets *s)
{
    free(s->slots);
    free(s->seen);
    *s = (secrets){0};
}

/* ---- in the store ----------------------------------------------------- */

static slice numbered(const char *what, unsigned i, char room[32])
{
    return slice_of(room, (size_t)snprintf(room, 32, "%s-%05u", what, i));
}

/* The others are short, and many for each. */
static size_t others(unsigned i, persist_edit *out, char room[2][32])
{
    static persist_slice tag = {"living", 6};
    out[0] = (persist_edit){.kind = PERSIST_APPEND,
                            .name = slice_str("kept"),
                            .data = numbered("event", i, room[0]),
                            .tags = &tag,
                            .tag_count = 1};
    out[1] = (persist_edit){.kind = PERSIST_PUT,
                            .name = numbered("kept", i, room[1]),
                            .data = slice_str("value")};
    return 2;
}

persist_status secrets_write(const secrets *s, persist_store *store,
                             persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (unsigned i = 0; i < s->count && status == PERSIST_OK; i++) {
        char text[SECRET_SIZE + 1], name[32], room[2][32];
        persist_edit edits[3];
        slice it = secret(i, text);
        persist_slice tag = it;
        size_t count = others(i, edits, room);
        persist_edit *e = &edits[count++];
        switch (i % KINDS) {
        case 0:
            *e = (persist_edit){.kind = PERSIST_PUT,
                                .data = it,
                                .name = numbered("over", i, name)};
            break;
        case 1:
            *e = (persist_edit){.kind = PERSIST_PUT, .name = it};
            break;
        case 2:
            *e = (persist_edit){
                .kind = PERSIST_APPEND, .data = it, .name = slice_str("cut")};
            break;
        default:
            *e = (persist_edit){.kind = PERSIST_APPEND,
                                .name = slice_str("cut"),
                                .tag_count = 1,
                                .tags = &tag};
            if (i % 8 == 7) {
                tag = slice_str("typed");
                e->type = it;
            }
        }
        status = persist_commit(store, edits, count, NULL, NULL, error);
    }
    return status;
}

persist_status secrets_drop(const secrets *s, persist_store *store,
                            persist_error *error)
{
    persist_edit cut = {
        .kind = PERSIST_TRUNCATE, .name = slice_str("cut"), .seq = s->count};
    persist_status status = persist_commit(store, &cut, 1, NULL, NULL, error);
    for (unsigned i = 0; i < s->count && status == PERSIST_OK; i++) {
        char text[SECRET_SIZE + 1], name[32];
        persist_edit edit = {.kind = PERSIST_PUT,
                             .name = numbered("over", i, name),
                             .data = slice_str("written over")};
        if (i % KINDS == 1)
            edit =
                (persist_edit){.kind = PERSIST_DELETE, .name = secret(i, text)};
        if (i % KINDS < 2)
            status = persist_commit(store, &edit, 1, NULL, NULL, error);
    }
    return status;
}

bool secrets_left_the_rest(const secrets *s, persist_store *store)
{
    persist_stream_info kept, cut;
    bool known, all = true;
    for (unsigned i = 0; i < s->count; i++) {
        char name[32];
        all = all && persist_has(store, numbered("kept", i, name),
                                 PERSIST_LATEST, NULL) == PERSIST_OK;
        if (i % KINDS == 0)
            all = all && persist_has(store, numbered("over", i, name),
                                     PERSIST_LATEST, NULL) == PERSIST_OK;
    }
    return all &&
           persist_info(store, slice_str("kept"), PERSIST_LATEST, &kept, &known,
                        NULL) == PERSIST_OK &&
           persist_info(store, slice_str("cut"), PERSIST_LATEST, &cut, &known,
                        NULL) == PERSIST_OK &&
           known && kept.count == s->count && cut.count == 0 &&
           cut.mark == s->count / KINDS * 2;
}

/* ---- in the files ----------------------------------------------------- */

void secrets_look(secrets *s, slice bytes)
{
    const char *at = bytes.data;
    for (size_t i = 0; i + END <= bytes.size; i++) {
        bool hex = true;
        for (int k = 0; k < END && hex; k++)
            hex = (at[i + k] >= '0' && at[i + k] <= '9') ||
                  (at[i + k] >= 'a' && at[i + k] <= 'f');
        if (!hex)
            continue;
        size_t slot = slot_of(s, at + i);
        for (; s->slots[slot] != 0; slot = (slot + 1) % s->slot_count) {
            char text[SECRET_SIZE + 1];
            unsigned which = s->slots[slot] - 1;
            (void)secret(which, text);
            if (memcmp(at + i, text + SECRET_SIZE - END, END) == 0)
                s->seen[which] = true;
        }
    }
}

unsigned secrets_found(const secrets *s)
{
    unsigned found = 0;
    for (unsigned i = 0; i < s->count; i++)
        found += s->seen[i];
    return found;
}

void secrets_forget(secrets *s)
{
    memset(s->seen, 0, s->count * sizeof *s->seen);
}

static void look_at_file(secrets *s, const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(size + 1);
    CHECK(f != NULL && bytes != NULL);
    CHECK(fread(bytes, 1, size, f) == size);
    secrets_look(s, slice_of(bytes, size));
    free(bytes);
    fclose(f);
}

static void look_in(secrets *s, const char *path)
{
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char name[512];
        struct stat is;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || lstat(name, &is) != 0)
            continue;
        /* a deleted key's name may be one of a file, too */
        secrets_look(s, slice_str(e->d_name));
        if (S_ISDIR(is.st_mode))
            look_in(s, name);
        else
            look_at_file(s, name, (size_t)is.st_size);
    }
    closedir(d);
}

unsigned secrets_in_folder(secrets *s, const char *path)
{
    secrets_forget(s);
    look_in(s, path);
    return secrets_found(s);
}

unsigned secrets_on_disk(secrets *s, const os_sim *sim)
{
    static sim_file files[SIM_FILES_MAX];
    size_t count = sim_files(sim, files);
    secrets_forget(s);
    for (size_t i = 0; i < count; i++)
        if (!files[i].is_dir)
            secrets_look(s, files[i].bytes);
    return secrets_found(s);
}
