/* Mmapped chunks: allocations of their own mapping. Nothing lists them, so every page of anonymous memory that nobody
 * claims is looked at; mp_ knows how many there are and how large together, which settles what is none.
 *
 * A header is (offset into the mapping, size | 2). The offset is 0, or 8 where 32-bit alignment asks for it, or what
 * memalign skipped; offset + size is whole pages. The kernel merges neighbours: several in one segment are usual. */
#include <stdlib.h>

#include "analyzer/allocators/glibc.h"

enum {
    MAX_DROP = 3,      /* candidates beyond n_mmaps: as many are searched for by their sizes */
    MAX_TRIES = 1 << 22,
};

struct candidate {
    uint64_t map, chunk, end; /* mapping's start, chunk, mapping's end */
    uint8_t score;            /* how many of its two ends are ends of something */
};
HR_VEC(candidatevec, struct candidate)

struct claims {
    struct hr_rangevec v; /* by address */
    uint64_t found;       /* bytes of the candidates so far */
};

static int by_range(const void *a, const void *b)
{
    const struct hr_range *x = a, *y = b;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static enum hr_status claims_make(const struct glibc *g, struct claims *c)
{
    c->v.max = HR_MAX_REGIONS;
    for (size_t i = 0; i < g->regions.n; i++)
        HR_TRY(hr_rangevec_push(&c->v,
                                (struct hr_range){g->regions.v[i].addr, g->regions.v[i].end - g->regions.v[i].addr}));
    if (c->v.n)
        qsort(c->v.v, c->v.n, sizeof *c->v.v, by_range);
    return HR_OK;
}

/* Where a mapping may lie: within one segment, between claims. */
struct space {
    const struct hr_segment *seg;
    uint64_t from, limit;
};

/* The chunk at p of a mapping within the space. */
static bool chunk_at(const struct glibc *g, const struct space *s, uint64_t p, struct candidate *ret)
{
    const unsigned w = g->l.word;
    uint64_t at = p - s->seg->addr, page = g->page;
    if (s->seg->bytes.n < 2 * w || at > s->seg->bytes.n - 2 * w)
        return false;
    uint64_t off = hr_word_load(s->seg->bytes.p + at, w, g->img->big);
    if ((off & (page - 1)) != (p & (page - 1)) || off > p - s->from)
        return false;
    uint64_t head = hr_word_load(s->seg->bytes.p + at + w, w, g->img->big), size = head & ~(uint64_t)GLIBC_FLAGS;
    if ((head & GLIBC_FLAGS) != GLIBC_IS_MMAPPED || size < g->l.minsize || size > s->limit - p ||
        (off + size) & (page - 1) || !(off + size) || (p + 2 * w) & (g->l.align - 1u))
        return false;
    *ret = (struct candidate){p - off, p, p + size, 0};
    return true;
}

/* memalign moves the header on and leaves the old one behind: of two for one mapping the deeper one counts. Where it can
 * be: before the first or second address of its alignment that leaves room for a chunk. */
static void deeper(const struct glibc *g, const struct space *s, struct candidate *c)
{
    uint64_t map = c->map, hdr = 2u * g->l.word;
    struct candidate x;
    for (uint64_t align = 2u * g->l.align; align && align < s->limit - map; align *= 2) {
        uint64_t user = glibc_up(map + hdr, align);
        for (int k = 0; k < 2; k++, user += align)
            if (user > c->chunk + hdr && user < s->limit && user > map && chunk_at(g, s, user - hdr, &x) &&
                x.map == map)
                *c = x;
    }
}

/* Places in a page where a header can be: its start, and before each power of two that memalign was asked for. */
static bool chunk_in_page(const struct glibc *g, const struct space *s, uint64_t page, struct candidate *ret)
{
    uint64_t hdr = 2u * g->l.word, first = page + glibc_up(hdr, g->l.align) - hdr;
    bool found = chunk_at(g, s, first, ret);
    for (uint64_t align = 2u * g->l.align; align <= g->page && !found; align *= 2)
        found = chunk_at(g, s, page + align - hdr, ret);
    if (found)
        deeper(g, s, ret);
    return found;
}

static enum hr_status scan_segment(struct glibc *g, const struct hr_segment *s, struct claims *c, size_t *claim,
                                   struct candidatevec *out)
{
    uint64_t limit = s->addr + s->msize, next;
    uint64_t free_from = s->addr; /* nothing before it may be part of a mapping */
    for (uint64_t page = glibc_up(s->addr, g->page); page >= s->addr && page - s->addr < s->bytes.n; page = next) {
        next = page + g->page;
        while (*claim < c->v.n && c->v.v[*claim].addr + c->v.v[*claim].size <= page)
            ++*claim;
        uint64_t stop = *claim < c->v.n ? hr_min(limit, c->v.v[*claim].addr) : limit;
        if (stop <= page) {
            free_from = next = glibc_up(c->v.v[*claim].addr + c->v.v[*claim].size, g->page);
            if (next <= page)
                break;
            continue;
        }
        struct candidate x;
        if (!chunk_in_page(g, &(struct space){s, free_from, stop}, page, &x))
            continue;
        x.score = (uint8_t)((x.map == free_from) + (x.end == stop));
        HR_TRY(candidatevec_push(out, x));
        c->found = hr_sat_add(c->found, x.end - x.map);
        free_from = next = x.end;
    }
    return HR_OK;
}

static uint64_t total(const struct candidatevec *v)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < v->n; i++)
        sum = hr_sat_add(sum, v->v[i].end - v->v[i].map);
    return sum;
}

static void drop_at(struct candidatevec *v, const size_t *at, size_t k)
{
    size_t n = 0, next = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (next < k && at[next] == i)
            next++;
        else
            v->v[n++] = v->v[i];
    }
    v->n = n;
}

static uint64_t size_of(const struct candidatevec *v, size_t i) { return v->v[i].end - v->v[i].map; }

/* Which `k` (at most MAX_DROP) of the candidates with score below `score` sum up to `excess`? Least sure first. */
static bool find_excess(const struct candidatevec *v, size_t k, uint64_t excess, unsigned score, size_t *at)
{
    size_t tries = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (v->v[i].score >= score || size_of(v, i) > excess)
            continue;
        at[0] = i;
        if (k == 1 && size_of(v, i) == excess)
            return true;
        for (size_t j = i + 1; k > 1 && j < v->n; j++) {
            if (v->v[j].score >= score || size_of(v, i) + size_of(v, j) > excess)
                continue;
            at[1] = j;
            if (k == 2 && size_of(v, i) + size_of(v, j) == excess)
                return true;
            for (size_t m = j + 1; k > 2 && m < v->n; m++) {
                if (++tries > MAX_TRIES)
                    return false;
                at[2] = m;
                if (v->v[m].score < score && size_of(v, i) + size_of(v, j) + size_of(v, m) == excess)
                    return true;
            }
            if (++tries > MAX_TRIES)
                return false;
        }
    }
    return false;
}

/* Keeps the n surest. */
static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score != y->score)
        return (int)y->score - (int)x->score;
    return x->map < y->map ? -1 : x->map > y->map;
}

/* Holds the candidates against n_mmaps and mmapped_mem. */
static void settle(struct glibc *g, struct candidatevec *v)
{
    if (!g->mp.addr || (v->n == g->mp.n_mmaps && total(v) == g->mp.mmapped_mem))
        return;
    if (v->n > g->mp.n_mmaps) {
        size_t k = v->n - g->mp.n_mmaps, at[MAX_DROP];
        uint64_t sum = total(v);
        for (unsigned score = 1; k <= MAX_DROP && sum > g->mp.mmapped_mem && score <= 3; score++)
            if (find_excess(v, k, sum - g->mp.mmapped_mem, score, at)) {
                drop_at(v, at, k);
                return;
            }
        if (!g->mp.n_mmaps) {
            v->n = 0;
            return;
        }
        qsort(v->v, v->n, sizeof *v->v, by_score);
        v->n = (size_t)g->mp.n_mmaps;
    }
    hr_note(g->notes, HR_NOTE_DEGRADED, "heap.mmapped",
            "%zu mmapped chunks of 0x%llx bytes were found, malloc counts %llu of 0x%llx", v->n,
            (unsigned long long)total(v), (unsigned long long)g->mp.n_mmaps, (unsigned long long)g->mp.mmapped_mem);
}

static enum hr_status declare(struct glibc *g, const struct candidatevec *v)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct candidate *c = &v->v[i];
        HR_TRY(glibc_regionvec_push(&g->regions, (struct glibc_region){.addr = c->map, .end = c->end, .first = c->chunk,
                                                                       .arena = HR_NONE, .kind = GLIBC_MMAPPED}));
    }
    return HR_OK;
}

/* As many as malloc counts, of as many bytes: no need to look at the rest of the memory. */
static bool complete(const struct glibc *g, const struct candidatevec *v, const struct claims *c)
{
    return g->mp.addr && v->n == g->mp.n_mmaps && c->found == g->mp.mmapped_mem;
}

static enum hr_status scan(struct glibc *g, struct claims *c, struct candidatevec *out)
{
    HR_TRY(claims_make(g, c));
    size_t claim = 0;
    for (size_t i = 0; i < g->img->segs.n && !complete(g, out, c); i++) {
        const struct hr_segment *s = &g->img->segs.v[i];
        if (s->flags & HR_SEG_W && !(s->flags & HR_SEG_DEVICE) && s->module == HR_NONE)
            HR_TRY(scan_segment(g, s, c, &claim, out));
    }
    settle(g, out);
    return declare(g, out);
}

enum hr_status hr_glibc_mmapped(struct glibc *g)
{
    if (g->mp.addr && !g->mp.n_mmaps)
        return HR_OK;
    struct claims c = {0};
    struct candidatevec v = {.max = HR_MAX_REGIONS};
    enum hr_status st = scan(g, &c, &v);
    hr_rangevec_deinit(&c.v);
    candidatevec_deinit(&v);
    return st;
}

enum hr_status hr_glibc_walk_mmapped(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct glibc *g = self;
    const struct glibc_region *r = &g->regions.v[cookie];
    uint64_t user = r->first + 2 * g->l.word;
    return user > r->end ? HR_CORRUPT : hr_emit(b, user, r->end - user, HR_USED);
}
