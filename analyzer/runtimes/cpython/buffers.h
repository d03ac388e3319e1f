/* Objects that are, hold or look at a piece of memory: bytes, bytearray, array.array, mmap, ctypes, memoryview, ndarray. */
#ifndef HR_RUNTIMES_CPYTHON_BUFFERS_H
#define HR_RUNTIMES_CPYTHON_BUFFERS_H

#include "analyzer/runtimes/cpython/refs.h"

struct hr_py_buffer {
    uint64_t data, nbytes;   /* what the object shows of memory */
    uint64_t all;            /* bytes it keeps: room for more included */
    uint64_t from;           /* object whose memory it is, 0: its own (or nobody's that is an object) */
    uint64_t itemsize;       /* 0 unknown */
};
/* False: the object is no such thing, or a released memoryview. */
bool hr_py_buffer(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_buffer *ret);
/* len() of it; UINT64_MAX: has none. */
uint64_t hr_py_buffer_len(struct hr_py *py, uint64_t addr, const struct hr_py_type *t);

#endif
