/* SPDX-License-Identifier: MIT */
/* Checks of arguments that the public functions share. */
#include "store/args.h"

#include "base/check.h"
#include "base/status.h"

persist_status args_missing(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_BAD_REQUEST, "%s must be given", what);
}

persist_status args_closed(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_CLOSED, "the %s is not open", what);
}

persist_status args_forked(persist_error *error, const char *what)
{
    CHECK(what != NULL);
    return status_set(error, PERSIST_CLOSED,
                      "the %s is of the process that this one was forked from; "
                      "open the store here, once that process has closed it",
                      what);
}

persist_status args_slice(slice s, size_t size_max, const char *what,
                          persist_error *error)
{
    CHECK(what != NULL);
    if (s.data == NULL && s.size > 0)
        return args_missing(error, what);
    if (s.size > size_max)
        return status_set(error, PERSIST_TOO_LARGE,
                          "%s: %zu bytes are over the limit of %zu", what,
                          s.size, size_max);
    return PERSIST_OK;
}

persist_status args_name(slice s, const char *what, persist_error *error)
{
    return args_slice(s, PERSIST_NAME_SIZE_MAX, what, error);
}

persist_status args_view(persist_view view, persist_error *error)
{
    if (view == PERSIST_DURABLE || view == PERSIST_LATEST)
        return PERSIST_OK;
    return status_set(error, PERSIST_BAD_REQUEST, "unknown view: %d",
                      (int)view);
}
