/* TLSF 3.1 (Matthew Conte's), and Espressif's fork of it without ESP-IDF around it, found by the shape of the control block.
 *
 * control_t: a null block {prev_phys, size, next_free, prev_free}, whose links are overwritten in passing; u32 fl_bitmap; u32
 * sl_bitmap[FL]; block *blocks[FL][32], where an empty list leads to the null block; FL is 24 with 32-bit words, 25 with 64.
 * The pool of tlsf_create_with_pool() follows. Its first block begins one word before it: {prev_phys (only when the one before
 * is free, and then in that one's last word), size with free in bit 0 and previous-free in bit 1}, then the user's bytes; free:
 * next_free, prev_free. The next block begins one word before the end of the size; size 0 ends the pool.
 * Espressif's fork (CircuitPython 9 and later has it on all boards) sizes its tables by the memory: behind the null block come u32
 * {fl_index_count:5, fl_index_shift:3, fl_index_max:6, sl_index_count:6, ...}, size_t size of it all, u32 fl_bitmap, sl_bitmap*, blocks*;
 * its sizes are multiples of 4 on every machine.
 * Layout: tlsf.c of version 3.1, and of the fork's branch idf in 2024; ESP-IDF's own heaps are esp_heap.c's. */
#include <stdio.h>
#include <stdlib.h>

#include "analyzer/allocators/embedded.h"

enum { SL = 32, FREE = 1, PREV_FREE = 2, FLAGS = 3, MAX_HEAPS = 16, MAX_POOLS = 64 };

struct heap {
    uint64_t control, size;
    bool fork;
    struct hr_u64vec free;        /* size words of the blocks on its lists, ascending */
    bool unread;                  /* not all of them are there: a list is broken or not captured */
    uint32_t arena;
};

struct pool {
    uint32_t heap;
    uint64_t start, end;          /* [start, end): from the first size word to the end block's */
};

struct tlsf {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct heap heap[MAX_HEAPS];
    struct pool pool[MAX_POOLS];
    uint32_t nheaps, npools;
};

/* Where the tables of a control block lie, from its start. */
struct form { unsigned nfl, nsl; uint64_t map, maps, lists, size; };

static struct form own_form(const struct hr_image *img)
{
    uint64_t w = img->word;
    struct form f = {.nfl = w == 8 ? 25 : 24, .nsl = SL, .map = 4 * w, .maps = 4 * w + 4};
    f.lists = (f.maps + 4ull * f.nfl + w - 1) & ~(w - 1);
    f.size = f.lists + (uint64_t)f.nfl * SL * w;
    return f;
}

/* The fork's control block says it itself. */
static bool fork_form(const struct hr_image *img, const uint8_t *p, size_t n, uint64_t at, struct form *f)
{
    unsigned w = img->word;
    bool big = img->big;
    uint64_t head = 9ull * w; /* five words behind the null block: each number has a word of its own room */
    uint32_t bits = hr_load32(p + 4 * w, big);
    *f = (struct form){.nfl = big ? bits >> 27 : bits & 31, .nsl = big ? bits >> 12 & 63 : bits >> 14 & 63, .map = 6ull * w, .maps = head};
    f->lists = (head + 4ull * f->nfl + w - 1) & ~(w - 1ull);
    f->size = head + 4ull * f->nfl + (uint64_t)f->nfl * f->nsl * w;
    return f->nfl && (f->nsl == 8 || f->nsl == 16 || f->nsl == 32) && f->lists + (uint64_t)f->nfl * f->nsl * w <= n &&
           hr_word_load(p + 5 * w, w, big) == f->size && hr_word_load(p + 7 * w, w, big) == at + head && hr_word_load(p + 8 * w, w, big) == at + f->lists;
}

/* Is p, with all bytes of a control block behind it, one that lies at `at`? Bitmaps and lists have to agree throughout. */
static bool control(const struct hr_image *img, const uint8_t *p, uint64_t at, const struct form *f)
{
    unsigned w = img->word;
    bool big = img->big;
    uint32_t fl = hr_load32(p + f->map, big);
    for (unsigned i = 0; i < f->nfl; i++) {
        uint32_t sl = hr_load32(p + f->maps + 4ull * i, big);
        if ((fl >> i & 1) != (sl != 0))
            return false;
        for (unsigned k = 0; k < f->nsl; k++) {
            uint64_t head = hr_word_load(p + f->lists + ((uint64_t)i * f->nsl + k) * w, w, big);
            if ((sl >> k & 1) != (head != at) || !head || head & 3)
                return false;
        }
    }
    return !(fl >> f->nfl);
}

static void damage(const struct tlsf *t, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(t->notes, HR_NOTE_DAMAGE, code, at, "TLSF: %s at 0x%llx", what, (unsigned long long)at);
}

/* ---- the lists of free blocks ---- */

/* From its head: each member leads back to the one before it, so none can come twice. */
static enum hr_status read_list(struct tlsf *t, struct heap *h, struct hr_arena *row, uint64_t head)
{
    uint64_t w = t->img->word, prev = h->control, raw, next, back;
    for (uint64_t p = head; p != h->control; p = next) {
        uint64_t at = p + w;
        h->unread = true; /* unless it goes on to the end */
        if (!(p & 3) && !hr_image_peek(t->img, at, 1).n && hr_image_find(t->img, prev, NULL) && hr_emb_missing(t->img, t->notes, "TLSF", at))
            return HR_OK;
        if (p & 3 || !hr_image_word(t->img, at, &raw) || !hr_image_word(t->img, at + w, &next) || !hr_image_word(t->img, at + 2 * w, &back)) {
            damage(t, row, "heap.corrupt.free-list", at, "a free list leads to no block");
            return HR_OK;
        }
        if (back != prev) {
            damage(t, row, "heap.corrupt.free-list", at, "prev_free of the block is not the one before it on its list (freed twice, or written to after it was freed),");
            return raw & FREE ? hr_u64vec_push(&h->free, at) : HR_OK;
        }
        if (!(raw & FREE))
            damage(t, row, "heap.corrupt.free-list", at, "block should be free: one in use is on a free list");
        else
            HR_TRY(hr_u64vec_push(&h->free, at));
        prev = p;
        h->unread = false;
    }
    return HR_OK;
}

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static enum hr_status read_lists(struct tlsf *t, struct heap *h, const struct form *f, struct hr_arena *row)
{
    bool unread = false;
    uint64_t head;
    for (uint64_t i = 0; i < (uint64_t)f->nfl * f->nsl; i++) {
        if (!hr_image_word(t->img, h->control + f->lists + i * t->img->word, &head))
            continue;
        HR_TRY(read_list(t, h, row, head));
        unread |= h->unread;
        h->unread = false;
    }
    h->unread = unread;
    if (h->free.n > 1)
        qsort(h->free.v, h->free.n, sizeof *h->free.v, ascending);
    return HR_OK;
}

/* ---- pools ---- */

/* Does a block begin at `at`? The size is 0 at a pool's end. */
static bool block(const struct tlsf *t, const struct heap *h, uint64_t at, uint64_t *size_ret)
{
    uint64_t w = t->img->word, align = h->fork ? 4 : w, size;
    if (!hr_image_word(t->img, at, &size))
        return false;
    *size_ret = size &= ~(uint64_t)FLAGS;
    return !(size & (align - 1)) && size <= 1ull << 32 && (!size || hr_image_peek(t->img, at + size, 1).n);
}

/* Where blocks lead from `at`, as far as they make sense; *whole_ret: to an end block. */
static uint64_t lead(const struct tlsf *t, const struct heap *h, uint64_t at, bool *whole_ret)
{
    uint64_t size;
    *whole_ret = false;
    for (uint32_t n = 0; n < HR_EMB_MAX_CHUNKS && block(t, h, at, &size); n++) {
        *whole_ret = !size;
        if (!size)
            break;
        at += t->img->word + size;
    }
    return at;
}

/* The variable that `at` lies in: [*lo_ret, *hi_ret). */
static bool variable(const struct tlsf *t, struct hr_types *types, uint64_t at, uint64_t *lo_ret, uint64_t *hi_ret)
{
    uint64_t w = t->img->word, off = 0;
    const struct hr_sym *s = hr_sym_at(types, at, &off);
    if (!s || s->kind != HR_SYM_DATA || off >= s->size)
        return false;
    *lo_ret = (s->addr + w - 1) & ~(w - 1);
    *hi_ret = s->addr + s->size;
    return true;
}

/* The end, beyond damage too: free blocks in the same memory lead on. A size of 0 long before the end of the variable is damage. */
static uint64_t pool_end(const struct tlsf *t, struct hr_types *types, const struct heap *h, uint64_t start)
{
    const struct hr_segment *s = hr_image_find(t->img, start, NULL);
    bool whole;
    uint64_t end = lead(t, h, start, &whole), next, lo, hi, w = t->img->word;
    bool named = variable(t, types, start, &lo, &hi);
    if (!s)
        return end;
    if (!named)
        hi = s->addr + s->bytes.n;
    while ((!whole || (named && end + 4 * w < hi)) && (next = hr_emb_above(&h->free, end, UINT64_MAX)) < hi)
        end = lead(t, h, next, &whole);
    return end;
}

/* Do blocks lead from `at` to the free one at `first`? */
static bool leads_to(const struct tlsf *t, const struct heap *h, uint64_t at, uint64_t first)
{
    uint64_t size;
    while (at < first && block(t, h, at, &size) && size)
        at += t->img->word + size;
    return at == first;
}

/* Words below a free block from which blocks lead to it, and what memory holds of them. */
struct chain {
    const struct hr_image *img;
    struct hr_u64vec at;          /* ascending */
    struct hr_u32vec len;         /* blocks from there on */
    uint64_t handle;              /* the lowest that a word holds: nobody but tlsf_add_pool() gives out the address of a size */
    struct hr_u64vec held;        /* those whose memory a word leads to, in no order */
};

static uint64_t look_held(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct chain *c = ctx;
    uint64_t w = c->img->word, v = hr_word_load(p, (unsigned)w, c->img->big);
    (void)at, (void)n;
    if (v < c->handle && hr_emb_has(&c->at, v))
        c->handle = v;
    if (hr_emb_has(&c->at, v - w) && hr_u64vec_push(&c->held, v - w) != HR_OK)
        return 0;
    return 0;
}

static void reverse(struct chain *c)
{
    for (size_t i = 0, k = c->at.n; i + 1 < k; i++) {
        uint64_t x = c->at.v[i];
        uint32_t y = c->len.v[i];
        c->at.v[i] = c->at.v[--k];
        c->at.v[k] = x;
        c->len.v[i] = c->len.v[k];
        c->len.v[k] = y;
    }
}

static enum hr_status read_chain(const struct tlsf *t, const struct heap *h, uint64_t first, uint64_t lo, struct chain *c)
{
    uint64_t w = t->img->word, size;
    HR_AUTOFREE uint32_t *len = hr_zalloc((first - lo) / w + 1, sizeof *len); /* per word below `first` */
    if (!len)
        return HR_NOMEM;
    len[0] = 1;
    for (uint64_t at = first; at >= lo + w;) {
        at -= w;
        uint64_t next = at + w;
        if (!block(t, h, at, &size) || !size || (next += size) > first || (first - next) % w || !len[(first - next) / w])
            continue;
        HR_TRY(hr_u64vec_push(&c->at, at));
        HR_TRY(hr_u32vec_push(&c->len, len[(first - at) / w] = len[(first - next) / w] + 1));
    }
    reverse(c);
    return HR_OK;
}

/* Of the longest chain, the first block that somebody knows: below it there may be words that only look like sizes. */
static uint64_t known_start(const struct tlsf *t, struct chain *c, uint64_t first)
{
    uint64_t w = t->img->word, at = first, size = 0;
    uint32_t most = 0;
    hr_emb_search(t->img, (unsigned)w, w, look_held, c);
    if (c->handle != UINT64_MAX)
        return c->handle;
    for (size_t i = 0; i < c->at.n; i++)
        if (c->len.v[i] > most) {
            most = c->len.v[i];
            at = c->at.v[i];
        }
    if (c->held.n > 1)
        qsort(c->held.v, c->held.n, sizeof *c->held.v, ascending);
    while (at < first && !hr_emb_has(&c->held, at) && hr_image_word(t->img, at, &size))
        at += w + (size & ~(uint64_t)FLAGS);
    return at;
}

/* Where an added pool begins: the variable it lies in, or the handle that tlsf_add_pool() returned, which is its address; else a guess. */
static uint64_t pool_start(const struct tlsf *t, struct hr_types *types, const struct heap *h, uint64_t first, bool *sure_ret)
{
    enum { FAR = 1 << 20 };
    uint64_t start = first, lo, hi, raw;
    *sure_ret = true;
    if (variable(t, types, first, &lo, &hi) && (leads_to(t, h, lo, first) || (h->control - lo >= hi - lo && block(t, h, lo, &raw) && raw))) /* else damage in between */
        return lo;
    const struct hr_segment *seg = hr_image_find(t->img, first, NULL);
    struct chain c = {.img = t->img, .at.max = FAR, .len.max = FAR, .held.max = FAR, .handle = UINT64_MAX};
    if (seg && read_chain(t, h, first, hr_max(seg->addr, first - hr_min(first, FAR)), &c) == HR_OK)
        start = known_start(t, &c, first);
    *sure_ret = start == c.handle;
    hr_u64vec_deinit(&c.at);
    hr_u32vec_deinit(&c.len);
    hr_u64vec_deinit(&c.held);
    return start;
}

static bool in_pool(const struct tlsf *t, uint64_t at)
{
    for (uint32_t i = 0; i < t->npools; i++)
        if (at >= t->pool[i].start && at < t->pool[i].end)
            return true;
    return false;
}

static void find_pools(struct tlsf *t, struct hr_types *types, uint32_t nr)
{
    struct heap *h = &t->heap[nr];
    uint64_t start = h->control + h->size, end = pool_end(t, types, h, start);
    if (end > start && t->npools < MAX_POOLS)
        t->pool[t->npools++] = (struct pool){nr, start, end};
    for (size_t i = 0; i < h->free.n && t->npools < MAX_POOLS; i++) {
        uint64_t at = h->free.v[i];
        if (in_pool(t, at))
            continue;
        bool sure;
        start = pool_start(t, types, h, at, &sure);
        end = pool_end(t, types, h, at);
        if (end <= at)
            continue;
        t->pool[t->npools++] = (struct pool){nr, start, end};
        if (!sure)
            hr_note_at(t->notes, HR_NOTE_INFO, "heap.guessed", start, "TLSF: an added pool holds the free block at 0x%llx; that it begins at 0x%llx is what its blocks and the words "
                       "that lead to them say: there may be more in front of it", (unsigned long long)at, (unsigned long long)start);
    }
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct tlsf *t = self;
    const struct pool *p = &t->pool[cookie];
    const struct heap *h = &t->heap[p->heap];
    struct hr_arena *row = hr_builder_arena_at(b, h->arena);
    uint64_t w = t->img->word, raw, size, link;
    bool before = false, known = p->start == h->control + h->size;
    for (uint64_t at = p->start; at < p->end;) {
        if (!block(t, h, at, &size) || !size || size > p->end - at) {
            if (!hr_emb_missing(t->img, t->notes, "TLSF", at))
                damage(t, row, "heap.corrupt.size", at, "the size of the block makes no sense (an overrun of the block before it?); up to the next free block nothing is known,");
            uint64_t next = hr_emb_above(&h->free, at, p->end);
            HR_TRY(hr_emit_unknown(b, at, next - at));
            at = next;
            known = false;
            continue;
        }
        hr_image_word(t->img, at, &raw);
        if (known && !(raw & PREV_FREE) == before)
            damage(t, row, "heap.corrupt.prev-status", at, "block_is_prev_free() contradicts the block before it");
        if (known && before && hr_image_word(t->img, at - w, &link) && link + 2 * w > at)
            damage(t, row, "heap.corrupt.prev-phys", at, "prev_phys_block leads forward");
        if (known && before && raw & FREE)
            damage(t, row, "heap.corrupt.not-merged", at, "two free blocks side by side");
        if (raw & FREE && !h->unread && !hr_emb_has(&h->free, at))
            damage(t, row, "heap.corrupt.free-list", at, "a free block is on no list:");
        before = raw & FREE;
        known = true;
        HR_TRY(hr_emit(b, at + w, size, before ? HR_FREE : HR_USED));
        at += w + size;
    }
    if (!block(t, h, p->end, &size) || size) {
        if (!hr_emb_missing(t->img, t->notes, "TLSF", p->end))
            damage(t, row, "heap.corrupt.size", p->end, "the size of the block makes no sense; what follows it is not known,");
        HR_TRY(hr_builder_unknown(b, p->end, w));
    }
    return HR_OK;
}

/* ---- finding ---- */

/* How many bytes the control block at p is long; 0: there is none. */
static uint64_t look(const struct hr_image *img, const uint8_t *p, size_t n, uint64_t at, bool *fork_ret)
{
    struct form f = own_form(img);
    unsigned w = img->word;
    /* 3.1: the list of the largest blocks is empty wherever memory is less than a gigabyte */
    *fork_ret = false;
    if (n >= f.size && hr_word_load(p + f.size - w, w, img->big) == at && control(img, p, at, &f))
        return f.size;
    *fork_ret = true; /* next_free of the null block leads to itself */
    return n >= 10u * w && hr_word_load(p + 2 * w, w, img->big) == at && fork_form(img, p, n, at, &f) && control(img, p, at, &f) ? f.size : 0;
}

static enum hr_status search(struct tlsf *t)
{
    const struct hr_image *img = t->img;
    uint64_t w = img->word;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        uint64_t off = -seg->addr & (w - 1);
        for (; seg->flags & HR_SEG_W && off < seg->bytes.n && t->nheaps < MAX_HEAPS; off += w) {
            uint64_t at = seg->addr + off;
            bool fork;
            if (off >= w && hr_word_load(seg->bytes.p + off - w, (unsigned)w, img->big) == at) /* heap_data: ESP-IDF's, see esp_heap.c */
                continue;
            uint64_t need = look(img, seg->bytes.p + off, (size_t)(seg->bytes.n - off), at, &fork);
            if (!need)
                continue;
            t->heap[t->nheaps++] = (struct heap){.control = at, .size = need, .fork = fork, .free.max = HR_EMB_MAX_CHUNKS};
            off += (need & ~(w - 1)) - w;
        }
    }
    return t->nheaps ? HR_OK : HR_ABSENT;
}

static enum hr_status settle(struct tlsf *t, struct hr_allocator_in *in, uint32_t nr, uint16_t id)
{
    struct heap *h = &t->heap[nr];
    struct hr_arena a = {.allocator = id, .addr = h->control};
    struct form f = own_form(t->img);
    struct hr_span s = hr_image_peek(t->img, h->control, h->size);
    if (h->fork)
        (void)fork_form(t->img, s.p, s.n, h->control, &f);
    HR_TRY(hr_strs_addf(t->img->strs, &a.name, "TLSF (0x%llx)", (unsigned long long)h->control));
    HR_TRY(hr_builder_arena(in->builder, &a, &h->arena));
    HR_TRY(hr_builder_own(in->builder, h->control, h->size));
    HR_TRY(read_lists(t, h, &f, hr_builder_arena_at(in->builder, h->arena)));
    uint32_t first = t->npools;
    find_pools(t, in->types, nr);
    for (uint32_t i = first; i < t->npools; i++)
        HR_TRY(hr_builder_region(in->builder, t->pool[i].start, t->pool[i].end - t->pool[i].start, h->arena, walk, t, i));
    if (first == t->npools)
        hr_note_at(t->notes, HR_NOTE_DEGRADED, "heap.no_pool", h->control, "TLSF: no pool follows the control block at 0x%llx (tlsf_create without one), and nothing is free in others, so they are not found",
                   (unsigned long long)h->control);
    return HR_OK;
}

static enum hr_status declare(struct tlsf *t, struct hr_allocator_in *in)
{
    struct hr_allocator_info info = {.name = "TLSF", .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    uint16_t id;
    snprintf(info.version, sizeof info.version, "%s", t->heap[0].fork ? "Espressif's" : "3.1");
    snprintf(info.evidence, sizeof info.evidence, "a control block at 0x%llx whose bitmaps and lists agree", (unsigned long long)t->heap[0].control);
    HR_TRY(hr_builder_allocator(in->builder, &info, t->heap[0].fork ? 2 : (uint8_t)__builtin_ctz(t->img->word), &id));
    for (uint32_t i = 0; i < t->nheaps; i++)
        HR_TRY(settle(t, in, i, id));
    return HR_OK;
}

static void close(void *self)
{
    struct tlsf *t = self;
    for (uint32_t i = 0; i < t->nheaps; i++)
        hr_u64vec_deinit(&t->heap[i].free);
    hr_free(t);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    if (!in->image->bare) /* a search through all memory: for machines that have little */
        return HR_ABSENT;
    struct tlsf *t = hr_zalloc(1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    t->img = in->image;
    t->notes = in->notes;
    enum hr_status st = search(t);
    if (st == HR_OK)
        st = declare(t, in);
    if (st != HR_OK) {
        close(t);
        return st;
    }
    *self_ret = t;
    return HR_OK;
}

const struct hr_allocator hr_allocator_tlsf = {.name = "TLSF", .open = open, .close = close};
