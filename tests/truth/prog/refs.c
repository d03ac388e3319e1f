/* A function that touches data in a known order; the program says where that data lies, then waits.
 * Lines: "fn ADDRESS", "ref ADDRESS" in order of first use, "call ADDRESS", "ready". */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
struct big { long pad[40]; long last; };
static long a_counter = 1;
static struct big b_struct = {{1}, 2};
static long c_table[64] = {3};
static __thread long thread_local_one;
volatile long go = 1;

NOINLINE static void helper_one(long v) { a_counter += v; }
NOINLINE static void helper_two(struct big *p) { p->last += 1; }

NOINLINE static long touches(long i)
{
    a_counter += i;
    helper_one(i);
    thread_local_one += 5;
    if (i & 1)
        helper_two(&b_struct);
    return c_table[i & 63] + a_counter;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < 3; i++)
        b_struct.pad[1] += touches(i);
    printf("fn %p\nref %p\nref %p\nref %p\ncall %p\ncall %p\nready\n", (void *)touches, (void *)&a_counter, (void *)&b_struct,
           (void *)c_table, (void *)helper_one, (void *)helper_two);
    fflush(stdout);
    if (argc > 1)
        abort();
    (void)argv;
    while (go)
        pause();
    return 0;
}
