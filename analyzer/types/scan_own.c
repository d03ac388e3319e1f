/* Instructions that capstone 4.0.2 does not know: RISC-V (unprivileged ISA 2.2: RV32I/RV64I and the 16-bit forms) and Xtensa's l32r
 * (ISA summary: l32r at, literal). Little endian both. */
#include "analyzer/types/scan_state.h"

enum { X_RA = 1, X_GP = 3, X_A0 = 10, X_A1 = 11 };

static uint64_t extend(uint64_t v, unsigned bits) { return (v ^ 1ull << (bits - 1)) - (1ull << (bits - 1)); }

static void learn(struct hr_scanner *s, unsigned rd, uint64_t v)
{
    if (rd)
        hr_scan_learn(s, rd, v);
}

static void upper_part(struct hr_scanner *s, unsigned rd, uint64_t v)
{
    learn(s, rd, v);
    s->r[rd].part = rd != 0;
}

/* rd = rs + imm */
static void add_imm(struct hr_scanner *s, uint64_t at, unsigned rd, unsigned rs, uint64_t imm)
{
    if (!rs) {
        learn(s, rd, imm);
    } else if (rs == X_GP && s->gp) {
        learn(s, rd, s->gp + imm);
        hr_scan_ref(s, at, s->gp + imm);
    } else if (!hr_scan_knows(s, rs)) {
        hr_scan_forget(s, rd);
    } else if (rd == rs && !s->r[rs].part) {
        hr_scan_advance(s, rd, imm);
    } else {
        learn(s, rd, s->r[rs].val + imm);
        hr_scan_ref(s, at, s->r[rs].val + imm);
    }
}

/* An address is complete with this instruction's offset, or has been named before. */
static void memory(struct hr_scanner *s, uint64_t at, unsigned rs, uint64_t imm, bool load)
{
    if (rs == X_GP && s->gp)
        hr_scan_ref(s, at, s->gp + imm);
    if (!hr_scan_knows(s, rs))
        return;
    if (s->r[rs].part)
        hr_scan_ref(s, at, s->r[rs].val + imm);
    if (load)
        hr_scan_load(s, rs, imm);
}

static void call(struct hr_scanner *s, uint64_t at, unsigned link, uint64_t target, bool known)
{
    hr_scan_call(s, at, X_A0, X_A1);
    if (!link && known)
        hr_scan_jump(s, at, target);
    if (link != X_RA)
        return;
    if (known)
        s->to->called(s->to->ctx, target);
    for (unsigned k = 1; k < 32; k++)
        if (k == X_RA || (k >= 5 && k <= 7) || (k >= 10 && k <= 17) || k >= 28)
            hr_scan_forget(s, k);
}

static uint64_t jump(uint32_t i) /* of jal */
{
    return extend((uint64_t)(i >> 31) << 20 | (uint64_t)(i & 0xff000) | (uint64_t)(i >> 20 & 1) << 11 | (uint64_t)(i >> 21 & 0x3ff) << 1, 21);
}

static void full(struct hr_scanner *s, uint64_t at, uint32_t i)
{
    unsigned op = i & 0x7f, rd = i >> 7 & 31, f3 = i >> 12 & 7, rs1 = i >> 15 & 31, rs2 = i >> 20 & 31;
    uint64_t imm = extend(i >> 20, 12), upper = extend(i & 0xfffff000u, 32);
    switch (op) {
    case 0x37: upper_part(s, rd, upper); return;      /* lui */
    case 0x17: upper_part(s, rd, at + upper); return; /* auipc */
    case 0x13:
    case 0x1b: /* addi, addiw */
        if (!f3) {
            add_imm(s, at, rd, rs1, imm);
            return;
        }
        break;
    case 0x03: /* loads: lw, ld */
        memory(s, at, rs1, imm, f3 == (s->word == 8 ? 3 : 2));
        break;
    case 0x23: /* stores write no register */
        memory(s, at, rs1, extend((i >> 25) << 5 | rd, 12), false);
        return;
    case 0x63: /* branches */
        hr_scan_compare(s, at, rs1, rs2);
        if (hr_scan_knows(s, rs2))
            hr_scan_count(s, at, rs1, s->r[rs2].val);
        return;
    case 0x6f: call(s, at, rd, at + jump(i), true); break;
    case 0x67:
        call(s, at, rd, hr_scan_knows(s, rs1) ? s->r[rs1].val + imm : 0, hr_scan_knows(s, rs1));
        if (!rd && rs1 == X_RA)
            hr_scan_forget_all(s);
        break;
    default: break;
    }
    if (rd)
        hr_scan_forget(s, rd);
}

/* Quadrant 1 of the 16-bit forms. */
static void half1(struct hr_scanner *s, uint64_t at, uint32_t i)
{
    unsigned rd = i >> 7 & 31, rdp = 8 + (i >> 7 & 7);
    uint64_t imm = extend((i >> 12 & 1) << 5 | (i >> 2 & 31), 6);
    uint64_t to = extend((i >> 12 & 1) << 11 | (i >> 11 & 1) << 4 | (i >> 9 & 3) << 8 | (i >> 8 & 1) << 10 | (i >> 7 & 1) << 6 | (i >> 6 & 1) << 7 |
                             (i >> 3 & 7) << 1 | (i >> 2 & 1) << 5, 12);
    switch (i >> 13) {
    case 0: add_imm(s, at, rd, rd, imm); return; /* c.addi */
    case 1:
        if (s->word == 4)
            call(s, at, X_RA, at + to, true);       /* c.jal */
        else
            add_imm(s, at, rd, rd, imm);            /* c.addiw */
        return;
    case 2: learn(s, rd, imm); return;              /* c.li */
    case 3:
        if (rd != 2)
            upper_part(s, rd, imm << 12);           /* c.lui */
        return;
    case 4: hr_scan_forget(s, rdp); return;         /* shifts and logic */
    case 5: call(s, at, 0, at + to, true); return;  /* c.j */
    default: return;                                /* branches against zero */
    }
}

static void half(struct hr_scanner *s, uint64_t at, uint32_t i)
{
    unsigned rd = i >> 7 & 31, rs2 = i >> 2 & 31, rdp = 8 + (i >> 2 & 7), rsp = 8 + (i >> 7 & 7), f = i >> 13;
    uint64_t w4 = (uint64_t)(i >> 10 & 7) << 3 | (i >> 6 & 1) << 2 | (i >> 5 & 1) << 6, w8 = (uint64_t)(i >> 10 & 7) << 3 | (uint64_t)(i >> 5 & 3) << 6;
    switch (i & 3) {
    case 0: /* c.addi4spn, c.lw and c.ld, c.sw and c.sd */
        if (f == 2 || f == 3 || f == 6 || f == 7)
            memory(s, at, rsp, f & 1 ? w8 : w4, f == (s->word == 8 ? 3 : 2));
        if (f < 4)
            hr_scan_forget(s, rdp);
        return;
    case 1: half1(s, at, i); return;
    default: break;
    }
    if (f == 4 && rs2 && !(i >> 12 & 1)) { /* c.mv */
        if (hr_scan_knows(s, rs2))
            learn(s, rd, s->r[rs2].val);
        else
            hr_scan_forget(s, rd);
    } else if (f == 4 && !rs2 && rd) { /* c.jr, c.jalr */
        call(s, at, i >> 12 & 1 ? X_RA : 0, 0, false);
        if (!(i >> 12 & 1) && rd == X_RA)
            hr_scan_forget_all(s);
    } else if (f < 5) {
        hr_scan_forget(s, rd); /* c.slli, loads from the stack, c.add */
    }
}

size_t hr_scan_riscv_one(struct hr_scanner *s, uint64_t at, struct hr_span code)
{
    if (code.n < 2)
        return 0;
    uint32_t i = (uint32_t)hr_load(code.p, 2, false);
    if ((i & 3) != 3) {
        if (i)
            half(s, at, i);
        return 2;
    }
    if (code.n < 4)
        return 0;
    full(s, at, (uint32_t)hr_load(code.p, 4, false));
    return 4;
}

/* Start-up code sets gp once, by auipc or lui, and addi. */
uint64_t hr_scan_riscv_gp(const struct hr_scanner *s, uint64_t at, struct hr_span code)
{
    for (size_t k = 0; k + 8 <= code.n; k += 2) {
        uint32_t a = (uint32_t)hr_load(code.p + k, 4, false), b = (uint32_t)hr_load(code.p + k + 4, 4, false);
        if (((a & 0xfff) != 0x197 && (a & 0xfff) != 0x1b7) || (b & 0xfffff) != 0x18193)
            continue;
        uint64_t v = ((a & 0x7f) == 0x17 ? at + k : 0) + extend(a & 0xfffff000u, 32) + extend(b >> 20, 12);
        return s->word == 4 ? (uint32_t)v : v;
    }
    return 0;
}

/* Where instructions begin is not followed (constants lie between functions, and lengths differ): each byte may begin an l32r, and counts
 * if what it would load is the address of a variable. */
size_t hr_scan_xtensa_one(struct hr_scanner *s, uint64_t at, struct hr_span code)
{
    uint64_t v;
    if (code.n < 3 || (code.p[0] & 15) != 1)
        return 1;
    /* one-extended 16-bit offset, in words, from the next word's address */
    uint64_t from = ((at + 3) & ~3ull) + (extend(0x10000u | (uint32_t)hr_load(code.p + 1, 2, false), 17) << 2);
    if (hr_image_uint(s->img, (uint32_t)from, 4, &v))
        hr_scan_ref(s, at, v);
    return 1;
}
