/* Any bytes as .eh_frame, .eh_frame_hdr, .debug_frame and location expression.
 *
 * Input: byte 0: bit 0 big endian, bit 1 64-bit, bit 2 .eh_frame (else .debug_frame), bits 3-5 architecture; bytes 1-2: length of
 * the header that follows; then the section. */
#include "analyzer/base/limits.h"
#include "analyzer/types/cfi.h"
#include "analyzer/types/locexpr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HDR = 0x1000, SECTION = 0x2000 };

static void rows(struct hr_cfi_table *t, uint64_t pc, const struct hr_locctx *ctx)
{
    struct hr_cfi_fde f;
    struct hr_cfi_row r;
    struct hr_loc loc;
    if (hr_cfi_find(t, pc, &f) != HR_OK || hr_cfi_row(t, &f, pc, &r) != HR_OK)
        return;
    if (pc < f.lo || pc >= f.hi || (r.cfa.kind == HR_CFI_REG && r.cfa.reg >= HR_MAX_REGS))
        __builtin_trap();
    if (r.cfa.kind == HR_CFI_VAL_EXPR)
        (void)hr_locexpr(ctx, r.cfa.expr, NULL, &loc);
    for (unsigned i = 0; i < HR_MAX_REGS; i++)
        if (r.reg[i].kind == HR_CFI_EXPR || r.reg[i].kind == HR_CFI_VAL_EXPR)
            (void)hr_locexpr(ctx, r.reg[i].expr, &pc, &loc);
        else if (r.reg[i].kind == HR_CFI_REG && r.reg[i].reg >= HR_MAX_REGS)
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const archs[] = {"x86-64", "i386", "aarch64", "arm", "riscv64", "ppc64", "riscv32", "x86-64"};
    if (size < 3)
        return 0;
    struct hr_image img;
    hr_image_init(&img, NULL, NULL);
    img.big = data[0] & 1;
    img.word = data[0] & 2 ? 8 : 4;
    img.arch = hr_arch_by_name(archs[data[0] >> 3 & 7]);
    size_t nhdr = hr_min(hr_load(data + 1, 2, false), size - 3);
    struct hr_span hdr = {data + 3, nhdr}, sec = {data + 3 + nhdr, size - 3 - nhdr};
    uint64_t regs[HR_MAX_REGS] = {SECTION, SECTION + 8};
    struct hr_locctx ctx = {.img = &img, .reg = regs, .reg_valid = ~0ull, .cfa = SECTION, .cfa_valid = true, .frame_base = hdr};
    struct hr_cfi_table t = {.bytes = sec, .addr = data[0] & 4 ? SECTION : 0, .eh = data[0] & 4, .big = img.big, .word = img.word,
                             .arch = img.arch, .img = &img};
    hr_cfi_table_init(&t, hdr, HDR);
    for (uint64_t pc = 0; pc < 0x4000; pc += 0x101)
        rows(&t, pc, &ctx);
    for (size_t i = 0; i < t.index.n && i < 64; i++) {
        rows(&t, t.index.v[i].lo, &ctx);
        rows(&t, t.index.v[i].hi - 1, &ctx);
    }
    struct hr_loc loc;
    (void)hr_locexpr(&ctx, sec, NULL, &loc);
    hr_cfi_table_deinit(&t);
    hr_image_deinit(&img);
    return 0;
}
