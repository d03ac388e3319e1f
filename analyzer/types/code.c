/* What a function's instructions refer to, where no symbol tells: capstone 4.0.2 (which knows no RISC-V: a few lines of our
 * own do what is needed there).
 *
 * One sweep from the entry forwards. Registers that hold a known address (page of adrp, GOT of the i386 thunk, TOC of
 * ppc64) are followed in a straight line: branches are ignored, which is right for the way compilers set them up. */
#include <capstone/capstone.h>

#include "analyzer/types/types.h"

enum {
    MAX_CODE = 1 << 16, /* bytes of one function that are looked at */
    EM_386 = 3, EM_PPC64 = 21, EM_ARM = 40, EM_X86_64 = 62, EM_AARCH64 = 183, EM_RISCV = 243,
};

#define NREG 512u /* above every capstone register number of the architectures here */

enum fact { F_NONE, F_PART, F_ADDR }; /* nothing known; a number that is none yet (arm: a distance, the lower half); an address */

struct sweep {
    const struct hr_image *img;
    unsigned machine;
    csh cs;
    bool thumb;
    uint64_t toc;                  /* ppc64 with function descriptors: r2 on entry */
    uint64_t entry, end, furthest; /* furthest branch forward seen: the function goes on at least to there */
    uint64_t *refs, *calls;
    size_t nrefs, ref_cap, ncalls, call_cap;
    uint64_t val[NREG];
    uint8_t fact[NREG];
};

static void put(uint64_t *v, size_t *n, size_t cap, uint64_t x)
{
    for (size_t i = 0; i < *n; i++)
        if (v[i] == x)
            return;
    if (*n < cap)
        v[(*n)++] = x;
}

/* Data only: code addresses are dropped, and what is no address of this image at all. */
static bool add_ref(struct sweep *w, uint64_t addr)
{
    if (w->img->word == 4)
        addr = (uint32_t)addr;
    const struct hr_segment *s = hr_image_find(w->img, addr, NULL);
    bool data = s && !(s->flags & HR_SEG_X);
    if (data && w->refs)
        put(w->refs, &w->nrefs, w->ref_cap, addr);
    return data;
}

static void learn(struct sweep *w, unsigned reg, enum fact f, uint64_t v)
{
    if (reg < NREG) {
        w->fact[reg] = f;
        w->val[reg] = w->img->word == 4 ? (uint32_t)v : v;
    }
}

static bool knows(const struct sweep *w, unsigned reg) { return reg < NREG && w->fact[reg] != F_NONE; }
static bool has_addr(const struct sweep *w, unsigned reg) { return reg < NREG && w->fact[reg] == F_ADDR; }

static bool preserved(const struct sweep *w, unsigned r)
{
    switch (w->machine) {
    case EM_386: return r == X86_REG_EBX || r == X86_REG_ESI || r == X86_REG_EDI || r == X86_REG_EBP;
    case EM_AARCH64: return r >= ARM64_REG_X19 && r <= ARM64_REG_X28;
    case EM_ARM: return r >= ARM_REG_R4 && r <= ARM_REG_R11;
    case EM_PPC64: return r >= PPC_REG_R14 && r <= PPC_REG_R31;
    default: return false;
    }
}

/* Loads from the frame: an epilogue, mostly. */
static bool from_stack(const struct sweep *w, const cs_insn *i)
{
    const cs_detail *d = i->detail;
    bool sp = (w->machine == EM_386 && i->id == X86_INS_POP) || (w->machine == EM_ARM && i->id == ARM_INS_POP);
    for (unsigned k = 0; w->machine == EM_AARCH64 && k < d->arm64.op_count; k++)
        sp |= d->arm64.operands[k].type == ARM64_OP_MEM && d->arm64.operands[k].mem.base == ARM64_REG_SP;
    for (unsigned k = 0; w->machine == EM_ARM && k < d->arm.op_count; k++)
        sp |= d->arm.operands[k].type == ARM_OP_MEM && d->arm.operands[k].mem.base == ARM_REG_SP;
    for (unsigned k = 0; w->machine == EM_PPC64 && k < d->ppc.op_count; k++)
        sp |= d->ppc.operands[k].type == PPC_OP_MEM && d->ppc.operands[k].mem.base == PPC_REG_R1;
    return sp;
}

/* Forgets what the instruction overwrites, but for registers that an epilogue restores: code behind an early return
 * starts with them set up. */
static void forget(struct sweep *w, const cs_insn *i)
{
    cs_regs rd, wr;
    uint8_t nrd, nwr;
    bool epilogue = from_stack(w, i);
    if (w->machine == EM_PPC64) { /* capstone 4 does not tell: loads and arithmetic write their first operand, stores do not */
        const cs_ppc_op *o = i->detail->ppc.operands;
        nwr = i->detail->ppc.op_count && o[0].type == PPC_OP_REG && i->mnemonic[0] != 's' && o[0].reg != PPC_REG_R2;
        wr[0] = (uint16_t)o[0].reg;
    } else if (cs_regs_access(w->cs, i, rd, &nrd, wr, &nwr) != CS_ERR_OK) {
        return;
    }
    for (unsigned k = 0; k < nwr; k++)
        if (wr[k] < NREG && !(epilogue && preserved(w, wr[k])))
            w->fact[wr[k]] = F_NONE;
}

/* reg = a + b where one is an address and the other an index: still the table, for displacements to come. */
static void indexed(struct sweep *w, const cs_insn *i, unsigned reg, unsigned a, unsigned b)
{
    bool ka = has_addr(w, a), kb = has_addr(w, b);
    uint64_t v = ka ? w->val[a] : kb ? w->val[b] : 0;
    forget(w, i);
    if (ka != kb)
        learn(w, reg, F_ADDR, v);
}

/* The result of a call is news. The other registers that a call may overwrite are kept: compilers keep an address in them
 * across calls of functions they have seen not to use them (gcc's -fipa-ra). */
static void forget_called(struct sweep *w)
{
    static const struct { uint16_t machine, reg; } result[] = {
        {EM_386, X86_REG_EAX}, {EM_AARCH64, ARM64_REG_X0}, {EM_ARM, ARM_REG_R0}, {EM_PPC64, PPC_REG_R3},
    };
    for (size_t i = 0; i < sizeof result / sizeof *result; i++)
        if (result[i].machine == w->machine)
            w->fact[result[i].reg] = F_NONE;
}

/* ---- x86 ---- */

/* The thunk's "mov (%esp),%reg; ret": which register, or X86_REG_INVALID. */
static unsigned thunk_reg(const struct sweep *w, uint64_t target)
{
    static const x86_reg by_no[8] = {X86_REG_EAX, X86_REG_ECX, X86_REG_EDX, X86_REG_EBX,
                                     X86_REG_INVALID, X86_REG_EBP, X86_REG_ESI, X86_REG_EDI};
    uint8_t b[8] = {0};
    if (hr_image_read(w->img, target, b, 8) < 4)
        return X86_REG_INVALID;
    const uint8_t *p = b[0] == 0xf3 && b[1] == 0x0f ? b + 4 : b;
    if (p[0] != 0x8b || (p[1] & 0xc7) != 0x04 || p[2] != 0x24 || (p == b && p[3] != 0xc3))
        return X86_REG_INVALID;
    return by_no[p[1] >> 3 & 7];
}

static void x86_mem(struct sweep *w, const cs_insn *i, const cs_x86_op *o)
{
    const x86_op_mem *m = &o->mem;
    if (m->segment == X86_REG_FS || m->segment == X86_REG_GS)
        return; /* thread-local */
    if (m->base == X86_REG_RIP)
        add_ref(w, i->address + i->size + (uint64_t)m->disp);
    else if (knows(w, m->base))
        add_ref(w, w->val[m->base] + (uint64_t)m->disp);
    else if (m->index == X86_REG_INVALID && m->base == X86_REG_INVALID)
        add_ref(w, (uint64_t)m->disp);
    else if (m->disp > 0x1000 || w->img->word == 4)
        add_ref(w, w->img->word == 4 ? (uint32_t)m->disp : (uint64_t)m->disp); /* table[reg] of position-dependent code */
}

static void on_x86(struct sweep *w, const cs_insn *i)
{
    const cs_x86 *x = &i->detail->x86;
    bool lone = x->op_count == 1, flow = cs_insn_group(w->cs, i, CS_GRP_CALL) || cs_insn_group(w->cs, i, CS_GRP_JUMP);
    for (unsigned k = 0; k < x->op_count; k++) {
        if (x->operands[k].type == X86_OP_MEM)
            x86_mem(w, i, &x->operands[k]);
        else if (x->operands[k].type == X86_OP_IMM && !flow && (i->id == X86_INS_MOV || i->id == X86_INS_PUSH ||
                                                                i->id == X86_INS_MOVABS || i->id == X86_INS_CMP))
            add_ref(w, (uint64_t)x->operands[k].imm);
    }
    if (w->machine != EM_386)
        return;
    const cs_x86_op *a = &x->operands[0], *b = &x->operands[1];
    if (i->id == X86_INS_CALL && lone && a->type == X86_OP_IMM) {
        unsigned r = thunk_reg(w, (uint32_t)a->imm);
        if (r != X86_REG_INVALID)
            learn(w, r, F_ADDR, i->address + i->size);
    } else if (i->id == X86_INS_ADD && a->type == X86_OP_REG && b->type == X86_OP_IMM && knows(w, a->reg)) {
        learn(w, a->reg, F_ADDR, w->val[a->reg] + (uint64_t)b->imm);
    } else if (i->id == X86_INS_MOV && a->type == X86_OP_REG && b->type == X86_OP_REG && knows(w, b->reg)) {
        learn(w, a->reg, F_ADDR, w->val[b->reg]);
    } else {
        forget(w, i);
    }
}

/* ---- aarch64 ---- */

static void on_arm64(struct sweep *w, const cs_insn *i)
{
    const cs_arm64 *x = &i->detail->arm64;
    const cs_arm64_op *o = x->operands;
    uint64_t at;
    if (i->id == ARM64_INS_ADRP) {
        learn(w, o[0].reg, F_ADDR, (uint64_t)o[1].imm);
        return;
    }
    if (i->id == ARM64_INS_ADR) {
        add_ref(w, (uint64_t)o[1].imm);
        learn(w, o[0].reg, F_ADDR, (uint64_t)o[1].imm);
        return;
    }
    for (unsigned k = 0; k < x->op_count; k++) {
        if (o[k].type == ARM64_OP_MEM && has_addr(w, o[k].mem.base))
            add_ref(w, w->val[o[k].mem.base] + (uint64_t)(int64_t)o[k].mem.disp);
        else if (o[k].type == ARM64_OP_IMM && k == 1 && x->op_count == 2 && i->mnemonic[0] == 'l' && i->mnemonic[1] == 'd')
            add_ref(w, (uint64_t)o[k].imm); /* ldr from a literal pool */
    }
    bool sum = i->id == ARM64_INS_ADD && x->op_count == 3 && o[1].type == ARM64_OP_REG && o[2].type == ARM64_OP_IMM &&
               has_addr(w, o[1].reg);
    if (i->id == ARM64_INS_ADD && x->op_count == 3 && o[1].type == ARM64_OP_REG && o[2].type == ARM64_OP_REG) {
        indexed(w, i, o[0].reg, o[1].reg, o[2].reg);
        return;
    }
    at = sum ? w->val[o[1].reg] + ((uint64_t)o[2].imm << (o[2].shift.type == ARM64_SFT_LSL ? o[2].shift.value : 0)) : 0;
    forget(w, i);
    if (sum) {
        add_ref(w, at);
        learn(w, o[0].reg, F_ADDR, at);
    }
}

/* ---- arm ---- */

static uint64_t arm_pc(const struct sweep *w, const cs_insn *i)
{
    return w->thumb ? (i->address + 4) & ~3ull : i->address + 8;
}

static void on_arm(struct sweep *w, const cs_insn *i)
{
    const cs_arm *x = &i->detail->arm;
    const cs_arm_op *o = x->operands;
    uint64_t pc = w->thumb && i->id != ARM_INS_LDR ? i->address + 4 : arm_pc(w, i), v;
    const cs_arm_op *m = NULL;
    for (unsigned k = 0; k < x->op_count; k++)
        if (o[k].type == ARM_OP_MEM)
            m = &o[k];
    if (m && m->mem.base == ARM_REG_PC && m->mem.index == ARM_REG_INVALID) {
        bool load = i->id == ARM_INS_LDR && hr_image_uint(w->img, pc + (uint64_t)(int64_t)m->mem.disp, 4, &v);
        forget(w, i);
        if (load) {
            learn(w, o[0].reg, add_ref(w, v) ? F_ADDR : F_PART, v); /* an absolute address, or the distance to one */
        }
        return;
    }
    if (m && m->mem.base == ARM_REG_PC && knows(w, m->mem.index))
        add_ref(w, pc + w->val[m->mem.index]);
    else if (m && m->mem.index == ARM_REG_INVALID && has_addr(w, m->mem.base))
        add_ref(w, w->val[m->mem.base] + (uint64_t)(int64_t)m->mem.disp);
    if (i->id == ARM_INS_ADD && x->op_count == 3 && o[1].type == ARM_OP_REG && o[2].type == ARM_OP_IMM && has_addr(w, o[1].reg)) {
        v = w->val[o[1].reg] + (uint32_t)o[2].imm;
        forget(w, i);
        add_ref(w, v);
        learn(w, o[0].reg, F_ADDR, v);
        return;
    }
    if (i->id == ARM_INS_ADD && x->op_count >= 2) {
        const cs_arm_op *p = &o[x->op_count - 2], *q = &o[x->op_count - 1];
        bool pq = p->type == ARM_OP_REG && q->type == ARM_OP_REG;
        unsigned r = !pq ? 0 : p->reg == ARM_REG_PC ? q->reg : q->reg == ARM_REG_PC ? p->reg : 0;
        if (r && knows(w, r)) {
            v = pc + w->val[r];
            forget(w, i);
            add_ref(w, v);
            learn(w, o[0].reg, F_ADDR, v);
            return;
        }
    }
    if (i->id == ARM_INS_ADD && x->op_count == 3 && o[1].type == ARM_OP_REG && o[2].type == ARM_OP_REG) {
        indexed(w, i, o[0].reg, o[1].reg, o[2].reg);
        return;
    }
    bool low = i->id == ARM_INS_MOVW, high = i->id == ARM_INS_MOVT && knows(w, o[0].reg);
    v = low ? (uint16_t)o[1].imm : high ? (w->val[o[0].reg] & 0xffff) | (uint64_t)(uint16_t)o[1].imm << 16 : 0;
    forget(w, i);
    if (high)
        add_ref(w, v);
    if (low || high)
        learn(w, o[0].reg, high ? F_ADDR : F_PART, v);
}

/* ---- ppc64 (ELFv2: r12 is the entry, r2 the TOC) ---- */

static void on_ppc(struct sweep *w, const cs_insn *i)
{
    const cs_ppc *x = &i->detail->ppc;
    const cs_ppc_op *o = x->operands;
    if ((i->id == PPC_INS_ADDIS || i->id == PPC_INS_ADDI) && x->op_count == 3 && o[1].type == PPC_OP_REG &&
        o[2].type == PPC_OP_IMM && knows(w, o[1].reg)) {
        uint64_t by = (uint64_t)(int64_t)(int16_t)o[2].imm;
        bool hi = i->id == PPC_INS_ADDIS;
        uint64_t v = w->val[o[1].reg] + (hi ? by << 16 : by);
        if (!hi && o[0].reg != PPC_REG_R2)
            add_ref(w, v);
        learn(w, o[0].reg, F_ADDR, v);
        return;
    }
    for (unsigned k = 0; k < x->op_count; k++)
        if (o[k].type == PPC_OP_MEM && has_addr(w, o[k].mem.base))
            add_ref(w, w->val[o[k].mem.base] + (uint64_t)(int64_t)o[k].mem.disp);
    if (i->id == PPC_INS_ADD && x->op_count == 3)
        indexed(w, i, o[0].reg, o[1].reg, o[2].reg);
    else
        forget(w, i);
}

/* ---- the sweep ---- */

static bool direct_target(const struct sweep *w, const cs_insn *i, uint64_t *ret)
{
    const cs_detail *d = i->detail;
    switch (w->machine) {
    case EM_386:
    case EM_X86_64:
        if (d->x86.op_count != 1 || d->x86.operands[0].type != X86_OP_IMM)
            return false;
        *ret = (uint64_t)d->x86.operands[0].imm;
        break;
    case EM_AARCH64: {
        const cs_arm64_op *o = d->arm64.op_count ? &d->arm64.operands[d->arm64.op_count - 1] : NULL;
        if (!o || o->type != ARM64_OP_IMM)
            return false;
        *ret = (uint64_t)o->imm;
        break;
    }
    case EM_ARM: {
        const cs_arm_op *o = d->arm.op_count ? &d->arm.operands[d->arm.op_count - 1] : NULL;
        if (!o || o->type != ARM_OP_IMM)
            return false;
        *ret = (uint32_t)o->imm;
        break;
    }
    default: {
        const cs_ppc_op *o = d->ppc.op_count ? &d->ppc.operands[d->ppc.op_count - 1] : NULL;
        if (!o || o->type != PPC_OP_IMM)
            return false;
        *ret = (uint64_t)o->imm;
        break;
    }
    }
    if (w->img->word == 4)
        *ret = (uint32_t)*ret;
    return true;
}

static bool is_call(const struct sweep *w, const cs_insn *i)
{
    switch (w->machine) {
    case EM_AARCH64: return i->id == ARM64_INS_BL || i->id == ARM64_INS_BLR;
    case EM_ARM: return i->id == ARM_INS_BL || i->id == ARM_INS_BLX;
    case EM_PPC64: return i->id == PPC_INS_BL || i->id == PPC_INS_BLA || i->id == PPC_INS_BCTRL;
    default: return i->id == X86_INS_CALL;
    }
}

/* Leaves for good: a return or an unconditional jump. */
static bool ends(const struct sweep *w, const cs_insn *i)
{
    switch (w->machine) {
    case EM_AARCH64:
        return i->id == ARM64_INS_RET || i->id == ARM64_INS_BR ||
               (i->id == ARM64_INS_B && i->detail->arm64.cc <= ARM64_CC_INVALID);
    case EM_ARM:
        return (i->id == ARM_INS_BX || i->id == ARM_INS_B || i->id == ARM_INS_POP) && i->detail->arm.cc == ARM_CC_AL &&
               (i->id != ARM_INS_POP ||
                i->detail->arm.operands[i->detail->arm.op_count ? i->detail->arm.op_count - 1 : 0].reg == ARM_REG_PC);
    case EM_PPC64: return i->id == PPC_INS_BLR || i->id == PPC_INS_B;
    default:
        return i->id == X86_INS_RET || i->id == X86_INS_HLT || i->id == X86_INS_UD2 ||
               (i->id == X86_INS_JMP && i->detail->x86.operands[0].type == X86_OP_IMM);
    }
}

/* Follows the control flow's extent; false when the function is over. */
static bool flow(struct sweep *w, const cs_insn *i)
{
    uint64_t to, next = i->address + i->size;
    bool call = is_call(w, i), over = ends(w, i);
    bool jump = !call && (over || cs_insn_group(w->cs, i, CS_GRP_JUMP) || w->machine == EM_PPC64 || w->machine == EM_AARCH64);
    if ((call || jump) && direct_target(w, i, &to)) {
        bool outside = to < w->entry || to >= w->end;
        if (w->calls && (call || (over && outside)))
            put(w->calls, &w->ncalls, w->call_cap, to);
        bool branch = !call && (over || cs_insn_group(w->cs, i, CS_GRP_JUMP) || i->mnemonic[0] == 'b' ||
                                i->mnemonic[0] == 'c' || i->mnemonic[0] == 't');
        if (branch && !outside && to > w->furthest)
            w->furthest = to;
    }
    return !(over && next > w->furthest);
}

static bool cs_start(struct sweep *w)
{
    cs_arch arch;
    int mode = w->img->big ? CS_MODE_BIG_ENDIAN : CS_MODE_LITTLE_ENDIAN;
    switch (w->machine) {
    case EM_386: arch = CS_ARCH_X86; mode = CS_MODE_32; break;
    case EM_X86_64: arch = CS_ARCH_X86; mode = CS_MODE_64; break;
    case EM_AARCH64: arch = CS_ARCH_ARM64; break;
    case EM_ARM: arch = CS_ARCH_ARM; mode |= w->thumb ? CS_MODE_THUMB : CS_MODE_ARM; break;
    case EM_PPC64: arch = CS_ARCH_PPC; mode |= CS_MODE_64; break;
    default: return false;
    }
    return cs_open(arch, (cs_mode)mode, &w->cs) == CS_ERR_OK && cs_option(w->cs, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK;
}

static void one(struct sweep *w, const cs_insn *i)
{
    switch (w->machine) {
    case EM_AARCH64: on_arm64(w, i); break;
    case EM_ARM: on_arm(w, i); break;
    case EM_PPC64: on_ppc(w, i); break;
    default: on_x86(w, i); break;
    }
}

static void sweep_capstone(struct sweep *w, const uint8_t *code, size_t n)
{
    if (!cs_start(w))
        return;
    cs_insn *i = cs_malloc(w->cs);
    uint64_t at = w->entry;
    if (w->machine == EM_PPC64)
        learn(w, PPC_REG_R12, F_ADDR, w->entry);
    if (w->toc)
        learn(w, PPC_REG_R2, F_ADDR, w->toc);
    while (i && cs_disasm_iter(w->cs, &code, &n, &at, i)) {
        bool call = is_call(w, i);
        if (call && w->machine == EM_386) /* before: the thunk's register is learnt from the call itself */
            forget_called(w);
        one(w, i);
        if (call && w->machine != EM_386)
            forget_called(w);
        if (!flow(w, i))
            break;
    }
    if (i)
        cs_free(i, 1);
    cs_close(&w->cs);
}

/* RISC-V: auipc rd, then addi / load / store through rd. The unprivileged ISA manual, chapters 2 and 16 (16-bit forms end
 * in bits other than 11). Branches are not followed, so this one goes on to max_bytes. */
static void sweep_riscv(struct sweep *w, const uint8_t *code, size_t n)
{
    for (size_t k = 0; k + 2 <= n;) {
        uint32_t in = (uint32_t)hr_load(code + k, 2, false);
        uint64_t at = w->entry + k;
        if ((in & 3) != 3) {
            unsigned rd = in >> 7 & 31;
            if ((in & 3) != 0 && rd < 32 && (in & 0xe003) != 0x8002 && (in & 0xe003) < 0xc000)
                w->fact[rd] = F_NONE;
            k += 2;
            continue;
        }
        if (k + 4 > n)
            return;
        in = hr_load32(code + k, false);
        k += 4;
        unsigned op = in & 0x7f, rd = in >> 7 & 31, rs1 = in >> 15 & 31;
        int64_t imm = (int32_t)in >> 20;
        if (op == 0x17) { /* auipc */
            learn(w, rd, F_ADDR, at + (uint64_t)(int64_t)(int32_t)(in & 0xfffff000));
            continue;
        }
        if (op == 0x23) /* store: the offset is split, and nothing is written */
            imm = ((int32_t)in >> 25) * 32 + (int64_t)rd;
        bool uses = op == 0x03 || op == 0x23 || (op == 0x13 && !(in >> 12 & 7));
        bool jalr = op == 0x67, jal = op == 0x6f;
        uint64_t to = w->val[rs1] + (uint64_t)imm;
        if (uses && has_addr(w, rs1))
            add_ref(w, to);
        if (jalr && has_addr(w, rs1) && w->calls)
            put(w->calls, &w->ncalls, w->call_cap, to & ~1ull);
        if (jal) {
            int64_t by = (int64_t)((int32_t)in >> 31) * (1 << 20) + (int64_t)(in & 0xff000) + (in >> 9 & 0x800) +
                         (in >> 20 & 0x7fe);
            if (rd && w->calls)
                put(w->calls, &w->ncalls, w->call_cap, at + (uint64_t)by);
        }
        if (op != 0x23 && op != 0x63)
            w->fact[rd] = F_NONE;
    }
}

static void sweep(struct sweep *w, const struct hr_image *img, uint64_t entry, size_t max_bytes)
{
    w->img = img;
    w->machine = img->arch ? img->arch->elf_machine : 0;
    w->thumb = w->machine == EM_ARM && entry & 1;
    uint64_t descriptor = entry;
    const struct hr_segment *seg = hr_image_find(img, entry, NULL);
    if (w->machine == EM_PPC64 && seg && !(seg->flags & HR_SEG_X)) { /* ELFv1: a descriptor {entry, TOC, environment} */
        if (!hr_image_word(img, entry, &entry) || !hr_image_word(img, descriptor + 8, &w->toc))
            return;
    }
    w->entry = w->thumb ? entry & ~1ull : entry;
    max_bytes = hr_min(max_bytes, MAX_CODE);
    HR_AUTOFREE uint8_t *copy = NULL;
    struct hr_span code = hr_image_peek(img, w->entry, max_bytes);
    if (code.n < max_bytes) { /* a seam, or the end */
        copy = hr_alloc(max_bytes);
        if (!copy)
            return;
        code = (struct hr_span){copy, hr_image_read(img, w->entry, copy, max_bytes)};
    }
    w->end = w->entry + code.n;
    w->furthest = w->entry;
    if (w->machine == EM_RISCV && !img->big)
        sweep_riscv(w, code.p, code.n);
    else
        sweep_capstone(w, code.p, code.n);
}

size_t hr_code_data_refs(const struct hr_image *img, uint64_t entry, size_t max_bytes, uint64_t *refs, size_t cap)
{
    struct sweep w = {.refs = refs, .ref_cap = cap};
    sweep(&w, img, entry, max_bytes);
    return w.nrefs;
}

size_t hr_code_calls(const struct hr_image *img, uint64_t entry, size_t max_bytes, uint64_t *targets, size_t cap)
{
    struct sweep w = {.calls = targets, .call_cap = cap};
    sweep(&w, img, entry, max_bytes);
    return w.ncalls;
}
