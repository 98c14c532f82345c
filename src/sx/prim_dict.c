/* SPDX-License-Identifier: MIT */
/* Dicts. All but dict-set! leave their arguments as they are. */
#include "sx/machine.h"
#include "sx/prim_groups.h"

static prim_status made(bool ok)
{
    return ok ? PRIM_OK : PRIM_MEMORY;
}

static size_t size_of(const dict *d)
{
    return d == NULL ? 0 : dict_size(d);
}

/* A copy of a dict, NULL being empty, with room for more entries. */
static prim_status copy(sx *m, const dict *d, size_t more, value *out)
{
    return made(d == NULL ? dict_new(m, more, out)
                          : dict_copy(m, d, more, out));
}

/* Sets the keys and values that alternate in args from i on. */
static prim_status set_pairs(sx *m, const value *args, size_t i, size_t count,
                             dict *d)
{
    string *key;
    if ((count - i) % 2 != 0)
        return fail(m, SX_ARITY, "%s: a key without a value", m->prim->name);
    for (; i < count; i += 2) {
        prim_status status = arg_key(m, args, i, &key);
        if (status != PRIM_OK)
            return status;
        if (!dict_set(m, d, key, args[i + 1]))
            return PRIM_MEMORY;
    }
    return PRIM_OK;
}

static prim_status prim_dict(sx *m, value *args, size_t count, value *out)
{
    if (!dict_new(m, count / 2, out))
        return PRIM_MEMORY;
    return set_pairs(m, args, 0, count, dict_of(*out));
}

/* ---- looking up ------------------------------------------------------- */

/* The entry of the key in args[1], NULL if there is none. Makes no name: a
 * string that is no name yet is in no dict. */
static bool find_entry(sx *m, const value *args, const dict *d, entry **out)
{
    value key = args[1];
    string *name;
    if (is_keyword(key) || is_symbol(key))
        name = name_of(key);
    else if (is_string(key))
        name = (string_of(key)->head.flags & FLAG_INTERNED) != 0
                   ? string_of(key)
                   : intern_find(m, string_slice(string_of(key)));
    else
        return fail_argument(m, args, 1, "a string, keyword or symbol") ==
               PRIM_OK;
    *out = d == NULL || name == NULL ? NULL : dict_entry(d, name);
    return true;
}

/* An element of a list, for programs that index lists with get. */
static prim_status get_element(sx *m, const value *args, value *out)
{
    int64_t i;
    span items;
    if (!arg_integer(m, args, 1, &i) || !arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    if (i >= 0 && (uint64_t)i < items.size)
        *out = items.at[i];
    return PRIM_OK;
}

static prim_status prim_get(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    entry *found = NULL;
    *out = count > 2 ? args[2] : VALUE_NIL;
    if (is_nil(args[0]))
        return PRIM_OK;
    if (is_list(args[0]))
        return get_element(m, args, out);
    if (!arg_dict(m, args, 0, &d) || !find_entry(m, args, d, &found))
        return PRIM_FAILED;
    if (found != NULL)
        *out = found->value;
    return PRIM_OK;
}

static prim_status prim_has_key(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    entry *found = NULL;
    CHECK(count == 2);
    if (!arg_dict(m, args, 0, &d) || !find_entry(m, args, d, &found))
        return PRIM_FAILED;
    *out = value_boolean(found != NULL);
    return PRIM_OK;
}

static prim_status prim_keys(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    CHECK(count == 1);
    if (!arg_dict(m, args, 0, &d))
        return PRIM_FAILED;
    if (!list_new(m, size_of(d), out))
        return PRIM_MEMORY;
    for (size_t i = 0; i < size_of(d); i++)
        if (!list_push(m, list_of(*out), value_object(dict_entries(d)[i].key)))
            return PRIM_MEMORY;
    return PRIM_OK;
}

static prim_status prim_vals(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    CHECK(count == 1);
    if (!arg_dict(m, args, 0, &d))
        return PRIM_FAILED;
    if (!list_new(m, size_of(d), out))
        return PRIM_MEMORY;
    for (size_t i = 0; i < size_of(d); i++)
        if (!list_push(m, list_of(*out), dict_entries(d)[i].value))
            return PRIM_MEMORY;
    return PRIM_OK;
}

/* ---- making others ---------------------------------------------------- */

static prim_status prim_assoc(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    if (!arg_dict(m, args, 0, &d))
        return PRIM_FAILED;
    prim_status status = copy(m, d, count / 2, out);
    return status == PRIM_OK ? set_pairs(m, args, 1, count, dict_of(*out))
                             : status;
}

/* The keys to leave out go into a dict of their own, so that the cost is the
 * sum of both. */
static prim_status prim_dissoc(sx *m, value *args, size_t count, value *out)
{
    const dict *d;
    value gone;
    string *key;
    if (!arg_dict(m, args, 0, &d))
        return PRIM_FAILED;
    if (!dict_new(m, count - 1, &gone) || !dict_new(m, size_of(d), out))
        return PRIM_MEMORY;
    for (size_t i = 1; i < count; i++) {
        prim_status status = arg_key(m, args, i, &key);
        if (status != PRIM_OK)
            return status;
        dict_add(dict_of(gone), key, VALUE_TRUE);
    }
    for (size_t i = 0; i < size_of(d); i++) {
        entry e = dict_entries(d)[i];
        if (dict_entry(dict_of(gone), e.key) == NULL)
            dict_add(dict_of(*out), e.key, e.value);
    }
    return PRIM_OK;
}

static prim_status add_entries(sx *m, dict *to, const dict *from)
{
    for (size_t i = 0; i < size_of(from); i++) {
        entry e = dict_entries(from)[i];
        if (!dict_set(m, to, e.key, e.value))
            return PRIM_MEMORY;
    }
    return PRIM_OK;
}

static prim_status prim_merge(sx *m, value *args, size_t count, value *out)
{
    const dict *d = NULL;
    if (count > 0 && !arg_dict(m, args, 0, &d))
        return PRIM_FAILED;
    prim_status status = copy(m, d, 0, out);
    for (size_t i = 1; status == PRIM_OK && i < count; i++) {
        if (!arg_dict(m, args, i, &d))
            return PRIM_FAILED;
        status = add_entries(m, dict_of(*out), d);
    }
    return status;
}

/* ---- into ------------------------------------------------------------- */

/* Sets each (key value) of a list. */
static prim_status into_dict(sx *m, const value *args, dict *to)
{
    span pairs;
    if (!arg_items(m, args, 1, &pairs))
        return PRIM_FAILED;
    for (size_t i = 0; i < pairs.size; i++) {
        value pair = pairs.at[i];
        if (!is_list(pair) || list_size(list_of(pair)) != 2)
            return fail_argument(m, args, 1, "a dict or a list of pairs");
        prim_status status = set_pairs(m, list_items(list_of(pair)), 0, 2, to);
        if (status != PRIM_OK)
            return status;
    }
    return PRIM_OK;
}

/* Adds each entry of a dict as a list (key value). */
static prim_status list_entries(sx *m, list *to, const dict *from)
{
    for (size_t i = 0; i < size_of(from); i++) {
        entry e = dict_entries(from)[i];
        value pair, both[] = {value_object(e.key), e.value};
        if (!list_from(m, both, 2, &pair) || !list_push(m, to, pair))
            return PRIM_MEMORY;
    }
    return PRIM_OK;
}

static prim_status into_list(sx *m, const value *args, value *out)
{
    span items, more;
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    if (!list_from(m, items.at, items.size, out))
        return PRIM_MEMORY;
    if (is_dict(args[1]))
        return list_entries(m, list_of(*out), dict_of(args[1]));
    if (!arg_items(m, args, 1, &more))
        return PRIM_FAILED;
    return made(list_concat(m, list_of(*out), more.at, more.size, out));
}

/* Into a dict go the entries of a dict or pairs; into a list (or nil) elements,
 * the entries of a dict as pairs. */
static prim_status prim_into(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 2);
    if (!is_dict(args[0]))
        return into_list(m, args, out);
    prim_status status = copy(m, dict_of(args[0]), 0, out);
    if (status != PRIM_OK)
        return status;
    return is_dict(args[1]) ? add_entries(m, dict_of(*out), dict_of(args[1]))
                            : into_dict(m, args, dict_of(*out));
}

static prim_status prim_set(sx *m, value *args, size_t count, value *out)
{
    dict *d;
    string *key;
    CHECK(count == 3);
    if (!arg_dict_mutable(m, args, 0, &d))
        return PRIM_FAILED;
    prim_status status = arg_key(m, args, 1, &key);
    if (status != PRIM_OK)
        return status;
    *out = args[2];
    return made(dict_set(m, d, key, args[2]));
}

static const prim rows[] = {
    {"dict", 0, PRIM_MANY, "k v...", "A dict of keys and values.",
     .run = prim_dict},
    {"get", 2, 3, "d k default",
     "The value of a key, else default (nil); of a list, the element.",
     .run = prim_get},
    {"assoc", 1, PRIM_MANY, "d k v...", "A dict with keys set.",
     .run = prim_assoc},
    {"dissoc", 1, PRIM_MANY, "d k...", "A dict without the keys.",
     .run = prim_dissoc},
    {"has-key?", 2, 2, "d k", "Whether the key is there.", .run = prim_has_key},
    {"keys", 1, 1, "d", "The keys as strings, in the order they came.",
     .run = prim_keys},
    {"vals", 1, 1, "d", "The values in the order of their keys.",
     .run = prim_vals},
    {"merge", 0, PRIM_MANY, "d...", "All entries; the last of a key wins.",
     .run = prim_merge},
    {"into", 2, 2, "to from",
     "What is in `to` and in `from`, of the kind that `to` is.",
     .run = prim_into},
    {"dict-set!", 3, 3, "d k v", "Sets a key of d itself; returns v.",
     .run = prim_set},
};

const prim_group dict_group = {rows, sizeof rows / sizeof rows[0]};
