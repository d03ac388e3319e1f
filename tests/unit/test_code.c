/* References in a few instructions per processor, encoded by hand: code at 0x10000, data at 0x20000. */
#include "analyzer/types/types.h"
#include "tests/tap.h"

enum { CODE = 0x10000, DATA = 0x20000 };
static struct hr_strs *strs;
static struct hr_notes notes;
static uint64_t v[8];

/* Opens an image over `code` and asks; want_* end with 0. */
static void check(const char *arch, bool big, uint64_t entry, const void *code, size_t n, const uint64_t *want_ref,
                  const uint64_t *want_call)
{
    static const uint8_t data[0x1000];
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    img.arch = hr_arch_by_name(arch);
    img.word = img.arch->word_bits / 8;
    img.big = big;
    struct hr_segment c = {.addr = CODE, .msize = n, .bytes = {code, n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment d = {.addr = DATA, .msize = 0x1000, .bytes = {data, 0x1000}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    if (hr_image_add(&img, c) != HR_OK || hr_image_add(&img, d) != HR_OK || hr_image_seal(&img) != HR_OK)
        abort();
    size_t got = hr_code_data_refs(&img, entry, 4096, v, 8), i = 0;
    for (; want_ref[i]; i++)
        OK(i < got && v[i] == want_ref[i], "%s: reference %zu is %#llx (%#llx)", arch, i, (unsigned long long)want_ref[i],
           (unsigned long long)(i < got ? v[i] : 0));
    EQ(got, i, "%s: and no more", arch);
    got = hr_code_calls(&img, entry, 4096, v, 8);
    for (i = 0; want_call[i]; i++)
        OK(i < got && v[i] == want_call[i], "%s: call %zu is %#llx", arch, i, (unsigned long long)want_call[i]);
    EQ(got, i, "%s: and no more", arch);
    hr_image_deinit(&img);
}
#define REFS(...) ((const uint64_t[]){__VA_ARGS__, 0})
#define NONE ((const uint64_t[]){0})

static void words(uint8_t *b, const uint32_t *w, size_t n, bool big)
{
    for (size_t i = 0; i < n * 4; i++)
        b[i] = (uint8_t)(w[i / 4] >> 8 * (big ? 3 - i % 4 : i % 4));
}

int main(void)
{
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
    /* lea 0xfff9(%rip),%rax; call +0; mov %fs:0x10,%rbx; movq $1,0x20100(%rip)…; ret; then code of somebody else */
    check("x86-64", false, CODE,
          "\x48\x8d\x05\xf9\xff\x00\x00" "\xe8\x00\x01\x00\x00" "\x64\x48\x8b\x1c\x25\x10\x00\x00\x00"
          "\x48\x89\x05\xe4\x00\x01\x00" "\xc3" "\x48\x8d\x05\x00\x00\x01\x00", 36, REFS(DATA, 0x20100), REFS(0x1010c));
    /* a branch past the first ret keeps the function going: je +1; ret; lea 0x10000(%rip) */
    check("x86-64", false, CODE, "\x74\x01\xc3\x48\x8d\x05\xf6\x00\x01\x00\xc3", 11, REFS(0x20100), NONE);
    /* call next's thunk: mov (%esp),%ebx; ret at +0x20; add $0x10000-5,%ebx; mov 0x10(%ebx),%eax; lea 0x20(%ebx),%ecx */
    static uint8_t i386[0x24] = "\xe8\x1b\x00\x00\x00" "\x81\xc3\xfb\xff\x00\x00" "\x8b\x83\x10\x00\x00\x00"
                                "\x8d\x8b\x20\x00\x00\x00" "\xc3";
    memcpy(i386 + 0x20, "\x8b\x1c\x24\xc3", 4);
    check("i386", false, CODE, i386, sizeof i386, REFS(0x20010, 0x20020), REFS(0x10020));
    uint8_t b[32];
    /* adrp x0,+16 pages; add x0,x0,#0x40; ldr x1,[x0,#8]; bl +0x100; ret */
    words(b, (uint32_t[]){0x90000080, 0x91010000, 0xf9400401, 0x9400003d, 0xd65f03c0}, 5, false);
    check("aarch64", false, CODE, b, 20, REFS(0x20040, 0x20048), REFS(0x10100));
    /* ldr r3,[pc,#4] (pool: 0x10000-0xc+…); add r3,pc,r3; ldr r0,[r3,#4]; bx lr; pool */
    words(b, (uint32_t[]){0xe59f3008, 0xe08f3003, 0xe5930004, 0xe12fff1e, 0x00010034}, 5, false);
    check("arm", false, CODE, b, 20, REFS(0x20040, 0x20044), NONE);
    /* ELFv2: addis r2,r12,1; addi r2,r2,0x100; addi r3,r2,0x20; ld r4,0x28(r2); bl +0x40; blr, in either byte order */
    for (int big = 0; big < 2; big++) {
        words(b, (uint32_t[]){0x3c4c0001, 0x38420100, 0x38620020, 0xe8820028, 0x48000041, 0x4e800020}, 6, big);
        check("ppc64", big, CODE, b, 24, REFS(0x20120, 0x20128), REFS(0x10050));
    }
    /* auipc a0,16; addi a0,a0,16; auipc t1,16; jalr -256(t1); auipc a1,16; sd a0,0x30(a1); ret */
    words(b, (uint32_t[]){0x00010517, 0x01050513, 0x00010317, 0xf00300e7, 0x00010597, 0x02a5b823, 0x00008067}, 7, false);
    check("riscv64", false, CODE, b, 28, REFS(0x20010, 0x20040), REFS(0x1ff08));
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return tap_done();
}
