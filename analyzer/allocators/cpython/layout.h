/* Choosing the layout of a CPython (layout.c), for find.c only. */
#ifndef HR_ALLOCATORS_CPYTHON_LAYOUT_H
#define HR_ALLOCATORS_CPYTHON_LAYOUT_H

#include "analyzer/allocators/cpython/cpython.h"

/* Fills p->at from the best source that passes the checks; p->module, hexversion and type_type are set. HR_UNSUPPORTED when
 * none does. *source_ret: "its DWARF", "the table of 3.11.7", … (buf of cap bytes). */
enum hr_status hr_py_choose_layout(struct hr_cpython *p, char *source, size_t cap) HR_MUST;

#endif
