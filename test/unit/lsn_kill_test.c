/* SPDX-License-Identifier: MIT */
/* One directory of the real system, whose process is killed again and again:
 * what it has told of its commits stays true. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "persist.h"

enum { ROUNDS = 24, COMMITS_MAX = 6, LSNS_MAX = ROUNDS * COMMITS_MAX };

/* What a process says of one of its commits, before it is killed. */
typedef struct told {
    persist_lsn lsn;
    int id;
    bool durable;
} told;

static told all[LSNS_MAX];
static bool lost[LSNS_MAX]; /* said once */
static int count;
static os_dir *folder;

static persist_store *open_store(void)
{
    char store[64];
    persist_store *out = NULL;
    snprintf(store, sizeof store, "%s/store", folder->path);
    /* tables, too, and a thread that makes them */
    persist_options options = {PERSIST_OPTIONS,      .path = store,
                               .create = true,       .background = true,
                               .segment_size = 4096, .memtable_size = 2000};
    return persist_open(&options, &out, NULL) == PERSIST_OK ? out : NULL;
}

/* The process: commits, each with an id, and waits for some. */
static void work(int round, int out)
{
    persist_store *store = open_store();
    for (int i = 0; store != NULL && i < COMMITS_MAX; i++) {
        char name[32];
        told t = {.id = round * COMMITS_MAX + i};
        int size = snprintf(name, sizeof name, "id %d", t.id);
        persist_edit edit = {.kind = PERSIST_PUT, .name = {"k", 1}};
        persist_once once = {{name, (size_t)size}, {0}};
        persist_outcome outcome;
        if (persist_commit(store, &edit, 1, &once, &outcome, NULL) !=
            PERSIST_OK)
            break;
        t.lsn = outcome.lsn;
        t.durable = (round + i) % 3 == 0 &&
                    persist_wait_durable(store, t.lsn, NULL) == PERSIST_OK;
        persist_outcome_release(&outcome);
        if (write(out, &t, sizeof t) != (ssize_t)sizeof t)
            break;
    }
    kill(getpid(), SIGKILL);
}

static void run_round(int round)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        work(round, ends[1]);
        _exit(1);
    }
    close(ends[1]);
    int before = count;
    while (read(ends[0], &all[count], sizeof *all) == (ssize_t)sizeof *all)
        count++;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && count == before + COMMITS_MAX);
}

static bool has_id(persist_store *store, int id)
{
    char name[32];
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_outcome outcome;
    int size = snprintf(name, sizeof name, "id %d", id);
    persist_status status = persist_once_find(
        store, (persist_slice){name, (size_t)size}, print, &outcome, NULL);
    persist_outcome_release(&outcome);
    return status == PERSIST_OK;
}

static void check_all(persist_store *store)
{
    for (int i = 0; i < count; i++) {
        persist_status status = persist_wait_durable(store, all[i].lsn, NULL);
        bool there = has_id(store, all[i].id);
        assert_int_equal(status, there ? PERSIST_OK : PERSIST_LOST);
        assert_false(all[i].durable && !there);
        assert_false(lost[i] && there);
        lost[i] = !there;
    }
}

static void what_was_told_of_commits_stays_true(void **state)
{
    (void)state;
    folder = folder_make("lsn");
    for (int round = 0; round < ROUNDS; round++) {
        run_round(round);
        for (int i = 1; i < count; i++)
            assert_true(all[i].lsn > all[i - 1].lsn);
        persist_store *store = open_store();
        assert_non_null(store);
        check_all(store);
        assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    }
    int gone = 0;
    for (int i = 0; i < count; i++)
        gone += lost[i];
    print_message("figure: %d kills, %d commits, %d of them lost\n", ROUNDS,
                  count, gone);
    assert_true(gone > 0 && gone < count);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_of_commits_stays_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
