/* References of C types that no reader here knows, read off their own code: tp_traverse is run on the image, object for object, and
 * every call of its visitor is a reference. What it does not reach, and the fields it leaves out, are found as in unknown types. */
#ifndef HR_RUNTIMES_CPYTHON_PLAN_H
#define HR_RUNTIMES_CPYTHON_PLAN_H

#include "analyzer/runtimes/cpython/refs.h"

/* Called once objects are known: from now on types get plans. */
enum hr_status hr_py_plans_open(struct hr_py *py) HR_MUST;
void hr_py_plans_close(struct hr_py *py);
/* Gives t a plan, if it is one of those that need it. */
void hr_py_plan_type(struct hr_py *py, struct hr_py_type *t);
/* All references but the one to the type. False: this object is left to the reader for its kind. */
bool hr_py_plan_refs(const struct hr_py_out *o, const struct hr_py_type *t);
/* Does tp_traverse of this type visit the type itself? By rule, where its code was not run. */
bool hr_py_visits_type(const struct hr_py *py, uint64_t type);

/* Does the object take part in collections? Its type may have the last word, by tp_is_gc: one that does not is never garbage. */
bool hr_py_is_gc(const struct hr_py *py, uint64_t obj, const struct hr_py_type *t);
/* Did every run so far come to its end? */
bool hr_py_plans_whole(const struct hr_py *py);
/* How a type's references are known. */
struct hr_py_plan_info {
    uint64_t function;      /* its tp_traverse */
    uint64_t runs, whole;   /* how often it was run so far, and how often to the end */
    const char *why;        /* the last one that was not: "absent memory"; "" none */
    uint64_t stopped_at;    /* the instruction */
};
/* The places that tp_traverse visits in an object whose pointers are all set, each once ("+40", "+16 > +0": behind the pointer at 16; "type"), in the
 * order it does; of loops and lists the first few. False: not all could be told. */
typedef void hr_py_place_fn(void *ctx, const char *place);
bool hr_py_plan_places(struct hr_py *py, const struct hr_py_type *t, hr_py_place_fn *fn, void *ctx);
/* False: it has no plan. */
bool hr_py_plan_info(const struct hr_py *py, const struct hr_py_type *t, struct hr_py_plan_info *ret);

#endif
