/* SPDX-License-Identifier: MIT */
/* Runs one piece of work in a process of its own, so that its memory and its
 * writes are its own, and watches it from outside. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static cell *share(const cell *c)
{
    cell *shared = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(shared != MAP_FAILED, "mmap", NULL);
    *shared = *c;
    return shared;
}

static pid_t start(cell *shared, void (*work)(cell *))
{
    (void)payload(0); /* made once, before the processes part */
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0, "fork", NULL);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the program */
        work(shared);
        shared->written = written_bytes();
        _exit(0);
    }
    return child;
}

/* Takes the peaks: VmRSS, and of it what is not a mapped file. */
static void watch(cell *shared, pid_t child)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)child);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return; /* just ended */
    while (fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        double mb = colon == NULL ? 0 : strtod(colon + 1, NULL) / 1024;
        if (strncmp(line, "RssAnon", 7) == 0 && mb > shared->anonymous_mb)
            shared->anonymous_mb = mb;
        if (strncmp(line, "VmRSS", 5) == 0 && mb > shared->resident_mb)
            shared->resident_mb = mb;
    }
    fclose(f);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

void cell_run(cell *c, void (*work)(cell *))
{
    int status = 0;
    cell *shared = share(c);
    pid_t child = start(shared, work);
    while (waitpid(child, &status, WNOHANG) == 0) {
        watch(shared, child);
        pause_ms(10);
    }
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0, c->engine->name,
         "the work did not end well");
    *c = *shared;
    munmap(shared, sizeof *shared);
}

void cell_kill(cell *c, void (*work)(cell *), double at)
{
    int status = 0;
    cell *shared = share(c);
    pid_t child = start(shared, work);
    volatile const double *done = &shared->result[0];
    while (*done < at && waitpid(child, &status, WNOHANG) == 0)
        pause_ms(1);
    must(*done >= at, c->engine->name, "ended before it could be killed");
    must(kill(child, SIGKILL) == 0, "kill", NULL);
    must(waitpid(child, &status, 0) == child, "wait", NULL);
    must(WIFSIGNALED(status), c->engine->name, "was not killed in time");
    *c = *shared;
    munmap(shared, sizeof *shared);
}
