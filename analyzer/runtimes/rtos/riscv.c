/* What the RISC-V ports leave of a task that was switched away.
 *
 * FreeRTOS (portable/GCC/RISC-V), on the task's stack, in words: {mepc, ra, t0 to t6 with s and a registers in the order of their
 * numbers from x5 on, [critical nesting], mstatus}: V10.2 to V10.4 without the nesting, to V11.2 with it; since then {mepc, mstatus,
 * [32 floating point registers, fcsr,] ra, x5 …, critical nesting}, the bracket when mstatus calls them dirty. RV32E has x5 to x15.
 * ThreadX (ports/risc-v64/gnu), on the stack: {1, s11 … s0, t6 … t3, t2 … t0, a7 … a0, ra, -, mepc} after an interrupt,
 * {0, s11 … s0, ra, mstatus} after a call of the kernel.
 * Zephyr: ra and s0 to s11 in the thread (callee_saved); if it was interrupted, or traps into the kernel to be switched (before 3.1),
 * a struct arch_esf at its stack pointer besides.
 *
 * What an exception saved returns to machine mode: both bits of mstatus' MPP field are set. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/image/elf.h"

enum {
    RA = 1, SP = 2, S0 = 8, S2 = 18,
    MPP = 0x1800, RESERVED = 0x7f800000, /* bits of mstatus that no machine sets */
    FS_SHIFT = 13, FP_REGS = 33,
    NESTED_MOST = 1024,
    FLOAT_ABI = 6, /* EF_RISCV_FLOAT_ABI: arguments in floating point registers */
};

static bool word(const struct hr_rtos *r, uint64_t at, uint64_t *ret) { return hr_image_word(r->image, at, ret); }

static bool is_mstatus(const struct hr_rtos *r, uint64_t at, uint64_t *ret)
{
    return word(r, at, ret) && (*ret & MPP) == MPP && !(*ret & RESERVED);
}

static void set(const struct hr_rtos *r, struct hr_thread *th, unsigned reg, uint64_t value)
{
    if (reg == r->image->arch->pc)
        th->pc = value;
    if (reg < HR_MAX_REGS) {
        th->reg[reg] = value;
        th->reg_valid |= 1ull << reg;
    }
}

static void load(const struct hr_rtos *r, struct hr_thread *th, unsigned reg, uint64_t at)
{
    uint64_t v;
    if (word(r, at, &v))
        set(r, th, reg, v);
}

static bool load_pc(const struct hr_rtos *r, struct hr_thread *th, uint64_t at)
{
    uint64_t v;
    if (!word(r, at, &v) || !hr_rtos_in_code(r, v))
        return false;
    set(r, th, r->image->arch->pc, v);
    return true;
}

/* ---- FreeRTOS ---- */

struct form { uint8_t mstatus, nesting, ra, last, size; }; /* words; nesting 0: none; last: the highest register */

static bool fits(const struct hr_rtos *r, const struct form *f, uint64_t sp, uint64_t skip)
{
    uint64_t w = r->image->word, v;
    if (f->nesting && (!word(r, sp + skip + f->nesting * w, &v) || v > NESTED_MOST))
        return false;
    return word(r, sp + skip + f->ra * w, &v) && (!v || hr_rtos_in_code(r, v));
}

static bool freertos(const struct hr_rtos *r, uint64_t sp, struct hr_thread *th)
{
    static const struct form forms[] = {{1, 30, 2, 31, 31}, {30, 29, 1, 31, 31}, {29, 0, 1, 31, 30}, {1, 14, 2, 15, 15}, {14, 13, 1, 15, 15}, {13, 0, 1, 15, 14}};
    uint64_t w = r->image->word, mstatus;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *f = &forms[i];
        if (!is_mstatus(r, sp + f->mstatus * w, &mstatus))
            continue;
        uint64_t skips[] = {FP_REGS * 4, FP_REGS * 8, 0}, skip = 0;
        size_t k = f->mstatus == 1 && (mstatus >> FS_SHIFT & 3) == 3 ? 0 : 2;
        while (k < 3 && !fits(r, f, sp, skips[k]))
            k++;
        if (k == 3 || !load_pc(r, th, sp))
            continue;
        skip = skips[k];
        load(r, th, RA, sp + skip + f->ra * w);
        for (unsigned x = 5; x <= f->last; x++)
            load(r, th, x, sp + skip + (f->ra + x - 4u) * w);
        set(r, th, SP, sp + skip + f->size * w);
        return true;
    }
    return false;
}

/* ---- ThreadX ---- */

static bool threadx(const struct hr_rtos *r, uint64_t sp, struct hr_thread *th)
{
    static const uint8_t interrupted[] = {27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 9, 8, 31, 30, 29, 28, 7, 6, 5, 17, 16, 15, 14, 13, 12, 11, 10, 1};
    enum { CALLED_RA = 13, CALLED_MSTATUS = 14, CALLED = 16, CALLED_FP = 29, MEPC = 30, INTERRUPTED = 32, INTERRUPTED_FP = 65 };
    uint64_t w = r->image->word, kind, v;
    if (!word(r, sp, &kind) || kind > 1)
        return false;
    const struct hr_elf *e = r->image->modules.n ? r->image->modules.v[0].elf : NULL;
    bool fp = e && e->flags & FLOAT_ABI;
    if (kind == 0) {
        /* read while it ran: what MPP is then is nobody's business */
        if (!word(r, sp + CALLED_MSTATUS * w, &v) || v & RESERVED || !load_pc(r, th, sp + CALLED_RA * w))
            return false;
        for (unsigned i = 0; i < 12; i++)
            load(r, th, interrupted[i], sp + (i + 1) * w);
        set(r, th, SP, sp + (fp ? CALLED_FP : CALLED) * w);
        return true;
    }
    if (!load_pc(r, th, sp + MEPC * w))
        return false;
    for (unsigned i = 0; i < sizeof interrupted; i++)
        load(r, th, interrupted[i], sp + (i + 1) * w);
    set(r, th, SP, sp + (fp ? INTERRUPTED_FP : INTERRUPTED) * w);
    return true;
}

/* ---- Zephyr ---- */

/* A register that struct `type` at `at` has as member `name`. */
static bool member(const struct hr_rtos *r, struct hr_thread *th, const char *type, uint64_t at, const char *name, unsigned reg)
{
    uint64_t off = hr_rtos_offset(r, type, name, HR_NONE64);
    if (off != HR_NONE64)
        load(r, th, reg, at + off);
    return off != HR_NONE64;
}

static const char *esf_type(const struct hr_rtos *r)
{
    static const char *const names[] = {"arch_esf", "__esf", "z_arch_esf_t"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (hr_rtos_offset(r, names[i], "mepc", HR_NONE64) != HR_NONE64)
            return names[i];
    return NULL;
}

static void interrupted(const struct hr_rtos *r, uint64_t sp, struct hr_thread *th)
{
    static const struct { const char *name; uint8_t reg; } names[] = {
        {"ra", 1}, {"t0", 5}, {"t1", 6}, {"t2", 7}, {"s0", 8}, {"a0", 10}, {"a1", 11}, {"a2", 12}, {"a3", 13}, {"a4", 14}, {"a5", 15}, {"a6", 16}, {"a7", 17},
        {"t3", 28}, {"t4", 29}, {"t5", 30}, {"t6", 31},
    };
    const char *type = esf_type(r);
    uint64_t mstatus;
    if (!type || !is_mstatus(r, sp + hr_rtos_offset(r, type, "mstatus", 0), &mstatus) || !load_pc(r, th, sp + hr_rtos_offset(r, type, "mepc", 0)))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        member(r, th, type, sp, names[i].name, names[i].reg);
    set(r, th, SP, sp + hr_type_get(r->types, hr_type_strip(r->types, hr_type_find(r->types, type)))->size);
}

static bool zephyr(const struct hr_rtos *r, uint64_t tcb, uint64_t sp, struct hr_thread *th)
{
    const char *t = "k_thread";
    uint64_t ra = hr_rtos_offset(r, t, "callee_saved.ra", HR_NONE64);
    char name[24];
    for (unsigned i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "callee_saved.s%u", i);
        if (!member(r, th, t, tcb, name, i < 2 ? S0 + i : S2 + i - 2))
            return false;
    }
    set(r, th, SP, sp);
    if (ra != HR_NONE64)
        load_pc(r, th, tcb + ra);
    interrupted(r, sp, th);
    return true;
}

bool hr_rtos_riscv(const struct hr_rtos *r, uint64_t tcb, uint64_t sp, struct hr_thread *th)
{
    if (strncmp(r->image->arch->name, "riscv", 5) || !sp)
        return false;
    return !strcmp(r->kernel, "FreeRTOS") ? freertos(r, sp, th) : !strcmp(r->kernel, "ThreadX") ? threadx(r, sp, th) : zephyr(r, tcb, sp, th);
}
