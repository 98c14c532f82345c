/* SPDX-License-Identifier: MIT */
/* The functions of sx.h that are not those of one part of the language. */
#include "sx.h"

#include "base/mem.h"
#include "base/sized.h"
#include "base/status.h"
#include "sx/compiler.h"
#include "sx/machine.h"
#include "sx/reader.h"
#include "sx/reserve.h"

enum { DEPTH_MAX_DEFAULT = 1000000 };
static const size_t heap_max_default = (size_t)1 << 30;

/* ---- opening ---------------------------------------------------------- */

static bool add_primitive(sx *m, const prim *row)
{
    CHECK(row->min <= row->max);
    CHECK((row->run == NULL) != (row->step == NULL));
    CHECK(row->step == NULL ||
          row->max + row->slots + 8 <= STACK_SLACK); /* see call_step */
    string *name = intern(m, slice_str(row->name));
    if (name == NULL)
        return false;
    primitive *p = heap_object(m, KIND_PRIMITIVE, sizeof *p);
    if (p == NULL)
        return false;
    p->row = row;
    p->name = name;
    value cell;
    CHECK(dict_entry(dict_of(m->globals), name) == NULL);
    return make_box(m, value_object(p), name, &cell) &&
           dict_set(m, dict_of(m->globals), name, cell);
}

static bool add_primitives(sx *m)
{
    for (size_t g = 0; g < prim_group_count; g++) {
        const prim_group *group = prim_groups[g];
        for (size_t i = 0; i < group->count; i++) {
            if (!add_primitive(m, &group->rows[i]))
                return false;
        }
    }
    return true;
}

static bool add_forms(sx *m)
{
    for (size_t i = 0; i < form_count; i++) {
        CHECK(forms[i].compile != NULL && forms[i].min <= forms[i].max);
        string *name = intern(m, slice_str(forms[i].name));
        if (name == NULL ||
            !dict_set(m, dict_of(m->forms), name, value_fixnum((int64_t)i)))
            return false;
    }
    return true;
}

static void set_item_sizes(sx *m)
{
    m->print_walk.item_size = PRINT_LEVEL_SIZE;
    m->print_order.item_size = sizeof(entry *);
    m->read_values.item_size = sizeof(value);
    m->read_openings.item_size = READ_OPENING_SIZE;
}

static void set_registers(sx *m)
{
    for (size_t i = 0; i < LAST_RESORTS; i++)
        m->last_resorts[i] = VALUE_NIL;
    m->raised = VALUE_NIL;
    m->request = m->result = m->failure = VALUE_NIL;
    m->globals = m->forms = VALUE_NIL;
    m->state = SX_IDLE;
}

/* What can be raised without memory: the same one each time, so none may change
 * it. */
static bool add_last_resorts(sx *m)
{
#define STATUS(name, number, code, hint) number,
    static const persist_status all[] = {PERSIST_STATUS_LIST(STATUS)};
#undef STATUS
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(all[i] < LAST_RESORTS);
        if (!machine_error(m, all[i], persist_status_hint(all[i]),
                           &m->last_resorts[all[i]]))
            return false;
        object_of(m->last_resorts[all[i]])->flags |= FLAG_LENT;
    }
    return true;
}

static bool fill(sx *m)
{
    if (!compiler_open(m) || !stack_reserve(m, STACK_SLACK) ||
        !dict_new(m, 0, &m->globals) || !dict_new(m, 0, &m->forms) ||
        !add_primitives(m) || !add_forms(m) || !add_last_resorts(m))
        return false;
    machine_collect(m, NULL, 0);
    return true;
}

static const sized options_size = {"sx_options", "SX_OPTIONS",
                                   sizeof(sx_options),
                                   SIZED_UP_TO(sx_options, hash_seed)};

persist_status sx_open(const sx_options *given, sx **out, persist_error *error)
{
    if (out == NULL)
        return status_set(error, PERSIST_BAD_REQUEST, "out must be given");
    *out = NULL;
    sx_options options = {SX_OPTIONS};
    persist_status status =
        given == NULL ? PERSIST_OK
                      : sized_take(&options_size, given, &options, error);
    if (status != PERSIST_OK)
        return status;
    sx *m = mem_alloc_zero(sizeof *m);
    if (m == NULL)
        return status_no_memory(error);
    m->options = options;
    if (m->options.depth_max == 0)
        m->options.depth_max = DEPTH_MAX_DEFAULT;
    set_item_sizes(m);
    set_registers(m);
    m->heap.trigger = SIZE_MAX;
    heap_open(m, m->options.heap_max == 0 ? heap_max_default
                                          : m->options.heap_max);
    if (fill(m)) {
        *out = m;
        return PERSIST_OK;
    }
    sx_close(m);
    return status_no_memory(error);
}

void sx_on_panic(persist_panic_fn panic, void *context)
{
    check_on_panic(panic, context);
}

void sx_close(sx *m)
{
    if (m == NULL)
        return;
    if (m->compiler != NULL)
        sx_reset(m);
    compiler_close(m);
    heap_free(m, m->stack.base, m->stack.capacity * sizeof(value));
    walk_release(m, &m->print_walk);
    walk_release(m, &m->print_order);
    walk_release(m, &m->read_values);
    walk_release(m, &m->read_openings);
    sx_out_release(&m->scratch);
    heap_release(m);
    heap_close(m);
    CHECK(m->heap.used == 0);
    mem_free(m);
}

/* ---- state ------------------------------------------------------------ */

sx_state sx_get_state(const sx *m)
{
    CHECK_CALLER(m != NULL, NO_MACHINE);
    return m->state;
}

sx_value sx_request(const sx *m)
{
    CHECK_CALLER(m != NULL && m->state == SX_SUSPENDED, NOT_SUSPENDED);
    return m->request;
}

sx_value sx_result(const sx *m)
{
    CHECK_CALLER(m != NULL && m->state == SX_DONE,
                 "the machine is not SX_DONE");
    return m->result;
}

sx_value sx_failure(const sx *m)
{
    CHECK_CALLER(m != NULL && m->state == SX_FAILED,
                 "the machine is not SX_FAILED");
    return m->failure;
}

void sx_collect(sx *m, const sx_value *keep, size_t count)
{
    machine_collect(m, keep, count);
}

size_t sx_heap_used(const sx *m)
{
    CHECK(m->heap.used <= m->heap.max);
    return m->heap.used;
}

size_t sx_heap_max(const sx *m)
{
    return m->heap.max;
}

bool sx_define(sx *m, persist_slice name, sx_value v)
{
    CHECK_CALLER(m != NULL, NO_MACHINE);
    string *s = heap_idle_full(m) ? NULL : intern(m, name);
    if (s == NULL)
        return false;
    entry *e = dict_entry(dict_of(m->globals), s);
    if (e != NULL) {
        box *b = (box *)object_of(e->value);
        CHECK(b->head.kind == KIND_BOX);
        if (!heap_may_hold(m, &b->head, v))
            return false;
        b->value = v;
        return true;
    }
    value cell;
    return make_box(m, v, s, &cell) &&
           dict_set(m, dict_of(m->globals), s, cell);
}

bool sx_lookup(sx *m, persist_slice name, sx_value *out)
{
    value cell;
    CHECK_CALLER(m != NULL, NO_MACHINE);
    if (!dict_find(m, dict_of(m->globals), name, &cell))
        return false;
    CHECK(is_kind(cell, KIND_BOX));
    value v = ((box *)object_of(cell))->value;
    if (value_same(v, VALUE_UNBOUND))
        return false;
    if (out != NULL)
        *out = v;
    return true;
}

/* ---- looking at values ------------------------------------------------ */

sx_type sx_type_of(sx_value v)
{
    static const sx_type types[] = {
        [KIND_STRING] = SX_STRING,
        [KIND_FLOAT] = SX_FLOAT,
        [KIND_INTEGER] = SX_INTEGER,
        [KIND_LIST] = SX_LIST,
        [KIND_DICT] = SX_DICT,
        [KIND_LAMBDA] = SX_FUNCTION,
        [KIND_MACRO] = SX_FUNCTION,
        [KIND_PRIMITIVE] = SX_FUNCTION,
        [KIND_CONTINUATION] = SX_FUNCTION,
    };
    if (is_fixnum(v))
        return SX_INTEGER;
    if (is_symbol(v))
        return SX_SYMBOL;
    if (is_keyword(v))
        return SX_KEYWORD;
    if (!is_object(v))
        return is_nil(v) ? SX_NIL : SX_BOOLEAN;
    CHECK(object_of(v)->kind < sizeof types / sizeof *types);
    return types[object_of(v)->kind];
}

bool sx_is_true(sx_value v)
{
    return is_true(v);
}

int64_t sx_integer(sx_value v)
{
    CHECK_CALLER(is_integer(v), "the value is no integer");
    return integer_of(v);
}

double sx_float(sx_value v)
{
    CHECK_CALLER(is_float(v), "the value is no float");
    return float_of(v);
}

persist_slice sx_bytes(sx_value v)
{
    CHECK_CALLER(is_string(v) || is_symbol(v) || is_keyword(v),
                 "the value is no string, symbol or keyword");
    return string_slice(name_of(v));
}

size_t sx_list_size(sx_value v)
{
    CHECK_CALLER(is_list(v), NO_LIST);
    return list_size(list_of(v));
}

sx_value sx_list_at(sx_value v, size_t i)
{
    CHECK_CALLER(is_list(v), NO_LIST);
    CHECK_CALLER(i < list_size(list_of(v)), "the list has no such element");
    return list_at(list_of(v), i);
}

size_t sx_dict_size(sx_value v)
{
    CHECK_CALLER(is_dict(v), NO_DICT);
    return dict_size(dict_of(v));
}

void sx_dict_at(sx_value v, size_t i, persist_slice *key, sx_value *out)
{
    CHECK_CALLER(is_dict(v), NO_DICT);
    CHECK_CALLER(i < dict_size(dict_of(v)), "the dict has no such entry");
    const entry *e = &dict_entries(dict_of(v))[i];
    if (key != NULL)
        *key = string_slice(e->key);
    if (out != NULL)
        *out = e->value;
}

bool sx_dict_find(sx *m, sx_value v, persist_slice key, sx_value *out)
{
    value ignored;
    CHECK_CALLER(is_dict(v), NO_DICT);
    return dict_find(m, dict_of(v), key, out != NULL ? out : &ignored);
}

bool sx_equal(sx *m, sx_value a, sx_value b)
{
    bool same;
    return values_equal(m, a, b, &same) == PRIM_OK && same;
}

/* ---- making values ---------------------------------------------------- */

sx_value sx_nil(void)
{
    return VALUE_NIL;
}

sx_value sx_boolean(bool b)
{
    return value_boolean(b);
}

bool sx_make_integer(sx *m, int64_t n, sx_value *out)
{
    return make_integer(m, n, out);
}

bool sx_make_float(sx *m, double number, sx_value *out)
{
    return make_float(m, number, out);
}

bool sx_make_string(sx *m, persist_slice bytes, sx_value *out)
{
    return make_string(m, bytes, out);
}

bool sx_make_symbol(sx *m, persist_slice name, sx_value *out)
{
    return make_symbol(m, name, out);
}

bool sx_make_keyword(sx *m, persist_slice name, sx_value *out)
{
    return make_keyword(m, name, out);
}

bool sx_make_list(sx *m, size_t capacity, sx_value *out)
{
    return list_new(m, capacity, out);
}

bool sx_list_push(sx *m, sx_value v, sx_value element)
{
    CHECK(!value_same(element, VALUE_UNBOUND));
    CHECK_CALLER(is_list(v), NO_LIST);
    return !heap_idle_full(m) && list_push(m, list_of(v), element);
}

bool sx_make_dict(sx *m, sx_value *out)
{
    return dict_new(m, 0, out);
}

bool sx_dict_set(sx *m, sx_value v, persist_slice key, sx_value element)
{
    CHECK_CALLER(is_dict(v), NO_DICT);
    bool refused = (object_of(v)->flags & FLAG_LENT) != 0 || heap_idle_full(m);
    string *name = refused ? NULL : intern(m, key);
    return name != NULL && dict_set(m, dict_of(v), name, element);
}

bool sx_make_error(sx *m, persist_status status, persist_slice message,
                   sx_value *out)
{
    value v, text;
    if (!machine_error(m, status, "", &v) || !make_string(m, message, &text) ||
        !sx_dict_set(m, v, slice_str("message"), text))
        return false;
    *out = v;
    return true;
}

/* ---- text ------------------------------------------------------------- */

persist_status sx_read(sx *m, persist_slice text, sx_value *out,
                       persist_error *error)
{
    persist_error local;
    if (error == NULL)
        error = &local;
    if (out == NULL)
        return status_set(error, PERSIST_BAD_REQUEST, "out must be given");
    switch (reader_only(m, text, out, error)) {
    case READ_VALUE:
        return PERSIST_OK;
    case READ_END:
        return PERSIST_NONE;
    case READ_FAILED:
        return error->status;
    default:
        heap_why(m, error);
        return PERSIST_LIMIT;
    }
}
