/* Facts about arrays, buffers and sequences of numbers, for rules: what a smaller dtype would hold, equal and constant arrays, buffers
 * that only small views keep, lists that an array or a range would hold. Computed once, when a rule asks. */
#ifndef HR_RUNTIMES_CPYTHON_ARRAYS_H
#define HR_RUNTIMES_CPYTHON_ARRAYS_H

#include "analyzer/runtimes/cpython/py.h"

/* One ndarray. */
struct hr_py_array {
    uint64_t addr, items, nbytes;
    hr_id node;
    uint32_t type;           /* index in py->types */
    hr_str dtype;            /* "<f8" */
    bool owns, contiguous, object;
};
HR_VEC(hr_pyarrayvec, struct hr_py_array)

enum hr_py_array_waste_kind { HR_PA_NARROW, HR_PA_COPY, HR_PA_CONSTANT };
/* One array that could be smaller, or need not be. */
struct hr_py_array_waste {
    uint32_t array;          /* index in the vector of arrays */
    uint8_t kind;
    bool zero;               /* CONSTANT: all bits are zero */
    hr_str fits;             /* NARROW: the dtype that holds all values as they are */
    uint64_t first;          /* COPY: address of the array it equals */
    uint64_t saves, checked; /* bytes; items looked at (fewer than there are: a sample) */
};
HR_VEC(hr_pyarraywastevec, struct hr_py_array_waste)

/* A buffer that nothing but views refers to, and which they do not need whole. */
struct hr_py_pinned {
    uint64_t addr, bytes;    /* whose memory it is; how much */
    uint32_t type;
    uint64_t views, used, span; /* how many look at it; bytes they show; bytes from the first to the last of them */
    uint64_t view;           /* the largest */
    uint32_t view_type;
};
HR_VEC(hr_pypinnedvec, struct hr_py_pinned)

enum hr_py_numbers_kind { HR_PN_LIST, HR_PN_TUPLE, HR_PN_ARRAY };
/* A list, tuple or object array of nothing but numbers that one dtype holds. */
struct hr_py_numbers {
    uint64_t addr, items, bytes, saves; /* bytes: places and numbers that nothing else refers to */
    uint32_t type;
    uint8_t kind;
    bool range;              /* equal steps */
    int64_t start, step;
    hr_str dtype;            /* what np.asarray() would make of it */
};
HR_VEC(hr_pynumbersvec, struct hr_py_numbers)

struct hr_py_arrays {
    struct hr_pyarrayvec list;
    struct hr_pyarraywastevec waste;
    struct hr_pypinnedvec pinned;
    struct hr_pynumbersvec numbers;
    uint64_t budget;         /* bytes of array data that may still be read whole */
    bool short_of;           /* it did not suffice */
};

/* Fills py->arrays; NULL-safe to free. */
enum hr_status hr_py_arrays(struct hr_py *py) HR_MUST;
void hr_py_arrays_free(struct hr_py_arrays *a);

/* ---- arrays_scan.c ---- */
struct hr_py_ndarray;
struct hr_py_scan {
    bool constant, zero;
    char kind;               /* of the dtype that fits, 0: none is smaller */
    uint64_t itemsize;       /* its */
    uint64_t checked;        /* items */
};
/* Reads an array's items until nothing more can be said of them, or the budget is used up: then the first part only. */
void hr_py_array_scan(const struct hr_py *py, const struct hr_py_ndarray *a, uint64_t *budget, struct hr_py_scan *ret);
/* ---- arrays_same.c ---- */
enum hr_status hr_py_arrays_same(struct hr_py *py, struct hr_py_arrays *a) HR_MUST;
/* ---- arrays_pinned.c ---- */
enum hr_status hr_py_arrays_pinned(struct hr_py *py, struct hr_py_arrays *a) HR_MUST;
/* ---- numbers_seq.c ---- */
enum hr_status hr_py_arrays_numbers(struct hr_py *py, struct hr_py_arrays *a) HR_MUST;

#endif
