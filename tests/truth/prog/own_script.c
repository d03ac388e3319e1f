/* A program with picolibc's own start-up code and linker script: its vector table makes the flash a segment that may be written. */
#include <stdlib.h>
#include <string.h>

static char table[300];
static int count = 5;
static __thread char local[40];
static void *volatile keep[10];

int main(void)
{
    for (int i = 0; i < 10; i++)
        keep[i] = calloc(1, 50 + (size_t)i);
    memset(table, 1, sizeof table);
    local[0] = (char)++count;
    register int op __asm__("r0") = 4; /* SYS_WRITE0 */
    register const char *text __asm__("r1") = "began\ndone\n";
    __asm__ volatile("bkpt 0xab" : "+r"(op) : "r"(text) : "memory");
    for (;;)
        ;
}
