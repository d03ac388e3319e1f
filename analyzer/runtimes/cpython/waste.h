/* What a Python heap wastes or keeps too long, as facts: rows for the rules' tables (analyzer/model_python*.c). Nothing here judges.
 * Each function fills its vector, which the caller has set to zero and empties afterwards. */
#ifndef HR_RUNTIMES_CPYTHON_WASTE_H
#define HR_RUNTIMES_CPYTHON_WASTE_H

#include "analyzer/runtimes/cpython/arenas.h"

/* Instances of a class that could have __slots__: what they take (block, dict or values, their table), and what they would. */
struct hr_py_slotted { uint32_t type; bool weakrefs; uint64_t addr, count, names, now, then; };
HR_VEC(hr_pyslottedvec, struct hr_py_slotted)
enum hr_status hr_py_slots(struct hr_py *py, struct hr_pyslottedvec *ret) HR_MUST; /* waste_slots.c */

/* An exception object with a traceback. code and line: where it was raised, 0 unknown. */
struct hr_py_raised { uint64_t addr, traceback, code; hr_id node; uint32_t type, line, frames; bool nested; /* its memory goes with another row's */ };
HR_VEC(hr_pyraisedvec, struct hr_py_raised)
enum hr_status hr_py_raised(struct hr_py *py, struct hr_pyraisedvec *ret) HR_MUST; /* waste_held.c, and what follows */

/* A functools.lru_cache. maxsize -1: none. */
struct hr_py_lru { uint64_t addr, func; hr_id node, cache; int64_t maxsize; uint64_t len, hits, misses; };
HR_VEC(hr_pylruvec, struct hr_py_lru)
enum hr_status hr_py_lru_caches(struct hr_py *py, struct hr_pylruvec *ret) HR_MUST;

/* A weak reference or proxy. */
struct hr_py_weak { uint64_t addr; hr_id node; uint32_t type; bool dead, callback; };
HR_VEC(hr_pyweakvec, struct hr_py_weak)
enum hr_status hr_py_weakrefs(struct hr_py *py, struct hr_pyweakvec *ret) HR_MUST;

/* A string of the interpreter's table of interned ones. */
struct hr_py_interned { uint64_t addr; hr_id node; bool immortal, alone; /* alone: nothing but the table leads to it */ };
HR_VEC(hr_pyinternedvec, struct hr_py_interned)
enum hr_status hr_py_interned(struct hr_py *py, struct hr_pyinternedvec *ret) HR_MUST;
/* The dicts of interned strings, one per interpreter that has its own; n of them. */
size_t hr_py_interned_dicts(struct hr_py *py, hr_id *ret, size_t cap);

/* Is the block part of a table of interned strings, or of tracemalloc's? It is the interpreter's own. */
bool hr_py_is_own_table(struct hr_py *py, hr_id id);

/* A container that a module, a class in it, or an object that is a global of it keeps: "app.cache", "app.Session.live". */
struct hr_py_kept { hr_str name; uint64_t addr; hr_id node; uint32_t type; uint64_t len; };
HR_VEC(hr_pykeptvec, struct hr_py_kept)
enum hr_status hr_py_module_data(struct hr_py *py, struct hr_pykeptvec *ret) HR_MUST; /* waste_modules.c */

/* All of it, each made when a rule asks for it first. */
struct hr_py_facts {
    bool have_slots, have_raised, have_lru, have_weak, have_interned, have_kept, have_memory;
    struct hr_pyslottedvec slots;
    struct hr_pyraisedvec raised;
    struct hr_pylruvec lru;
    struct hr_pyweakvec weak;
    struct hr_pyinternedvec interned;
    struct hr_pykeptvec kept;
    struct hr_py_memory memory;
    bool have_tables;
    size_t ntables;
    hr_id tables[2 * HR_PY_MAX_INTERPRETERS + 6]; /* dicts of interned strings and their keys; tracemalloc's tables and their buckets */
};
void hr_py_facts_free(struct hr_py_facts *f);

#endif
