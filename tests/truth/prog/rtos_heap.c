/* A heap laid out in memory as FreeRTOS lays out its own, for the sample firmware. An independent writer: it knows the layout
 * (blocks of {next free, size} with the top bit for "in use", list heads, end marker, XORed links), not the original's code.
 * HEAP 2, 4 or 5; CANARY for the heap protector. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

#ifndef CANARY
#define CANARY 0
#endif
#ifdef __riscv
enum { ALIGN = 16, HEAD = 16, LEAST = 32, ROOM = 9000 }; /* portBYTE_ALIGNMENT of the ports */
#else
enum { ALIGN = 8, HEAD = 8, LEAST = 16, ROOM = 6000 };
#endif
#define IN_USE 0x80000000u

struct block { struct block *next; size_t size; };
static struct block xStart;
#if HEAP == 2
static size_t xFreeBytesRemaining __attribute__((section(".data"))); /* the original's begins as the whole size, so it is no zero data */
#else
static size_t xFreeBytesRemaining;
#endif
#if CANARY
static uintptr_t xHeapCanary;
#else
enum { xHeapCanary = 0 };
#endif
#if HEAP == 2
static struct block xEnd;
static struct block *const pxLast = &xEnd;
#else
static struct block *pxEnd;
#define pxLast pxEnd
#endif
#if HEAP == 5
struct region { uint8_t *start; size_t bytes; };
static uint8_t area[7000];
static const struct region regions[] = {{area + 3, 1490}, {area + 1601, 4990}, {0, 0}};
#else
static uint8_t ucHeap[ROOM];
#endif

static struct block *coded(struct block *p) { return (struct block *)((uintptr_t)p ^ xHeapCanary); }
static uintptr_t up(uintptr_t x) { return (x + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1); }

static struct block *add_run(struct block *before, uint8_t *memory, size_t bytes)
{
    struct block *first = (struct block *)up((uintptr_t)memory);
#if HEAP == 2
    struct block *end = &xEnd;
    first->size = bytes - ALIGN;
    end->size = bytes - ALIGN;
#else
    struct block *end = (struct block *)(((uintptr_t)memory + bytes - HEAD) & ~(uintptr_t)(ALIGN - 1));
    first->size = (size_t)((uint8_t *)end - (uint8_t *)first);
    end->size = 0;
    pxEnd = end;
#endif
    first->next = coded(end);
    end->next = coded(NULL);
    before->next = coded(first);
    xFreeBytesRemaining += first->size;
    return end;
}

static void set_up(void)
{
#if CANARY
    xHeapCanary = CANARY;
#endif
#if HEAP == 5
    struct block *end = &xStart;
    for (const struct region *r = regions; r->bytes; r++)
        end = add_run(end, r->start, r->bytes);
#else
    add_run(&xStart, ucHeap, sizeof ucHeap);
#endif
}

static void put(struct block *b)
{
    struct block *at = &xStart;
#if HEAP == 2
    while (coded(at->next) != pxLast && coded(at->next)->size < b->size)
        at = coded(at->next);
#else
    while (coded(at->next) < b)
        at = coded(at->next);
    if (at != &xStart && (uint8_t *)at + at->size == (uint8_t *)b) {
        at->size += b->size;
        b = at;
    }
    if (b != at)
        b->next = at->next, at->next = coded(b);
    struct block *after = coded(b->next);
    if (after != pxLast && after->size && (uint8_t *)b + b->size == (uint8_t *)after) {
        b->size += after->size;
        b->next = after->next;
    }
    return;
#endif
    b->next = at->next;
    at->next = coded(b);
}

void *own_malloc(size_t n);
void *own_malloc(size_t n)
{
    if (!xStart.next)
        set_up();
    n = up(n + HEAD);
    struct block *before = &xStart, *b;
    while ((b = coded(before->next)) != pxLast && b->size < n)
        before = b;
    if (b == pxLast)
        return NULL;
    before->next = b->next;
#ifdef LEFT_OUT /* up to 10.5 the end of a region that has nothing free is on no list */
    if (coded(before->next) != pxLast && !coded(before->next)->size)
        before->next = coded(before->next)->next;
#endif
    if (b->size - n > LEAST) {
        struct block *rest = (struct block *)((uint8_t *)b + n);
        rest->size = b->size - n;
        b->size = n;
        put(rest);
    }
    xFreeBytesRemaining -= b->size;
    b->size |= IN_USE;
    b->next = coded(NULL);
    return (uint8_t *)b + HEAD;
}

void own_free(void *p);
void own_free(void *p)
{
    struct block *b = (struct block *)((uint8_t *)p - HEAD);
    b->size &= ~IN_USE;
    xFreeBytesRemaining += b->size;
    put(b);
}

struct mallinfo own_mallinfo(void);
struct mallinfo own_mallinfo(void) { return (struct mallinfo){.fordblks = xFreeBytesRemaining}; }
