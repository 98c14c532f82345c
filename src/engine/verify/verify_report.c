/* SPDX-License-Identifier: MIT */
/* What a verification tells its watcher. */
#include "engine/verify/verify_parts.h"

#include <stdio.h>
#include <string.h>

bool verify_found(verifier *v, const persist_finding *f)
{
    CHECK(f->what != NULL && f->advice != NULL && f->path != NULL);
    if (!verify_could_look(v))
        return false;
    if (f->damage) {
        v->progress->damages++;
        v->unread.status = PERSIST_OK;
    } else {
        v->progress->remarks++;
    }
    if (v->watcher->found != NULL && !v->watcher->found(v->watcher->context, f))
        v->status = PERSIST_NONE;
    return v->status == PERSIST_OK;
}

bool verify_read(verifier *v, uint64_t bytes)
{
    v->progress->bytes += bytes;
    if (!verify_could_look(v))
        return false;
    if (v->watcher->progress != NULL &&
        !v->watcher->progress(v->watcher->context, v->progress))
        v->status = PERSIST_NONE;
    return v->status == PERSIST_OK;
}

const char *verify_short(const persist_error *error, verify_text out)
{
    snprintf(out, sizeof(verify_text), "%s", error->message);
    char *place = error->path[0] == '\0' ? NULL : strstr(out, error->path);
    out[status_fault_size(out)] = '\0';
    if (place != NULL && place - out > 5 && memcmp(place - 5, ", in ", 5) == 0)
        place[-5] = '\0';
    return out;
}

bool verify_failed(verifier *v, const persist_error *error,
                   persist_finding finding)
{
    CHECK(error->status > PERSIST_NONE);
    verify_text text;
    if (!verify_could_look(v))
        return false;
    if (error->status == PERSIST_LIMIT) {
        v->status = PERSIST_LIMIT;
        if (v->error != NULL)
            *v->error = *error;
        return false;
    }
    finding.damage = true;
    if (finding.what == NULL)
        finding.what = verify_short(error, text);
    if (error->status == PERSIST_IO)
        finding.advice = "the disk does not give it; see what the system's log "
                         "says, and restore the store from a backup";
    else if (finding.advice == NULL)
        finding.advice = VERIFY_RESTORE;
    if (finding.path == NULL) {
        bool placed = (error->has & PERSIST_HAS_PATH) != 0;
        finding.path = placed ? error->path : v->dir;
        finding.offset = (error->has & PERSIST_HAS_OFFSET) != 0
                             ? error->offset
                             : STATUS_NO_OFFSET;
    }
    return verify_found(v, &finding);
}

bool verify_no_memory(verifier *v)
{
    v->status = status_no_memory(v->error);
    return false;
}

persist_status verify_lookup(verifier *v, persist_status status)
{
    if (status == PERSIST_LIMIT)
        verify_no_memory(v);
    return status;
}
