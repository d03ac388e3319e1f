/* What differs between processor architectures, as one table. Image room. To add one: a row in arch.c. */
#ifndef HR_IMAGE_ARCH_H
#define HR_IMAGE_ARCH_H

#include "analyzer/base/status.h"

enum { HR_MAX_REGS = 40 }; /* general registers by DWARF number; riscv64 needs 33, ppc64 34 with lr */

struct hr_arch {
    const char *name;  /* "x86-64", "i386", "aarch64", "arm", "riscv32", "riscv64", "ppc", "ppc64", "s390x", "mips", "xtensa", "wasm32" */
    uint16_t elf_machine;
    uint8_t word_bits; /* 32 or 64 */
    uint8_t nregs;     /* registers numbered as DWARF does, 0..nregs-1 */
    uint8_t sp, pc, ra; /* DWARF numbers; ra = return-address column of the CFI; pc may equal ra (x86) */
    uint8_t tp;        /* DWARF number of the thread pointer, 0xff when it is not a general register (x86 fs/gs base) */
    uint8_t tls_variant; /* 1: TLS blocks above tp (arm, aarch64, riscv, ppc); 2: below (x86) */
    int16_t tcb_size;  /* variant 1: bytes between tp and the first block (aarch64 16, arm 8, riscv 0, ppc -0x7000) */
    uint16_t prstatus_regs; /* offset of pr_reg in NT_PRSTATUS, 0 unknown */
    uint16_t red_zone; /* bytes below sp that are still live */
    const uint8_t *greg_map; /* pr_reg slot i -> DWARF number (0xff none); NULL: identity */
    uint8_t ngregs;    /* slots in pr_reg */
    uint8_t gp;        /* the linker's constant for short addressing: no reference whatever it points at; 0 none */
    uint8_t cfi_lr;    /* number of the return-address register in CFI where it is not `ra` (ppc 65), else 0 */
};

/* CFI register number -> index into hr_thread.reg, HR_MAX_REGS when we keep no such register. Identity but for ppc, whose
 * link register is number 65 in CFI and 32 here (33 is the instruction pointer). */
static inline unsigned hr_arch_cfi_reg(const struct hr_arch *a, unsigned cfi)
{
    unsigned r = cfi == a->cfi_lr && a->cfi_lr ? a->ra : cfi;
    return r < a->nregs ? r : HR_MAX_REGS;
}

/* The row for an ELF machine and word size, or NULL. */
const struct hr_arch *hr_arch_by_elf(unsigned e_machine, unsigned word_bits);
const struct hr_arch *hr_arch_by_name(const char *name);
/* A row without registers for machines that have none here: memory can still be analysed. Never NULL. */
const struct hr_arch *hr_arch_unknown(unsigned word_bits);

#endif
