/* A heap laid out in memory as TLSF 3.1 lays out its own, for the sample firmware. An independent writer: it knows the control block, the
 * lists by size and the flags, not the original's code (any list that fits is taken). POOLS 2: a second pool far from the first. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

#ifndef POOLS
#define POOLS 1
#endif
enum { FREE = 1, BEFORE_FREE = 2, FL = 24, SL = 32, LEAST = 12 };
struct block { struct block *before; size_t size; struct block *next, *prev; };
static struct { struct block null; uint32_t fl, sl[FL]; struct block *list[FL][SL]; uint8_t pool[POOLS == 2 ? 3600 : 6800]; } heap;
#if POOLS == 2
static uint8_t between[200];
static uint32_t second[900];
#endif
static size_t free_bytes;

static size_t size_of(const struct block *b) { return b->size & ~(size_t)3; }
static struct block *after(struct block *b) { return (struct block *)((uint8_t *)b + sizeof(size_t) + size_of(b)); }

static void place(size_t n, unsigned *fl, unsigned *sl)
{
    unsigned bits = 32 - (unsigned)__builtin_clz(n);
    *fl = n < 128 ? 0 : bits - 7;
    *sl = n < 128 ? n / 4 : n >> (bits - 6) & 31;
}

static void put(struct block *b)
{
    unsigned fl, sl;
    place(size_of(b), &fl, &sl);
    b->next = heap.list[fl][sl];
    b->prev = &heap.null;
    b->next->prev = b; /* the null block's, too */
    heap.list[fl][sl] = b;
    heap.fl |= 1u << fl;
    heap.sl[fl] |= 1u << sl;
    b->size |= FREE;
    after(b)->before = b;
    after(b)->size |= BEFORE_FREE;
    free_bytes += size_of(b);
}

static void take(struct block *b)
{
    unsigned fl, sl;
    place(size_of(b), &fl, &sl);
    b->next->prev = b->prev;
    b->prev->next = b->next;
    if (heap.list[fl][sl] == b) {
        heap.list[fl][sl] = b->next;
        if (b->next == &heap.null && !(heap.sl[fl] &= ~(1u << sl)))
            heap.fl &= ~(1u << fl);
    }
    heap.null.next = &heap.null;
    b->size &= ~(size_t)FREE;
    after(b)->size &= ~(size_t)BEFORE_FREE;
    free_bytes -= size_of(b);
}

static void add_pool(void *memory, size_t bytes)
{
    struct block *b = (struct block *)((uint8_t *)memory - sizeof(size_t));
    b->size = (bytes - 2 * sizeof(size_t)) & ~(size_t)3;
    after(b)->size = 0;
    put(b);
}

void *own_malloc(size_t n);
void *own_malloc(size_t n)
{
    if (!heap.null.next) {
        heap.null.next = heap.null.prev = &heap.null;
        for (unsigned i = 0; i < FL * SL; i++)
            heap.list[i / SL][i % SL] = &heap.null;
        add_pool(heap.pool, sizeof heap.pool);
#if POOLS == 2
        between[7] = 1;
        add_pool(second, sizeof second);
#endif
    }
    n = n < LEAST ? LEAST : (n + 3) & ~(size_t)3;
    struct block *best = NULL;
    for (unsigned i = 0; i < FL * SL && !best; i++)
        for (struct block *b = heap.list[i / SL][i % SL]; b != &heap.null && !best; b = b->next)
            best = size_of(b) >= n ? b : NULL;
    if (!best)
        return NULL;
    take(best);
    size_t rest = size_of(best) - n;
    if (rest >= LEAST + sizeof(size_t)) {
        best->size = n | (best->size & 3);
        struct block *r = after(best);
        r->size = rest - sizeof(size_t);
        put(r);
    }
    return (uint8_t *)best + 2 * sizeof(size_t);
}

void own_free(void *p);
void own_free(void *p)
{
    struct block *b = (struct block *)((uint8_t *)p - 2 * sizeof(size_t)), *n = after(b);
    if (n->size & FREE) {
        take(n);
        b->size += size_of(n) + sizeof(size_t);
    }
    if (b->size & BEFORE_FREE) {
        struct block *was = b->before;
        take(was);
        was->size += size_of(b) + sizeof(size_t);
        b = was;
    }
    put(b);
}

struct mallinfo own_mallinfo(void);
struct mallinfo own_mallinfo(void) { return (struct mallinfo){.fordblks = free_bytes}; }
