/* What only CircuitPython has: allocations that are never to be freed, and drivers whose static variables its boards' collector knows. */
#include <stdlib.h>

#include "analyzer/runtimes/micropython/mp.h"

/* Words from the heap's description to the end of the state: the collector's stack (64 entries, twice with a split heap, when an area is
 * kept for each) and a dozen of numbers. */
enum { BEHIND = 2 * 64 + 40, LONGEST = 1000 /* of such a chain: each names an allocation of a driver */ };

static uint64_t head_size(const struct hr_mp *mp, uint64_t at)
{
    hr_id id = at ? hr_mp_head(mp, at) : HR_NONE;
    return id == HR_NONE ? 0 : hr_block_size(mp->heap, id);
}

/* gc_never_free() keeps its arguments in a chain of allocations of one block: {next, argument, argument or 0, ...}. */
static bool is_link(const struct hr_mp *mp, uint64_t at)
{
    const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, at);
    uint64_t next = hr_mp_word(mp, at);
    bool ended = false;
    if (!a || head_size(mp, at) != a->block || (next && head_size(mp, next) != a->block))
        return false;
    for (unsigned i = 1; i < a->block / mp->word; i++) {
        uint64_t w = hr_mp_field(mp, at, i);
        if (w ? ended || !head_size(mp, w) : i == 1)
            return false;
        ended = !w;
    }
    return true;
}

/* The area that the state itself describes; later ones of a split heap describe themselves. */
static const struct hr_mpy_area *first_area(const struct hr_mp *mp)
{
    const struct hr_mpy_area *best = &mp->m.area[0];
    for (uint32_t i = 1; i < mp->m.n; i++) {
        const struct hr_mpy_area *a = &mp->m.area[i];
        if (a->at > mp->vm && (best->at <= mp->vm || a->at < best->at))
            best = a;
    }
    return best;
}

/* permanent_pointers, the last field of mp_state_mem_t (9.0 and 9.1 have it, too, and never look at it): in front of it there are block numbers, sizes and a lock, none the
 * address of an allocation. */
static uint64_t permanent(const struct hr_mp *mp)
{
    const struct hr_mpy_area *a = &mp->m.area[0]; /* such versions have one only */
    uint64_t at = a->at + (5u + !!a->finalisers) * mp->word, end = at + (uint64_t)BEHIND * mp->word;
    const struct hr_sym *s = mp->in.types ? hr_sym_find(mp->in.types, "mp_state_ctx", HR_NONE) : NULL;
    if (s && s->addr <= at && s->size && at - s->addr < s->size)
        end = hr_min(end, s->addr + s->size);
    for (; at < end; at += mp->word) {
        uint64_t w = hr_mp_word(mp, at), seen = 0;
        if (!head_size(mp, w))
            continue;
        for (uint64_t link = w; link && seen < LONGEST; link = hr_mp_word(mp, link), seen++)
            if (!is_link(mp, link))
                return 0;
        return w;
    }
    return 0;
}

void hr_mp_mark_permanent(struct hr_mp_marker *k)
{
    const struct hr_mp *mp = k->mp;
    uint64_t first = mp->m.area[0].long_lived ? permanent(mp) : 0;
    if (first)
        hr_mp_mark_word(k, first);
}

/* ---- drivers ---- */
/* gc_collect() of the boards (main.c) also asks displays, background callbacks, alarms, atexit, Bluetooth, USB and WiFi for what they hold
 * in static variables. Which those are only its code knows: all static words are taken for it, and the answer is called a lower bound where
 * that makes a difference. */
static uint64_t stack_bottom(const struct hr_mp *mp)
{
    enum { BEFORE = 8, LEAST = 256, MOST = 1 << 20, RESERVE = 4096 /* limit is that much less than the stack, at most */ };
    for (unsigned i = 2; i <= BEFORE; i++) {
        uint64_t at = mp->root_lo - (uint64_t)i * mp->word;
        for (unsigned k = 1; k <= 2 && hr_mp_word(mp, at) == mp->stack_top; k++) { /* stack_top, [stack_bottom,] stack_limit */
            uint64_t limit = hr_mp_field(mp, at, k);
            if (limit >= LEAST && limit <= MOST && limit + RESERVE <= mp->stack_top)
                return mp->stack_top - limit - RESERVE;
        }
    }
    return hr_mp_stack_floor(mp);
}

static int by_addr(const void *a, const void *b)
{
    const struct hr_range *x = a, *y = b;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Memory that holds no static variables, or those of the state: ascending. */
static enum hr_status no_statics(const struct hr_mp *mp, struct hr_rangevec *v)
{
    const struct hr_mpy_area *a = first_area(mp);
    uint64_t lo = mp->root_lo - 8u * mp->word, bottom = mp->stack_top ? stack_bottom(mp) : 0;
    HR_TRY(hr_rangevec_push(v, (struct hr_range){lo, a->at > lo ? a->at - lo + (uint64_t)BEHIND * mp->word : mp->root_hi - lo}));
    if (mp->stack_top > bottom)
        HR_TRY(hr_rangevec_push(v, (struct hr_range){bottom, mp->stack_top - bottom}));
    for (uint32_t i = 0; i < mp->m.n; i++)
        HR_TRY(hr_rangevec_push(v, (struct hr_range){mp->m.area[i].table, mp->m.area[i].end - mp->m.area[i].table}));
    for (size_t i = 0; i < mp->heap->regions.n; i++)
        if (mp->heap->regions.v[i].parent == HR_NONE)
            HR_TRY(hr_rangevec_push(v, (struct hr_range){mp->heap->regions.v[i].addr, mp->heap->regions.v[i].size}));
    qsort(v->v, v->n, sizeof *v->v, by_addr);
    return HR_OK;
}

enum hr_status hr_mp_mark_statics(struct hr_mp_marker *k)
{
    const struct hr_image *img = k->mp->img;
    struct hr_rangevec skip = {.max = HR_MAX_REGIONS};
    enum hr_status st = no_statics(k->mp, &skip);
    for (size_t i = 0; i < img->segs.n && st == HR_OK; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        uint64_t at = s->addr, end = s->addr + s->bytes.n;
        if (!(s->flags & HR_SEG_W))
            continue;
        for (size_t r = 0; r < skip.n && skip.v[r].addr < end; r++) {
            if (skip.v[r].addr > at)
                hr_mp_mark_words(k, at, skip.v[r].addr);
            at = hr_max(at, skip.v[r].addr + skip.v[r].size);
        }
        if (at < end)
            hr_mp_mark_words(k, at, end);
    }
    hr_rangevec_deinit(&skip);
    return st;
}
