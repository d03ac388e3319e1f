/* What DWARF says about the pcs of the frames: function, inlining, line, locals. Types room, internal.
 *
 * pcinfo.c (parent) collects the pcs of one module, asks the child once (dwarf_pc.c runs there), validates the answer and
 * evaluates the places of locals over the unwound registers.
 *
 * The answer, in host byte order; "str" and "bytes" are a u32 length and that many bytes:
 *   u64 magic, u64 length of the type table, the type table (blob.c), then per pc in the order asked:
 *     str file, u32 line
 *     u32 levels, innermost first; each: u8 inlined, str function, str call file, u32 call line, u64 entry address,
 *        bytes frame base, u32 locals; each: str name, u32 type row, u8 parameter, str file, u32 line, u8 constant?,
 *        u64 constant, bytes location (empty: optimised out)
 *     u32 call-site parameters; first, if any: str callee, bytes target; each: bytes where (the callee's register), bytes value */
#ifndef HR_TYPES_PCINFO_H
#define HR_TYPES_PCINFO_H

#include "analyzer/types/child.h"
#include "analyzer/types/types.h"

#define HR_PC_MAGIC 0x3170636a70617268ull

struct hr_pc_ask {
    uint64_t pc;      /* file address to look up */
    uint64_t ret;     /* file address the call returns to; 0: the frame was not left by a call */
};

struct hr_pc_query {  /* ctx of hr_dwarf_pc */
    const struct hr_elf *elf, *alt, *exec; /* as hr_dw_open wants them */
    const struct hr_pc_ask *ask;           /* sorted by pc */
    size_t n;
};

/* The child's side. */
enum hr_status hr_dwarf_pc(void *query, struct hr_child_out *out);

/* Where to look frame i up: the return address of a call already belongs to what follows it. */
uint64_t hr_frame_lookup_pc(const struct hr_stacks *s, const struct hr_stack_of *of, uint32_t i);

/* Replaces s's frames by the same ones with DWARF's names, inlined frames added, and locals. A module without DWARF keeps
 * what it has. */
enum hr_status hr_pcinfo_fill(struct hr_types *t, const struct hr_dwarf_options *opt, struct hr_stacks *s) HR_MUST;
/* The same with another way to get a module's answer: fuzzers and tests ask in their own process. */
typedef enum hr_status hr_pc_asker(void *ctx, struct hr_pc_query *q, struct hr_u8vec *ret, char *why, size_t cap);
enum hr_status hr_pcinfo_fill_by(struct hr_types *t, struct hr_stacks *s, hr_pc_asker *asker, void *ctx) HR_MUST;

#endif
