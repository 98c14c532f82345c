/* SPDX-License-Identifier: MIT */
/* A session of the server over streams in memory: any bytes in, and what comes
 * out is replies, well-formed, one after the other. The first byte chooses how
 * the input arrives and what becomes of unknown ops. */
#include "server/session.h"
#include "lib/fuzz.h"

enum { HEAP_MAX = 4 << 20, DEPTH_MAX = 2000, LOOKS_MAX = 60 };

static const char library[] = "(define (twice x) (* 2 x))\n";

/* ---- replies ---------------------------------------------------------- */

static bool is_word(sx_value v, const char *word)
{
    return sx_type_of(v) == SX_SYMBOL &&
           slice_equal(sx_bytes(v), slice_str(word));
}

/* Checks a line; returns how many bytes and a newline follow it, or -1. */
static int64_t check_line(sx *m, slice line)
{
    sx_value v;
    persist_status status = sx_read(m, line, &v, NULL);
    if (status == PERSIST_LIMIT)
        return -1;
    CHECK(status == PERSIST_OK && sx_type_of(v) == SX_LIST);
    size_t size = sx_list_size(v);
    CHECK(size > 0);
    sx_value head = sx_list_at(v, 0);
    if (is_word(head, "ready"))
        return -1;
    CHECK(size > 1 && sx_type_of(sx_list_at(v, 1)) == SX_INTEGER);
    if (is_word(head, "ok"))
        CHECK(size == 2);
    else if (is_word(head, "error"))
        CHECK(size == 3 && sx_type_of(sx_list_at(v, 2)) == SX_STRING);
    else if (is_word(head, "io-request"))
        CHECK(size >= 3 && sx_type_of(sx_list_at(v, 2)) == SX_STRING);
    else
        CHECK(is_word(head, "ok-len") && size == 3);
    return is_word(head, "ok-len") ? sx_integer(sx_list_at(v, 2)) : -1;
}

static void check_output(slice output)
{
    sx *m = fuzz_machine();
    cursor c = cursor_of(output);
    while (cursor_left(&c) > 0) {
        const uint8_t *end = memchr(c.at, '\n', cursor_left(&c));
        CHECK(end != NULL);
        slice line = cursor_bytes(&c, (uint64_t)(end - c.at) + 1);
        int64_t size = check_line(m, line);
        if (size >= 0) {
            (void)cursor_bytes(&c, (uint64_t)size);
            CHECK(cursor_u8(&c) == '\n' && !c.failed);
        }
        sx_collect(m, NULL, 0);
    }
}

/* ---- the session ------------------------------------------------------ */

static void put_file(const os *sys, const char *path, slice bytes)
{
    os_file *file;
    int code = sys->file_open(sys, sys->cwd, path,
                              OS_READ | OS_WRITE | OS_CREATE, &file);
    CHECK(code == 0);
    code = os_write_all(sys, file, bytes.data, bytes.size, 0);
    CHECK(code == 0);
    sys->file_close(sys, file);
}

static void serve(fuzz_process *p, host_unknown unknown)
{
    const host_options options = {
        .store = {PERSIST_OPTIONS, .path = "store", .segment_size = 4096,
                  .memtable_size = 4096, .os = os_sim_os(p->sim)},
        .unknown = unknown,
        .machine = {SX_OPTIONS, .heap_max = HEAP_MAX, .depth_max = DEPTH_MAX},
    };
    session s = {.host = host_open(&options)};
    persist_error error;
    CHECK(s.host != NULL && session_begin(&s));
    CHECK(session_serve(&s, &error) == PERSIST_OK);
    session_release(&s);
    CHECK(host_close(s.host, &error) == PERSIST_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cursor c = cursor_of(slice_of(data, size));
    uint8_t how = cursor_u8(&c);
    fuzz_process *p = &fuzz_process_now;
    p->sim = os_sim_new(1);
    p->input = slice_of(c.at, cursor_left(&c));
    p->at = p->looks = 0;
    p->looks_max = LOOKS_MAX;
    p->read_at_once = (how & 15) == 0 ? 65536 : (how & 15);
    buf_clear(&p->output);
    put_file(os_sim_os(p->sim), "lib.sx", slice_str(library));
    serve(p, (host_unknown)((how >> 4) % 3));
    check_output(buf_slice(&p->output));
    CHECK(os_sim_open_files(p->sim) == 0);
    os_sim_free(p->sim);
    return 0;
}
