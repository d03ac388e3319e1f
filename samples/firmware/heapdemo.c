/* A weather station that runs out of memory: known leaks, rings and holes on a microcontroller's heap.
 *
 * Every allocation and every release is told to the debugger as it happens, and every block at the moment it is lost; then
 * the allocator's own numbers. So what is alive and what has leaked is known without heapray:
 *   alloc ADDRESS REQUESTED     free ADDRESS     lost KIND ADDRESS     mallinfo ARENA IN-USE FREE     done */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firmware.h"

#ifndef SCALE
#define SCALE 1 /* so that the same faults fit into 8 KiB of RAM and are many in 64 */
#endif

struct reading { struct reading *next; int32_t millidegrees; uint32_t when; };
struct sensor { char name[12]; struct reading *newest; uint32_t count; struct station *at; };
struct station { struct sensor *sensors[3]; char *place; };
struct packet { uint32_t seq; uint16_t length; uint8_t body[22]; };
struct session { struct packet *pending; char *peer; uint32_t id; };
struct timer { struct timer *next, *prev; void (*fire)(void); };

static struct station *station;
static struct reading *history;
static char *volatile cursor;                 /* into the middle of a buffer, which nothing else names */
static void *volatile kept[8];        /* volatile: a compiler drops what is only written, and then the blocks are lost */
static struct timer *volatile wheel;

static void tell(const char *what, uintptr_t a, uintptr_t b, int n)
{
    char line[48], *p = line;
    while (*what)
        *p++ = *what++;
    for (int k = 0; k < n; k++) {
        uintptr_t v = k ? b : a;
        *p++ = ' ';
        for (int shift = 8 * (int)sizeof v - 4; shift >= 0; shift -= 4)
            *p++ = "0123456789abcdef"[v >> shift & 15];
    }
    *p++ = '\n';
    *p = 0;
    say(line);
    memset(line, 0, sizeof line);
}

static __attribute__((noinline)) void *take(size_t n)
{
    void *p = malloc(n);
    if (p)
        memset(p, 0, n);
    tell("alloc", (uintptr_t)p, n, 2);
    return p;
}

static __attribute__((noinline)) void give(void *p)
{
    tell("free", (uintptr_t)p, 0, 1);
    free(p);
}

static __attribute__((noinline)) char *words(const char *s)
{
    char *p = take(strlen(s) + 1);
    strcpy(p, s);
    return p;
}

static __attribute__((noinline)) void build_station(void)
{
    static const char *const names[3] = {"outdoor", "indoor", "cellar"};
    station = take(sizeof *station);
    station->place = words("north roof, second mast");
    for (int i = 0; i < 3; i++) {
        struct sensor *s = station->sensors[i] = take(sizeof *s);
        strcpy(s->name, names[i]);
        s->at = station;
        for (int k = 0; k < 4 * SCALE; k++) {
            struct reading *r = take(sizeof *r);
            r->millidegrees = 20000 + 100 * k;
            r->next = s->newest;
            s->newest = r;
            s->count++;
        }
    }
}

/* An error path that forgets the packet, and one that forgets a whole session. */
static __attribute__((noinline)) void lose_packets(void)
{
    for (int i = 0; i < 3 * SCALE; i++) {
        struct packet *p = take(sizeof *p);
        p->seq = (uint32_t)i;
        tell("lost direct", (uintptr_t)p, 0, 1);
    }
    struct session *s = take(sizeof *s);
    s->pending = take(sizeof *s->pending);
    s->peer = words("10.0.0.17:1883");
    tell("lost indirect", (uintptr_t)s->pending, 0, 1);
    tell("lost indirect", (uintptr_t)s->peer, 0, 1);
    tell("lost direct", (uintptr_t)s, 0, 1);
}

/* Timers in a ring; the wheel moves on and leaves each ring behind. */
static __attribute__((noinline)) void turn_wheel(void)
{
    for (int ring = 0; ring < 2; ring++) {
        struct timer *first = NULL;
        for (int i = 0; i < 2 + ring; i++) {
            struct timer *t = take(sizeof *t);
            if (!first) {
                first = t->next = t->prev = t;
            } else {
                t->next = first;
                t->prev = first->prev;
                first->prev->next = t;
                first->prev = t;
            }
        }
        wheel = first;
        struct timer *t = first;
        do {
            tell("lost cycle", (uintptr_t)t, 0, 1);
            t = t->next;
        } while (t != first);
    }
    wheel = NULL;
}

/* Long-lived small blocks between short-lived big ones: much free, nothing large. */
static __attribute__((noinline)) void make_holes(void)
{
    void *big[8];
    for (int i = 0; i < 8; i++) {
        big[i] = take(48u + 8u * (unsigned)i);
        kept[i] = take(20);
    }
    for (int i = 0; i < 8; i++)
        if (i != 5)
            give(big[i]);
        else
            cursor = (char *)big[i] + 30;
    memset(big, 0, sizeof big);
}

static __attribute__((noinline)) void history_of(int n)
{
    for (int i = 0; i < n; i++) {
        struct reading *r = take(sizeof *r);
        r->next = history;
        r->when = (uint32_t)i;
        history = r;
    }
    for (int i = 0; i < n / 2; i++) {
        struct reading *r = history;
        history = r->next;
        give(r);
    }
}

static __attribute__((noinline)) void wait_forever(char *request)
{
    struct mallinfo mi = mallinfo();
    tell("arena", (uintptr_t)mi.arena, 0, 1);
    tell("mallinfo", (uintptr_t)mi.uordblks, (uintptr_t)mi.fordblks, 2);
    tell("done", 0, 0, 0);
    for (;;)
        __asm__ volatile("" : : "r"(request) : "memory");
}

int main(void)
{
    build_station();
    lose_packets();
    turn_wheel();
    history_of(10 * SCALE);
    make_holes();
    wait_forever(words("GET /latest")); /* held by this stack alone */
    return 0;
}
