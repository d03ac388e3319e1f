/* Inside the types room, inside the child: the DWARF reader. Only dwarf*.c include this; the parent sees tables only.
 *
 * dwarf.c hands libdwarf the bytes of .debug_* sections and reads attributes; dwarf_walk.c goes over the DIEs of a unit
 * with an explicit stack; dwarf_types.c and dwarf_vars.c make raw rows of them. A raw row stands for one DIE; merge.c
 * makes one row of equal ones afterwards. */
#ifndef HR_TYPES_DWARF_H
#define HR_TYPES_DWARF_H

#include <libdwarf/dwarf.h>
#include <libdwarf/libdwarf.h>

#include "analyzer/base/fuel.h"
#include "analyzer/image/elf.h"
#include "analyzer/types/table.h"

enum {
    HR_DW_DEPTH = 64,       /* DIEs nested deeper are not read: namespaces and blocks of real programs reach about 20 */
    HR_DW_MAX_FILES = 65536, /* of one line table */
    HR_DW_MAX_DIMS = 16,    /* of one array */
};
/* Decompressed bytes of one section: 4 GiB is where 32-bit DWARF ends. */
#define HR_DW_MAX_SECTION (4ull << 30)

/* Offsets of DIEs are unique per space only. */
enum hr_dw_space { HR_DW_INFO, HR_DW_TYPES, HR_DW_ALT };
typedef uint64_t hr_dw_key; /* space << 60 | offset; HR_DW_NO_KEY: none */
#define HR_DW_NO_KEY UINT64_MAX

enum hr_dw_source { HR_DW_MAIN_FILE, HR_DW_ALT_FILE };
struct hr_dw_file {
    const struct hr_elf *elf;
    const struct hr_section **sec; /* the .debug_* ones */
    const char **name;
    struct hr_span *data;          /* their bytes, once decompressed */
    void **own;                    /* what has to be freed of that */
    uint32_t nsec, nall;           /* that libdwarf sees; with the range and location lists behind them */
    Dwarf_Obj_Access_Interface iface;
    Dwarf_Debug dbg;
    uint64_t info_bytes;
};

struct hr_dw_decl { /* a variable declared in a class or namespace, defined elsewhere */
    hr_str name;
    hr_type type;
    hr_str file;
    uint32_t line;
    bool member;
    hr_dw_key origin; /* where the rest is said, HR_DW_NO_KEY nowhere */
};
HR_VEC(hr_dwdeclvec, struct hr_dw_decl)

struct hr_dw_var {
    struct hr_var v;
    hr_dw_key origin; /* specification or abstract origin that has the name and type, HR_DW_NO_KEY none */
};
HR_VEC(hr_dwvarvec, struct hr_dw_var)

struct hr_dw {
    struct hr_dw_file file[2]; /* enum hr_dw_source; the second is dwz's common file */
    struct hr_types raw;       /* a row per DIE; rows are made when first referred to and filled when met */
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_map row_of;      /* hr_dw_key -> row */
    struct hr_map sig_row;     /* type signature -> row */
    struct hr_map fscope;      /* hr_dw_key of a function declared in a scope -> that scope's name */
    struct hr_map imports;     /* hr_dw_key of a partial unit's DIE -> language of a unit that imports it, LANG_DONE when read */
    struct hr_map decl_of;     /* hr_dw_key -> decls */
    struct hr_dwdeclvec decls;
    struct hr_dwvarvec vars;
    const struct hr_elf *exec; /* whose PT_LOADs say what an address may be; NULL: any but 0 */
    struct hr_fuel fuel;
    uint32_t flags;            /* HR_BLOB_* */
    /* the unit being read */
    const struct hr_dw_file *cur;
    enum hr_dw_space space;
    Dwarf_Half version;
    uint8_t addr_size;
    uint16_t lang;
    bool type_unit, has_lang;
    bool cxx;                  /* names are qualified with ::, structs print without "struct" */
    Dwarf_Die cu;
    struct hr_u32vec files;    /* hr_str + 1 of line-table file i; 0 not yet interned */
    char **srcfiles;
    Dwarf_Signed nsrcfiles;
    bool files_read, files_from_1;
    bool unit_read;            /* `unit` is its name */
    hr_str unit;
};

/* All attributes of a DIE that matter here. A bit in `has` says which were there and could be read. */
enum {
    HR_AT_NAME = 1, HR_AT_TYPE = 1 << 1, HR_AT_SIZE = 1 << 2, HR_AT_BIT_SIZE = 1 << 3, HR_AT_BIT_OFFSET = 1 << 4,
    HR_AT_DATA_BIT_OFFSET = 1 << 5, HR_AT_MEMBER_LOC = 1 << 6, HR_AT_VIRTUAL = 1 << 7, HR_AT_UPPER = 1 << 8,
    HR_AT_COUNT = 1 << 9, HR_AT_LOWER = 1 << 10, HR_AT_CONST = 1 << 11, HR_AT_ORIGIN = 1 << 12, HR_AT_SIG = 1 << 13,
    HR_AT_LOCATION = 1 << 14, HR_AT_DECLARATION = 1 << 15, HR_AT_EXTERNAL = 1 << 16, HR_AT_ARTIFICIAL = 1 << 17,
    HR_AT_CONTAINING = 1 << 18, HR_AT_DATA_LOC = 1 << 19, HR_AT_ANY_LOCATION = 1 << 20, HR_AT_INLINE = 1 << 21,
    HR_AT_DECL_FILE = 1 << 22,
};
struct hr_dw_attrs {
    uint32_t has;
    const char *name;        /* in the section */
    hr_dw_key type, origin;  /* a type by signature: key of its row, see hr_dw_row */
    hr_type type_row;        /* of a type by signature, else 0 */
    hr_type sig_row;         /* DW_AT_signature */
    uint64_t size, bit_size, bit_offset, data_bit_offset, member_loc, upper, lower, count, encoding;
    int64_t value;
    uint32_t decl_file, decl_line;
    const uint8_t *loc;      /* HR_AT_LOCATION */
    uint64_t loc_len;
};
enum hr_status hr_dw_attrs(struct hr_dw *d, Dwarf_Die die, struct hr_dw_attrs *ret) HR_MUST;
hr_dw_key hr_dw_die_key(struct hr_dw *d, Dwarf_Die die);
/* The raw row of the DIE at `key`, made when there is none; 0 for HR_DW_NO_KEY or when full. */
hr_type hr_dw_row(struct hr_dw *d, hr_dw_key key);
hr_type hr_dw_sig(struct hr_dw *d, const Dwarf_Sig8 *sig);
/* The row that DW_AT_type says. */
hr_type hr_dw_type_of(struct hr_dw *d, const struct hr_dw_attrs *a);
/* Has the current unit a line-number program whose header can be read? */
bool hr_dw_has_lines(const struct hr_dw *d);
/* Interned path of DW_AT_decl_file in the current unit, 0 none. */
hr_str hr_dw_decl_file(struct hr_dw *d, const struct hr_dw_attrs *a);
hr_str hr_dw_file_name(struct hr_dw *d, uint32_t index);
/* Interned scope::name (just the name in C). */
hr_str hr_dw_qualify(struct hr_dw *d, hr_str scope, const char *name);
hr_str hr_dw_str(struct hr_dw *d, const char *z);

/* Opens the .debug_* sections of elf (and of dwz's file, may be NULL); `code`: those with ranges and locations of code,
 * too. HR_ABSENT: no .debug_info. */
enum hr_status hr_dw_open(struct hr_dw *d, const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_elf *exec,
                          bool code) HR_MUST;
void hr_dw_close(struct hr_dw *d);

/* Bytes of section i, decompressed once; they stay until hr_dw_close. */
struct hr_span hr_dw_section_bytes(const struct hr_dw_file *f, uint32_t i);

/* The next unit of a source (`types`: .debug_types) becomes the current one (d->cu). Start with *more = false; after an
 * HR_OK call it has to be called until it says HR_ABSENT, as libdwarf keeps the position. */
enum hr_status hr_dw_next_unit(struct hr_dw *d, enum hr_dw_source src, bool types) HR_MUST;
/* Reads all types and variables of the current unit into d->raw and d->vars. */
enum hr_status hr_dw_walk_unit(struct hr_dw *d) HR_MUST;
/* Both, for everything. */
enum hr_status hr_dw_walk_all(struct hr_dw *d) HR_MUST;
/* After the walk: names of anonymous structs, variables with their names and types into d->raw.vars. */
enum hr_status hr_dw_finish(struct hr_dw *d) HR_MUST;

/* dwarf_types.c: fills the row of a type DIE. *descend_ret: its children hold types or variables of their own. */
enum hr_status hr_dw_type(struct hr_dw *d, Dwarf_Die die, Dwarf_Half tag, hr_str scope, hr_str *inner_ret, bool *descend_ret)
    HR_MUST;
bool hr_dw_is_type(Dwarf_Half tag);
/* dwarf_vars.c. `func` is the enclosing function's DIE or NULL. */
enum hr_status hr_dw_variable(struct hr_dw *d, Dwarf_Die die, hr_str scope, Dwarf_Die func, bool in_struct) HR_MUST;
enum hr_status hr_dw_resolve_vars(struct hr_dw *d) HR_MUST;
/* Name of a function's DIE, qualified, through its specification and abstract origin; 0 unknown. */
hr_str hr_dw_func_name(struct hr_dw *d, Dwarf_Die func);

#endif
