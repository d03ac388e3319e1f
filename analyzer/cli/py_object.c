#include "analyzer/cli/py_object.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum { MAX_ATTRIBUTES = 64 };

struct fields { struct hr_json *j; struct hr_py *py; unsigned left; };

static bool field_json(void *ctx, uint64_t name, uint64_t descr, uint64_t off)
{
    struct fields *f = ctx;
    struct hr_py_descr d;
    char text[256], dtype[40];
    hr_json_obj(f->j, NULL);
    hr_json_str(f->j, "name", hr_py_text(f->py, name, text, sizeof text) ? text : NULL);
    hr_json_str(f->j, "dtype", hr_py_descr(f->py, descr, &d) ? hr_py_dtype_str(f->py, &d, dtype, sizeof dtype) : NULL);
    hr_json_num(f->j, "offset", off);
    hr_json_end(f->j);
    return --f->left > 0;
}

static void addr_or_null(struct hr_json *j, const char *key, uint64_t addr)
{
    if (addr)
        hr_json_addr(j, key, addr);
    else
        hr_json_null(j, key);
}

static void array_json(struct hr_json *j, struct hr_py *py, const struct hr_py_ndarray *a)
{
    enum { MAX_FIELDS = 256 };
    static const struct { const char *name; uint32_t bit; } flags[] = {
        {"c_contiguous", HR_NPF_C}, {"f_contiguous", HR_NPF_F}, {"owndata", HR_NPF_OWNDATA}, {"aligned", HR_NPF_ALIGNED},
        {"writeable", HR_NPF_WRITEABLE}, {"writebackifcopy", HR_NPF_WRITEBACKIFCOPY},
    };
    char dtype[40];
    hr_json_obj(j, "array");
    hr_json_arr(j, "shape");
    for (uint32_t i = 0; i < a->nd; i++)
        hr_json_num(j, NULL, a->shape[i]);
    hr_json_end(j);
    hr_json_arr(j, "strides");
    for (uint32_t i = 0; i < a->nd; i++)
        hr_json_int(j, NULL, a->stride[i]);
    hr_json_end(j);
    hr_json_str(j, "dtype", hr_py_dtype_str(py, &a->d, dtype, sizeof dtype));
    hr_json_num(j, "itemsize", a->d.itemsize);
    hr_json_num(j, "nbytes", a->nbytes);
    hr_json_addr(j, "data", a->data);
    addr_or_null(j, "base", a->base);
    hr_json_addr(j, "descr", a->d.addr);
    hr_json_obj(j, "flags");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        hr_json_bool(j, flags[i].name, a->flags & flags[i].bit);
    hr_json_end(j);
    struct fields f = {j, py, MAX_FIELDS};
    if (a->d.names) {
        hr_json_arr(j, "fields");
        hr_py_fields(py, &a->d, field_json, &f);
        hr_json_end(j);
    } else {
        hr_json_null(j, "fields");
    }
    hr_json_end(j);
}

void hr_cli_array_json(struct hr_json *j, struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py_ndarray a;
    struct hr_py_buffer b;
    if (t->kind == HR_PK_NDARRAY) {
        if (hr_py_ndarray(py, addr, &a))
            array_json(j, py, &a);
        return;
    }
    if (t->kind == HR_PK_BYTES || !hr_py_buffer(py, addr, t, &b))
        return;
    hr_json_obj(j, "buffer");
    hr_json_addr(j, "data", b.data);
    hr_json_num(j, "nbytes", b.nbytes);
    hr_json_num(j, "kept", b.all);
    addr_or_null(j, "exporter", b.from);
    hr_json_end(j);
}

/* ---- one object ---- */
uint64_t hr_cli_object_at(struct hr_py *py, hr_id node, uint64_t addr)
{
    uint64_t obj = node != HR_NONE && node < py->heap->n ? hr_py_addr(py, node) : 0;
    if (!obj && (node == HR_NONE || node >= py->heap->n) && hr_py_object_type(py, addr) != HR_NONE)
        obj = addr;
    return obj;
}

struct attributes { struct hr_cli *c; struct hr_py *py; struct hr_json *j; unsigned n; };

static bool attribute(void *ctx, const char *name, uint64_t value)
{
    struct attributes *a = ctx;
    char text[HR_PY_REPR];
    if (a->n++ == MAX_ATTRIBUTES) {
        if (!a->j)
            hr_outf(&a->c->out, "    [more]\n");
        return false;
    }
    hr_py_repr(a->py, value, a->c->show_contents, text, a->j ? sizeof text : 120);
    if (a->j) {
        hr_json_obj(a->j, NULL);
        hr_json_str(a->j, "name", name);
        hr_json_addr(a->j, "target", value);
        hr_json_str(a->j, "value", text);
        hr_json_end(a->j);
        return true;
    }
    hr_outf(&a->c->out, "    .");
    hr_out_esc(&a->c->out, name);
    hr_outf(&a->c->out, " = ");
    hr_out_esc(&a->c->out, text);
    hr_outf(&a->c->out, "  (0x%llx)\n", (unsigned long long)value);
    return true;
}

void hr_cli_object_json(struct hr_cli *c, struct hr_json *j, struct hr_py *py, uint64_t obj)
{
    uint32_t ti = obj ? hr_py_object_type(py, obj) : HR_NONE;
    char value[HR_PY_REPR];
    if (ti == HR_NONE) {
        hr_json_null(j, "object");
        return;
    }
    const struct hr_py_type t = *hr_py_type(py, ti); /* a copy: reading values may add types */
    uint64_t n = hr_py_len(py, obj, &t);
    struct attributes a = {c, py, j, 0};
    hr_json_obj(j, "object");
    hr_json_addr(j, "addr", obj);
    hr_json_str(j, "type", hr_strs_get(c->s->strs, t.name));
    hr_json_num(j, "size", hr_py_sizeof(py, obj, &t));
    if (hr_py_immortal(py, obj))
        hr_json_str(j, "refcount", "immortal");
    else
        hr_json_int(j, "refcount", hr_py_refcount(py, obj));
    hr_json_str(j, "value", hr_py_repr(py, obj, c->show_contents, value, sizeof value));
    if (n != UINT64_MAX)
        hr_json_num(j, "len", n);
    else
        hr_json_null(j, "len");
    hr_cli_array_json(j, py, obj, &t);
    hr_json_arr(j, "attributes");
    if (t.kind != HR_PK_TYPE && t.kind != HR_PK_MODULE)
        hr_py_attributes(py, obj, &t, attribute, &a);
    hr_json_end(j);
    hr_json_end(j);
}

static void array_text(struct hr_cli *c, const struct hr_py_ndarray *a)
{
    struct hr_out *o = &c->out;
    bool cc = a->flags & HR_NPF_C, f = a->flags & HR_NPF_F;
    hr_outf(o, "    %s bytes at 0x%llx, strides (", hr_cli_count(c, a->nbytes), (unsigned long long)a->data);
    for (uint32_t i = 0; i < a->nd; i++)
        hr_outf(o, i + 1 < a->nd ? "%lld, " : i ? "%lld" : "%lld,", (long long)a->stride[i]);
    hr_outf(o, "), %s%s", cc && f ? "contiguous" : cc ? "C order" : f ? "Fortran order" : "not contiguous", a->flags & HR_NPF_WRITEABLE ? "" : ", read-only");
    if (a->flags & HR_NPF_OWNDATA)
        hr_outf(o, ", its own\n");
    else if (a->base)
        hr_outf(o, ", of 0x%llx\n", (unsigned long long)a->base);
    else
        hr_outf(o, ", somebody else's\n");
}

void hr_cli_object_text(struct hr_cli *c, struct hr_py *py, uint64_t obj)
{
    uint32_t ti = hr_py_object_type(py, obj);
    struct hr_out *o = &c->out;
    char value[1000];
    struct hr_py_ndarray a;
    struct hr_py_buffer b;
    if (ti == HR_NONE)
        return;
    const struct hr_py_type t = *hr_py_type(py, ti);
    uint64_t n = hr_py_len(py, obj, &t);
    hr_outf(o, "  object at 0x%llx: ", (unsigned long long)obj);
    hr_out_esc(o, hr_py_repr(py, obj, c->show_contents, value, sizeof value));
    hr_outf(o, "\n    getsizeof %s", hr_cli_count(c, hr_py_sizeof(py, obj, &t)));
    if (n != UINT64_MAX)
        hr_outf(o, ", len %s", hr_cli_count(c, n));
    if (hr_py_immortal(py, obj))
        hr_outf(o, ", immortal\n");
    else
        hr_outf(o, ", reference count %lld\n", (long long)hr_py_refcount(py, obj));
    if (t.kind == HR_PK_NDARRAY && hr_py_ndarray(py, obj, &a))
        array_text(c, &a);
    else if (t.kind != HR_PK_BYTES && hr_py_buffer(py, obj, &t, &b)) {
        hr_outf(o, "    %s bytes at 0x%llx", hr_cli_count(c, b.nbytes), (unsigned long long)b.data);
        if (b.from)
            hr_outf(o, ", of 0x%llx", (unsigned long long)b.from);
        hr_outf(o, "\n");
    }
    struct attributes at = {c, py, NULL, 0};
    if (t.kind != HR_PK_TYPE && t.kind != HR_PK_MODULE)
        hr_py_attributes(py, obj, &t, attribute, &at);
}
