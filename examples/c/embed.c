/* SPDX-License-Identifier: MIT */
/* The language in a C program: an SX program performs an op that this program
 * owns, and goes on with the answer.
 *
 *     usage: embed */
#include <stdio.h>
#include <string.h>

#include <sx.h>

static persist_slice text(const char *s)
{
    return (persist_slice){s, strlen(s)};
}

/* Answers {:op "celsius" :args (fahrenheit)}; any other op is an error. */
static void answer(sx *m)
{
    sx_value op, args, result;
    if (sx_dict_find(m, sx_request(m), text("op"), &op) &&
        sx_dict_find(m, sx_request(m), text("args"), &args) &&
        sx_type_of(op) == SX_STRING && sx_type_of(args) == SX_LIST &&
        sx_list_size(args) == 1 &&
        sx_type_of(sx_list_at(args, 0)) == SX_INTEGER &&
        sx_bytes(op).size == strlen("celsius") &&
        memcmp(sx_bytes(op).data, "celsius", sx_bytes(op).size) == 0) {
        int64_t f = sx_integer(sx_list_at(args, 0));
        if (sx_make_integer(m, (f - 32) * 5 / 9, &result)) {
            sx_resume(m, result);
            return;
        }
    }
    if (!sx_make_error(m, PERSIST_UNKNOWN_OP, text("celsius is all I know"),
                       &result))
        result = sx_nil();
    sx_raise(m, result);
}

static int run(sx *m, const char *program)
{
    sx_out out = {0};
    persist_error error;
    sx_load(m, text(program));
    sx_state state;
    while ((state = sx_run(m, 0)) == SX_SUSPENDED)
        answer(m);
    persist_status status =
        state == SX_DONE ? sx_print(m, sx_result(m), 0, &out, &error)
                         : sx_print_failure(m, sx_failure(m), &out, &error);
    if (status != PERSIST_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("%.*s\n", (int)out.size, out.data);
    sx_out_release(&out);
    return state == SX_DONE ? 0 : 1;
}

int main(void)
{
    sx *m;
    persist_error error;
    if (sx_open(NULL, &m, &error) != PERSIST_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int code = run(m, "(map (fn (f) (perform {:op \"celsius\" :args (list f)}))"
                      "     (list 32 50 212))");
    code |= run(m, "(guard (e (else (get e :message)))"
                   "  (perform {:op \"kelvin\" :args (list 0)}))");
    sx_close(m);
    return code;
}
