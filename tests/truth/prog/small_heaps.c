/* Heaps laid out in memory as five small allocators lay out theirs, for the sample firmware. Independent writers: they know where
 * the numbers go, not how the originals work. KIND 1 umm_malloc, 2 lwIP's mem, 3 ThreadX's byte pool, 4 lwIP's pools, 5 Zephyr's
 * memory slab. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

void *own_malloc(size_t n);
void own_free(void *p);
struct mallinfo own_mallinfo(void);

#if KIND <= 3
/* One ordered row of chunks of a heap; first fit, neighbours are joined. The kinds differ in what a chunk's head says. */
enum { TOTAL = 9000, UNIT = KIND == 1 ? 8 : 4, HEAD = KIND == 1 ? 4 : 8, LEAST = KIND == 1 ? 8 : 20 };
static _Alignas(8) uint8_t memory[TOTAL + 64];
static int ready;
#endif

#if KIND == 1
struct umm_heap_config { void *heap; size_t bytes; uint16_t blocks; } umm_heap_current;
enum { LAST = TOTAL / 8 + 1 };
static uint16_t *word(unsigned b, unsigned k) { return (uint16_t *)(memory + 8 * b) + k; }
static unsigned first(void) { return 1; }
static int is_end(unsigned c) { return c == LAST; }
static unsigned next(unsigned c) { return *word(c, 0) & 0x7fff; }
static unsigned size(unsigned c) { return 8 * (next(c) - c); }
static int is_free(unsigned c) { return *word(c, 0) >> 15; }
static void *user(unsigned c) { return memory + 8 * c + 4; }
static unsigned chunk(void *p) { return (unsigned)((uint8_t *)p - memory) / 8; }
static void join(unsigned c, unsigned to) { *word(c, 0) = (uint16_t)((*word(c, 0) & 0x8000) | to); *word(to, 1) = (uint16_t)c; }
static void cut(unsigned c, unsigned bytes) { unsigned n = c + bytes / 8, to = next(c); *word(n, 0) = 0x8000; join(n, to); join(c, n); }
static void mark(unsigned c, int f) { *word(c, 0) = (uint16_t)(next(c) | (f ? 0x8000u : 0)); }
static void set_up(void) { umm_heap_current = (struct umm_heap_config){memory, 8 * (LAST + 1), LAST + 1}; *word(0, 0) = 1; join(1, LAST); mark(1, 1); }
static void lists(void)
{
    unsigned last = 0;
    for (unsigned c = 1; !is_end(c); c = next(c))
        if (is_free(c))
            *word(last, 2) = (uint16_t)c, *word(c, 3) = (uint16_t)last, last = c;
    *word(last, 2) = 0, *word(0, 3) = (uint16_t)last;
}
#elif KIND == 2
struct mem { uint16_t next, prev; uint8_t used; };
static uint8_t *ram;
static struct mem *ram_end __attribute__((used)), *lfree __attribute__((used)); /* the original reads them */
static struct mem *at(unsigned c) { return (struct mem *)(ram + c); }
static unsigned first(void) { return 0; }
static int is_end(unsigned c) { return c == TOTAL; }
static unsigned next(unsigned c) { return at(c)->next; }
static unsigned size(unsigned c) { return next(c) - c; }
static int is_free(unsigned c) { return !at(c)->used; }
static void *user(unsigned c) { return ram + c + HEAD; }
static unsigned chunk(void *p) { return (unsigned)((uint8_t *)p - ram) - HEAD; }
static void join(unsigned c, unsigned to) { at(c)->next = (uint16_t)to; if (to != TOTAL) at(to)->prev = (uint16_t)c; }
static void cut(unsigned c, unsigned bytes) { unsigned n = c + bytes, to = next(c); at(n)->used = 0; join(n, to); join(c, n); }
static void mark(unsigned c, int f) { at(c)->used = !f; }
static void set_up(void) { ram = memory; ram_end = at(TOTAL); *ram_end = (struct mem){TOTAL, TOTAL, 1}; join(0, TOTAL); }
static void lists(void)
{
    unsigned c = 0;
    while (!is_end(c) && !is_free(c))
        c = next(c);
    lfree = at(c);
}
#elif KIND == 3
struct pool {
    uint32_t id; const char *name; uint32_t available; unsigned fragments; uint8_t *list, *search, *start; uint32_t size;
    void *owner, *waiting; unsigned waits; struct pool *next, *previous;
};
static struct pool pool;
struct pool *_tx_byte_pool_created_ptr;
static uint32_t *at(unsigned c) { return (uint32_t *)(memory + c); }
static unsigned first(void) { return 0; }
static int is_end(unsigned c) { return c == TOTAL; }
static unsigned next(unsigned c) { return at(c)[0] - (uintptr_t)memory; }
static unsigned size(unsigned c) { return next(c) - c; }
static int is_free(unsigned c) { return at(c)[1] == 0xffffeeee; }
static void *user(unsigned c) { return memory + c + HEAD; }
static unsigned chunk(void *p) { return (unsigned)((uint8_t *)p - memory) - HEAD; }
static void join(unsigned c, unsigned to) { at(c)[0] = (uintptr_t)memory + to; }
static void cut(unsigned c, unsigned bytes) { unsigned n = c + bytes, to = next(c); at(n)[1] = 0xffffeeee; join(n, to); join(c, n); }
static void mark(unsigned c, int f) { at(c)[1] = f ? 0xffffeeee : (uintptr_t)&pool; }
static void set_up(void)
{
    pool = (struct pool){0x42595445, "weather", 0, 2, memory, memory, memory, TOTAL + 8, 0, 0, 0, &pool, &pool};
    _tx_byte_pool_created_ptr = &pool;
    join(0, TOTAL), mark(0, 1);
    at(TOTAL)[0] = (uintptr_t)memory, at(TOTAL)[1] = (uintptr_t)&pool;
}
static void lists(void)
{
    pool.available = 0;
    for (unsigned c = 0; !is_end(c); c = next(c))
        pool.available += is_free(c) ? size(c) : 0;
}
#endif

#if KIND <= 3
void *own_malloc(size_t n)
{
    unsigned need = (unsigned)(n + HEAD + UNIT - 1) / UNIT * UNIT;
    need = need < LEAST ? LEAST : need;
    if (!ready)
        set_up(), ready = 1;
    for (unsigned c = first(); !is_end(c); c = next(c)) {
        if (!is_free(c) || size(c) < need)
            continue;
        if (size(c) - need >= LEAST)
            cut(c, need);
        mark(c, 0);
        lists();
        return user(c);
    }
    return NULL;
}

void own_free(void *p)
{
    unsigned c = chunk(p), before = first();
    mark(c, 1);
    if (!is_end(next(c)) && is_free(next(c)))
        join(c, next(next(c)));
    while (before != c && next(before) != c)
        before = next(before);
    if (before != c && is_free(before))
        join(before, next(c));
    lists();
}

struct mallinfo own_mallinfo(void)
{
    struct mallinfo mi = {0};
    for (unsigned c = first(); !is_end(c); c = next(c))
        mi.fordblks += is_free(c) ? (int)(size(c) - HEAD) : 0;
    return mi;
}
#else
/* Equal elements of three sizes. */
enum { POOLS = 3 };
static const uint16_t sizes[POOLS] = {24, 48, 112}, counts[POOLS] = {120, 40, 20};
static _Alignas(8) uint8_t memory[24 * 120 + 48 * 40 + 112 * 20];
static void *list[POOLS];
static uint8_t *base(int k) { uint8_t *p = memory; while (k--) p += sizes[k] * counts[k]; return p; }
#if KIND == 4
struct memp_desc { uint16_t size, num; uint8_t *base; void **tab; };
static const struct memp_desc memp_reading = {24, 120, memory, &list[0]}, memp_packet = {48, 40, memory + 24 * 120, &list[1]}, memp_buffer = {112, 20, memory + 24 * 120 + 48 * 40, &list[2]};
const struct memp_desc *const memp_pools[POOLS] = {&memp_reading, &memp_packet, &memp_buffer};
static const struct memp_desc *const *volatile known = memp_pools;
#define HEAD_OF(k) list[k]
#define USED(k, n) (void)known
#else
struct k_mem_slab { void *waiting[2]; uint8_t *buffer; void *free_list; uint32_t num_blocks; size_t block_size; uint32_t num_used; };
static struct k_mem_slab slabs[POOLS];
#define HEAD_OF(k) slabs[k].free_list
#define USED(k, n) (slabs[k].num_used += (uint32_t)(n))
#endif

void *own_malloc(size_t n)
{
    static int ready;
    for (int k = 0; !ready && k < POOLS; k++) {
#if KIND == 5
        slabs[k] = (struct k_mem_slab){{&slabs[k], &slabs[k]}, base(k), NULL, counts[k], sizes[k], 0};
#endif
        for (int i = 0; i < counts[k]; i++) {
            void **e = (void **)(base(k) + i * sizes[k]);
            *e = HEAD_OF(k);
            HEAD_OF(k) = e;
        }
    }
    ready = 1;
    int k = n <= 24 ? 0 : n <= 48 ? 1 : 2;
    void **e = HEAD_OF(k);
    HEAD_OF(k) = *e;
    USED(k, 1);
    return e;
}

void own_free(void *p)
{
    int k = 0;
    while (k + 1 < POOLS && (uint8_t *)p >= base(k + 1))
        k++;
    *(void **)p = HEAD_OF(k);
    HEAD_OF(k) = p;
    USED(k, -1);
}

struct mallinfo own_mallinfo(void)
{
    struct mallinfo mi = {0};
    for (int k = 0; k < POOLS; k++)
        for (void **e = HEAD_OF(k); e; e = *e)
            mi.fordblks += sizes[k];
    (void)list;
    return mi;
}
#endif
