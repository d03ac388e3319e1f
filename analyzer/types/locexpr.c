/* The stack machine of DWARF 5 section 2.5 and 2.6. */
#include "analyzer/types/locexpr.h"

#include "analyzer/base/limits.h"
#include "analyzer/types/cfi.h"

enum {
    OP_ADDR = 0x03, OP_DEREF = 0x06, OP_CONST1U = 0x08, OP_CONST8S = 0x0f, OP_CONSTU = 0x10, OP_CONSTS = 0x11,
    OP_DUP = 0x12, OP_DROP = 0x13, OP_OVER = 0x14, OP_PICK = 0x15, OP_SWAP = 0x16, OP_ROT = 0x17, OP_ABS = 0x19,
    OP_AND = 0x1a, OP_DIV = 0x1b, OP_MINUS = 0x1c, OP_MOD = 0x1d, OP_MUL = 0x1e, OP_NEG = 0x1f, OP_NOT = 0x20,
    OP_OR = 0x21, OP_PLUS = 0x22, OP_PLUS_UCONST = 0x23, OP_SHL = 0x24, OP_SHR = 0x25, OP_SHRA = 0x26, OP_XOR = 0x27,
    OP_BRA = 0x28, OP_EQ = 0x29, OP_NE = 0x2e, OP_SKIP = 0x2f, OP_LIT0 = 0x30, OP_LIT31 = 0x4f, OP_REG0 = 0x50,
    OP_REG31 = 0x6f, OP_BREG0 = 0x70, OP_BREG31 = 0x8f, OP_REGX = 0x90, OP_FBREG = 0x91, OP_BREGX = 0x92,
    OP_PIECE = 0x93, OP_DEREF_SIZE = 0x94, OP_NOP = 0x96, OP_CALL_FRAME_CFA = 0x9c, OP_BIT_PIECE = 0x9d,
    OP_IMPLICIT_VALUE = 0x9e, OP_STACK_VALUE = 0x9f, OP_IMPLICIT_POINTER = 0xa0, OP_ENTRY_VALUE = 0xa3,
    OP_CONST_TYPE = 0xa4, OP_REGVAL_TYPE = 0xa5, OP_DEREF_TYPE = 0xa6, OP_CONVERT = 0xa8, OP_REINTERPRET = 0xa9,
    OP_GNU_IMPLICIT_POINTER = 0xf2, OP_GNU_ENTRY_VALUE = 0xf3, OP_GNU_CONST_TYPE = 0xf4, OP_GNU_REGVAL_TYPE = 0xf5,
    OP_GNU_DEREF_TYPE = 0xf6, OP_GNU_CONVERT = 0xf7, OP_GNU_REINTERPRET = 0xf9,
};

struct vm {
    const struct hr_locctx *ctx;
    struct hr_cursor c;
    uint64_t s[HR_LOC_SLOTS];
    unsigned n;
    struct hr_loc loc;  /* set by the operations that end an expression */
    bool placed;
    enum hr_status st;
};

static void fail(struct vm *m, enum hr_status st)
{
    if (m->st == HR_OK)
        m->st = st;
}

static uint64_t fit(const struct vm *m, uint64_t v) { return m->ctx->img->word == 4 ? (uint32_t)v : v; }

static void push(struct vm *m, uint64_t v)
{
    if (m->n == HR_LOC_SLOTS)
        fail(m, HR_LIMIT);
    else
        m->s[m->n++] = fit(m, v);
}

static uint64_t pop(struct vm *m)
{
    if (!m->n) {
        fail(m, HR_CORRUPT);
        return 0;
    }
    return m->s[--m->n];
}

/* The value as a signed number of the target's word size. */
static int64_t sgn(const struct vm *m, uint64_t v) { return m->ctx->img->word == 4 ? (int32_t)v : (int64_t)v; }

static void pick(struct vm *m, unsigned i)
{
    if (i >= m->n)
        fail(m, HR_CORRUPT);
    else
        push(m, m->s[m->n - 1 - i]);
}

static bool reg_value(struct vm *m, uint64_t dwarf_reg, uint32_t *reg_ret, uint64_t *ret)
{
    uint32_t r = hr_cfi_column(m->ctx->img->arch, dwarf_reg);
    if (r == HR_NONE || !m->ctx->reg || !(m->ctx->reg_valid >> r & 1))
        return false;
    *reg_ret = r;
    *ret = m->ctx->reg[r];
    return true;
}

static void push_reg(struct vm *m, uint64_t dwarf_reg, int64_t off)
{
    uint32_t r;
    uint64_t v;
    if (reg_value(m, dwarf_reg, &r, &v))
        push(m, v + (uint64_t)off);
    else
        fail(m, HR_ABSENT);
}

static void place_reg(struct vm *m, uint64_t dwarf_reg)
{
    m->placed = true;
    m->loc.kind = HR_LOC_REG;
    if (!reg_value(m, dwarf_reg, &m->loc.reg, &m->loc.v))
        fail(m, HR_ABSENT);
}

static void deref(struct vm *m, unsigned bytes)
{
    uint64_t v = 0, at = pop(m);
    if (!bytes || bytes > 8)
        fail(m, HR_CORRUPT);
    else if (m->st == HR_OK && !hr_image_uint(m->ctx->img, at, bytes, &v))
        fail(m, HR_ABSENT);
    push(m, v);
}

static void jump(struct vm *m, bool taken)
{
    int16_t by = (int16_t)hr_cur_u16(&m->c);
    if (!taken || m->c.bad)
        return;
    int64_t to = (int64_t)hr_cur_off(&m->c) + by;
    if (to < 0)
        fail(m, HR_CORRUPT);
    else
        hr_cur_seek(&m->c, (uint64_t)to);
}

static void binary(struct vm *m, uint8_t op)
{
    uint64_t b = pop(m), a = pop(m), v = 0;
    unsigned bits = m->ctx->img->word * 8u;
    switch (op) {
    case OP_AND: v = a & b; break;
    case OP_OR: v = a | b; break;
    case OP_XOR: v = a ^ b; break;
    case OP_PLUS: v = a + b; break;
    case OP_MINUS: v = a - b; break;
    case OP_MUL: v = a * b; break;
    case OP_DIV:
    case OP_MOD:
        if (!b)
            fail(m, HR_CORRUPT);
        else if (op == OP_MOD)
            v = a % b;
        else
            v = sgn(m, b) == -1 ? 0 - a : (uint64_t)(sgn(m, a) / sgn(m, b));
        break;
    case OP_SHL: v = b < bits ? a << b : 0; break;
    case OP_SHR: v = b < bits ? a >> b : 0; break;
    case OP_SHRA: v = (uint64_t)(sgn(m, a) >> hr_min(b, bits - 1)); break;
    case OP_EQ: v = a == b; break;
    case OP_EQ + 1: v = sgn(m, a) >= sgn(m, b); break;
    case OP_EQ + 2: v = sgn(m, a) > sgn(m, b); break;
    case OP_EQ + 3: v = sgn(m, a) <= sgn(m, b); break;
    case OP_EQ + 4: v = sgn(m, a) < sgn(m, b); break;
    default: v = a != b; break;
    }
    push(m, v);
}

static void unary(struct vm *m, uint8_t op)
{
    uint64_t a = pop(m);
    switch (op) {
    case OP_ABS: push(m, sgn(m, a) < 0 ? 0 - a : a); break;
    case OP_NEG: push(m, 0 - a); break;
    case OP_NOT: push(m, ~a); break;
    default: push(m, a + hr_cur_uleb(&m->c)); break; /* plus_uconst */
    }
}

static void constant(struct vm *m, uint8_t op)
{
    unsigned bytes = 1u << ((op - OP_CONST1U) / 2);
    uint64_t v = hr_cur_uint(&m->c, bytes);
    if ((op - OP_CONST1U) & 1 && bytes < 8) /* the signed of each pair */
        v = (uint64_t)((int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes));
    push(m, v);
}

static void shuffle(struct vm *m, uint8_t op)
{
    uint64_t a, b, c;
    switch (op) {
    case OP_DUP: pick(m, 0); break;
    case OP_DROP: pop(m); break;
    case OP_OVER: pick(m, 1); break;
    case OP_PICK: pick(m, hr_cur_u8(&m->c)); break;
    case OP_SWAP:
        a = pop(m), b = pop(m);
        push(m, a), push(m, b);
        break;
    default: /* rot: the top becomes third */
        a = pop(m), b = pop(m), c = pop(m);
        push(m, a), push(m, c), push(m, b);
        break;
    }
}

/* fbreg: the frame base is an expression of its own, which may not use fbreg again. */
static void frame_base(struct vm *m)
{
    int64_t off = hr_cur_sleb(&m->c);
    struct hr_locctx inner = *m->ctx;
    struct hr_loc fb;
    if (!m->ctx->frame_base.n) {
        fail(m, HR_CORRUPT);
        return;
    }
    inner.frame_base = (struct hr_span){0};
    enum hr_status st = hr_locexpr(&inner, m->ctx->frame_base, NULL, &fb);
    if (st != HR_OK)
        fail(m, st);
    else if (fb.kind == HR_LOC_NONE)
        fail(m, HR_ABSENT);
    else
        push(m, fb.v + (uint64_t)off); /* a register frame base means the register's value */
}

static void entry_value(struct vm *m)
{
    struct hr_span e = hr_cur_bytes(&m->c, hr_cur_uleb(&m->c));
    uint64_t v;
    if (m->c.bad)
        return;
    if (m->ctx->entry && m->ctx->entry(m->ctx->entry_ctx, e, &v))
        push(m, v);
    else
        fail(m, HR_ABSENT);
}

static void implicit_value(struct vm *m)
{
    struct hr_span b = hr_cur_bytes(&m->c, hr_cur_uleb(&m->c));
    m->placed = true;
    if (!b.n || b.n > 8)
        return; /* kind NONE: longer constants are no pointers */
    m->loc = (struct hr_loc){.kind = HR_LOC_VALUE, .v = hr_load(b.p, (unsigned)b.n, m->c.big)};
}

/* The typed operations: integers of other widths and floating point in registers. The bytes are right for integers and
 * pointers, which is what we look for; a conversion only says how to look at them. */
static void typed(struct vm *m, uint8_t op)
{
    uint64_t r;
    switch (op) {
    case OP_CONST_TYPE:
    case OP_GNU_CONST_TYPE: {
        hr_cur_uleb(&m->c);
        uint8_t n = hr_cur_u8(&m->c);
        struct hr_span b = hr_cur_bytes(&m->c, n);
        if (!b.n || b.n > 8)
            fail(m, HR_UNSUPPORTED);
        else
            push(m, hr_load(b.p, (unsigned)b.n, m->c.big));
        break;
    }
    case OP_REGVAL_TYPE:
    case OP_GNU_REGVAL_TYPE:
        r = hr_cur_uleb(&m->c);
        hr_cur_uleb(&m->c);
        push_reg(m, r, 0);
        break;
    case OP_DEREF_TYPE:
    case OP_GNU_DEREF_TYPE:
        r = hr_cur_u8(&m->c);
        hr_cur_uleb(&m->c);
        deref(m, (unsigned)r);
        break;
    default: hr_cur_uleb(&m->c); break; /* convert, reinterpret */
    }
}

static void special(struct vm *m, uint8_t op)
{
    uint64_t r;
    switch (op) {
    case OP_ADDR: push(m, hr_cur_addr(&m->c) + m->ctx->bias); break;
    case OP_DEREF: deref(m, m->ctx->img->word); break;
    case OP_DEREF_SIZE: deref(m, hr_cur_u8(&m->c)); break;
    case OP_CONSTU: push(m, hr_cur_uleb(&m->c)); break;
    case OP_CONSTS: push(m, (uint64_t)hr_cur_sleb(&m->c)); break;
    case OP_BRA: jump(m, pop(m) != 0); break;
    case OP_SKIP: jump(m, true); break;
    case OP_REGX: place_reg(m, hr_cur_uleb(&m->c)); break;
    case OP_FBREG: frame_base(m); break;
    case OP_BREGX:
        r = hr_cur_uleb(&m->c);
        push_reg(m, r, hr_cur_sleb(&m->c));
        break;
    case OP_NOP: break;
    case OP_CALL_FRAME_CFA:
        if (m->ctx->cfa_valid)
            push(m, m->ctx->cfa);
        else
            fail(m, HR_ABSENT);
        break;
    case OP_STACK_VALUE:
        m->loc = (struct hr_loc){.kind = HR_LOC_VALUE, .v = pop(m)};
        m->placed = true;
        break;
    case OP_IMPLICIT_VALUE: implicit_value(m); break;
    case OP_ENTRY_VALUE:
    case OP_GNU_ENTRY_VALUE: entry_value(m); break;
    case OP_PIECE:            /* in pieces: no one place */
    case OP_BIT_PIECE:
    case OP_IMPLICIT_POINTER: /* a pointer to something optimised away */
    case OP_GNU_IMPLICIT_POINTER:
        m->loc = (struct hr_loc){.kind = HR_LOC_NONE};
        m->placed = true;
        m->st = HR_OK;        /* whatever register a piece may be in */
        m->c.p = m->c.end;
        break;
    default: fail(m, HR_UNSUPPORTED); break;
    }
}

static void step(struct vm *m, uint8_t op)
{
    if (op >= OP_LIT0 && op <= OP_LIT31)
        push(m, op - OP_LIT0);
    else if (op >= OP_REG0 && op <= OP_REG31)
        place_reg(m, op - OP_REG0);
    else if (op >= OP_BREG0 && op <= OP_BREG31)
        push_reg(m, op - OP_BREG0, hr_cur_sleb(&m->c));
    else if (op >= OP_CONST1U && op <= OP_CONST8S)
        constant(m, op);
    else if (op >= OP_DUP && op <= OP_ROT)
        shuffle(m, op);
    else if (op == OP_ABS || op == OP_NEG || op == OP_NOT || op == OP_PLUS_UCONST)
        unary(m, op);
    else if ((op >= OP_AND && op <= OP_XOR) || (op >= OP_EQ && op <= OP_NE))
        binary(m, op);
    else if ((op >= OP_CONST_TYPE && op <= OP_DEREF_TYPE) || op == OP_CONVERT || op == OP_REINTERPRET ||
             (op >= OP_GNU_CONST_TYPE && op <= OP_GNU_CONVERT) || op == OP_GNU_REINTERPRET)
        typed(m, op);
    else
        special(m, op);
}

enum hr_status hr_locexpr(const struct hr_locctx *ctx, struct hr_span expr, const uint64_t *initial, struct hr_loc *ret)
{
    struct vm m;
    m.ctx = ctx;
    m.c = hr_cursor(expr, ctx->img->big, ctx->img->word);
    m.n = 0;
    m.loc = (struct hr_loc){0};
    m.placed = false;
    m.st = HR_OK;
    if (initial)
        push(&m, *initial);
    for (unsigned steps = 0; hr_cur_left(&m.c); steps++) {
        if (steps == HR_LOC_STEPS)
            return HR_LIMIT;
        uint8_t op = hr_cur_u8(&m.c);
        if (m.placed && op != OP_PIECE && op != OP_BIT_PIECE && op != OP_NOP)
            return HR_CORRUPT; /* nothing may follow a place but its pieces */
        step(&m, op);
        if (m.c.bad)
            return HR_CORRUPT;
        if (m.st != HR_OK && !(m.st == HR_ABSENT && m.placed))
            return m.st;
    }
    if (m.st != HR_OK)
        return m.st;
    if (!m.placed && expr.n)
        m.loc = (struct hr_loc){.kind = HR_LOC_MEM, .v = pop(&m)};
    if (m.st != HR_OK)
        return m.st;
    *ret = m.loc;
    return HR_OK;
}
