/* The arenas and their memory.
 *
 * main_arena: what sbrk gave, from sbrk_base to the end of top (foreign sbrk areas inside count as the arena's, as glibc
 * itself counts them); once sbrk failed, stretches of mmapped memory beside it. Others: heaps of at most HEAP_MAX_SIZE,
 * aligned to it, each with a heap_info that leads to the arena and to the previous heap. */
#include "analyzer/allocators/glibc.h"

enum {
    MAX_ARENAS = 1 << 16,
    MAX_HEAPS = 1 << 20, /* 64 TiB of 64 MiB heaps */
};

static bool read_arena(const struct glibc *g, uint64_t addr, struct glibc_arena *ret)
{
    const struct glibc_layout *l = &g->l;
    uint64_t flags, head;
    struct glibc_arena a = {.addr = addr};
    if (!hr_image_uint(g->img, addr + l->flags, 4, &flags) || !glibc_word(g, addr + l->top, &a.top) ||
        !glibc_word(g, addr + l->system, &a.system))
        return false;
    a.noncontiguous = flags & 2;
    if (a.top && glibc_word(g, a.top + l->word, &head))
        a.top_size = head & ~(uint64_t)GLIBC_FLAGS;
    *ret = a;
    return true;
}

static bool known(const struct glibc *g, uint64_t addr) { return hr_map_get(&g->seen, addr) != HR_NONE; }

static enum hr_status add_arena(struct glibc *g, struct glibc_arena a)
{
    HR_TRY(hr_map_put(&g->seen, a.addr, (uint32_t)g->arenas.n));
    return glibc_arenavec_push(&g->arenas, a);
}

static uint64_t heap_of(const struct glibc *g, uint64_t addr) { return addr & ~(g->heap_max - 1); }

/* An arena other than main_arena lies right behind its first heap's heap_info. */
static bool is_arena(const struct glibc *g, uint64_t addr)
{
    uint64_t ar;
    return addr - heap_of(g, addr) == g->l.hi_size && glibc_word(g, heap_of(g, addr), &ar) && ar == addr;
}

static enum hr_status ring(struct glibc *g)
{
    uint64_t a = g->bins - g->l.bins, next;
    for (unsigned n = 0; n < MAX_ARENAS && glibc_word(g, a + g->l.next, &next); n++) {
        if (next == g->arenas.v[0].addr)
            return HR_OK;
        struct glibc_arena r;
        if (known(g, next) || !is_arena(g, next) || !read_arena(g, next, &r))
            break;
        HR_TRY(add_arena(g, r));
        a = next;
    }
    hr_glibc_damage(g, GLIBC_BAD_ARENA, a, "the ring of arenas breaks after the one at 0x%llx", (unsigned long long)a);
    return HR_OK;
}

/* Arenas the ring does not name (it is broken, or one was just being made): at every HEAP_MAX_SIZE boundary. */
enum hr_status hr_glibc_stray_arenas(struct glibc *g)
{
    for (size_t i = 0; i < g->img->segs.n; i++) {
        const struct hr_segment *s = &g->img->segs.v[i];
        if (!(s->flags & HR_SEG_W) || s->module != HR_NONE || !s->bytes.n)
            continue;
        uint64_t end = s->addr + (s->bytes.n - 1), heap = s->addr;
        if (heap & (g->heap_max - 1) && (heap = heap_of(g, heap) + g->heap_max) < s->addr)
            continue;
        for (; heap <= end && heap >= s->addr; heap += g->heap_max) {
            struct glibc_arena r;
            uint64_t a = heap + g->l.hi_size;
            if (!is_arena(g, a) || known(g, a) || hr_glibc_sound_bins(g, a + g->l.bins) < GLIBC_NBINS - 27 ||
                !read_arena(g, a, &r) || g->arenas.n >= MAX_ARENAS)
                continue;
            HR_TRY(add_arena(g, r));
        }
    }
    return HR_OK;
}

enum hr_status hr_glibc_arenas(struct glibc *g)
{
    struct glibc_arena m;
    g->arenas.max = MAX_ARENAS;
    if (!read_arena(g, g->bins - g->l.bins, &m))
        return HR_ABSENT;
    m.main = true;
    HR_TRY(add_arena(g, m));
    hr_glibc_find_mp(g);
    if (g->mp.hp_pagesize && g->mp.hp_pagesize <= 1ull << 32)
        g->heap_max = g->mp.hp_pagesize * 4; /* heap_max_size() */
    HR_TRY(ring(g));
    return hr_glibc_stray_arenas(g);
}

/* ---- regions ---- */

bool hr_glibc_unclaimed(const struct glibc *g, uint64_t addr, uint64_t end, uint64_t *claim_end_ret)
{
    for (size_t i = 0; i < g->regions.n; i++) {
        const struct glibc_region *r = &g->regions.v[i];
        if (r->addr < end && addr < r->end) {
            *claim_end_ret = r->end;
            return false;
        }
    }
    return true;
}

static enum hr_status add(struct glibc *g, uint32_t arena, enum glibc_region_kind kind, uint64_t addr, uint64_t first,
                          uint64_t end)
{
    const struct glibc_arena *a = &g->arenas.v[arena];
    if (end <= addr || first < addr || end - first < 2u * g->l.word || first >= end)
        return HR_OK;
    struct glibc_region r = {.addr = addr, .end = end, .first = first, .arena = arena, .kind = (uint8_t)kind};
    r.top = a->top >= first && a->top < end ? a->top : 0;
    return glibc_regionvec_push(&g->regions, r);
}

/* Aligns p so that the user address behind its header is aligned. */
static uint64_t chunk_up(const struct glibc *g, uint64_t p)
{
    return glibc_up(p + 2 * g->l.word, g->l.align) - 2 * g->l.word;
}

static enum hr_status heaps(struct glibc *g, uint32_t arena)
{
    const struct glibc_arena *a = &g->arenas.v[arena];
    uint64_t heap = heap_of(g, a->top), ar, prev, size, total = 0;
    bool first_seen = false;
    for (unsigned n = 0; n < MAX_HEAPS && heap && !first_seen; n++, heap = prev) {
        if (!glibc_word(g, heap, &ar) || ar != a->addr || !glibc_word(g, heap + g->l.word, &prev) ||
            !glibc_word(g, heap + 2 * g->l.word, &size) || !size || size > g->heap_max || heap_of(g, prev) != prev ||
            heap + size < heap || known(g, heap))
            break;
        HR_TRY(hr_map_put(&g->seen, heap, arena));
        first_seen = heap + g->l.hi_size == a->addr;
        uint64_t p = chunk_up(g, heap + g->l.hi_size + (first_seen ? g->l.state_size : 0u));
        HR_TRY(add(g, arena, GLIBC_HEAP, heap, p, heap + size));
        total += size;
    }
    if (first_seen && total == a->system)
        return HR_OK;
    hr_glibc_damage(g, GLIBC_BAD_ARENA, a->addr, "the heaps of the arena at 0x%llx hold 0x%llx bytes, the arena says 0x%llx",
                    (unsigned long long)a->addr, (unsigned long long)total, (unsigned long long)a->system);
    hr_builder_arena_at(g->builder, a->row)->corrupt = true;
    return HR_OK;
}

/* End of the contiguous main heap: top's, if it can be believed; else by sbrk_base; else the segment's. */
static uint64_t main_end(const struct glibc *g)
{
    const struct glibc_arena *a = &g->arenas.v[0];
    uint64_t end = a->top + a->top_size, by_mp = g->mp.sbrk_base + a->system;
    bool mp = g->mp.addr && g->mp.sbrk_base && by_mp > g->mp.sbrk_base && !a->noncontiguous;
    if (mp && a->top && a->top >= g->mp.sbrk_base && a->top < by_mp)
        return by_mp; /* equals `end` unless top's size is scribbled */
    const struct hr_segment *s = hr_image_find(g->img, a->top, NULL);
    if (a->top_size && end > a->top && s && end - 1 - s->addr < s->msize)
        return end;
    return s ? s->addr + s->msize : 0;
}

/* A stretch of a non-contiguous main arena that begins at p: its end, or 0 when no chain from p ends in fenceposts. */
static uint64_t stretch_end(struct glibc *g, uint64_t p, uint64_t limit, struct hr_bits *tried, uint64_t base)
{
    uint64_t at;
    switch (hr_glibc_chain(g, p, g->arenas.v[0].top, limit, false, UINT64_MAX, 0, tried, base, &at)) {
    case GLIBC_CHAIN_TOP:
        return g->arenas.v[0].top_size && g->arenas.v[0].top_size <= limit - at ? at + g->arenas.v[0].top_size : 0;
    case GLIBC_CHAIN_FENCE:
        return hr_min(glibc_up(hr_glibc_fence(g, at, limit), g->page), limit);
    default:
        return 0;
    }
}

/* The page begins like a stretch: a first chunk with the previous one "in use", nothing else set. */
static bool stretch_start(const struct glibc *g, uint64_t page)
{
    uint64_t p = chunk_up(g, page), head, prev;
    return glibc_word(g, p + g->l.word, &head) && (head & GLIBC_FLAGS) == GLIBC_PREV_INUSE && head >= g->l.minsize &&
           glibc_word(g, p, &prev) && !prev;
}

/* tried: one bit per chunk place of the segment, so that chains from its many pages are followed once. */
static enum hr_status stretches_in(struct glibc *g, const struct hr_segment *s, uint64_t want, uint64_t *have,
                                   struct hr_bits *tried)
{
    uint64_t limit = s->addr + s->bytes.n, next;
    for (uint64_t page = glibc_up(s->addr, g->page); page >= s->addr && page < limit && *have < want; page = next) {
        uint64_t claim, end;
        next = page + g->page;
        if (!stretch_start(g, page))
            continue;
        if (!hr_glibc_unclaimed(g, page, page + 1, &claim)) {
            next = glibc_up(claim, g->page);
            continue;
        }
        if (!tried->w)
            HR_TRY(hr_bits_init(tried, s->bytes.n / g->l.align + 1));
        end = stretch_end(g, chunk_up(g, page), limit, tried, s->addr);
        if (!end || end - page > want - *have)
            continue;
        HR_TRY(add(g, 0, GLIBC_MAIN, page, chunk_up(g, page), end));
        *have += end - page;
        next = end;
    }
    return HR_OK;
}

/* Where sbrk failed, malloc took mmapped memory of at least 1 MiB instead: look for it until system_mem is met. */
static enum hr_status stretches(struct glibc *g)
{
    const struct glibc_arena *a = &g->arenas.v[0];
    uint64_t have = 0, end;
    if (g->mp.sbrk_base) {
        const struct hr_segment *s = hr_image_find(g->img, g->mp.sbrk_base, NULL);
        uint64_t p = chunk_up(g, g->mp.sbrk_base);
        if (s && (end = stretch_end(g, p, s->addr + s->bytes.n, NULL, 0)) && end - g->mp.sbrk_base <= a->system) {
            HR_TRY(add(g, 0, GLIBC_MAIN, g->mp.sbrk_base, p, end));
            have = end - g->mp.sbrk_base;
        }
    }
    for (size_t i = 0; i < g->img->segs.n && have < a->system; i++) {
        const struct hr_segment *s = &g->img->segs.v[i];
        struct hr_bits tried = {0};
        if (s->flags & HR_SEG_W && s->module == HR_NONE && s->bytes.n) {
            enum hr_status st = stretches_in(g, s, a->system, &have, &tried);
            hr_bits_deinit(&tried);
            HR_TRY(st);
        }
    }
    if (have == a->system)
        return HR_OK;
    hr_builder_arena_at(g->builder, a->row)->corrupt = true;
    hr_glibc_damage(g, GLIBC_BAD_ARENA, a->addr, "0x%llx of main_arena's 0x%llx bytes were found", (unsigned long long)have,
                    (unsigned long long)a->system);
    return HR_OK;
}

static enum hr_status main_region(struct glibc *g)
{
    const struct glibc_arena *a = &g->arenas.v[0];
    if (!a->system || !a->top || a->top == g->bins - 2 * g->l.word)
        return HR_OK; /* initial_top: nothing was ever allocated here */
    if (a->noncontiguous)
        return stretches(g);
    uint64_t end = main_end(g), base = g->mp.sbrk_base ? g->mp.sbrk_base : end - a->system;
    const struct hr_segment *s = hr_image_find(g->img, a->top, NULL);
    if (base >= end || end - base > 1ull << 46) { /* no user space is larger; a scribbled number */
        base = s ? s->addr : 0;
        end = s ? s->addr + s->msize : 0;
    }
    if (end - base != a->system) {
        hr_builder_arena_at(g->builder, a->row)->corrupt = true;
        hr_glibc_damage(g, GLIBC_BAD_ARENA, a->addr, "main_arena says 0x%llx bytes, its heap has 0x%llx",
                        (unsigned long long)a->system, (unsigned long long)(end - base));
    }
    return add(g, 0, GLIBC_MAIN, base, chunk_up(g, base), end);
}

enum hr_status hr_glibc_regions(struct glibc *g)
{
    g->regions.max = HR_MAX_REGIONS;
    for (uint32_t i = 1; i < g->arenas.n; i++)
        HR_TRY(heaps(g, i));
    return g->arenas.v[0].addr ? main_region(g) : hr_glibc_orphan_regions(g);
}
