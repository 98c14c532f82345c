/* SPDX-License-Identifier: MIT */
/* Which store it is, as text. */
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os_thread.h"
#include "store/args.h"
#include "store/store.h"

CHECK_STATIC(PERSIST_IDENTITY_SIZE == 2 * IDENTITY_SIZE, "two digits a byte");

static void put(const uint8_t id[IDENTITY_SIZE], persist_identity_text out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t any = 0;
    for (size_t i = 0; i < IDENTITY_SIZE; i++) {
        any |= id[i];
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[any == 0 ? 0 : PERSIST_IDENTITY_SIZE] = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool take(const char *text, uint8_t id[IDENTITY_SIZE])
{
    if (strlen(text) != PERSIST_IDENTITY_SIZE)
        return false;
    for (size_t i = 0; i < IDENTITY_SIZE; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

persist_status persist_identity(persist_store *store,
                                persist_identity_text self,
                                persist_identity_text parent,
                                persist_error *error)
{
    OS_NO_CANCEL;
    uint8_t id[IDENTITY_SIZE], of[IDENTITY_SIZE];
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (self == NULL)
        return args_missing(error, "self");
    store->root->backend->identity(store->root, id, of);
    put(id, self);
    if (parent != NULL)
        put(of, parent);
    return PERSIST_OK;
}

persist_status store_become_another(persist_store *store, const char *parent,
                                    persist_error *error)
{
    OS_NO_CANCEL;
    uint8_t self[IDENTITY_SIZE], of[IDENTITY_SIZE], ignored[IDENTITY_SIZE];
    CHECK(store != NULL);
    store->backend->identity(store, self, ignored);
    if (parent != NULL && !take(parent, of))
        return status_set(error, PERSIST_BAD_REQUEST,
                          "\"%.40s\" is not the identity of a store, %u "
                          "hex digits",
                          parent, PERSIST_IDENTITY_SIZE);
    return store->backend->become_another(store, parent != NULL ? of : self,
                                          error);
}
