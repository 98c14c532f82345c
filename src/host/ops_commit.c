/* SPDX-License-Identifier: MIT */
/* persist/commit: a list of edits, all or nothing.
 *
 * The happy path: check every edit, print what it stores, take the numbers of
 * its events from the marks, make the whole answer, and only then commit. A
 * repeated command id takes the numbers of the first time instead and commits
 * nothing. */
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "host/commit_build.h"

static persist_status make_committed(commit_build *b)
{
    op_call *call = b->call;
    if (!sx_make_dict(call->machine, &call->answer))
        return call_no_memory(call);
    persist_status status =
        call_set(call, call->answer, "committed", sx_boolean(true));
    if (status == PERSIST_OK)
        status = call_set(call, call->answer, "results", b->results);
    return status;
}

/* What a failed expectation asked for, from the request itself. */
static sx_value expected_of(commit_build *b, size_t index)
{
    sx_value edit = sx_list_at(b->call->args[0], index);
    sx_value v;
    if (sx_dict_find(b->call->machine, edit, slice_str("seq"), &v) ||
        sx_dict_find(b->call->machine, edit, slice_str("after"), &v) ||
        sx_dict_find(b->call->machine, edit, slice_str("value"), &v) ||
        sx_dict_find(b->call->machine, edit, slice_str("expect-blob"), &v))
        return v;
    return sx_nil();
}

static persist_status actual_of(commit_build *b, const commit_item *it,
                                const persist_outcome *outcome, sx_value *out)
{
    *out = sx_nil();
    if (it->edit.kind == PERSIST_EXPECT_SEQ ||
        it->edit.kind == PERSIST_EXPECT_NONE) {
        bool ok = sx_make_integer(b->call->machine,
                                  (int64_t)outcome->actual_seq, out);
        return ok ? PERSIST_OK : call_no_memory(b->call);
    }
    if (!outcome->actual_present)
        return PERSIST_OK;
    return call_parse(b->call, outcome->actual_value, it->edit.name, 0, out);
}

static persist_status make_conflict(commit_build *b,
                                    const persist_outcome *outcome)
{
    op_call *call = b->call;
    const commit_item *items = (const commit_item *)(void *)b->items.data;
    CHECK(outcome->edit < b->items.size / sizeof *items);
    const commit_item *it = &items[outcome->edit];
    sx_value actual;
    if (host_equal_failed(call->host))
        return call_no_memory(call);
    persist_status status = actual_of(b, it, outcome, &actual);
    if (status == PERSIST_OK && !sx_make_dict(call->machine, &call->answer))
        status = call_no_memory(call);
    sx_value answer = call->answer;
    if (status == PERSIST_OK)
        status = call_set(call, answer, "conflict", sx_boolean(true));
    if (status == PERSIST_OK)
        status = call_set_integer(call, answer, "edit", it->owner);
    if (status == PERSIST_OK)
        status = call_set(call, answer, "expected", expected_of(b, it->owner));
    if (status == PERSIST_OK)
        status = call_set(call, answer, "actual", actual);
    return status;
}

static persist_status commit_items(commit_build *b, persist_edit *edits,
                                   size_t count)
{
    op_call *call = b->call;
    const commit_item *items = (const commit_item *)(void *)b->items.data;
    persist_outcome outcome = {0};
    for (size_t i = 0; i < count; i++) {
        edits[i] = items[i].edit;
        if (edits[i].data.size > 0)
            edits[i].data.data = b->text->data + items[i].text_at;
    }
    persist_status status =
        persist_commit(call->store, edits, count, b->has_once ? &b->once : NULL,
                       &outcome, &call->error);
    if (status != PERSIST_OK)
        return status;
    CHECK(outcome.kind != PERSIST_REPEATED);
    if (outcome.kind == PERSIST_CONFLICT)
        status = make_conflict(b, &outcome);
    persist_outcome_release(&outcome);
    return status;
}

static persist_status commit(commit_build *b)
{
    size_t count = b->items.size / sizeof(commit_item);
    persist_edit *edits = mem_alloc((count + 1) * sizeof *edits);
    if (edits == NULL)
        return call_no_memory(b->call);
    persist_status status = commit_items(b, edits, count);
    mem_free(edits);
    return status;
}

persist_status serve_commit(op_call *call)
{
    commit_build b = {.call = call, .text = call_text(call)};
    sx_value edits = call->args[0];
    persist_status status = commit_build_once(&b, edits);
    if (status == PERSIST_OK)
        status = commit_build_edits(&b, edits);
    if (status == PERSIST_OK)
        status = make_committed(&b);
    if (status == PERSIST_OK && !b.repeated)
        status = commit(&b);
    persist_outcome_release(&b.first);
    buf_release(&b.items);
    return status;
}
