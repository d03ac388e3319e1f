/* The second unit: knows what the first only declares, shares a header with it, and has a struct and a static of the same
 * names as others elsewhere, with other contents. */
#include <stdio.h>
#include "layout2.h"

struct opaque { long magic; struct opaque2 *back; };
struct local { int of_two; };
static struct local s_node;
static shared_t s_shared;
static struct opaque s_real;
struct opaque2 g_second;
extern char __executable_start;

void layout2_say(void)
{
    static long calls;
    calls += s_node.of_two + s_shared.a + s_real.magic;
    printf("S|struct opaque|%zu\nF|struct opaque|back|%zu|%zu\nG|g_second|%zu|%zu\nL|layout2_say|calls|%zu\n", sizeof(struct opaque),
           __builtin_offsetof(struct opaque, back), sizeof s_real.back, (size_t)((char *)&g_second - &__executable_start),
           sizeof g_second, (size_t)((char *)&calls - &__executable_start));
}
