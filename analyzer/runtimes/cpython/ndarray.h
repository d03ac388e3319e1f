/* NumPy: arrays, dtype objects and scalars as they lie in the image, of NumPy 1.16 to 2.x. Private to the cpython runtime and the
 * model's tables of arrays.
 *
 * The words of an ndarray are those of PyArrayObject_fields (numpy/ndarraytypes.h) in every version: data, nd, dimensions, strides,
 * base, descr, flags, weakrefs; 1.20 added buffer info, 1.22 the memory handler. A dtype object changed with 2.0; which of the
 * two it is, is told by a dtype whose item size is known from its letter, then by the sizes of the types. */
#ifndef HR_RUNTIMES_CPYTHON_NDARRAY_H
#define HR_RUNTIMES_CPYTHON_NDARRAY_H

#include "analyzer/runtimes/cpython/refs.h"

enum {
    HR_NP_DIMS = 64,      /* NPY_MAXDIMS: 32 in NumPy 1, 64 in 2 */
    HR_NP_LEAVES = 256,   /* parts of a structured item looked at: more is a file format, not a record */
    HR_NP_DEPTH = 16,     /* of structures within structures */
    /* flags (numpy/ndarraytypes.h) */
    HR_NPF_C = 1, HR_NPF_F = 2, HR_NPF_OWNDATA = 4, HR_NPF_ALIGNED = 0x100, HR_NPF_WRITEABLE = 0x400, HR_NPF_WRITEBACKIFCOPY = 0x2000,
};

struct hr_py_descr {
    uint64_t addr, itemsize, subarray, fields, names, metadata, c_metadata; /* addresses of objects or structures, 0 none */
    char kind, type, order;   /* 'f', 'd', '<': as np.dtype says; order is '<', '>' or '|' */
    int32_t type_num;
    bool objects;             /* items hold references */
    bool swapped;             /* not the byte order of the image */
};

struct hr_py_ndarray {
    uint64_t data, dims, base, handler;
    uint32_t nd, flags;
    uint64_t shape[HR_NP_DIMS];
    int64_t stride[HR_NP_DIMS];
    uint64_t items, nbytes;
    struct hr_py_descr d;
};

/* A part of an item that is no structure. */
struct hr_py_leaf { uint64_t off; struct hr_py_descr d; };

/* ---- ndarray.c ---- */
bool hr_py_descr(struct hr_py *py, uint64_t addr, struct hr_py_descr *ret);
bool hr_py_ndarray(struct hr_py *py, uint64_t addr, struct hr_py_ndarray *ret);
/* The fields of a structured dtype: name (an object), dtype, offset. False: it has none. fn returns false to stop. */
typedef bool hr_py_field_fn(void *ctx, uint64_t name, uint64_t descr, uint64_t off);
bool hr_py_fields(struct hr_py *py, const struct hr_py_descr *d, hr_py_field_fn *fn, void *ctx);
/* The parts of an item in the order of their fields; a plain item is its only part. At most HR_NP_LEAVES. */
unsigned hr_py_leaves(struct hr_py *py, const struct hr_py_descr *d, struct hr_py_leaf *leaves);
void hr_py_ndarray_refs(const struct hr_py_out *o, const struct hr_py_type *t);
void hr_py_dtype_refs(const struct hr_py_out *o);
void hr_py_void_refs(const struct hr_py_out *o);
/* 1 or 2; 0: no NumPy object was seen yet. */
unsigned hr_py_numpy_major(const struct hr_py *py);

/* ---- ndarray_value.c ---- */
/* dtype.str: "<f8", "|O", "<M8[ns]"; returns buf. */
char *hr_py_dtype_str(const struct hr_py *py, const struct hr_py_descr *d, char *buf, size_t cap);
/* One number of a plain dtype as Python would say it; false: no number. */
bool hr_py_item_text(const struct hr_py *py, const struct hr_py_descr *d, uint64_t at, char *buf, size_t cap);
/* What a scalar holds: its letter and where; false when the type is none of NumPy's numbers. */
bool hr_py_scalar(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_descr *d, uint64_t *at);

#endif
