/* Address -> block: see where.h. Built in one pass over pieces and columns after the walks. */
#include "analyzer/heap/where.h"

#include <string.h>

uint32_t hr_where_search(const struct hr_heap *h, uint32_t lo, uint32_t hi, uint64_t addr)
{
    while (lo < hi) {
        uint32_t mid = hi - (hi - lo) / 2;
        if (h->pieces.v[mid].addr <= addr)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

uint32_t hr_where_wide(const struct hr_heap *h, uint64_t addr)
{
    const struct hr_u32vec *w = &h->where.wide;
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->pieces.v[w->v[mid]].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return HR_NONE;
    uint32_t p = w->v[lo - 1];
    return addr <= h->pieces.v[p].last ? p : HR_NONE;
}

static bool holds(const struct hr_heap *h, hr_id id, uint64_t addr, uint64_t *into_ret)
{
    uint64_t start = hr_block_addr(h, id);
    if (addr < start || addr - start > hr_block_size(h, id))
        return false;
    if (into_ret)
        *into_ret = addr - start;
    return true;
}

hr_id hr_where_hosts(const struct hr_heap *h, hr_id id, uint64_t addr, uint64_t *into_ret)
{
    if (holds(h, id, addr, into_ret))
        return id;
    /* Regions nest HR_MAX_NEST deep at most, so this ends. */
    for (const struct hr_region *r = &h->regions.v[hr_block_region(h, id)]; r->parent != HR_NONE;
         r = &h->regions.v[r->parent])
        if (r->host != HR_NONE && holds(h, r->host, addr, into_ret))
            return r->host;
    return HR_NONE;
}

static inline __attribute__((always_inline)) hr_id heap_at(const struct hr_heap *h, uint64_t addr, uint64_t *into_ret)
{
    uint32_t p = hr_where_piece(h, addr);
    if (p == HR_NONE)
        return HR_NONE;
    struct hr_where_at at = hr_where_at(h, p, addr);
    hr_id id = hr_where_rank(at) - 1;
    const struct hr_piece *q = &h->pieces.v[p];
    uint64_t off = addr - q->addr, into = 0;
    /* Most pointers lead to a start: the bit says so, and two columns need not be fetched. */
    bool start = at.line->bits[at.bit >> 6] >> (at.bit & 63) & 1 && off >> q->shift << q->shift == off &&
                 off >> q->shift <= q->last_start;
    if (!start) {
        into = off - ((uint64_t)h->granule[id] << q->shift);
        if (__builtin_expect(into > h->size[id] || h->size[id] == UINT32_MAX, 0))
            return hr_where_hosts(h, id, addr, into_ret);
    }
    if (into_ret)
        *into_ret = into;
    return id;
}

/* Ranks are population counts, and the x86-64 baseline calls a library function for each: compiled twice. */
#if defined(__x86_64__) && !defined(__POPCNT__)
__attribute__((target("popcnt"))) static hr_id heap_at_popcnt(const struct hr_heap *h, uint64_t addr, uint64_t *into_ret)
{
    return heap_at(h, addr, into_ret);
}
hr_id hr_heap_at(const struct hr_heap *h, uint64_t addr, uint64_t *into_ret)
{
    return __builtin_cpu_supports("popcnt") ? heap_at_popcnt(h, addr, into_ret) : heap_at(h, addr, into_ret);
}
#else
hr_id hr_heap_at(const struct hr_heap *h, uint64_t addr, uint64_t *into_ret) { return heap_at(h, addr, into_ret); }
#endif

/* One past the last block may be where another mapping begins: a thread's stack right behind an mmapped chunk is common, and the
 * thread's descriptor says where its stack begins. Then the address is that mapping's. Two anonymous mappings side by side are one
 * segment, so mapped memory at a page's start is enough; no block but one that fills its mapping to the last byte ends there. */
static bool begins_mapping(const struct hr_heap *h, uint64_t addr)
{
    enum { PAGE = 4096 }; /* the smallest; of a larger one, the mapping's start shows */
    const struct hr_segment *s = h->image ? hr_image_find(h->image, addr, NULL) : NULL;
    return s && (s->addr == addr || addr % PAGE == 0);
}

/* Where each piece ends for lookups: at the next one, or one past all blocks so far (hosts reach over their parts). */
static void close_pieces(struct hr_heap *h)
{
    uint64_t reach = 0;
    for (size_t i = 0; i < h->pieces.n; i++) {
        struct hr_piece *p = &h->pieces.v[i];
        reach = hr_max(reach, p->last);
        p->last = reach;
        if (i + 1 < h->pieces.n && h->pieces.v[i + 1].addr <= reach)
            p->last = h->pieces.v[i + 1].addr - 1;
        else if (p->last > p->addr && begins_mapping(h, p->last))
            p->last--;
        h->hi = hr_max(h->hi, p->last);
    }
    h->lo = h->pieces.n ? h->pieces.v[0].addr : 0;
}

static enum hr_status make_lines(struct hr_heap *h)
{
    struct hr_where *w = &h->where;
    w->nlines = 0;
    for (size_t i = 0; i < h->pieces.n; i++) {
        h->pieces.v[i].line0 = w->nlines;
        w->nlines += h->pieces.v[i].last_start / HR_WHERE_BITS + 1;
    }
    w->line_mem = hr_zalloc(w->nlines + 1, sizeof *w->line);
    if (!w->line_mem)
        return HR_NOMEM;
    w->line = (void *)(((uintptr_t)w->line_mem + 63) & ~(uintptr_t)63);
    for (size_t i = 0; i < h->pieces.n; i++) {
        const struct hr_piece *p = &h->pieces.v[i];
        hr_id end = i + 1 < h->pieces.n ? h->pieces.v[i + 1].block0 : h->n;
        struct hr_where_line *l = w->line + p->line0, *stop = l + p->last_start / HR_WHERE_BITS + 1;
        hr_id id = p->block0;
        for (uint32_t g0 = 0; l < stop; l++, g0 += HR_WHERE_BITS) {
            l->rank = id;
            for (; id < end && h->granule[id] - g0 < HR_WHERE_BITS; id++)
                l->bits[(h->granule[id] - g0) >> 6] |= 1ull << ((h->granule[id] - g0) & 63);
        }
    }
    return HR_OK;
}

/* Last address of a piece that gets slots. */
static uint64_t slotted(const struct hr_piece *p)
{
    uint64_t start = p->addr + ((uint64_t)p->last_start << p->shift);
    return hr_min(p->last, hr_sat_add(start, HR_WIDE_TAIL));
}

static struct hr_where_slot *slot_of(struct hr_where *w, uint64_t key)
{
    uint64_t i = hr_mix(key) & (w->nslots - 1);
    while (w->slot[i].lo != HR_NONE && w->slot[i].key != key)
        i = (i + 1) & (w->nslots - 1);
    return &w->slot[i];
}

static enum hr_status alloc_slots(struct hr_heap *h)
{
    struct hr_where *w = &h->where;
    uint64_t want = 0, prev = UINT64_MAX;
    for (size_t i = 0; i < h->pieces.n; i++) {
        uint64_t from = h->pieces.v[i].addr >> HR_SLOT_SHIFT, to = slotted(&h->pieces.v[i]) >> HR_SLOT_SHIFT;
        want += to - from + (from != prev);
        prev = to;
    }
    for (w->nslots = 16; w->nslots < want * 2; w->nslots *= 2)
        ;
    w->slot = hr_zalloc(w->nslots, sizeof *w->slot);
    if (!w->slot)
        return HR_NOMEM;
    memset(w->slot, 0xff, w->nslots * sizeof *w->slot);
    return HR_OK;
}

static enum hr_status fill_slots(struct hr_heap *h)
{
    struct hr_where *w = &h->where;
    w->wide.max = HR_MAX_PIECES;
    uint32_t before = HR_NONE; /* the piece before, whose wide tail may reach into this one's slot */
    for (uint32_t i = 0; i < h->pieces.n; i++) {
        const struct hr_piece *p = &h->pieces.v[i];
        if (p->last < p->addr)
            continue; /* all of it is a nested piece's */
        uint64_t to = slotted(p) >> HR_SLOT_SHIFT;
        for (uint64_t key = p->addr >> HR_SLOT_SHIFT; key <= to; key++) {
            struct hr_where_slot *s = slot_of(w, key);
            if (s->lo == HR_NONE) {
                bool shared = before != HR_NONE && h->pieces.v[before].last >> HR_SLOT_SHIFT >= key;
                *s = (struct hr_where_slot){key, shared ? before : i, i, HR_NONE, 0};
            }
            s->hi = i;
        }
        if (to < p->last >> HR_SLOT_SHIFT)
            HR_TRY(hr_u32vec_push(&w->wide, i));
        before = i;
    }
    return HR_OK;
}

static enum hr_status make_pages(struct hr_heap *h)
{
    struct hr_where *w = &h->where;
    w->page.max = HR_NONE - 1;
    for (uint64_t i = 0; i < w->nslots; i++) {
        struct hr_where_slot *s = &w->slot[i];
        if (s->lo == HR_NONE || s->hi - s->lo < HR_SLOT_CROWD)
            continue;
        HR_TRY(hr_u32vec_reserve(&w->page, w->page.n + HR_SLOT_PAGES + 1));
        s->pages = (uint32_t)w->page.n;
        for (uint64_t k = 0; k < HR_SLOT_PAGES; k++)
            w->page.v[w->page.n++] =
                hr_where_search(h, s->lo, s->hi, (s->key << HR_SLOT_SHIFT) + (k << HR_PAGE_SHIFT));
        w->page.v[w->page.n++] = s->hi;
    }
    return HR_OK;
}

static enum hr_status number_pieces(struct hr_heap *h)
{
    struct hr_u32vec *of = &h->where.of_id;
    uint64_t n = h->n / HR_WHERE_IDS + 2;
    of->max = n;
    HR_TRY(hr_u32vec_reserve(of, n));
    for (uint32_t k = 0, piece = 0; k < n; k++) {
        while (piece + 1 < h->pieces.n && h->pieces.v[piece + 1].block0 <= (uint64_t)k * HR_WHERE_IDS)
            piece++;
        of->v[of->n++] = piece;
    }
    return HR_OK;
}

enum hr_status hr_where_build(struct hr_heap *h)
{
    if (!h->pieces.n)
        return HR_OK;
    close_pieces(h);
    HR_TRY(number_pieces(h));
    HR_TRY(make_lines(h));
    HR_TRY(alloc_slots(h));
    HR_TRY(fill_slots(h));
    return make_pages(h);
}

void hr_where_deinit(struct hr_where *w)
{
    hr_free(w->slot);
    hr_free(w->line_mem);
    hr_u32vec_deinit(&w->of_id);
    hr_u32vec_deinit(&w->page);
    hr_u32vec_deinit(&w->wide);
    *w = (struct hr_where){0};
}
