/* newlib-nano's or picolibc's heap in an image without symbols.
 *
 * Two words beside each other: where the heap begins (__malloc_sbrk_start), and the first free chunk (__malloc_free_list) or 0. From
 * the start chunks lead on, all free ones are among their bounds in ascending order, padding says how far it is from the size, and
 * the last bound is the program break, which picolibc keeps beside the two (__malloc_sbrk_top) and else the program does. */
#include "analyzer/allocators/newlib_nano.h"

enum {
    NEAR = 8,        /* words between the variables of one source file: picolibc has three, 2026's with buckets more */
    LEAST = 4,       /* chunks; 8 where no list of free ones supports them */
};

struct look {
    const struct hr_image *img;
    struct hr_fuel fuel;
    struct hr_u64vec bounds;
    struct hr_nano_shape best;
};

/* Bounds of the chunks from `at` on, as far as they make sense. */
static bool chain(struct look *l, uint64_t at, bool flagged)
{
    const struct hr_segment *s = hr_image_find(l->img, at, NULL);
    uint64_t w = l->img->word, limit = s->addr + s->bytes.n, size;
    l->bounds.n = 0;
    while (hr_u64vec_push(&l->bounds, at) == HR_OK && hr_burn(&l->fuel, 1) && hr_image_word(l->img, at, &size)) {
        size &= ~(uint64_t)flagged;
        if (size < 2 * w || size & (w - 1) || size > limit - at)
            return l->bounds.n > LEAST;
        at += size;
    }
    return false;
}

/* newlib-nano aligns what malloc returned to two words: where that is not right behind the size, the word between says how far back
 * the size is. picolibc's is always right behind. *any_ret: there are such places. */
static bool padded(const struct look *l, uint64_t end, bool *any_ret)
{
    uint64_t w = l->img->word, mask = 2 * w - 1, pad;
    *any_ret = false;
    for (size_t i = 0; i < l->bounds.n && l->bounds.v[i] < end; i++) {
        uint64_t at = l->bounds.v[i];
        if (!((at + w) & mask))
            continue;
        *any_ret = true;
        /* free chunks have their link there */
        if (!hr_image_word(l->img, at + w, &pad) || (pad != (w == 4 ? 0xfffffffcull : -w) && pad && !hr_emb_has(&l->bounds, pad)))
            return false;
    }
    return true;
}

/* Members of the free list, all of them bounds, ascending; -1: it is none. */
static int64_t members(struct look *l, uint64_t head, uint64_t link)
{
    int64_t n = 0;
    for (uint64_t at = head, last = 0; at; n++) {
        uint64_t chunk = at - link;
        if (chunk <= last || chunk >= l->bounds.v[l->bounds.n - 1] || !hr_burn(&l->fuel, 1) || !hr_emb_has(&l->bounds, chunk) || !hr_image_word(l->img, chunk + l->img->word, &at))
            return -1;
        last = chunk;
    }
    return n;
}

static uint64_t last_member(const struct look *l, uint64_t head, uint64_t link)
{
    uint64_t last = 0;
    for (uint64_t at = head; at; hr_image_word(l->img, last + l->img->word, &at))
        last = at - link;
    return last;
}

struct end { const struct look *l; uint64_t least, at, value; };

/* The highest bound that a word outside the heap holds. */
static uint64_t look_end(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct end *e = ctx;
    uint64_t v = hr_word_load(p, e->l->img->word, e->l->img->big), start = e->l->bounds.v[0], top = e->l->bounds.v[e->l->bounds.n - 1];
    (void)n;
    if (v > e->value && v > e->least && v <= top && (at < start || at >= top) && hr_emb_has(&e->l->bounds, v)) {
        e->value = v;
        e->at = at;
    }
    return 0;
}

/* picolibc's own copy of the break, beside its other variables; its sbrk() has another. */
static uint64_t top_beside(const struct look *l, const struct hr_nano_shape *s)
{
    uint64_t w = l->img->word, v;
    for (uint64_t k = s->start_at - hr_min(s->start_at, NEAR * w); k <= s->start_at + NEAR * w; k += w)
        if (k != s->start_at && k != s->head_at && hr_image_word(l->img, k, &v) && v == s->end)
            return k;
    return 0;
}

static void try(struct look *l, uint64_t start_at, uint64_t head_at, uint64_t start, uint64_t head, uint64_t link, bool flagged)
{
    uint64_t w = l->img->word, stop;
    int64_t n = members(l, head, link);
    if (n < 0)
        return;
    struct end e = {.l = l, .least = n ? last_member(l, head, link) : start};
    hr_emb_search(l->img, (unsigned)w, w, look_end, &e);
    uint64_t end = e.at ? e.value : l->bounds.v[l->bounds.n - 1];
    struct hr_nano_shape s = {.start_at = start_at, .head_at = head_at, .end_at = e.at, .start = start, .head = head, .end = end, .link = link, .flagged = flagged,
                              .free = (uint32_t)n};
    while (s.chunks < l->bounds.n && l->bounds.v[s.chunks] < end)
        s.chunks++;
    bool clean = e.at || (hr_image_word(l->img, end, &stop) && !stop);
    if (!clean || s.chunks < (n ? LEAST : 2 * LEAST) || (!n && !e.at))
        return;
    bool any, pads = padded(l, end, &any);
    s.top_at = e.at ? top_beside(l, &s) : 0;
    s.pico = s.top_at && !(any && pads);
    if (!pads && !s.pico)
        return;
    /* a word that leads into the heap finds less of it, one that leads into the list fewer members */
    if (s.chunks > l->best.chunks || (s.chunks == l->best.chunks && s.free > l->best.free))
        l->best = s;
    else if (s.chunks == l->best.chunks && s.free == l->best.free && (s.start != l->best.start || s.head != l->best.head))
        l->best.others++;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct look *l = ctx;
    uint64_t w = l->img->word, start = hr_word_load(p, (unsigned)w, l->img->big), head, size;
    (void)n;
    if (!start || start & (w - 1) || !hr_emb_ram(l->img, start, 4 * w) || !hr_image_word(l->img, start, &size) || size < 2 * w)
        return 0;
    for (unsigned flagged = 0; flagged < 2; flagged++) {
        if (!chain(l, start, flagged))
            continue;
        for (uint64_t k = at - hr_min(at, 3 * w); k <= at + 3 * w && hr_burn(&l->fuel, 1); k += w)
            if (k != at && hr_image_word(l->img, k, &head) && (!head || hr_emb_has(&l->bounds, head) || hr_emb_has(&l->bounds, head - w)))
                for (uint64_t link = 0; link <= w; link += w)
                    if (head || !link)
                        try(l, at, k, start, head, link, flagged);
    }
    return 0;
}

bool hr_nano_by_shape(const struct hr_image *img, struct hr_nano_shape *ret)
{
    struct look l = {.img = img, .fuel = hr_fuel(64 << 20), .bounds.max = HR_EMB_MAX_CHUNKS};
    hr_emb_search(img, img->word, img->word, look, &l);
    hr_u64vec_deinit(&l.bounds);
    *ret = l.best;
    return l.best.chunks > 0;
}
