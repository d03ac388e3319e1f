/* ESP-IDF's heaps: blocks and free lists.
 *
 * TLSF (since 4.3): {size | free | previous free << 1}, then the program's bytes, or next and previous of its list; the last word
 * of a free block is the next one's pointer back. Pointers lead to the word before the size. Before 4.3: {next block | free}, then
 * the program's bytes or the next free block, ascending.
 * Layout: components/heap/multi_heap.c, heap_tlsf.c and the tlsf submodule of IDF 3.0 to 6.0. */
#include <stdio.h>
#include <stdlib.h>

#include "analyzer/allocators/esp_heap.h"

enum { FREE = 1, PREV_FREE = 2, FLAGS = 3, LEAST = 12, HEAD = 4 };

void hr_esp_damage(const struct hr_esp *a, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "CORRUPT HEAP: %s at 0x%llx", what, (unsigned long long)at);
}

uint64_t hr_esp_last(const struct hr_esp_heap *h) { return h->control ? h->end - 4 : h->end - 8; }

bool hr_esp_block(const struct hr_esp *a, const struct hr_esp_heap *h, uint64_t at, struct hr_esp_block *ret)
{
    uint64_t v, last = hr_esp_last(h);
    if (!hr_image_uint(a->img, at, 4, &v))
        return false;
    *ret = (struct hr_esp_block){.at = at, .mem = at + HEAD, .free = v & FREE};
    ret->next = h->control ? at + HEAD + (v & ~(uint64_t)FLAGS) : v & ~(uint64_t)FLAGS;
    ret->before_free = h->control && v & PREV_FREE;
    ret->size = ret->next - at - HEAD;
    uint64_t least = h->control ? LEAST : 4;
    return at < last && ret->next >= at + HEAD + least && ret->next <= last && !(ret->next & 3);
}

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

/* One list of TLSF, from its head. `back`: what the first member's prev_free has to be. */
static enum hr_status read_list(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, uint64_t head, struct hr_u64vec *out)
{
    uint64_t prev = h->control, next, back;
    for (uint64_t p = head; p != h->control; p = next) {
        struct hr_esp_block b;
        if (p + 4 < h->first || !hr_esp_block(a, h, p + 4, &b) || !hr_image_uint(a->img, p + 8, 4, &next) || !hr_image_uint(a->img, p + 12, 4, &back)) {
            hr_esp_damage(a, row, "heap.corrupt.free-list", p + 4, "a free list leads to no block of the heap");
            return HR_OK;
        }
        if (!b.free)
            hr_esp_damage(a, row, "heap.corrupt.free-list", b.at, "block should be free: one in use is on a free list");
        if (back != prev) {
            hr_esp_damage(a, row, "heap.corrupt.free-list", b.at, "prev_free of the block is not the one before it on its list (freed twice, or written to after it was freed)");
            if (b.free)
                return hr_u64vec_push(out, b.at);
            return HR_OK;
        }
        HR_TRY(hr_u64vec_push(out, b.at)); /* each member leads back to the last: no member can come again */
        prev = p;
    }
    return HR_OK;
}

static bool list_head(const struct hr_esp *a, const struct hr_esp_heap *h, uint32_t fl, uint32_t sl, uint64_t *ret)
{
    return hr_image_uint(a->img, h->lists + 4ull * (fl * h->nsl + sl), 4, ret);
}

bool hr_esp_lists_agree(const struct hr_esp *a, const struct hr_esp_heap *h)
{
    uint64_t top, sub, head;
    if (!hr_image_uint(a->img, h->bitmap, 4, &top) || (h->nfl < 32 && top >> h->nfl))
        return false;
    for (uint32_t i = 0; i < h->nfl; i++) {
        if (!hr_image_uint(a->img, h->sl + 4ull * i, 4, &sub) || (top >> i & 1) != (sub != 0))
            return false;
        for (uint32_t k = 0; k < h->nsl; k++)
            if (!list_head(a, h, i, k, &head) || (sub >> k & 1) != (head != h->control))
                return false;
    }
    return true;
}

static enum hr_status tlsf_lists(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, struct hr_u64vec *out)
{
    uint64_t sub = 0, head;
    for (uint32_t i = 0; i < h->nfl; i++) {
        hr_image_uint(a->img, h->sl + 4ull * i, 4, &sub);
        for (uint32_t k = 0; k < h->nsl; k++) {
            if (!list_head(a, h, i, k, &head))
                continue;
            if ((sub >> k & 1) != (head != h->control))
                hr_esp_damage(a, row, "heap.corrupt.free-list", h->lists + 4ull * (i * h->nsl + k), "sl_bitmap says otherwise than the list");
            HR_TRY(read_list(a, h, row, head, out));
        }
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, ascending);
    return HR_OK;
}

/* The first block's header and link lie in multi_heap_info. */
static enum hr_status old_list(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, struct hr_u64vec *out)
{
    uint64_t at = h->info + 16, next;
    while (hr_image_uint(a->img, at + 4, 4, &next) && next != hr_esp_last(h)) {
        struct hr_esp_block b;
        if (next <= at || !hr_esp_block(a, h, next, &b) || !b.free) {
            hr_esp_damage(a, row, "heap.corrupt.free-list", at, "the next free block of the block is none");
            break;
        }
        HR_TRY(hr_u64vec_push(out, next));
        at = next;
    }
    return HR_OK;
}

enum hr_status hr_esp_free(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, struct hr_u64vec *out)
{
    return h->control ? tlsf_lists(a, h, row, out) : old_list(a, h, row, out);
}
