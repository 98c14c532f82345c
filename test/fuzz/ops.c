/* SPDX-License-Identifier: MIT */
/* Requests of a program, as values, one a line: a host over a store in memory
 * and one over a disk give the same answers, errors included. The first byte
 * chooses the sizes of the disk. */
#include <stdio.h>

#include "host/host_private.h"
#include "lib/fuzz.h"

enum { LINES_MAX = 40, STEPS_MAX = 20000 };

static host *open_host(const os *sys, uint8_t sizes)
{
    const host_options options = {
        .store = {PERSIST_OPTIONS, .path = "store", .segment_size = 4096,
                  .memtable_size = sizes & 1 ? 1 : 4096, .merge_width = 2,
                  .compress = (sizes & 2) != 0, .os = sys},
        .machine = {SX_OPTIONS, .heap_max = 8 << 20, .depth_max = 1000},
    };
    host *h = host_open(&options);
    CHECK(h != NULL);
    return h;
}

/* The store that a host opens has a path: this one is put in its place. */
static host *open_memory_host(const os *sys)
{
    host *h = open_host(sys, 0);
    const persist_options options = {PERSIST_OPTIONS, .equal = host_equal_texts,
                                     .equal_context = h, .os = sys};
    persist_store *store;
    CHECK(persist_open(&options, &store, NULL) == PERSIST_OK &&
          persist_session(store, &h->session, NULL) == PERSIST_OK);
    h->store = store;
    return h;
}

/* Performs a request; what comes of it, as text. */
static void ask(host *h, slice request, buf *said)
{
    buf program = {0};
    sx_out out = {0};
    buf_put_str(&program, "(perform (quote ");
    buf_put_slice(&program, request);
    buf_put_str(&program, "\n))");
    CHECK(!program.failed);
    buf_clear(said);
    host_load(h, buf_slice(&program));
    host_state end = host_run(h, STEPS_MAX);
    persist_error error;
    if (sx_print(host_machine(h), host_value(h), 0, &out, &error) != PERSIST_OK)
        buf_put_str(said, error.message);
    buf_printf(said, "%d ", (int)end);
    buf_put(said, out.data, out.size);
    sx_out_release(&out);
    buf_release(&program);
}

static void compare(host *memory, host *disk, slice request)
{
    buf wanted = {0}, said = {0};
    ask(memory, request, &wanted);
    ask(disk, request, &said);
    if (!slice_equal(buf_slice(&wanted), buf_slice(&said)))
        fprintf(stderr, "memory: %.*s\n  disk: %.*s\n", (int)wanted.size,
                (const char *)wanted.data, (int)said.size,
                (const char *)said.data);
    CHECK(slice_equal(buf_slice(&wanted), buf_slice(&said)));
    buf_release(&wanted);
    buf_release(&said);
}

static void end_host(host *h)
{
    persist_error error;
    CHECK(host_sync(h, host_rests(h), &error) == PERSIST_OK);
    CHECK(host_close(h, &error) == PERSIST_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cursor c = cursor_of(slice_of(data, size));
    uint8_t sizes = cursor_u8(&c);
    os_sim *sim = os_sim_new(1);
    host *memory = open_memory_host(os_sim_os(sim));
    host *disk = open_host(os_sim_os(sim), sizes);
    for (int i = 0; i < LINES_MAX && cursor_left(&c) > 0; i++) {
        const uint8_t *end = memchr(c.at, '\n', cursor_left(&c));
        uint64_t line = end == NULL ? cursor_left(&c) : (uint64_t)(end - c.at);
        compare(memory, disk, cursor_bytes(&c, line));
        (void)cursor_u8(&c);
    }
    end_host(memory);
    end_host(disk);
    CHECK(os_sim_open_files(sim) == 0);
    os_sim_free(sim);
    return 0;
}
