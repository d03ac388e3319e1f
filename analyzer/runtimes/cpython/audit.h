/* The reference-count audit: every object's stored count against the references that are found.
 *
 * Sure finders are references that the interpreter is known to count: those of objects whose layout is known, of frames, of shared
 * keys tables. Possible finders are words that are the object's address and may or may not be counted: fields of C types, static data,
 * C stacks and registers, memory of C code. A count above both together is a surplus: nothing is left that could lower it, so C code
 * has leaked a reference. A count below the sure ones alone is a deficit: the object dies while it is in use. What lies between is
 * explained. What the interpreter is known to keep without counting (free lists, caches, old frames, stale values above a stack's top)
 * finds nothing. */
#ifndef HR_RUNTIMES_CPYTHON_AUDIT_H
#define HR_RUNTIMES_CPYTHON_AUDIT_H

#include "analyzer/runtimes/cpython/py.h"

enum hr_py_finder {
    HR_PF_OBJECT,    /* sure: objects with a known layout, and what belongs to them */
    HR_PF_FRAME,     /* sure: running frames, and C code that runs a frame */
    HR_PF_FIELD,     /* instances of C types */
    HR_PF_STATIC,    /* static and thread-local data of modules, the interpreter's state */
    HR_PF_STACK,     /* C stacks, registers, value stacks of running frames */
    HR_PF_RAW,       /* memory of C code: module and thread states, private structures */
    HR_PF_COUNT
};
const char *hr_py_finder_name(unsigned finder); /* a member name of json.md's style */

enum { HR_PY_HOLDERS = 6 /* examples for each reported object: enough to see who uses it */ };
struct hr_py_holder { uint64_t addr; uint8_t finder; }; /* object, or the word's place */
struct hr_py_count {
    uint64_t addr;
    uint32_t index, type;
    int64_t refcount, difference;  /* difference: surplus > 0, deficit < 0 */
    int64_t least;                 /* of a surplus, if all words on C stacks that lead to it are counted */
    uint64_t found;                /* sure ones, and possible ones as far as the count needs them */
    uint64_t by[HR_PF_COUNT];
    struct hr_py_holder holder[HR_PY_HOLDERS];
    uint32_t nholders;
    bool in_c_dict;                /* in the dict of a C module or C type */
    hr_str culprit;                /* a guess, as a phrase; 0 none */
};
HR_VEC(hr_pycountvec, struct hr_py_count)

enum hr_py_skip {
    HR_PS_IMMORTAL,  /* 3.12 and later: its count means nothing */
    HR_PS_STATIC,    /* in no block: counts of static objects start anywhere */
    HR_PS_FRAGMENT,  /* nothing refers to it and its content fits no object of its type */
    HR_PS_ONCE,      /* made once by a C module's start: leaked once, by the interpreter's own code */
    HR_PS_MISSING,   /* would have a surplus, but memory or stacks that may hold references are not in the image */
    HR_PS_MANY,      /* more possible finders than are counted one by one */
    HR_PS_COUNT
};
const char *hr_py_skip_name(unsigned why);

struct hr_py_audit {
    struct hr_pycountvec surplus, deficit; /* by address */
    uint64_t audited, explained_by_possible; /* of the audited: right only if possible finders count */
    uint64_t skipped[HR_PS_COUNT];
    uint32_t *sure;                /* per index: node, or behind the nodes 2.7's numbers */
    uint8_t *possible, *on_stack;  /* per index, the second those of HR_PF_STACK; 255: that many or more */
    struct hr_map numbers;         /* address -> index */
    struct hr_u64vec number;       /* their addresses */
};
/* Made once, kept with the runtime. */
enum hr_status hr_py_audit(struct hr_py *py, const struct hr_py_audit **ret) HR_MUST;
void hr_py_audit_free(struct hr_py_audit *a);
/* References found to an object; UINT64_MAX: not audited. */
/* audit_own.c: the dicts of C modules and C types. */
enum hr_status hr_py_c_dicts(struct hr_py *py, struct hr_map *dicts) HR_MUST;
/* Takes out what the interpreter itself leaks once, and guesses who leaked the rest. */
enum hr_status hr_py_audit_own(struct hr_py *py, struct hr_py_audit *a) HR_MUST;

uint64_t hr_py_found(struct hr_py *py, const struct hr_py_audit *a, uint64_t addr);

#endif
