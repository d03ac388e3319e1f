/* What a Cortex-M port leaves on a task's stack when it switches away: registers saved by the port, then the frame the processor
 * pushed at the exception (ARMv7-M Architecture Reference Manual, B1.5.6): r0-r3, r12, lr, pc, xPSR, and with EXC_RETURN bit 4
 * clear s0-s15, FPSCR and a pad. Ports of FreeRTOS: CM0 and CM3 save r4-r11; CM4F, CM7 r4-r11, EXC_RETURN (and s16-s31); CM23 and
 * CM33 PSPLIM, EXC_RETURN, r4-r11, or with a secure side one word more in front. ThreadX: [EXC_RETURN,] r4-r11. Which one it was
 * is decided by where a plausible frame is. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <string.h>

enum { THUMB = 1 << 24, ALIGNED = 1 << 9, FRAME = 32, FP_FRAME = 72, FP_SAVED = 64 };

static bool word(const struct hr_rtos *r, uint64_t at, uint32_t *ret)
{
    uint64_t v;
    if (!hr_image_uint(r->image, at, 4, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool exc_return(uint32_t v) { return v >= 0xffffff80 && (v & 1 || v == 0xffffffbc || v == 0xfffffffd); }

static bool frame_at(const struct hr_rtos *r, uint64_t at)
{
    uint32_t psr, pc;
    return word(r, at + 28, &psr) && psr & THUMB && !(psr & 0x01ff) && word(r, at + 24, &pc) && hr_rtos_in_code(r, pc);
}

static void take(const struct hr_rtos *r, uint64_t r4, uint64_t frame, bool fp, struct hr_thread *th)
{
    static const uint8_t in_frame[] = {0, 1, 2, 3, 12, 14, 15};
    uint32_t v, psr = 0;
    for (unsigned i = 0; i < 8; i++)
        if (word(r, r4 + 4 * i, &v)) {
            th->reg[4 + i] = v;
            th->reg_valid |= 1ull << (4 + i);
        }
    for (unsigned i = 0; i < sizeof in_frame; i++)
        if (word(r, frame + 4 * i, &v)) {
            th->reg[in_frame[i]] = v;
            th->reg_valid |= 1ull << in_frame[i];
        }
    word(r, frame + 28, &psr);
    th->pc = th->reg[15] & ~1ull;
    th->reg[13] = frame + FRAME + (fp ? FP_FRAME : 0) + (psr & ALIGNED ? 4 : 0);
    th->reg_valid |= 1ull << 13;
}

/* The lowest place in [lo, hi) where the processor pushed the registers of th, HR_NONE64 none. */
static uint64_t pushed(const struct hr_rtos *r, const struct hr_thread *th, uint64_t lo, uint64_t hi)
{
    static const uint8_t order[] = {0, 1, 2, 3, 12, 14, 15};
    for (uint64_t at = (lo + 7) & ~7ull; at + FRAME <= hi; at += 8) {
        uint32_t v;
        size_t i = 0;
        while (i < sizeof order && word(r, at + 4 * i, &v) && v == (uint32_t)th->reg[order[i]])
            i++;
        if (i == sizeof order && frame_at(r, at))
            return at;
    }
    return HR_NONE64;
}

/* Registers without a stack pointer (Zephyr's core dump after a panic): they were pushed onto the stack of the task that ran. The
 * frame may be longer, with floating point registers: what is scanned from here is too much, not too little. */
void hr_rtos_cortex_m_sp(struct hr_rtos *r)
{
    struct hr_image *img = r->image;
    struct hr_thread *th = img->threads.n ? &img->threads.v[0] : NULL;
    if (strcmp(img->arch->name, "arm") || !th || th->sp)
        return;
    for (uint32_t i = 0; i < r->ncurrent; i++) {
        const struct hr_task *t = hr_rtos_task(r, r->current[i]);
        uint64_t at = t && t->stack_lo < t->stack_hi ? pushed(r, th, t->stack_lo, t->stack_hi) : HR_NONE64;
        uint32_t psr = 0;
        if (at == HR_NONE64)
            continue;
        word(r, at + 28, &psr);
        th->sp = th->reg[13] = at + FRAME + (psr & ALIGNED ? 4 : 0);
        th->reg_valid |= 1ull << 13;
        return;
    }
}

bool hr_rtos_cortex_m(const struct hr_rtos *r, uint64_t r4, uint64_t sp, struct hr_thread *th)
{
    /* where r4 is and where the frame, in bytes from sp; ret: where EXC_RETURN is, -1 nowhere */
    static const struct { int8_t r4, ret; uint8_t frame; } forms[] = {
        {0, 32, 36}, {4, 0, 36}, {8, 4, 40}, {12, 8, 44}, {0, -1, 32},
    };
    if (strcmp(r->image->arch->name, "arm") || !sp)
        return false;
    if (r4) {
        if (!frame_at(r, sp))
            return false;
        take(r, r4, sp, false, th);
        return true;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        uint32_t ret = 0xfffffffd;
        if (forms[i].ret >= 0 && (!word(r, sp + (uint64_t)forms[i].ret, &ret) || !exc_return(ret)))
            continue;
        bool fp = !(ret & 0x10);
        uint64_t frame = sp + forms[i].frame + (fp ? FP_SAVED : 0);
        if (!frame_at(r, frame))
            continue;
        take(r, sp + (uint64_t)forms[i].r4, frame, fp, th);
        return true;
    }
    return false;
}
