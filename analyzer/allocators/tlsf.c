/* TLSF 3.1 (Matthew Conte's), found by the shape of its control block.
 *
 * control_t: a null block {prev_phys, size, next_free, prev_free}, whose links are overwritten in passing; u32 fl_bitmap; u32
 * sl_bitmap[FL]; block *blocks[FL][32], where an empty list leads to the null block; FL is 24 with 32-bit words, 25 with 64.
 * The pool of tlsf_create_with_pool() follows. Its first block begins one word before it: {prev_phys (only when the one before
 * is free, and then in that one's last word), size with free in bit 0 and previous-free in bit 1}, then the user's bytes; free:
 * next_free, prev_free. The next block begins one word before the end of the size; size 0 ends the pool.
 * Layout: tlsf.c of version 3.1; ESP-IDF's fork is esp_heap.c's. */
#include <stdio.h>

#include "analyzer/allocators/embedded.h"

enum { SL = 32, FREE = 1, PREV_FREE = 2, FLAGS = 3, MAX_POOLS = 16 };

struct pool {
    uint64_t control, start, end; /* [start, end): from the first size word to the end block's */
    uint32_t arena;
};

struct tlsf {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct pool pool[MAX_POOLS];
    uint32_t npools;
};

static unsigned nfl(const struct hr_image *img) { return img->word == 8 ? 25 : 24; }
static uint64_t maps_at(const struct hr_image *img) { return 4u * img->word; }
static uint64_t lists_at(const struct hr_image *img)
{
    uint64_t end = maps_at(img) + 4u * (1 + nfl(img)), w = img->word;
    return (end + w - 1) & ~(w - 1);
}
static uint64_t control_size(const struct hr_image *img) { return lists_at(img) + (uint64_t)nfl(img) * SL * img->word; }

/* Is p, with all bytes of a control block behind it, one that lies at `at`? Bitmaps and lists have to agree throughout. */
static bool control(const struct hr_image *img, const uint8_t *p, uint64_t at)
{
    unsigned w = img->word;
    bool big = img->big;
    uint32_t fl = hr_load32(p + maps_at(img), big);
    for (unsigned i = 0; i < nfl(img); i++) {
        uint32_t sl = hr_load32(p + maps_at(img) + 4 * (1 + i), big);
        if ((fl >> i & 1) != (sl != 0))
            return false;
        for (unsigned k = 0; k < SL; k++) {
            uint64_t head = hr_word_load(p + lists_at(img) + ((uint64_t)i * SL + k) * w, w, big);
            if ((sl >> k & 1) != (head != at) || !head || head & (w - 1))
                return false;
        }
    }
    return !(fl >> nfl(img));
}

static void damage(const struct tlsf *t, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(t->notes, HR_NOTE_DAMAGE, code, at, "TLSF: %s at 0x%llx", what, (unsigned long long)at);
}

/* The pool's end: where blocks lead, as far as they make sense. */
static uint64_t pool_end(const struct hr_image *img, uint64_t start)
{
    uint64_t at = start, size, w = img->word;
    for (uint32_t n = 0; n < HR_EMB_MAX_CHUNKS && hr_image_word(img, at, &size); n++) {
        size &= ~(uint64_t)FLAGS;
        if (!size || size & (w - 1) || size > (1ull << 32) || !hr_image_peek(img, at + size, 1).n)
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

static enum hr_status search(struct tlsf *t)
{
    const struct hr_image *img = t->img;
    uint64_t need = control_size(img), w = img->word;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        uint64_t off = -seg->addr & (w - 1);
        for (; seg->flags & HR_SEG_W && seg->bytes.n >= need && off <= seg->bytes.n - need && t->npools < MAX_POOLS; off += w) {
            uint64_t at = seg->addr + off;
            if (off >= w && hr_word_load(seg->bytes.p + off - w, (unsigned)w, img->big) == at) /* heap_data: ESP-IDF's, see esp_heap.c */
                continue;
            /* the list of the largest blocks is empty wherever memory is less than a gigabyte */
            if (hr_word_load(seg->bytes.p + off + need - w, (unsigned)w, img->big) != at || !control(img, seg->bytes.p + off, at))
                continue;
            uint64_t start = at + need;
            t->pool[t->npools++] = (struct pool){.control = at, .start = start, .end = pool_end(img, start)};
            off += need;
        }
    }
    return t->npools ? HR_OK : HR_ABSENT;
}

static enum hr_status declare(struct tlsf *t, struct hr_allocator_in *in)
{
    struct hr_allocator_info info = {.name = "TLSF", .version = "3.1", .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    uint16_t id;
    snprintf(info.evidence, sizeof info.evidence, "a control block at 0x%llx whose bitmaps and lists agree", (unsigned long long)t->pool[0].control);
    HR_TRY(hr_builder_allocator(in->builder, &info, (uint8_t)__builtin_ctz(t->img->word), &id));
    for (uint32_t i = 0; i < t->npools; i++) {
        struct pool *p = &t->pool[i];
        struct hr_arena a = {.allocator = id, .addr = p->control};
        HR_TRY(hr_strs_addf(t->img->strs, &a.name, "TLSF (0x%llx)", (unsigned long long)p->control));
        HR_TRY(hr_builder_arena(in->builder, &a, &p->arena));
        HR_TRY(hr_builder_own(in->builder, p->control, control_size(t->img)));
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
