/* SPDX-License-Identifier: MIT */
/* Runs test files written in SX: sx_run [options] FILE...
 *
 * Every file gets a machine of its own, which first loads harness.sx. A file
 * is run form by form, so that one raise outside a check is one failure and
 * not the end. The last line is "N passed, N failed"; the exit code is 1 on
 * any failure and for a file without a check.
 *
 * Options: --harness FILE (default test/sx/harness.sx), --scale N (how large
 * the large tests are, default 1000000), --heap BYTES and --depth N (limits of
 * the machine; by default they shrink with the scale, so that a build that
 * collects at every step is not there all day).
 *
 * What a program may perform: test/echo (x) returns x; test/raise (x) raises
 * x; test/collect () collects; test/capture () begins to keep printed text and
 * test/captured () ends it and returns the text; test/heap () is the bytes in
 * use; test/run (text) runs a text in a machine of its own and returns
 * ("value" printed) or ("failed" message). Everything else raises unknown-op,
 * as a host does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sx.h"

struct config {
    const char *harness;
    int64_t scale;
    size_t heap_max, depth_max;
};

struct text {
    char *data;
    size_t size, capacity;
};

struct runner {
    const struct config *config;
    sx *machine;
    const char *path;
    int64_t raised; /* forms that ended in an error */
    bool capturing;
    struct text captured;
};

static _Noreturn void die(const char *what, const char *name)
{
    fprintf(stderr, "sx_run: %s: %s\n", what, name);
    exit(2);
}

static void text_add(struct text *t, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (t->capacity - t->size < size) {
        t->capacity = (t->capacity + size) * 2;
        t->data = realloc(t->data, t->capacity);
        if (t->data == NULL)
            die("out of memory", "text");
    }
    memcpy(t->data + t->size, data, size);
    t->size += size;
}

static struct text read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        die("cannot open", path);
    struct text t = {0};
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        text_add(&t, block, n);
    if (ferror(file))
        die("cannot read", path);
    fclose(file);
    return t;
}

static persist_slice str(const char *s)
{
    return (persist_slice){s, strlen(s)};
}

static bool is(persist_slice s, const char *name)
{
    return s.size == strlen(name) && memcmp(s.data, name, s.size) == 0;
}

static void on_write(void *context, persist_slice bytes)
{
    struct runner *r = context;
    if (r->capturing)
        text_add(&r->captured, bytes.data, bytes.size);
    else
        fwrite(bytes.data, 1, bytes.size, stdout);
}

/* Raises {:error code :message op :op op}. */
static void raise_status(struct runner *r, persist_status status,
                         persist_slice op)
{
    sx_value error, name;
    if (!sx_make_error(r->machine, status, op, &error) ||
        !sx_make_string(r->machine, op, &name) ||
        !sx_dict_set(r->machine, error, str("op"), name))
        die("no memory for an error in", r->path);
    sx_raise(r->machine, error);
}

static void resume_number(struct runner *r, size_t number)
{
    sx_value answer;
    if (!sx_make_integer(r->machine, (int64_t)number, &answer))
        die("no memory for an answer in", r->path);
    sx_resume(r->machine, answer);
}

static void resume_captured(struct runner *r)
{
    sx_value answer;
    persist_slice bytes = {r->captured.data, r->captured.size};
    if (!sx_make_string(r->machine, bytes, &answer))
        die("no memory for an answer in", r->path);
    r->capturing = false;
    r->captured.size = 0;
    sx_resume(r->machine, answer);
}

static sx_state drive(struct runner *r, persist_slice text);

static struct runner runner_make(const struct config *config, const char *path)
{
    return (struct runner){.config = config, .path = path};
}

/* The runner must stay where it is: the machine writes through it. */
static void runner_open(struct runner *r)
{
    sx_options options = {SX_OPTIONS, .heap_max = r->config->heap_max,
                          .depth_max = r->config->depth_max, .write = on_write,
                          .write_context = r};
    if (sx_open(&options, &r->machine, NULL) != PERSIST_OK)
        die("cannot make a machine for", r->path);
}

static void runner_close(struct runner *r)
{
    sx_close(r->machine);
    free(r->captured.data);
}

/* Runs a text in a machine of its own and tells what became of it. */
static void resume_run(struct runner *r, sx_value text)
{
    struct runner inner = runner_make(r->config, "test/run");
    sx_out out = {0};
    sx_value list, word, printed;
    runner_open(&inner);
    bool done = drive(&inner, sx_bytes(text)) == SX_DONE;
    persist_status status =
        done ? sx_print(inner.machine, sx_result(inner.machine), 0, &out, NULL)
             : sx_print_failure(inner.machine, sx_failure(inner.machine), &out,
                                NULL);
    persist_slice bytes = {out.data, out.size};
    if (status != PERSIST_OK || !sx_make_list(r->machine, 2, &list) ||
        !sx_make_string(r->machine, str(done ? "value" : "failed"), &word) ||
        !sx_make_string(r->machine, bytes, &printed) ||
        !sx_list_push(r->machine, list, word) ||
        !sx_list_push(r->machine, list, printed))
        die("cannot report the outcome of", inner.path);
    sx_resume(r->machine, list);
    sx_out_release(&out);
    runner_close(&inner);
}

/* Answers what the program performed. */
static void answer(struct runner *r)
{
    sx *m = r->machine;
    sx_value request = sx_request(m), op, args;
    sx_value first = sx_nil();
    if (sx_type_of(request) != SX_DICT ||
        !sx_dict_find(m, request, str("op"), &op) ||
        sx_type_of(op) != SX_STRING) {
        raise_status(r, PERSIST_BAD_REQUEST, str("no op"));
        return;
    }
    if (sx_dict_find(m, request, str("args"), &args) &&
        sx_type_of(args) == SX_LIST && sx_list_size(args) > 0)
        first = sx_list_at(args, 0);
    persist_slice name = sx_bytes(op);
    if (is(name, "test/echo")) {
        sx_resume(m, first);
    } else if (is(name, "test/raise")) {
        sx_raise(m, first);
    } else if (is(name, "test/collect")) {
        sx_collect(m, NULL, 0);
        sx_resume(m, sx_nil());
    } else if (is(name, "test/capture")) {
        r->capturing = true;
        sx_resume(m, sx_nil());
    } else if (is(name, "test/captured")) {
        resume_captured(r);
    } else if (is(name, "test/heap")) {
        resume_number(r, sx_heap_used(m));
    } else if (is(name, "test/run") && sx_type_of(first) == SX_STRING) {
        resume_run(r, first);
    } else {
        raise_status(r, PERSIST_UNKNOWN_OP, name);
    }
}

static sx_state drive(struct runner *r, persist_slice text)
{
    sx_state state = sx_load(r->machine, text);
    while (state == SX_READY || state == SX_SUSPENDED) {
        if (state == SX_SUSPENDED)
            answer(r);
        state = sx_run(r->machine, 0);
    }
    return state;
}

/* The end of the byte, string, raw string or comment that begins here. */
static const char *skip_quoted(const char *at, const char *end)
{
    if (*at == ';') {
        while (at < end && *at != '\n')
            at++;
    } else if (*at == '"') {
        for (at++; at < end && *at != '"'; at++)
            if (*at == '\\')
                at++;
        at++;
    } else if (*at == '#' && end - at > 1 && at[1] == '|') {
        for (at += 2; at < end && *at != '|'; at++)
            ;
        at++;
    } else {
        at++;
    }
    return at < end ? at : end;
}

/* The end of the next top-level form; every such form is a bracketed one. */
static const char *form_end(const char *at, const char *end)
{
    int depth = 0;
    while (at < end) {
        char c = *at;
        at = skip_quoted(at, end);
        if (c == '(' || c == '[' || c == '{')
            depth++;
        else if ((c == ')' || c == ']' || c == '}') && --depth == 0)
            return at;
    }
    return end;
}

static void report_raise(struct runner *r, size_t line)
{
    sx_out out = {0};
    r->raised++;
    if (sx_print_failure(r->machine, sx_failure(r->machine), &out, NULL) !=
        PERSIST_OK)
        out.size = 0;
    printf("%s:%zu: raised %.*s\n", r->path, line, (int)out.size,
           out.size > 0 ? out.data : "");
    sx_out_release(&out);
}

static void run_text(struct runner *r, struct text t)
{
    const char *at = t.data, *end = t.data + t.size;
    size_t line = 1;
    while (at < end) {
        const char *next = form_end(at, end);
        if (drive(r, (persist_slice){at, (size_t)(next - at)}) != SX_DONE)
            report_raise(r, line);
        for (; at < next; at++)
            line += *at == '\n';
    }
}

static int64_t counter(struct runner *r, const char *name)
{
    sx_value value;
    if (!sx_lookup(r->machine, str(name), &value) ||
        sx_type_of(value) != SX_INTEGER)
        die("the harness lost its counter", name);
    return sx_integer(value);
}

static void define_scale(struct runner *r, int64_t scale)
{
    sx_value value;
    if (!sx_make_integer(r->machine, scale, &value) ||
        !sx_define(r->machine, str("scale"), value))
        die("cannot define", "scale");
}

static void run_path(struct runner *r, const char *path)
{
    struct text t = read_file(path);
    r->path = path;
    run_text(r, t);
    free(t.data);
}

static void run_file(const struct config *config, const char *path,
                     int64_t *passed, int64_t *failed)
{
    struct runner r = runner_make(config, path);
    runner_open(&r);
    define_scale(&r, config->scale);
    run_path(&r, config->harness);
    if (r.raised > 0)
        die("the harness does not load", config->harness);
    run_path(&r, path);
    int64_t pass = counter(&r, "check-passed");
    int64_t fail = counter(&r, "check-failed") + r.raised;
    if (pass + fail == 0) {
        printf("%s: ran no check\n", path);
        fail = 1;
    }
    printf("%s: %lld passed, %lld failed\n", path, (long long)pass,
           (long long)fail);
    *passed += pass;
    *failed += fail;
    runner_close(&r);
}

/* Takes one option and its number; false if it is none. */
static bool take_option(struct config *config, const char *name,
                        const char *value)
{
    if (strcmp(name, "--harness") == 0)
        config->harness = value;
    else if (strcmp(name, "--scale") == 0)
        config->scale = strtoll(value, NULL, 10);
    else if (strcmp(name, "--heap") == 0)
        config->heap_max = strtoull(value, NULL, 10);
    else if (strcmp(name, "--depth") == 0)
        config->depth_max = strtoull(value, NULL, 10);
    else
        return false;
    return true;
}

static int64_t at_least(int64_t n, int64_t least)
{
    return n > least ? n : least;
}

static void set_limits(struct config *config)
{
    if (config->heap_max == 0)
        config->heap_max = (size_t)at_least(config->scale * 256, 2 << 20);
    if (config->depth_max == 0)
        config->depth_max = (size_t)at_least(config->scale, 1000);
}

int main(int argc, char **argv)
{
    struct config config = {"test/sx/harness.sx", 1000000, 0, 0};
    int64_t passed = 0, failed = 0;
    int files = 0, i = 1;
    while (i + 1 < argc && take_option(&config, argv[i], argv[i + 1]))
        i += 2;
    set_limits(&config);
    for (; i < argc; i++, files++)
        run_file(&config, argv[i], &passed, &failed);
    if (files == 0)
        die("usage", "sx_run [--scale N] [--heap N] [--depth N] FILE...");
    printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
    return failed == 0 ? 0 : 1;
}
