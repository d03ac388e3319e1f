/* ESP-IDF's multi_heap: finding the heaps, walking them.
 *
 * Each heap begins with struct multi_heap_info. Since 4.3 that is {lock, free_bytes, minimum_free_bytes, pool_size, heap_data} and
 * a TLSF control block right behind it, which begins with a block that leads to itself: sizes and places of its tables are in it
 * since 5.1, and come with the chip before. Up to 4.2 it is {lock, free_bytes, minimum_free_bytes, last_block, first_block{header,
 * next_free}}. heap_t of the list registered_heaps names start, end and capabilities of each: {[name,] caps[3], start, end, lock,
 * heap, next}.
 * Layout: components/heap of IDF 3.0 to 6.0. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/esp_heap.h"

enum { INFO = 20, OLD_INFO = 24, NULL_BLOCK = 16, CONTROL = 36 };

/* ---- walking ---- */

/* Behind damage: the next block that a free list or a canary proves. */
static uint64_t recover(const struct hr_esp *a, const struct hr_esp_heap *h, uint64_t at, const struct hr_u64vec *listed)
{
    uint64_t v;
    struct hr_esp_block b;
    for (at += 4; at < hr_esp_last(h); at += 4) {
        bool proof = hr_emb_has(listed, at) || (h->poison && hr_image_uint(a->img, at + 4, 4, &v) && v == 0xabba1234u);
        if (proof && hr_esp_block(a, h, at, &b))
            return at;
    }
    return hr_esp_last(h);
}

static enum hr_status run(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, const struct hr_u64vec *listed, struct hr_builder *out)
{
    struct hr_fuel fuel = hr_fuel(hr_min(16 * (h->end - h->info), HR_EMB_SEARCH));
    bool before = false, known = true, gap = false;
    uint64_t free_bytes = 0, says = 0, back;
    for (uint64_t at = h->first; at < hr_esp_last(h);) {
        struct hr_esp_block b;
        if (!hr_esp_block(a, h, at, &b)) {
            if (hr_emb_missing(a->img, a->notes, "ESP-IDF", at))
                gap = true;
            else
                hr_esp_damage(a, row, "heap.corrupt.size", at, "the size of the block makes no sense (an overrun of the block before it?), the block");
            uint64_t from = at;
            at = hr_burn(&fuel, h->end - at) ? recover(a, h, at, listed) : hr_esp_last(h);
            HR_TRY(hr_emit_unknown(out, from, at - from));
            known = false;
            continue;
        }
        if (h->control && known && b.before_free != before)
            hr_esp_damage(a, row, "heap.corrupt.prev-status", at, "prev status incorrect in the block");
        if (h->control && known && before && b.before_free && hr_image_uint(a->img, at - 4, 4, &back) && back + 4 + NULL_BLOCK > at + 4)
            hr_esp_damage(a, row, "heap.corrupt.prev-phys", at, "prev_phys_block leads forward from the block");
        if (known && before && b.free)
            hr_esp_damage(a, row, "heap.corrupt.not-merged", at, "Two adjacent free blocks found, the second");
        if (b.free && !hr_emb_has(listed, at) && !row->corrupt)
            hr_esp_damage(a, row, "heap.corrupt.free-list", at, "a free block is on no list:");
        known = true;
        before = b.free;
        if (b.free) {
            free_bytes += b.size;
            hr_esp_check_free(a, h, row, &b);
        } else {
            hr_esp_unpoison(a, h, row, &b.mem, &b.size);
        }
        if (b.size)
            HR_TRY(hr_emit(out, b.mem, b.size, b.free ? HR_FREE : HR_USED));
        at = b.next;
    }
    /* TLSF's free_bytes is kept by differences that changed with the versions; no check of theirs looks at it */
    if (!h->control && !row->corrupt && !gap && hr_image_uint(a->img, h->info + 4, 4, &says) && says != free_bytes)
        hr_esp_damage(a, row, "heap.corrupt.free-bytes", h->info, "free_bytes is not the sum of the free blocks: the heap");
    return HR_OK;
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *out)
{
    const struct hr_esp *a = self;
    const struct hr_esp_heap *h = &a->heap[cookie];
    struct hr_arena *row = hr_builder_arena_at(out, h->arena);
    struct hr_u64vec listed = {.max = HR_EMB_MAX_CHUNKS};
    enum hr_status st = hr_esp_free(a, h, row, &listed);
    if (st == HR_OK)
        st = run(a, h, row, &listed, out);
    hr_u64vec_deinit(&listed);
    return st;
}

/* ---- finding ---- */

/* How far blocks hang together from the first on: share of the heap's bytes, in per cent. */
static unsigned whole(struct hr_esp *a, const struct hr_esp_heap *h)
{
    struct hr_esp_block b;
    uint64_t at = h->first;
    while (at < hr_esp_last(h) && hr_burn(&a->look, 1) && hr_esp_block(a, h, at, &b))
        at = b.next;
    return h->end > h->first ? (unsigned)(100 * (at - h->first) / (hr_esp_last(h) - h->first)) : 0;
}

/* The last size word of the pool is 0. Is it where the control block's size says that the pool ends? */
static bool closed(const struct hr_esp *a, const struct hr_esp_heap *h)
{
    uint64_t v;
    return h->first + 12 < h->end && hr_image_uint(a->img, hr_esp_last(h), 4, &v) && !(v & ~(uint64_t)2);
}

/* Since 5.1: {fl_index_count:5, fl_index_shift:3, fl_index_max:6, sl_index_count:6, …}, size, fl_bitmap, sl_bitmap, blocks. */
static bool sized(const struct hr_esp *a, struct hr_esp_heap *h)
{
    uint64_t c = h->control, bits, size;
    if (!hr_image_uint(a->img, c + 16, 4, &bits) || !hr_image_uint(a->img, c + 20, 4, &size) || !hr_image_uint(a->img, c + 28, 4, &h->sl) ||
        !hr_image_uint(a->img, c + 32, 4, &h->lists))
        return false;
    if (a->img->big) { /* bit fields begin at the other end there */
        h->nfl = bits >> 27;
        h->nsl = bits >> 12 & 63;
    } else {
        h->nfl = bits & 31;
        h->nsl = bits >> 14 & 63;
    }
    h->bitmap = c + 24;
    h->first = c + size;
    return h->nfl && (h->nsl == 8 || h->nsl == 16 || h->nsl == 32) && size == CONTROL + 4ull * h->nfl + 4ull * h->nfl * h->nsl && h->sl == c + CONTROL &&
           h->lists == h->sl + 4ull * h->nfl && closed(a, h);
}

/* 4.3 to 5.0, and in ROM: as many first-level lists as the chip's memory needs; the right number makes maps and lists agree. */
static bool guessed(struct hr_esp *a, struct hr_esp_heap *h)
{
    h->nsl = 32;
    h->bitmap = h->control + NULL_BLOCK;
    h->sl = h->bitmap + 4;
    for (h->nfl = 24; h->nfl >= 8; h->nfl--) {
        h->lists = h->sl + 4ull * h->nfl;
        h->first = h->lists + 128ull * h->nfl;
        if (closed(a, h) && hr_burn(&a->look, 33ull * h->nfl) && hr_esp_lists_agree(a, h) && whole(a, h) == 100)
            return true;
    }
    for (h->nfl = 24; h->nfl >= 8; h->nfl--) { /* a damaged heap */
        h->lists = h->sl + 4ull * h->nfl;
        h->first = h->lists + 128ull * h->nfl;
        if (closed(a, h) && hr_burn(&a->look, 33ull * h->nfl) && hr_esp_lists_agree(a, h))
            return true;
    }
    return false;
}

static bool tlsf(struct hr_esp *a, uint64_t at, const uint8_t *p, size_t n, struct hr_esp_heap *h)
{
    bool big = a->img->big;
    uint64_t control = hr_load32(p + 16, big), pool = hr_load32(p + 12, big), v;
    if (control != at + INFO || pool < CONTROL + 64 || pool > n || pool + INFO > n || hr_load32(p + 4, big) > pool || hr_load32(p + 8, big) > pool)
        return false;
    if (!hr_image_uint(a->img, control + 8, 4, &v) || v != control) /* next_free of the null block; its prev_free is written to */
        return false;
    *h = (struct hr_esp_heap){.info = at, .control = control, .end = (at + INFO + pool) & ~3ull};
    return sized(a, h) || guessed(a, h);
}

static bool old(struct hr_esp *a, uint64_t at, const uint8_t *p, size_t n, struct hr_esp_heap *h)
{
    bool big = a->img->big;
    uint64_t last = hr_load32(p + 12, big), v, w;
    if (hr_load32(p + 16, big) != ((at + OLD_INFO) | 1) || last <= at + OLD_INFO || last - at > n - 8 || last & 3 || hr_load32(p + 4, big) > last - at)
        return false;
    if (!hr_image_uint(a->img, last, 4, &v) || !hr_image_uint(a->img, last + 4, 4, &w) || v != 1 || w)
        return false;
    *h = (struct hr_esp_heap){.info = at, .first = at + OLD_INFO, .end = last + 8};
    return whole(a, h) > 0;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct hr_esp *a = ctx;
    struct hr_esp_heap h;
    if (a->n == HR_ESP_MAX_HEAPS || (!tlsf(a, at, p, n, &h) && !old(a, at, p, n, &h)))
        return 0;
    hr_esp_find_poison(a, &h, a->votes);
    a->heap[a->n++] = h;
    return h.end - h.info;
}

/* ---- registered heaps ---- */

bool hr_esp_registered(const struct hr_esp *a, uint64_t at, struct hr_esp_heap *h)
{
    uint64_t v, name;
    bool handle = false;
    for (unsigned k = 2; k < 8 && hr_image_uint(a->img, at + 4 * k, 4, &v); k++)
        handle |= v == h->info;
    if (!handle)
        return false;
    for (unsigned k = 1; k <= 3; k++)
        if (hr_image_uint(a->img, at - 4 * k, 4, &v))
            h->caps |= (uint32_t)v;
    if (hr_image_uint(a->img, at - 16, 4, &name) && name && hr_image_cstr(a->img, name, h->name, sizeof h->name))
        for (const char *c = h->name; *c; c++)
            if (!isalnum((unsigned char)*c) && !strchr("_-/ .", *c))
                *h->name = 0; /* no name: the word belongs to something else */
    return true;
}

/* heap_t of one of ours: start and end beside each other, its capabilities before them, its handle behind. */
static uint64_t look_registered(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct hr_esp *a = ctx;
    uint64_t start = hr_load32(p, a->img->big), end = hr_load32(p + 4, a->img->big);
    (void)n;
    for (uint32_t i = 0; i < a->n; i++) {
        struct hr_esp_heap *h = &a->heap[i];
        if (start == h->info && end >= h->end && end - h->end <= 16)
            hr_esp_registered(a, at, h);
    }
    return 0;
}

/* MALLOC_CAP_* of esp_heap_caps.h. */
void hr_esp_caps(uint32_t caps, char *buf, size_t cap)
{
    static const char *const names[32] = {
        [0] = "EXEC", [1] = "32BIT", [2] = "8BIT", [3] = "DMA", [10] = "SPIRAM", [11] = "INTERNAL", [12] = "DEFAULT", [13] = "IRAM_8BIT", [14] = "RETENTION",
        [15] = "RTCRAM", [16] = "TCM", [17] = "DMA_DESC_AHB", [18] = "DMA_DESC_AXI", [19] = "CACHE_ALIGNED", [20] = "SIMD",
    };
    size_t at = 0;
    *buf = 0;
    for (unsigned i = 0; i < 32; i++)
        if (caps >> i & 1 && names[i] && at + strlen(names[i]) + 2 < cap)
            at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? "|" : "", names[i]);
}

static enum hr_status declare(struct hr_esp *a, struct hr_allocator_in *in)
{
    static const char *const own[] = {"registered_heaps", NULL};
    const struct hr_esp_heap *h = &a->heap[0];
    for (uint32_t i = 1; i < a->n; i++) /* the one that tells most; heaps that were never used show no poison */
        if (a->heap[i].poison > h->poison || (a->heap[i].tracked && !h->tracked))
            h = &a->heap[i];
    char how[160], name[160], caps[100];
    uint16_t id;
    uint8_t shift = 2;
    snprintf(how, sizeof how, "multi_heap_info at 0x%llx with %s behind it%s%s", (unsigned long long)h->info, h->control ? "a TLSF control block" : "its first block",
             h->slow ? "; comprehensive poisoning" : h->poison ? "; light poisoning" : "", h->tracked || h->owner ? "; task tracking" : "");
    HR_TRY(hr_emb_allocator(in, "ESP-IDF", h->control ? (h->bitmap == h->control + 24 ? "multi_heap 5.1+" : "multi_heap 4.3+") : "multi_heap <=4.2", how, shift, &id));
    HR_TRY(hr_emb_own(in, own));
    for (uint32_t i = 0; i < a->n; i++) {
        h = &a->heap[i];
        hr_esp_caps(h->caps, caps, sizeof caps);
        snprintf(name, sizeof name, "%s%s0x%llx%s%s", h->name, *h->name ? " " : "", (unsigned long long)h->info, *caps ? " " : "", caps);
        HR_TRY(hr_emb_arena(in, id, h->info, name, &a->heap[i].arena));
        HR_TRY(hr_builder_region(in->builder, h->info, h->end - h->info, h->arena, walk, a, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    if (!in->image->bare || in->image->word != 4)
        return HR_ABSENT;
    struct hr_esp *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    a->img = in->image;
    a->notes = in->notes;
    a->look = hr_fuel(64 << 20);
    if (!(a->votes = hr_alloc(sizeof *a->votes))) {
        hr_free(a);
        return HR_NOMEM;
    }
    hr_emb_search(a->img, 4, 64, look, a);
    if (a->n)
        hr_emb_search(a->img, 4, 24, look_registered, a);
    hr_free(a->votes);
    a->votes = NULL;
    enum hr_status st = a->n ? declare(a, in) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_esp_heap = {.name = "ESP-IDF", .open = open, .close = hr_free};
