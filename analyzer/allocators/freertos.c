/* FreeRTOS' heap_1, heap_2, heap_4 and heap_5 (heap_3 is the C library's malloc).
 *
 * A block is a link {next free block, size}, rounded up to the port's alignment, then what pvPortMalloc returned; sizes count
 * the link. The top bit of the size marks a block in use (heap_4, heap_5; heap_2 from 10.5.0 on). Blocks follow each other from
 * the aligned start of ucHeap to *pxEnd (heap_2: to the end of the array). heap_5 has several such runs, each ended by a block
 * of size 0; where they begin is only in the table given to vPortDefineHeapRegions. With the
 * heap protector all links in memory, xStart's too, are XORed with xHeapCanary. heap_1 has no links: what lies below
 * xNextFreeByte was handed out.
 * Layout: portable/MemMang/heap_*.c of FreeRTOS-Kernel; checked against kernels from 9.0.0 to 11.3.0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/allocators/freertos.h"

static const char *const own_names[] = {
    "xStart", "xEnd", "pxEnd", "xFreeBytesRemaining", "xMinimumEverFreeBytesRemaining", "xNumberOfSuccessfulAllocations",
    "xNumberOfSuccessfulFrees", "xHeapCanary", "xBlockAllocatedBit", "pucHeapHighAddress", "pucHeapLowAddress", "xNextFreeByte",
    "xHeapHasBeenInitialised", NULL,
};

static void damage(struct hr_freertos *a, const char *code, uint64_t at, const char *what)
{
    a->corrupt = true;
    hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "FreeRTOS heap_%d: %s at 0x%llx", a->kind, what, (unsigned long long)at);
}

static bool in_runs(const struct hr_freertos *a, uint64_t at)
{
    for (uint32_t i = 0; i < a->nruns; i++)
        if (at - a->run[i].addr < a->run[i].size)
            return true;
    return false;
}

/* ---- the free list ---- */

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

/* From xStart to `end` (or a null link). heap_4 and heap_5 keep it in address order, heap_2 by size. */
enum hr_status hr_freertos_read_free(struct hr_freertos *a, uint64_t start, uint64_t end)
{
    uint64_t w = a->img->word, at, last = 0;
    if (!hr_image_word(a->img, start, &at))
        return HR_OK;
    at ^= a->canary;
    for (uint64_t size; at && at != end;) {
        if (at > last && at < end && !(at & (w - 1)) && hr_emb_missing(a->img, a->notes, "FreeRTOS", at)) {
            a->broken = a->gap = true;
            break;
        }
        if (!hr_image_word(a->img, at + w, &size) || at & (w - 1) || (a->kind != 2 && at <= last) || a->free.n >= HR_EMB_MAX_CHUNKS) {
            damage(a, "heap.corrupt.free-list", last ? last : start, "heapVALIDATE_BLOCK_POINTER would fail: the list of free blocks leads nowhere");
            a->broken = true;
            break;
        }
        if (a->kind == 2 && (!in_runs(a, at) || a->free.n > a->run[0].size / a->head)) {
            damage(a, "heap.corrupt.free-list", at, "the list of free blocks leaves the heap or is a loop");
            a->broken = true;
            break;
        }
        HR_TRY(hr_u64vec_push(&a->free, at));
        last = at;
        if (!hr_image_word(a->img, last, &at))
            break;
        at ^= a->canary;
    }
    if (a->free.n > 1)
        qsort(a->free.v, a->free.n, sizeof *a->free.v, ascending);
    return HR_OK;
}

/* ---- walking ---- */

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct hr_freertos *a = self;
    const struct hr_range *r = &a->run[cookie];
    uint64_t w = a->img->word, end = r->addr + r->size, size, word = 0, link = 0;
    for (uint64_t at = r->addr; at < end; at += size) {
        bool known = hr_image_word(a->img, at + w, &word) && hr_image_word(a->img, at, &link);
        bool listed = hr_emb_has(&a->free, at), used = a->kind == 2 ? !listed : word & a->used_bit;
        size = word & ~a->used_bit;
        if (!known || size < a->head || size > end - at || (size & (w - 1) && size != end - at)) {
            if (!known && hr_emb_missing(a->img, a->notes, "FreeRTOS", at))
                a->gap = true;
            else
                damage(a, "heap.corrupt.size", at, "the size of the block makes no sense (an overrun of the block before it?); up to the next free block nothing is known");
            size = hr_emb_above(&a->free, at, end) - at;
            HR_TRY(hr_emit_unknown(b, at, size));
            continue;
        }
        if (a->kind != 2 && used && link && link != a->canary) /* 11.0.1 writes the plain null, later ones a coded one */
            damage(a, "heap.corrupt.link", at, "configASSERT( pxLink->pxNextFreeBlock == NULL ) would fail: a block in use has a link");
        if (!used && !listed && !a->broken)
            damage(a, "heap.corrupt.free-list", at, "a free block is not on the list of free blocks");
        if (!used)
            a->free_bytes += size;
        if (used && a->broken && !(word & a->used_bit)) { /* heap_2 before 10.5: only the list tells */
            HR_TRY(hr_emit_unknown(b, at, size));
            continue;
        }
        if (size > a->head)
            HR_TRY(hr_emit(b, at + a->head, size - a->head, used ? HR_USED : HR_FREE));
    }
    if (cookie + 1 == a->nruns && !a->corrupt && !a->gap && a->free_bytes != a->free_says)
        damage(a, "heap.corrupt.free-bytes", a->run[0].addr, "xFreeBytesRemaining is not the sum of the free blocks (or the image was taken inside pvPortMalloc or vPortFree),");
    hr_builder_arena_at(b, a->arena)->corrupt |= a->corrupt;
    return HR_OK;
}

/* heap_1: one block of everything that was handed out, for nothing tells where one ends. */
static enum hr_status walk_1(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct hr_freertos *a = self;
    uint64_t used = hr_min(a->free_says, a->run[cookie].size);
    if (used)
        HR_TRY(hr_emit(b, a->run[cookie].addr, used, HR_USED));
    return used < a->run[cookie].size ? hr_emit(b, a->run[cookie].addr + used, a->run[cookie].size - used, HR_FREE) : HR_OK;
}

/* ---- finding the runs ---- */

static uint64_t up(uint64_t x, uint64_t align) { return (x + align - 1) & ~(align - 1); }

/* The link's size is the port's alignment at least: 16 on RISC-V, 8 elsewhere. */
static void header_size(struct hr_freertos *a)
{
    uint64_t v, w = a->img->word;
    a->head = !strncmp(a->img->arch->name, "riscv", 5) ? 16 : 2 * w;
    if (hr_emb_word(a->in, "xHeapStructSize", &v) && (v == 2 * w || v == 16 || v == 32))
        a->head = v;
}

/* Do blocks follow each other from the start of r exactly to its end, and is there an end block? (heap_2 has none) */
static bool chain(const struct hr_freertos *a, const struct hr_range *r)
{
    uint64_t at = r->addr, end = r->addr + r->size, size;
    while (at < end) {
        if (!hr_image_word(a->img, at + a->img->word, &size) || (size &= ~a->used_bit) < a->head || size > end - at)
            return false;
        at += size;
    }
    return at == end && (a->kind == 2 || (hr_image_word(a->img, end + a->img->word, &size) && !size));
}

/* One entry of the table of regions, {start, bytes}: the run of blocks that vPortDefineHeapRegions makes of it. */
static bool entry(const struct hr_freertos *a, uint64_t at, struct hr_range *ret)
{
    uint64_t start, size, mask = a->head - 1;
    if (!hr_image_word(a->img, at, &start) || !hr_image_word(a->img, at + a->img->word, &size) || !start || size < 4 * a->head ||
        size > UINT64_MAX - start)
        return false;
    uint64_t first = up(start, a->head), end = (start + size - a->head) & ~mask;
    *ret = (struct hr_range){first, end - first};
    return end > first;
}

/* In a damaged heap only the ends are left to go by: a block at the start, size 0 at the end. */
static bool ends(const struct hr_freertos *a, const struct hr_range *r)
{
    uint64_t w = a->img->word, size, last;
    return hr_image_word(a->img, r->addr + w, &size) && (size & ~a->used_bit) >= a->head && (size & ~a->used_bit) <= r->size &&
           hr_image_word(a->img, r->addr + r->size + w, &last) && !last;
}

/* heap_5: the table's last entry ends in pxEnd and one of size 0 follows; in front of it are others, lower in memory. */
static bool table_at(struct hr_freertos *a, uint64_t at, uint64_t end, bool (*fits)(const struct hr_freertos *, const struct hr_range *))
{
    uint64_t one = 2 * (uint64_t)a->img->word;
    struct hr_range r[HR_FREERTOS_RUNS];
    uint32_t n = 0;
    if (!entry(a, at, &r[0]) || r[0].addr + r[0].size != end || !fits(a, &r[0]))
        return false;
    for (n = 1; n < HR_FREERTOS_RUNS && entry(a, at - one * n, &r[n]); n++)
        if (r[n].addr + r[n].size >= r[n - 1].addr || !ends(a, &r[n]))
            break;
    for (uint32_t i = 0; i < n; i++)
        a->run[i] = r[n - 1 - i];
    a->nruns = n;
    return true;
}

static bool find_table(struct hr_freertos *a, uint64_t end, bool (*fits)(const struct hr_freertos *, const struct hr_range *))
{
    uint64_t w = a->img->word;
    for (size_t s = 0; s < a->img->segs.n; s++) {
        const struct hr_segment *seg = &a->img->segs.v[s];
        for (uint64_t off = 0; off + 4 * w <= seg->bytes.n; off += w) {
            const uint8_t *p = seg->bytes.p + off;
            uint64_t start = hr_word_load(p, (unsigned)w, a->img->big);
            if (start && start < end && !hr_word_load(p + 3 * w, (unsigned)w, a->img->big) && table_at(a, seg->addr + off, end, fits))
                return true;
        }
    }
    return false;
}

static bool find_runs_5(struct hr_freertos *a, uint64_t end)
{
    uint64_t low;
    if (find_table(a, end, chain) || find_table(a, end, ends))
        return true;
    if (!hr_emb_word(a->in, "pucHeapLowAddress", &low) || low >= end) /* kept by the heap protector */
        return false;
    a->run[0] = (struct hr_range){low, end - low};
    a->nruns = 1;
    return chain(a, &a->run[0]);
}

/* ---- open ---- */

static enum hr_status open_4_or_5(struct hr_freertos *a, uint64_t start, char *how, size_t cap)
{
    uint64_t end, heap, size = 0;
    if (!hr_emb_word(a->in, "pxEnd", &end) || !end)
        return HR_ABSENT;
    hr_emb_word(a->in, "xHeapCanary", &a->canary);
    heap = hr_emb_symbol(a->in, "ucHeap", &size);
    a->kind = heap ? 4 : 5;
    HR_TRY(hr_freertos_read_free(a, start, end));
    if (heap) {
        uint64_t first = up(heap, a->head);
        if (end < first || end - heap >= size) {
            damage(a, "heap.corrupt.end", end, "pxEnd lies outside ucHeap,");
            end = heap + size;
        }
        a->run[0] = (struct hr_range){first, end - first};
        a->nruns = 1;
    } else if (!find_runs_5(a, end)) {
        hr_note_at(a->notes, HR_NOTE_DEGRADED, "heap.no_regions", end,
                   "FreeRTOS heap_5: the table given to vPortDefineHeapRegions is not in the image, so where the heap begins is not known; give the ELF or the flash");
        return HR_ABSENT;
    }
    snprintf(how, cap, "%s and pxEnd by symbol%s", heap ? "ucHeap" : "xStart", a->canary ? "; heap protector" : "");
    return HR_OK;
}

static enum hr_status open_2(struct hr_freertos *a, uint64_t start, char *how, size_t cap)
{
    uint64_t size = 0, heap = hr_emb_symbol(a->in, "ucHeap", &size), end = hr_emb_symbol(a->in, "xEnd", NULL);
    if (!heap || !end || size <= 2 * a->head)
        return HR_ABSENT;
    a->kind = 2;
    a->run[0] = (struct hr_range){up(heap, a->head), size - a->head};
    if (!chain(a, &a->run[0]) && heap == a->run[0].addr) { /* before 10.5.0 an aligned array lost its first bytes */
        struct hr_range r = {heap + a->head, size - a->head};
        a->run[0] = chain(a, &r) ? r : a->run[0];
    }
    a->nruns = 1;
    snprintf(how, cap, "ucHeap, xStart and xEnd by symbol");
    return hr_freertos_read_free(a, start, end);
}

static enum hr_status open_1(struct hr_freertos *a, char *how, size_t cap)
{
    uint64_t size = 0, heap = hr_emb_symbol(a->in, "ucHeap", &size);
    if (!heap || size <= a->head || !hr_emb_word(a->in, "xNextFreeByte", &a->free_says))
        return HR_ABSENT;
    a->kind = 1;
    a->run[0] = (struct hr_range){up(heap, a->head), size - a->head};
    a->nruns = 1;
    for (size_t i = 0; i < a->in->types->syms.n; i++) { /* static of a function: the compiler numbers it */
        const struct hr_sym *s = &a->in->types->syms.v[i];
        uint64_t at;
        if (strncmp(s->name, "pucAlignedHeap", 14) || !hr_image_word(a->img, s->addr, &at))
            continue;
        if (at >= heap && at <= heap + a->head)
            a->run[0].addr = at;
        HR_TRY(hr_builder_own(a->in->builder, s->addr, a->img->word));
    }
    snprintf(how, cap, "ucHeap and xNextFreeByte by symbol; heap_1 keeps no sizes: all that was handed out is one block");
    return HR_OK;
}

static enum hr_status find(struct hr_freertos *a, char *how, size_t cap)
{
    uint64_t start = hr_emb_symbol(a->in, "xStart", NULL);
    header_size(a);
    a->used_bit = 1ull << (8 * a->img->word - 1);
    if (!start || !hr_emb_word(a->in, "xFreeBytesRemaining", &a->free_says))
        return open_1(a, how, cap);
    enum hr_status st = open_4_or_5(a, start, how, cap);
    return st == HR_ABSENT ? open_2(a, start, how, cap) : st;
}

/* Nothing by name: an image whose program is not there, or is stripped. */
static enum hr_status find_any(struct hr_freertos *a, char *how, size_t cap)
{
    enum hr_status st = find(a, how, cap);
    if (st != HR_ABSENT || !a->img->bare || hr_emb_symbol(a->in, "xStart", NULL))
        return st;
    a->corrupt = a->broken = a->gap = false;
    a->free.n = 0;
    return hr_freertos_by_shape(a, how, cap);
}

static enum hr_status declare(struct hr_freertos *a, const char *how)
{
    char name[16];
    snprintf(name, sizeof name, "heap_%d", a->kind);
    HR_TRY(hr_emb_declare(a->in, "FreeRTOS", name, how, (uint8_t)__builtin_ctz(a->img->word), 0, &a->arena));
    HR_TRY(hr_emb_own(a->in, own_names));
    for (uint32_t i = 0; i < a->nruns; i++)
        if (a->run[i].size)
            HR_TRY(hr_builder_region(a->in->builder, a->run[i].addr, a->run[i].size, a->arena, a->kind == 1 ? walk_1 : walk, a, i));
    return HR_OK;
}

static void close(void *self)
{
    struct hr_freertos *a = self;
    hr_u64vec_deinit(&a->free);
    hr_free(a);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    char how[160] = "";
    if (hr_types_load_symbols(in->types) == HR_NOMEM)
        return HR_NOMEM;
    struct hr_freertos *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    *a = (struct hr_freertos){.in = in, .img = in->image, .notes = in->notes, .free.max = HR_EMB_MAX_CHUNKS + 1};
    enum hr_status st = find_any(a, how, sizeof how);
    if (st == HR_OK)
        st = declare(a, how);
    if (st != HR_OK) {
        close(a);
        return st;
    }
    a->in = NULL;
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_freertos = {.name = "FreeRTOS", .open = open, .close = close};
