/* mp_, malloc's parameters: by symbol, or in the data of the module that main_arena is in, by what always holds of it. It tells
 * where the heap begins and how many mmapped chunks there are. */
#include "analyzer/allocators/glibc.h"

enum { MAX_DATA = 64 << 20 }; /* data segment searched */

static bool read_mp(const struct glibc *g, uint64_t addr, struct glibc_mp *ret)
{
    const struct glibc_layout *l = &g->l;
    struct glibc_mp m = {.addr = addr};
    uint64_t max_n, max_mem, limit;
    if (!hr_image_uint(g->img, addr + l->mp_n_mmaps, 4, &m.n_mmaps) ||
        !hr_image_uint(g->img, addr + l->mp_max_n_mmaps, 4, &max_n) ||
        !hr_image_uint(g->img, addr + l->mp_n_mmaps_max, 4, &limit) ||
        !glibc_word(g, addr + l->mp_mmapped_mem, &m.mmapped_mem) ||
        !glibc_word(g, addr + l->mp_max_mmapped_mem, &max_mem) || !glibc_word(g, addr + l->mp_sbrk_base, &m.sbrk_base))
        return false;
    if (l->mp_hp_pagesize && !glibc_word(g, addr + l->mp_hp_pagesize, &m.hp_pagesize))
        return false;
    /* What always holds of it. n_mmaps_max may be 0 (M_MMAP_MAX). */
    if (m.n_mmaps > max_n || m.mmapped_mem > max_mem || !m.n_mmaps != !m.mmapped_mem || m.mmapped_mem & 0xfff ||
        max_mem & 0xfff || max_n >= 1u << 31 || limit >= 1u << 31 || (m.hp_pagesize & (m.hp_pagesize - 1)))
        return false;
    *ret = m;
    return true;
}

/* tcache_bins and tcache_max_bytes belong together: a further four words that random data does not have. */
static bool tcache_params(const struct glibc *g, uint64_t addr)
{
    const struct glibc_layout *l = &g->l;
    uint64_t bins, bytes, at = addr + l->mp_tcache_bins;
    if (!l->mp_tcache_bins)
        return true;
    return glibc_word(g, at, &bins) && glibc_word(g, at + l->word, &bytes) && bins <= 64 + 1 && !bins == !bytes &&
           (l->minor >= 42 || glibc_up(bytes + l->word, l->align) <= (uint64_t)l->minsize + 64u * l->align);
}

/* A word that may be sbrk_base: `base` when main_arena's numbers give it, else where a first chunk begins. */
static bool base_fits(const struct glibc *g, uint64_t v, uint64_t base)
{
    uint64_t head;
    if (base)
        return v == base;
    uint64_t p = glibc_up(v + 2 * g->l.word, g->l.align) - 2 * g->l.word;
    const struct hr_segment *s = v ? hr_image_find(g->img, p, NULL) : NULL;
    return s && s->module == HR_NONE && glibc_word(g, p + g->l.word, &head) &&
           (head & GLIBC_FLAGS) == GLIBC_PREV_INUSE && head >= g->l.minsize && head <= s->addr + s->msize - p;
}

/* In the writable data of the module that main_arena is in. */
static void mp_by_shape(struct glibc *g, uint64_t base)
{
    uint64_t start = g->bins - g->l.bins, w = g->l.word;
    uint32_t module = hr_image_module_at(g->img, start);
    unsigned found = 0;
    struct glibc_mp best = {0}, m;
    for (size_t i = 0; i < g->img->segs.n; i++) {
        const struct hr_segment *s = &g->img->segs.v[i];
        if (!(s->flags & HR_SEG_W) || (module == HR_NONE ? start - s->addr >= s->msize : s->module != module))
            continue;
        uint64_t n = hr_min(s->bytes.n, MAX_DATA);
        for (uint64_t off = (-s->addr & (w - 1)) + g->l.mp_sbrk_base; off + w <= n; off += w) {
            uint64_t a = s->addr + off - g->l.mp_sbrk_base;
            if (a % w || !base_fits(g, hr_word_load(s->bytes.p + off, (unsigned)w, g->img->big), base))
                continue;
            if (read_mp(g, a, &m) && tcache_params(g, a) && !found++)
                best = m;
        }
    }
    if (found == 1)
        g->mp = best;
}

void hr_glibc_find_mp(struct glibc *g)
{
    const struct glibc_arena *a = &g->arenas.v[0];
    const struct hr_sym *s = NULL;
    if (g->types && hr_types_load_symbols(g->types) == HR_OK)
        s = hr_sym_find(g->types, "mp_", hr_image_module_at(g->img, a->addr));
    struct glibc_mp m;
    if (s && read_mp(g, s->addr, &m)) {
        g->mp = m;
        return;
    }
    uint64_t end = a->top + a->top_size;
    if (a->noncontiguous)
        mp_by_shape(g, 0);
    else if (a->top_size && end > a->system)
        mp_by_shape(g, end - a->system);
}
