/* Rings in the garbage of a Python image: objects that hold each other in a circle. Command line: here runtime and graph meet. */
#ifndef HR_CLI_PY_RINGS_H
#define HR_CLI_PY_RINGS_H

#include "analyzer/runtimes/cpython/py.h"

struct hr_py_rings {
    struct hr_u64vec addr;     /* members, ring after ring */
    struct hr_u64vec first;    /* index of each ring's first member, and the end of the last: rings + 1 entries */
    struct hr_u64vec bytes;    /* per ring: its members' blocks and the blocks they own */
    struct hr_u64vec retained; /* per ring: also what of the garbage hangs on it alone */
};
/* Rings of g->garbage and g->uncollectable. */
enum hr_status hr_py_rings_find(struct hr_py *py, const struct hr_py_gc *g, struct hr_py_rings *ret) HR_MUST;
void hr_py_rings_deinit(struct hr_py_rings *r);

#endif
