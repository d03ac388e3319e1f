/* ESP-IDF core dumps with CONFIG_ESP_COREDUMP_CAPTURE_DRAM (since 5.3) save the heap block by block: one segment for each block in
 * use, and nothing of free blocks, headers or multi_heap_info. Which memory is heap is in the registered heaps (heap_t), which are
 * variables or blocks in use and so are there. */
#include <stdio.h>

#include "analyzer/allocators/esp_heap.h"

enum { LEAST_HEAP = 1024, MOST_HEAP = 64 << 20, ALL_CAPS = 0x83ffffff };

/* Segments that lie wholly within the heap: index of the first, how many. */
static size_t parts(const struct hr_image *img, const struct hr_esp_heap *h, uint32_t *first_ret)
{
    uint32_t i = *first_ret = hr_image_seg_above(img, h->info);
    size_t n = 0;
    for (; i < img->segs.n && img->segs.v[i].addr < h->end; i++)
        n += img->segs.v[i].addr >= h->info && img->segs.v[i].addr + img->segs.v[i].msize <= h->end;
    return n;
}

/* Is there any? Of segments that do not overlap, all but the first in there begin in there, and all but the last end in there. */
static bool any(const struct hr_image *img, const struct hr_esp_heap *h)
{
    uint32_t i = hr_image_seg_above(img, h->info);
    for (uint32_t k = i; k < img->segs.n && k < i + 3; k++)
        if (img->segs.v[k].addr >= h->info && img->segs.v[k].addr + img->segs.v[k].msize <= h->end)
            return true;
    return false;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct hr_esp *a = ctx;
    struct hr_esp_heap h = {.info = hr_load32(p, a->img->big), .end = hr_load32(p + 4, a->img->big)};
    (void)n;
    if (h.info & 3 || h.end <= h.info || h.end - h.info < LEAST_HEAP || h.end - h.info > MOST_HEAP || a->n == HR_ESP_MAX_HEAPS)
        return 0;
    if (hr_image_peek(a->img, h.info, 1).n || !hr_esp_registered(a, at, &h) || !h.caps || h.caps & ~(uint32_t)ALL_CAPS || !any(a->img, &h))
        return 0;
    for (uint32_t i = 0; i < a->n; i++)
        if (h.info < a->heap[i].end && a->heap[i].info < h.end)
            return 0;
    a->heap[a->n++] = h;
    return 0;
}

static void decide(struct hr_esp *a, struct hr_esp_heap *h)
{
    uint32_t i;
    size_t n = parts(a->img, h, &i);
    *a->votes = (struct hr_esp_votes){0};
    for (; n && i < a->img->segs.n; i++) {
        const struct hr_segment *s = &a->img->segs.v[i];
        if (s->addr < h->info || s->addr + s->msize > h->end)
            continue;
        hr_esp_vote(a, a->votes, s->addr, s->msize);
        n--;
    }
    hr_esp_decide(a, a->votes, h);
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *out)
{
    const struct hr_esp *a = self;
    const struct hr_esp_heap *h = &a->heap[cookie];
    struct hr_arena *row = hr_builder_arena_at(out, h->arena);
    uint32_t i;
    size_t n = parts(a->img, h, &i);
    for (; n && i < a->img->segs.n; i++) {
        const struct hr_segment *s = &a->img->segs.v[i];
        if (s->addr < h->info || s->addr + s->msize > h->end)
            continue;
        uint64_t mem = s->addr, size = s->msize;
        hr_esp_unpoison(a, h, row, &mem, &size);
        if (size)
            HR_TRY(hr_emit(out, mem, size, HR_USED));
        n--;
    }
    return HR_OK;
}

static enum hr_status declare(struct hr_esp *a, struct hr_allocator_in *in)
{
    static const char *const own[] = {"registered_heaps", NULL};
    char how[160], name[160], caps[100];
    uint16_t id;
    snprintf(how, sizeof how, "registered heap 0x%llx to 0x%llx: each segment of the dump in there is a block%s%s", (unsigned long long)a->heap[0].info,
             (unsigned long long)a->heap[0].end, a->heap[0].poison ? "; poisoned" : "", a->heap[0].tracked || a->heap[0].owner ? "; task tracking" : "");
    HR_TRY(hr_emb_allocator(in, "ESP-IDF", "multi_heap, blocks in use", how, 2, &id));
    HR_TRY(hr_emb_own(in, own));
    for (uint32_t i = 0; i < a->n; i++) {
        struct hr_esp_heap *h = &a->heap[i];
        hr_esp_caps(h->caps, caps, sizeof caps);
        snprintf(name, sizeof name, "%s%s0x%llx%s%s", h->name, *h->name ? " " : "", (unsigned long long)h->info, *caps ? " " : "", caps);
        HR_TRY(hr_emb_arena(in, id, h->info, name, &h->arena));
        HR_TRY(hr_builder_region(in->builder, h->info, h->end - h->info, h->arena, walk, a, i));
    }
    hr_note(in->notes, HR_NOTE_INFO, "heap.used_only", "the dump holds only the heap's blocks in use: how much was free, and in what pieces, it does not say");
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    if (!in->image->bare || in->image->word != 4 || !in->image->program_sha)
        return HR_ABSENT;
    struct hr_esp *a = hr_zalloc(1, sizeof *a);
    if (!a || !(a->votes = hr_alloc(sizeof *a->votes))) {
        hr_free(a);
        return HR_NOMEM;
    }
    a->img = in->image;
    a->notes = in->notes;
    hr_emb_search(a->img, 4, 24, look, a);
    for (uint32_t i = 0; i < a->n; i++)
        decide(a, &a->heap[i]);
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

const struct hr_allocator hr_allocator_esp_parts = {.name = "ESP-IDF", .open = open, .close = hr_free};
