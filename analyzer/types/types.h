/* The type table: one flat table of columns for everything that has a type, whoever told us (DWARF, a runtime, a rule
 * file). Also variables, functions and symbols.
 *
 * Types room: may call image and base. dwarf.c is the only user of libdwarf (in a child process), code.c and uop*.c
 * of capstone.
 * id 0 = unknown. Rows never change once added except by hr_types_* below. Strings are of the session pool. */
#ifndef HR_TYPES_TYPES_H
#define HR_TYPES_TYPES_H

#include "analyzer/base/limits.h"
#include "analyzer/base/strs.h"
#include "analyzer/image/image.h"

typedef uint32_t hr_type;

enum hr_type_kind {
    HR_T_NONE,      /* row 0 */
    HR_T_VOID,
    HR_T_BOOL,
    HR_T_INT,       /* signed */
    HR_T_UINT,
    HR_T_CHAR,      /* a byte that is text: char, signed/unsigned char, char8_t */
    HR_T_WCHAR,     /* wchar_t, char16_t, char32_t */
    HR_T_FLOAT,
    HR_T_ENUM,      /* target = underlying; fields = enumerators (off = value low 32 bits) */
    HR_T_PTR,       /* target; 0 or VOID: untyped pointer */
    HR_T_REF,       /* C++ reference: a pointer to target */
    HR_T_MEMBERPTR,
    HR_T_STRUCT,    /* struct and class */
    HR_T_UNION,
    HR_T_ARRAY,     /* target, count (0: flexible or unknown) */
    HR_T_FUNC,
    HR_T_TYPEDEF,   /* name for target */
    HR_T_RUNTIME,   /* a type of a managed runtime (CPython class …): a name, a size or 0, fields when known */
    HR_T_OTHER,     /* declared only, or nothing we model; has a name */
};

enum {
    HR_TF_DECLARATION = 1,   /* incomplete: no definition seen */
    HR_TF_POLYMORPHIC = 2,   /* has a virtual table pointer (at vptr_off) */
    HR_TF_UNSIZED = 4,       /* size unknown */
    HR_TF_CXX = 8,           /* from a C++ compile unit (name is fully qualified) */
    HR_TF_FLEX = 16,         /* ends in a flexible array member ([] / [0] / trailing [1]) */
    HR_TF_TYPEDEF_NAME = 32, /* C's `typedef struct {...} name`: the name is the typedef's, print it without "struct" */
};

enum {
    HR_FF_BASE = 1,          /* base class sub-object; name is the base's name */
    HR_FF_VIRTUAL = 2,       /* virtual base: off is unknown */
    HR_FF_ARTIFICIAL = 4,    /* _vptr and the like */
    HR_FF_BITFIELD = 8,      /* bit_off / bit_size valid */
    HR_FF_FLEX = 16,         /* the flexible array member */
    HR_FF_ANON = 32,         /* anonymous struct/union member */
};

struct hr_field {
    hr_str name;
    hr_type type;
    uint32_t off;            /* bytes from the start of the struct; enumerators: value */
    uint8_t bit_off;         /* 0..7, counted in memory order from byte `off`: from its least significant bit on little
                              * endian, from its most significant bit on big endian */
    uint8_t bit_size;        /* 1..64 */
    uint16_t flags;
};
HR_VEC(hr_fieldvec, struct hr_field)

struct hr_tparam {           /* template parameter */
    hr_str name;
    hr_type type;            /* the argument when it is a type; the type of the value otherwise */
    int64_t value;
    bool is_value;
};
HR_VEC(hr_tparamvec, struct hr_tparam)

struct hr_type_row {
    uint8_t kind;            /* enum hr_type_kind */
    uint8_t flags;           /* HR_TF_* */
    uint16_t module;         /* that told us first; 0xffff runtime or rule */
    hr_str name;             /* "struct node" is stored as "node"; print with hr_type_name() */
    uint64_t size;           /* bytes, 0 unknown (see HR_TF_UNSIZED) */
    hr_type target;
    uint32_t field0, nfields;
    uint32_t tparam0, ntparams;
    uint64_t count;          /* array elements */
    uint32_t decl_file;      /* hr_str */
    uint32_t decl_line;
    uint32_t vptr_off;       /* with HR_TF_POLYMORPHIC */
};
HR_VEC(hr_rowvec, struct hr_type_row)

enum hr_var_kind { HR_VAR_GLOBAL, HR_VAR_STATIC_LOCAL, HR_VAR_TLS, HR_VAR_MEMBER /* C++ static member */ };

struct hr_var {
    hr_str name;             /* qualified for C++ */
    hr_type type;
    uint64_t addr;           /* run-time address; TLS: offset in the module's TLS block */
    uint32_t module;
    uint8_t kind;            /* enum hr_var_kind */
    hr_str decl_file;
    uint32_t decl_line;
    hr_str func;             /* enclosing function of a static local, 0 none */
    hr_str unit;             /* source file of the compile unit that defines it, 0 unknown: decl_file may be a header */
};
HR_VEC(hr_varvec, struct hr_var)

enum hr_sym_kind { HR_SYM_DATA, HR_SYM_FUNC, HR_SYM_TLS, HR_SYM_OTHER };
struct hr_sym {
    uint64_t addr, size;     /* run-time address (TLS: block offset) */
    const char *name;        /* borrowed from the mapped file, NUL-terminated */
    uint32_t module;
    uint8_t kind;
    bool global;
};
HR_VEC(hr_symvec, struct hr_sym)

struct hr_types {
    struct hr_strs *strs;    /* borrowed */
    struct hr_notes *notes;  /* borrowed */
    const struct hr_image *image;
    struct hr_rowvec rows;
    struct hr_fieldvec fields;
    struct hr_tparamvec tparams;
    struct hr_varvec vars;   /* globals and statics of all modules, sorted by (kind==TLS, addr) after load */
    struct hr_symvec syms;   /* all modules' symbols sorted by address, made on first use */
    struct hr_map by_name;   /* hash of (kind class, name) -> row */
    uint8_t *module_typed;   /* per module: 0 not asked for, 1 DWARF was read, 2 it has none */
    void *priv;
};

enum hr_status hr_types_create(const struct hr_image *img, struct hr_types **ret) HR_MUST;
void hr_types_destroy(struct hr_types *t);

static inline const struct hr_type_row *hr_type_get(const struct hr_types *t, hr_type id)
{
    return &t->rows.v[id < t->rows.n ? id : 0];
}
/* Through typedefs to something that is none (bounded; 0 on a cycle). */
hr_type hr_type_strip(const struct hr_types *t, hr_type id);
/* "struct node *", "std::map<int, Foo>", "char [16]", "int (*)()": written to buf, unescaped, returns buf. */
char *hr_type_name(const struct hr_types *t, hr_type id, char *buf, size_t cap);
/* Row by name among complete types (spaces in C++ names do not matter): "node", "struct node", "Foo::Bar", typedef names; HR_ABSENT -> 0. */
hr_type hr_type_find(const struct hr_types *t, const char *name);
/* The field of a struct/union by name, searched through anonymous members and base classes; *off_ret from the start. */
const struct hr_field *hr_type_field(const struct hr_types *t, hr_type id, const char *name, uint64_t *off_ret);
/* Byte offset of "a.b.c" within the named type; false when there is no such type or field. For layout facts. */
bool hr_type_offset(const struct hr_types *t, const char *type, const char *path, uint64_t *off_ret);
/* The innermost named field at byte `off` of a type, as "a.b[3].c" in buf; returns its type (0 = padding or unknown). */
hr_type hr_type_at(const struct hr_types *t, hr_type id, uint64_t off, char *buf, size_t cap);
/* Adds a row of kind HR_T_RUNTIME (or returns the one of that name). Size 0 = unknown/variable. */
enum hr_status hr_types_add_runtime(struct hr_types *t, const char *name, uint64_t size, hr_type *ret) HR_MUST;
/* Adds a pointer / array row (deduplicated). */
enum hr_status hr_types_pointer_to(struct hr_types *t, hr_type target, hr_type *ret) HR_MUST;
enum hr_status hr_types_array_of(struct hr_types *t, hr_type elem, uint64_t count, hr_type *ret) HR_MUST;

/* ---- symbols (types/symbols.c): .symtab and .dynsym of every module's file and debug file ---- */
/* Built on first use; HR_ABSENT when no module has symbols. */
enum hr_status hr_types_load_symbols(struct hr_types *t) HR_MUST;
/* Symbol holding addr (size 0 symbols reach to the next one, functions and data alike), or NULL. *off_ret = addr - start. */
const struct hr_sym *hr_sym_at(struct hr_types *t, uint64_t addr, uint64_t *off_ret);
/* First symbol of that exact name (a ".lto_priv.N" / ".constprop.N" suffix is tried too); module HR_NONE = any. */
const struct hr_sym *hr_sym_find(struct hr_types *t, const char *name, uint32_t module);

/* ---- DWARF (types/dwarf*.c): in a child process, one flat validated blob per module, cached on disk by build-id ---- */
enum { HR_DWARF_TYPES = 1 /* types + variables */ };
struct hr_dwarf_options {
    bool no_cache;           /* --no-cache */
    const char *cache_dir;   /* NULL: $XDG_CACHE_HOME/heapray or ~/.cache/heapray; never beside the input */
    uint64_t max_memory;     /* of the child, bytes; 0 default */
    unsigned max_seconds;    /* CPU of the child; 0 default */
};
/* Reads the types and variables of one module (idempotent). HR_ABSENT: the module has no DWARF. A dead child is noted
 * ("no types for module X") and gives HR_ABSENT. */
enum hr_status hr_types_load_module(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt) HR_MUST;
enum hr_status hr_types_load_all(struct hr_types *t, const struct hr_dwarf_options *opt) HR_MUST;

/* ---- C++ virtual tables (types/vtable.c, demangle.c) ---- */
/* The class whose virtual table (primary or secondary) the pointer `vptr` points into, 0 unknown. *top_ret (may be NULL)
 * is offset-to-top: what to add to the address of the sub-object that holds the vptr to reach the whole object. */
hr_type hr_type_of_vtable(struct hr_types *t, uint64_t vptr, int64_t *top_ret);
/* The class name of a vptr without DWARF: from the _ZTV symbol, else from the type_info's name string. */
bool hr_vtable_class_name(struct hr_types *t, uint64_t vptr, char *buf, size_t cap);
/* Demangles a type as found after _ZTV / _ZTI / _ZTS or in type_info::name ("N3foo3BarIiEE" -> "foo::Bar<int>"); bounded,
 * false when it is not one. */
bool hr_demangle_type(const char *mangled, char *buf, size_t cap);

/* ---- frames (types/frames.c, cfi.c): unwinding and locals ---- */
enum hr_frame_trust { HR_FRAME_REGS, HR_FRAME_CFI, HR_FRAME_FP, HR_FRAME_SCAN };
struct hr_local {
    hr_str name;
    hr_type type;
    uint8_t where;           /* 0 memory at `addr`, 1 register: value in `value`, 2 optimised out */
    bool param;
    uint64_t addr, value;
    hr_str file;
    uint32_t line;
};
HR_VEC(hr_localvec, struct hr_local)
struct hr_frame {
    uint64_t pc, sp, cfa;    /* sp at this frame; cfa = caller's sp; cfa 0 unknown */
    uint64_t reg[HR_MAX_REGS];
    uint64_t reg_valid;
    uint32_t module;
    hr_str func, file;       /* 0 unknown */
    uint32_t line;
    uint8_t trust;           /* enum hr_frame_trust: how this frame was found */
    bool inlined, signal_frame;
    uint32_t local0, nlocals; /* into hr_stacks.locals */
};
HR_VEC(hr_framevec, struct hr_frame)
struct hr_stack_of {
    uint32_t frame0, nframes;
    bool complete;           /* reached the thread's first function */
};
struct hr_stacks {
    struct hr_framevec frames;
    struct hr_localvec locals;
    struct hr_stack_of *of;  /* per image thread */
    uint32_t n;
};
/* Unwinds every thread with call-frame information (.eh_frame, .debug_frame), frame pointers next, else stops. With
 * `locals`, DWARF gives function, file:line, inlined frames and typed locals (asks the child for those pcs only). */
enum hr_status hr_stacks_create(struct hr_types *t, bool locals, const struct hr_dwarf_options *opt,
                                struct hr_stacks **ret) HR_MUST;
void hr_stacks_destroy(struct hr_stacks *s);

/* ---- code (types/code.c): capstone ---- */
/* Data addresses that the function at `entry` refers to by pc-relative or absolute operands within its first `max_bytes`,
 * in order, without duplicates; at most cap. Returns how many. */
size_t hr_code_data_refs(const struct hr_image *img, uint64_t entry, size_t max_bytes, uint64_t *refs, size_t cap);
/* Targets of its direct calls and of jumps out of it, likewise. Both stop where the function's code ends (the last return
 * that no branch goes past); pass the symbol's size as max_bytes when it is known. */
size_t hr_code_calls(const struct hr_image *img, uint64_t entry, size_t max_bytes, uint64_t *targets, size_t cap);

#endif
