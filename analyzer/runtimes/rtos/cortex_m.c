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
