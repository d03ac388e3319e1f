#include "analyzer/runtimes/cpython/arrays.h"

#include <stdio.h>

#include "analyzer/runtimes/cpython/ndarray.h"

enum { FEW_ITEMS = 8, MAX_ARRAYS = 1 << 28 };

static enum hr_status add_waste(struct hr_py *py, struct hr_py_arrays *all, const struct hr_py_ndarray *a, const struct hr_py_scan *s)
{
    struct hr_py_array_waste w = {.array = (uint32_t)(all->list.n - 1), .checked = s->checked};
    char dtype[40];
    if (s->constant) { /* a smaller dtype would be a poor answer */
        w.kind = HR_PA_CONSTANT;
        w.zero = s->zero;
        w.saves = a->nbytes - a->d.itemsize;
        return hr_pyarraywastevec_push(&all->waste, w);
    }
    if (!s->kind)
        return HR_OK;
    struct hr_py_descr d = a->d;
    d.kind = s->kind;
    d.itemsize = s->itemsize;
    if (d.itemsize == 1)
        d.order = '|';
    w.kind = HR_PA_NARROW;
    w.saves = a->items * (a->d.itemsize - s->itemsize);
    HR_TRY(hr_strs_addz(py->img->strs, hr_py_dtype_str(py, &d, dtype, sizeof dtype), &w.fits));
    return hr_pyarraywastevec_push(&all->waste, w);
}

static enum hr_status add_array(struct hr_py *py, struct hr_py_arrays *all, hr_id id, uint64_t addr)
{
    struct hr_py_ndarray a;
    struct hr_py_scan s;
    char dtype[40];
    if (!hr_py_ndarray(py, addr, &a))
        return HR_OK;
    struct hr_py_array row = {.addr = addr, .items = a.items, .nbytes = a.nbytes, .node = id, .type = py->object[id]};
    HR_TRY(hr_strs_addz(py->img->strs, hr_py_dtype_str(py, &a.d, dtype, sizeof dtype), &row.dtype));
    row.owns = a.flags & HR_NPF_OWNDATA;
    row.contiguous = a.flags & (HR_NPF_C | HR_NPF_F);
    row.object = a.d.objects;
    HR_TRY(hr_pyarrayvec_push(&all->list, row));
    if (!row.owns || !row.contiguous || row.object || a.items < FEW_ITEMS)
        return HR_OK;
    all->short_of |= a.nbytes > all->budget;
    hr_py_array_scan(py, &a, &all->budget, &s);
    return add_waste(py, all, &a, &s);
}

static enum hr_status find(struct hr_py *py, struct hr_py_arrays *all)
{
    for (hr_id id = 0; id < py->heap->n; id++)
        if (py->object[id] != HR_NONE && hr_py_type(py, py->object[id])->kind == HR_PK_NDARRAY)
            HR_TRY(add_array(py, all, id, hr_py_addr(py, id)));
    HR_TRY(hr_py_arrays_same(py, all));
    HR_TRY(hr_py_arrays_pinned(py, all));
    return hr_py_arrays_numbers(py, all);
}

enum hr_status hr_py_arrays(struct hr_py *py)
{
    if (py->arrays)
        return HR_OK;
    struct hr_py_arrays *all = hr_zalloc(1, sizeof *all);
    if (!all)
        return HR_NOMEM;
    all->list.max = all->waste.max = all->pinned.max = all->numbers.max = MAX_ARRAYS;
    all->budget = HR_MAX_ARRAY_BYTES;
    py->arrays = all;
    enum hr_status st = find(py, all);
    if (all->short_of)
        hr_note(py->in.notes, HR_NOTE_DEGRADED, "python.arrays", "there are more bytes in arrays than heapray reads: of some only the first MiB was looked at");
    return st == HR_LIMIT ? HR_OK : st;
}

void hr_py_arrays_free(struct hr_py_arrays *a)
{
    if (!a)
        return;
    hr_pyarrayvec_deinit(&a->list);
    hr_pyarraywastevec_deinit(&a->waste);
    hr_pypinnedvec_deinit(&a->pinned);
    hr_pynumbersvec_deinit(&a->numbers);
    hr_free(a);
}
