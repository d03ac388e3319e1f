/* Range lists and location lists, DWARF 2 to 5, read by ourselves: libdwarf gives decoded operations, and we want the bytes of
 * an expression. Child only. */
#ifndef HR_TYPES_DWARF_LIST_H
#define HR_TYPES_DWARF_LIST_H

#include "analyzer/types/dwarf.h"

/* What lists of the current unit are relative to. */
struct hr_dw_unit {
    uint64_t low_pc;
    uint64_t rnglists_base, loclists_base; /* offsets in their sections */
    uint8_t offset_size;
};
void hr_dw_unit_bases(struct hr_dw *d, struct hr_dw_unit *ret);
/* Calls fn for each stretch of code of this DIE (DW_AT_low_pc/high_pc or DW_AT_ranges) until it says false. false: it has no
 * code at all. */
typedef bool hr_dw_range_fn(void *ctx, uint64_t lo, uint64_t hi);
bool hr_dw_ranges(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, hr_dw_range_fn *fn, void *ctx);
bool hr_dw_covers(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, uint64_t pc);
/* The expression of attribute `what` (exprloc, block or location list) that holds at pc. false: none does. */
bool hr_dw_location(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, Dwarf_Half what, uint64_t pc,
                    struct hr_span *ret);

#endif
