/* SPDX-License-Identifier: MIT */
/* Standard streams, the end, whole files, the environment.
 *
 * The signals to end stay blocked and pending, for ever: whoever waits looks
 * at a descriptor that is readable as long as one is, so that none can slip in
 * between a look and a wait. */
#include "os/os_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/visible.h"
#include "os/os.h"
#include "os/os_again.h"
#include "os/os_sleep.h"
#include "os/os_thread.h"

enum {
    SLURP_STEP_SIZE = 64 * 1024,
    WRITE_PART_SIZE = 4096, /* PIPE_BUF on Linux */
    WRITE_GRACE_MS = 25,    /* of all writes at the end */
};

static sigset_t held;          /* the signals to end, once they are blocked */
static int unheld;             /* a negative errno: they could not be */
static int signals = -1;       /* readable when one to end has come */
static bool output_was_closed; /* when the program began */
static int roused = -1;        /* an eventfd: readable after os_stream_rouse */
static _Atomic int64_t end_ms; /* when the end was seen; 0: not yet */

/* ---- beginning -------------------------------------------------------- */

void os_stream_hold(void)
{
    struct sigaction hangup;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    if (sigaction(SIGHUP, NULL, &hangup) != 0)
        unheld = -errno;
    else if (hangup.sa_handler != SIG_IGN)
        sigaddset(&held, SIGHUP);
    if (unheld == 0)
        unheld = -pthread_sigmask(SIG_BLOCK, &held, NULL);
}

/* Standard output opens for reading, so that writing is an error. */
static void fill(int stream)
{
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF)
        return;
    if (stream == OS_STDOUT)
        output_was_closed = true;
    int mode = stream == OS_STDERR ? O_WRONLY : O_RDONLY;
    int got = open("/dev/null", mode);
    if (got < 0)
        got = open("/", O_RDONLY);
    if (got != stream) /* and nowhere to say so */
        _exit(OS_CANNOT_RUN);
}

/* Twice what the tests take. */
enum { STACK_NEED = 128 << 10, STACK_WISH = 8 << 20 };

/* The limit holds for arguments and environment, too, which lie at the start of
 * the stack. The kernel looks at it as the stack grows. */
static bool stack_suffices(void)
{
    struct rlimit limit;
    uintptr_t start = getauxval(AT_EXECFN);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    rlim_t need = (start > here ? start - here : 0) + STACK_NEED;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= need)
        return true;
    if (limit.rlim_max < need) /* who is privileged may raise it */
        limit.rlim_max = need;
    limit.rlim_cur = limit.rlim_max < STACK_WISH ? limit.rlim_max : STACK_WISH;
    return setrlimit(RLIMIT_STACK, &limit) == 0;
}

bool os_stream_begin(const char *program)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (int stream = OS_STDIN; stream <= OS_STDERR; stream++)
        fill(stream);
    char text[160];
    bool ignored = sigaction(SIGPIPE, &ignore, NULL) == 0 &&
                   sigaction(SIGXFSZ, &ignore, NULL) == 0;
    if (!ignored)
        snprintf(text, sizeof text,
                 "%s: cannot ignore signals: %s; let its sandbox allow "
                 "rt_sigaction",
                 program, os_reason(-errno));
    else if (stack_suffices())
        return true;
    else
        snprintf(text, sizeof text,
                 "%s: the stack may not grow by 128 KiB; raise the limit: "
                 "ulimit -s 8192",
                 program);
    os_stream_say(text);
    return false;
}

int os_stream_catch(void)
{
    CHECK(signals < 0 && sigismember(&held, SIGTERM) == 1);
    if (unheld != 0)
        return unheld;
    roused = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (roused < 0)
        return -errno;
    signals = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals < 0 ? -errno : 0;
}

/* ---- the end ---------------------------------------------------------- */

static int64_t now_ms(void)
{
    return (int64_t)(os_clock_us() / 1000);
}

/* What was interrupted all the time is no end that somebody chose. */
static int given_up(int code)
{
    return code == -EINTR ? -EAGAIN : code;
}

/* Waits for events of a stream (-1: none), or for the end. Returns what poll
 * returns of the stream alone, or -EINTR when the end came and the stream is
 * not ready. */
static int wait_for(int stream, short events, int timeout_ms)
{
    enum { STREAM, SIGNALS, OUTPUT, COUNT };
    struct pollfd fds[COUNT] = {
        [STREAM] = {.fd = stream, .events = events},
        [SIGNALS] = {.fd = signals, .events = POLLIN},
        [OUTPUT] = {.fd = signals < 0 ? -1 : OS_STDOUT},
    };
    int n, again = 0;
    do {
        n = poll(fds, COUNT, timeout_ms);
    } while (n < 0 && os_again(-errno, &again));
    if (n < 0)
        return given_up(-errno);
    if (fds[SIGNALS].revents != 0 || fds[OUTPUT].revents != 0) {
        int64_t unseen = 0;
        atomic_compare_exchange_strong(&end_ms, &unseen, now_ms());
        if (fds[STREAM].revents == 0 || events == POLLIN)
            return -EINTR;
    }
    return fds[STREAM].revents != 0;
}

bool os_stream_stopped(void)
{
    if (signals >= 0 && atomic_load(&end_ms) == 0)
        (void)wait_for(-1, 0, 0);
    return atomic_load(&end_ms) != 0;
}

bool os_stream_pause(int timeout_ms)
{
    CHECK(roused >= 0);
    eventfd_t count;
    if (wait_for(roused, POLLIN, timeout_ms) > 0)
        (void)eventfd_read(roused, &count);
    return atomic_load(&end_ms) == 0;
}

void os_stream_rouse(void)
{
    CHECK(roused >= 0);
    (void)eventfd_write(roused, 1);
}

static struct {
    pthread_mutex_t lock;
    int (*end)(void *); /* NULL: the program ends by itself, with: */
    int code;
    void *context;
    int grace_ms;
} watcher = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The lock is never given back: the process ends here. So it does when nobody
 * could tell of the end any more. */
static void *watch(void *unused)
{
    (void)unused;
    while (atomic_load(&end_ms) == 0 && wait_for(-1, 0, -1) == 0)
        ;
    (void)poll(NULL, 0, watcher.grace_ms);
    pthread_mutex_lock(&watcher.lock);
    _exit(watcher.end == NULL ? watcher.code : watcher.end(watcher.context));
}

int os_stream_watch(int grace_ms, int (*end)(void *), void *context)
{
    pthread_t thread;
    CHECK(signals >= 0 && end != NULL && watcher.end == NULL);
    watcher.end = end;
    watcher.context = context;
    watcher.grace_ms = grace_ms;
    int code = os_thread_start(&thread, watch, NULL);
    return code == 0 ? -pthread_detach(thread) : code;
}

void os_stream_leave(int code)
{
    pthread_mutex_lock(&watcher.lock);
    watcher.end = NULL;
    watcher.code = code;
    pthread_mutex_unlock(&watcher.lock);
}

/* ---- reading and writing ---------------------------------------------- */

int os_stream_wait(int stream, int timeout_ms)
{
    for (;;) {
        int n = wait_for(stream, POLLIN, timeout_ms);
        if (n != -EINTR || atomic_load(&end_ms) != 0)
            return n;
    }
}

ssize_t os_stream_read(int stream, void *buffer, size_t size)
{
    for (int again = 0;;) {
        int ready = os_stream_wait(stream, -1);
        if (ready < 0)
            return ready;
        ssize_t n = read(stream, buffer, size);
        if (n >= 0)
            return n;
        if (errno != EAGAIN && !os_again(-errno, &again))
            return given_up(-errno);
    }
}

/* How long a write may still wait; -1: for ever. */
static int patience_ms(int stream)
{
    int64_t seen = atomic_load(&end_ms);
    if (seen == 0)
        return -1;
    int64_t left = seen + WRITE_GRACE_MS - now_ms();
    return stream == OS_STDERR || left < 0 ? 0 : (int)left;
}

static int wait_writable(int stream)
{
    for (;;) {
        int patience = patience_ms(stream), n;
        if (patience < 0) {
            n = wait_for(stream, POLLOUT, -1);
        } else {
            struct pollfd one = {.fd = stream, .events = POLLOUT};
            n = poll(&one, 1, patience);
            if (n == 0)
                return -EINTR;
        }
        if (n > 0)
            return 0;
        if (n < 0 && n != -EINTR)
            return n;
    }
}

/* A pipe that polls writable takes this much without blocking, so that the
 * end is seen between two writes. */
int os_stream_write(int stream, const void *bytes, size_t size)
{
    const char *at = bytes;
    for (int again = 0; size > 0;) {
        int bad = wait_writable(stream);
        if (bad != 0)
            return bad;
        size_t part = size < WRITE_PART_SIZE ? size : WRITE_PART_SIZE;
        ssize_t n = write(stream, at, part);
        if (n >= 0) {
            at += n;
            size -= (size_t)n;
            again = 0;
        } else if (errno != EAGAIN && !os_again(-errno, &again)) {
            return given_up(-errno);
        }
    }
    return 0;
}

/* That there is no memory can be said without any. */
void os_stream_say(const char *line)
{
    char text[WRITE_PART_SIZE];
    size_t size = 0;
    for (slice rest = slice_str(line); rest.size > 0;) {
        if (size + VISIBLE_MAX >= sizeof text) {
            (void)os_stream_write(OS_STDERR, text, size);
            size = 0;
        }
        size += visible_next(&rest, text + size);
    }
    text[size++] = '\n';
    (void)os_stream_write(OS_STDERR, text, size);
}

/* EBADF: it was closed when the program began, or else, given to the program
 * for reading; EIO: its terminal is gone. */
bool os_stream_is_closed(int code)
{
    CHECK(code <= 0);
    return code == -EPIPE || code == -ECONNRESET ||
           (code == -EBADF && output_was_closed) || code == -EIO ||
           code == -EINTR;
}

bool os_stream_is_terminal(int stream)
{
    return isatty(stream) == 1;
}

/* ---- files ------------------------------------------------------------ */

static int slurp(int fd, size_t size_max, buf *out)
{
    size_t start = out->size;
    for (;;) {
        if (!buf_reserve(out, SLURP_STEP_SIZE))
            return -ENOMEM;
        ssize_t n = os_stream_read(fd, out->data + out->size, SLURP_STEP_SIZE);
        if (n <= 0)
            return (int)n;
        out->size += (size_t)n;
        if (out->size - start > size_max)
            return -EFBIG;
    }
}

/* Opening a pipe does not wait for one who writes to it: reading does. */
int os_file_slurp(const char *path, size_t size_max, buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int result = slurp(fd, size_max, out);
    close(fd);
    return result;
}

const char *os_env(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets variables */
    return getenv(name);
}
