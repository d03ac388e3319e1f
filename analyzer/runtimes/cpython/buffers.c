/* Memory behind objects. Layouts: Objects/memoryobject.c, Modules/arraymodule.c, mmapmodule.c, _ctypes/ctypes.h of 2.7 to 3.13;
 * none of the words used here has moved between them, but for 2.7's memoryview, which has no managed buffer. */
#include <string.h>

#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/values.h"

enum { MAX_BASES = 64 };
enum { V_BUF, V_OBJ, V_LEN, V_ITEMSIZE, V_NDIM };                            /* words of a Py_buffer */
enum { C_PTR, C_NEEDSFREE, C_BASE, C_SIZE, C_LENGTH, C_INDEX, C_OBJECTS };   /* words of CDataObject behind the head */
#define MAX_BYTES (1ull << 56)

static uint64_t head(const struct hr_py *py) { return (uint64_t)py->c->at[HR_PYS_OBJECT]; }
static uint64_t var_head(const struct hr_py *py) { return (uint64_t)py->c->at[HR_PYS_VAROBJECT]; }

/* The Py_buffer of a memoryview (3.x: behind managed buffer, hash, flags, exports) or managed buffer (behind flags, exports). */
static uint64_t view_at(const struct hr_py *py, uint64_t addr, uint8_t kind)
{
    uint64_t word = py->img->word;
    if (kind == HR_PK_MANAGED_BUFFER)
        return addr + head(py) + 2 * word;
    return py->minor < 0x0300 ? addr + head(py) + word : addr + var_head(py) + 4 * word;
}

static bool released(const struct hr_py *py, uint64_t addr)
{
    uint64_t flags = 0;
    return py->minor >= 0x0300 && hr_image_uint(py->img, addr + var_head(py) + 2 * py->img->word, 4, &flags) && flags & 1;
}

static uint64_t managed_buffer(const struct hr_py *py, uint64_t addr)
{
    return py->minor < 0x0300 ? 0 : hr_py_word_at(py, addr + var_head(py));
}

void hr_py_buffer_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py *py = o->py;
    uint64_t word = py->img->word, at, free_it = 0;
    switch (t->kind) {
    case HR_PK_ARRAY:
        at = o->obj + var_head(py);
        hr_py_give(o, hr_py_word_at(py, at), at, HR_PR_PART, HR_SURE_EXACT);
        break;
    case HR_PK_MEMORYVIEW: /* 2.7: among its words */
        hr_py_give(o, managed_buffer(py, o->obj), o->obj + var_head(py), HR_PR_STRONG, HR_SURE_EXACT);
        break;
    case HR_PK_MANAGED_BUFFER:
        at = view_at(py, o->obj, t->kind) + V_OBJ * word;
        hr_py_give(o, hr_py_word_at(py, at), at, HR_PR_STRONG, HR_SURE_EXACT);
        break;
    case HR_PK_CDATA: /* C data may hold any pointer: the block is owned, but read as C */
        at = o->obj + head(py);
        if (hr_image_uint(py->img, at + C_NEEDSFREE * word, 4, &free_it) && free_it == 1)
            hr_py_give(o, hr_py_word_at(py, at), at, HR_PR_PART, HR_SURE_CONSERVATIVE);
        break;
    default: break;
    }
}

static bool view(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_buffer *b)
{
    uint64_t v = view_at(py, addr, t->kind), word = py->img->word;
    if (t->kind == HR_PK_MEMORYVIEW && released(py, addr))
        return false;
    b->data = hr_py_word_at(py, v + V_BUF * word);
    b->nbytes = hr_py_word_at(py, v + V_LEN * word);
    b->itemsize = hr_py_word_at(py, v + V_ITEMSIZE * word);
    b->from = hr_py_word_at(py, v + V_OBJ * word);
    return true;
}

static uint64_t or_zero(uint64_t n) { return n == UINT64_MAX ? 0 : n; }

bool hr_py_buffer(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_buffer *b)
{
    uint64_t word = py->img->word, at = addr + head(py);
    struct hr_py_ndarray a;
    *b = (struct hr_py_buffer){.itemsize = 1};
    switch (t->kind) {
    case HR_PK_BYTES:
        b->data = addr + (uint64_t)py->c->at[HR_PY_BYTES_VALUE];
        b->nbytes = or_zero(hr_py_len(py, addr, t));
        break;
    case HR_PK_BYTEARRAY:
        b->data = hr_py_word(py->c, addr, hr_py_has(py->c, HR_PY_BYTEARRAY_START) ? HR_PY_BYTEARRAY_START : HR_PY_BYTEARRAY_BYTES);
        b->nbytes = or_zero(hr_py_len(py, addr, t));
        b->all = hr_py_word(py->c, addr, HR_PY_BYTEARRAY_ALLOC);
        break;
    case HR_PK_ARRAY:
        b->data = hr_py_word_at(py, addr + var_head(py));
        b->itemsize = hr_py_array_itemsize(py, addr);
        b->nbytes = hr_min(or_zero(hr_py_len(py, addr, t)), MAX_BYTES / 16) * b->itemsize;
        b->all = hr_min(hr_py_array_allocated(py, addr), MAX_BYTES / 16) * b->itemsize;
        break;
    case HR_PK_MMAP:
        b->data = hr_py_word_at(py, at);
        b->nbytes = hr_py_word_at(py, at + word);
        break;
    case HR_PK_CDATA:
        b->data = hr_py_word_at(py, at);
        b->nbytes = hr_py_word_at(py, at + C_SIZE * word);
        b->from = hr_py_word_at(py, at + C_BASE * word);
        b->itemsize = 0;
        break;
    case HR_PK_MEMORYVIEW: case HR_PK_MANAGED_BUFFER:
        if (!view(py, addr, t, b))
            return false;
        break;
    case HR_PK_NDARRAY:
        if (!hr_py_ndarray(py, addr, &a))
            return false;
        *b = (struct hr_py_buffer){a.data, a.nbytes, a.nbytes, a.flags & HR_NPF_OWNDATA ? 0 : a.base, a.d.itemsize};
        break;
    default: return false;
    }
    if (b->all < b->nbytes)
        b->all = b->nbytes;
    return b->all < MAX_BYTES;
}

static bool ctypes_array(const struct hr_py *py, uint64_t type)
{
    char name[32];
    for (int i = 0; i < MAX_BASES && type; i++) {
        if (hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name) && !strcmp(name, "_ctypes.Array"))
            return true;
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return false;
}

uint64_t hr_py_buffer_len(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    uint64_t word = py->img->word, v, ndim = 0, shape;
    struct hr_py_ndarray a;
    switch (t->kind) {
    case HR_PK_MMAP: return hr_py_word_at(py, addr + head(py) + word);
    case HR_PK_CDATA: return ctypes_array(py, t->addr) ? hr_py_word_at(py, addr + head(py) + C_LENGTH * word) : UINT64_MAX;
    case HR_PK_NDARRAY: return hr_py_ndarray(py, addr, &a) && a.nd ? a.shape[0] : UINT64_MAX;
    case HR_PK_MEMORYVIEW:
        v = view_at(py, addr, t->kind);
        if (released(py, addr) || !hr_image_uint(py->img, v + V_NDIM * word + 4, 4, &ndim)) /* readonly, ndim: ints */
            return UINT64_MAX;
        if (!ndim) /* an item alone: its length was 1 until 3.12 denied it one */
            return py->minor < 0x030c ? 1 : UINT64_MAX;
        shape = v + (word == 8 ? V_NDIM + 2 : V_NDIM + 3) * word; /* behind format */
        return hr_image_word(py->img, hr_py_word_at(py, shape), &v) ? v : UINT64_MAX;
    default: return UINT64_MAX;
    }
}
