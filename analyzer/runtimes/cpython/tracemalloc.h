/* What tracemalloc wrote down in the dumped process: for each block the size asked for and the traceback of the allocation.
 * Inside the cpython runtime; the command line and the rules' tables use it, too. */
#ifndef HR_RUNTIMES_CPYTHON_TRACEMALLOC_H
#define HR_RUNTIMES_CPYTHON_TRACEMALLOC_H

#include "analyzer/runtimes/cpython/py.h"

struct hr_py_traceframe { hr_str file; uint32_t line; };
HR_VEC(hr_pytraceframevec, struct hr_py_traceframe)
/* A traceback, which many blocks share: frames [frame0, frame0 + nframe), the most recent call first. `total` counts those beyond
 * the limit of tracemalloc.start(), too (3.9 on; else nframe). count and bytes: of the traces that have it. */
struct hr_py_site { uint64_t addr; uint32_t frame0, nframe, total, line; uint64_t count, bytes; };
HR_VEC(hr_pysitevec, struct hr_py_site)
/* A source line, or a file (line 0), that sites begin with. */
struct hr_py_line { struct hr_py_traceframe at; uint64_t count, bytes; };
HR_VEC(hr_pylinevec, struct hr_py_line)
/* ptr is what the allocator handed out: the block of an object, where its collector head begins. */
struct hr_py_trace { uint64_t ptr, size; uint32_t site, domain; };
HR_VEC(hr_pytracevec, struct hr_py_trace)

struct hr_py_tracing {
    bool known;                     /* the tables were found */
    bool tracing;                   /* tracemalloc.is_tracing() */
    uint32_t limit;                 /* get_traceback_limit(), 0 unknown */
    uint64_t traced, peak;          /* get_traced_memory(), 0 unknown */
    struct hr_pytraceframevec frames;
    struct hr_pysitevec sites;
    struct hr_pylinevec lines;      /* in the order met */
    struct hr_pytracevec traces;
    uint32_t *of;                   /* per block: index in traces (domain 0 first), HR_NONE */
};

/* Where the tables are; tables of traces by domain. False: there are none. (tracemalloc_find.c) */
enum { HR_PY_MAX_DOMAINS = 4096 };
struct hr_py_tracetables { uint64_t config, traced, peak, traces, domains, tracebacks; };
bool hr_py_tracetables_find(struct hr_py *py, struct hr_py_tracetables *ret);
/* One _Py_hashtable_t, walked without trust. */
struct hr_py_hashtable { uint64_t buckets, nbuckets, nentries, key_size, data_size; /* sizes: up to 3.8 */ };
struct hr_py_hashentry { uint64_t at, key, value, domain; bool has_domain; }; /* value: a word, or (up to 3.8) its address */
bool hr_py_hashtable_at(const struct hr_py *py, uint64_t addr, struct hr_py_hashtable *ret);
bool hr_py_hashentry_at(const struct hr_py *py, const struct hr_py_hashtable *t, uint64_t addr, struct hr_py_hashentry *ret);
/* Address of the trace of an entry in a table of traces; address of the table of an entry in the table of domains. */
uint64_t hr_py_trace_of(const struct hr_py *py, const struct hr_py_hashentry *e);
uint64_t hr_py_domain_table(const struct hr_py *py, const struct hr_py_hashentry *e);

/* Reads all of it, once; py->tracing is set then. */
enum hr_status hr_py_tracemalloc(struct hr_py *py) HR_MUST;
void hr_py_tracing_free(struct hr_py_tracing *t);
/* The trace of the block `id`, as get_object_traceback() would look it up; NULL: not traced, or hr_py_tracemalloc() has not run. */
const struct hr_py_trace *hr_py_trace_at(const struct hr_py *py, hr_id id);
/* "app.py:31" of the most recent frame; NULL when not traced. */
char *hr_py_allocated_at(const struct hr_py *py, hr_id id, char *buf, size_t cap);

#endif
