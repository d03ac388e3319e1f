/* Any bytes as a function's code, on each processor. Input: byte 0 the processor, bit 7 big endian; the rest is code, and
 * data too. */
#include "analyzer/types/scan.h"
#include "analyzer/types/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODE = 0x10000, DATA = 0x20000 };

static void on_ref(void *ctx, uint64_t at, uint64_t addr)
{
    (void)ctx;
    if (at < CODE || addr < DATA || addr >= DATA + 0x10000)
        __builtin_trap(); /* writable memory of the image only */
}
static void on_run(void *ctx, uint64_t at, uint64_t lo, uint64_t hi)
{
    (void)ctx, (void)at;
    if (lo < DATA || lo >= hi || hi - lo > 1 << 16)
        __builtin_trap();
}
static void on_called(void *ctx, uint64_t target) { (void)ctx, (void)target; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const archs[] = {"x86-64", "i386", "aarch64", "arm", "ppc64", "riscv64", "riscv32", "xtensa"};
    if (size < 2)
        return 0;
    struct hr_image img;
    hr_image_init(&img, NULL, NULL);
    img.arch = hr_arch_by_name(archs[(data[0] & 0x3f) % 8]);
    img.word = img.arch->word_bits / 8;
    img.big = data[0] >> 7;
    struct hr_span b = {data + 1, size - 1};
    struct hr_segment code = {.addr = CODE, .msize = b.n, .bytes = b, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment more = {.addr = DATA, .msize = 0x10000, .bytes = b, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    uint64_t v[64];
    if (hr_image_add(&img, code) == HR_OK && hr_image_add(&img, more) == HR_OK && hr_image_seal(&img) == HR_OK) {
        uint64_t entry = CODE + (data[0] >> 6 & 1); /* arm: Thumb */
        size_t n = hr_code_data_refs(&img, entry, 4096, v, 64);
        for (size_t i = 0; i < n; i++)
            if (v[i] < DATA || v[i] >= DATA + 0x10000)
                __builtin_trap(); /* data of the image only */
        if (n > 64 || hr_code_calls(&img, entry, 4096, v, 64) > 64)
            __builtin_trap();
        (void)hr_code_data_refs(&img, DATA, 64, v, 64);
        struct hr_fuel fuel = hr_fuel(size * 4);
        if (hr_scan_code(&img, CODE, CODE + b.n, &(struct hr_scan){on_ref, on_run, on_called, NULL}, &fuel) == HR_LIMIT)
            __builtin_trap(); /* no byte is read more than once */
    }
    hr_image_deinit(&img);
    return 0;
}
