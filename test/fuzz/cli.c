/* SPDX-License-Identifier: MIT */
/* The tool: any arguments, in a process whose files are the old host's, or a
 * store. The input is arguments, a line each, an empty line, and files
 * (fuzz.h). What an import makes is a store that can be read. */
#include <stdlib.h>
#include <string.h>

#include "../lib/ops.h"
#include "base/visible.h"
#include "lib/fuzz.h"

enum { ARGS_MAX = 12, ARG_SIZE = 200, SPACE_MAX = 64 << 20 };

/* main of src/cli. */
int cli_main(int argc, char **argv);

/* Takes the arguments; they end with an empty one. */
static int take_args(cursor *c, char args[ARGS_MAX][ARG_SIZE], char **argv)
{
    int argc = 1;
    memcpy(args[0], "persist", sizeof "persist");
    argv[0] = args[0];
    while (argc < ARGS_MAX && cursor_left(c) > 0) {
        const uint8_t *end = memchr(c->at, '\n', cursor_left(c));
        if (end == NULL || end == c->at || end - c->at >= ARG_SIZE)
            break;
        slice arg = cursor_bytes(c, (uint64_t)(end - c->at) + 1);
        memcpy(args[argc], arg.data, arg.size);
        args[argc][arg.size - 1] = '\0';
        argv[argc] = args[argc];
        argc++;
    }
    (void)cursor_u8(c);
    argv[argc] = NULL;
    return argc;
}

/* Reads a store that the tool has made. */
static void check_store(const char *dir)
{
    const persist_options options = {PERSIST_OPTIONS, .path = dir};
    persist_store *store;
    buf text = {0};
    persist_error error;
    CHECK(persist_open(&options, &store, &error) == PERSIST_OK);
    CHECK(store_dump(store, PERSIST_LATEST, &text, &error) == PERSIST_OK);
    CHECK(persist_close(store, &error) == PERSIST_OK);
    buf_release(&text);
}

/* What a terminal gets, it shows. */
static void check_output(slice output)
{
    const char *at = output.data;
    for (size_t i = 0; i < output.size;) {
        size_t n = at[i] == '\n' ? 1 : visible_length(at + i, output.size - i);
        CHECK(n > 0);
        i += n;
    }
}

/* A store for the commands that look into one, which is the default. */
static void make_store(void)
{
    static const persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = {"a", 1}, .data = {"{:seq 1}", 8}},
        {.kind = PERSIST_APPEND, .name = {"\xff\n", 2}, .data = {"\0\"", 2}},
        {.kind = PERSIST_APPEND, .name = {"a", 1}, .data = {"nil", 3}},
        {.kind = PERSIST_PUT, .name = {"k", 1}, .data = {"\xc3\xa9", 2}},
        {.kind = PERSIST_PUT, .name = {"k2", 2}, .data = {"", 0}},
    };
    const persist_options options = {PERSIST_OPTIONS, .path = "persist-data",
                                     .create = true};
    persist_store *store;
    persist_error error;
    CHECK(persist_open(&options, &store, &error) == PERSIST_OK);
    CHECK(persist_commit(store, edits, sizeof edits / sizeof *edits, NULL, NULL,
                         &error) == PERSIST_OK);
    CHECK(persist_close(store, &error) == PERSIST_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char args[ARGS_MAX][ARG_SIZE], *argv[ARGS_MAX + 1];
    cursor c = cursor_of(slice_of(data, size));
    int argc = take_args(&c, args, argv);
    fuzz_process *p = &fuzz_process_now;
    p->sim = os_sim_new(1);
    p->looks = 0;
    p->looks_max = UINT32_MAX;
    p->terminal = size % 2 == 0;
    buf_clear(&p->output);
    fuzz_files_load(&c, p->sim);
    if (argc > 1 && strcmp(argv[1], "import") != 0 &&
        os_sim_calls(p->sim, SIM_OPEN) == 0)
        make_store();
    os_sim_limit_space(p->sim, SPACE_MAX);
    int code = cli_main(argc, argv);
    CHECK(code >= 0 && code <= 2);
    if (p->terminal)
        check_output(buf_slice(&p->output));
    if (code == 0 && argc == 5 && strcmp(argv[1], "import") == 0 &&
        strcmp(argv[2], "--legacy") == 0)
        check_store(argv[4]);
    CHECK(os_sim_open_files(p->sim) == 0);
    os_sim_free(p->sim);
    return 0;
}
