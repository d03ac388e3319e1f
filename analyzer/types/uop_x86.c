/* x86-64 as operations: what compilers use in functions that walk structures. Integer instructions, and the vector moves with which
 * two words are stored at once. Flags of ADD, SUB, AND and the like are exact; after others (shifts, products) only zero and sign. */
#include "analyzer/types/uop_decode.h"

enum { R_AX = 0, R_CX = 1, R_DX = 2, R_SP86 = 4, R_BP = 5 };

/* Number of a general register and how many bytes of it are meant; R_NO: none, or the second byte (ah). */
static uint8_t general(unsigned reg)
{
    switch (reg) {
#define FOUR(n_, q_, d_, w_, b_) case X86_REG_##q_: case X86_REG_##d_: case X86_REG_##w_: case X86_REG_##b_: return n_;
        FOUR(0, RAX, EAX, AX, AL) FOUR(1, RCX, ECX, CX, CL) FOUR(2, RDX, EDX, DX, DL) FOUR(3, RBX, EBX, BX, BL)
        FOUR(4, RSP, ESP, SP, SPL) FOUR(5, RBP, EBP, BP, BPL) FOUR(6, RSI, ESI, SI, SIL) FOUR(7, RDI, EDI, DI, DIL)
        FOUR(8, R8, R8D, R8W, R8B) FOUR(9, R9, R9D, R9W, R9B) FOUR(10, R10, R10D, R10W, R10B) FOUR(11, R11, R11D, R11W, R11B)
        FOUR(12, R12, R12D, R12W, R12B) FOUR(13, R13, R13D, R13W, R13B) FOUR(14, R14, R14D, R14W, R14B) FOUR(15, R15, R15D, R15W, R15B)
#undef FOUR
    default: return R_NO;
    }
}

/* The register whose second byte is meant. */
static uint8_t high_byte(unsigned reg)
{
    return reg == X86_REG_AH ? 0 : reg == X86_REG_CH ? 1 : reg == X86_REG_DH ? 2 : reg == X86_REG_BH ? 3 : R_NO;
}

static bool is_vec(const cs_x86_op *o) { return o->type == X86_OP_REG && o->reg >= X86_REG_XMM0 && o->reg <= X86_REG_XMM15; }
static uint8_t vec(const cs_x86_op *o) { return (uint8_t)(R_VEC + 2 * (o->reg - X86_REG_XMM0)); }
static bool is_general(const cs_x86_op *o) { return o->type == X86_OP_REG && general(o->reg) != R_NO; }

static uint8_t no_form(struct hr_uop_sink *s)
{
    s->failed = true;
    return R_NO;
}

static bool address(struct hr_uop_sink *s, const cs_x86_op *o, struct hr_uop *u)
{
    const x86_op_mem *m = &o->mem;
    if (o->type != X86_OP_MEM || m->segment == X86_REG_GS)
        return !no_form(s);
    u->to = m->segment == X86_REG_FS; /* thread-local */
    u->imm = m->disp;
    u->a = u->b = R_NO;
    u->shift = (uint8_t)(m->scale ? __builtin_ctz((unsigned)m->scale) : 0);
    if (m->base == X86_REG_RIP)
        u->imm += (int64_t)(s->insn->address + s->insn->size);
    else if (m->base != X86_REG_INVALID && (u->a = general(m->base)) == R_NO)
        return !no_form(s);
    if (m->index != X86_REG_INVALID && m->index != X86_REG_RIZ && (u->b = general(m->index)) == R_NO)
        return !no_form(s);
    return true;
}

static bool load(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t d, uint8_t size, int64_t more)
{
    struct hr_uop u = {.op = U_LOAD, .d = d, .size = size};
    if (!address(s, o, &u))
        return false;
    u.imm += more;
    hr_uop_put(s, u);
    return true;
}

static bool store(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t d, uint8_t size, int64_t more)
{
    struct hr_uop u = {.op = U_STORE, .d = d, .size = size};
    if (!address(s, o, &u))
        return false;
    u.imm += more;
    hr_uop_put(s, u);
    return true;
}

static void move(struct hr_uop_sink *s, uint8_t d, uint8_t a, uint8_t size)
{
    hr_uop_put(s, (struct hr_uop){.op = U_MOV, .d = d, .a = a, .size = size});
}

/* The operand's value in a register: its own, or `temp`. R_NO: no form. */
static uint8_t value(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t temp)
{
    if (o->type == X86_OP_REG && high_byte(o->reg) != R_NO) {
        hr_uop_put(s, (struct hr_uop){.op = U_SHR, .d = temp, .a = high_byte(o->reg), .b = R_NO, .imm = 8, .size = 8});
        return temp;
    }
    if (o->type == X86_OP_REG)
        return is_general(o) ? general(o->reg) : no_form(s);
    if (o->type == X86_OP_IMM) {
        hr_uop_put(s, (struct hr_uop){.op = U_IMM, .d = temp, .imm = o->imm});
        return temp;
    }
    return load(s, o, temp, o->size, 0) ? temp : R_NO;
}

static void assign(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t from)
{
    if (is_general(o))
        move(s, general(o->reg), from, o->size);
    else if (o->type == X86_OP_REG)
        (void)no_form(s);
    else
        (void)store(s, o, from, o->size, 0);
}

static uint8_t condition(const char *cc)
{
    static const struct { char name[4]; uint8_t cc; } names[] = {
        {"e", CC_EQ}, {"ne", CC_NE}, {"b", CC_ULT}, {"ae", CC_UGE}, {"be", CC_ULE}, {"a", CC_UGT}, {"l", CC_SLT}, {"ge", CC_SGE},
        {"le", CC_SLE}, {"g", CC_SGT}, {"s", CC_NEG}, {"ns", CC_POS}, {"o", CC_OV}, {"no", CC_NOV},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!__builtin_strcmp(names[i].name, cc))
            return names[i].cc;
    return R_NO;
}

/* dst = dst op src; the destination may be memory. keep: compare only. */
static void arithmetic(struct hr_uop_sink *s, const cs_x86 *x, uint8_t op, bool keep)
{
    const cs_x86_op *d = &x->operands[0], *b = &x->operands[1];
    struct hr_uop u = {.op = op, .size = d->size, .b = R_NO, .flags = true};
    if (x->op_count < 2 || (!keep && d->type == X86_OP_REG && !is_general(d)))
        return;
    if (b->type == X86_OP_IMM)
        u.imm = b->imm;
    else if ((u.b = value(s, b, R_T1)) == R_NO)
        return;
    if ((u.a = value(s, d, R_T0)) == R_NO)
        return;
    u.d = keep ? R_NO : u.a;
    hr_uop_put(s, u);
    if (!keep && d->type == X86_OP_MEM)
        (void)store(s, d, R_T0, d->size, 0);
}

/* adc, sbb. Zero and sign are the sum's; what they make of the carry is not followed. */
static void with_carry(struct hr_uop_sink *s, const cs_x86 *x, uint8_t op)
{
    const cs_x86_op *d = &x->operands[0], *b = &x->operands[1];
    struct hr_uop u = {.op = op, .size = d->size, .b = R_NO};
    if (x->op_count < 2 || !is_general(d))
        return;
    if (b->type == X86_OP_IMM)
        u.imm = b->imm;
    else if ((u.b = value(s, b, R_T1)) == R_NO)
        return;
    u.d = u.a = general(d->reg);
    hr_uop_put(s, (struct hr_uop){.op = U_SETC, .d = R_T2, .cc = CC_ULT});
    hr_uop_put(s, u);
    hr_uop_put(s, (struct hr_uop){.op = op, .size = d->size, .d = u.d, .a = u.d, .b = R_T2, .flags = true, .to = 2});
}

/* One operand: inc, dec, not, neg; shifts by one. */
static void unary(struct hr_uop_sink *s, const cs_x86_op *o, struct hr_uop u)
{
    uint8_t r = value(s, o, R_T0);
    if (r == R_NO || (o->type == X86_OP_REG && !is_general(o))) {
        (void)no_form(s);
        return;
    }
    u.size = o->size;
    if (u.op == U_SUB && !u.imm) {
        u.a = R_ZERO;
        u.b = r;
    } else {
        u.a = r;
        u.b = R_NO;
    }
    u.d = r;
    hr_uop_put(s, u);
    if (o->type == X86_OP_MEM)
        (void)store(s, o, R_T0, o->size, 0);
}

static void shift(struct hr_uop_sink *s, const cs_x86 *x, uint8_t op)
{
    const cs_x86_op *d = &x->operands[0];
    struct hr_uop u = {.op = op, .size = d->size, .b = R_NO, .imm = 1, .flags = true};
    if (x->op_count == 2 && x->operands[1].type == X86_OP_IMM)
        u.imm = x->operands[1].imm;
    else if (x->op_count == 2)
        u.b = R_CX;
    if ((d->type == X86_OP_REG && !is_general(d)) || (u.a = value(s, d, R_T0)) == R_NO)
        return;
    u.d = u.a;
    hr_uop_put(s, u);
    if (d->type == X86_OP_MEM)
        (void)store(s, d, R_T0, d->size, 0);
}

/* Bits counted or moved about. bsf and bsr leave the destination alone when there is none: that is not understood. */
static void bits(struct hr_uop_sink *s, const cs_x86 *x, uint8_t op, uint8_t to)
{
    const cs_x86_op *d = &x->operands[0], *a = &x->operands[x->op_count - 1];
    uint8_t r;
    if (is_general(d) && (r = value(s, a, R_T0)) != R_NO)
        hr_uop_put(s, (struct hr_uop){.op = op, .size = d->size, .d = general(d->reg), .a = r, .b = R_NO, .to = to, .flags = op != U_BSWAP});
}

static void repeat(struct hr_uop_sink *s, const cs_insn *i, uint8_t op, uint8_t size)
{
    uint8_t prefix = i->detail->x86.prefix[0];
    hr_uop_put(s, (struct hr_uop){.op = op, .size = size, .to = prefix == X86_PREFIX_REP || prefix == X86_PREFIX_REPNE, .a = R_ZERO, .b = R_NO});
}

/* The product, or quotient and remainder, in two registers. */
static void wide(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t op)
{
    uint8_t r = o->size >= 4 ? value(s, o, R_T0) : no_form(s);
    if (r != R_NO)
        hr_uop_put(s, (struct hr_uop){.op = op, .a = r, .size = o->size});
}

static void product(struct hr_uop_sink *s, const cs_x86 *x)
{
    const cs_x86_op *d = &x->operands[0];
    struct hr_uop u = {.op = U_MUL, .size = d->size, .b = R_NO, .flags = true};
    if (x->op_count == 1) {
        wide(s, d, U_IWIDE);
        return;
    }
    if (!is_general(d))
        return;
    u.d = general(d->reg);
    u.a = x->op_count == 3 ? value(s, &x->operands[1], R_T0) : u.d;
    const cs_x86_op *b = &x->operands[x->op_count - 1];
    if (b->type == X86_OP_IMM)
        u.imm = b->imm;
    else if ((u.b = value(s, b, R_T1)) == R_NO)
        return;
    if (u.a != R_NO)
        hr_uop_put(s, u);
}

static void push(struct hr_uop_sink *s, const cs_x86_op *o)
{
    uint8_t r = value(s, o, R_T0);
    if (r == R_NO)
        return;
    hr_uop_put(s, (struct hr_uop){.op = U_STORE, .d = r, .a = R_SP86, .b = R_NO, .imm = -8, .size = 8});
    hr_uop_put(s, (struct hr_uop){.op = U_LEA, .d = R_SP86, .a = R_SP86, .b = R_NO, .imm = -8, .size = 8});
}

static void pop(struct hr_uop_sink *s, uint8_t d)
{
    hr_uop_put(s, (struct hr_uop){.op = U_LOAD, .d = R_T0, .a = R_SP86, .b = R_NO, .size = 8});
    hr_uop_put(s, (struct hr_uop){.op = U_LEA, .d = R_SP86, .a = R_SP86, .b = R_NO, .imm = 8, .size = 8});
    move(s, d, R_T0, 8);
}

static void flow(struct hr_uop_sink *s, const cs_x86_op *o, uint8_t direct, uint8_t indirect)
{
    if (o->type == X86_OP_IMM) {
        hr_uop_put(s, (struct hr_uop){.op = direct, .imm = o->imm});
        return;
    }
    uint8_t r = value(s, o, R_T0);
    if (r != R_NO)
        hr_uop_put(s, (struct hr_uop){.op = indirect, .a = r});
}

static void nothing(struct hr_uop_sink *s) { move(s, R_ZERO, R_ZERO, 8); }

/* ---- two words at a time ---- */
static void move16(struct hr_uop_sink *s, const cs_x86_op *d, const cs_x86_op *a)
{
    if (is_vec(d) && is_vec(a)) {
        move(s, vec(d), vec(a), 8);
        move(s, vec(d) + 1, vec(a) + 1, 8);
    } else if (is_vec(d)) {
        if (load(s, a, vec(d), 8, 0))
            (void)load(s, a, vec(d) + 1, 8, 8);
    } else if (is_vec(a)) {
        if (store(s, d, vec(a), 8, 0))
            (void)store(s, d, vec(a) + 1, 8, 8);
    }
}

/* movq, movd: the rest of a vector register is cleared. */
static void move_low(struct hr_uop_sink *s, const cs_x86_op *d, const cs_x86_op *a, uint8_t size)
{
    if (is_vec(d)) {
        uint8_t r = is_vec(a) ? vec(a) : is_general(a) ? general(a->reg) : load(s, a, R_T0, size, 0) ? R_T0 : R_NO;
        if (r == R_NO)
            return;
        move(s, vec(d), r, size);
        move(s, vec(d) + 1, R_ZERO, 8);
    } else if (is_vec(a)) {
        if (is_general(d))
            move(s, general(d->reg), vec(a), size);
        else
            (void)store(s, d, vec(a), size, 0);
    }
}

/* movsd, movss: from memory the rest is cleared, between registers it stays. */
static void move_scalar(struct hr_uop_sink *s, const cs_x86_op *d, const cs_x86_op *a, uint8_t size)
{
    if (!is_vec(d) || !is_vec(a))
        move_low(s, d, a, size);
    else if (size == 8)
        move(s, vec(d), vec(a), 8);
}

static void move_half(struct hr_uop_sink *s, const cs_x86_op *d, const cs_x86_op *a, uint8_t half)
{
    if (is_vec(d) && a->type == X86_OP_MEM)
        (void)load(s, a, vec(d) + half, 8, 0);
    else if (is_vec(a) && d->type == X86_OP_MEM)
        (void)store(s, d, vec(a) + half, 8, 0);
}

static void logic16(struct hr_uop_sink *s, const cs_x86_op *d, const cs_x86_op *a, uint8_t op)
{
    if (!is_vec(d))
        return;
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t b = is_vec(a) ? vec(a) + i : load(s, a, R_T0, 8, 8 * i) ? R_T0 : R_NO;
        if (b == R_NO)
            return;
        hr_uop_put(s, (struct hr_uop){.op = op, .size = 8, .d = vec(d) + i, .a = vec(d) + i, .b = b});
    }
}

static bool vectors(struct hr_uop_sink *s, const cs_insn *i)
{
    const cs_x86_op *d = &i->detail->x86.operands[0], *a = &i->detail->x86.operands[1];
    switch (i->id) {
    case X86_INS_MOVAPS: case X86_INS_MOVUPS: case X86_INS_MOVAPD: case X86_INS_MOVUPD: case X86_INS_MOVDQA: case X86_INS_MOVDQU:
        move16(s, d, a); return true;
    case X86_INS_MOVQ: move_low(s, d, a, 8); return true;
    case X86_INS_MOVD: move_low(s, d, a, d->size == 8 || a->size == 8 ? 8 : 4); return true;
    case X86_INS_MOVLPS: case X86_INS_MOVLPD: move_half(s, d, a, 0); return true;
    case X86_INS_MOVHPS: case X86_INS_MOVHPD: move_half(s, d, a, 1); return true;
    case X86_INS_PXOR: case X86_INS_XORPS: case X86_INS_XORPD: logic16(s, d, a, U_XOR); return true;
    case X86_INS_POR: case X86_INS_ORPS: case X86_INS_ORPD: logic16(s, d, a, U_OR); return true;
    case X86_INS_PAND: case X86_INS_ANDPS: case X86_INS_ANDPD: logic16(s, d, a, U_AND); return true;
    case X86_INS_PUNPCKLQDQ: case X86_INS_MOVLHPS: case X86_INS_UNPCKLPD:
        if (is_vec(a))
            move(s, vec(d) + 1, vec(a), 8);
        else
            (void)load(s, a, vec(d) + 1, 8, 0);
        return true;
    case X86_INS_MOVHLPS:
        move(s, vec(d), vec(a) + 1, 8);
        return true;
    case X86_INS_PINSRQ:
        if (i->detail->x86.operands[2].imm == 1 && is_general(a))
            move(s, vec(d) + 1, general(a->reg), 8);
        return true;
    default: return false;
    }
}

/* ---- the rest ---- */
static void moves(struct hr_uop_sink *s, const cs_insn *i)
{
    const cs_x86_op *d = &i->detail->x86.operands[0], *a = &i->detail->x86.operands[1];
    uint8_t r;
    switch (i->id) {
    case X86_INS_LEA: {
        struct hr_uop u = {.op = U_LEA, .d = general(d->reg), .size = d->size};
        if (address(s, a, &u) && u.d != R_NO && !u.to)
            hr_uop_put(s, u);
        return;
    }
    case X86_INS_MOVZX: case X86_INS_MOVSX: case X86_INS_MOVSXD:
        if (is_general(d) && (r = value(s, a, R_T0)) != R_NO)
            hr_uop_put(s, (struct hr_uop){.op = i->id == X86_INS_MOVZX ? U_ZX : U_SX, .d = general(d->reg), .a = r, .size = a->size, .to = d->size});
        return;
    case X86_INS_XCHG:
        if (is_general(d) && is_general(a)) {
            move(s, R_T0, general(d->reg), 8);
            move(s, general(d->reg), general(a->reg), d->size);
            move(s, general(a->reg), R_T0, d->size);
        }
        return;
    default:
        if (is_general(d) && d->size >= 4 && a->type == X86_OP_MEM)
            (void)load(s, a, general(d->reg), d->size, 0);
        else if ((r = value(s, a, R_T0)) != R_NO)
            assign(s, d, r);
    }
}

static void widen(struct hr_uop_sink *s, uint8_t from, uint8_t to)
{
    hr_uop_put(s, (struct hr_uop){.op = U_SX, .d = R_AX, .a = R_AX, .size = from, .to = to});
}

static void by_condition(struct hr_uop_sink *s, const cs_insn *i)
{
    const cs_x86_op *d = &i->detail->x86.operands[0], *a = &i->detail->x86.operands[1];
    const char *m = i->mnemonic;
    uint8_t cc, r;
    if (m[0] == 'j' && (cc = condition(m + 1)) != R_NO && d->type == X86_OP_IMM) {
        hr_uop_put(s, (struct hr_uop){.op = U_BR, .cc = cc, .imm = d->imm});
    } else if (!__builtin_strncmp(m, "set", 3) && (cc = condition(m + 3)) != R_NO) {
        hr_uop_put(s, (struct hr_uop){.op = U_SETC, .d = R_T0, .cc = cc});
        assign(s, d, R_T0);
    } else if (!__builtin_strncmp(m, "cmov", 4) && (cc = condition(m + 4)) != R_NO && is_general(d) && (r = value(s, a, R_T0)) != R_NO) {
        hr_uop_put(s, (struct hr_uop){.op = U_CSEL, .d = general(d->reg), .a = r, .b = general(d->reg), .cc = cc, .size = d->size});
    }
}

void hr_uop_x86(struct hr_uop_sink *s, const cs_insn *i)
{
    const cs_x86 *x = &i->detail->x86;
    const cs_x86_op *o = x->operands;
    if (x->prefix[0] == X86_PREFIX_LOCK)
        return;
    switch (i->id) {
    case X86_INS_MOV: case X86_INS_MOVABS: case X86_INS_LEA: case X86_INS_MOVZX: case X86_INS_MOVSX: case X86_INS_MOVSXD: case X86_INS_XCHG:
        moves(s, i); return;
    case X86_INS_ADD: arithmetic(s, x, U_ADD, false); return;
    case X86_INS_SUB: arithmetic(s, x, U_SUB, false); return;
    case X86_INS_AND: arithmetic(s, x, U_AND, false); return;
    case X86_INS_OR: arithmetic(s, x, U_OR, false); return;
    case X86_INS_XOR: arithmetic(s, x, U_XOR, false); return;
    case X86_INS_CMP: arithmetic(s, x, U_SUB, true); return;
    case X86_INS_TEST: arithmetic(s, x, U_AND, true); return;
    case X86_INS_BT: arithmetic(s, x, U_BIT, true); return;
    case X86_INS_INC: unary(s, o, (struct hr_uop){.op = U_ADD, .imm = 1, .flags = true, .to = 1}); return;
    case X86_INS_DEC: unary(s, o, (struct hr_uop){.op = U_SUB, .imm = 1, .flags = true, .to = 1}); return;
    case X86_INS_NOT: unary(s, o, (struct hr_uop){.op = U_XOR, .imm = -1}); return;
    case X86_INS_NEG: unary(s, o, (struct hr_uop){.op = U_SUB, .flags = true}); return;
    case X86_INS_SHL: case X86_INS_SAL: shift(s, x, U_SHL); return;
    case X86_INS_SHR: shift(s, x, U_SHR); return;
    case X86_INS_SAR: shift(s, x, U_SAR); return;
    case X86_INS_IMUL: product(s, x); return;
    case X86_INS_ADC: with_carry(s, x, U_ADD); return;
    case X86_INS_SBB: with_carry(s, x, U_SUB); return;
    case X86_INS_BSF: bits(s, x, U_CTZ, 1); return;
    case X86_INS_TZCNT: bits(s, x, U_CTZ, 0); return;
    case X86_INS_BSR: bits(s, x, U_CLZ, 1); return;
    case X86_INS_LZCNT: bits(s, x, U_CLZ, 0); return;
    case X86_INS_POPCNT: bits(s, x, U_POP, 0); return;
    case X86_INS_BSWAP: bits(s, x, U_BSWAP, 0); return;
    case X86_INS_ROL: shift(s, x, U_ROL); return;
    case X86_INS_ROR: shift(s, x, U_ROR); return;
    case X86_INS_STOSB: repeat(s, i, U_STOS, 1); return;
    case X86_INS_STOSD: repeat(s, i, U_STOS, 4); return;
    case X86_INS_STOSQ: repeat(s, i, U_STOS, 8); return;
    case X86_INS_MOVSB: repeat(s, i, U_MOVS, 1); return;
    case X86_INS_MOVSQ: repeat(s, i, U_MOVS, 8); return;
    case X86_INS_MOVSD: /* the vector move of the same name has operands in registers */
        if (!is_vec(&o[0]) && !is_vec(&o[1]))
            repeat(s, i, U_MOVS, 4);
        else
            move_scalar(s, &o[0], &o[1], 8);
        return;
    case X86_INS_MOVSS: move_scalar(s, &o[0], &o[1], 4); return;
    case X86_INS_MUL: wide(s, o, U_WIDE); return;
    case X86_INS_DIV: wide(s, o, U_DIV); return;
    case X86_INS_IDIV: wide(s, o, U_IDIV); return;
    case X86_INS_CDQE: widen(s, 4, 8); return;
    case X86_INS_CWDE: widen(s, 2, 4); return;
    case X86_INS_CDQ: hr_uop_put(s, (struct hr_uop){.op = U_SAR, .d = R_DX, .a = R_AX, .b = R_NO, .imm = 31, .size = 4}); return;
    case X86_INS_CQO: hr_uop_put(s, (struct hr_uop){.op = U_SAR, .d = R_DX, .a = R_AX, .b = R_NO, .imm = 63, .size = 8}); return;
    case X86_INS_PUSH: push(s, o); return;
    case X86_INS_POP: pop(s, o->type == X86_OP_REG ? general(o->reg) : no_form(s)); return;
    case X86_INS_LEAVE:
        move(s, R_SP86, R_BP, 8);
        pop(s, R_BP);
        return;
    case X86_INS_CALL: flow(s, o, U_CALL, U_CALLR); return;
    case X86_INS_JMP: flow(s, o, U_JMP, U_JMPR); return;
    case X86_INS_RET: hr_uop_put(s, (struct hr_uop){.op = U_RET, .imm = x->op_count ? o->imm : 0}); return;
    case X86_INS_NOP: case X86_INS_PAUSE: case X86_INS_LFENCE: case X86_INS_MFENCE: case X86_INS_PREFETCHT0: case X86_INS_PREFETCHNTA:
        nothing(s); return;
    default:
        if (!__builtin_strncmp(i->mnemonic, "endbr", 5))
            nothing(s);
        else if (!vectors(s, i))
            by_condition(s, i);
    }
}
