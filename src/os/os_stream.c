/* SPDX-License-Identifier: MIT */
/* Standard streams, the signal to end, whole files, the environment. */
#include "os/os_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/visible.h"

enum {
    SLURP_STEP_SIZE = 64 * 1024,
    WRITE_PART_SIZE = 4096, /* PIPE_BUF on Linux */
    STOP_GRACE_S = 1,
};

static volatile sig_atomic_t stopped;
static sigset_t outside_mask; /* the mask while waiting for input */

static void on_stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* The signals are blocked except while ppoll waits, so that none can slip in
 * between a test of the flag and a read that blocks. */
void os_stream_begin(void)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int bad = sigprocmask(SIG_BLOCK, &set, &outside_mask);
    bad |= sigaction(SIGTERM, &stop, NULL);
    bad |= sigaction(SIGINT, &stop, NULL);
    bad |= sigaction(SIGPIPE, &ignore, NULL);
    CHECK(bad == 0);
    sigdelset(&outside_mask, SIGTERM);
    sigdelset(&outside_mask, SIGINT);
}

bool os_stream_stopped(void)
{
    sigset_t pending;
    if (stopped)
        return true;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1 ||
           sigismember(&pending, SIGINT) == 1;
}

int os_stream_wait(int stream, int timeout_ms)
{
    struct pollfd one = {.fd = stream, .events = POLLIN};
    struct timespec limit = {.tv_sec = timeout_ms / 1000,
                             .tv_nsec = (timeout_ms % 1000) * 1000000L};
    for (;;) {
        if (stopped)
            return -EINTR;
        int n = ppoll(&one, 1, timeout_ms < 0 ? NULL : &limit, &outside_mask);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}

ssize_t os_stream_read(int stream, void *buffer, size_t size)
{
    for (;;) {
        int ready = os_stream_wait(stream, -1);
        if (ready < 0)
            return ready;
        ssize_t n = read(stream, buffer, size);
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* Once the signal to end has come, a reader who does not read gets a moment of
 * grace only. */
static int wait_writable(int stream)
{
    static const struct timespec grace = {.tv_sec = STOP_GRACE_S};
    struct pollfd one = {.fd = stream, .events = POLLOUT};
    for (;;) {
        int n = ppoll(&one, 1, stopped ? &grace : NULL, &outside_mask);
        if (n > 0)
            return 0;
        if (n == 0)
            return -EINTR;
        if (errno != EINTR)
            return -errno;
    }
}

/* A pipe that polls writable takes this much without blocking, so that the
 * signal is seen between two writes. */
int os_stream_write(int stream, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        int bad = wait_writable(stream);
        if (bad != 0)
            return bad;
        size_t part = size < WRITE_PART_SIZE ? size : WRITE_PART_SIZE;
        ssize_t n = write(stream, at, part);
        if (n >= 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
    return 0;
}

void os_stream_say(const char *line)
{
    buf text = {0};
    visible_put(&text, slice_str(line));
    buf_put_byte(&text, '\n');
    (void)os_stream_write(OS_STDERR, text.data, text.size);
    buf_release(&text);
}

bool os_stream_is_terminal(int stream)
{
    return isatty(stream) == 1;
}

static int slurp(int fd, size_t size_max, buf *out)
{
    size_t start = out->size;
    for (;;) {
        if (!buf_reserve(out, SLURP_STEP_SIZE))
            return -ENOMEM;
        ssize_t n = read(fd, out->data + out->size, SLURP_STEP_SIZE);
        if (n == 0)
            return 0;
        if (n > 0)
            out->size += (size_t)n;
        else if (errno != EINTR)
            return -errno;
        if (out->size - start > size_max)
            return -EFBIG;
    }
}

int os_file_slurp(const char *path, size_t size_max, buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = slurp(fd, size_max, out);
    close(fd);
    return result;
}

const char *os_env(const char *name)
{
    return getenv(name);
}
