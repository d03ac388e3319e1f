/* How the firmware programs of the tests tell what they do, without leaving a copy of a pointer behind:
 *   alloc ADDRESS REQUESTED TYPE     free ADDRESS     lost KIND ADDRESS     mallinfo IN-USE FREE     done */
#ifndef FW_SAY_H
#define FW_SAY_H
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
void say(const char *text);

static __attribute__((noinline, unused)) void fw_tell(const char *what, uintptr_t a, uintptr_t b, int n, const char *name)
{
    char line[96], *p = line;
    while (*what)
        *p++ = *what++;
    for (int k = 0; k < n; k++) {
        uintptr_t v = k ? b : a;
        *p++ = ' ';
        for (int shift = 8 * (int)sizeof v - 4; shift >= 0; shift -= 4)
            *p++ = "0123456789abcdef"[v >> shift & 15];
    }
    if (name) {
        *p++ = ' ';
        while (*name)
            *p++ = *name++;
    }
    *p++ = '\n';
    *p = 0;
    say(line);
    memset(line, 0, sizeof line);
}

static __attribute__((noinline, unused)) void *fw_take(size_t n, const char *type)
{
    void *p = malloc(n);
    if (!p) {
        say("no memory\ndone\n");
        for (;;)
            ;
    }
    memset(p, 0, n);
    fw_tell("alloc", (uintptr_t)p, n, 2, type);
    return p;
}
#define TAKE(T) ((struct T *)fw_take(sizeof(struct T), #T))
#define TAKE_N(T, n) ((T *)fw_take((n) * sizeof(T), #T "[]"))

static __attribute__((noinline, unused)) void fw_give(void *p)
{
    fw_tell("free", (uintptr_t)p, 0, 1, NULL);
    free(p);
}
#define LOST(kind, p) fw_tell("lost " kind, (uintptr_t)(p), 0, 1, NULL)

/* In a frame that is gone at the end: picolibc does not fill all of it. */
static __attribute__((noinline, unused)) void fw_numbers(void)
{
    struct mallinfo mi = mallinfo();
    fw_tell("mallinfo", (uintptr_t)mi.uordblks, (uintptr_t)mi.fordblks, 2, NULL);
}

/* The allocator's own numbers, then nothing more. What earlier calls left in registers is no reference. */
static __attribute__((noinline, unused)) void fw_rest(void)
{
    fw_numbers();
    say("done\n");
#ifdef __riscv
    __asm__ volatile("li s0,0\nli s1,0\nli s2,0\nli s3,0\nli s4,0\nli s5,0\nli s6,0\nli s7,0\nli s8,0\nli s9,0\nli s10,0\nli s11,0\n"
                     "li a0,0\nli a1,0\nli a2,0\nli a3,0\nli a4,0\nli a5,0\nli t0,0\nli t1,0\nli t2,0\n1: j 1b");
#else
    __asm__ volatile("movs r0,#0\nmovs r1,#0\nmovs r2,#0\nmovs r3,#0\nmovs r4,#0\nmovs r5,#0\nmovs r6,#0\nmovs r7,#0\n"
                     "mov r8,r0\nmov r9,r0\nmov r10,r0\nmov r11,r0\nmov r12,r0\n1: b 1b");
#endif
}
#ifdef __cplusplus
}
#endif
#endif
