/* What only CircuitPython has: allocations that are never to be freed. */
#include <string.h>

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

/* permanent_pointers, the last field of mp_state_mem_t until 9.1: in front of it there are block numbers, sizes and a lock, none the
 * address of an allocation. */
static uint64_t permanent(const struct hr_mp *mp)
{
    const struct hr_mpy_area *a = &mp->m.area[0];
    uint64_t at = a->at + (4u + !!a->finalisers + !!a->long_lived) * mp->word, end = at + (uint64_t)BEHIND * mp->word;
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
    uint64_t first = mp->circuit && !mp->m.area[0].scanned ? permanent(mp) : 0;
    if (first)
        hr_mp_mark_word(k, first);
}
