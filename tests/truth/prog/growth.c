/* Grows by rounds, for images of one program at several moments. On Linux: stops after each of argv[1], argv[2]… rounds and says
 * "round N"; a newline lets it go on. As part of the sample firmware: as many rounds as the word at ROUNDS says.
 * A round keeps 3 events in a list, loses 2 tickets (nothing points at them) and frees 5 of 5 visitors. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event { struct event *next; uint32_t when, what; char text[20]; };
struct ticket { uint64_t serial; char owner[80]; };
struct visitor { char name[200]; };
struct settings { uint32_t a[30]; };
static struct event *volatile events;
static struct settings *volatile settings;

#ifdef ROUNDS
#undef mallinfo
#include <malloc.h>
#include "../../../samples/firmware/firmware.h"
#endif

static __attribute__((noinline)) void a_round(int n)
{
    void *v[5];
    for (int i = 0; i < 3; i++) {
        struct event *e = calloc(1, sizeof *e);
        e->what = (uint32_t)n;
        e->next = events;
        events = e;
    }
    for (int i = 0; i < 2; i++) {
        struct ticket *volatile t = calloc(1, sizeof *t);
        t->serial = (uint64_t)n;
        t = NULL;
    }
    for (int i = 0; i < 5; i++)
        v[i] = calloc(1, sizeof(struct visitor));
    for (int i = 0; i < 5; i++)
        free(v[i]);
    memset(v, 0, sizeof v);
}

#ifdef ROUNDS
struct mallinfo late_mallinfo(void);
struct mallinfo late_mallinfo(void)
{
    settings = calloc(1, sizeof *settings);
    for (uint32_t i = 0; i < *(volatile uint32_t *)ROUNDS; i++)
        a_round((int)i);
    return mallinfo();
}
#else
static __attribute__((noinline)) void clean(void)
{
    volatile char stale[4096];
    memset((char *)stale, 0, sizeof stale);
}
int main(int argc, char **argv)
{
    int done = 0;
    settings = calloc(1, sizeof *settings);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++) {
        for (; done < atoi(argv[i]); done++)
            a_round(done);
        clean();
        printf("round %d\n", done);
        if (getchar() == EOF)
            return 0;
    }
    return 0;
}
#endif
