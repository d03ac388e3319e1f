/* Small things roots and edges share. Register names by DWARF number are each architecture's psABI supplement's. */
#include "analyzer/runtimes/native.h"

#include <stdio.h>
#include <string.h>

static const char *const x86_64[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                     "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
static const char *const i386[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"};

const char *hr_native_reg_name(const struct hr_arch *arch, unsigned reg, char *buf, size_t cap)
{
    const char *prefix = "r";
    if (!strcmp(arch->name, "x86-64") && reg < sizeof x86_64 / sizeof *x86_64)
        return x86_64[reg];
    if (!strcmp(arch->name, "i386") && reg < sizeof i386 / sizeof *i386)
        return i386[reg];
    if (reg == arch->sp)
        return "sp";
    if (reg == arch->pc && arch->pc != arch->ra)
        return "pc";
    if (!strncmp(arch->name, "aarch64", 7) || !strncmp(arch->name, "riscv", 5))
        prefix = "x";
    snprintf(buf, cap, "%s%u", prefix, reg);
    return buf;
}

uint64_t hr_native_gap(const struct hr_image *img, uint64_t addr, uint64_t word)
{
    size_t lo = 0, hi = img->segs.n;
    while (lo < hi) { /* first segment that begins after addr */
        size_t mid = lo + (hi - lo) / 2;
        if (img->segs.v[mid].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == img->segs.n)
        return UINT64_MAX;
    uint64_t gap = (img->segs.v[lo].addr - addr) & ~(word - 1);
    return gap ? gap : word;
}
