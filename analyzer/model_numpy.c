/* Tables about arrays, views and sequences of numbers of a Python heap. Empty without one. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/ndarray.h"

static struct hr_py *python(struct hr_session *s)
{
    struct hr_py *py = s->runtimes ? hr_runtimes_self(s->runtimes, "cpython") : NULL;
    return py && hr_py_arrays(py) == HR_OK ? py : NULL;
}

static const char *no_numpy(void *ctx)
{
    const char *why = hr_model_no_python(ctx);
    struct hr_py *py = why ? NULL : python(S);
    return why ? why : py && !hr_py_numpy_major(py) ? "the process had not loaded NumPy" : NULL;
}

static void sint(struct hr_value *v, int64_t n) { *v = (struct hr_value){.kind = HR_V_NUM, .i = n}; }
static void name(struct hr_session *s, hr_str id, struct hr_value *ret)
{
    if (id)
        text(ret, hr_strs_get(s->strs, id));
    else
        ret->kind = HR_V_UNKNOWN;
}
static const char *type_name(struct hr_session *s, uint32_t t) { return hr_strs_get(s->strs, hr_py_type(python(s), t)->name); }
static bool subject(struct hr_session *s, uint64_t at, uint32_t type, uint64_t *addr, char *buf, size_t cap)
{
    *addr = at;
    snprintf(buf, cap, "%s", type_name(s, type));
    return true;
}

/* ---- arrays ---- */
static const struct hr_py_array *arr(void *ctx, uint64_t row) { return &python(S)->arrays->list.v[row]; }
static uint64_t arrays_count(void *ctx) { return python(S) ? python(S)->arrays->list.n : 0; }

static void shape(struct hr_session *s, uint64_t addr, struct hr_value *ret)
{
    static _Thread_local char b[300];
    struct hr_py_ndarray a;
    size_t n = 0;
    ret->kind = HR_V_UNKNOWN;
    if (!hr_py_ndarray(python(s), addr, &a))
        return;
    b[n++] = '(';
    for (uint32_t i = 0; i < a.nd && n + 24 < sizeof b; i++)
        n += (size_t)snprintf(b + n, sizeof b - n, i + 1 < a.nd ? "%llu, " : i ? "%llu" : "%llu,", (unsigned long long)a.shape[i]);
    snprintf(b + n, sizeof b - n, ")");
    text(ret, b);
}
GET(a_addr) { num(ret, arr(ctx, row)->addr); }
GET(a_type) { text(ret, type_name(S, arr(ctx, row)->type)); }
GET(a_dtype) { name(S, arr(ctx, row)->dtype, ret); }
GET(a_shape) { shape(S, arr(ctx, row)->addr, ret); }
GET(a_items) { num(ret, arr(ctx, row)->items); }
GET(a_nbytes) { num(ret, arr(ctx, row)->nbytes); }
GET(a_owns) { boolean(ret, arr(ctx, row)->owns); }
GET(a_contiguous) { boolean(ret, arr(ctx, row)->contiguous); }
GET(a_object) { boolean(ret, arr(ctx, row)->object); }
static bool a_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, arr(ctx, row)->addr, arr(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr array_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address", a_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "numpy.ndarray or a subclass", a_type, NULL, 0, NULL},
    {"dtype", HR_V_STR, HR_COST_OBJECT, 0, "dtype.str, as \"<f8\"", a_dtype, NULL, 0, NULL},
    {"shape", HR_V_STR, HR_COST_OBJECT, 0, "as \"(3, 4)\"", a_shape, NULL, 0, NULL},
    {"items", HR_V_NUM, HR_COST_OBJECT, 0, "items", a_items, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of its items (nbytes), whoever owns them", a_nbytes, NULL, 0, NULL},
    {"owns", HR_V_BOOL, HR_COST_OBJECT, 0, "the memory of the items is its own", a_owns, NULL, 0, NULL},
    {"contiguous", HR_V_BOOL, HR_COST_OBJECT, 0, "items lie side by side, in C or Fortran order", a_contiguous, NULL, 0, NULL},
    {"object", HR_V_BOOL, HR_COST_OBJECT, 0, "items are, or contain, references to objects", a_object, NULL, 0, NULL},
};

/* ---- array_waste ---- */
static const struct hr_py_array_waste *waste(void *ctx, uint64_t row) { return &python(S)->arrays->waste.v[row]; }
static const struct hr_py_array *wasted(void *ctx, uint64_t row) { return arr(ctx, waste(ctx, row)->array); }
static uint64_t waste_count(void *ctx) { return python(S) ? python(S)->arrays->waste.n : 0; }
static const char *const waste_kinds[] = {[HR_PA_NARROW] = "narrow", [HR_PA_COPY] = "copy", [HR_PA_CONSTANT] = "constant"};
GET(w_addr) { num(ret, wasted(ctx, row)->addr); }
GET(w_type) { text(ret, type_name(S, wasted(ctx, row)->type)); }
GET(w_dtype) { name(S, wasted(ctx, row)->dtype, ret); }
GET(w_shape) { shape(S, wasted(ctx, row)->addr, ret); }
GET(w_items) { num(ret, wasted(ctx, row)->items); }
GET(w_nbytes) { num(ret, wasted(ctx, row)->nbytes); }
GET(w_kind) { text(ret, waste_kinds[waste(ctx, row)->kind]); }
GET(w_fits) { name(S, waste(ctx, row)->fits, ret); }
GET(w_zero) { boolean(ret, waste(ctx, row)->zero); }
GET(w_saves) { num(ret, waste(ctx, row)->saves); }
GET(w_checked) { num(ret, waste(ctx, row)->checked); }
GET(w_first)
{
    if (waste(ctx, row)->first)
        num(ret, waste(ctx, row)->first);
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(w_sampled) { boolean(ret, waste(ctx, row)->checked < wasted(ctx, row)->items); }
GET(w_surety) { num(ret, waste(ctx, row)->checked < wasted(ctx, row)->items ? HR_SURE_INFERRED : HR_SURE_EXACT); }
static bool w_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, wasted(ctx, row)->addr, wasted(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr waste_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address of the array", w_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "numpy.ndarray or a subclass", w_type, NULL, 0, NULL},
    {"dtype", HR_V_STR, HR_COST_OBJECT, 0, "its dtype.str", w_dtype, NULL, 0, NULL},
    {"shape", HR_V_STR, HR_COST_OBJECT, 0, "as \"(3, 4)\"", w_shape, NULL, 0, NULL},
    {"items", HR_V_NUM, HR_COST_OBJECT, 0, "items", w_items, NULL, 0, NULL},
    {"nbytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of its items now", w_nbytes, NULL, 0, NULL},
    {"kind", HR_V_STR, HR_COST_OBJECT, 0, "narrow: a smaller dtype holds all values as they are; copy: equal to another array; constant: one value", w_kind, NULL, 0, NULL},
    {"fits", HR_V_STR, HR_COST_OBJECT, 0, "narrow: the smaller dtype", w_fits, NULL, 0, NULL},
    {"zero", HR_V_BOOL, HR_COST_OBJECT, 0, "constant: and all bits of it are zero", w_zero, NULL, 0, NULL},
    {"first", HR_V_NUM, HR_COST_OBJECT, 0, "copy: address of the array it equals", w_first, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes saved", w_saves, NULL, 0, NULL},
    {"checked", HR_V_NUM, HR_COST_OBJECT, 0, "items looked at: fewer than all in a sample", w_checked, NULL, 0, NULL},
    {"sampled", HR_V_BOOL, HR_COST_OBJECT, 0, "not all items were looked at", w_sampled, NULL, 0, NULL},
    {"surety", HR_V_NUM, HR_COST_OBJECT, 0, "exact when all items were looked at", w_surety, NULL, 0, NULL},
};

/* ---- pinned ---- */
static const struct hr_py_pinned *pin(void *ctx, uint64_t row) { return &python(S)->arrays->pinned.v[row]; }
static uint64_t pinned_count(void *ctx) { return python(S) ? python(S)->arrays->pinned.n : 0; }
GET(p_addr) { num(ret, pin(ctx, row)->addr); }
GET(p_type) { text(ret, type_name(S, pin(ctx, row)->type)); }
GET(p_size) { num(ret, pin(ctx, row)->bytes); }
GET(p_views) { num(ret, pin(ctx, row)->views); }
GET(p_used) { num(ret, pin(ctx, row)->used); }
GET(p_span) { num(ret, pin(ctx, row)->span); }
GET(p_bytes) { num(ret, pin(ctx, row)->bytes - pin(ctx, row)->used); }
GET(p_view) { num(ret, pin(ctx, row)->view); }
GET(p_view_type) { text(ret, type_name(S, pin(ctx, row)->view_type)); }
static bool p_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, pin(ctx, row)->view, pin(ctx, row)->view_type, addr, buf, cap);
}
static const struct hr_attr pinned_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address of the object whose memory it is", p_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "its type", p_type, NULL, 0, NULL},
    {"size", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of its memory", p_size, NULL, 0, NULL},
    {"views", HR_V_NUM, HR_COST_OBJECT, 0, "arrays and memoryviews that look at it", p_views, NULL, 0, NULL},
    {"used", HR_V_NUM, HR_COST_OBJECT, 0, "bytes they show", p_used, NULL, 0, NULL},
    {"span", HR_V_NUM, HR_COST_OBJECT, 0, "bytes from the first to the last that they show", p_span, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes that nobody can reach any more", p_bytes, NULL, 0, NULL},
    {"view", HR_V_NUM, HR_COST_OBJECT, 0, "address of the view that shows most", p_view, NULL, 0, NULL},
    {"view_type", HR_V_STR, HR_COST_OBJECT, 0, "its type", p_view_type, NULL, 0, NULL},
};

/* ---- numbers ---- */
static const struct hr_py_numbers *seq(void *ctx, uint64_t row) { return &python(S)->arrays->numbers.v[row]; }
static uint64_t numbers_count(void *ctx) { return python(S) ? python(S)->arrays->numbers.n : 0; }
static const char *const number_kinds[] = {[HR_PN_LIST] = "list", [HR_PN_TUPLE] = "tuple", [HR_PN_ARRAY] = "object array"};
GET(n_addr) { num(ret, seq(ctx, row)->addr); }
GET(n_type) { text(ret, type_name(S, seq(ctx, row)->type)); }
GET(n_kind) { text(ret, number_kinds[seq(ctx, row)->kind]); }
GET(n_items) { num(ret, seq(ctx, row)->items); }
GET(n_now) { num(ret, seq(ctx, row)->bytes); }
GET(n_dtype) { name(S, seq(ctx, row)->dtype, ret); }
GET(n_range) { boolean(ret, seq(ctx, row)->range); }
GET(n_saves) { num(ret, seq(ctx, row)->saves); }
static void only_of_ranges(void *ctx, uint64_t row, int64_t v, struct hr_value *ret)
{
    if (seq(ctx, row)->range)
        sint(ret, v);
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(n_start) { only_of_ranges(ctx, row, seq(ctx, row)->start, ret); }
GET(n_step) { only_of_ranges(ctx, row, seq(ctx, row)->step, ret); }
static bool n_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, seq(ctx, row)->addr, seq(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr number_attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address", n_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "its type", n_type, NULL, 0, NULL},
    {"kind", HR_V_STR, HR_COST_OBJECT, 0, "list, tuple or object array", n_kind, NULL, 0, NULL},
    {"items", HR_V_NUM, HR_COST_OBJECT, 0, "numbers in it", n_items, NULL, 0, NULL},
    {"size", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of the places, and of the numbers that nothing else refers to", n_now, NULL, 0, NULL},
    {"dtype", HR_V_STR, HR_COST_OBJECT, 0, "dtype.str of the array that would hold them as they are", n_dtype, NULL, 0, NULL},
    {"range", HR_V_BOOL, HR_COST_OBJECT, 0, "whole numbers in equal steps", n_range, NULL, 0, NULL},
    {"start", HR_V_NUM, HR_COST_OBJECT, 0, "of a range", n_start, NULL, 0, NULL},
    {"step", HR_V_NUM, HR_COST_OBJECT, 0, "of a range", n_step, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes saved by an array, or by a range", n_saves, NULL, 0, NULL},
};

#define TABLE(name_, doc_, count_, attrs_, subject_, absent_)                                                                   \
    (struct hr_table){.name = name_, .doc = doc_, .needs = HR_NEED_REACH, .count = count_, .attrs = attrs_,                     \
                      .nattrs = sizeof attrs_ / sizeof *attrs_, .ctx = s, .subject = subject_, .absent = absent_}

size_t hr_model_numpy(struct hr_table *t, struct hr_session *s)
{
    t[0] = TABLE("arrays", "NumPy arrays", arrays_count, array_attrs, a_subject, no_numpy);
    t[1] = TABLE("array_waste", "NumPy arrays that could be smaller", waste_count, waste_attrs, w_subject, no_numpy);
    t[2] = TABLE("pinned", "buffers of a Python that only views keep", pinned_count, pinned_attrs, p_subject, hr_model_no_python);
    t[3] = TABLE("numbers", "lists, tuples and object arrays of nothing but numbers", numbers_count, number_attrs, n_subject, hr_model_no_python);
    return 4;
}
