/* The CPython runtime: types, objects in blocks, exact references, sizes, values, collector, reference counts, stacks.
 * Private to analyzer/runtimes/cpython/, but for the API at the end, which the command line uses.
 *
 * An object is named by its address (where ob_refcnt lies); py->object says which type index the object in a block has. Static
 * objects (types, small ints, interned constants of the interpreter) are roots of kind HR_ROOT_OBJECT: nodes behind the blocks. */
#ifndef HR_RUNTIMES_CPYTHON_PY_H
#define HR_RUNTIMES_CPYTHON_PY_H

#include "analyzer/allocators/cpython/cpython.h"
#include "analyzer/base/bits.h"
#include "analyzer/runtimes/runtime.h"

/* What the references and the value of an instance look like: decided by the nearest built-in base. */
enum hr_py_kind {
    HR_PK_OBJECT,      /* no special layout: the words of tp_basicsize, __dict__, __slots__ */
    HR_PK_TYPE, HR_PK_NONE, HR_PK_INT2 /* 2.7's int */, HR_PK_INT, HR_PK_FLOAT, HR_PK_COMPLEX, HR_PK_STR, HR_PK_BYTES,
    HR_PK_BYTEARRAY, HR_PK_LIST, HR_PK_TUPLE, HR_PK_DICT, HR_PK_SET, HR_PK_FUNCTION, HR_PK_CODE, HR_PK_CELL, HR_PK_FRAME,
    HR_PK_GENERATOR, HR_PK_MODULE, HR_PK_WEAKREF, HR_PK_CLASSIC_INSTANCE, HR_PK_CLASSIC_CLASS, HR_PK_DEQUE, HR_PK_ODICT,
    HR_PK_MEMORYVIEW, HR_PK_ARRAY, HR_PK_NDARRAY, HR_PK_EXCEPTION, HR_PK_TRACEBACK, HR_PK_BUILTIN_METHOD,
    HR_PK_RANGE, HR_PK_SLICE, HR_PK_DTYPE, HR_PK_NPSCALAR, HR_PK_NPVOID, HR_PK_MMAP, HR_PK_CDATA,
    HR_PK_MANAGED_BUFFER, HR_PK_OPAQUE /* no references */
};

/* tp_flags (Include/object.h of each version; the numbers are those of cpython-layouts.md, section 5) */
#define HR_PYF_INLINE_VALUES (1ull << 2)   /* 3.13 */
#define HR_PYF_MANAGED_WEAKREF (1ull << 3) /* 3.12 */
#define HR_PYF_MANAGED_DICT (1ull << 4)    /* 3.11 */
#define HR_PYF_HEAPTYPE (1ull << 9)
#define HR_PYF_GC (1ull << 14)
#define HR_PYF_LONG_SUBCLASS (1ull << 24)
#define HR_PYF_LIST_SUBCLASS (1ull << 25)
#define HR_PYF_TUPLE_SUBCLASS (1ull << 26)
#define HR_PYF_BYTES_SUBCLASS (1ull << 27)
#define HR_PYF_UNICODE_SUBCLASS (1ull << 28)
#define HR_PYF_DICT_SUBCLASS (1ull << 29)
#define HR_PYF_EXC_SUBCLASS (1ull << 30)
#define HR_PYF_TYPE_SUBCLASS (1ull << 31)

struct hr_py_type {
    uint64_t addr, flags, basicsize, itemsize, base;
    uint64_t known;         /* basicsize of the built-in base that decides the kind; what lies behind is a subclass's */
    uint64_t known_base;    /* that base, 0 none */
    int64_t dictoffset, weaklistoffset;
    hr_type row;            /* in the type table: "module.qualname" */
    hr_str name;            /* the same */
    uint8_t kind;           /* enum hr_py_kind */
    uint8_t pre;            /* bytes between block start and object: collector head and pre-header */
    uint8_t extension;      /* enum hr_py_extension: more references than its words show */
    uint64_t unvisited;     /* bit n: the n-th word is counted, but left out by tp_traverse */
    uint64_t borrowed;      /* bit n: the n-th word of an instance is no counted reference, whatever it points at */
    uint32_t plan;          /* its tp_traverse can be run (plan.c), HR_NONE: needs not, or cannot */
    hr_id node;             /* the block it lies in, HR_NONE = none */
};
HR_VEC(hr_pytypevec, struct hr_py_type)

/* Freed objects that the interpreter keeps for reuse: their blocks are HR_CACHED. */
struct hr_py_freelist { hr_str name; uint64_t count, bytes; };
HR_VEC(hr_pyfreevec, struct hr_py_freelist)

/* Equal objects: addr is the first, bytes of one block, waste the blocks of all others. traced: one whose allocation is known, of the line
 * that most come from, if there is one (`votes` is the count of that vote). */
struct hr_py_same { uint64_t addr; uint32_t type; uint8_t kind; uint64_t count, bytes, waste; hr_id traced; uint32_t votes; };
HR_VEC(hr_pysamevec, struct hr_py_same)
/* A container with room: capacity and used in items, slack in bytes. */
struct hr_py_container { uint64_t addr; hr_id node; uint8_t kind; uint64_t capacity, used, slack; };
HR_VEC(hr_pycontainervec, struct hr_py_container)

/* The types met last, by a hash of their addresses: nearly every object asks for its own. */
enum { HR_PY_RECENT_BITS = 10 };
struct hr_py_recent { uint64_t addr; uint32_t type; };
static inline size_t hr_py_recent_slot(uint64_t addr) { return addr * 0x9e3779b97f4a7c15ull >> (64 - HR_PY_RECENT_BITS); }

/* Blocks asked for again and again: that of the object whose references are read, and the last one that was measured. */
struct hr_py_near { uint64_t lo, size; hr_id id; };

/* See links.h. */
struct hr_py_links {
    uint32_t *row;          /* per block, and one behind: its first link; NULL: not kept */
    struct hr_u32vec to;    /* blocks */
    struct hr_u8vec how;
    struct hr_u64vec statics; /* references into no block, each address once */
    struct hr_map static_seen;
};

struct hr_py {
    struct hr_runtime_in in;
    const struct hr_image *img;
    struct hr_heap *heap;
    struct hr_cpython *c;
    unsigned minor;         /* 0x030b */
    struct hr_pytypevec types;
    struct hr_map module_dicts; /* addresses of the dicts of modules */
    struct hr_map type_index;   /* address -> index in types; negative answers are kept, too (HR_PY_NO_TYPE) */
    struct hr_py_near own, last;
    uint64_t interned[HR_PY_MAX_INTERPRETERS]; /* dicts of interned strings */
    uint32_t ninterned;
    struct hr_py_recent recent[1 << HR_PY_RECENT_BITS];
    uint32_t *object;       /* per block: type index of the object in it, HR_NONE = no object */
    hr_id *owner;           /* per block: the block of the object that owns it as a part, HR_NONE */
    struct hr_pyfreevec freelists;
    struct hr_u32vec dead;  /* frames kept for reuse, by code objects and free lists: what is in them is left over */
    struct {                /* blocks with the guards of the allocators' debug hooks (guard.c) */
        uint8_t *front;     /* per block: bytes of guards before what the program was given; NULL: no guards anywhere */
        uint64_t blocks[3]; /* by API: raw, mem, object */
        uint64_t requested, held, damaged;
    } guards;
    bool wasted;            /* hr_py_waste() has run: */
    struct hr_pysamevec same;
    struct hr_pycontainervec containers;
    struct hr_py_links links;
    struct hr_py_audit *audit; /* audit.h; NULL until asked for */
    struct hr_py_tracing *tracing; /* tracemalloc.h; NULL until asked for */
    struct hr_py_arrays *arrays; /* arrays.h; NULL until asked for */
    struct hr_py_facts *facts; /* waste.h; NULL until asked for */
    uint8_t numpy;          /* major version of NumPy, once a dtype has told it */
    uint64_t numpy_class;   /* the class of dtypes seen last */
    struct hr_py_plans *plans; /* plan.c; NULL before objects are known */
    struct hr_bits covered; /* per block: a part whose content its owner's references give; others are read as C */
};
enum { HR_PY_NO_TYPE = UINT32_MAX - 1 };

/* ---- guard.c ---- */
/* Bytes of the guard in front of what the program was given. */
static inline unsigned hr_py_guard(const struct hr_py *py, hr_id id) { return py->guards.front ? py->guards.front[id] : 0; }
/* Bytes of the guards at the start of the used block of `size` bytes at addr, whose first four words are at p; 0: none. */
unsigned hr_py_guard_in(const struct hr_py *py, const uint8_t *p, uint64_t size, uint64_t addr);
/* hr_heap_at(), counted from what the program was given; an address in a guard is in no block. */
hr_id hr_py_block_at(const struct hr_py *py, uint64_t addr, uint64_t *into_ret);
uint64_t hr_py_usable(const struct hr_py *py, hr_id id); /* bytes the program was given: what it asked for where that is known */
/* Counts guarded blocks and notes the damaged guards; after the objects are known. */
void hr_py_check_guards(struct hr_py *py);

/* ---- refs.c: words of frames ---- */
/* The object of a tagged reference (3.14 on: bit 0 = not counted, both = a number); 0 when it is none. */
static inline uint64_t hr_py_untag(const struct hr_py *py, uint64_t v) { return py->minor < 0x030e ? v : (v & 3) == 3 || v < 4 ? 0 : v & ~3ull; }
/* Slots of an interpreter frame in use, locals among them; -1 while it runs. */
int64_t hr_py_iframe_top(const struct hr_py *py, uint64_t frame);

/* ---- types.c ---- */
/* Index of the type object at addr, read and checked on first sight; HR_NONE when there is none. */
uint32_t hr_py_type_at(struct hr_py *py, uint64_t addr);
static inline const struct hr_py_type *hr_py_type(const struct hr_py *py, uint32_t i) { return &py->types.v[i]; }

/* ---- objects.c ---- */
/* Fills py->object from all used blocks. */
enum hr_status hr_py_find_objects(struct hr_py *py) HR_MUST;
/* Node of the object at exactly `addr` (heap or static), HR_NONE when there is none. */
hr_id hr_py_node(const struct hr_py *py, uint64_t addr);
/* Address of the object in a node; 0 when it is none. */
uint64_t hr_py_addr(const struct hr_py *py, hr_id node);
/* Type index of the object at addr by its own header, HR_NONE when it is no object. */
uint32_t hr_py_object_type(struct hr_py *py, uint64_t addr);
/* Objects in no block of their own that objects in blocks lead to: types, None, small ints, interned constants of the interpreter and
 * of extension modules, 2.7's ints and floats. Addresses ascending. The caller frees the vector. */
enum hr_status hr_py_statics(struct hr_py *py, struct hr_u64vec *ret) HR_MUST;
int64_t hr_py_refcount(const struct hr_py *py, uint64_t addr); /* as stored; see hr_py_immortal */
bool hr_py_immortal(const struct hr_py *py, uint64_t addr);

/* ---- interned.c ---- */
/* Finds the dicts of interned strings, one per interpreter; after the objects. */
void hr_py_find_interned(struct hr_py *py);
bool hr_py_interned_dict(const struct hr_py *py, uint64_t dict);

/* ---- freelists.c ---- */
/* Relabels the blocks of freed objects that the interpreter keeps; after objects and parts are known. */
enum hr_status hr_py_find_freelists(struct hr_py *py) HR_MUST;
/* Type of the freed object (count 0) that a block still holds; HR_NONE when there is none. */
uint32_t hr_py_dead_object(struct hr_py *py, hr_id id);

/* ---- numpy_cache.c: blocks that NumPy keeps for its next arrays ---- */
typedef enum hr_status hr_py_cached_fn(struct hr_py *py, hr_id block, const char *name);
enum hr_status hr_py_find_numpy_cache(struct hr_py *py, hr_py_cached_fn *fn) HR_MUST;

/* ---- waste.c ---- */
/* Fills py->same (most wasteful first) and py->containers, once. */
enum hr_status hr_py_waste(struct hr_py *py) HR_MUST;
bool hr_py_container_at(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_container *ret);

/* ---- cpython.c ---- */
/* An object leads to a part of its own, `into` bytes into block `id`. */
void hr_py_note_part(struct hr_py *py, hr_id owner, hr_id id, uint64_t into, uint8_t surety);

/* ---- refs.c ---- */
enum hr_py_ref {
    HR_PR_STRONG,    /* counted, and visited by tp_traverse */
    HR_PR_UNVISITED, /* counted, but tp_traverse leaves it out; conservative: counted or borrowed, nobody can tell */
    HR_PR_TYPE,      /* to its type */
    HR_PR_PART,      /* a block it owns: list items, keys table … */
    HR_PR_WEAK,      /* not counted */
    HR_PR_VISITED,   /* visited by tp_traverse, but counted as a reference of another object */
    HR_PR_COUNTED,   /* counted beside another of the same object, and no more: no edge */
};
/* target: address of an object, or of a block (PART). off: of the word within the object, UINT32_MAX when in a part. */
typedef void hr_py_ref_fn(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety);
/* All references of the object at addr. Bounded by the object's own blocks. */
void hr_py_refs(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, hr_py_ref_fn *fn, void *ctx);
/* Key/value pairs of a dict in insertion order (2.7: table order). fn returns false to stop. */
typedef bool hr_py_pair_fn(void *ctx, uint64_t key, uint64_t value);
void hr_py_dict_items(struct hr_py *py, uint64_t dict, hr_py_pair_fn *fn, void *ctx);

/* The value of a str key in a dict; 0: not there. */
uint64_t hr_py_dict_get(struct hr_py *py, uint64_t dict, const char *key);

/* ---- values.c ---- */
/* str (or 2.7 str/unicode) as UTF-8, cut to cap; false when it is no string or absent. */
bool hr_py_text(struct hr_py *py, uint64_t addr, char *buf, size_t cap);
uint64_t hr_py_len(struct hr_py *py, uint64_t addr, const struct hr_py_type *t); /* UINT64_MAX: has none */
/* ---- sizes.c: sys.getsizeof() of that version ---- */
uint64_t hr_py_sizeof(struct hr_py *py, uint64_t addr, const struct hr_py_type *t);

/* ---- repr.c ---- */
enum { HR_PY_REPR = 4096 }; /* room for an int of 4096 bits */
/* As Python would print it, cut to cap: containers with what is in them, strings only with contents. Returns buf. */
char *hr_py_repr(struct hr_py *py, uint64_t addr, bool contents, char *buf, size_t cap);

/* ---- collector.c ---- */
/* Does the collector's head in front of a GC object say that it is tracked; do its neighbours on a list agree? */
bool hr_py_is_tracked(const struct hr_py *py, uint64_t obj);
bool hr_py_is_linked(const struct hr_py *py, uint64_t obj);
struct hr_py_gc_state {        /* one collector: the interpreter's, the process's up to 3.8 */
    int64_t id;                /* of the interpreter; 0 is the main one */
    bool enabled, collecting, broken;
    uint32_t threshold[3], count[3];
    uint64_t members[3], frozen;
    uint64_t tracked;          /* by the objects' own heads; only while it collects, else 0 */
    uint64_t garbage, uncollectable, collect_returns;
};
struct hr_py_gc {
    struct hr_py_gc_state of[HR_PY_MAX_INTERPRETERS]; /* the main one first */
    uint32_t ncollectors;
    /* of all interpreters: */
    struct hr_u64vec garbage;      /* what gc.collect() would free, addresses ascending */
    struct hr_u64vec uncollectable;
    struct hr_u64vec died_early;   /* of the garbage: gone by reference count while the finalizers run */
    uint64_t collect_returns;      /* in the main interpreter: garbage + uncollectable + weakrefs_freed, less died_early in versions that count late */
    uint64_t weakrefs_freed;       /* weak references outside that their callbacks drop: counted, too */
    bool exact;                    /* false: lists broken or a collection was under way */
};
enum hr_status hr_py_gc_predict(struct hr_py *py, struct hr_py_gc *ret) HR_MUST;
void hr_py_gc_deinit(struct hr_py_gc *g);
/* Calls fn for every object of a generation's list (3 = permanent). Returns false when the list is broken. */
bool hr_py_gc_list(struct hr_py *py, unsigned generation, void (*fn)(void *ctx, uint64_t obj), void *ctx); /* of all interpreters */

#endif
