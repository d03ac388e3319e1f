/* Inside the cpython runtime: the steps of a collection. collector.c divides, collector_finalize.c says what finalizers change,
 * collector_rings.c finds the rings. */
#ifndef HR_RUNTIMES_CPYTHON_COLLECTOR_H
#define HR_RUNTIMES_CPYTHON_COLLECTOR_H

#include "analyzer/runtimes/cpython/py.h"

/* Which objects of the garbage die by reference count while finalizers run; what they make reachable again leaves the garbage.
 * is_garbage: the same by block. */
enum hr_status hr_py_gc_finalizers(struct hr_py *py, const struct hr_bits *is_garbage, struct hr_u64vec *garbage,
                                   struct hr_u64vec *died_ret) HR_MUST;
/* How many weak references that stay outside the garbage are freed by their own callbacks: gc.collect() counts those, too.
 * `garbage`: by block. */
uint64_t hr_py_gc_weakrefs(struct hr_py *py, const struct hr_bits *garbage);

#endif
