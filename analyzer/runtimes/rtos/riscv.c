/* What FreeRTOS' RISC-V port leaves on a task's stack (portable/GCC/RISC-V, V10.3 to V11): {mepc, ra, t0 to t6 with s and a registers in
 * the order of their numbers from x5 on, [critical nesting], mstatus}. Which of the two it is tells mstatus: tasks return to machine
 * mode, so both bits of its MPP field are set. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <string.h>

enum { RA = 1, SP = 2, X5 = 5, LAST = 31, MPP = 0x1800, MSTATUS_OLD = 29, MSTATUS = 30 };

bool hr_rtos_riscv(const struct hr_rtos *r, uint64_t sp, struct hr_thread *th)
{
    uint64_t w = r->image->word, v, size = 0;
    if (strncmp(r->image->arch->name, "riscv", 5) || strcmp(r->kernel, "FreeRTOS"))
        return false;
    for (unsigned k = MSTATUS_OLD; k <= MSTATUS && !size; k++)
        if (hr_image_word(r->image, sp + k * w, &v) && (v & MPP) == MPP)
            size = (k + 1) * w;
    if (!size || !hr_image_word(r->image, sp, &th->pc))
        return false;
    for (unsigned x = X5; x <= LAST; x++)
        if (hr_image_word(r->image, sp + (x - X5 + 2) * w, &th->reg[x]))
            th->reg_valid |= 1ull << x;
    if (hr_image_word(r->image, sp + w, &th->reg[RA]))
        th->reg_valid |= 1ull << RA;
    th->reg[SP] = sp + size;
    th->reg_valid |= 1ull << SP;
    if (r->image->arch->pc < HR_MAX_REGS) {
        th->reg[r->image->arch->pc] = th->pc;
        th->reg_valid |= 1ull << r->image->arch->pc;
    }
    return true;
}
