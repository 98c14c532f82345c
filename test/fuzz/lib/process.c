/* SPDX-License-Identifier: MIT */
/* os_posix and os_stream.h for a process that has no outside. */
#include <errno.h>

#include "fuzz.h"
#include "os/os_stream.h"

fuzz_process fuzz_process_now;

const os *os_posix(void)
{
    return os_sim_os(fuzz_process_now.sim);
}

bool os_stream_begin(const char *program)
{
    return program != NULL;
}

void os_stream_hold(void)
{
}

int os_stream_catch(void)
{
    return 0;
}

bool os_stream_is_closed(int code)
{
    return code != 0;
}

bool os_stream_stopped(void)
{
    fuzz_process *p = &fuzz_process_now;
    return ++p->looks > p->looks_max;
}

/* More input is there at once or only after a while, by where it is. */
int os_stream_wait(int stream, int timeout_ms)
{
    CHECK(stream == OS_STDIN);
    return timeout_ms < 0 || fuzz_process_now.at % 2 == 0;
}

bool os_stream_pause(int timeout_ms)
{
    static const _Atomic uint32_t word;
    const os *sys = os_posix();
    sys->sleep_while(sys, &word, 0, (uint64_t)timeout_ms * 1000);
    return !os_stream_stopped();
}

void os_stream_rouse(void)
{
}

ssize_t os_stream_read(int stream, void *buffer, size_t size)
{
    fuzz_process *p = &fuzz_process_now;
    CHECK(stream == OS_STDIN && size > 0 && p->read_at_once > 0);
    size_t left = p->input.size - p->at;
    size_t n = left < p->read_at_once ? left : p->read_at_once;
    if (n > size)
        n = size;
    if (n > 0)
        memcpy(buffer, (const char *)p->input.data + p->at, n);
    p->at += n;
    return (ssize_t)n;
}

int os_stream_write(int stream, const void *bytes, size_t size)
{
    if (stream == OS_STDOUT)
        buf_put(&fuzz_process_now.output, bytes, size);
    return 0;
}

void os_stream_say(const char *line)
{
    CHECK(line[0] != '\0');
}

bool os_stream_is_terminal(int stream)
{
    return stream == OS_STDOUT && fuzz_process_now.terminal;
}

static int slurp(const os *sys, os_file *file, size_t size_max, buf *out)
{
    uint64_t size;
    size_t got = 0;
    int code = sys->file_size(sys, file, &size);
    if (code == 0 && size > size_max)
        code = -EFBIG;
    if (code == 0 && !buf_reserve(out, (size_t)size + 1))
        code = -ENOMEM;
    if (code == 0)
        code = os_read_all(sys, file, out->data + out->size, (size_t)size, 0,
                           &got);
    out->size += got;
    return code;
}

int os_file_slurp(const char *path, size_t size_max, buf *out)
{
    const os *sys = os_posix();
    os_file *file;
    int code = sys->file_open(sys, sys->cwd, path, OS_READ, &file);
    if (code != 0)
        return code;
    code = slurp(sys, file, size_max, out);
    (void)sys->file_close(sys, file);
    return code;
}

const char *os_env(const char *name)
{
    (void)name;
    return NULL;
}
