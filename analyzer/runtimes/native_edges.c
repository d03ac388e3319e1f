/* References out of blocks and roots: every pointer-aligned word that leads into a live block. Types only raise the surety of
 * an edge (and add pointer fields that are not aligned), so a wrong type never loses a reference. */
#include "analyzer/runtimes/native.h"

#include "analyzer/runtimes/native_layout.h"

struct scan {
    struct hr_native *n;
    const struct hr_heap *h;
    struct hr_edgebuf *out;
    hr_type type;                /* says which words are typed pointers; 0: none */
    uint64_t map0;               /* bytes before the first element (array cookie) */
};

static inline bool live(const struct hr_heap *h, hr_id id)
{
    return h->state[id] == HR_USED || h->state[id] == HR_HOST;
}

/* One word's edge, by the rule that marking has (heap/refs.h): what hr_heap_at() says, else without the low tag bits. */
static void word(struct scan *s, uint64_t v, uint64_t off)
{
    uint64_t into = 1;
    unsigned tag = s->n->img->word - 1u;
    hr_id to = hr_heap_at(s->h, v, &into);
    if (to == HR_NONE && v & tag)
        to = hr_heap_at(s->h, v & ~(uint64_t)tag, NULL);
    if (to == HR_NONE || !live(s->h, to))
        return;
    uint8_t sure = HR_SURE_CONSERVATIVE;
    if (into)
        sure = HR_SURE_INTERIOR;
    else if (s->type && off >= s->map0 && hr_layout_ptr(s->n, s->type, off - s->map0) == HR_PTR_TYPED)
        sure = HR_SURE_EXACT;
    hr_edge_push(s->out, to, off < UINT32_MAX ? (uint32_t)off : UINT32_MAX, sure);
}

static inline __attribute__((always_inline)) void words(struct scan *s, const uint8_t *p, uint64_t nwords, uint64_t off,
                                                        unsigned wsize, bool big)
{
    uint64_t lo = s->h->lo, span = s->h->hi - lo + (wsize - 1);
    for (uint64_t i = 0; i < nwords && !s->out->stop; i++) {
        uint64_t v = hr_word_load(p + i * wsize, wsize, big);
        if (__builtin_expect(v - lo <= span, 0))
            word(s, v, off + i * wsize);
    }
}

/* The words of [addr, addr + size) that are in the image; off = offset of addr within the node. */
static void range(struct scan *s, uint64_t addr, uint64_t size, uint64_t off)
{
    const struct hr_image *img = s->n->img;
    uint64_t w = img->word, skip = -addr & (w - 1);
    while (size >= skip + w && !s->out->stop) {
        addr += skip, off += skip, size -= skip;
        struct hr_span sp = hr_image_peek(img, addr, size);
        uint64_t nw = sp.n / w;
#define CALL(word_, big_) words(s, sp.p, nw, off, word_, big_)
        HR_SPECIALISE(img, CALL);
#undef CALL
        uint64_t v;
        if (nw) { /* what lies together; a word may straddle two segments only in hostile images: it is read on its own */
            skip = nw * w;
        } else {
            if (sp.n && hr_image_word(img, addr, &v))
                word(s, v, off);
            skip = sp.n ? w : hr_native_gap(img, addr, w);
        }
        if (skip > size)
            break;
    }
}

/* A host's own bytes: what lies outside the regions nested in it. */
static void host(struct scan *s, uint64_t addr, uint64_t size)
{
    uint64_t at = 0;
    size_t lo = 0, hi = s->h->regions.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->h->regions.v[mid].addr < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->h->regions.n && s->h->regions.v[lo].addr < addr + size; lo++) {
        const struct hr_region *r = &s->h->regions.v[lo];
        if (r->parent == HR_NONE || r->addr < addr + at)
            continue;
        range(s, addr + at, r->addr - addr - at, at);
        at = hr_min(r->addr + r->size - addr, size);
    }
    range(s, addr + at, size - at, at);
}

void hr_native_edges(struct hr_native *n, hr_id node, struct hr_edgebuf *out)
{
    struct hr_heap *h = n->heap;
    struct scan s = {.n = n, .h = h, .out = out};
    if (hr_node_is_root(h, node)) {
        const struct hr_root *r = hr_node_root(h, node);
        if (!r->size) {
            word(&s, r->addr, 0);
            return;
        }
        s.type = r->type;
        range(&s, r->addr, r->size, 0);
        hr_layout_unaligned(n, r->type, r->addr, r->size, out);
        return;
    }
    if (!live(h, node))
        return;
    uint64_t addr = hr_block_addr(h, node), size = hr_block_size(h, node);
    hr_type type = h->type ? h->type[node] : 0;
    if (type) {
        s.type = type;
        s.map0 = hr_layout_cookie(n, type, addr, size);
    }
    uint64_t w = n->img->word, v;
    if (h->state[node] == HR_HOST)
        host(&s, addr, size);
    else
        range(&s, addr, size, 0);
    for (uint64_t off = 0; addr & (w - 1) && size >= w && off <= size - w; off += w) /* as hr_refs_block() does */
        if (hr_image_word(n->img, addr + off, &v))
            word(&s, v, off);
    if (type)
        hr_layout_unaligned(n, type, addr + s.map0, size - s.map0, out);
}
