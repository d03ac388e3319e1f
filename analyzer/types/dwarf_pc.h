/* Inside the child: answering for pcs. dwarf_pc.c goes over units and functions, dwarf_local.c writes what it finds. */
#ifndef HR_TYPES_DWARF_PC_H
#define HR_TYPES_DWARF_PC_H

#include "analyzer/types/dwarf_list.h"
#include "analyzer/types/pcinfo.h"

enum {
    HR_PC_LEVELS = 64,     /* functions inlined into each other; compilers stop long before */
    HR_PC_MAX_LOCALS = 4096, /* of one function and pc */
};

struct hr_pc_part { size_t off, n; };
struct hr_pc_line { const char *file; uint32_t line; bool found; };
struct hr_pc_local { Dwarf_Die die; uint32_t level; };
HR_VEC(hr_pclocalvec, struct hr_pc_local)

struct hr_pcw {
    struct hr_dw d;
    const struct hr_pc_query *q;
    struct hr_dw_unit unit;
    struct hr_u8vec buf;          /* answers, one after the other as they are found */
    struct hr_u32vec type_at;     /* offsets in buf of type rows: raw ones until the end */
    struct hr_pc_part *part;      /* per pc: its answer in buf; n == 0: none yet */
    struct hr_pc_line *line;      /* per pc */
    bool *hit;                    /* per pc: covered by the DIE at hand */
    size_t nhit;
    struct hr_pclocalvec locals;  /* of the pc at hand */
    Dwarf_Die level[HR_PC_LEVELS];
    uint32_t nlevels;
    Dwarf_Die call_site;          /* that the pc's call returns to, NULL none */
};

/* Appends the answer for pc number i, whose levels, locals and call site are collected. */
enum hr_status hr_pc_write(struct hr_pcw *w, size_t i) HR_MUST;

#endif
