/* What runs before main() and the way out: vector table, memory set-up, semihosting, the program break. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "firmware.h"

extern char __data_start[], __data_end[], __data_load[], __bss_start[], __bss_end[], __stack_top[], __heap_start[], __heap_end[];
int main(void);

static long semihost(long op, const void *arg)
{
#ifdef __riscv
    register long a0 __asm__("a0") = op;
    register const void *a1 __asm__("a1") = arg;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
    return a0;
#else
    register long r0 __asm__("r0") = op;
    register const void *r1 __asm__("r1") = arg;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#endif
}

void say(const char *text) { semihost(4 /* SYS_WRITE0 */, text); }

/* The vector table's first entry is the stack; nothing of C may be used before memory is set up. */
__attribute__((used)) static void set_up(void)
{
    char *to = __data_start;
    for (const char *from = __data_load; to < __data_end; from++)
        *to++ = *from;
    for (char *p = __bss_start; p < __bss_end; p++)
        *p = 0;
    main();
    for (;;)
        ;
}

#ifdef __riscv
__attribute__((naked, used, section(".vectors"))) void _start(void)
{
    __asm__ volatile(".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\nla sp, __stack_top\nj set_up");
}
#else
static void stuck(void)
{
    say("fault\n");
    for (;;)
        ;
}
void _start(void) __attribute__((alias("set_up_entry")));
__attribute__((used)) void set_up_entry(void) { set_up(); }
__attribute__((used, section(".vectors"))) const void *const vectors[16] = {
    __stack_top, set_up_entry, stuck, stuck, stuck, stuck, stuck, 0, 0, 0, 0, stuck, stuck, 0, stuck, stuck,
};
#endif

/* newlib asks the board for memory here; picolibc brings its own sbrk() between the same two symbols. */
#ifndef PICOLIBC
void *_sbrk(ptrdiff_t by);
void *_sbrk(ptrdiff_t by)
{
    static char *program_break = __heap_start;
    char *was = program_break;
    if (by > __heap_end - was) {
        errno = ENOMEM;
        return (void *)-1;
    }
    program_break += by;
    return was;
}
#endif
