/* Tables of a Python heap that rules may ask: equal strings, bytes and tuples; containers and their slack. Empty without a Python. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

static struct hr_py *python(struct hr_session *s)
{
    struct hr_py *py = s->runtimes ? hr_runtimes_self(s->runtimes, "cpython") : NULL;
    return py && hr_py_waste(py) == HR_OK ? py : NULL;
}

const char *hr_model_no_python(void *ctx)
{
    return S->runtimes && hr_runtimes_self(S->runtimes, "cpython") ? NULL : "there is no CPython in the image";
}

void hr_model_allocated_at(struct hr_session *s, uint32_t block, struct hr_value *ret)
{
    static _Thread_local char b[600];
    struct hr_py *py = s->runtimes ? hr_runtimes_self(s->runtimes, "cpython") : NULL;
    ret->kind = HR_V_UNKNOWN;
    if (py && hr_py_tracemalloc(py) == HR_OK && hr_py_allocated_at(py, block, b, sizeof b))
        *ret = (struct hr_value){.kind = HR_V_STR, .s = b, .n = strlen(b)};
}

static const char *type_name(struct hr_session *s, uint32_t t) { return hr_strs_get(s->strs, hr_py_type(python(s), t)->name); }

/* ---- strings: groups of equal objects ---- */
static const struct hr_py_same *same(void *ctx, uint64_t row) { return &python(S)->same.v[row]; }
static uint64_t strings_count(void *ctx) { return python(S) ? python(S)->same.n : 0; }
GET(s_addr) { num(ret, same(ctx, row)->addr); }
GET(s_type) { text(ret, type_name(S, same(ctx, row)->type)); }
GET(s_count) { num(ret, same(ctx, row)->count); }
GET(s_each) { num(ret, same(ctx, row)->bytes); }
GET(s_waste) { num(ret, same(ctx, row)->waste); }
GET(s_length) { num(ret, hr_py_len(python(S), same(ctx, row)->addr, hr_py_type(python(S), same(ctx, row)->type))); }
GET(s_text)
{
    static _Thread_local char b[256];
    text(ret, hr_py_repr(python(S), same(ctx, row)->addr, true, b, sizeof b));
}
GET(s_allocated_at) { hr_model_allocated_at(S, same(ctx, row)->traced, ret); }
static bool s_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = same(ctx, row)->addr;
    snprintf(buf, cap, "%s", type_name(S, same(ctx, row)->type));
    return true;
}
static const struct hr_attr string_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address of the first of them", s_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "str, bytes or tuple", s_type, NULL, 0, NULL},
    {"count", HR_V_NUM, HR_COST_OBJECT, 0, "how many equal ones there are", s_count, NULL, 0, NULL},
    {"size", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of the block of one", s_each, NULL, 0, NULL},
    {"waste", HR_V_NUM, HR_COST_OBJECT, 0, "bytes that all but one take", s_waste, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "the same", s_waste, NULL, 0, NULL},
    {"length", HR_V_NUM, HR_COST_OBJECT, 0, "characters, bytes or items of one", s_length, NULL, 0, NULL},
    {"text", HR_V_STR, HR_COST_OBJECT, HR_NEED_STRINGS, "what it says", s_text, NULL, 0, NULL},
    {"allocated_at", HR_V_STR, HR_COST_OBJECT, 0, "file and line that allocated one of them (most, if there is such a line), where tracemalloc ran",
     s_allocated_at, NULL, 0, NULL},
};

/* ---- containers ---- */
static const struct hr_py_container *box(void *ctx, uint64_t row) { return &python(S)->containers.v[row]; }
static uint64_t containers_count(void *ctx) { return python(S) ? python(S)->containers.n : 0; }
GET(b_addr) { num(ret, box(ctx, row)->addr); }
GET(b_type) { text(ret, type_name(S, python(S)->object[box(ctx, row)->node])); }
GET(b_kind)
{
    uint8_t k = box(ctx, row)->kind;
    text(ret, k == HR_PK_LIST ? "list" : k == HR_PK_DICT ? "dict" : k == HR_PK_SET ? "set" : k == HR_PK_DEQUE ? "deque" : k == HR_PK_ODICT ? "OrderedDict" : "bytearray");
}
GET(b_capacity) { num(ret, box(ctx, row)->capacity); }
GET(b_used) { num(ret, box(ctx, row)->used); }
GET(b_slack) { num(ret, box(ctx, row)->slack); }
GET(b_size) { num(ret, hr_block_size(S->heap, box(ctx, row)->node)); }
GET(b_fill)
{
    const struct hr_py_container *c = box(ctx, row);
    *ret = (struct hr_value){.kind = HR_V_NUM, .is_float = 1, .f = c->capacity ? (double)c->used / (double)c->capacity : 1};
}
GET(b_allocated_at) { hr_model_allocated_at(S, box(ctx, row)->node, ret); }
static bool b_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = box(ctx, row)->addr;
    snprintf(buf, cap, "%s", type_name(S, python(S)->object[box(ctx, row)->node]));
    return true;
}
static const struct hr_attr container_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address", b_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "its type", b_type, NULL, 0, NULL},
    {"kind", HR_V_STR, HR_COST_OBJECT, 0, "list, dict, OrderedDict, set, deque or bytearray, subclasses included", b_kind, NULL, 0, NULL},
    {"capacity", HR_V_NUM, HR_COST_OBJECT, 0, "items it has room for before it grows", b_capacity, NULL, 0, NULL},
    {"used", HR_V_NUM, HR_COST_OBJECT, 0, "items in it", b_used, NULL, 0, NULL},
    {"slack", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of the room nobody uses", b_slack, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "the same", b_slack, NULL, 0, NULL},
    {"size", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of its own block, without its table", b_size, NULL, 0, NULL},
    {"fill", HR_V_NUM, HR_COST_OBJECT, 0, "used divided by capacity", b_fill, NULL, 0, NULL},
    {"allocated_at", HR_V_STR, HR_COST_OBJECT, 0, "file and line that allocated it, where tracemalloc ran", b_allocated_at, NULL, 0, NULL},
};

size_t hr_model_python(struct hr_table *t, struct hr_session *s)
{
    t[0] = (struct hr_table){.name = "strings", .doc = "equal strings, bytes and tuples of a Python, by group", .needs = HR_NEED_REACH,
                             .count = strings_count, .attrs = string_attrs, .nattrs = sizeof string_attrs / sizeof *string_attrs, .ctx = s,
                             .absent = hr_model_no_python, .subject = s_subject};
    t[1] = (struct hr_table){.name = "containers", .doc = "lists, dicts, sets, deques and bytearrays of a Python", .needs = HR_NEED_REACH,
                             .count = containers_count, .attrs = container_attrs, .nattrs = sizeof container_attrs / sizeof *container_attrs,
                             .ctx = s, .absent = hr_model_no_python, .subject = b_subject};
    return 2;
}
