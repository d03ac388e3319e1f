/* The walk over one region's chunks: one header read each, the in-use bit from the next one. */
#include "analyzer/allocators/glibc.h"

static void mark_corrupt(struct glibc *g, const struct glibc_region *r)
{
    hr_builder_arena_at(g->builder, g->arenas.v[r->arena].row)->corrupt = true;
}

static enum hr_status emit_top(struct glibc *g, const struct glibc_region *r, uint64_t top, uint64_t head,
                               struct hr_builder *b)
{
    unsigned w = g->l.word;
    uint64_t size = r->end - top;
    if ((head & ~(uint64_t)GLIBC_FLAGS) != size || !(head & GLIBC_PREV_INUSE)) {
        mark_corrupt(g, r);
        hr_glibc_damage(g, GLIBC_BAD_TOP, top, "the top chunk at 0x%llx says 0x%llx bytes, the arena's memory leaves 0x%llx",
                        (unsigned long long)top, (unsigned long long)head, (unsigned long long)size);
    }
    if (size < 2 * w)
        return HR_OK;
    struct hr_arena *a = hr_builder_arena_at(b, g->arenas.v[r->arena].row);
    a->top_bytes = size - 2 * w;
    return hr_emit(b, top + 2 * w, size - 2 * w, HR_FREE);
}

/* The chunk at p has an impossible size. Which of malloc's checks would say so, depends on the block before it. */
static void report_size(struct glibc *g, const struct glibc_region *r, uint64_t prev, uint64_t p, uint64_t head)
{
    unsigned w = g->l.word;
    uint64_t fast_max = g->l.word * 16; /* the default mxfast */
    mark_corrupt(g, r);
    if (!prev)
        hr_glibc_damage(g, GLIBC_BAD_SIZE, p, "the first chunk at 0x%llx has size word 0x%llx", (unsigned long long)p,
                        (unsigned long long)head);
    else
        hr_glibc_damage(g, p - prev <= fast_max ? GLIBC_BAD_NEXT_FAST : GLIBC_BAD_NEXT, p,
                        "the chunk header at 0x%llx, behind the block at 0x%llx, holds 0x%llx: something wrote past that "
                        "block's end",
                        (unsigned long long)p, (unsigned long long)(prev + 2 * w), (unsigned long long)head);
}

struct place {
    uint64_t p;           /* the chunk looked at; after go_on(): where to go on, 0 nowhere */
    uint64_t head;        /* its size word */
    uint64_t prev;        /* the chunk before it, 0 none: not emitted yet, as p may show that its size is wrong */
    uint64_t prev_size;
    enum hr_state prev_state;
    uint64_t suspect;     /* a header already known to be damaged */
};

static inline __attribute__((always_inline)) enum hr_status flush(struct place *at, struct hr_builder *b, unsigned w)
{
    uint64_t p = at->prev;
    if (!p)
        return HR_OK;
    at->prev = 0;
    return hr_emit(b, p + 2 * w, at->prev_size - w, at->prev_state);
}

/* A heap's end: a fencepost and a size-0 terminator, or the latter alone. */
static bool heap_end(const struct glibc *g, const struct glibc_region *r, uint64_t p, uint64_t head)
{
    uint64_t size = head & ~(uint64_t)GLIBC_FLAGS;
    return r->kind == GLIBC_HEAP && !r->top && (size == 0 || size == 2u * g->l.word) &&
           r->end - p <= 2u * g->l.minsize + g->l.align;
}

/* Behind fenceposts: the rest of the region, or a stretch that somebody else took with sbrk. */
static uint64_t over_foreign(struct glibc *g, const struct glibc_region *r, uint64_t behind)
{
    uint64_t q = r->end - behind > 2u * g->l.word ? hr_glibc_resync(g, r, behind, 0) : 0;
    if (q)
        hr_note_at(g->notes, HR_NOTE_INFO, "heap.foreign-sbrk", behind,
                   "0x%llx bytes at 0x%llx inside the heap were taken with sbrk by something else than malloc",
                   (unsigned long long)(q - behind), (unsigned long long)behind);
    return q;
}

/* The chunk before is larger or smaller than it says: `q` is where the next one really is. */
static enum hr_status resize(struct glibc *g, const struct glibc_region *r, struct place *at, uint64_t q, struct hr_builder *b)
{
    mark_corrupt(g, r);
    hr_glibc_damage(g, GLIBC_BAD_SIZE, at->prev,
                    "the header of the block at 0x%llx says 0x%llx bytes, the next one begins after 0x%llx: something "
                    "wrote past the end of the block before it",
                    (unsigned long long)(at->prev + 2 * g->l.word), (unsigned long long)at->prev_size,
                    (unsigned long long)(q - at->prev));
    at->prev_size = q - at->prev;
    at->prev_state = at->head & GLIBC_PREV_INUSE ? HR_USED : HR_FREE;
    return flush(at, b, g->l.word);
}

/* at->p is no chunk. Says why and finds where to go on. */
static enum hr_status go_on(struct glibc *g, const struct glibc_region *r, struct place *at, struct hr_builder *b)
{
    unsigned w = g->l.word;
    uint64_t p = at->p, behind = r->kind == GLIBC_MAIN ? hr_glibc_fence(g, p, r->end) : 0, q;
    at->p = 0;
    if (heap_end(g, r, p, at->head))
        return flush(at, b, w);
    if (r->kind == GLIBC_MAIN && !r->top && (at->head & ~(uint64_t)GLIBC_FLAGS) == r->end - p) {
        HR_TRY(flush(at, b, w)); /* main_arena is missing: what fills its memory's end is top */
        return emit_top(g, r, p, at->head, b);
    }
    if (behind) {
        HR_TRY(flush(at, b, w));
        q = over_foreign(g, r, behind);
        at->p = q && glibc_word(g, q + w, &at->head) ? q : 0;
        return HR_OK;
    }
    uint64_t prev = at->prev, head = at->head;
    q = hr_glibc_resync(g, r, (prev ? prev : p) + g->l.minsize, p);
    if (q && !glibc_word(g, q + w, &at->head))
        q = 0;
    if (q && prev && (q < p + g->l.minsize || prev == at->suspect)) {
        HR_TRY(resize(g, r, at, q, b));
    } else {
        HR_TRY(flush(at, b, w));
        report_size(g, r, prev, p, head);
        if (q)
            HR_TRY(hr_emit(b, p + 2 * w, q - p - w, at->head & GLIBC_PREV_INUSE ? HR_USED : HR_FREE));
    }
    at->p = q;
    return HR_OK;
}

static void report_cut(struct glibc *g, uint64_t p, uint64_t end)
{
    hr_note_at(g->notes, HR_NOTE_DEGRADED, "heap.cut", p,
               "the heap's bytes from 0x%llx on (up to 0x%llx) are not in the image: blocks there are unknown",
               (unsigned long long)p, (unsigned long long)end);
}

/* The chunk at p is free by the next one's flag, but its footer disagrees: it is free if a list links it. */
static enum hr_state doubtful(struct glibc *g, const struct glibc_region *r, uint64_t p, uint64_t next, uint64_t nhead,
                              uint64_t foot)
{
    unsigned w = g->l.word;
    uint64_t fd, bk, back, fore, size = nhead & ~(uint64_t)GLIBC_FLAGS;
    mark_corrupt(g, r);
    if (size >= g->l.minsize && !(size & (g->l.align - 1u)) && size <= r->end - next) /* else that is what will be said */
        hr_glibc_damage(g, GLIBC_BAD_PREV_SIZE, next,
                        "the chunk at 0x%llx has size 0x%llx, the one behind it takes it for free and says 0x%llx",
                        (unsigned long long)p, (unsigned long long)(next - p), (unsigned long long)foot);
    bool linked = glibc_word(g, p + 2 * w, &fd) && glibc_word(g, p + 3 * w, &bk) && glibc_word(g, fd + 3 * w, &back) &&
                  glibc_word(g, bk + 2 * w, &fore) && (back == p || fore == p);
    return linked ? HR_FREE : HR_USED;
}

static inline __attribute__((always_inline)) enum hr_status walk(struct glibc *g, const struct glibc_region *r,
                                                                 struct hr_builder *b, unsigned w, bool big)
{
    const uint64_t minsize = g->l.minsize, odd = ((g->l.align - 1u) | GLIBC_IS_MMAPPED) & ~(uint64_t)5;
    const uint64_t end = r->end, top = r->top, lim = top ? top : end - 2 * w;
    struct glibc_win win = {.img = g->img};
    struct place at = {.p = r->first};
    if (!glibc_load(&win, at.p + w, w, big, &at.head)) {
        report_cut(g, at.p, end);
        return HR_OK;
    }
    /* Ends: at.p grows by at least minsize each time. */
    while (at.p != top) {
        uint64_t size = at.head & ~(uint64_t)GLIBC_FLAGS, nhead, foot;
        if (__builtin_expect(at.p > lim || size < minsize || at.head & odd || size > lim - at.p, 0)) {
            HR_TRY(go_on(g, r, &at, b));
            if (!at.p)
                return HR_OK;
            continue;
        }
        HR_TRY(flush(&at, b, w));
        uint64_t next = at.p + size, suspect = at.suspect;
        enum hr_state state = HR_USED;
        if (__builtin_expect(!glibc_load(&win, next + w, w, big, &nhead), 0)) {
            report_cut(g, next, end);
            return hr_emit(b, at.p + 2 * w, size - w, HR_USED); /* its own header is there; in use is the likelier */
        }
        glibc_fetch_ahead(&win, next, size);
        if (!(nhead & GLIBC_PREV_INUSE)) {
            state = HR_FREE;
            if (__builtin_expect(glibc_load(&win, next, w, big, &foot) && foot != size, 0)) {
                state = doubtful(g, r, at.p, next, nhead, foot);
                suspect = next;
            }
        } else if (__builtin_expect(!(nhead & ~(uint64_t)GLIBC_FLAGS) && heap_end(g, r, next, nhead), 0)) {
            return HR_OK; /* before the terminator lies a fencepost, maybe grown by what was too small to be freed */
        }
        at = (struct place){.p = next, .head = nhead, .prev = at.p, .prev_size = size, .prev_state = state,
                            .suspect = suspect};
    }
    HR_TRY(flush(&at, b, w));
    return emit_top(g, r, at.p, at.head, b);
}

enum hr_status hr_glibc_walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct glibc *g = self;
    const struct glibc_region *r = &g->regions.v[cookie];
#define CALL(W, BIG) return walk(g, r, b, W, BIG)
    HR_SPECIALISE(g->img, CALL);
#undef CALL
}
