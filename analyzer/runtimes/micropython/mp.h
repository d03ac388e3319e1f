/* MicroPython without symbols: names from the qstr pools, types from the type that is its own type, the state structure from
 * who points at the newest qstr pool, object words decoded in the representation of the build.
 *
 * Layouts: py/obj.h, py/qstr.h, py/mpstate.h, py/gc.c, py/objtype.h … of 1.9.2 to 1.28, read and checked on real images. */
#ifndef HR_RUNTIMES_MP_H
#define HR_RUNTIMES_MP_H

#include "analyzer/allocators/micropython/mpy.h"
#include "analyzer/base/bits.h"
#include "analyzer/runtimes/runtime.h"

/* How an object word (mp_obj_t) holds small integers, interned strings, constants and floats. The older form of each is that of
 * 1.12 and before, when None, True and False were objects in ROM. */
enum hr_mp_repr { HR_MP_REPR_UNKNOWN, HR_MP_A_OLD, HR_MP_A, HR_MP_B_OLD, HR_MP_B, HR_MP_C_OLD, HR_MP_C, HR_MP_D, HR_MP_NREPR };

enum hr_mp_kind {
    HR_MPK_OBJECT, HR_MPK_TYPE, HR_MPK_TUPLE, HR_MPK_LIST, HR_MPK_DICT, HR_MPK_SET, HR_MPK_STR, HR_MPK_INT, HR_MPK_FLOAT, HR_MPK_COMPLEX,
    HR_MPK_ARRAY, HR_MPK_MEMORYVIEW, HR_MPK_CLOSURE, HR_MPK_FUNCTION, HR_MPK_GENERATOR, HR_MPK_MODULE, HR_MPK_BOUND, HR_MPK_EXCEPTION,
    HR_MPK_INSTANCE, HR_MPK_NONE, HR_MPK_BOOL, HR_MPK_RANGE, HR_MPK_SLICE, HR_MPK_TRACEBACK, HR_MPK_DEQUE, HR_MPK_VIEW, HR_MPK_CELL,
    HR_MPK_REF, HR_MPK_TIMEQ,
};

/* What a function runs: bytecode, machine code of @native, @viper, @asm_... */
enum hr_mp_code_of { HR_MPF_BYTECODE, HR_MPF_NATIVE, HR_MPF_VIPER, HR_MPF_ASM };

/* Which letter mem_info(1) prints for a block that begins with this type's address; 'h' for all others. */
struct hr_mp_type {
    uint64_t addr;
    hr_str name;           /* as type.__name__ */
    hr_str full;           /* with the module of a class of the program in front */
    uint32_t heads;        /* allocations that begin with it */
    uint8_t kind;          /* enum hr_mp_kind */
    uint8_t code;          /* enum hr_mp_code_of: of functions */
    char letter;
    bool in_heap;          /* a class of the program */
};
HR_VEC(hr_mptypevec, struct hr_mp_type)

struct hr_mp_pool {        /* interned strings [base, base + len) */
    uint64_t addr, base, len, alloc, hashes, lengths, texts;
};
enum { HR_MP_MAX_POOLS = 64 /* each dynamic pool doubles */ };

/* Why an allocation without a type word exists. */
enum hr_mp_role { HR_MPR_NONE, HR_MPR_ITEMS, HR_MPR_TABLE, HR_MPR_SET_TABLE, HR_MPR_TEXT, HR_MPR_DIGITS, HR_MPR_BUFFER, HR_MPR_MEMBERS,
                  HR_MPR_TRACEBACK, HR_MPR_CODE, HR_MPR_NATIVE, HR_MPR_CONSTANTS, HR_MPR_POOL, HR_MPR_CHUNK, HR_MPR_CONTEXT, HR_MPR_RAW_CODE,
                  HR_MPR_FRAME, HR_MPR_ARGUMENTS, HR_MPR_MOUNT, HR_MPR_REGION, HR_MPR_PART, HR_MPR_WEAK, HR_MPR_STATE, HR_MPR_NROLES };

/* The heap behind a collection; all in bytes. */
struct hr_mp_after {
    uint64_t total, free_now, free_then, longest_now, longest_then; /* all areas together; runs do not cross areas */
    uint64_t garbage, finalisers;  /* finalisers: pieces of garbage that have one */
    uint64_t weakrefs;             /* pieces of garbage with weak references, which then are dead and call back */
    uint64_t largest;              /* the largest allocation alive */
    bool exact;                    /* as hr_mp_gc.exact */
};

/* What the firmware's own code says of the state (code.c). */
struct hr_mp_code {
    bool read, alone;              /* alone: memory told nothing of the state */
    const char *why_not;           /* it was not read, or not to its end: a phrase */
    uint64_t state, loads, fields; /* the word of the state that it names most often, by how many instructions; how many name other words of it */
    uint64_t next, next_loads;     /* the variable elsewhere that it names most often */
    uint64_t collector, lo, hi;    /* the function that goes through the roots [lo, hi); 0 none found */
    uint64_t mem_lo, mem_hi;       /* the roots as memory alone tells them */
};

struct hr_mp {
    struct hr_runtime_in in;
    const struct hr_image *img;
    struct hr_heap *heap;
    struct hr_mpy m;
    unsigned word, ow;             /* bytes of a pointer, of an object word and of mp_int_t (8 in representation D) */
    uint8_t wide_align;            /* what 8 bytes are aligned to within a struct: 4 on i386, 8 elsewhere */
    uint8_t float_at, float_bytes; /* where in a float its number lies; 0 bytes: not known */
    uint8_t digit_bytes;           /* of a big integer's digits; 0: it is one number of 64 bits */
    bool digits_known;             /* by evidence; else as the word size suggests */
    struct hr_mp_pool pool[HR_MP_MAX_POOLS];
    uint32_t npools;
    bool split_names;              /* qstr pools of 1.19 and later */
    bool pair_names;               /* those of CircuitPython 7 and 8 */
    bool sorted_bit;               /* 1.22 and later on big-endian machines: the low bit of a pool's base is a flag */
    uint8_t hash_bytes, len_bytes;
    uint64_t nqstr;
    enum hr_mp_repr repr;
    bool rounds_floats;            /* 1.26 and later: C fills a float's two missing bits with the two above them */
    uint64_t type_type;            /* &mp_type_type, 0 unknown */
    uint8_t map_flags;             /* bits below a map's `used`: 3; 4 in CircuitPython up to 8 */
    bool wide_name;                /* 1.9 and before: the word behind the type is the name */
    bool slots;                    /* 1.20 and later: types have slots */
    bool unicode;                  /* len() of text counts characters */
    bool args_first;               /* CircuitPython 7 and later: an exception's arguments come first, its traceback is an object */
    struct hr_mptypevec types;
    struct hr_map type_at;         /* address -> index of types */
    uint32_t *object;              /* per block: index of its type, HR_NONE: not an object */
    uint8_t *role;                 /* per block without a type word: enum hr_mp_role */
    hr_id *owner;                  /* of such a block; HR_NONE: outside the heap or unknown */
    hr_type *role_row;
    struct hr_map weak;            /* of blocks with weak references: how many */
    uint64_t vm;                   /* where the state structure holds the newest qstr pool, 0 unknown */
    uint64_t root_lo, root_hi;     /* the words that the collector scans */
    struct hr_mp_code code;
    uint64_t stack_top;
    bool said_no_registers, said_statics, have_after;
    struct hr_mp_after after;
    bool circuit;                  /* CircuitPython */
    char version[64];              /* "1.9.2", "1.20 or later"; CircuitPython's own: "9.2.9" */
    bool version_said;             /* by the image's own text */
};

static inline uint64_t hr_mp_word(const struct hr_mp *mp, uint64_t addr)
{
    uint64_t w = 0;
    return hr_image_uint(mp->img, addr, mp->word, &w) ? w : 0;
}
static inline uint64_t hr_mp_obj(const struct hr_mp *mp, uint64_t addr)
{
    uint64_t w = 0;
    return hr_image_uint(mp->img, addr, mp->ow, &w) ? w : 0;
}
/* Offset of a field behind the type word, counted in words. */
static inline uint64_t hr_mp_field(const struct hr_mp *mp, uint64_t obj, unsigned i) { return hr_mp_word(mp, obj + (uint64_t)i * mp->word); }
/* Bit field of `n` bits behind `at` others in a size_t: compilers fill them from the low end, or on big-endian machines from the high one. */
static inline uint64_t hr_mp_bitfield(const struct hr_mp *mp, uint64_t w, unsigned at, unsigned n)
{
    return w >> (mp->img->big ? 8 * mp->word - at - n : at) & (n < 64 ? (1ull << n) - 1 : UINT64_MAX);
}
/* mp_map_t.used: behind flags (all keys interned, fixed, ordered; CircuitPython up to 8: being searched). */
static inline uint64_t hr_mp_map_used(const struct hr_mp *mp, uint64_t map) { return hr_mp_bitfield(mp, hr_mp_word(mp, map), mp->map_flags, 8 * mp->word - mp->map_flags); }
/* Offset of the first field of so many bytes at or behind `off` in a struct. */
static inline unsigned hr_mp_align(const struct hr_mp *mp, unsigned off, unsigned bytes)
{
    unsigned to = bytes == 8 ? mp->wide_align : bytes;
    return (off + to - 1) & ~(to - 1);
}
/* mp_obj_t or mp_int_t number i of a struct that has nothing but its type in front of them. */
static inline unsigned hr_mp_obj_at(const struct hr_mp *mp, unsigned i) { return hr_mp_align(mp, mp->word, mp->ow) + i * mp->ow; }
/* mp_obj_str_t.len; data follows it. The hash in front is a size_t since 1.20, mp_uint_t before. */
static inline unsigned hr_mp_str_len_at(const struct hr_mp *mp) { return mp->slots ? 2 * mp->word : hr_mp_obj_at(mp, 1); }
/* mp_obj_closure_t.n_closed, behind the function; and its cells. */
static inline unsigned hr_mp_closed_n_at(const struct hr_mp *mp) { return hr_mp_obj_at(mp, 1); }
static inline unsigned hr_mp_closed_at(const struct hr_mp *mp) { return hr_mp_align(mp, hr_mp_closed_n_at(mp) + mp->word, mp->ow); }
/* The allocation that begins exactly at addr, as a used block; HR_NONE. */
hr_id hr_mp_head(const struct hr_mp *mp, uint64_t addr);
bool hr_mp_scanned(const struct hr_mp *mp, uint64_t head); /* does the collector look for references in this allocation? */

/* ---- version (version.c) ---- */
void hr_mp_find_flavour(struct hr_mp *mp);
void hr_mp_find_version(struct hr_mp *mp);
const char *hr_mp_flavour(const struct hr_mp *mp); /* "MicroPython", "CircuitPython" */
bool hr_mp_at_least(const struct hr_mp *mp, unsigned major, unsigned minor); /* the version of MicroPython, or the least it can be */

/* ---- names (qstr.c) ---- */
enum hr_status hr_mp_find_pools(struct hr_mp *mp) HR_MUST;
bool hr_mp_qstr(const struct hr_mp *mp, uint64_t index, char *buf, size_t cap);
uint64_t hr_mp_qstr_find(const struct hr_mp *mp, const char *text); /* its index, 0 none */

/* ---- object words (words.c) ---- */
enum hr_mp_what { HR_MPW_UNKNOWN, HR_MPW_NULL, HR_MPW_INT, HR_MPW_QSTR, HR_MPW_IMM, HR_MPW_FLOAT, HR_MPW_PTR };
struct hr_mp_value { enum hr_mp_what what; int64_t i; uint64_t u; double f; };
struct hr_mp_value hr_mp_decode(const struct hr_mp *mp, uint64_t w);
void hr_mp_find_repr(struct hr_mp *mp);
const char *hr_mp_repr_name(enum hr_mp_repr r); /* "A" … "D", NULL unknown */

/* ---- how numbers lie in memory (numbers.c) ---- */
void hr_mp_find_numbers(struct hr_mp *mp); /* needs the types */
bool hr_mp_float_at(const struct hr_mp *mp, uint64_t at, double *ret);
/* The shortest decimal text that gives the very number back. */
void hr_mp_float_text(double v, bool single, char *buf, size_t cap);

/* ---- types (types.c) ---- */
enum hr_status hr_mp_find_types(struct hr_mp *mp) HR_MUST;
uint32_t hr_mp_type_of(const struct hr_mp *mp, uint64_t obj); /* index of the type its first word names, HR_NONE */
uint64_t hr_mp_slot(const struct hr_mp *mp, uint64_t type, unsigned slot); /* 0 absent */
enum { HR_MPS_MAKE_NEW, HR_MPS_PRINT, HR_MPS_CALL, HR_MPS_UNARY, HR_MPS_BINARY, HR_MPS_ATTR, HR_MPS_SUBSCR, HR_MPS_ITER, HR_MPS_BUFFER,
       HR_MPS_PROTOCOL, HR_MPS_PARENT, HR_MPS_LOCALS, HR_MPS_N };
/* The value word of a string key in a map {flags, alloc, table} whose words are given; false: not there. */
bool hr_mp_map_get(const struct hr_mp *mp, uint64_t map, const char *key, uint64_t *ret);

/* ---- objects and what they own (parts.c) ---- */
enum hr_status hr_mp_find_objects(struct hr_mp *mp) HR_MUST;
const char *hr_mp_role_name(enum hr_mp_role r);
void hr_mp_claim_rest(struct hr_mp *mp); /* rest.c */
/* The object a class with a base in C is built around: its word, 0 none. */
uint64_t hr_mp_inner(const struct hr_mp *mp, uint64_t obj, uint32_t type);
bool hr_mp_has_method(const struct hr_mp *mp, uint64_t type, const char *name); /* of the program's classes, not of those in C */

/* ---- weak references (weak.c) ---- */
enum hr_status hr_mp_find_weak(struct hr_mp *mp) HR_MUST;
bool hr_mp_has_weak(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t block); /* says its bit */
uint32_t hr_mp_weak_count(const struct hr_mp *mp, hr_id id);                              /* refs and finalizes to it, 0 none or unknown */
uint64_t hr_mp_weak_objects(const struct hr_mp *mp, const struct hr_mpy_area *a);         /* how many objects have some */
uint64_t hr_mp_weak_target(const struct hr_mp *mp, uint64_t ref);                         /* of a ref or finalize; 0: it is dead */

/* ---- state and collector (collect.c) ---- */
enum hr_status hr_mp_find_state(struct hr_mp *mp) HR_MUST;
/* mem: where memory says that the state's heap part begins, 0 unknown. Sets the roots where the code tells them (code.c). */
enum hr_status hr_mp_read_code(struct hr_mp *mp, uint64_t mem) HR_MUST;
bool hr_mp_is_dict(const struct hr_mp *mp, uint64_t at);
struct hr_mp_gc {
    struct hr_bits live;           /* per block id */
    uint64_t freed_blocks, freed_bytes, count;
    bool exact;                    /* the roots are those the collector itself would use */
    const char *bound;             /* "at most", "at least": what is said to be freed where it is not exact */
    const char *stack;             /* what was scanned of the stack, a phrase */
};
enum hr_status hr_mp_collect(struct hr_mp *mp, struct hr_mp_gc *ret) HR_MUST;
struct hr_mp_marker { struct hr_mp *mp; struct hr_bits *live; struct hr_u32vec todo; enum hr_status st; };
void hr_mp_mark_word(struct hr_mp_marker *k, uint64_t w);
void hr_mp_mark_words(struct hr_mp_marker *k, uint64_t lo, uint64_t hi);
/* circuit.c */
void hr_mp_mark_permanent(struct hr_mp_marker *k);
enum hr_status hr_mp_mark_statics(struct hr_mp_marker *k) HR_MUST;
/* stacks.c */
void hr_mp_find_stack(struct hr_mp *mp);
uint64_t hr_mp_stack_floor(const struct hr_mp *mp); /* of the memory below stack_top that may be stack */
void hr_mp_mark_pystack(struct hr_mp_marker *k, uint64_t dict_locals);
bool hr_mp_is_region(const struct hr_mp *mp, uint64_t at);
void hr_mp_mark_regions(struct hr_mp_marker *k);
void hr_mp_mark_stacks(struct hr_mp_marker *k, struct hr_mp_gc *g); /* fills exact and stack */
void hr_mp_gc_deinit(struct hr_mp_gc *g);

/* ---- what contradicts itself (check.c) ---- */
void hr_mp_check(struct hr_mp *mp); /* needs heap->closed */

/* ---- behind a collection (after.c) ---- */
/* Computed once; HR_ABSENT: no state structure. */
enum hr_status hr_mp_after(struct hr_mp *mp, struct hr_mp_after *ret) HR_MUST;

/* ---- requests that failed (failed.c) ---- */
/* The largest one that a MemoryError in the heap tells of, and where that is; 0 none. */
uint64_t hr_mp_failed_request(const struct hr_mp *mp, uint64_t *error_ret);

/* ---- mem_info (info.c) ---- */
struct hr_mp_info { uint64_t blocks, used, free, one, two, max_block, max_free; };
void hr_mp_area_info(const struct hr_mp *mp, const struct hr_mpy_area *a, struct hr_mp_info *ret);
/* The letter of one block. */
char hr_mp_letter(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t block);

/* ---- how blocks hold blocks (fields.c) ---- */
bool hr_mp_field_name(const struct hr_mp *mp, hr_id id, uint32_t off, char *buf, size_t cap);
enum hr_status hr_mp_roots(struct hr_mp *mp) HR_MUST;
/* The table of a dict that lies outside the heap (the globals of __main__), or of a module's. */
bool hr_mp_is_namespace(const struct hr_mp *mp, hr_id id);

/* ---- values (values.c) ---- */
bool hr_mp_function_name(const struct hr_mp *mp, uint64_t fun, char *buf, size_t cap); /* of bytecode and of @native; names.c */
enum hr_status hr_mp_settle_functions(struct hr_mp *mp) HR_MUST; /* which of the types called function is which */
enum hr_mp_code_of hr_mp_code_of(const struct hr_mp *mp, uint64_t fun);
char *hr_mp_value_text(const struct hr_mp *mp, uint64_t word, bool contents, char *buf, size_t cap);
char *hr_mp_repr_text(const struct hr_mp *mp, uint64_t obj, uint32_t type, bool contents, char *buf, size_t cap);
uint64_t hr_mp_len(const struct hr_mp *mp, uint64_t obj, uint32_t type);       /* UINT64_MAX: has none */
uint64_t hr_mp_allocated(const struct hr_mp *mp, uint64_t obj, uint32_t type); /* places of a container, UINT64_MAX */

#endif
