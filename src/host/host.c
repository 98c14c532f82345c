/* SPDX-License-Identifier: MIT */
/* The drive loop: run the machine, answer its requests, run it again. */
#include "host/host_private.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "os/os.h"
#include "store/store.h"

enum { OP_SHOWN_MAX = 200 }; /* bytes of an unknown op in its error */

persist_status host_check(const host_options *options, persist_error *error)
{
    return store_disk_check(&options->store, error);
}

static const os *system_of_host(const host *h)
{
    const os *given = h->options.store.os;
    return given == NULL ? os_posix() : given;
}

host *host_open(const host_options *options)
{
    CHECK((unsigned)options->unknown <= HOST_UNKNOWN_BRIDGE);
    CHECK(options->store.path != NULL);
    host *h = mem_alloc_zero(sizeof *h);
    if (h == NULL)
        return NULL;
    h->options = *options;
    const os *sys = system_of_host(h);
    uint64_t *seed = &h->options.machine.hash_seed;
    if (*seed != 0 || sys->random(sys, seed, sizeof *seed) == 0)
        (void)sx_open(&h->options.machine, &h->machine, NULL);
    if (h->machine == NULL) {
        mem_free(h);
        return NULL;
    }
    pthread_mutex_init(&h->opening, NULL);
    arena_pool_init(&h->pool, 0, NULL);
    h->index = arena_of(&h->pool);
    return h;
}

persist_status host_close(host *h, persist_error *error)
{
    if (h == NULL)
        return PERSIST_OK;
    persist_status status = host_close_store(h, error);
    sx_close(h->machine);
    sx_out_release(&h->text);
    sx_out_release(&h->type_text);
    arena_release(&h->index);
    arena_pool_release(&h->pool);
    pthread_mutex_destroy(&h->opening);
    mem_free(h);
    return status;
}

void host_load(host *h, slice text)
{
    sx_load(h->machine, text);
    if (h->session != NULL)
        (void)persist_resync(h->session, NULL);
    h->waits = false;
    h->state = HOST_RUNNING;
}

static void refuse(host *h, persist_status status, const char *message,
                   slice op)
{
    op_call call = {.host = h, .machine = h->machine, .op = op};
    char shown[OP_SHOWN_MAX + 4];
    utf8_shorten(op.data, op.size, OP_SHOWN_MAX, shown);
    status_set(&call.error, status, "%s%s", message, shown);
    if (op.size > OP_SHOWN_MAX)
        call.op = slice_str(shown);
    call_raise(&call);
}

/* Answers the suspended request; false when it is for somebody outside. */
static bool answer(host *h)
{
    sx *m = h->machine;
    sx_value request = sx_request(m);
    sx_value op, args = sx_nil();
    if (sx_type_of(request) != SX_DICT ||
        !sx_dict_find(m, request, slice_str("op"), &op) ||
        sx_type_of(op) != SX_STRING) {
        refuse(h, PERSIST_BAD_REQUEST,
               "perform wants a dict {:op \"name\" :args (...)}",
               slice_of(NULL, 0));
        return true;
    }
    const op_row *row = op_find(sx_bytes(op));
    if (row != NULL) {
        (void)sx_dict_find(m, request, slice_str("args"), &args);
        host_dispatch(h, row, args);
    } else if (h->options.unknown == HOST_UNKNOWN_NIL) {
        sx_resume(m, sx_nil());
    } else if (h->options.unknown == HOST_UNKNOWN_BRIDGE) {
        return false;
    } else {
        refuse(h, PERSIST_UNKNOWN_OP, "this host does not own the op ",
               sx_bytes(op));
    }
    return true;
}

host_state host_run(host *h, uint64_t steps)
{
    CHECK(h->state == HOST_RUNNING || h->state == HOST_WAITING);
    h->state = HOST_RUNNING;
    for (;;) {
        switch (sx_run(h->machine, steps)) {
        case SX_SUSPENDED:
            if (!answer(h))
                return h->state = HOST_BRIDGE;
            if (h->waits)
                return h->state = HOST_WAITING;
            if (steps == 0)
                break;
            return HOST_RUNNING;
        case SX_DONE:
            return h->state = HOST_DONE;
        case SX_FAILED:
            return h->state = HOST_FAILED;
        case SX_READY:
            return HOST_RUNNING;
        case SX_IDLE:
            return h->state = HOST_IDLE;
        }
    }
}

uint64_t host_clock_us(const host *h)
{
    const os *sys = system_of_host(h);
    return sys->clock_us(sys);
}

int host_wait_ms(const host *h)
{
    uint64_t now = host_clock_us(h), until = h->waits_until_us;
    return now >= until ? 0 : (int)((until - now + 999) / 1000);
}

sx_value host_value(const host *h)
{
    switch (h->state) {
    case HOST_DONE:
        return sx_result(h->machine);
    case HOST_FAILED:
        return sx_failure(h->machine);
    case HOST_BRIDGE:
        return sx_request(h->machine);
    default:
        return sx_nil();
    }
}

void host_answer(host *h, sx_value value)
{
    CHECK(h->state == HOST_BRIDGE);
    sx_resume(h->machine, value);
    h->state = HOST_RUNNING;
}

void host_refuse(host *h, const persist_error *error)
{
    CHECK(h->state == HOST_BRIDGE);
    op_call call = {.host = h, .machine = h->machine, .error = *error};
    call_raise(&call);
    h->state = HOST_RUNNING;
}

persist_lsn host_rests(const host *h)
{
    return h->rests;
}

void host_forget(host *h)
{
    h->rests = 0;
}

persist_lsn host_durable(const host *h)
{
    persist_store *store = h->store;
    return store == NULL ? h->durable_before : persist_durable(store);
}

persist_status host_sync(host *h, persist_lsn lsn, persist_error *error)
{
    persist_store *store = h->store;
    CHECK(store != NULL || lsn <= h->durable_before);
    return store == NULL ? PERSIST_OK : persist_wait_durable(store, lsn, error);
}

persist_status host_settle(host *h, persist_error *error)
{
    pthread_mutex_lock(&h->opening);
    persist_status status = host_sync(h, h->highest, error);
    pthread_mutex_unlock(&h->opening);
    return status;
}

sx *host_machine(host *h)
{
    return h->machine;
}
