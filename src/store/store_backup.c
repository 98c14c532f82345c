/* SPDX-License-Identifier: MIT */
/* The public functions on backups: arguments are checked here, once. */
#include "base/check.h"
#include "base/status.h"
#include "os/os_thread.h"
#include "store/session.h"

static persist_status begin(persist_store *root, persist_backup **out,
                            persist_error *error)
{
    if (root->backend->backup_begin == NULL)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "a store in memory has no files to back up; open one "
                          "on disk");
    persist_status status = root->backend->backup_begin(root, out, error);
    if (status == PERSIST_OK)
        (*out)->process = root->process;
    return status;
}

persist_status persist_backup_begin(persist_store *store, persist_backup **out,
                                    persist_point *point, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    if (out != NULL)
        *out = NULL;
    persist_status status = store_begin(store, &call, error);
    if (status == PERSIST_OK && out == NULL)
        status = args_missing(error, "out");
    if (status != PERSIST_OK)
        return status;
    CHECK(out != NULL);
    status = begin(call.root, out, error);
    CHECK(status != PERSIST_OK || *out != NULL);
    if (status == PERSIST_OK && point != NULL)
        *point = (*out)->point;
    return store_end(store, &call, status);
}

/* What was listed when something failed is not all of it. */
static persist_status check_whole(const persist_backup *b, persist_error *error)
{
    return b->failed == PERSIST_OK
               ? PERSIST_OK
               : status_set(error, b->failed,
                            "this backup has failed; begin another one");
}

persist_status persist_backup_next(persist_backup *backup,
                                   const persist_backup_file **out,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(backup, "backup", error);
    if (status == PERSIST_OK && out == NULL)
        status = args_missing(error, "out");
    if (status == PERSIST_OK)
        status = check_whole(backup, error);
    if (status != PERSIST_OK || backup->ended)
        return status == PERSIST_OK ? PERSIST_NONE : status;
    status = backup->backend->backup_next(backup, out, error);
    backup->begun = status == PERSIST_OK;
    backup->ended = status == PERSIST_NONE;
    backup->failed = status > PERSIST_NONE ? status : PERSIST_OK;
    return status;
}

persist_status persist_backup_read(persist_backup *backup, void *buffer,
                                   size_t size, size_t *got,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(backup, "backup", error);
    if (status == PERSIST_OK && (got == NULL || (buffer == NULL && size > 0)))
        status = args_missing(error, "buffer or got");
    if (status == PERSIST_OK)
        status = check_whole(backup, error);
    if (status == PERSIST_OK && !backup->begun)
        status = status_set(error, PERSIST_BAD_REQUEST,
                            "there is no file in hand; call "
                            "persist_backup_next first");
    if (status != PERSIST_OK)
        return status;
    CHECK(got != NULL);
    *got = 0;
    status = backup->backend->backup_read(backup, buffer, size, got, error);
    backup->failed = status;
    return status;
}

int store_backup_link(const persist_backup *backup, const os_dir *to,
                      const char *name)
{
    CHECK(backup->begun && backup->failed == PERSIST_OK);
    return backup->backend->backup_link(backup, to, name);
}

void persist_backup_end(persist_backup *backup)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(backup))
        backup->backend->backup_end(backup);
}

/* ---- the log ---------------------------------------------------------- */

persist_status persist_ship_begin(persist_store *store, persist_lsn after,
                                  persist_ship **out, persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    if (out != NULL)
        *out = NULL;
    persist_status status = store_begin(store, &call, error);
    if (status == PERSIST_OK && out == NULL)
        status = args_missing(error, "out");
    if (status == PERSIST_OK && call.root->backend->ship_begin == NULL)
        status = status_set(error, PERSIST_BAD_REQUEST,
                            "a store in memory has no log to ship; open one on "
                            "disk");
    if (status != PERSIST_OK)
        return status;
    CHECK(out != NULL && call.root->backend->ship_begin != NULL);
    status = call.root->backend->ship_begin(call.root, after, out, error);
    if (status == PERSIST_OK)
        (*out)->process = store->process;
    return store_end(store, &call, status);
}

persist_status persist_ship_next(persist_ship *ship, uint64_t timeout_ms,
                                 const persist_shipped **out,
                                 persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = STORE_CHECK(ship, "ship of the log", error);
    if (status == PERSIST_OK && out == NULL)
        status = args_missing(error, "out");
    if (status != PERSIST_OK)
        return status;
    os_news *news = ship->backend->news(ship->store);
    os_news_enter(news);
    status = ship->backend->ship_next(ship, timeout_ms, out, error);
    os_news_leave(news);
    if (status == PERSIST_CLOSED)
        status_set(error, status,
                   "the store is about to be closed: waiting has ended");
    return status;
}

void persist_ship_end(persist_ship *ship)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(ship))
        ship->backend->ship_end(ship);
}
