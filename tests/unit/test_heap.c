/* The heap room against a naive search: random layouts with nested regions, odd granules, huge blocks, the top of the
 * address space; the builder's refusals and sums. */
#include <time.h>

#include "analyzer/heap/builder.h"
#include "analyzer/heap/where.h"
#include "tests/tap.h"

static uint64_t seed = 88172645463325252ull;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}
static uint64_t below(uint64_t n) { return n ? rnd() % n : 0; }

/* What the test itself knows: regions with their blocks, in a tree of at most three levels. */
struct blk {
    uint64_t addr, size;
    enum hr_state state;
    int region, depth;
};
struct reg {
    uint64_t addr, size;
    int level, arena;
    size_t b0, nb;
};
static struct blk *blks;
static size_t nblks;
static struct reg regs[4096];
static int nregs;
static const uint8_t shifts[3] = {4, 3, 2};

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    for (size_t i = regs[cookie].b0; i < regs[cookie].b0 + regs[cookie].nb; i++)
        HR_TRY(hr_emit(b, blks[i].addr, blks[i].size, blks[i].state));
    return HR_OK;
}

static void fill(int r, uint64_t huge)
{
    struct reg *g = &regs[r];
    uint64_t gran = 1ull << shifts[g->level], a = (g->addr + gran - 1) & ~(gran - 1), end = g->addr + g->size;
    g->b0 = nblks;
    for (int k = 0; k < 3000 && a < end; k++) {
        uint64_t gap = below(4) ? 0 : below(20) ? gran * below(8) : below(2 << 20) & ~(gran - 1);
        uint64_t size = below(50) ? below(300) : below(20) ? below(200000) : huge;
        if (!below(40))
            size = (size + gran - 1) & ~(gran - 1); /* touches the next one */
        a += gap;
        if (a > end || size > end - a)
            break;
        if (a == end && size)
            break;
        blks[nblks++] = (struct blk){a, size, (enum hr_state)below(3), r, g->level};
        a += size ? (size + gran - 1) & ~(gran - 1) : gran;
        if (a < gran)
            break;
    }
    g->nb = nblks - g->b0;
}

static void nest(int r)
{
    size_t b0 = regs[r].b0, nb = regs[r].nb;
    for (size_t i = b0; i < b0 + nb; i++) {
        if (blks[i].size < 600 || below(3))
            continue;
        uint64_t off = 0;
        blks[i].state = HR_USED;
        while (off + 128 < blks[i].size && nregs < 4000 && below(4)) {
            off = below(3) ? off + below(100) : off;
            uint64_t size = below(3) ? 1 + below(blks[i].size - off) : blks[i].size - off;
            if (size > blks[i].size - off || !size)
                break;
            if (size > 2000 && below(2))
                size = 2000;
            regs[nregs] = (struct reg){blks[i].addr + off, size, regs[r].level + 1, 0, 0, 0};
            off += size;
            nregs++;
        }
    }
}

static size_t naive(uint64_t addr)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < nblks; i++) {
        const struct blk *c = &blks[i];
        if (addr < c->addr || addr - c->addr > c->size)
            continue;
        if (best == SIZE_MAX) {
            best = i;
            continue;
        }
        const struct blk *o = &blks[best];
        /* Deeper wins; at one depth the later start wins (one past the end of the other). */
        if (c->depth > o->depth || (c->depth == o->depth && c->addr > o->addr))
            best = i;
    }
    return best;
}

static struct hr_image img;
static struct hr_notes notes;

static struct hr_builder *new_builder(uint16_t *al, uint32_t *ar)
{
    static const char *const names[3] = {"outer", "middle", "inner"};
    struct hr_builder *b = NULL;
    bool ok = hr_builder_create(&img, &b) == HR_OK;
    for (int i = 0; i < 3 && ok; i++) {
        struct hr_allocator_info info = {.name = names[i]};
        ok &= hr_builder_allocator(b, &info, shifts[i], &al[i]) == HR_OK;
        struct hr_arena a = {.allocator = al[i]};
        ok &= hr_builder_arena(b, &a, &ar[i]) == HR_OK;
    }
    if (!ok)
        abort();
    return b;
}

static bool sums_hold(const struct hr_heap *h)
{
    bool ok = true;
    for (size_t i = 0; i < h->arenas.n; i++) {
        const struct hr_arena *a = &h->arenas.v[i];
        ok &= a->used_bytes + a->cached_bytes + a->free_bytes + a->own_bytes + a->overhead_bytes == a->mapped &&
              a->overhead_bytes <= a->mapped;
    }
    return ok;
}

static int by_addr(const void *a, const void *b)
{
    const struct blk *x = a, *y = b;
    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    return x->depth - y->depth;
}

/* Naive inner blocks may reach past their region only if we made them so; the builder keeps all of ours. */
static void compare(const struct hr_heap *h, const char *what)
{
    struct blk *sorted = malloc(nblks * sizeof *sorted + 1);
    memcpy(sorted, blks, nblks * sizeof *sorted);
    qsort(sorted, nblks, sizeof *sorted, by_addr);
    EQ(h->n, nblks, "%s: all blocks kept", what);
    bool same = h->n == nblks, sizes = true;
    struct hr_block_iter it = hr_block_iter(h, 0);
    for (hr_id i = 0; i < h->n && same; i++) {
        same &= hr_block_addr(h, i) == sorted[i].addr && hr_block_next(&it) == sorted[i].addr;
        sizes &= hr_block_size(h, i) == sorted[i].size;
    }
    OK(same, "%s: ids in address order, addresses by id and by iteration", what);
    OK(sizes, "%s: sizes", what);
    bool found = true;
    int said = 0;
    for (int k = 0; k < 30000 && nblks; k++) {
        const struct blk *c = &blks[below(nblks)];
        uint64_t addr = c->addr;
        switch (below(6)) {
        case 0: addr += c->size; break;
        case 1: addr += below(c->size + 40); break;
        case 2: addr -= below(40); break;
        case 3: addr = regs[below((uint64_t)nregs)].addr + (below(2) ? 0 : regs[below((uint64_t)nregs)].size); break;
        case 4: addr += c->size + 1; break;
        default: break;
        }
        size_t want = naive(addr);
        uint64_t into = 77;
        hr_id got = hr_heap_at(h, addr, &into);
        bool ok = want == SIZE_MAX ? got == HR_NONE
                                   : got != HR_NONE && hr_block_addr(h, got) == blks[want].addr &&
                                         hr_block_size(h, got) == blks[want].size && into == addr - blks[want].addr;
        if (!ok && said++ < 5)
            printf("# 0x%" PRIx64 ": want 0x%" PRIx64 " size %" PRIu64 " depth %d, got id %u\n", addr,
                   want == SIZE_MAX ? 0 : blks[want].addr, want == SIZE_MAX ? 0 : blks[want].size,
                   want == SIZE_MAX ? -1 : blks[want].depth, got);
        found &= ok;
    }
    OK(found, "%s: 30000 lookups equal the naive search", what);
    OK(sums_hold(h), "%s: used + cached + free + own + overhead = mapped", what);
    free(sorted);
}

static void layout(int ntop, uint64_t base, uint64_t stride, uint64_t size, uint64_t huge, bool top, const char *what)
{
    nblks = 0;
    nregs = 0;
    for (int i = 0; i < ntop; i++) {
        uint64_t a = top && i == ntop - 1 ? 0 - size - 1 : base + (uint64_t)i * stride + (below(2) ? 0 : below(4096));
        regs[nregs++] = (struct reg){a, size, 0, 0, 0, 0};
    }
    for (int r = 0; r < nregs; r++) {
        fill(r, regs[r].level ? 1000 : huge);
        if (regs[r].level < 2)
            nest(r);
    }
    uint16_t al[3];
    uint32_t ar[3];
    struct hr_builder *b = new_builder(al, ar);
    bool ok = true;
    for (int r = nregs - 1; r >= 0; r--)
        ok &= hr_builder_region(b, regs[r].addr, regs[r].size, ar[regs[r].level], walk, NULL, (uint64_t)r) == HR_OK;
    struct hr_heap *h = NULL;
    OK(ok && hr_builder_run(b, &h) == HR_OK, "%s: built with %d regions", what, nregs);
    compare(h, what);
    hr_heap_destroy(h);
    hr_builder_destroy(b);
}

/* ---- what the builder refuses ---- */

static enum hr_status walk_bad(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    HR_TRY(hr_emit(b, cookie + 0x10, 0x18, HR_USED));
    HR_TRY(hr_emit(b, cookie + 0x20, 8, HR_USED));      /* overlaps */
    HR_TRY(hr_emit(b, cookie + 0x38, 8, HR_USED));      /* misaligned */
    HR_TRY(hr_emit(b, cookie + 0x1000, 8, HR_USED));    /* outside */
    HR_TRY(hr_emit(b, cookie + 0xff0, UINT64_MAX, HR_USED));
    return hr_emit(b, cookie + 0x40, 0x800, HR_CACHED); /* holds the nested one of level 1 */
}
static enum hr_status walk_one(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    return hr_emit(b, cookie, 16, HR_USED);
}

static void test_refusals(void)
{
    uint16_t al[3];
    uint32_t ar[3];
    struct hr_builder *b = new_builder(al, ar);
    EQ(hr_builder_region(b, 0x1000, 0, ar[0], walk_bad, NULL, 0), HR_CORRUPT, "empty region refused");
    EQ(hr_builder_region(b, UINT64_MAX - 10, 100, ar[0], walk_bad, NULL, 0), HR_CORRUPT, "wrapping region refused");
    EQ(hr_builder_region(b, 0x1000, 8, 99, walk_bad, NULL, 0), HR_CORRUPT, "unknown arena refused");
    bool ok = hr_builder_region(b, 0x10000, 0x1000, ar[0], walk_bad, NULL, 0x10000) == HR_OK &&
              hr_builder_region(b, 0x10800, 0x1000, ar[1], walk_one, NULL, 0x10800) == HR_OK && /* crosses */
              hr_builder_region(b, 0x10100, 0x100, ar[1], walk_one, NULL, 0x10100) == HR_OK && /* in a freed block */
              hr_builder_region(b, 0x10900, 0x100, ar[1], walk_one, NULL, 0x10900) == HR_OK && /* in no block */
              hr_builder_region(b, 0x10a00, 0x100, ar[0], walk_one, NULL, 0x10a00) == HR_OK;   /* same allocator */
    OK(ok, "declared");
    struct hr_heap *h = NULL;
    EQ(hr_builder_run(b, &h), HR_OK, "runs");
    EQ(h->n, 3, "two good blocks and the one of the region in no block");
    EQ(h->state[0], HR_USED, "a used one");
    EQ(h->state[1], HR_CACHED, "a cached one is no host");
    EQ(hr_block_addr(h, 2), 0x10900, "nested region in no block is looked at on its own");
    OK(hr_notes_has(&notes, "heap.block.dropped") && hr_notes_has(&notes, "heap.region.dropped"), "both noted");
    EQ(h->arenas.v[1].mapped, 0x100, "dropped regions do not count as mapped");
    OK(sums_hold(h), "sums");
    hr_heap_destroy(h);
    hr_builder_destroy(b);
}

static void test_torture(void)
{
    bool ok = true;
    uint64_t nth = 1;
    for (;; nth++) {
        struct hr_builder *b = NULL;
        struct hr_heap *h = NULL;
        hr_mem_fail(nth, false);
        uint16_t al;
        uint32_t ar;
        struct hr_allocator_info info = {.name = "outer"};
        enum hr_status st = hr_builder_create(&img, &b);
        st = st ? st : hr_builder_allocator(b, &info, 4, &al);
        struct hr_arena a = {.allocator = 0};
        st = st ? st : hr_builder_arena(b, &a, &ar);
        st = st ? st : hr_builder_region(b, 0x10000, 0x1000, ar, walk_one, NULL, 0x10000);
        st = st ? st : hr_builder_run(b, &h);
        ok &= st == HR_OK || st == HR_NOMEM;
        hr_heap_destroy(h);
        hr_builder_destroy(b);
        if (st == HR_OK)
            break;
    }
    hr_mem_fail(0, false);
    OK(ok && nth > 5, "each of %d allocations failing in turn is survived", (int)nth);
}

/* ---- speed and memory: the numbers are printed, the bounds generous (a shared machine) ---- */

static enum hr_status walk_dense(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    uint64_t s = cookie | 1;
    for (uint64_t a = cookie + 16; a + 100 < cookie + (64 << 20);) {
        s = s * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t n = 24 + (s >> 60) * 16;
        HR_TRY(hr_emit(b, a, n, HR_USED));
        a += n + 8;
    }
    return HR_OK;
}

static void test_speed(void)
{
    uint16_t al[3];
    uint32_t ar[3];
    struct hr_builder *b = new_builder(al, ar);
    bool ok = true;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t a = i < 2 ? 0x555500000000 + (i << 26) : 0x7f0000000000 + (i << 30);
        ok &= hr_builder_region(b, a, 64 << 20, ar[0], walk_dense, NULL, a) == HR_OK;
    }
    struct hr_heap *h = NULL;
    clock_t t0 = clock();
    OK(ok && hr_builder_run(b, &h) == HR_OK, "256 MiB built");
    double built = (double)(clock() - t0) / CLOCKS_PER_SEC;
    enum { N = 1 << 20 };
    uint64_t *q = malloc(N * 8), sum = 0;
    for (size_t i = 0; i < N; i++)
        q[i] = hr_block_addr(h, (hr_id)below(h->n)) + (below(2) ? 0 : 8);
    t0 = clock();
    for (size_t i = 0; i < N; i++)
        sum += hr_heap_at(h, q[i], NULL);
    double t = (double)(clock() - t0) / CLOCKS_PER_SEC;
    uint64_t index = h->where.nlines * 64 + h->where.nslots * sizeof *h->where.slot + h->where.page.n * 4 +
                     h->pieces.n * sizeof *h->pieces.v;
    printf("# %u blocks, build %.0f ns each; %.1f M random lookups/s; index %.2f %% of the heap (sum %" PRIu64 ")\n", h->n,
           built * 1e9 / h->n, N / t / 1e6, 100.0 * (double)index / (double)(256 << 20), sum);
    OK(index * 100 <= 256ull << 20, "index within 1 %% of the heap");
    OK(N / t > 1e6, "more than a million lookups a second even here");
    free(q);
    hr_heap_destroy(h);
    hr_builder_destroy(b);
}

int main(void)
{
    blks = malloc(sizeof *blks * 4096 * 3000);
    hr_notes_init(&notes);
    img.notes = &notes;
    nblks = 0;
    layout(1, 0x10000, 0, 0x1000, 50, false, "16-bit corner");
    layout(3, 0, 0x11000, 1 << 16, 3000, false, "from address 0");
    layout(6, 0x7f0000000000, 1 << 26, 1 << 20, 70000, false, "six sparse");
    layout(40, 0x555555550000, 0x21000, 0x20000, 5000, false, "forty in neighbouring slots");
    layout(3, 0x100000000, 0x2000000000, 0x1800000000, 0x140000000, false, "blocks of 5 GiB");
    layout(3, 0xfffffff000000000, 1 << 26, 1 << 19, 4000, true, "top of the address space");
    layout(1, 0, 0, UINT64_MAX - 1, UINT64_MAX / 4, false, "one region over everything");
    test_refusals();
    test_torture();
    test_speed();
    hr_notes_deinit(&notes);
    free(blks);
    return tap_done();
}
