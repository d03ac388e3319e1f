/* Lists, tuples and object arrays that hold nothing but numbers: what np.asarray() or array.array would make of them, and which are a
 * range. Counted as saved: the places, and the numbers that nothing else refers to. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/values.h"

enum { FEW = 16, RANGE_BYTES = 48 };
#define EXACT_DOUBLE (1ll << 53)

struct items {
    struct hr_py *py;
    uint64_t n, boxes;         /* items seen; bytes of numbers that only this refers to */
    bool ints, floats, bools, complexes, range;
    struct hr_py_descr scalar; /* of NumPy's scalars; itemsize 0: none seen */
    int64_t first, before, step;
    bool wide;                 /* an int that no double holds exactly */
    uint64_t type_int, type_float, type_bool, type_complex; /* the types met, to compare addresses and not names */
};

/* Value of an int; false: it needs more than 64 bits. */
static bool int_value(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t, int64_t *ret)
{
    uint64_t n, v = 0, digit;
    if (t->kind == HR_PK_INT2) {
        *ret = hr_py_ssize(py, addr, HR_PY_INT_IVAL);
        return true;
    }
    int sign = hr_py_int_digits(py, addr, &n);
    if (!sign || !n) {
        *ret = 0;
        return true;
    }
    if (n > 3)
        return false;
    for (uint64_t i = n; i-- > 0;) {
        if (!hr_image_uint(py->img, addr + (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4 * i, 4, &digit) || (i == 2 && digit >= 8))
            return false;
        v = v << 30 | (digit & 0x3fffffff);
    }
    if (v > (uint64_t)INT64_MAX)
        return false;
    *ret = sign < 0 ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool plain(struct items *x, const struct hr_py_type *t, uint64_t *known, const char *name)
{
    if (*known)
        return *known == t->addr;
    if (t->flags & HR_PYF_HEAPTYPE || strcmp(hr_strs_get(x->py->img->strs, t->name), name))
        return false;
    *known = t->addr;
    return true;
}

static bool integer(struct items *x, uint64_t addr, const struct hr_py_type *t)
{
    int64_t v, step;
    if (plain(x, t, &x->type_bool, "bool")) {
        x->bools = true;
        return true;
    }
    if ((!plain(x, t, &x->type_int, "int") && strcmp(hr_strs_get(x->py->img->strs, t->name), "long")) || !int_value(x->py, addr, t, &v))
        return false;
    x->ints = true;
    x->wide |= v > EXACT_DOUBLE || v < -EXACT_DOUBLE;
    if (!x->n)
        x->first = v;
    if (__builtin_sub_overflow(v, x->before, &step))
        x->range = false;
    else if (x->n == 1)
        x->step = step;
    else if (x->n > 1 && step != x->step)
        x->range = false;
    x->before = v;
    return true;
}

static bool scalar(struct items *x, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py_descr d;
    uint64_t at;
    if (!hr_py_scalar(x->py, addr, t, &d, &at) || !strchr("biufc", d.kind))
        return false;
    if (x->scalar.itemsize && (x->scalar.kind != d.kind || x->scalar.itemsize != d.itemsize))
        return false;
    x->scalar = d;
    return true;
}

static bool number(struct items *x, uint64_t addr)
{
    struct hr_py *py = x->py;
    uint32_t type = hr_py_object_type(py, addr);
    if (type == HR_NONE)
        return false;
    const struct hr_py_type t = *hr_py_type(py, type);
    bool good = false;
    switch (t.kind) {
    case HR_PK_INT: case HR_PK_INT2: good = integer(x, addr, &t); break;
    case HR_PK_FLOAT: good = x->floats |= plain(x, &t, &x->type_float, "float"); break;
    case HR_PK_COMPLEX: good = x->complexes |= plain(x, &t, &x->type_complex, "complex"); break;
    case HR_PK_NPSCALAR: good = scalar(x, addr, &t); break;
    default: break;
    }
    if (!good)
        return false;
    if (t.kind != HR_PK_INT && t.kind != HR_PK_INT2)
        x->range = false;
    if (hr_py_refcount(py, addr) == 1 && !hr_py_immortal(py, addr)) {
        hr_id node = hr_py_node(py, addr);
        x->boxes += node != HR_NONE ? hr_py_usable(py, node) : t.kind == HR_PK_INT2 || t.kind == HR_PK_FLOAT ? t.basicsize : 0;
    }
    x->n++;
    return true;
}

static bool all_numbers(struct items *x, uint64_t at, uint64_t n)
{
    unsigned word = x->py->img->word;
    while (n) {
        struct hr_span b = hr_image_peek(x->py->img, at, n * word);
        uint64_t have = b.n / word;
        if (!have)
            return false;
        for (uint64_t i = 0; i < have; i++)
            if (!number(x, hr_word_load(b.p + i * word, word, x->py->img->big)))
                return false;
        at += have * word;
        n -= have;
    }
    return true;
}

/* The one dtype that holds them all as they are; false: none does. */
static bool dtype_of(const struct items *x, struct hr_py_descr *d)
{
    unsigned kinds = (x->ints || x->floats) + x->bools + x->complexes + (x->scalar.itemsize > 0);
    *d = (struct hr_py_descr){.order = x->py->img->big ? '>' : '<', .itemsize = 8};
    if (kinds != 1 || (x->floats && x->ints && x->wide))
        return false;
    if (x->scalar.itemsize) {
        d->kind = x->scalar.kind;
        d->itemsize = x->scalar.itemsize;
    } else if (x->complexes) {
        d->kind = 'c';
        d->itemsize = 16;
    } else if (x->bools) {
        d->kind = 'b';
        d->itemsize = 1;
    } else {
        d->kind = x->floats ? 'f' : 'i';
    }
    if (d->itemsize == 1)
        d->order = '|';
    return true;
}

/* Where the items lie, and how many bytes their places take. */
static uint64_t places(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, uint64_t *n, uint64_t *bytes, uint8_t *kind)
{
    struct hr_py_ndarray a;
    uint64_t at = 0, word = py->img->word;
    *n = hr_py_len(py, addr, t);
    if (t->kind == HR_PK_LIST) {
        *kind = HR_PN_LIST;
        at = hr_py_word(py->c, addr, HR_PY_LIST_ITEMS);
        *bytes = hr_py_block_left(py, at);
        *n = hr_min(*n, *bytes / word);
    } else if (t->kind == HR_PK_TUPLE) {
        *kind = HR_PN_TUPLE;
        at = addr + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS];
        *n = hr_min(*n, hr_py_block_left(py, at) / word);
        *bytes = *n * word;
    } else if (t->kind == HR_PK_NDARRAY && hr_py_ndarray(py, addr, &a) && a.d.type == 'O' && a.flags & HR_NPF_OWNDATA && a.flags & (HR_NPF_C | HR_NPF_F)) {
        *kind = HR_PN_ARRAY;
        at = a.data;
        *n = hr_min(a.items, hr_py_block_left(py, at) / word);
        *bytes = *n * word;
    }
    return at;
}

static enum hr_status look_at(struct hr_py *py, struct hr_py_arrays *all, hr_id id)
{
    const struct hr_py_type t = *hr_py_type(py, py->object[id]);
    struct items x = {.py = py, .range = true};
    struct hr_py_numbers row = {.addr = hr_py_addr(py, id), .type = py->object[id]};
    struct hr_py_descr d;
    uint64_t n = 0, bytes = 0, at = places(py, row.addr, &t, &n, &bytes, &row.kind);
    char dtype[40];
    if (!at || n < FEW || n == UINT64_MAX || !all_numbers(&x, at, n) || !dtype_of(&x, &d))
        return HR_OK;
    row.items = n;
    row.bytes = bytes + x.boxes;
    row.range = x.range && x.step;
    row.start = x.first;
    row.step = x.step;
    uint64_t then = row.range ? RANGE_BYTES : n * d.itemsize;
    row.saves = row.bytes > then ? row.bytes - then : 0;
    HR_TRY(hr_strs_addz(py->img->strs, hr_py_dtype_str(py, &d, dtype, sizeof dtype), &row.dtype));
    return hr_pynumbersvec_push(&all->numbers, row);
}

enum hr_status hr_py_arrays_numbers(struct hr_py *py, struct hr_py_arrays *all)
{
    for (hr_id id = 0; id < py->heap->n; id++) {
        uint8_t kind = py->object[id] == HR_NONE ? HR_PK_NONE : hr_py_type(py, py->object[id])->kind;
        if (kind == HR_PK_LIST || kind == HR_PK_TUPLE || kind == HR_PK_NDARRAY)
            HR_TRY(look_at(py, all, id));
    }
    return HR_OK;
}
