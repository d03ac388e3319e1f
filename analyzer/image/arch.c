#include "analyzer/image/arch.h"

#include <string.h>

/* Slot orders are those of the kernel's user_regs_struct / user_pt_regs (arch/.../include/uapi/asm/ptrace.h), register
 * numbers those of each processor's DWARF supplement. X: a slot without a DWARF number that we keep. */
enum { X = 0xff };

/* r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs */
static const uint8_t greg_x86_64[27] = {15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, X, 16, X, X, 7,
                                        X,  X,  X,  X,  X, X, X};
/* ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss */
static const uint8_t greg_i386[17] = {3, 1, 2, 6, 7, 5, 0, X, X, X, X, X, 8, X, X, 4, X};
/* pc, x1..x31; pc is kept as 32, which DWARF gives to ft0: never saved by anybody's CFI */
static const uint8_t greg_riscv[32] = {32, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                       16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
/* gpr0..31 nip msr orig_gpr3 ctr link …; lr is kept as 32, nip as 33 */
static const uint8_t greg_ppc[37] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18,
                                     19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, X,  X,  X,  32};
/* psw mask, psw address, gprs 0..15, 16 access registers of 4 bytes, orig_gpr2; the address is kept as 16 */
static const uint8_t greg_s390x[27] = {X,  16, 0,  1,  2,  3,  4,  5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, X, X, X, X, X, X, X, X, X};
/* six words of padding, r0..31, lo, hi, epc, badvaddr, status, cause, padding; the epc is kept as 32 */
static const uint8_t greg_mips[45] = {X,  X,  X,  X,  X,  X,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                      17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, X,  X,  32, X,  X,  X,  X};
/* pc ps lbeg lend lcount sar windowstart windowbase reserved[56] ar0.. (xtensa elf_gregset); pc is kept as 16 */
static const uint8_t greg_xtensa[80] = {
    16, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X,  X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    0,  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* pr_reg follows siginfo (12), cursig, two signal sets, four pids and four timevals: 112 bytes in with 64-bit longs, 72
 * with 32-bit ones (include/uapi/linux/elfcore.h). */
enum { REGS64 = 112, REGS32 = 72 };

enum { EM_386 = 3, EM_MIPS = 8, EM_PPC = 20, EM_PPC64 = 21, EM_S390 = 22, EM_ARM = 40, EM_X86_64 = 62, EM_XTENSA = 94, EM_AARCH64 = 183, EM_RISCV = 243 };

static const struct hr_arch archs[] = {
    {"x86-64", EM_X86_64, 64, 17, .sp = 7, .pc = 16, .ra = 16, .tp = X, .tls_variant = 2, .prstatus_regs = REGS64,
     .red_zone = 128, .greg_map = greg_x86_64, .ngregs = 27},
    {"i386", EM_386, 32, 9, .sp = 4, .pc = 8, .ra = 8, .tp = X, .tls_variant = 2, .prstatus_regs = REGS32,
     .greg_map = greg_i386, .ngregs = 17},
    {"aarch64", EM_AARCH64, 64, 33, .sp = 31, .pc = 32, .ra = 30, .tp = X, .tls_variant = 1, .tcb_size = 16,
     .prstatus_regs = REGS64, .ngregs = 34},
    {"arm", EM_ARM, 32, 16, .sp = 13, .pc = 15, .ra = 14, .tp = X, .tls_variant = 1, .tcb_size = 8,
     .prstatus_regs = REGS32, .ngregs = 18},
    {"riscv64", EM_RISCV, 64, 33, .sp = 2, .pc = 32, .ra = 1, .tp = 4, .tls_variant = 1, .prstatus_regs = REGS64,
     .greg_map = greg_riscv, .ngregs = 32, .gp = 3},
    {"riscv32", EM_RISCV, 32, 33, .sp = 2, .pc = 32, .ra = 1, .tp = 4, .tls_variant = 1, .prstatus_regs = REGS32,
     .greg_map = greg_riscv, .ngregs = 32, .gp = 3},
    /* ELFv2 keeps 512 bytes below r1 for leaf functions; v1 288, which is less */
    {"ppc64", EM_PPC64, 64, 34, .sp = 1, .pc = 33, .ra = 32, .tp = 13, .tls_variant = 1, .tcb_size = -0x7000,
     .prstatus_regs = REGS64, .red_zone = 512, .greg_map = greg_ppc, .ngregs = 37, .cfi_lr = 65},
    {"ppc", EM_PPC, 32, 34, .sp = 1, .pc = 33, .ra = 32, .tp = 2, .tls_variant = 1, .tcb_size = -0x7000,
     .prstatus_regs = REGS32, .greg_map = greg_ppc, .ngregs = 37, .cfi_lr = 65},
    {"s390x", EM_S390, 64, 17, .sp = 15, .pc = 16, .ra = 14, .tp = X, .tls_variant = 2, .prstatus_regs = REGS64, .greg_map = greg_s390x, .ngregs = 27},
    {"mips", EM_MIPS, 32, 33, .sp = 29, .pc = 32, .ra = 31, .tp = X, .tls_variant = 1, .tcb_size = -0x7000, .prstatus_regs = REGS32,
     .greg_map = greg_mips, .ngregs = 45},
    {"xtensa", EM_XTENSA, 32, 17, .sp = 1, .pc = 16, .ra = 0, .tp = X, .prstatus_regs = REGS32, .red_zone = 16, /* a caller's a0 to a3 */
     .greg_map = greg_xtensa, .ngregs = 80},
    {"wasm32", 0, 32, 0, .tp = X},
};
static const struct hr_arch unknown[2] = {
    {"unknown", 0, 32, 0, .tp = X},
    {"unknown", 0, 64, 0, .tp = X},
};
enum { NARCH = sizeof archs / sizeof *archs };

const struct hr_arch *hr_arch_by_elf(unsigned e_machine, unsigned word_bits)
{
    for (size_t i = 0; i < NARCH; i++)
        if (e_machine && archs[i].elf_machine == e_machine && archs[i].word_bits == word_bits)
            return &archs[i];
    return NULL;
}

const struct hr_arch *hr_arch_by_name(const char *name)
{
    for (size_t i = 0; i < NARCH; i++)
        if (!strcmp(archs[i].name, name))
            return &archs[i];
    return NULL;
}

const struct hr_arch *hr_arch_unknown(unsigned word_bits) { return &unknown[word_bits == 64]; }
