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

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t n = strlen(end);
    return size >= n && memcmp(text + size - n, end, n) == 0;
}

const char *verify_short(const persist_error *error, verify_text out)
{
    const char *message = error->message, *path = error->path, *word = "";
    size_t size = status_fault_size(message), from = size, to = size;
    const char *place = path[0] == '\0' ? NULL : strstr(message, path);
    if (place != NULL && place + strlen(path) <= message + size) {
        from = (size_t)(place - message);
        to = from + strlen(path);
        if (ends_with(message, from, ", in ")) {
            from -= strlen(", in ");
            to = size; /* the byte stands behind it */
        } else if (ends_with(message, from, " in ")) {
            from -= strlen(" in ");
        } else {
            word = "it";
        }
    }
    snprintf(out, sizeof(verify_text), "%.*s%s%.*s", (int)from, message, word,
             (int)(size - to), message + to);
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
    size_t fault = status_fault_size(error->message);
    if (error->status == PERSIST_IO && v->unread.status != PERSIST_OK)
        finding.advice = "the disk does not give it; see what the system's log "
                         "says, and restore the store from a backup";
    else if (error->status == PERSIST_IO && error->message[fault] == ';')
        finding.advice = error->message + fault + strlen("; ");
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
