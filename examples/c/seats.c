/* SPDX-License-Identifier: MIT */
/* A decision over many streams without a lock: four clerks, threads of one
 * program, sell the seats of a show, and nobody gets more than two. Each looks
 * in a snapshot, decides, and commits on the condition that nothing which its
 * queries would have found has come since; a board waits for what is booked.
 *
 *     usage: seats [DIRECTORY] */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <persist.h>

enum { CLERKS = 4, PEOPLE = 5, SEATS = 8, SEATS_EACH = 2 };

typedef enum answer { BOOKED, HAS_ENOUGH, SOLD_OUT } answer;

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

/* Counts the events that match one item of a query. */
static persist_status count(persist_store *store,
                            const persist_query_item *item, persist_view view,
                            unsigned *found, persist_error *error)
{
    persist_cursor *cursor;
    const persist_event *event;
    *found = 0;
    persist_status status = persist_query(store, item, 1, 0, PERSIST_NO_LIMIT,
                                          view, &cursor, error);
    if (status != PERSIST_OK)
        return status;
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK)
        (*found)++;
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

/* What a decision rests on. */
typedef struct look {
    unsigned taken, of_person;
    uint64_t position; /* of the newest event that it has seen */
    persist_lsn lsn;   /* of the newest commit */
} look;

/* Both queries are of one state: between two reads of PERSIST_LATEST another
 * clerk could book, and neither number would be wrong alone. */
static persist_status look_at(persist_store *store,
                              const persist_query_item items[2], look *out,
                              persist_error *error)
{
    persist_snapshot *snapshot;
    persist_status status =
        persist_snapshot_open(store, PERSIST_LATEST, &snapshot, error);
    if (status != PERSIST_OK)
        return status;
    out->position = persist_position(store, snapshot);
    out->lsn = persist_snapshot_lsn(snapshot);
    status = count(store, &items[0], snapshot, &out->taken, error);
    if (status == PERSIST_OK)
        status = count(store, &items[1], snapshot, &out->of_person, error);
    persist_snapshot_close(snapshot);
    return status;
}

/* Books the next seat, and waits until that is on disk. *done is false, and
 * nothing was booked, when another clerk was faster. */
static persist_status commit(persist_store *store,
                             const persist_query_item items[2],
                             const persist_slice tags[2], const look *seen,
                             bool *done, persist_error *error)
{
    char seat[16];
    snprintf(seat, sizeof seat, "%u", seen->taken + 1);
    const persist_edit edits[] = {
        {.kind = PERSIST_EXPECT_NONE,
         .query = items,
         .query_count = 2,
         .seq = seen->position},
        {.kind = PERSIST_APPEND,
         .name = text("show/7"),
         .data = text(seat),
         .tags = tags,
         .tag_count = 2,
         .type = text("booked")},
    };
    persist_outcome outcome;
    persist_status status =
        persist_commit(store, edits, 2, NULL, &outcome, error);
    if (status != PERSIST_OK)
        return status;
    *done = outcome.kind == PERSIST_COMMITTED;
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    return persist_wait_durable(store, lsn, error);
}

static persist_status book(persist_store *store, const char *person,
                           answer *out, persist_error *error)
{
    const persist_slice tags[] = {text("show:7"), text(person)};
    const persist_slice booked = text("booked");
    const persist_query_item items[] = {
        {.tags = &tags[0], .tag_count = 1, .types = &booked, .type_count = 1},
        {.tags = &tags[1], .tag_count = 1, .types = &booked, .type_count = 1},
    };
    for (bool done = false; !done;) {
        look seen;
        persist_status status = look_at(store, items, &seen, error);
        if (status != PERSIST_OK)
            return status;
        *out = seen.taken >= SEATS            ? SOLD_OUT
               : seen.of_person >= SEATS_EACH ? HAS_ENOUGH
                                              : BOOKED;
        /* who is told no is told by what must not be lost either */
        if (*out != BOOKED)
            return persist_wait_durable(store, seen.lsn, error);
        status = commit(store, items, tags, &seen, &done, error);
        if (status != PERSIST_OK)
            return status;
    }
    return PERSIST_OK;
}

static void *clerk(void *context)
{
    persist_store *store = context;
    persist_error error;
    answer said = BOOKED;
    for (unsigned i = 0; said != SOLD_OUT; i++) {
        char person[32];
        snprintf(person, sizeof person, "person:%u", i % PEOPLE);
        if (book(store, person, &said, &error) != PERSIST_OK) {
            (void)fail(&error);
            persist_end_waits(store); /* the board waits for no more */
            return NULL;
        }
    }
    return store;
}

/* Shows what was booked above a position, which it moves on. */
static persist_status show(persist_store *store, uint64_t *position,
                           unsigned *shown, persist_error *error)
{
    const persist_slice tag = text("show:7");
    const persist_query_item item = {.tags = &tag, .tag_count = 1};
    persist_cursor *cursor;
    const persist_event *event;
    persist_status status =
        persist_query(store, &item, 1, *position + 1, PERSIST_NO_LIMIT,
                      PERSIST_DURABLE, &cursor, error);
    if (status != PERSIST_OK)
        return status;
    while ((status = persist_next_event(cursor, &event, error)) == PERSIST_OK) {
        printf("seat %.*s is taken\n", (int)event->data.size,
               (const char *)event->data.data);
        *position = event->position;
        (*shown)++;
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static void *board(void *context)
{
    persist_store *store = context;
    persist_error error;
    uint64_t position = 0, newest;
    unsigned shown = 0;
    while (shown < SEATS) {
        persist_status status = persist_wait_position(
            store, position, PERSIST_FOREVER, &newest, &error);
        if (status == PERSIST_OK)
            status = show(store, &position, &shown, &error);
        if (status != PERSIST_OK) {
            (void)fail(&error);
            return NULL;
        }
        if (position < newest)
            position = newest;
    }
    return store;
}

/* Returns how many threads did all of their work. */
static unsigned run(persist_store *store)
{
    pthread_t threads[CLERKS + 1];
    unsigned started = 0, done = 0;
    while (started <= CLERKS &&
           pthread_create(&threads[started], NULL, started == 0 ? board : clerk,
                          store) == 0)
        started++;
    if (started <= 1)
        persist_end_waits(store);
    for (unsigned i = started; i-- > 0;) {
        void *result;
        if (pthread_join(threads[i], &result) == 0 && result != NULL)
            done++;
    }
    return done;
}

/* Tells what was sold, and how much of it one person has. */
static persist_status tell(persist_store *store, persist_error *error)
{
    unsigned sold = 0, most = 0;
    persist_status status = PERSIST_OK;
    for (unsigned i = 0; i < PEOPLE && status == PERSIST_OK; i++) {
        char person[32];
        snprintf(person, sizeof person, "person:%u", i);
        const persist_slice tag = text(person);
        const persist_query_item item = {.tags = &tag, .tag_count = 1};
        unsigned has;
        status = count(store, &item, PERSIST_DURABLE, &has, error);
        sold += has;
        most = has > most ? has : most;
    }
    if (status == PERSIST_OK)
        printf("%u seats are sold, nobody has more than %u\n", sold, most);
    return status;
}

int main(int argc, char **argv)
{
    persist_options options = {PERSIST_OPTIONS,
                               .path = argc > 1 ? argv[1] : "seats-data",
                               .create = true, .background = true};
    persist_store *store;
    persist_error error;
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        return fail(&error);
    unsigned done = run(store);
    if (tell(store, &error) != PERSIST_OK) {
        (void)fail(&error);
        done = 0;
    }
    if (persist_close(store, &error) != PERSIST_OK)
        return fail(&error);
    return done == CLERKS + 1 ? 0 : 1;
}
