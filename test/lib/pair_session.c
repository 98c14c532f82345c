/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: sessions of the one under test, and what it tells
 * of its syncs. A session is one more handle until a sync fails; then those are
 * lost that made or saw what was not durable, and no others. */
#include <errno.h>

#include "engine/files/files.h"
#include "os_sim_disk.h"
#include "pair.h"

static void note_told(void *context)
{
    _Atomic uint64_t *count = context;
    atomic_fetch_add(count, 1);
}

void pair_listen(pair *p)
{
    p->told = p->told_before = 0;
    p->durable_before = persist_durable(p->disk);
    persist_notify(p->disk, note_told, &p->told);
}

/* Of threads that sync a test knows nothing. */
void pair_check_told(pair *p)
{
    if (p->sim == NULL || p->disk == NULL || p->failed != NULL)
        return;
    uint64_t told = atomic_load(&p->told);
    persist_lsn durable = persist_durable(p->disk);
    if ((durable > p->durable_before) != (told > p->told_before))
        pair_fail(p, "notify",
                  told > p->told_before ? "told, and nothing is durable"
                                        : "nobody was told of a sync");
    p->told_before = told;
    p->durable_before = durable;
    p->checks++;
}

/* ---- one more handle ---------------------------------------------------- */

static pair_session *any_session(pair *p)
{
    return &p->sessions[pair_draw(p, PAIR_SESSIONS)];
}

persist_store *pair_hand(pair *p)
{
    pair_session *s = any_session(p);
    return pair_draw(p, 3) == 0 && s->disk != NULL ? s->disk : p->disk;
}

static void close_session(pair *p, pair_session *s)
{
    persist_error error;
    if (s->disk != NULL && persist_close(s->disk, &error) != PERSIST_OK)
        pair_fail(p, "closing a session", error.message);
    *s = (pair_session){0};
}

void pair_do_session(pair *p)
{
    pair_session *s = any_session(p);
    persist_store *over = pair_hand(p);
    persist_error error = {0};
    persist_status status = PERSIST_OK;
    if (s->disk == NULL)
        status = persist_session(over, &s->disk, &error);
    else if (pair_draw(p, 2) == 0)
        close_session(p, s);
    else
        status = persist_resync(s->disk, &error);
    if (status != PERSIST_OK)
        pair_fail(p, "a session", error.message);
    p->checks++;
}

void pair_end_sessions(pair *p)
{
    for (size_t i = 0; i < PAIR_SESSIONS; i++)
        close_session(p, &p->sessions[i]);
}

/* ---- a sync that fails -------------------------------------------------- */

void pair_all_is_durable(pair *p)
{
    for (size_t i = 0; i < PAIR_SESSIONS; i++)
        p->sessions[i].seen = 0;
}

/* Somebody reads, or begins anew. */
static void look(pair *p, pair_session *s)
{
    persist_view view = PERSIST_LATEST;
    persist_snapshot *kept = NULL;
    persist_lsn newest = persist_latest(p->disk);
    switch (pair_draw(p, 4)) {
    case 0:
        newest = s->seen;
        view = PERSIST_DURABLE;
        break;
    case 1: /* it is the store's, so only reading in it is seeing */
        if (persist_snapshot_open(p->disk, view, &kept, NULL) == PERSIST_OK)
            view = kept;
        break;
    case 2:
        persist_resync(s->disk, NULL);
        s->seen = 0;
        return;
    default:
        break;
    }
    if (persist_has(s->disk, pair_any_name(p), view, NULL) > PERSIST_NONE)
        pair_fail(p, "a session", "a read fails");
    s->seen = newest;
    persist_snapshot_close(kept);
}

persist_store *pair_hand_seen(pair *p, persist_lsn next)
{
    pair_session *s = any_session(p);
    if (s->disk != NULL)
        look(p, s);
    s = any_session(p);
    if (s->disk == NULL || pair_draw(p, 3) == 0)
        return p->disk;
    s->seen = next;
    return s->disk;
}

static void check_session(pair *p, pair_session *s, persist_lsn durable)
{
    const persist_edit edit = {.kind = PERSIST_PUT, .name = slice_str("k")};
    bool lost = s->seen > durable;
    persist_status reads =
        persist_has(s->disk, edit.name, PERSIST_DURABLE, NULL);
    persist_status writes = persist_commit(s->disk, &edit, 1, NULL, NULL, NULL);
    if (lost != (reads == PERSIST_LOST) || (!lost && reads > PERSIST_NONE))
        pair_fail(p, "a session after a failed sync",
                  lost ? "it has lost something, and reads"
                       : "it has lost nothing, and does not read");
    if (writes != (lost ? PERSIST_LOST : PERSIST_READ_ONLY))
        pair_fail(p, "a session after a failed sync", "what a commit says");
    if (persist_resync(s->disk, NULL) != PERSIST_OK ||
        persist_has(s->disk, edit.name, PERSIST_LATEST, NULL) > PERSIST_NONE ||
        persist_commit(s->disk, &edit, 1, NULL, NULL, NULL) !=
            PERSIST_READ_ONLY)
        pair_fail(p, "a session after a failed sync", "it does not begin anew");
    p->checks += 3;
}

void pair_fail_sync(pair *p)
{
    persist_lsn latest = persist_latest(p->disk);
    if (latest == persist_durable(p->disk) || p->failed != NULL)
        return;
    pair_check_told(p);
    os_sim_fail(p->sim,
                (sim_fault){.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO});
    persist_status status = persist_wait_durable(p->disk, latest, NULL);
    os_sim_fail(p->sim, (sim_fault){0});
    persist_lsn durable = persist_durable(p->disk);
    if (status != PERSIST_READ_ONLY || durable >= latest)
        pair_fail(p, "a failed sync", "it is not told");
    if (atomic_load(&p->told) <= p->told_before)
        pair_fail(p, "notify", "nobody was told of a failed sync");
    p->told_before = atomic_load(&p->told);
    for (size_t i = 0; i < PAIR_SESSIONS; i++)
        if (p->sessions[i].disk != NULL)
            check_session(p, &p->sessions[i], durable);
    if (persist_position(p->disk, PERSIST_LATEST) !=
        persist_position(p->disk, PERSIST_DURABLE))
        pair_fail(p, "a failed sync", "what is lost is shown");
}
