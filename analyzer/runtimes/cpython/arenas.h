/* pymalloc's arenas and pools as the heap has them, and which survivors keep sparse arenas from being given back. */
#ifndef HR_RUNTIMES_CPYTHON_ARENAS_H
#define HR_RUNTIMES_CPYTHON_ARENAS_H

#include "analyzer/runtimes/cpython/py.h"

enum { HR_PY_POOL_CLASSES = 64, HR_PY_SPARSE_PERCENT = 25 /* an arena less full than this is sparse */ };

struct hr_py_pclass { uint64_t pools, used, cached, free; };
struct hr_py_arena { uint64_t addr, size, used_bytes, cached_bytes; uint32_t pool0, npools, pools_used, blocks_used, blocks_cached; bool sparse; };
HR_VEC(hr_pyarenavec, struct hr_py_arena)
/* Blocks of one type in sparse arenas. `example`: the first of them. */
struct hr_py_pin { hr_type type; hr_id example; uint64_t count, bytes; };
HR_VEC(hr_pypinvec, struct hr_py_pin)

struct hr_py_memory {
    const struct hr_heap *h;
    uint64_t pool_size, head, arena_size;
    unsigned shift;
    struct hr_py_pclass classes[HR_PY_POOL_CLASSES];
    struct hr_pyarenavec arenas;
    struct hr_u8vec fill;        /* per pool: percent in use, 255 = never used or free */
    struct hr_pypinvec pins;     /* most bytes first; by type where the heap has types */
    uint64_t pools, unused, releasable, sparse, sparse_bytes, used_bytes, cached_bytes;
    uint64_t need;               /* arenas that would hold what is in use, each size class in full pools */
};

/* Fills *m, which is zeroed, and which hr_py_memory_deinit() empties. */
enum hr_status hr_py_memory_measure(struct hr_py_memory *m, const struct hr_py *py) HR_MUST;
void hr_py_memory_deinit(struct hr_py_memory *m);

#endif
