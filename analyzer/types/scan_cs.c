/* Instructions of ARM and x86-64 as capstone 4.0.2 decodes them. */
#include <capstone/capstone.h>

#include "analyzer/base/mem.h"
#include "analyzer/types/scan_state.h"

enum { EM_ARM_ = 40, R_LR = 14, R_PC = 15 };

struct hr_scan_cs { csh cs; cs_insn *i; };

enum hr_status hr_scan_cs_open(const struct hr_scanner *s, hr_scan_cs **ret)
{
    bool arm = s->machine == EM_ARM_;
    int mode = !arm ? CS_MODE_64 : (s->thumb ? CS_MODE_THUMB : CS_MODE_ARM) | (s->img->big ? CS_MODE_BIG_ENDIAN : 0);
    struct hr_scan_cs *c = hr_zalloc(1, sizeof *c);
    if (!c)
        return HR_NOMEM;
    if (cs_open(arm ? CS_ARCH_ARM : CS_ARCH_X86, (cs_mode)mode, &c->cs) != CS_ERR_OK) {
        hr_free(c);
        return HR_UNSUPPORTED;
    }
    if (cs_option(c->cs, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK)
        c->i = cs_malloc(c->cs);
    *ret = c;
    if (c->i)
        return HR_OK;
    hr_scan_cs_close(c);
    return HR_NOMEM;
}

void hr_scan_cs_close(hr_scan_cs *c)
{
    if (!c)
        return;
    if (c->i)
        cs_free(c->i, 1);
    cs_close(&c->cs);
    hr_free(c);
}

/* ---- ARM ---- */
static unsigned arm_no(unsigned r)
{
    switch (r) {
    case ARM_REG_SP: return 13;
    case ARM_REG_LR: return R_LR;
    case ARM_REG_PC: return R_PC;
    default: return r >= ARM_REG_R0 && r <= ARM_REG_R12 ? r - ARM_REG_R0 : HR_SCAN_NONE;
    }
}

static unsigned x86_no(unsigned r)
{
    static const uint16_t full[] = {X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX, X86_REG_RSP, X86_REG_RBP, X86_REG_RSI, X86_REG_RDI,
                                    X86_REG_R8, X86_REG_R9, X86_REG_R10, X86_REG_R11, X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15};
    static const uint16_t low[] = {X86_REG_EAX, X86_REG_ECX, X86_REG_EDX, X86_REG_EBX, X86_REG_ESP, X86_REG_EBP, X86_REG_ESI, X86_REG_EDI,
                                   X86_REG_R8D, X86_REG_R9D, X86_REG_R10D, X86_REG_R11D, X86_REG_R12D, X86_REG_R13D, X86_REG_R14D, X86_REG_R15D};
    for (unsigned i = 0; i < 16; i++)
        if (full[i] == r || low[i] == r)
            return i;
    return HR_SCAN_NONE;
}

static void forget_written(struct hr_scanner *s, hr_scan_cs *c, unsigned (*number)(unsigned))
{
    cs_regs rd, wr;
    uint8_t nrd, nwr;
    if (cs_regs_access(c->cs, c->i, rd, &nrd, wr, &nwr) != CS_ERR_OK)
        return;
    for (unsigned k = 0; k < nwr; k++)
        hr_scan_forget(s, number(wr[k]));
}

/* ldr rt, [pc, #imm]: the constant, and where the pool of constants lies that is no code. */
static void arm_literal(struct hr_scanner *s, uint64_t here, unsigned rt, int64_t disp)
{
    uint64_t pc = s->thumb ? (here + 4) & ~3ull : here + 8, at = pc + (uint64_t)disp, v;
    hr_scan_forget(s, rt);
    if (!hr_image_uint(s->img, at, 4, &v))
        return;
    hr_scan_learn(s, rt, v);
    hr_scan_ref(s, here, v);
    if (at == s->literal_end && s->literal_end > here) {
        s->literal_end = at + 4;
    } else if (at > here && (s->literal_end <= here || at + 4 == s->literal_at)) {
        s->literal_end = at + 4 == s->literal_at && s->literal_end > here ? s->literal_end : at + 4;
        s->literal_at = at;
    }
}

/* A word read through a register, with or without the register going on. */
static void arm_load(struct hr_scanner *s, hr_scan_cs *c)
{
    const cs_arm *x = &c->i->detail->arm;
    const cs_arm_op *o = x->operands, *m = &o[1];
    unsigned rt = arm_no(o[0].reg), base = arm_no(m->mem.base);
    bool word = c->i->id == ARM_INS_LDR, plain = m->mem.index == ARM_REG_INVALID, behind = x->op_count == 3 && o[2].type == ARM_OP_IMM;
    if (word && plain && base == R_PC) {
        arm_literal(s, c->i->address, rt, m->mem.disp);
        return;
    }
    if (word && plain)
        hr_scan_load(s, base, behind ? 0 : (uint64_t)(int64_t)m->mem.disp);
    if (x->writeback && plain && base != rt)
        hr_scan_advance(s, base, behind ? (uint64_t)(int64_t)o[2].imm : (uint64_t)(int64_t)m->mem.disp);
    else if (x->writeback)
        hr_scan_forget(s, base);
    hr_scan_forget(s, rt);
}

static void arm_sum(struct hr_scanner *s, hr_scan_cs *c, bool minus)
{
    const cs_arm *x = &c->i->detail->arm;
    const cs_arm_op *o = x->operands, *last = &o[x->op_count - 1];
    unsigned rd = arm_no(o[0].reg), rn = x->op_count == 2 ? rd : arm_no(o[1].reg), rm = last->type == ARM_OP_REG ? arm_no(last->reg) : HR_SCAN_NONE;
    bool simple = last->shift.type == ARM_SFT_INVALID && (last->type == ARM_OP_IMM || hr_scan_knows(s, rm));
    uint64_t by = last->type == ARM_OP_IMM ? (uint64_t)(int64_t)last->imm : hr_scan_knows(s, rm) ? s->r[rm].val : 0;
    if (!simple || !hr_scan_knows(s, rn)) {
        hr_scan_forget(s, rd);
    } else if (rd == rn) {
        hr_scan_advance(s, rd, minus ? -by : by);
    } else {
        hr_scan_learn(s, rd, s->r[rn].val + (minus ? -by : by));
    }
}

static void arm_move(struct hr_scanner *s, hr_scan_cs *c)
{
    const cs_arm_op *o = c->i->detail->arm.operands;
    unsigned rd = arm_no(o[0].reg), rm = o[1].type == ARM_OP_REG ? arm_no(o[1].reg) : HR_SCAN_NONE;
    bool high = c->i->id == ARM_INS_MOVT;
    if (o[1].type == ARM_OP_IMM && high && hr_scan_knows(s, rd)) {
        hr_scan_learn(s, rd, (s->r[rd].val & 0xffff) | (uint64_t)(uint16_t)o[1].imm << 16);
        hr_scan_ref(s, c->i->address, s->r[rd].val);
    } else if (o[1].type == ARM_OP_IMM && !high) {
        hr_scan_learn(s, rd, (uint32_t)o[1].imm);
    } else if (hr_scan_knows(s, rm) && o[1].shift.type == ARM_SFT_INVALID) {
        hr_scan_learn(s, rd, s->r[rm].val);
    } else {
        hr_scan_forget(s, rd);
    }
}

static void arm_flow(struct hr_scanner *s, hr_scan_cs *c, bool link)
{
    const cs_arm *x = &c->i->detail->arm;
    if (x->op_count != 1 || x->operands[0].type != ARM_OP_IMM || (!link && x->cc != ARM_CC_AL && x->cc != ARM_CC_INVALID))
        return;
    hr_scan_call(s, c->i->address, 0, 1);
    if (!link) {
        hr_scan_jump(s, c->i->address, (uint32_t)x->operands[0].imm);
        return;
    }
    s->to->called(s->to->ctx, (uint32_t)x->operands[0].imm & ~1u);
    for (unsigned k = 0; k < 4; k++)
        hr_scan_forget(s, k);
    hr_scan_forget(s, 12);
    hr_scan_forget(s, R_LR);
}

static bool arm_saves_lr(const cs_insn *i)
{
    const cs_arm *x = &i->detail->arm;
    bool push = i->id == ARM_INS_PUSH || (i->id == ARM_INS_STMDB && x->writeback && x->op_count && x->operands[0].reg == ARM_REG_SP);
    for (unsigned k = 0; push && k < x->op_count; k++)
        if (x->operands[k].type == ARM_OP_REG && x->operands[k].reg == ARM_REG_LR)
            return true;
    return false;
}

static void on_arm(struct hr_scanner *s, hr_scan_cs *c)
{
    const cs_arm *x = &c->i->detail->arm;
    const cs_arm_op *o = x->operands;
    unsigned id = c->i->id;
    bool sure = x->cc == ARM_CC_AL || x->cc == ARM_CC_INVALID, two = x->op_count >= 2 && o[0].type == ARM_OP_REG;
    if (id == ARM_INS_BL || id == ARM_INS_BLX || id == ARM_INS_B)
        arm_flow(s, c, id != ARM_INS_B);
    else if (arm_saves_lr(c->i))
        hr_scan_forget_all(s);
    else if (sure && two && (id == ARM_INS_LDR || id == ARM_INS_LDRH || id == ARM_INS_LDRB) && o[1].type == ARM_OP_MEM)
        arm_load(s, c);
    else if (sure && two && (id == ARM_INS_MOV || id == ARM_INS_MOVW || id == ARM_INS_MOVT))
        arm_move(s, c);
    else if (sure && two && (id == ARM_INS_ADD || id == ARM_INS_ADDW || id == ARM_INS_SUB || id == ARM_INS_SUBW))
        arm_sum(s, c, id == ARM_INS_SUB || id == ARM_INS_SUBW);
    else if (sure && x->op_count == 3 && id == ARM_INS_LSL && o[2].type == ARM_OP_IMM && hr_scan_knows(s, arm_no(o[1].reg)))
        hr_scan_learn(s, arm_no(o[0].reg), s->r[arm_no(o[1].reg)].val << (o[2].imm & 31));
    else if (id == ARM_INS_CMP && two && o[1].type == ARM_OP_REG)
        hr_scan_compare(s, c->i->address, arm_no(o[0].reg), arm_no(o[1].reg));
    else if (id == ARM_INS_CMP && two && o[1].type == ARM_OP_IMM)
        hr_scan_count(s, c->i->address, arm_no(o[0].reg), (uint32_t)o[1].imm);
    else
        forget_written(s, c, arm_no);
}

/* The Thumb instructions that most code consists of, to the same effect: capstone takes half a microsecond for each, and a microcontroller's
 * flash has a hundred thousand. Conditional ones (behind IT, which capstone counts) are left to it. Returns bytes, 0: not one of them. */
static void thumb_sum(struct hr_scanner *s, unsigned rd, uint64_t by)
{
    if (hr_scan_knows(s, rd))
        hr_scan_advance(s, rd, by);
    else
        hr_scan_forget(s, rd);
}

static size_t thumb_call(struct hr_scanner *s, uint64_t at, unsigned first, unsigned second)
{
    static const uint8_t clobbered[] = {0, 1, 2, 3, 12, R_LR};
    uint32_t sign = first >> 10 & 1, j1 = second >> 13 & 1, j2 = second >> 11 & 1;
    uint32_t off = (first & 0x3ff) << 12 | (second & 0x7ff) << 1 | (uint32_t)!(j2 ^ sign) << 22 | (uint32_t)!(j1 ^ sign) << 23 | (sign ? 0xff000000u : 0);
    hr_scan_call(s, at, 0, 1);
    s->to->called(s->to->ctx, (uint32_t)(at + 4 + off) & ~1u);
    for (size_t k = 0; k < sizeof clobbered; k++)
        hr_scan_forget(s, clobbered[k]);
    return 4;
}

static size_t thumb_short(struct hr_scanner *s, uint64_t at, struct hr_span code)
{
    unsigned w = code.n >= 2 ? (unsigned)hr_load(code.p, 2, s->img->big) : 0, top = w >> 11, low = w & 7, rd = w >> 8 & 7;
    if ((w & 0xff00) == 0xbf00 && w & 15)
        s->conditional = 5; /* itself and up to four behind it */
    if (s->conditional) {
        s->conditional--;
        return 0;
    }
    switch (top) {
    case 0x04: hr_scan_learn(s, rd, w & 0xff); return 2;                 /* movs rd, #imm8 */
    case 0x05: hr_scan_count(s, at, rd, w & 0xff); return 2;             /* cmp rd, #imm8 */
    case 0x06: thumb_sum(s, rd, w & 0xff); return 2;                     /* adds rd, #imm8 */
    case 0x07: thumb_sum(s, rd, -(uint64_t)(w & 0xff)); return 2;        /* subs rd, #imm8 */
    case 0x09: arm_literal(s, at, rd, (w & 0xff) * 4); return 2;         /* ldr rd, [pc, #] */
    case 0x0a:                                                           /* stores with an index, and ldrsb */
        if ((w & 0x600) == 0x600)
            hr_scan_forget(s, low);
        return 2;
    case 0x0c: case 0x0e: case 0x10: case 0x12: return 2;                /* stores */
    case 0x0b: hr_scan_forget(s, low); return 2;                         /* loads with an index */
    case 0x0d:                                                           /* ldr rt, [rn, #] */
        hr_scan_load(s, w >> 3 & 7, (w >> 6 & 31) * 4);
        hr_scan_forget(s, low);
        return 2;
    case 0x0f: case 0x11: hr_scan_forget(s, low); return 2;              /* ldrb, ldrh */
    case 0x13:                                                           /* ldr rd, [sp, #] */
        hr_scan_load(s, 13, (w & 0xff) * 4);
        hr_scan_forget(s, rd);
        return 2;
    case 0x1a: case 0x1b: return (w >> 8 & 15) < 14 ? 2 : 0;             /* b<cond> */
    case 0x1e: {                                                         /* bl */
        unsigned next = code.n >= 4 ? (unsigned)hr_load(code.p + 2, 2, s->img->big) : 0;
        return (next & 0xd000) == 0xd000 ? thumb_call(s, at, w, next) : 0;
    }
    default: return 0;
    }
}

/* ---- x86-64 ---- */
enum { RDI = 7, RSI = 6 };

static void x86_call(struct hr_scanner *s, hr_scan_cs *c, bool call)
{
    static const uint8_t clobbered[] = {0, 1, 2, 6, 7, 8, 9, 10, 11};
    const cs_x86 *x = &c->i->detail->x86;
    hr_scan_call(s, c->i->address, RDI, RSI);
    if (call && x->op_count == 1 && x->operands[0].type == X86_OP_IMM)
        s->to->called(s->to->ctx, (uint64_t)x->operands[0].imm);
    else if (!call && x->op_count == 1 && x->operands[0].type == X86_OP_IMM)
        hr_scan_jump(s, c->i->address, (uint64_t)x->operands[0].imm);
    for (size_t k = 0; call && k < sizeof clobbered; k++)
        hr_scan_forget(s, clobbered[k]);
}

/* Memory operands at a place that the instruction itself tells; reads of a word through a register. */
static void x86_mem(struct hr_scanner *s, const cs_insn *i, const cs_x86_op *o, bool load)
{
    if (o->mem.segment != X86_REG_INVALID || o->mem.index != X86_REG_INVALID)
        return;
    if (o->mem.base == X86_REG_RIP)
        hr_scan_ref(s, i->address, i->address + i->size + (uint64_t)o->mem.disp);
    else if (o->mem.base == X86_REG_INVALID)
        hr_scan_ref(s, i->address, (uint64_t)o->mem.disp);
    else if (load && o->size == 8)
        hr_scan_load(s, x86_no(o->mem.base), (uint64_t)o->mem.disp);
}

static void x86_lea(struct hr_scanner *s, const cs_insn *i, unsigned rd, const x86_op_mem *m)
{
    unsigned base = x86_no(m->base);
    if (m->base == X86_REG_RIP)
        hr_scan_learn(s, rd, i->address + i->size + (uint64_t)m->disp);
    else if (hr_scan_knows(s, base) && m->index == X86_REG_INVALID)
        hr_scan_learn(s, rd, s->r[base].val + (uint64_t)m->disp);
    else
        hr_scan_forget(s, rd);
}

static void on_x86(struct hr_scanner *s, hr_scan_cs *c)
{
    const cs_insn *i = c->i;
    const cs_x86 *x = &i->detail->x86;
    const cs_x86_op *a = &x->operands[0], *b = &x->operands[1];
    bool to_reg = x->op_count == 2 && a->type == X86_OP_REG;
    unsigned rd = to_reg ? x86_no(a->reg) : HR_SCAN_NONE, rs = x->op_count == 2 && b->type == X86_OP_REG ? x86_no(b->reg) : HR_SCAN_NONE;
    for (unsigned k = 0; k < x->op_count; k++)
        if (x->operands[k].type == X86_OP_MEM)
            x86_mem(s, i, &x->operands[k], k == 1 && i->id == X86_INS_MOV);
    if (i->id == X86_INS_CALL || i->id == X86_INS_JMP)
        x86_call(s, c, i->id == X86_INS_CALL);
    else if (i->id == X86_INS_RET)
        hr_scan_forget_all(s);
    else if (i->id == X86_INS_LEA && to_reg)
        x86_lea(s, i, rd, &b->mem);
    else if ((i->id == X86_INS_MOV || i->id == X86_INS_MOVABS) && to_reg && b->type == X86_OP_IMM) {
        hr_scan_learn(s, rd, (uint64_t)b->imm);
        hr_scan_ref(s, i->address, (uint64_t)b->imm);
    } else if (i->id == X86_INS_MOV && to_reg && hr_scan_knows(s, rs) && a->size == 8)
        hr_scan_learn(s, rd, s->r[rs].val);
    else if ((i->id == X86_INS_ADD || i->id == X86_INS_SUB) && to_reg && b->type == X86_OP_IMM)
        hr_scan_advance(s, rd, i->id == X86_INS_ADD ? (uint64_t)b->imm : -(uint64_t)b->imm);
    else if (i->id == X86_INS_CMP && to_reg && b->type == X86_OP_REG)
        hr_scan_compare(s, i->address, rd, rs);
    else if (i->id == X86_INS_CMP && to_reg && b->type == X86_OP_IMM && a->size == 8) {
        hr_scan_count(s, i->address, rd, (uint64_t)b->imm);
        hr_scan_learn(s, HR_SCAN_NONE - 1, (uint64_t)b->imm); /* a register that x86 does not have */
        hr_scan_compare(s, i->address, rd, HR_SCAN_NONE - 1);
    } else if (i->id != X86_INS_CMP && i->id != X86_INS_TEST)
        forget_written(s, c, x86_no);
}

size_t hr_scan_cs_one(struct hr_scanner *s, hr_scan_cs *c, uint64_t at, struct hr_span code)
{
    const uint8_t *p = code.p;
    size_t left = hr_min(code.n, 16);
    uint64_t pc = at;
    size_t known = s->thumb ? thumb_short(s, at, code) : 0;
    if (known)
        return known;
    if (!cs_disasm_iter(c->cs, &p, &left, &pc, c->i))
        return 0;
    if (s->machine == EM_ARM_)
        on_arm(s, c);
    else
        on_x86(s, c);
    return c->i->size;
}
