/* DWARF expressions (locations, CFA rules, call-site values), evaluated over the registers of one frame and the image.
 * Bounded: HR_LOC_SLOTS stack slots, HR_LOC_STEPS operations, reads only. Types room. */
#ifndef HR_TYPES_LOCEXPR_H
#define HR_TYPES_LOCEXPR_H

#include "analyzer/image/image.h"

enum hr_loc_kind {
    HR_LOC_NONE,   /* optimised out, in pieces, or nothing we can follow */
    HR_LOC_MEM,    /* at address `v` */
    HR_LOC_REG,    /* in register `reg`, whose value is `v` */
    HR_LOC_VALUE,  /* has no place, but is `v` */
};
struct hr_loc {
    uint8_t kind;
    uint32_t reg;
    uint64_t v;
};

struct hr_locctx {
    const struct hr_image *img;
    const uint64_t *reg;        /* of the frame, by DWARF number */
    uint64_t reg_valid;
    uint64_t cfa;
    bool cfa_valid;
    struct hr_span frame_base;  /* DW_AT_frame_base of the function; empty: none */
    uint64_t bias;              /* added to DW_OP_addr operands */
    uint8_t offset_size;        /* 4 or 8: bytes of a section offset operand; 0 means 4 */
    /* What expression `e` was worth when the function was entered (DW_OP_entry_value); NULL: unknown. */
    bool (*entry)(void *ctx, struct hr_span e, uint64_t *ret);
    void *entry_ctx;
};

/* HR_OK with kind NONE when the thing has no value here; HR_ABSENT when a register or memory it needs is unknown;
 * HR_CORRUPT / HR_LIMIT / HR_UNSUPPORTED for the expression's own faults. `initial` (may be NULL) is pushed first. */
enum hr_status hr_locexpr(const struct hr_locctx *ctx, struct hr_span expr, const uint64_t *initial,
                          struct hr_loc *ret) HR_MUST;

#endif
