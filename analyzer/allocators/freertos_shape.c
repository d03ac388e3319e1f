/* FreeRTOS' heaps in an image without symbols: the free list and the variables around its head have to agree.
 *
 * heap_4 and heap_5: a word E (pxEnd) leads to a link {null, size 0}; beside it lies a link {first free block, 0} (xStart) from which
 * free blocks lead on in address order to E; and a word that is the sum of their sizes (xFreeBytesRemaining). With the heap
 * protector every link is XORed with what the null link at E holds. Where the blocks begin is nowhere: blocks in use end where another
 * begins, so the start is found going down from the first free one. heap_2: the list is sorted by size and ends in a variable beside
 * xStart, whose size is the whole heap's. heap_1 keeps nothing that could be known again.
 * The variables of one source file lie together, but for those that the compiler dropped. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/freertos.h"

enum { NEAR = 128 /* bytes between the variables: eleven words and padding */ };

struct shape {
    struct hr_freertos *a;
    struct hr_fuel fuel;
    uint64_t start, end, end_at, sum_at; /* xStart, E, pxEnd, xFreeBytesRemaining */
    uint64_t total;                      /* heap_2: xEnd.xBlockSize */
    uint64_t others;                     /* words below the heap's start that would do as blocks, too */
    bool found;
};

static uint64_t word_at(const struct shape *s, uint64_t at)
{
    uint64_t v = 0;
    return hr_image_word(s->a->img, at, &v) ? v : 0;
}

/* A word near `at` that holds v; 0: none. */
static uint64_t beside(const struct shape *s, uint64_t at, uint64_t v)
{
    uint64_t w = s->a->img->word, x;
    for (uint64_t k = at > NEAR ? at - NEAR : 0; k <= at + NEAR; k += w)
        if (hr_image_word(s->a->img, k, &x) && x == v)
            return k;
    return 0;
}

struct word { const struct hr_image *img; uint64_t want, from, at; };

static uint64_t look_word(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct word *f = ctx;
    (void)n;
    if (!f->at && at >= f->from && hr_word_load(p, f->img->word, f->img->big) == f->want)
        f->at = at;
    return 0;
}

/* The first word from `from` on that holds v, anywhere in memory; 0: none. */
static uint64_t anywhere(const struct shape *s, uint64_t from, uint64_t v)
{
    struct word f = {s->a->img, v, from, 0};
    hr_emb_search(s->a->img, s->a->img->word, s->a->img->word, look_word, &f);
    return f.at;
}

/* The link of a free block, which nobody uses. */
static bool is_free(const struct shape *s, uint64_t at)
{
    uint64_t size, w = s->a->img->word;
    return !(at & (w - 1)) && hr_emb_ram(s->a->img, at, 2 * w) && hr_image_word(s->a->img, at + w, &size) && !(size & s->a->used_bit) && !(size & (w - 1));
}

/* From the first free block up to `end`: the sum of the sizes. Ascending, so it ends. */
static bool list(struct shape *s, uint64_t at, uint64_t end, uint64_t *sum_ret)
{
    uint64_t w = s->a->img->word;
    *sum_ret = 0;
    while (at != end) {
        uint64_t size = word_at(s, at + w), next = word_at(s, at) ^ s->a->canary;
        if (!hr_burn(&s->fuel, 1) || at > end || !is_free(s, at) || next <= at || (size && (size < s->a->head || size > end - at || at + size > next)))
            return false;
        *sum_ret += size;
        at = next;
    }
    return true;
}

/* Do blocks follow each other from `at` exactly to the next region's end, each in use or on the list? */
static bool closes(struct shape *s, uint64_t at, uint64_t end)
{
    uint64_t w = s->a->img->word;
    while (at < end) {
        uint64_t word = word_at(s, at + w), size = word & ~s->a->used_bit, link = word_at(s, at);
        if (!hr_burn(&s->fuel, 1) || size < s->a->head || size > end - at || size & (w - 1))
            return false;
        if (word & s->a->used_bit ? link && link != s->a->canary : !hr_emb_has(&s->a->free, at))
            return false;
        at += size;
    }
    return at == end;
}

/* The lowest place from which blocks in use lead to `first`. */
static uint64_t descend(struct shape *s, uint64_t first, uint64_t limit)
{
    const struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, link;
    const struct hr_segment *seg = hr_image_find(a->img, first, NULL);
    limit = seg ? hr_max(limit, seg->addr) : first;
    uint64_t low = first, chain = 0, hits = 0;
    struct hr_u64vec known = {.max = HR_EMB_MAX_CHUNKS}; /* descending: places that lead to `first` */
    if (hr_u64vec_push(&known, first) != HR_OK)
        return first;
    for (uint64_t at = first; at >= limit + a->head && hr_burn(&s->fuel, 1);) {
        at -= w;
        uint64_t word = word_at(s, at + w), to = at + (word & ~a->used_bit);
        if (!(word & a->used_bit) || to <= at || to - at < a->head || to > first || !hr_image_word(a->img, at, &link) || (link && link != a->canary))
            continue;
        size_t lo = 0, hi = known.n;
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (known.v[mid] > to)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo == known.n || known.v[lo] != to || hr_u64vec_push(&known, at) != HR_OK)
            continue;
        hits++;
        low = at;
    }
    for (uint64_t at = low; at < first; at += word_at(s, at + w) & ~a->used_bit)
        chain++;
    s->others += hits - chain;
    hr_u64vec_deinit(&known);
    return low;
}

/* The regions: each ends in a block of size 0 that is on the list, the last one at E. */
static bool regions(struct shape *s)
{
    struct hr_freertos *a = s->a;
    uint64_t below = 0, first = 0;
    a->nruns = 0;
    for (size_t i = 0; i <= a->free.n; i++) {
        uint64_t at = i < a->free.n ? a->free.v[i] : s->end;
        first = first ? first : at;
        if (i < a->free.n && word_at(s, at + a->img->word))
            continue;
        uint64_t low = descend(s, first, below);
        if (low == at || a->nruns == HR_FREERTOS_RUNS || !closes(s, low, at))
            return false;
        a->run[a->nruns++] = (struct hr_range){low, at - low};
        below = at + a->head;
        first = 0;
    }
    return a->nruns > 0;
}

/* Up to 10.5 the list leaves out the end of a region that has nothing free. But that end still leads to where the next region began. */
static void full_regions(struct shape *s)
{
    struct hr_freertos *a = s->a;
    for (uint32_t tries = 0; a->nruns < HR_FREERTOS_RUNS && tries < HR_FREERTOS_RUNS; tries++) {
        uint64_t first = a->run[0].addr, w = a->img->word, at = 0, low = 0;
        for (unsigned k = 0; k < 4 && (at = anywhere(s, at + w, first ^ a->canary)); k++) {
            low = at == s->start || at > first || word_at(s, at + w) ? at : descend(s, at, 0);
            if (low != at && closes(s, low, at))
                break;
            low = 0;
        }
        if (!low)
            return;
        memmove(a->run + 1, a->run, a->nruns++ * sizeof *a->run);
        a->run[0] = (struct hr_range){low, at - low};
    }
}

/* xStart at `at`, E at `end`: does it all fit? */
static bool fits(struct shape *s, uint64_t at, uint64_t end)
{
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, first, size, sum;
    if (!hr_image_word(a->img, at, &first) || !hr_image_word(a->img, at + w, &size) || size)
        return false;
    first ^= a->canary;
    s->others = 0;
    if (first > end || end - first > 64 << 20 || !first || !list(s, first, end, &sum) || !sum)
        return false;
    s->sum_at = beside(s, at, sum);
    if (!s->sum_at)
        return false;
    a->free.n = 0;
    a->kind = 4;
    a->free_says = sum;
    s->start = at;
    s->end = end;
    return hr_freertos_read_free(a, at, end) == HR_OK && !a->corrupt && regions(s);
}


static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct shape *s = ctx;
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, end = hr_word_load(p, (unsigned)w, a->img->big), size;
    (void)n;
    if (s->found || !end || end & (2 * w - 1) || !hr_emb_ram(a->img, end, 2 * w) || !hr_image_word(a->img, end + w, &size) || size)
        return 0;
    a->canary = word_at(s, end);
    for (uint64_t k = at > NEAR ? at - NEAR : 0; k <= at + NEAR && !s->found && hr_burn(&s->fuel, 1); k += w)
        s->found = fits(s, k, end);
    s->end_at = at;
    return 0;
}

/* ---- heap_2 ---- */

/* From the first free block to a link beside xStart; sizes ascend. */
static bool list_2(struct shape *s, uint64_t start, uint64_t at, uint64_t *sum_ret)
{
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, last = 0;
    *sum_ret = 0;
    a->free.n = 0;
    while (at - start + NEAR > 2 * NEAR) {
        uint64_t size = word_at(s, at + w);
        if (!hr_burn(&s->fuel, 1) || !is_free(s, at) || size < last || size < a->head || hr_u64vec_push(&a->free, at) != HR_OK)
            return false;
        *sum_ret += last = size;
        if (word_at(s, at) == at)
            return false; /* MicroPython's type of types: every type leads to it, and it to itself */
        at = word_at(s, at);
    }
    s->end = at;
    s->total = word_at(s, at + w);
    return a->free.n && !word_at(s, at) && s->total >= *sum_ret && last <= s->total && a->free.n <= s->total / a->head;
}

/* The start from which blocks cover exactly the whole and meet all that are free. */
static bool cover(struct shape *s)
{
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, lo = UINT64_MAX, hi = 0, starts = 0;
    for (size_t i = 0; i < a->free.n; i++) {
        lo = hr_min(lo, a->free.v[i]);
        hi = hr_max(hi, a->free.v[i] + word_at(s, a->free.v[i] + w));
    }
    if (hi - lo > s->total)
        return false;
    for (uint64_t at = hi - s->total; at <= lo && hr_burn(&s->fuel, 1); at += w) {
        uint64_t p = at & ~(w - 1), end = p + s->total, met = 0;
        for (uint64_t size; p < end && hr_burn(&s->fuel, 1); p += size) {
            size = word_at(s, p + w) & ~a->used_bit;
            if (size < a->head || size > end - p || size & (w - 1))
                break;
            met += hr_emb_has(&a->free, p);
        }
        if (p != end || met != a->free.n)
            continue;
        if (!starts++)
            a->run[0] = (struct hr_range){end - s->total, s->total};
    }
    s->others = starts ? starts - 1 : 0;
    a->nruns = 1;
    return starts > 0;
}

static uint64_t look_2(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct shape *s = ctx;
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, first = hr_word_load(p, (unsigned)w, a->img->big), sum;
    if (s->found || n < 2 * w || !first || hr_word_load(p + w, (unsigned)w, a->img->big) || first - at + NEAR <= 2 * NEAR || !is_free(s, first))
        return 0;
    if (!list_2(s, at, first, &sum))
        return 0;
    s->start = at;
    a->kind = 2;
    a->free_says = sum;
    uint64_t end = s->end;
    a->run[0] = (struct hr_range){0, UINT64_MAX};
    a->nruns = 1;
    a->free.n = 0;
    s->found = hr_freertos_read_free(a, at, end) == HR_OK && !a->corrupt && cover(s);
    if (s->found && !(s->sum_at = beside(s, at, sum))) /* it begins as the whole size, not 0, so it may lie elsewhere */
        s->found = (s->sum_at = anywhere(s, 1, sum)) != 0;
    return 0;
}

/* ---- both ---- */

/* The link is as long as the port's alignment, 16 bytes on RISC-V: then all blocks begin and end on that. */
static void head_size(struct shape *s)
{
    struct hr_freertos *a = s->a;
    uint64_t w = a->img->word, bits = 0, n = 0;
    for (uint32_t i = 0; i < a->nruns; i++) {
        bits |= a->run[i].addr;
        for (uint64_t at = a->run[i].addr, end = at + a->run[i].size, size; at < end; at += size, n++) {
            size = word_at(s, at + w) & ~a->used_bit;
            if (size < 2 * w)
                break;
            if (at + size != end || a->kind != 2)
                bits |= size;
        }
    }
    if (w == 4 && n >= 6)
        a->head = bits & 15 ? 8 : 16;
}

static enum hr_status own(const struct shape *s)
{
    struct hr_builder *b = s->a->in->builder;
    uint64_t w = s->a->img->word;
    HR_TRY(hr_builder_own(b, s->start, 2 * w));
    HR_TRY(hr_builder_own(b, s->sum_at, w));
    return s->a->kind == 2 ? hr_builder_own(b, s->end, 2 * w) : hr_builder_own(b, s->end_at, w);
}

static void doubt(const struct shape *s)
{
    const struct hr_freertos *a = s->a;
    hr_note_at(a->notes, HR_NOTE_INFO, "heap.guessed", s->start,
               "FreeRTOS heap_%s without symbols: the list of free blocks from 0x%llx comes to its end, and their sum is the word at 0x%llx; that the heap begins at 0x%llx "
               "is what its blocks lead to%s", a->kind == 2 ? "2" : a->nruns > 1 ? "5" : "4 (or heap_5 with one region)", (unsigned long long)s->start, (unsigned long long)s->sum_at,
               (unsigned long long)a->run[0].addr, s->others ? "; other words would do as blocks, too, so that it may be wrong" : "");
}

enum hr_status hr_freertos_by_shape(struct hr_freertos *a, char *how, size_t cap)
{
    struct shape s = {.a = a, .fuel = hr_fuel(64 << 20)};
    a->head = 2ull * a->img->word;
    hr_emb_search(a->img, a->img->word, a->img->word, look, &s);
    if (!s.found) {
        a->canary = 0;
        s.others = 0;
        hr_emb_search(a->img, a->img->word, 2u * a->img->word, look_2, &s);
    }
    if (!s.found) {
        a->free.n = 0;
        a->corrupt = false;
        return HR_ABSENT;
    }
    if (a->kind == 4)
        full_regions(&s);
    head_size(&s);
    if (a->kind == 4 && a->nruns > 1)
        a->kind = 5;
    snprintf(how, cap, "no symbols: free list from 0x%llx to its end; its sum in the word at 0x%llx%s%s", (unsigned long long)s.start, (unsigned long long)s.sum_at,
             a->canary ? "; heap protector" : "", s.others ? "; start ambiguous" : "");
    doubt(&s);
    return own(&s);
}
