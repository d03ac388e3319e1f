/* Rings in the garbage of a Python image: objects that hold each other in a circle. Command line: here runtime and graph meet. */
#ifndef HR_CLI_PY_RINGS_H
#define HR_CLI_PY_RINGS_H

#include "analyzer/runtimes/cpython/py.h"

struct hr_py_rings {
    struct hr_u64vec addr;     /* members, ring after ring */
    struct hr_u64vec first;    /* index of each ring's first member, and the end of the last: rings + 1 entries */
    struct hr_u64vec bytes;    /* per ring: its members' blocks and the blocks they own */
    struct hr_u64vec retained; /* per ring: also what hangs on it alone, tracked by the collector or not */
};
/* Rings of g->garbage and g->uncollectable. */
enum hr_status hr_py_rings_find(struct hr_py *py, const struct hr_py_gc *g, struct hr_py_rings *ret) HR_MUST;
void hr_py_rings_deinit(struct hr_py_rings *r);

/* Rings with the same types in the same numbers: a thousand of one shape are one mistake in the program. */
struct hr_py_shape {
    hr_str text;               /* "2 x list, __main__.Node" */
    uint64_t rings, members, bytes, retained; /* members: of all its rings */
    uint64_t example;          /* first member of the first ring */
};
HR_VEC(hr_pyshapevec, struct hr_py_shape)
struct hr_py_shapes { struct hr_pyshapevec list; }; /* most retained first */
enum hr_status hr_py_rings_shapes(struct hr_py *py, const struct hr_py_rings *r, struct hr_strs *strs, struct hr_py_shapes *ret) HR_MUST;
void hr_py_shapes_deinit(struct hr_py_shapes *s);

#endif
