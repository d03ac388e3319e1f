/* Registers given as text (--regs) for each processor, as gdb and QEMU print them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/image/core.h"
#include "tests/tap.h"

static const struct { const char *arch, *text; uint64_t sp, pc, other; unsigned word, reg; } given[] = {
    {"x86-64", "rax            0xfffffffffffffdfe  -514\nrbx            0x12                18\nrsp            0x7fffffffdf60      0x7fffffffdf60\n"
               "r12            0x7777              30583\nrip            0x7ffff7def954      0x7ffff7def954\neflags         0x246               [ PF ZF IF ]\n",
     0x7fffffffdf60, 0x7ffff7def954, 0x7777, 8, 12},
    {"x86-64", "RAX=00000000000000aa RBX=0000000000000001 RCX=0000000000000002 RDX=0000000000000003\n"
               "RSI=0000000000000004 RDI=0000000000000005 RBP=0000000000000006 RSP=00007fffffffe000\nR8 =0000000000000007 R9 =0000000000000008\nRIP=0000000000401000 RFL=00000246",
     0x7fffffffe000, 0x401000, 0xaa, 8, 0},
    {"i386", "eax            0x5                 5\nesp            0xffffd120          0xffffd120\nesi            0x99                153\neip            0xf7fc7549          0xf7fc7549\n",
     0xffffd120, 0xf7fc7549, 0x99, 4, 6},
    {"ppc", "r0             0x1                 1\nr1             0x407fe0a0          1082122400\nr31            0x31                49\npc             0x10001234          0x10001234\nlr 0x55\n",
     0x407fe0a0, 0x10001234, 0x31, 4, 31},
    {"arm", "R00=00000001 R01=00000002 R02=00000003 R03=00000004\nR12=00000012 R13=20003f00 R14=00000101 R15=00001234\n", 0x20003f00, 0x1234, 0x12, 4, 12},
    {"riscv32", " pc       80000100\n x0/zero  00000000 x1/ra    80000200 x2/sp    8010ffa0 x3/gp    80100800\n x10/a0   00000077\n", 0x8010ffa0, 0x80000100, 0x77, 4, 10},
};

int main(void)
{
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        char path[] = "/tmp/hr-regs-XXXXXX";
        struct hr_strs *strs = NULL;
        struct hr_notes notes;
        struct hr_image img;
        struct hr_open_options opt = {.regs = path};
        int fd = mkstemp(path);
        bool written = fd >= 0 && write(fd, given[i].text, strlen(given[i].text)) == (ssize_t)strlen(given[i].text);
        hr_notes_init(&notes);
        bool ok = written && hr_strs_create(&strs) == HR_OK;
        hr_image_init(&img, strs, &notes);
        img.arch = hr_arch_by_name(given[i].arch);
        img.word = (uint8_t)given[i].word;
        ok = ok && img.arch && hr_regs_load(&img, &opt) == HR_OK && img.threads.n == 1;
        const struct hr_thread *t = ok ? &img.threads.v[0] : NULL;
        OK(t && t->sp == given[i].sp && t->pc == given[i].pc && t->reg[given[i].reg] == given[i].other, "%s, text %zu: stack pointer, program counter and another",
           given[i].arch, i);
        hr_image_deinit(&img);
        hr_notes_deinit(&notes);
        hr_strs_destroy(strs);
        close(fd);
        unlink(path);
    }
    return tap_done();
}
