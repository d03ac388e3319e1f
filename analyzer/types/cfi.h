/* Call-frame information (.eh_frame, .debug_frame) as a bounded reader over a span: which rule recovers the CFA and each
 * register at a pc. Types room; used by unwind.c and its tests only. It allocates nothing but the index of a table that
 * has no search table of its own, never recurses, and every loop eats input bytes. */
#ifndef HR_TYPES_CFI_H
#define HR_TYPES_CFI_H

#include "analyzer/base/limits.h"
#include "analyzer/base/vec.h"
#include "analyzer/image/image.h"

struct hr_cfi_range {
    uint64_t lo, hi;     /* run-time addresses [lo, hi) */
    uint64_t off;        /* of the FDE in the section */
};
HR_VEC(hr_cfi_rangevec, struct hr_cfi_range)

/* One section. Addresses are run-time ones throughout. */
struct hr_cfi_table {
    struct hr_span bytes;
    uint64_t addr;       /* of bytes.p[0]; 0 for .debug_frame */
    uint64_t bias;       /* added to absolute pointers found in the section */
    uint64_t data_base;  /* DW_EH_PE_datarel: address of .eh_frame_hdr (or of the GOT on i386) */
    uint64_t text_base;
    const struct hr_image *img; /* for DW_EH_PE_indirect; may be NULL */
    const struct hr_arch *arch;
    bool eh, big;
    uint8_t word;
    struct hr_span hdr;  /* .eh_frame_hdr with a search table, or empty */
    uint64_t hdr_addr;
    struct { uint64_t off, count; uint8_t enc, width; } search; /* of hdr; count 0: none */
    bool indexed;
    struct hr_cfi_rangevec index;
};

struct hr_cfi_cie {
    uint64_t code_align;
    int64_t data_align;
    uint64_t ra;         /* return-address column as the section numbers it */
    uint8_t fde_enc;     /* DW_EH_PE_* of FDE addresses */
    uint8_t addr_size;
    bool has_z, signal;
    struct hr_span insns;
};

struct hr_cfi_fde {
    struct hr_cfi_cie cie;
    uint64_t lo, hi;
    struct hr_span insns;
};

enum hr_cfi_kind {
    HR_CFI_UNSPEC,     /* nothing said: the ABI's default */
    HR_CFI_UNDEF,
    HR_CFI_SAME,
    HR_CFI_OFFSET,     /* saved at cfa + off */
    HR_CFI_VAL_OFFSET, /* is cfa + off */
    HR_CFI_REG,        /* in register `reg` */
    HR_CFI_EXPR,       /* saved at the address the expression gives */
    HR_CFI_VAL_EXPR,   /* is what the expression gives */
};
struct hr_cfi_rule {
    uint8_t kind;
    uint32_t reg;
    int64_t off;
    struct hr_span expr;
};
struct hr_cfi_row {
    struct hr_cfi_rule cfa; /* HR_CFI_REG: reg + off; HR_CFI_VAL_EXPR */
    struct hr_cfi_rule reg[HR_MAX_REGS];
    uint32_t ra;            /* HR_NONE: a column we have no register for */
    bool signal;            /* the frame is a signal trampoline: its caller's pc is not a return address */
    bool ra_signed;         /* aarch64 pointer authentication */
};

/* Fills in the fields of a zeroed table whose bytes, addr, bias, img, arch, eh, big and word are set. `hdr` may be empty
 * or broken (then the section is scanned). */
void hr_cfi_table_init(struct hr_cfi_table *t, struct hr_span hdr, uint64_t hdr_addr);
void hr_cfi_table_deinit(struct hr_cfi_table *t);
/* .eh_frame's run-time address as .eh_frame_hdr tells it. */
bool hr_cfi_hdr_frame(struct hr_span hdr, uint64_t hdr_addr, bool big, uint8_t word, uint64_t *ret);
/* The FDE that covers pc. HR_ABSENT: none does. */
enum hr_status hr_cfi_find(struct hr_cfi_table *t, uint64_t pc, struct hr_cfi_fde *ret) HR_MUST;
/* Runs the FDE's instructions up to pc. */
enum hr_status hr_cfi_row(const struct hr_cfi_table *t, const struct hr_cfi_fde *fde, uint64_t pc,
                          struct hr_cfi_row *ret) HR_MUST;
/* Our register index of a DWARF column, or HR_NONE. */
uint32_t hr_cfi_column(const struct hr_arch *arch, uint64_t column);
/* An encoded pointer (DW_EH_PE_*) at the cursor, whose first byte lies at run-time address `at`. */
uint64_t hr_cfi_pointer(const struct hr_cfi_table *t, struct hr_cursor *c, uint8_t enc, uint64_t at);

#endif
