/* Choosing the layout of a CPython (layout.c), for find.c only. */
#ifndef HR_ALLOCATORS_CPYTHON_LAYOUT_H
#define HR_ALLOCATORS_CPYTHON_LAYOUT_H

#include "analyzer/allocators/cpython/cpython.h"

/* Fills p->at from the best source that passes the checks; p->module, hexversion and type_type are set. HR_UNSUPPORTED when
 * none does. *source_ret: "its DWARF", "the table of 3.11.7", … (buf of cap bytes). */
enum hr_status hr_py_choose_layout(struct hr_cpython *p, char *source, size_t cap) HR_MUST;

/* ---- offsets.c: p->at from the table of 3.13 to what a 3.14 publishes of itself; false when it does not ---- */
bool hr_py_offsets_apply(struct hr_cpython *p);
/* ---- form.c: an interpreter without symbols ---- */
bool hr_py_form_find(const struct hr_image *img, struct hr_py_form *ret);
uint64_t hr_py_form_type(const struct hr_py_form *s, const char *symbol); /* address of a static type by its C name; 0 */
uint64_t hr_py_form_cookie(const struct hr_image *img, uint64_t lo, uint64_t hi); /* _PyRuntime of 3.13 and later; 0 */
/* With a layout: the variable that holds the first interpreter; the collector's generations; 0. */
uint64_t hr_py_form_head(const struct hr_cpython *p);
uint64_t hr_py_form_generations(const struct hr_cpython *p);

#endif
