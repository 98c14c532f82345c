/* SPDX-License-Identifier: MIT */
/* A store in a C program: an order and its read model in one durable commit,
 * an expectation that fails, and the events read back.
 *
 *     usage: events [DIRECTORY] */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <persist.h>

static persist_slice text(const char *s)
{
    return (persist_slice){s, strlen(s)};
}

static int fail(const persist_error *error)
{
    fprintf(stderr, "%s: %s\n", persist_status_code(error->status),
            error->message);
    return 1;
}

/* Both edits happen, or neither; when this returns they are on disk. */
static persist_status take_order(persist_store *store, const char *order,
                                 persist_error *error)
{
    persist_edit edits[] = {
        {.kind = PERSIST_APPEND, .name = text("orders"), .data = text(order)},
        {.kind = PERSIST_PUT, .name = text("last"), .data = text(order)},
    };
    persist_outcome outcome;
    persist_status status =
        persist_commit(store, edits, 2, NULL, &outcome, error);
    if (status != PERSIST_OK)
        return status;
    printf("%s is number %" PRIu64 "\n", order, outcome.seqs[0]);
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    return persist_wait_durable(store, lsn, error);
}

/* Appends only if nobody else did since number `seen`. */
static persist_status append_after(persist_store *store, uint64_t seen,
                                   persist_error *error)
{
    persist_edit edits[] = {
        {.kind = PERSIST_EXPECT_SEQ, .name = text("orders"), .seq = seen},
        {.kind = PERSIST_APPEND, .name = text("orders"), .data = text("cup")},
    };
    persist_outcome outcome;
    persist_status status =
        persist_commit(store, edits, 2, NULL, &outcome, error);
    if (status != PERSIST_OK)
        return status;
    if (outcome.kind == PERSIST_CONFLICT)
        printf("refused: expected number %" PRIu64 ", found %" PRIu64 "\n",
               seen, outcome.actual_seq);
    persist_outcome_release(&outcome);
    return PERSIST_OK;
}

static persist_status print_orders(persist_store *store, persist_error *error)
{
    persist_cursor *cursor;
    const persist_event *event;
    persist_status status =
        persist_read(store, text("orders"), 1, PERSIST_NO_LIMIT,
                     PERSIST_DURABLE, &cursor, error);
    if (status != PERSIST_OK)
        return status;
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK)
        printf("%" PRIu64 ": %.*s\n", event->seq, (int)event->data.size,
               (const char *)event->data.data);
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

int main(int argc, char **argv)
{
    persist_options options = {PERSIST_OPTIONS,
                               .path = argc > 1 ? argv[1] : "events-data",
                               .create = true, .background = true};
    persist_store *store;
    persist_error error;
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        return fail(&error);
    persist_status status = take_order(store, "tea", &error);
    if (status == PERSIST_OK)
        status = take_order(store, "pot", &error);
    if (status == PERSIST_OK)
        status = append_after(store, 1, &error);
    if (status == PERSIST_OK)
        status = print_orders(store, &error);
    if (status != PERSIST_OK)
        (void)fail(&error);
    if (persist_close(store, &error) != PERSIST_OK)
        return fail(&error);
    return status == PERSIST_OK ? 0 : 1;
}
