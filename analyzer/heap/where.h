/* Address -> block, the parts a hot loop may inline. Heap room.
 *
 *     uint32_t p = hr_where_piece(h, addr);            // a hash slot, rarely a page table; HR_NONE: no block there
 *     struct hr_where_at at = hr_where_at(h, p, addr); // one cache line of start bits: prefetch it, resolve later
 *     hr_id id = hr_where_rank(at) - 1;                // last block that starts at or before addr
 *
 * hr_heap_at() is all three plus the rare case that this block does not hold addr: hr_where_hosts(). */
#ifndef HR_HEAP_WHERE_H
#define HR_HEAP_WHERE_H

#include "analyzer/heap/heap.h"

enum {
    HR_SLOT_SHIFT = 20,
    HR_PAGE_SHIFT = 12,
    HR_SLOT_PAGES = 1 << (HR_SLOT_SHIFT - HR_PAGE_SHIFT),
    HR_PIECE_GAP = 128 * HR_WHERE_BITS, /* granules between starts that begin a new piece: 8 KiB of empty lines saved */
    HR_WIDE_TAIL = 4 << HR_SLOT_SHIFT,  /* bytes behind a piece's last start that get slots; more is in the wide list, so
                                         * that a hostile size costs nothing */
    HR_SLOT_CROWD = 8,          /* pieces in a slot from which a page table beats searching them */
};

/* Builds heap->where, lo, hi, and the pieces' `last` (where the builder left the end of its last block). */
enum hr_status hr_where_build(struct hr_heap *h) HR_MUST;
void hr_where_deinit(struct hr_where *w);
/* Last piece in [lo, hi] that begins at or before addr; `lo` does or is the first. */
uint32_t hr_where_search(const struct hr_heap *h, uint32_t lo, uint32_t hi, uint64_t addr);
uint32_t hr_where_wide(const struct hr_heap *h, uint64_t addr);
/* The block holding addr when `id`, the last that starts at or before it, may not: itself, or one of the hosts around. */
hr_id hr_where_hosts(const struct hr_heap *h, hr_id id, uint64_t addr, uint64_t *into_ret);

static inline bool hr_where_near(const struct hr_heap *h, uint64_t addr) { return addr - h->lo <= h->hi - h->lo; }

/* The piece holding addr, or HR_NONE. */
static inline uint32_t hr_where_piece(const struct hr_heap *h, uint64_t addr)
{
    const struct hr_where *w = &h->where;
    if (!hr_where_near(h, addr) || !w->nslots)
        return HR_NONE;
    uint64_t key = addr >> HR_SLOT_SHIFT, i = hr_mix(key) & (w->nslots - 1);
    while (w->slot[i].key != key || w->slot[i].lo == HR_NONE) {
        if (w->slot[i].lo == HR_NONE)
            return w->wide.n ? hr_where_wide(h, addr) : HR_NONE;
        i = (i + 1) & (w->nslots - 1);
    }
    uint32_t lo = w->slot[i].lo, hi = w->slot[i].hi;
    if (__builtin_expect(lo != hi, 0)) {
        if (w->slot[i].pages != HR_NONE) {
            const uint32_t *page = &w->page.v[w->slot[i].pages + (addr >> HR_PAGE_SHIFT & (HR_SLOT_PAGES - 1))];
            lo = page[0];
            hi = page[1];
        }
        lo = hr_where_search(h, lo, hi, addr);
    }
    const struct hr_piece *p = &h->pieces.v[lo];
    return addr >= p->addr && addr <= p->last ? lo : HR_NONE;
}

struct hr_where_at {
    const struct hr_where_line *line;
    unsigned bit;
};
static inline struct hr_where_at hr_where_at(const struct hr_heap *h, uint32_t piece, uint64_t addr)
{
    const struct hr_piece *p = &h->pieces.v[piece];
    uint64_t g = (addr - p->addr) >> p->shift;
    if (g > p->last_start)
        g = p->last_start;
    return (struct hr_where_at){h->where.line + p->line0 + (uint32_t)g / HR_WHERE_BITS, (uint32_t)g % HR_WHERE_BITS};
}
/* How many blocks start at or before it; at least 1, as a piece begins with a block. */
static inline hr_id hr_where_rank(struct hr_where_at at)
{
    const struct hr_where_line *l = at.line;
    unsigned w = at.bit >> 6;
    uint32_t r = l->rank + (uint32_t)__builtin_popcountll(l->bits[w] & (UINT64_MAX >> (63 - (at.bit & 63))));
    for (unsigned i = 0; i < w; i++)
        r += (uint32_t)__builtin_popcountll(l->bits[i]);
    return r;
}

#endif
