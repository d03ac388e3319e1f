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

#include "analyzer/allocators/embedded.h"

enum { SL = 32, FREE = 1, PREV_FREE = 2, FLAGS = 3, MAX_POOLS = 16 };

struct pool {
    uint64_t control, start, end; /* [start, end): from the first size word to the end block's */
    bool fork;
    uint32_t arena;
};

struct tlsf {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct pool pool[MAX_POOLS];
    uint32_t npools;
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

/* The pool's end: where blocks lead, as far as they make sense. */
static uint64_t pool_end(const struct hr_image *img, uint64_t start, bool fork)
{
    uint64_t at = start, size, w = img->word, align = fork ? 4 : w;
    for (uint32_t n = 0; n < HR_EMB_MAX_CHUNKS && hr_image_word(img, at, &size); n++) {
        size &= ~(uint64_t)FLAGS;
        if (!size || size & (align - 1) || size > (1ull << 32) || !hr_image_peek(img, at + size, 1).n)
            break;
        at += w + size;
    }
    return at;
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct tlsf *t = self;
    struct pool *p = &t->pool[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, p->arena);
    uint64_t w = t->img->word, raw, size, link;
    bool before = false;
    for (uint64_t at = p->start; at < p->end; at += w + size) {
        if (!hr_image_word(t->img, at, &raw))
            return HR_OK;
        size = raw & ~(uint64_t)FLAGS;
        if (!(raw & PREV_FREE) == before)
            damage(t, row, "heap.corrupt.prev-status", at, "block_is_prev_free() contradicts the block before it");
        if (before && hr_image_word(t->img, at - w, &link) && link + 2 * w > at)
            damage(t, row, "heap.corrupt.prev-phys", at, "prev_phys_block leads forward");
        if (before && raw & FREE)
            damage(t, row, "heap.corrupt.not-merged", at, "two free blocks side by side");
        before = raw & FREE;
        if (before && hr_image_word(t->img, at + w, &link) && !hr_image_peek(t->img, link, 1).n)
            damage(t, row, "heap.corrupt.free-list", at, "next_free of a free block leads nowhere");
        HR_TRY(hr_emit(b, at + w, size, before ? HR_FREE : HR_USED));
    }
    if (!hr_image_word(t->img, p->end, &raw) || raw & ~(uint64_t)FLAGS)
        damage(t, row, "heap.corrupt.size", p->end, "the size of the block makes no sense; what follows it is not known,");
    return HR_OK;
}

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
        for (; seg->flags & HR_SEG_W && off < seg->bytes.n && t->npools < MAX_POOLS; off += w) {
            uint64_t at = seg->addr + off;
            bool fork;
            if (off >= w && hr_word_load(seg->bytes.p + off - w, (unsigned)w, img->big) == at) /* heap_data: ESP-IDF's, see esp_heap.c */
                continue;
            uint64_t need = look(img, seg->bytes.p + off, (size_t)(seg->bytes.n - off), at, &fork);
            if (!need)
                continue;
            t->pool[t->npools++] = (struct pool){.control = at, .start = at + need, .end = pool_end(img, at + need, fork), .fork = fork};
            off += (need & ~(w - 1)) - w;
        }
    }
    return t->npools ? HR_OK : HR_ABSENT;
}

static enum hr_status declare(struct tlsf *t, struct hr_allocator_in *in)
{
    struct hr_allocator_info info = {.name = "TLSF", .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    uint16_t id;
    snprintf(info.version, sizeof info.version, "%s", t->pool[0].fork ? "Espressif's" : "3.1");
    snprintf(info.evidence, sizeof info.evidence, "a control block at 0x%llx whose bitmaps and lists agree", (unsigned long long)t->pool[0].control);
    HR_TRY(hr_builder_allocator(in->builder, &info, t->pool[0].fork ? 2 : (uint8_t)__builtin_ctz(t->img->word), &id));
    for (uint32_t i = 0; i < t->npools; i++) {
        struct pool *p = &t->pool[i];
        struct hr_arena a = {.allocator = id, .addr = p->control};
        HR_TRY(hr_strs_addf(t->img->strs, &a.name, "TLSF (0x%llx)", (unsigned long long)p->control));
        HR_TRY(hr_builder_arena(in->builder, &a, &p->arena));
        HR_TRY(hr_builder_own(in->builder, p->control, p->start - p->control));
        if (p->end > p->start)
            HR_TRY(hr_builder_region(in->builder, p->start, p->end - p->start, p->arena, walk, t, i));
        else
            hr_note_at(t->notes, HR_NOTE_DEGRADED, "heap.no_pool", p->control, "TLSF: no pool follows the control block at 0x%llx (tlsf_create without one): pools elsewhere are not found",
                       (unsigned long long)p->control);
    }
    return HR_OK;
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
        hr_free(t);
        return st;
    }
    *self_ret = t;
    return HR_OK;
}

const struct hr_allocator hr_allocator_tlsf = {.name = "TLSF", .open = open, .close = hr_free};
