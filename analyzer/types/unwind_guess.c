/* Callers without call-frame information: signal trampolines known by their instructions, frame pointers, and on x86 a
 * return address found on the stack. */
#include "analyzer/types/unwind.h"

#include <string.h>

enum {
    SCAN_WORDS = 256, /* 2 KiB: frames of functions without any information are mostly small assembly */
};

/* ---- signal trampolines ---- */

/* Where the kernel keeps the interrupted registers, from sp at the trampoline: asm/sigcontext.h and asm/ucontext.h. */
struct sigctx {
    uint16_t machine;
    uint8_t insn[9], ninsn;
    uint16_t regs;            /* offset from sp of the first register word */
    uint8_t nregs;
    const uint8_t *map;       /* slot -> DWARF number, 0xff none; NULL: identity */
};
static const uint8_t map_x86_64[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16};
/* gs fs es ds edi esi ebp esp ebx edx ecx eax trapno err eip */
static const uint8_t map_i386[] = {0xff, 0xff, 0xff, 0xff, 7, 6, 5, 4, 3, 2, 1, 0, 0xff, 0xff, 8};
static const uint8_t map_riscv[] = {32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                                    21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
/* gpr 0-31, nip, msr, orig_gpr3, ctr, link; nip and lr as arch.c keeps them */
static const uint8_t map_ppc[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,   17,   18,
                                  19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 0xff, 0xff, 0xff, 32};
static const struct sigctx sigctxs[] = {
    /* mov $15,%rax; syscall. sp is at the ucontext: flags, link, stack_t (24) */
    {HR_EM_X86_64, {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}, 9, 40, 17, map_x86_64},
    /* mov $173,%eax; int $0x80. sp is at signo, siginfo*, ucontext*: followed below */
    {HR_EM_386, {0xb8, 0xad, 0, 0, 0, 0xcd, 0x80}, 7, 0, 15, map_i386},
    /* pop %eax; mov $119,%eax; int $0x80. sp is at signo, sigcontext */
    {HR_EM_386, {0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80}, 8, 4, 15, map_i386},
    /* mov x8,#139; svc #0. siginfo (128), ucontext to the machine part (176), fault address (8) */
    {HR_EM_AARCH64, {0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4}, 8, 312, 33, NULL},
    /* addi r1,r1,128; li r0,172, in either byte order. 128 below the ucontext (168 to its sigcontext, 64 to gp_regs) */
    {HR_EM_PPC64, {0x38, 0x21, 0x00, 0x80, 0x38, 0, 0, 0xac}, 8, 360, 37, map_ppc},
    {HR_EM_PPC64, {0x80, 0x00, 0x21, 0x38, 0xac, 0, 0, 0x38}, 8, 360, 37, map_ppc},
    /* li r0,172; sc: qemu-user's own, 144 below the ucontext */
    {HR_EM_PPC64, {0x38, 0, 0, 0xac, 0x44, 0, 0, 0x02}, 8, 376, 37, map_ppc},
    /* mov r7,#173; svc, arm and Thumb. siginfo (128), ucontext to the machine part (20), trap, error, old mask (12) */
    {HR_EM_ARM, {0xad, 0x70, 0xa0, 0xe3}, 4, 160, 16, NULL},
    {HR_EM_ARM, {0xad, 0x27, 0x00, 0xdf}, 4, 160, 16, NULL},
    {HR_EM_ARM, {0x4f, 0xf0, 0xad, 0x07}, 4, 160, 16, NULL},
    /* mov r7,#119; svc: the ucontext alone */
    {HR_EM_ARM, {0x77, 0x70, 0xa0, 0xe3}, 4, 32, 16, NULL},
    {HR_EM_ARM, {0x77, 0x27, 0x00, 0xdf}, 4, 32, 16, NULL},
    {HR_EM_ARM, {0x4f, 0xf0, 0x77, 0x07}, 4, 32, 16, NULL},
    /* li a7,139; ecall. siginfo (128), ucontext to the machine part (176): pc, x1..x31 */
    {HR_EM_RISCV, {0x93, 0x08, 0xb0, 0x08, 0x73, 0, 0, 0}, 8, 304, 32, map_riscv},
};

static const struct sigctx *trampoline(const struct hr_unwinder *u, uint64_t pc)
{
    struct hr_span code = hr_image_peek(u->img, pc & (u->img->arch->elf_machine == HR_EM_ARM ? ~1ull : ~0ull), 9);
    for (size_t i = 0; i < sizeof sigctxs / sizeof *sigctxs; i++) {
        const struct sigctx *k = &sigctxs[i];
        if (k->machine == u->img->arch->elf_machine && code.n >= k->ninsn && !memcmp(code.p, k->insn, k->ninsn))
            return k;
    }
    return NULL;
}

bool hr_unwind_is_trampoline(const struct hr_unwinder *u, uint64_t pc) { return trampoline(u, pc) != NULL; }

bool hr_unwind_sigreturn(const struct hr_unwinder *u, struct hr_frame *f, struct hr_frame *c)
{
    const struct hr_image *img = u->img;
    const struct sigctx *k = trampoline(u, f->pc);
    if (!k)
        return false;
    uint64_t at = f->sp + k->regs, v;
    if (!k->regs) { /* i386 rt: through the pointer to the ucontext, past flags, link and stack_t */
        if (!hr_image_word(img, f->sp + 8, &at))
            return false;
        at += 20;
    }
    for (unsigned r = 0; r < k->nregs; r++, at += img->word) {
        unsigned to = k->map ? k->map[r] : r;
        if (to == 0xff)
            continue;
        if (!hr_image_word(img, at, &v))
            return false;
        hr_unwind_set(c, to, v);
    }
    c->pc = c->reg[img->arch->pc];
    f->cfa = c->reg[img->arch->sp];
    c->trust = HR_FRAME_CFI;
    f->signal_frame = true;
    return true;
}

/* ---- a return address on the stack ---- */

/* The first word above `from` that a call left there; strong evidence first. */
static bool scan_stack(const struct hr_unwinder *u, const struct hr_frame *f, uint64_t from, bool strong_only, uint64_t *at_ret,
                       uint64_t *ra_ret)
{
    bool have = false;
    for (unsigned i = 0; i < SCAN_WORDS; i++) {
        uint64_t at = from + (uint64_t)i * u->img->word, v;
        if (!hr_image_word(u->img, at, &v))
            break;
        enum hr_call k = hr_unwind_call_before(u, v, f->pc);
        if (k == HR_CALL_STRONG || (k == HR_CALL_WEAK && !have && !strong_only)) {
            have = true;
            *at_ret = at;
            *ra_ret = v;
            if (k == HR_CALL_STRONG)
                return true;
        }
    }
    return have;
}

/* ---- frame pointers ---- */

struct fp_style {
    uint16_t machine;
    uint8_t fp;
    int8_t ra_words, fp_words, cfa_words; /* where they lie from fp, in words */
};
static const struct fp_style fp_styles[] = {
    {HR_EM_X86_64, 6, 1, 0, 2}, {HR_EM_386, 5, 1, 0, 2},     {HR_EM_AARCH64, 29, 1, 0, 2},
    {HR_EM_RISCV, 8, -1, -2, 0}, {HR_EM_ARM, 11, 0, -1, 1}, /* gcc's arm code; clang's is one word off, tried next */
    {HR_EM_ARM, 11, 1, 0, 2},
};

static bool try_fp(const struct hr_unwinder *u, const struct fp_style *k, struct hr_frame *f, struct hr_frame *c, bool *first)
{
    const struct hr_image *img = u->img;
    if (!(f->reg_valid >> k->fp & 1))
        return false;
    uint64_t fp = f->reg[k->fp], w = img->word, ra, up;
    if (!fp) {
        /* every ABI starts its threads with a frame pointer of 0; but a function's own calculation may give 0, too */
        *first = f->trust == HR_FRAME_CFI || f->trust == HR_FRAME_FP;
        return false;
    }
    if (fp & (w - 1) || fp + (uint64_t)(int64_t)k->cfa_words * w < f->sp)
        return false;
    if (!hr_image_word(img, fp + (uint64_t)(int64_t)k->ra_words * w, &ra) ||
        !hr_image_word(img, fp + (uint64_t)(int64_t)k->fp_words * w, &up))
        return false;
    if (img->arch->elf_machine == HR_EM_AARCH64)
        ra &= (1ull << 48) - 1;
    if (!ra) {
        *first = true;
        return false;
    }
    if (!hr_unwind_is_code(u, ra) || (up && up < fp))
        return false;
    if (hr_unwind_call_before(u, ra, f->pc) == HR_CALL_NO)
        return false;
    f->cfa = fp + (uint64_t)(int64_t)k->cfa_words * w;
    c->pc = ra;
    hr_unwind_set(c, k->fp, up);
    hr_unwind_set(c, img->arch->sp, f->cfa);
    c->trust = HR_FRAME_FP;
    return true;
}

/* ppc64 keeps a back chain at sp and the return address two words into the caller's frame. */
static bool back_chain(const struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c, bool *first)
{
    uint64_t up, ra;
    if (u->img->arch->elf_machine != HR_EM_PPC64 || !hr_image_word(u->img, f->sp, &up))
        return false;
    if (!up) {
        *first = true;
        return false;
    }
    if (!hr_image_word(u->img, up + 16, &ra) || up <= f->sp)
        return false;
    if (inner && !hr_unwind_is_code(u, ra) && f->reg_valid >> u->img->arch->ra & 1)
        ra = f->reg[u->img->arch->ra];
    if (!hr_unwind_is_code(u, ra))
        return false;
    f->cfa = up;
    c->pc = ra;
    hr_unwind_set(c, 1, up);
    c->trust = HR_FRAME_FP;
    return true;
}

/* ---- the innermost frame ---- */

/* The stack pointer is where the caller left it: control jumped to a bad address, or to a function's first instruction. */
static bool at_entry(const struct hr_unwinder *u, struct hr_frame *f, uint64_t pushed, struct hr_frame *c)
{
    const struct hr_arch *a = u->img->arch;
    uint64_t ra;
    *c = *f;
    c->signal_frame = false;
    if (a->ra != a->pc) {
        if (!(f->reg_valid >> a->ra & 1))
            return false;
        ra = f->reg[a->ra];
        f->cfa = f->sp;
        c->reg_valid &= ~(1ull << a->ra);
    } else {
        if (!hr_image_word(u->img, f->sp + pushed, &ra) || hr_unwind_call_before(u, ra, f->pc) == HR_CALL_NO)
            return false;
        f->cfa = f->sp + pushed + u->img->word;
    }
    if (!hr_unwind_is_code(u, a->elf_machine == HR_EM_AARCH64 ? ra & ((1ull << 48) - 1) : ra))
        return false;
    c->pc = ra;
    hr_unwind_set(c, a->sp, f->cfa);
    c->cfa = 0;
    c->trust = HR_FRAME_SCAN;
    return true;
}

/* x86: how the function holding pc begins, when symbols tell where. */
struct prologue { bool known, has_fp; uint64_t into; uint64_t push_at; };
static struct prologue prologue_of(const struct hr_unwinder *u, uint64_t pc)
{
    struct prologue p = {0};
    uint64_t off;
    if (!hr_sym_at(u->types, pc, &off))
        return p;
    struct hr_span s = hr_image_peek(u->img, pc - off, 8);
    const uint8_t *b = s.p;
    if (s.n < 8)
        return p;
    if (b[0] == 0xf3 && b[1] == 0x0f && b[2] == 0x1e)
        b += 4, p.push_at = 4;
    p.known = true;
    p.has_fp = b[0] == 0x55;
    p.into = off;
    return p;
}

/* Frame pointers by machine, for the scan to carry on. */
static unsigned fp_of(unsigned machine)
{
    for (size_t i = 0; i < sizeof fp_styles / sizeof *fp_styles; i++)
        if (fp_styles[i].machine == machine)
            return fp_styles[i].fp;
    return 0;
}

static bool scan(const struct hr_unwinder *u, struct hr_frame *f, bool inner, bool strong, struct hr_frame *c)
{
    const struct hr_arch *a = u->img->arch;
    uint64_t at, ra;
    unsigned fp = fp_of(a->elf_machine);
    if (!fp)
        return false;
    /* a leaf function has the return address in its register still */
    if (inner && a->ra != a->pc && f->reg_valid >> a->ra & 1 &&
        hr_unwind_call_before(u, f->reg[a->ra], f->pc) == HR_CALL_STRONG)
        return at_entry(u, f, 0, c);
    if (!scan_stack(u, f, f->sp, strong, &at, &ra))
        return false;
    *c = (struct hr_frame){.module = HR_NONE, .pc = ra, .trust = HR_FRAME_SCAN};
    f->cfa = at + u->img->word;
    hr_unwind_set(c, a->sp, f->cfa);
    if (f->reg_valid >> fp & 1 && f->reg[fp] >= f->cfa) /* untouched, most likely: it points further up */
        hr_unwind_set(c, fp, f->reg[fp]);
    return true;
}

bool hr_unwind_guess(const struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c, bool *first_ret)
{
    unsigned mach = u->img->arch->elf_machine;
    bool x86 = mach == HR_EM_X86_64 || mach == HR_EM_386;
    if (inner && !hr_unwind_is_code(u, f->pc))
        return at_entry(u, f, 0, c);
    struct prologue p = x86 ? prologue_of(u, f->pc) : (struct prologue){0};
    if (x86 && inner && p.known && p.into <= p.push_at && at_entry(u, f, 0, c))
        return true;
    if (x86 && inner && p.known && p.has_fp && p.into == p.push_at + 1 && at_entry(u, f, u->img->word, c))
        return true;
    /* no frame pointer of its own: whoever called this very function is better evidence than somebody else's */
    if ((mach == HR_EM_ARM || (p.known && !p.has_fp)) && scan(u, f, inner, true, c))
        return true;
    *c = (struct hr_frame){.module = HR_NONE};
    for (size_t i = 0; i < sizeof fp_styles / sizeof *fp_styles; i++)
        if (fp_styles[i].machine == mach && try_fp(u, &fp_styles[i], f, c, first_ret))
            return true;
    if (back_chain(u, f, inner, c, first_ret))
        return true;
    return !*first_ret && scan(u, f, inner, !x86, c);
}
