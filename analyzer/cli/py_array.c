/* Arrays and buffers of a Python object, as JSON. */
#include "analyzer/cli/py_array.h"
#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/ndarray.h"

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
