/* SPDX-License-Identifier: MIT */
/* Ages a store: both manifests are written anew with higher numbers. */
#include "age.h"

#include "engine/manifest.h"

/* Just below 2^32, and even: the manifests keep their files. */
static const uint64_t years = ((uint64_t)1 << 32) - 4;

static void age_manifest(const os *sys, const char *dir, const char *name,
                         uint64_t epoch)
{
    char path[PERSIST_PATH_MAX];
    uint8_t bytes[4096];
    size_t got;
    os_file *file;
    manifest m = {0};
    buf out = {0};
    int code = os_join(path, sizeof path, dir, name);
    CHECK(code == 0);
    code = sys->file_open(sys, path, OS_READ | OS_WRITE, &file);
    CHECK(code == 0);
    code = os_read_all(sys, file, bytes, sizeof bytes, 0, &got);
    CHECK(code == 0 && got < sizeof bytes);
    persist_status status = manifest_decode(slice_of(bytes, got), &m, NULL);
    CHECK(status == PERSIST_OK && m.generation < years);
    m.generation += years;
    m.epoch = epoch;
    m.next_segment += years;
    m.next_table += years;
    manifest_encode(&m, &out);
    CHECK(!out.failed && out.size == got);
    code = os_write_all(sys, file, out.data, out.size, 0);
    CHECK(code == 0);
    code = os_sync(sys, file);
    CHECK(code == 0);
    sys->file_close(sys, file);
    manifest_release(&m);
    buf_release(&out);
}

void age_store(const os *sys, const char *dir, uint64_t epoch)
{
    age_manifest(sys, dir, "manifest.0", epoch);
    age_manifest(sys, dir, "manifest.1", epoch);
}
