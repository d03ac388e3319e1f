/* From one thread's registers to its frames. Types room, internal: frames.c is the caller.
 *
 * Per frame: call-frame information first; a signal trampoline by its instructions; the frame pointer; on x86 the return
 * address searched on the stack. Each frame says how it was found. Registers are recovered only where something says so:
 * what a call may have overwritten is unknown in the caller, never stale. */
#ifndef HR_TYPES_UNWIND_H
#define HR_TYPES_UNWIND_H

#include "analyzer/types/cfi.h"
#include "analyzer/types/types.h"

struct hr_unwind_mod {
    bool tried_eh, tried_debug;
    struct hr_cfi_table eh, debug; /* bytes.n == 0: none */
    void *own[3];                  /* copies behind the tables: .eh_frame, .eh_frame_hdr, .debug_frame */
};

struct hr_unwinder {
    struct hr_types *types;
    const struct hr_image *img;
    struct hr_unwind_mod *mods; /* one per module, and one for the vdso when no module covers it */
    size_t nmods;
    uint64_t vdso_lo, vdso_hi;
    uint32_t blind;             /* pcs in a known module without any call-frame information */
};

enum hr_status hr_unwind_init(struct hr_unwinder *u, struct hr_types *t) HR_MUST;
void hr_unwind_deinit(struct hr_unwinder *u);
/* Appends the frames of thread `tid` (an index) to out; *complete_ret: the first function was reached. */
enum hr_status hr_unwind_thread(struct hr_unwinder *u, uint32_t tid, size_t max_frames, struct hr_framevec *out,
                                bool *complete_ret) HR_MUST;

/* unwind_arm.c: .ARM.exidx, the exception tables of 32-bit arm. HR_ABSENT: it says nothing about f->pc. */
enum hr_status hr_unwind_exidx(const struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c,
                               bool *first_ret) HR_MUST;

/* unwind_guess.c: the caller where no call-frame information helps. Each fills *c from f (f->cfa is set too) and answers
 * whether it found one. `inner`: f is the innermost frame or was interrupted by a signal, so its pc is exact. */
bool hr_unwind_sigreturn(const struct hr_unwinder *u, struct hr_frame *f, struct hr_frame *c);
bool hr_unwind_is_trampoline(const struct hr_unwinder *u, uint64_t pc);
bool hr_unwind_guess(const struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c, bool *first_ret);
/* unwind_call.c. STRONG: a direct call of the function that pc is in; WEAK: some call that may have been it. */
enum hr_call { HR_CALL_NO, HR_CALL_WEAK, HR_CALL_STRONG };
enum hr_call hr_unwind_call_before(const struct hr_unwinder *u, uint64_t ra, uint64_t pc);
bool hr_unwind_is_code(const struct hr_unwinder *u, uint64_t addr);
/* Registers a callee must leave alone (bit per DWARF number). */
uint64_t hr_unwind_preserved(const struct hr_arch *arch);

enum { HR_EM_386 = 3, HR_EM_PPC64 = 21, HR_EM_ARM = 40, HR_EM_X86_64 = 62, HR_EM_AARCH64 = 183, HR_EM_RISCV = 243 };

static inline void hr_unwind_set(struct hr_frame *f, unsigned r, uint64_t v)
{
    if (r < HR_MAX_REGS) {
        f->reg[r] = v;
        f->reg_valid |= 1ull << r;
    }
}

#endif
