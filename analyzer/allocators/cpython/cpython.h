/* Where a CPython is in an image, and how its structures lie: what the pymalloc allocator and the cpython runtime share.
 *
 * Allocators room. Offsets and sizes come from the image's own DWARF, from its _Py_DebugOffsets, or from the generated table
 * of the nearest known build, each checked against type objects in the image (tp_basicsize says how large they really are). */
#ifndef HR_ALLOCATORS_CPYTHON_H
#define HR_ALLOCATORS_CPYTHON_H

#include "analyzer/types/types.h"

enum hr_py_fact {
#define PYF(id_, types_, paths_) HR_PY_##id_,
#define PYS(id_, types_) HR_PYS_##id_,
#include "analyzer/allocators/cpython/facts.def"
#undef PYF
#undef PYS
    HR_PY_NFACTS
};
enum { HR_PY_ABSENT = -1, HR_PY_MAX_INTERPRETERS = 64 };

/* What is known of an interpreter without symbols (form.c). */
enum { HR_PY_NSTATICS = 12 };
struct hr_py_form {
    uint32_t module;             /* HR_NONE: memory without files */
    uint64_t lo, hi;             /* where its data lies */
    uint64_t type_type;          /* 0: not looked for, or not found */
    uint64_t statics_hi;         /* behind the last static type */
    bool free_threaded;
    uint64_t types[HR_PY_NSTATICS];
};

struct hr_cpython {
    const struct hr_image *image;
    struct hr_types *types;
    struct hr_notes *notes;
    uint32_t module;             /* that holds the interpreter (libpython or the executable), HR_NONE in memory without files */
    uint32_t hexversion;         /* PY_VERSION_HEX */
    char version[32];            /* "3.11.2" */
    char evidence[160];          /* how it was found and where its layout comes from */
    int32_t at[HR_PY_NFACTS];    /* offsets (HR_PY_x) and sizes (HR_PYS_x), HR_PY_ABSENT where the version has none */
    bool exact_layout;           /* DWARF or a table of this very version; else of a neighbouring one */
    bool free_threaded;          /* 3.13t and later: no pymalloc, other headers */
    uint64_t runtime;            /* _PyRuntime, 0 up to 3.6 */
    uint64_t interp[HR_PY_MAX_INTERPRETERS]; /* PyInterpreterState, the main one first, the newest last */
    uint32_t ninterp;
    uint64_t type_type;          /* &PyType_Type */
    uint64_t data_lo, data_hi;   /* the interpreter's own writable data, .bss included */
    uint64_t generations;        /* the collector's lists up to 3.6, 0 elsewhere */
    struct hr_py_form form;     /* type_type 0: there are symbols */
};

/* HR_ABSENT: no CPython in the image. HR_UNSUPPORTED: one that we do not read; a note says why. The result is to be freed with
 * hr_free(). */
enum hr_status hr_cpython_find(const struct hr_image *img, struct hr_types *types, struct hr_notes *notes,
                               struct hr_cpython **ret) HR_MUST;
static inline unsigned hr_py_minor(const struct hr_cpython *p) { return p->hexversion >> 16; } /* 0x0207, 0x030b, … */
static inline bool hr_py_has(const struct hr_cpython *p, enum hr_py_fact f) { return p->at[f] != HR_PY_ABSENT; }
/* Is the address in the interpreter's own code and data? In memory without files: in front of the first arena. */
bool hr_cpython_owns(const struct hr_cpython *p, uint64_t addr);
/* Number of the n-th interpreter, -1 where it is not kept (up to 3.6). */
int64_t hr_py_interp_id(const struct hr_cpython *p, uint32_t n);
/* The pointer-sized word / an unsigned integer at member `f` of the structure at `base`; 0 when absent or not in the image. */
static inline uint64_t hr_py_word(const struct hr_cpython *p, uint64_t base, enum hr_py_fact f)
{
    uint64_t v;
    if (!base || !hr_py_has(p, f) || !hr_image_word(p->image, base + (uint64_t)p->at[f], &v))
        return 0;
    /* since 3.14 two fields of a frame are references whose low bits say whether they are counted */
    return (f == HR_PY_IFRAME_CODE || f == HR_PY_IFRAME_FUNC) && hr_py_minor(p) >= 0x030e ? v & ~3ull : v;
}
uint64_t hr_py_uint(const struct hr_cpython *p, uint64_t base, enum hr_py_fact f, unsigned bytes);
/* Address of a variable of the interpreter's module: NAME, then NAME.lto_priv.N; 0 when there is no such symbol. */
uint64_t hr_py_symbol(const struct hr_cpython *p, const char *name);

#endif
