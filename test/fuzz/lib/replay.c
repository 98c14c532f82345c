/* SPDX-License-Identifier: MIT */
/* A main for a fuzz target without a fuzzer: runs it over files, so that the
 * corpora are tests for any compiler. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { SECONDS_MAX = 60 };

static char at_work[1024]; /* the file, for whoever finds the process dead */
static unsigned passed, failed;

static bool read_whole(const char *path, buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t got = 1;
    while (got > 0 && buf_reserve(out, 65536)) {
        got = fread(out->data + out->size, 1, 65536, file);
        out->size += got;
    }
    bool whole = feof(file) && !out->failed;
    fclose(file);
    return whole;
}

/* The bytes lie in memory of their very size, for the sanitizers to see. */
static void run_file(const char *path)
{
    buf bytes = {0};
    snprintf(at_work, sizeof at_work, "%s", path);
    if (!read_whole(path, &bytes)) {
        printf("cannot read %s\n", path);
        failed++;
        buf_release(&bytes);
        return;
    }
    uint8_t *exact = malloc(bytes.size == 0 ? 1 : bytes.size);
    CHECK(exact != NULL);
    if (bytes.size > 0)
        memcpy(exact, bytes.data, bytes.size);
    alarm(SECONDS_MAX);
    (void)LLVMFuzzerTestOneInput(exact, bytes.size);
    alarm(0);
    passed++;
    free(exact);
    buf_release(&bytes);
}

static void run_folder(const char *path, DIR *folder)
{
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char file[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        run_file(file);
    }
}

static void on_signal(int number)
{
    static const char head[] = "ended in ";
    bool told = write(STDOUT_FILENO, head, sizeof head - 1) > 0 &&
                write(STDOUT_FILENO, at_work, strlen(at_work)) >= 0 &&
                write(STDOUT_FILENO, "\n", 1) > 0;
    _exit(told ? number : 3);
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    signal(SIGSEGV, on_signal);
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            run_file(argv[i]);
            continue;
        }
        run_folder(argv[i], folder);
        closedir(folder);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
