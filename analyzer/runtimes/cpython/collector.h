/* Inside the cpython runtime: the steps of a collection. collector.c divides, collector_lists.c reads the collectors' lists, collector_finalize.c says what finalizers
 * change, * collector_rings.c finds the rings. */
#ifndef HR_RUNTIMES_CPYTHON_COLLECTOR_H
#define HR_RUNTIMES_CPYTHON_COLLECTOR_H

#include "analyzer/runtimes/cpython/py.h"

typedef void hr_py_tracked_fn(void *ctx, uint64_t obj);
/* ---- collector_lists.c ---- */
uint32_t hr_py_gc_collectors(const struct hr_py *py); /* one per interpreter since 3.9 */
/* hr_py_gc_list() for one interpreter; false also when it has no such generation. */
bool hr_py_gc_list_of(const struct hr_py *py, uint32_t interpreter, unsigned generation, hr_py_tracked_fn *fn, void *ctx);
/* All objects whose own head says that they are tracked, on whichever list, a running collection's among them. */
void hr_py_gc_tracked(struct hr_py *py, hr_py_tracked_fn *fn, void *ctx);
void hr_py_gc_read_state(const struct hr_py *py, uint32_t interpreter, struct hr_py_gc_state *ret);

/* Which objects of the garbage die by reference count while finalizers run; what they make reachable again leaves the garbage.
 * is_garbage: the same by block. */
enum hr_status hr_py_gc_finalizers(struct hr_py *py, const struct hr_bits *is_garbage, struct hr_u64vec *garbage,
                                   struct hr_u64vec *died_ret) HR_MUST;
/* How many weak references that stay outside the garbage are freed by their own callbacks: gc.collect() counts those, too.
 * `garbage`: by block. */
uint64_t hr_py_gc_weakrefs(struct hr_py *py, const struct hr_bits *garbage);

#endif
