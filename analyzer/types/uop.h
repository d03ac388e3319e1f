/* Instructions of any machine as a few small operations, for run.c to carry out. Inside the types room.
 *
 * An instruction that has no such form becomes U_BAD: whoever runs into it knows that nothing is known from there on. */
#ifndef HR_TYPES_UOP_H
#define HR_TYPES_UOP_H

#include "analyzer/base/vec.h"
#include "analyzer/image/image.h"

enum hr_uop_kind {
    U_BAD,
    U_IMM,    /* d = imm */
    U_MOV,    /* d = a; size 4 clears the upper half, 1 and 2 leave the rest alone */
    U_LEA,    /* d = a + (b << shift) + imm */
    U_LOAD,   /* d = size bytes at that address, zero-extended */
    U_STORE,  /* size bytes of d to that address */
    U_ZX, U_SX, /* d = the low `size` bytes of a, extended to `to` bytes */
    U_ADD, U_SUB, U_AND, U_OR, U_XOR, U_SHL, U_SHR, U_SAR, U_MUL, /* d = a op (b, or imm); d none: for the flags only */
    U_DIV, U_IDIV, /* x86: the pair (dx, ax) by a */
    U_WIDE, U_IWIDE, /* x86: ax times a, into the pair */
    U_CTZ, U_CLZ, U_POP, U_BSWAP, U_ROL, U_ROR, /* of a; ROL, ROR by (b, or imm). CTZ, CLZ: the number of zeros below, above */
    U_STOS, U_MOVS, /* x86: as many as cx says, of `size` bytes, from ax or (si), to (di) */
    U_BIT,    /* carry = bit (b, or imm) of a */
    U_CSEL,   /* d = cc ? a : b */
    U_SETC,   /* d = cc */
    U_CCMP,   /* cc ? compare a with (b, or imm) : flags = `to` (NZCV, carry = borrow) */
    U_BR,     /* cc: to imm */
    U_BRZ, U_BRNZ, /* a, size bytes of it, is (not) zero: to imm */
    U_JMP, U_JMPR, U_CALL, U_CALLR, U_RET,
};

enum hr_uop_cc { CC_EQ, CC_NE, CC_ULT, CC_UGE, CC_ULE, CC_UGT, CC_SLT, CC_SGE, CC_SLE, CC_SGT, CC_NEG, CC_POS, CC_OV, CC_NOV, CC_ALWAYS };

enum { /* registers: 0..30 general, then: */
    R_ZERO = 31, /* always 0; what is written to it is lost */
    R_SP = 32,   /* aarch64; x86 numbers its own among the general ones */
    R_T0 = 33, R_T1 = 34, R_T2 = 35,
    R_VEC = 40,  /* two words each */
    R_COUNT = R_VEC + 2 * 32,
    R_NO = 0xff,
};

struct hr_uop {
    uint8_t op, size, d, a, b, shift, cc;
    uint8_t to;      /* sizes; loads and stores: thread-local; arithmetic: the carry is not known (1), nor the overflow (2) */
    bool flags;      /* sets the flags */
    uint8_t len;     /* of the instruction */
    uint32_t next;   /* index of the operation at the target, HR_NONE not looked up yet */
    uint64_t pc;     /* of the instruction */
    int64_t imm;
};
HR_VEC(hr_uopvec, struct hr_uop)

struct hr_uops;      /* the decoder and what it has decoded */
bool hr_uops_known(const struct hr_image *img);
enum hr_status hr_uops_create(const struct hr_image *img, struct hr_uops **ret) HR_MUST;
void hr_uops_destroy(struct hr_uops *u);
/* Index of the first operation of the instruction at pc; HR_NONE when there is no code in the image. */
uint32_t hr_uops_at(struct hr_uops *u, uint64_t pc);
const struct hr_uop *hr_uops_get(const struct hr_uops *u, uint32_t i);
/* Remembers where operation i goes. */
void hr_uops_link(struct hr_uops *u, uint32_t i, uint32_t next);

#endif
