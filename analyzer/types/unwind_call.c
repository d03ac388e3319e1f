/* Is there a call in front of this address, and does it call the function that pc is in? Evidence that a word found on a stack
 * is a return address. Encodings from each processor's manual; only what compilers emit for calls. */
#include "analyzer/types/unwind.h"

enum { NEAR_FUNCTION = 65536 /* without symbols a call's target is taken for pc's function when this close below it */ };

bool hr_unwind_is_code(const struct hr_unwinder *u, uint64_t addr)
{
    const struct hr_segment *s = hr_image_find(u->img, addr, NULL);
    return s && s->flags & HR_SEG_X;
}

static bool is_target(const struct hr_unwinder *u, uint64_t to, uint64_t pc)
{
    uint64_t off;
    to &= u->img->arch->elf_machine == HR_EM_ARM ? ~1ull : ~0ull;
    if (to > pc || pc - to >= NEAR_FUNCTION)
        return false;
    const struct hr_sym *s = hr_sym_at(u->types, pc, &off);
    return !s || s->kind != HR_SYM_FUNC || pc - off <= to; /* nothing else begins between the two */
}

static enum hr_call direct(const struct hr_unwinder *u, uint64_t to, uint64_t pc)
{
    return is_target(u, u->img->word == 4 ? (uint32_t)to : to, pc) ? HR_CALL_STRONG : HR_CALL_NO;
}

static int64_t sext(uint64_t v, unsigned bits) { return (int64_t)(v << (64 - bits)) >> (64 - bits); }

/* PLT entries: [endbr] [bnd] jmp *mem, or push and jump of the lazy kind. */
static bool is_plt(const struct hr_unwinder *u, uint64_t at)
{
    struct hr_span s = hr_image_peek(u->img, at, 8);
    const uint8_t *p = s.p;
    size_t n = s.n;
    if (n >= 4 && p[0] == 0xf3 && p[1] == 0x0f && p[2] == 0x1e && (p[3] == 0xfa || p[3] == 0xfb))
        p += 4, n -= 4;
    if (n >= 1 && p[0] == 0xf2)
        p++, n--;
    return n >= 2 && p[0] == 0xff && (p[1] == 0x25 || p[1] == 0xa3);
}

static enum hr_call x86_call(const struct hr_unwinder *u, uint64_t ra, uint64_t pc)
{
    struct hr_span s = {0};
    unsigned back = 8;
    for (; back >= 2 && !s.n; back--) {
        s = hr_image_peek(u->img, ra - back, back);
        if (s.n < back)
            s.n = 0;
    }
    if (!s.n)
        return HR_CALL_NO;
    const uint8_t *end = s.p + s.n;
    if (s.n >= 5 && end[-5] == 0xe8) {
        uint64_t to = ra + (uint64_t)(int32_t)hr_load32(end - 4, false);
        if (u->img->word == 4)
            to = (uint32_t)to;
        if (is_target(u, to, pc))
            return HR_CALL_STRONG;
        if (is_plt(u, to))
            return HR_CALL_WEAK;
    }
    /* ff /2: call through a register or memory, two to seven bytes long by its ModRM byte */
    static const uint8_t mem_len[3] = {2, 3, 6};
    for (size_t len = 2; len <= 7 && len <= s.n; len++) {
        if (end[-(int)len] != 0xff || (end[-(int)len + 1] & 0x38) != 0x10)
            continue;
        uint8_t modrm = end[-(int)len + 1], mod = modrm >> 6, rm = modrm & 7;
        size_t want = mod == 3 ? 2 : mem_len[mod] + (rm == 4 ? 1u : 0) + (mod == 0 && rm == 5 ? 4u : 0);
        if (want == len)
            return HR_CALL_WEAK;
    }
    return HR_CALL_NO;
}

static enum hr_call thumb_call(const struct hr_unwinder *u, uint64_t ra, uint64_t pc)
{
    uint64_t a, b;
    if (!hr_image_uint(u->img, ra - 4, 2, &a) || !hr_image_uint(u->img, ra - 2, 2, &b))
        return HR_CALL_NO;
    if ((a & 0xf800) == 0xf000 && (b & 0xc000) == 0xc000) { /* bl, blx: S:I1:I2:imm10:imm11:0 */
        uint64_t s = a >> 10 & 1, i1 = !((b >> 13 & 1) ^ s), i2 = !((b >> 11 & 1) ^ s);
        uint64_t off = s << 24 | i1 << 23 | i2 << 22 | (a & 0x3ff) << 12 | (b & 0x7ff) << 1;
        uint64_t from = b & 0x1000 ? ra : ra & ~3ull; /* blx counts from an aligned pc */
        return direct(u, from + (uint64_t)sext(off, 25), pc);
    }
    return (b & 0xff87) == 0x4780 ? HR_CALL_WEAK : HR_CALL_NO; /* blx reg */
}

static enum hr_call fixed_call(const struct hr_unwinder *u, uint64_t ra, uint64_t pc)
{
    uint64_t in, at = ra - 4;
    if (!hr_image_uint(u->img, at, 4, &in))
        return HR_CALL_NO;
    switch (u->img->arch->elf_machine) {
    case HR_EM_ARM:
        if ((in & 0x0f000000) == 0x0b000000 || (in & 0xfe000000) == 0xfa000000) /* bl, blx label */
            return direct(u, at + 8 + (uint64_t)sext(in & 0xffffff, 24) * 4, pc);
        return (in & 0x0ffffff0) == 0x012fff30 ? HR_CALL_WEAK : HR_CALL_NO;
    case HR_EM_AARCH64:
        if ((in & 0xfc000000) == 0x94000000)
            return direct(u, at + (uint64_t)sext(in & 0x3ffffff, 26) * 4, pc);
        return (in & 0xfffffc1f) == 0xd63f0000 ? HR_CALL_WEAK : HR_CALL_NO;
    case HR_EM_PPC64:
        if ((in & 0xfc000003) == 0x48000001)
            return direct(u, at + (uint64_t)sext(in & 0x3fffffc, 26), pc);
        return in == 0x4e800421 ? HR_CALL_WEAK : HR_CALL_NO;
    default: /* riscv: jal ra / jalr ra, or the 16-bit c.jalr */
        if ((in & 0xfff) == 0x0ef || (in & 0xfff) == 0x0e7 || (in >> 16 & 0xf07f) == 0x9002)
            return HR_CALL_WEAK;
        return HR_CALL_NO;
    }
}

enum hr_call hr_unwind_call_before(const struct hr_unwinder *u, uint64_t ra, uint64_t pc)
{
    unsigned machine = u->img->arch->elf_machine;
    if (ra < 8 || !hr_unwind_is_code(u, ra))
        return HR_CALL_NO;
    if (hr_unwind_is_trampoline(u, ra)) /* a signal handler returns where nobody called */
        return HR_CALL_STRONG;
    if (machine == HR_EM_X86_64 || machine == HR_EM_386)
        return x86_call(u, ra, pc);
    if (machine == HR_EM_ARM && ra & 1)
        return thumb_call(u, ra & ~1ull, pc);
    return ra & (machine == HR_EM_RISCV ? 1 : 3) ? HR_CALL_NO : fixed_call(u, ra, pc);
}
