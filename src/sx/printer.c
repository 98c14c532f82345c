/* SPDX-License-Identifier: MIT */
/* The printer: the inverse of the reader, with a stack of its own. */

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "sx/chars.h"
#include "sx/machine.h"
#include "sx/number.h"

enum {
    OUT_FIRST = 256,
    WALK_KEEP = 4096,
    WHERE_MAX = 8,
    KEY_SHOWN_MAX = 40,
    FAILURE_MAX = 64 << 10,
};

/* A list or dict that is being printed, up to next. */
typedef struct level {
    object *object;
    size_t next;
    size_t order; /* of a sorted dict: where its entries are in m->order */
} level;

CHECK_STATIC(sizeof(level) == PRINT_LEVEL_SIZE, "see machine.h");

typedef struct printer {
    sx *m;
    sx_out *out;
    unsigned flags;
    persist_error *error;
} printer;

/* ---- text ------------------------------------------------------------- */

static persist_status grow(sx_out *o, size_t more)
{
    CHECK(o->size <= o->capacity);
    if (more > SIZE_MAX / 4 ||
        (o->size_max != 0 &&
         (o->size > o->size_max || more > o->size_max - o->size)))
        return PERSIST_TOO_LARGE;
    if (o->capacity - o->size >= more)
        return PERSIST_OK;
    size_t capacity = o->capacity < OUT_FIRST ? OUT_FIRST : o->capacity * 2;
    if (o->size_max != 0 && capacity > o->size_max)
        capacity = o->size_max;
    if (capacity < o->size + more)
        capacity = o->size + more;
    char *data = mem_realloc(o->data, capacity);
    if (data == NULL)
        return PERSIST_LIMIT;
    o->data = data;
    o->capacity = capacity;
    return PERSIST_OK;
}

/* Room for more bytes, which may be written at data + size. */
static inline persist_status room(sx_out *o, size_t more)
{
    bool fits = o->capacity - o->size >= more &&
                (o->size_max == 0 || o->size + more <= o->size_max);
    return LIKELY(fits) ? PERSIST_OK : grow(o, more);
}

bool text_put(sx_out *o, slice s)
{
    if (room(o, s.size) != PERSIST_OK)
        return false;
    if (s.size > 0)
        memcpy(o->data + o->size, s.data, s.size);
    o->size += s.size;
    return true;
}

bool text_put_byte(sx_out *o, char c)
{
    if (room(o, 1) != PERSIST_OK)
        return false;
    o->data[o->size++] = c;
    return true;
}

static persist_status put(printer *p, const char *data, size_t size)
{
    persist_status status = room(p->out, size);
    if (status != PERSIST_OK)
        return status;
    memcpy(p->out->data + p->out->size, data, size);
    p->out->size += size;
    return PERSIST_OK;
}

static persist_status put_text(printer *p, const char *text)
{
    return put(p, text, strlen(text));
}

/* ---- values without parts --------------------------------------------- */

static char escape_letter(char c)
{
    return (char)(c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : c);
}

static persist_status put_string(printer *p, const string *s)
{
    sx_out *o = p->out;
    const char *at = s->bytes, *end = at + s->size;
    persist_status status = put(p, "\"", 1);
    while (at < end && status == PERSIST_OK) {
        const char *first = at;
        while (at < end && !char_is(*at, CHAR_ESCAPE))
            at++;
        status = put(p, first, (size_t)(at - first));
        if (at == end || status != PERSIST_OK)
            break;
        status = room(o, 2);
        if (status != PERSIST_OK)
            break;
        o->data[o->size++] = '\\';
        o->data[o->size++] = escape_letter(*at++);
    }
    return status != PERSIST_OK ? status : put(p, "\"", 1);
}

static persist_status refuse(printer *p, const char *what, const string *name)
{
    return status_set(
        p->error, PERSIST_NOT_STORABLE, "%s%s%s has no stored form", what,
        name == NULL ? "" : " ", name == NULL ? "" : brief_name(p->m, name));
}

/* What cannot be read back: #<kind name>, on which the reader fails. */
static persist_status put_opaque(printer *p, const char *kind,
                                 const string *name)
{
    if ((p->flags & SX_PRINT_STORABLE) != 0)
        return refuse(p, kind, name);
    persist_status status = put_text(p, "#<");
    if (status == PERSIST_OK)
        status = put_text(p, kind);
    if (name != NULL && status == PERSIST_OK)
        status = put(p, " ", 1);
    if (name != NULL && status == PERSIST_OK)
        status = put(p, name->bytes, name->size);
    return status != PERSIST_OK ? status : put(p, ">", 1);
}

static persist_status put_float(printer *p, double v)
{
    char text[FLOAT_TEXT_MAX];
    size_t size = float_text(v, text);
    if (text[0] == '#' && (p->flags & SX_PRINT_STORABLE) != 0)
        return status_set(p->error, PERSIST_NOT_STORABLE,
                          "the float %.*s has no stored form", (int)size - 3,
                          text + 2);
    return put(p, text, size);
}

static persist_status put_symbol(printer *p, value v)
{
    string *name = name_of(v);
    if (is_keyword(v)) {
        if (!chars_keyword(name))
            return put_opaque(p, "keyword", name);
        persist_status status = put(p, ":", 1);
        return status != PERSIST_OK ? status : put(p, name->bytes, name->size);
    }
    if (!chars_symbol(name))
        return put_opaque(p, "symbol", name);
    return put(p, name->bytes, name->size);
}

static persist_status put_immediate(printer *p, value v)
{
    CHECK((v.word & 7) == TAG_IMMEDIATE);
    return put_text(p, is_nil(v) ? "nil" : is_true(v) ? "true" : "false");
}

static persist_status put_function(printer *p, object *o)
{
    const string *name = NULL;
    switch ((enum kind)o->kind) {
    case KIND_LAMBDA:
        name = ((lambda *)(void *)o)->code->name;
        return put_opaque(p, "lambda", name);
    case KIND_MACRO:
        name = ((macro *)(void *)o)->expander->code->name;
        return put_opaque(p, "macro", name);
    case KIND_PRIMITIVE:
        CHECK(((primitive *)(void *)o)->name != NULL);
        name = ((primitive *)(void *)o)->name;
        return put_opaque(p, "primitive", name);
    default:
        CHECK(o->kind == KIND_CONTINUATION);
        return put_opaque(p, "continuation", NULL);
    }
}

static persist_status put_leaf(printer *p, value v)
{
    if (is_fixnum(v) || is_kind(v, KIND_INTEGER)) {
        char text[INTEGER_TEXT_MAX];
        return put(p, text, integer_text(integer_of(v), text));
    }
    if (is_string(v))
        return put_string(p, string_of(v));
    CHECK(!value_same(v, VALUE_UNBOUND));
    if (is_symbol(v) || is_keyword(v))
        return put_symbol(p, v);
    if (!is_object(v))
        return put_immediate(p, v);
    if (is_float(v))
        return put_float(p, float_of(v));
    return put_function(p, object_of(v));
}

/* ---- lists and dicts -------------------------------------------------- */

static persist_status put_key(printer *p, string *key)
{
    if (!chars_keyword(key))
        return put_string(p, key);
    persist_status status = room(p->out, key->size + 1);
    if (status != PERSIST_OK)
        return status;
    char *at = p->out->data + p->out->size;
    *at = ':';
    memcpy(at + 1, key->bytes, key->size);
    p->out->size += key->size + 1;
    return PERSIST_OK;
}

static bool key_before(const entry *a, const entry *b)
{
    return slice_compare(string_slice(a->key), string_slice(b->key)) < 0;
}

static void sift_down(const entry **at, size_t top, size_t count)
{
    CHECK(top < count);
    for (size_t child; (child = 2 * top + 1) < count; top = child) {
        if (child + 1 < count && key_before(at[child], at[child + 1]))
            child++;
        if (!key_before(at[top], at[child]))
            return;
        const entry *swap = at[top];
        at[top] = at[child];
        at[child] = swap;
    }
}

/* Puts a dict's entries, ordered by key, behind those of the dicts around. */
static persist_status push_order(printer *p, const dict *d)
{
    CHECK((p->flags & SX_PRINT_SORTED) != 0);
    walk_stack *w = &p->m->print_order;
    size_t count = dict_size(d), first = w->count;
    if (count == 0)
        return PERSIST_OK;
    for (size_t i = 0; i < count; i++) {
        if (!walk_grow(p->m, w))
            return PERSIST_LIMIT;
        ((const entry **)w->items)[w->count++] = &dict_entries(d)[i];
    }
    const entry **at = (const entry **)w->items + first;
    for (size_t i = count / 2; i-- > 0;)
        sift_down(at, i, count);
    for (size_t end = count; end-- > 1;) {
        const entry *swap = at[0];
        at[0] = at[end];
        at[end] = swap;
        sift_down(at, 0, end);
    }
    return PERSIST_OK;
}

/* Begins a list or dict. */
static persist_status open_level(printer *p, value v)
{
    CHECK(is_list(v) || is_dict(v));
    walk_stack *w = &p->m->print_walk;
    if (w->count >= p->m->options.depth_max)
        return status_set(p->error, PERSIST_LIMIT,
                          "data nested deeper than %zu levels",
                          p->m->options.depth_max);
    if (!walk_grow(p->m, w))
        return PERSIST_LIMIT;
    level *l = &((level *)w->items)[w->count++];
    *l = (level){object_of(v), 0, p->m->print_order.count};
    if (is_list(v))
        return put(p, "(", 1);
    if ((p->flags & SX_PRINT_SORTED) != 0) {
        persist_status status = push_order(p, dict_of(v));
        if (status != PERSIST_OK)
            return status;
    }
    return put(p, "{", 1);
}

/* The entry of a dict that is printed as number i. */
static const entry *entry_of(const printer *p, const level *l, size_t i)
{
    CHECK(l->object->kind == KIND_DICT);
    if ((p->flags & SX_PRINT_SORTED) == 0)
        return &dict_entries((dict *)(void *)l->object)[i];
    CHECK(l->order + i < p->m->print_order.count);
    return ((const entry **)p->m->print_order.items)[l->order + i];
}

/* Puts what stands before the next element, and says what it is. */
static persist_status next_element(printer *p, level *l, value *v)
{
    CHECK(l->next < l->object->aux);
    size_t i = l->next++;
    persist_status status = i > 0 ? put(p, " ", 1) : PERSIST_OK;
    if (status != PERSIST_OK)
        return status;
    if (l->object->kind == KIND_LIST) {
        *v = list_at((list *)(void *)l->object, i);
        return PERSIST_OK;
    }
    const entry *e = entry_of(p, l, i);
    status = put_key(p, e->key);
    *v = e->value;
    return status != PERSIST_OK ? status : put(p, " ", 1);
}

static persist_status put_value(printer *p, value v)
{
    walk_stack *w = &p->m->print_walk;
    for (;;) {
        persist_status status =
            is_list(v) || is_dict(v) ? open_level(p, v) : put_leaf(p, v);
        if (status != PERSIST_OK)
            return status;
        level *top;
        for (;; w->count--) {
            if (w->count == 0)
                return PERSIST_OK;
            top = &((level *)w->items)[w->count - 1];
            if (top->next < top->object->aux)
                break;
            p->m->print_order.count = top->order;
            status = put(p, top->object->kind == KIND_LIST ? ")" : "}", 1);
            if (status != PERSIST_OK)
                return status;
        }
        status = next_element(p, top, &v);
        if (status != PERSIST_OK)
            return status;
    }
}

/* ---- errors ----------------------------------------------------------- */

/* Appends the way to the element at work, as get-in takes it: (:items 2). */
static void tell_where(printer *p)
{
    const walk_stack *w = &p->m->print_walk;
    persist_error *e = p->error;
    CHECK(e->status == PERSIST_NOT_STORABLE);
    size_t at = strlen(e->message);
    for (size_t i = 0; i < w->count && i <= WHERE_MAX; i++) {
        const level *l = &((const level *)w->items)[i];
        char *to = e->message + at;
        size_t room = sizeof e->message - at;
        const char *before = i == 0 ? ", at (" : " ";
        if (i == WHERE_MAX) {
            snprintf(to, room, "%s...", before);
        } else if (l->object->kind == KIND_LIST) {
            snprintf(to, room, "%s%zu", before, l->next - 1);
        } else {
            string *key = entry_of(p, l, l->next - 1)->key;
            bool plain = chars_keyword(key);
            int size = (int)utf8_cut(key->bytes, key->size, KEY_SHOWN_MAX);
            snprintf(to, room, "%s%s%.*s%s", before, plain ? ":" : "\"", size,
                     key->bytes, plain ? "" : "\"");
        }
        at = strlen(e->message);
    }
    if (w->count > 0)
        snprintf(e->message + at, sizeof e->message - at, ")");
}

static void keep_small(sx *m, walk_stack *w)
{
    w->count = 0;
    if (w->capacity > WALK_KEEP)
        walk_release(m, w);
}

/* Appends the printed form, or nothing. The error is set unless memory or room
 * was out. */
static persist_status print(printer *p, value v)
{
    sx *m = p->m;
    CHECK(m->print_walk.count == 0 && m->print_order.count == 0);
    CHECK(p->out->size <= p->out->capacity);
    size_t size = p->out->size;
    p->error->status = PERSIST_OK;
    persist_status status = put_value(p, v);
    if (status == PERSIST_NOT_STORABLE)
        tell_where(p);
    keep_small(m, &m->print_walk);
    keep_small(m, &m->print_order);
    if (status != PERSIST_OK)
        p->out->size = size;
    return status;
}

persist_status sx_print(sx *m, value v, unsigned flags, sx_out *out,
                        persist_error *error)
{
    if (out == NULL)
        return status_set(error, PERSIST_BAD_REQUEST, "out must be given");
    persist_error local;
    printer p = {m, out, flags, error == NULL ? &local : error};
    size_t size_max = out->size_max;
    /* Shared data may print to far more than it takes. */
    if (size_max == 0)
        out->size_max = out->size + m->heap.max;
    persist_status status = print(&p, v);
    out->size_max = size_max;
    if (size_max == 0 && status == PERSIST_TOO_LARGE)
        status = PERSIST_LIMIT;
    if (status == PERSIST_OK || p.error->status != PERSIST_OK)
        return status;
    return status == PERSIST_TOO_LARGE
               ? status_set(p.error, status,
                            "the printed form is over the limit of %zu bytes",
                            size_max)
               : status_set(p.error, status,
                            "memory for the printed form is out");
}

prim_status text_put_value(sx *m, sx_out *out, value v, unsigned flags)
{
    CHECK(m->prim != NULL && out->size_max > 0);
    persist_error error;
    printer p = {m, out, flags, &error};
    if (print(&p, v) == PERSIST_OK)
        return PRIM_OK;
    if (error.status == PERSIST_OK)
        return PRIM_MEMORY;
    return fail(m, error.status, "%s: %s", m->prim->name, error.message);
}

void sx_out_release(sx_out *out)
{
    if (out == NULL)
        return;
    mem_free(out->data);
    *out = (sx_out){.size_max = out->size_max};
}

/* The string under a key of an error's dict. */
static bool error_text(sx *m, value v, const char *key, string **out)
{
    value found;
    if (!is_dict(v) || !dict_find(m, dict_of(v), slice_str(key), &found) ||
        !is_string(found))
        return false;
    *out = string_of(found);
    return true;
}

/* Cuts what was added since size, so that nobody is sent a whole heap. */
static persist_status shorten(sx_out *out, size_t size, persist_error *error)
{
    CHECK(out->size >= size);
    size_t cut = utf8_cut(out->data + size, out->size - size, FAILURE_MAX);
    if (cut == out->size - size)
        return PERSIST_OK;
    out->size = size + cut;
    if (text_put(out, slice_str("...")))
        return PERSIST_OK;
    out->size = size;
    return status_set(error, PERSIST_LIMIT, "no room for the message");
}

persist_status sx_print_failure(sx *m, value v, sx_out *out,
                                persist_error *error)
{
    string *error_code, *message;
    if (out == NULL)
        return status_set(error, PERSIST_BAD_REQUEST, "out must be given");
    size_t size = out->size;
    if (!error_text(m, v, "error", &error_code) ||
        !error_text(m, v, "message", &message)) {
        persist_status status = sx_print(m, v, 0, out, error);
        return status == PERSIST_OK ? shorten(out, size, error) : status;
    }
    if (text_put(out, string_slice(error_code)) &&
        text_put(out, slice_str(": ")) && text_put(out, string_slice(message)))
        return shorten(out, size, error);
    out->size = size;
    return status_set(error, PERSIST_LIMIT, "no room for the message");
}
