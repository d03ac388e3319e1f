/* A program that knows its own leaks: the truth the end-to-end tests compare with.
 *
 *     planted SEED LIVE LEAKS ARENAS TRUTH MALLOCINFO tlslib.so|- stop|abort
 *
 * It fills ARENAS malloc arenas (one thread each) with about LIVE live blocks and LEAKS leaked ones of many shapes, frees
 * others, and stops. For each block it writes a struct record to TRUTH: address (masked), usable size, what is true of it.
 *
 * WHAT MAKES IT A TRUTH. Outside the place that a record names, no word of the process may hold a pointer to that block.
 * So pointers are kept XORed with MASK everywhere else (the records too), each block is filled with a pattern that is no address
 * (memory from malloc carries old list pointers), freed blocks are filled before they are freed, and everything that handles
 * plain pointers is a noinline function whose stack is overwritten by scrub() afterwards. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define MASK 0x9e3779b97f4a7c15ull

enum { MAX_ARENAS = 16, SLOTS = 62, FEW = 24, KEYS = 40, NODES = 64, FILL = 0xc3, FILL_MAX = 1 << 14 };
#ifdef __x86_64__
enum { REGS = 5 };
#else
enum { REGS = 0 }; /* wait_with_registers() has code for one machine */
#endif

/* What is true of a block; test_leaks.py has the same list. */
enum kind {
    PLAIN, INTERIOR, LOWTAG, PAST_END, TLS_STATIC, TLS_DYNAMIC, REGISTER, RAW_MMAP, STACK, SPECIFIC_1, SPECIFIC_2, SO_DATA,
    LIVE_CHILD, DEAD_STACK, CACHED_REF,
    DIRECT = 20, INDIRECT, CYCLE, SELF,
    CACHED = 30, FREED, /* FREED: later records may say that it was handed out again */
};

struct record {
    uint64_t masked;
    uint32_t usable;
    uint8_t kind, arena;
    uint16_t ring;   /* nodes of the ring it belongs to, 0 none */
    uint32_t group;  /* leaks: number of the planted shape */
    uint32_t spare;
};

struct page { /* live blocks hang on chains of these, one chain an arena */
    struct page *next;
    void *slot[SLOTS];
};

struct worker {
    uint64_t rng;
    unsigned arena;
    long live, leaks;
    struct record *record; /* raw mapping */
    size_t records;
    unsigned group;
    uint64_t node[NODES];  /* masked: the shape being built */
    uint64_t *temp;        /* masked, raw mapping: blocks that will be freed */
    size_t temps;
    uint64_t gift[4];      /* masked: blocks of the main arena this thread frees */
    struct page **page;    /* where the chain ends; points into a live page or root[] */
    unsigned used;         /* slots used in the last page */
};

static struct page *root[MAX_ARENAS];
static struct worker worker[MAX_ARENAS];
static void *volatile *raw;              /* raw mapping: SLOTS words an arena */
static pthread_key_t key[KEYS];
static __thread void *volatile tls_slot[FEW];
static void *volatile *(*tls_dynamic)(void);  /* of tlslib.so: this thread's own slots */
static void *volatile *so_data;
static atomic_uint settled;
static unsigned arenas;

static uint64_t rnd(struct worker *w)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng;
}

static unsigned below(struct worker *w, unsigned n) { return (unsigned)(rnd(w) >> 33) % n; }

static void *raw_map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        _exit(9);
    return p;
}

/* Overwrites what the calls before left below our caller's frame. */
static NOINLINE void scrub(void)
{
    volatile char junk[48 << 10];
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = 0;
}

static void fill(void *p, size_t n) { memset(p, FILL, n < FILL_MAX ? n : FILL_MAX); }

static unsigned pick_size(struct worker *w, int leak)
{
    unsigned r = below(w, 1000);
    unsigned n = r < 600 ? 1 + below(w, 120) : r < 970 ? 16 + below(w, 240) : r < 998 ? 64 + below(w, 4000) : below(w, 60000);
    if (leak && r == 999)
        n = (132 << 10) + below(w, 200000); /* an mmapped chunk in any arena's thread */
    if (n > 968 && n <= 1008)               /* one size class is kept for the tcache (see leave_cached) */
        n = 900;
    return n;
}

static void record(struct worker *w, const void *p, enum kind kind, unsigned group, unsigned ring)
{
    struct record *r = &w->record[w->records++];
    r->masked = (uint64_t)(uintptr_t)p ^ MASK;
    r->usable = (uint32_t)malloc_usable_size((void *)p);
    r->kind = (uint8_t)kind;
    r->arena = (uint8_t)w->arena;
    r->group = group;
    r->ring = (uint16_t)ring;
}

static NOINLINE void *block(size_t n)
{
    void *p = malloc(n);
    if (!p)
        _exit(8);
    fill(p, malloc_usable_size(p));
    return p;
}

/* ---- live blocks ---- */
static void **new_slot(struct worker *w)
{
    if (w->used == SLOTS) {
        struct page *g = block(sizeof *g);
        g->next = NULL;
        *w->page = g;
        w->page = &g->next;
        w->used = 0;
        record(w, g, PLAIN, 0, 0);
    }
    struct page *last = (struct page *)(void *)w->page;
    return &last->slot[w->used++];
}

/* One live block, sometimes with a chain of live ones below it. */
static NOINLINE void plant_live(struct worker *w)
{
    void **at = new_slot(w);
    unsigned chain = below(w, 8) == 0 ? 1 + below(w, 5) : 1;
    while (chain--) {
        size_t n = pick_size(w, 0);
        n = chain && n < 16 ? 16 : n;
        void **p = block(n);
        record(w, p, PLAIN, 0, 0);
        *at = p;
        at = p + 1;
        w->live--;
    }
}

/* A live block that only an odd pointer in a live page reaches, and a child below it. */
static NOINLINE void plant_odd(struct worker *w, enum kind kind)
{
    size_t n = 24 + below(w, 300);
    if (kind == PAST_END && below(w, 2))
        n = n / 16 * 16 + 8; /* the last usable byte is asked for: one past it is the next chunk's header */
    void **at = new_slot(w);
    char *p = block(n), *child = block(40);
    ((void **)p)[1] = child;
    *at = p + (kind == INTERIOR ? 1 + below(w, (unsigned)n - 1) : kind == LOWTAG ? 1 + below(w, 7) : n);
    record(w, p, kind, 0, 0);
    record(w, child, LIVE_CHILD, 0, 0);
    w->live -= 2;
}

static NOINLINE void plant_at(struct worker *w, void *volatile *at, enum kind kind)
{
    void **p = block(16 + below(w, 200)), *child = block(below(w, 90));
    p[1] = child;
    *at = p;
    record(w, p, kind, 0, 0);
    record(w, child, LIVE_CHILD, 0, 0);
    w->live -= 2;
}

static NOINLINE void plant_specific(struct worker *w)
{
    for (unsigned i = 0; i < KEYS; i++) {
        void *p = block(16 + below(w, 100));
        if (pthread_setspecific(key[i], p))
            _exit(7);
        record(w, p, key[i] < 32 ? SPECIFIC_1 : SPECIFIC_2, 0, 0);
    }
}

static NOINLINE void plant_special(struct worker *w)
{
    for (unsigned i = 0; i < FEW; i++) {
        plant_at(w, &tls_slot[i], TLS_STATIC);
        plant_at(w, &raw[w->arena * SLOTS + i], RAW_MMAP);
    }
    void *volatile *dynamic = tls_dynamic ? tls_dynamic() : NULL;
    for (unsigned i = 0; i < FEW && dynamic; i++) {
        plant_at(w, &dynamic[i * 20], TLS_DYNAMIC);
        plant_at(w, &so_data[w->arena * FEW + i], SO_DATA);
    }
    plant_specific(w);
}

/* ---- leaks ---- */
static NOINLINE void node_new(struct worker *w, unsigned i, size_t least, enum kind kind, unsigned ring)
{
    size_t n = pick_size(w, 1);
    void *p = block(n < least ? least + below(w, 64) : n);
    record(w, p, kind, w->group, ring);
    w->node[i] = (uint64_t)(uintptr_t)p ^ MASK;
    w->leaks--;
}

/* node a, word slot := node b (+ into bytes) */
static NOINLINE void node_link(struct worker *w, unsigned a, unsigned slot, unsigned b, unsigned into)
{
    void **from = (void **)(uintptr_t)(w->node[a] ^ MASK);
    from[slot] = (char *)(uintptr_t)(w->node[b] ^ MASK) + into;
}

static void make_ring(struct worker *w, unsigned from, unsigned n, enum kind kind, int both_ways)
{
    for (unsigned i = 0; i < n; i++)
        node_new(w, from + i, 40, kind, n);
    for (unsigned i = 0; i < n; i++) {
        node_link(w, from + i, 1, from + (i + 1) % n, 0);
        if (both_ways)
            node_link(w, from + (i + 1) % n, 2, from + i, 0);
    }
}

static NOINLINE void hold_live(struct worker *w)
{
    void **from = (void **)(uintptr_t)(w->node[0] ^ MASK);
    struct page *g = root[w->arena];
    from[1] = g->slot[below(w, w->page == &g->next ? w->used : SLOTS)]; /* shared with the living */
    from[2] = g;
}

static NOINLINE void plant_leak(struct worker *w)
{
    unsigned n = 2 + below(w, 49), shape = below(w, 12);
    w->group++;
    switch (shape) {
    case 0: case 1: case 2: /* single */
        node_new(w, 0, 0, DIRECT, 0);
        break;
    case 3: /* chain */
        for (unsigned i = 0; i < n; i++)
            node_new(w, i, 16, i ? INDIRECT : DIRECT, 0);
        for (unsigned i = 0; i + 1 < n; i++)
            node_link(w, i, 1, i + 1, 0);
        break;
    case 4: /* binary tree */
        for (unsigned i = 0; i < n; i++)
            node_new(w, i, 24, i ? INDIRECT : DIRECT, 0);
        for (unsigned i = 1; i < n; i++)
            node_link(w, (i - 1) / 2, 1 + i % 2, i, 0);
        break;
    case 5: /* ring */
        make_ring(w, 0, n, CYCLE, 0);
        break;
    case 6: /* doubly linked ring */
        make_ring(w, 0, n, CYCLE, 1);
        break;
    case 7: /* ring with a tail that hangs off it */
        make_ring(w, 0, n, CYCLE, 0);
        node_new(w, n, 16, INDIRECT, 0);
        node_new(w, n + 1, 0, INDIRECT, 0);
        node_link(w, 0, 3, n, 0);
        node_link(w, n, 1, n + 1, 0);
        break;
    case 8: /* a lone block that holds a ring */
        node_new(w, n, 16, DIRECT, 0);
        make_ring(w, 0, n, INDIRECT, 0);
        node_link(w, n, 1, 0, 0);
        break;
    case 9: /* points at itself */
        node_new(w, 0, 16, SELF, 1);
        node_link(w, 0, 1, 0, 0);
        break;
    case 10: /* points at the living */
        node_new(w, 0, 24, DIRECT, 0);
        hold_live(w);
        break;
    case 11: /* a child held only by a pointer into its middle */
        node_new(w, 0, 32, DIRECT, 0);
        node_new(w, 1, 40, INDIRECT, 0);
        node_link(w, 0, 1, 1, 16);
        break;
    }
}

/* ---- freed blocks ---- */
static NOINLINE void plant_temp(struct worker *w)
{
    w->temp[w->temps++] = (uint64_t)(uintptr_t)block(pick_size(w, 0)) ^ MASK;
}

static NOINLINE void release(uint64_t masked)
{
    void *p = (void *)(uintptr_t)(masked ^ MASK);
    fill(p, malloc_usable_size(p));
    free(p);
}

static void free_temps(struct worker *w, size_t keep)
{
    while (w->temps > keep) {
        size_t i = below(w, (unsigned)w->temps);
        uint64_t m = w->temp[i];
        w->temp[i] = w->temp[--w->temps];
        w->record[w->records++] = (struct record){.masked = m, .kind = FREED, .arena = (uint8_t)w->arena};
        release(m);
    }
}

/* Last of all in each thread: blocks that stay in the tcache (seven of a class) and in a fastbin (the rest), one of them with the
 * only pointer to a block that is otherwise lost. */
static NOINLINE void leave_cached(struct worker *w)
{
    uint64_t m[30];
    for (unsigned i = 0; i < 30; i++)
        m[i] = (uint64_t)(uintptr_t)block(i < 4 ? 1000 : 40) ^ MASK;
    void **stale = (void **)(uintptr_t)(m[20] ^ MASK);
    void *lost = block(600);
    record(w, lost, CACHED_REF, 0, 0);
    for (unsigned i = 0; i < 30; i++) {
        record(w, (void *)(uintptr_t)(m[i] ^ MASK), CACHED, 0, 0);
        release(m[i]);
    }
    stale[3] = lost;
    for (unsigned i = 0; i < 3 && w->gift[i]; i++) {
        record(w, (void *)(uintptr_t)(w->gift[i] ^ MASK), CACHED, 0, 0);
        release(w->gift[i]);
    }
}

/* ---- one arena ---- */
static NOINLINE void populate(struct worker *w)
{
    root[w->arena] = block(sizeof(struct page));
    root[w->arena]->next = NULL;
    w->page = &root[w->arena]->next;
    record(w, root[w->arena], PLAIN, 0, 0);
    plant_live(w);
    long specials = w->live / 300 + 20, live = w->live, leaks = w->leaks;
    while (w->live > 0 || w->leaks > 0) {
        /* keep both going in proportion, so that leaks lie between live blocks everywhere */
        if (w->leaks > 0 && (w->live <= 0 || w->leaks * live > w->live * leaks))
            plant_leak(w);
        else if (specials > 0 && below(w, 80) == 0)
            plant_odd(w, INTERIOR + (unsigned)(specials-- % 3));
        else
            plant_live(w);
        if (below(w, 6) == 0)
            plant_temp(w);
        if (w->temps > 2000)
            free_temps(w, 1000);
    }
    plant_special(w);
    free_temps(w, 0);
}

/* A pointer in a frame that is gone. */
static NOINLINE void bury(struct worker *w)
{
    void *volatile junk[1024];
    for (unsigned i = 0; i < 1024; i++)
        junk[i] = NULL;
    junk[10] = block(72);
    record(w, junk[10], DEAD_STACK, 0, 0);
}

static NOINLINE void plant_masked(struct worker *w, uint64_t *ret, enum kind kind)
{
    void *p = block(48);
    record(w, p, kind, 0, 0);
    *ret = (uint64_t)(uintptr_t)p ^ MASK;
}

/* Blocks for ever, with five callee-saved registers as the only holders of five blocks. */
static NOINLINE void wait_with_registers(uint64_t *masked)
{
#ifdef __x86_64__
    __asm__ volatile("mov 0(%0), %%rbx\n\t"
                     "mov 8(%0), %%r12\n\t"
                     "mov 16(%0), %%r13\n\t"
                     "mov 24(%0), %%r14\n\t"
                     "mov 32(%0), %%r15\n\t"
                     "xor %1, %%rbx\n\t"
                     "xor %1, %%r12\n\t"
                     "xor %1, %%r13\n\t"
                     "xor %1, %%r14\n\t"
                     "xor %1, %%r15\n\t"
                     "xor %%edi, %%edi\n\t"
                     "xor %%esi, %%esi\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%r8d, %%r8d\n\t"
                     "xor %%r9d, %%r9d\n\t"
                     "xor %%r10d, %%r10d\n\t"
                     "1: mov $34, %%eax\n\t" /* pause */
                     "syscall\n\t"
                     "jmp 1b"
                     :
                     : "a"(masked), "c"(MASK)
                     : "rbx", "r12", "r13", "r14", "r15", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "memory");
#else
    for (;;)
        pause();
#endif
}

static NOINLINE void unmask_into(void *volatile *to, const uint64_t *masked, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (void *)(uintptr_t)(masked[i] ^ MASK);
}

static NOINLINE void hold(uint64_t *on_stack, uint64_t *in_registers)
{
    void *volatile local[FEW];
    unmask_into(local, on_stack, FEW);
    atomic_fetch_add(&settled, 1);
    wait_with_registers(in_registers);
    (void)local[0];
}

static void *run(void *unused)
{
    (void)unused;
    static atomic_uint next = 1;
    struct worker *w = &worker[atomic_fetch_add(&next, 1)];
    uint64_t on_stack[FEW], in_registers[REGS + 1];
    while (atomic_load(&settled) + 1 < w->arena) /* one after the other: a thread then keeps the arena it was given */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    populate(w);
    for (unsigned i = 0; i < FEW; i++)
        plant_masked(w, &on_stack[i], STACK);
    for (unsigned i = 0; i < REGS; i++)
        plant_masked(w, &in_registers[i], REGISTER);
    leave_cached(w);
    scrub();
    bury(w);
    hold(on_stack, in_registers);
    return NULL;
}

/* ---- the end ---- */
static void write_all(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t k = write(fd, p, n);
        if (k <= 0)
            _exit(6);
        p += k;
        n -= (size_t)k;
    }
}

static NOINLINE void tell(int fd, FILE *info)
{
    static char buffer[1 << 16];
    setvbuf(info, buffer, _IOFBF, sizeof buffer);
    if (malloc_info(0, info) || fflush(info))
        _exit(5);
    for (unsigned i = 0; i < arenas; i++)
        write_all(fd, worker[i].record, worker[i].records * sizeof(struct record));
}

static void load(const char *library)
{
    void *so = dlopen(library, RTLD_NOW);
    if (!so) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(4);
    }
    tls_dynamic = (void *volatile *(*)(void))dlsym(so, "dynamic_slots");
    so_data = dlsym(so, "data_slots");
}

static void prepare(char **argv)
{
    if (strcmp(argv[7], "-") != 0)
        load(argv[7]);
    raw = raw_map(MAX_ARENAS * SLOTS * sizeof *raw);
    for (unsigned i = 0; i < KEYS; i++)
        pthread_key_create(&key[i], NULL);
    for (unsigned i = 0; i < arenas; i++) {
        struct worker *w = &worker[i];
        w->rng = strtoull(argv[1], NULL, 0) * 2654435761u + i * 1000003u + 1;
        w->arena = i;
        w->live = atol(argv[2]) / arenas;
        w->leaks = atol(argv[3]) / arenas;
        w->record = raw_map((size_t)(w->live * 2 + w->leaks * 2 + 60000) * sizeof(struct record));
        w->temp = raw_map(4096 * sizeof *w->temp);
    }
}

static NOINLINE void gifts(void)
{
    for (unsigned i = 1; i < arenas; i++)
        for (unsigned k = 0; k < 3; k++)
            worker[i].gift[k] = (uint64_t)(uintptr_t)block(1000) ^ MASK;
}

int main(int argc, char **argv)
{
    if (argc != 9)
        return 2;
    arenas = (unsigned)atoi(argv[4]);
    if (arenas < 1 || arenas > MAX_ARENAS)
        return 2;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    prepare(argv);
    int fd = open(argv[5], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *info = fopen(argv[6], "w");
    if (fd < 0 || !info)
        return 3;
    gifts();
    for (unsigned i = 1; i < arenas; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, run, NULL))
            return 3;
    }
    while (atomic_load(&settled) + 1 < arenas)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    uint64_t masked[FEW];
    void *volatile local[FEW];
    populate(&worker[0]);
    for (unsigned i = 0; i < FEW; i++)
        plant_masked(&worker[0], &masked[i], STACK);
    leave_cached(&worker[0]);
    unmask_into(local, masked, FEW);
    tell(fd, info);
    scrub();
    write_all(1, "ready\n", 6);
    if (strcmp(argv[8], "abort") == 0)
        abort();
    for (;;)
        pause();
    return local[0] != NULL;
}
