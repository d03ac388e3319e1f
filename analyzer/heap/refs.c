#include "analyzer/heap/refs.h"

void hr_refs_init(struct hr_refs *r, const struct hr_heap *h, const struct hr_mark_options *opt)
{
    *r = (struct hr_refs){.h = h, .tag = h->image->word - 1u, .mask = opt->mask, .key = opt->key};
}

hr_id hr_refs_target(const struct hr_refs *r, uint64_t word, bool *start_ret)
{
    uint64_t into;
    hr_id id = hr_heap_at(r->h, word, &into);
    *start_ret = id != HR_NONE && (into == 0 || (r->h->handle && r->h->handle[id] == into));
    if (id == HR_NONE && word & r->tag)
        id = hr_heap_at(r->h, word & ~r->tag, NULL);
    return id;
}

static inline __attribute__((always_inline)) void words(const struct hr_refs *r, struct hr_span s, hr_refs_fn *fn, void *ctx,
                                                        unsigned word, bool big)
{
    uint64_t lo = r->h->lo, width = r->h->hi - lo + r->tag;
    for (const uint8_t *p = s.p, *end = p + s.n / word * word; p < end; p += word) {
        uint64_t w = hr_word_load(p, word, big);
        if (w - lo <= width)
            fn(ctx, w, true);
        else if (r->mask && hr_refs_decode(r, w) - lo <= width)
            fn(ctx, hr_refs_decode(r, w), false);
    }
}

static void span_words(const struct hr_refs *r, struct hr_span s, hr_refs_fn *fn, void *ctx)
{
#define WORDS(W, B) words(r, s, fn, ctx, W, B)
    HR_SPECIALISE(r->h->image, WORDS);
#undef WORDS
}

/* Nothing is known at addr. The next address where something may be, and whether what is missing may hold pointers: private
 * pages of a file that the dump left out on purpose were never written, so hold none into this run's heap. */
static uint64_t skip_absent(struct hr_refs *r, uint64_t addr, uint64_t end)
{
    const struct hr_segvec *segs = &r->h->image->segs;
    size_t lo = 0, hi = segs->n; /* the first segment after addr */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (segs->v[mid].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    uint64_t next = lo < segs->n ? hr_min(segs->v[lo].addr, end) : end;
    const struct hr_segment *s = lo ? &segs->v[lo - 1] : NULL;
    bool unwritten = s && addr - s->addr < s->msize && s->module != HR_NONE && !(s->flags & HR_SEG_CUT);
    if (!unwritten)
        r->absent = true;
    return next;
}

void hr_refs_range(struct hr_refs *r, uint64_t addr, uint64_t size, hr_refs_fn *fn, void *ctx)
{
    const struct hr_image *img = r->h->image;
    uint64_t word = img->word, end;
    if (!hr_add(addr, size, &end) || addr > UINT64_MAX - word || !r->h->n)
        return;
    uint64_t a = (addr + word - 1) & ~(word - 1), w;
    while (a < end && end - a >= word) {
        struct hr_span s = hr_image_peek(img, a, end - a);
        if (s.n >= word) {
            span_words(r, s, fn, ctx);
            a += s.n & ~(word - 1);
        } else if (hr_image_word(img, a, &w)) { /* astride a seam */
            uint8_t b[8];
            if (hr_image_read(img, a, b, word) == word)
                span_words(r, (struct hr_span){b, word}, fn, ctx);
            a += word;
        } else {
            uint64_t next = skip_absent(r, a, end);
            a = (next + word - 1) & ~(word - 1);
        }
    }
}

void hr_refs_block(struct hr_refs *r, uint64_t addr, uint64_t size, hr_refs_fn *fn, void *ctx)
{
    uint64_t word = r->h->image->word;
    uint8_t b[8];
    hr_refs_range(r, addr, size, fn, ctx);
    for (uint64_t off = 0; addr & (word - 1) && size - off >= word && size >= off; off += word)
        if (hr_image_read(r->h->image, addr + off, b, word) == word)
            span_words(r, (struct hr_span){b, word}, fn, ctx);
}

/* The first region that begins at or after addr. */
static size_t region_from(const struct hr_heap *h, uint64_t addr)
{
    size_t lo = 0, hi = h->regions.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->regions.v[mid].addr < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void hr_refs_host(struct hr_refs *r, hr_id host, hr_refs_fn *fn, void *ctx)
{
    const struct hr_heap *h = r->h;
    uint64_t at = hr_block_addr(h, host), end = at + hr_block_size(h, host);
    for (size_t i = region_from(h, at); i < h->regions.n && h->regions.v[i].addr < end; i++) {
        const struct hr_region *n = &h->regions.v[i];
        if (n->host != host)
            continue; /* the host's own region, or nested deeper */
        hr_refs_range(r, at, n->addr - at, fn, ctx);
        at = n->addr + n->size;
    }
    hr_refs_range(r, at, end - at, fn, ctx);
}
