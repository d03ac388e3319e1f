/* Inside the types room only: building, hashing and merging type tables. The child that reads DWARF, the reader of the
 * cache and the session all hold a struct hr_types, so one merge serves the three. */
#ifndef HR_TYPES_TABLE_H
#define HR_TYPES_TABLE_H

#include "analyzer/types/types.h"

enum {
    HR_T_LAST = HR_T_OTHER,
    HR_T_ALIAS = 0xf0,  /* raw tables only: const, volatile, a signature; stands for its target */
    HR_T_HOPS = 64,     /* typedefs, pointers, nested members followed in a row: deeper is a cycle or an attack */
};

enum hr_name_class { HR_NC_TAG, HR_NC_PLAIN, HR_NC_RUNTIME };

struct hr_types_priv {
    struct hr_map by_def;   /* structural key -> row: equal types of many units and modules are one row */
    struct hr_map ptr_of;   /* derived rows: key of (kind, target, count) -> row */
    struct hr_map vtable;   /* vptr -> type, 0 for none; of the rows there were at vtable_rows */
    struct hr_map classes;  /* loose hash of a class's name -> row, of the rows below classes_seen; see vtable.c */
    uint32_t vtable_rows, classes_seen;
    struct hr_map sym_by_name; /* see symbols.c */
    struct hr_u32vec sym_next;
    bool syms_loaded;
    uint32_t settled;       /* rows below are settled */
    bool completed;         /* a declaration became a definition: sizes of what refers to it are stale */
};

/* An empty table with row 0. `strs` and `notes` are borrowed. */
enum hr_status hr_types_init(struct hr_types *t, struct hr_strs *strs, struct hr_notes *notes) HR_MUST;
void hr_types_deinit(struct hr_types *t);

/* The by_name key of (class, name): blanks that do not separate words are ignored, so "> >" finds ">>". */
uint64_t hr_types_name_key(enum hr_name_class c, const char *name);
enum hr_name_class hr_types_class(const struct hr_type_row *r);
/* Looks a name up in one class (complete or declared). */
hr_type hr_types_lookup(const struct hr_types *t, enum hr_name_class c, const char *name);
/* Enters a row in by_name; a complete row displaces a declaration. */
enum hr_status hr_types_index(struct hr_types *t, hr_type id) HR_MUST;

/* Adds all of `from` to `into`: equal types are shared, declarations resolved. Variables are moved by `bias` (not TLS) and
 * belong to `module`. map_ret (may be NULL; max is set here): row of `from` -> row of `into`. */
enum hr_status hr_types_merge(struct hr_types *into, const struct hr_types *from, uint32_t module, uint64_t bias,
                              struct hr_u32vec *map_ret) HR_MUST;
/* Completes rows added since the last call: sizes of typedefs and arrays, flexible tails, inherited virtual tables; and
 * cuts what cannot be (members outside their struct, types that contain themselves), so that users may walk by value. */
enum hr_status hr_types_settle(struct hr_types *t) HR_MUST;
/* Sorts variables by (TLS, address) and drops repeated ones. */
void hr_types_sort_vars(struct hr_types *t);
/* A bounded hash that tells types apart by name and shape, without following what they point to. */
uint64_t hr_types_name_hash(const struct hr_types *t, hr_type id);

/* ---- the flat form (blob.c): what the child hands back and what is cached ---- */
struct hr_child_out;
enum { HR_BLOB_VERSION = 2 }; /* raise when the layout or the meaning of a column changes: old cache files are ignored */
/* `flags`: what the reader has to say about the input, HR_BLOB_*. */
enum {
    HR_BLOB_DEEP = 1,       /* nested too deep somewhere; cut there */
    HR_BLOB_SPLIT = 2,      /* split DWARF: the types are in .dwo files */
    HR_BLOB_NO_ALT = 4,     /* refers to a dwz file that was not given */
    HR_BLOB_DAMAGED = 8,    /* some units could not be read to their end */
    HR_BLOB_BUDGET = 16,    /* more than the budget; cut there */
};
enum hr_status hr_blob_write(const struct hr_types *t, uint32_t flags, struct hr_child_out *out) HR_MUST;
/* Checks every byte and builds a table in `t` (initialised by the caller with hr_types_init). HR_CORRUPT when anything is
 * out of range; `t` may then hold a part and is only good for hr_types_deinit. */
enum hr_status hr_blob_read(struct hr_span blob, struct hr_types *t, uint32_t *flags_ret) HR_MUST;

#endif
