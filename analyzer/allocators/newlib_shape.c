/* newlib-nano's or picolibc's heap in an image without symbols.
 *
 * Two words beside each other: where the heap begins (__malloc_sbrk_start), and the first free chunk (__malloc_free_list) or 0. From
 * the start chunks lead on, all free ones are among their bounds in ascending order, padding says how far it is from the size, and
 * the last bound is the program break, which picolibc keeps beside the two (__malloc_sbrk_top) and else the program does. */
#include "analyzer/allocators/newlib_nano.h"

enum {
    NEAR = 8,        /* words between the variables of one source file: picolibc has three, 2026's with buckets more */
    LEAST = 4,       /* chunks; 8 where no list of free ones supports them */
    TOP = 16,        /* candidates whose end is looked for, which takes a pass over all memory */
};

struct look {
    const struct hr_image *img;
    struct hr_fuel fuel;
    struct hr_u64vec bounds;
    struct hr_nano_shape top[TOP]; /* most chunks first, then most free ones */
    uint32_t ntop;
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

static bool better(const struct hr_nano_shape *a, const struct hr_nano_shape *b)
{
    return a->chunks > b->chunks || (a->chunks == b->chunks && a->free > b->free);
}

/* A word that leads into the heap finds less of it, one that leads into the list fewer members. */
static void keep(struct look *l, struct hr_nano_shape s, uint64_t head_at, uint64_t head, uint64_t link)
{
    int64_t n = members(l, head, link);
    s.chunks = (uint32_t)l->bounds.n - 1;
    s.free = (uint32_t)n;
    s.head_at = head_at;
    s.head = head;
    s.link = link;
    if (n < 0 || s.chunks < (n ? LEAST : 2 * LEAST) || (l->ntop == TOP && !better(&s, &l->top[TOP - 1])))
        return;
    uint32_t i = l->ntop < TOP ? l->ntop++ : TOP - 1;
    for (; i && better(&s, &l->top[i - 1]); i--)
        l->top[i] = l->top[i - 1];
    l->top[i] = s;
}

/* The end, and with it whether that is a heap. */
static bool complete(struct look *l, struct hr_nano_shape *s)
{
    uint64_t w = l->img->word, stop;
    bool any, pads;
    if (!chain(l, s->start, s->flagged))
        return false;
    struct end e = {.l = l, .least = s->free ? last_member(l, s->head, s->link) : s->start};
    hr_emb_search(l->img, (unsigned)w, w, look_end, &e);
    s->end_at = e.at;
    s->end = e.at ? e.value : l->bounds.v[l->bounds.n - 1];
    for (s->chunks = 0; s->chunks < l->bounds.n && l->bounds.v[s->chunks] < s->end; s->chunks++)
        ;
    bool clean = e.at || (hr_image_word(l->img, s->end, &stop) && !stop);
    if (!clean || s->chunks < (s->free ? LEAST : 2 * LEAST) || (!s->free && !e.at))
        return false;
    pads = padded(l, s->end, &any);
    s->top_at = e.at ? top_beside(l, s) : 0;
    s->pico = s->top_at && !(any && pads);
    return pads || s->pico;
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
                        keep(l, (struct hr_nano_shape){.start_at = at, .start = start, .flagged = flagged}, k, head, link);
    }
    return 0;
}

bool hr_nano_by_shape(const struct hr_image *img, struct hr_nano_shape *ret)
{
    struct look l = {.img = img, .fuel = hr_fuel(16 << 20), .bounds.max = HR_EMB_MAX_CHUNKS};
    hr_emb_search(img, img->word, img->word, look, &l);
    l.fuel = hr_fuel(16 << 20);
    bool found = false;
    for (uint32_t i = 0; i < l.ntop && !found; i++) {
        *ret = l.top[i];
        found = complete(&l, ret);
        for (uint32_t k = i + 1; k < l.ntop && found; k++) /* as good, and elsewhere */
            ret->others += !better(&l.top[i], &l.top[k]) && (l.top[k].start != ret->start || l.top[k].head != ret->head);
    }
    hr_u64vec_deinit(&l.bounds);
    return found;
}
