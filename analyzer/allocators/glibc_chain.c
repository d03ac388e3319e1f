/* Is this a chunk, and does a chain of chunks lead anywhere from here? Used where the plain walk lost its way. */
#include "analyzer/allocators/glibc.h"

/* Chunks in a row that no other data imitates; each has five constraints to meet. */
enum { CHAIN_ENOUGH = 24 };
/* Bits of memory of what was tried: 128 GiB of heap; behind that a lost walk stays lost. Untouched ones cost nothing. */
#define MAX_TRIED (1ull << 33)

uint64_t hr_glibc_fence(const struct glibc *g, uint64_t p, uint64_t limit)
{
    unsigned w = g->l.word, n = 0;
    uint64_t head;
    while (n < 3 && limit - p >= 2 * w && glibc_word(g, p + w, &head) &&
           (head & ~(uint64_t)GLIBC_FLAGS) == 2 * w && !(head & (GLIBC_IS_MMAPPED | GLIBC_NON_MAIN))) {
        n++;
        p += 2 * w;
    }
    return n >= 2 ? p : 0;
}

/* A sound chunk at p with `head`: its next one begins at *next_ret with *nhead_ret. */
static bool sound(const struct glibc *g, struct glibc_win *win, uint64_t p, uint64_t head, uint64_t limit, bool non_main,
                  uint64_t *next_ret, uint64_t *nhead_ret)
{
    const struct glibc_layout *l = &g->l;
    unsigned w = l->word;
    uint64_t size = head & ~(uint64_t)GLIBC_FLAGS, foot;
    if (size < l->minsize || size & (l->align - 1u) || head & GLIBC_IS_MMAPPED || size > limit - p ||
        limit - p - size < 2 * w)
        return false;
    if (!non_main && head & GLIBC_NON_MAIN)
        return false;
    uint64_t next = p + size, nhead;
    if (!glibc_load(win, next + w, w, g->img->big, &nhead))
        return false;
    if (!(nhead & GLIBC_PREV_INUSE) && !(glibc_load(win, next, w, g->img->big, &foot) && foot == size))
        return false;
    *next_ret = next;
    *nhead_ret = nhead;
    return true;
}

enum glibc_chain_end hr_glibc_chain(struct glibc *g, uint64_t p, uint64_t top, uint64_t limit, bool non_main,
                                    uint64_t max_steps, uint64_t avoid, struct hr_bits *tried, uint64_t tried_base,
                                    uint64_t *at_ret)
{
    const struct glibc_layout *l = &g->l;
    struct glibc_win win = {.img = g->img};
    uint64_t head, lim = top && top > p ? top + 2 * l->word : limit;
    enum glibc_chain_end end = GLIBC_CHAIN_BROKEN;
    *at_ret = p;
    if (limit < p || limit - p < 2 * l->word || !glibc_load(&win, p + l->word, l->word, g->img->big, &head))
        return end;
    /* Bounded: every step goes up by at least minsize, and by max_steps. */
    for (uint64_t n = 0;; n++) {
        *at_ret = p;
        if (p == top)
            return GLIBC_CHAIN_TOP;
        if (n && hr_glibc_fence(g, p, limit))
            return GLIBC_CHAIN_FENCE;
        if (p == avoid)
            return GLIBC_CHAIN_BROKEN;
        if (n >= max_steps && p > avoid)
            return GLIBC_CHAIN_LONG;
        uint64_t bit = (p - tried_base) / l->align;
        if (tried && (bit >= tried->nbits || !hr_bits_claim(tried, bit)))
            return GLIBC_CHAIN_BROKEN;
        if (!sound(g, &win, p, head, lim, non_main, &p, &head))
            return GLIBC_CHAIN_BROKEN;
    }
}

/* Could a chunk begin with these two words at p? One after a free one carries that one's size, which must lead back to
 * where we lost the way or later. */
static inline bool starts(const struct glibc *g, const struct glibc_region *r, const uint8_t *at, uint64_t p, uint64_t from)
{
    const struct glibc_layout *l = &g->l;
    uint64_t head = hr_word_load(at + l->word, l->word, g->img->big), size = head & ~(uint64_t)GLIBC_FLAGS;
    if (size < l->minsize || size & (l->align - 1u) || head & GLIBC_IS_MMAPPED || size > r->end - p)
        return false;
    if (head & GLIBC_PREV_INUSE)
        return true;
    uint64_t prev = hr_word_load(at, l->word, g->img->big);
    return prev >= l->minsize && !(prev & (l->align - 1u)) && prev <= p - from;
}

uint64_t hr_glibc_resync(struct glibc *g, const struct glibc_region *r, uint64_t from, uint64_t avoid)
{
    const struct glibc_layout *l = &g->l;
    uint32_t index = (uint32_t)(r - g->regions.v);
    if (g->tried_region != index || !g->tried.w) {
        hr_bits_deinit(&g->tried);
        g->tried_region = HR_NONE;
        if (hr_bits_init(&g->tried, hr_min((r->end - r->addr) / l->align + 1, MAX_TRIED)) != HR_OK)
            return 0;
        g->tried_region = index;
    }
    /* Chunks are aligned by their user address. */
    uint64_t p = glibc_up(from + 2 * l->word, l->align) - 2 * l->word;
    bool non_main = r->kind == GLIBC_HEAP;
    while (r->end - p >= 2 * l->word && p < r->end) {
        struct hr_span here = hr_image_peek(g->img, p, r->end - p);
        if (here.n < 2u * l->word) {
            const struct hr_segment *s = hr_image_find(g->img, p, NULL);
            if (!s || s->addr + s->msize <= p)
                return 0;
            p = glibc_up(s->addr + s->msize + 2 * l->word, l->align) - 2 * l->word;
            continue;
        }
        uint64_t base = p, stop = p + here.n - 2 * l->word, at;
        for (; p <= stop; p += l->align) {
            if (p == r->top)
                return p;
            if (!starts(g, r, here.p + (p - base), p, from))
                continue;
            if (hr_glibc_chain(g, p, r->top, r->end, non_main, CHAIN_ENOUGH, avoid, &g->tried, r->addr, &at) !=
                GLIBC_CHAIN_BROKEN)
                return p;
        }
    }
    return 0;
}
