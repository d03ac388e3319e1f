/* lwIP's mem.c: the heap behind mem_malloc().
 *
 * A block begins with the offsets (16 or 32 bits) of the next and the previous one from the heap's start and a byte that is 1
 * while it is in use; then what mem_malloc() returned, aligned. An end block holds its own offset twice and is in use. With
 * MEM_OVERFLOW_CHECK the requested size follows the byte, and 16 bytes 0xcd lie on both sides of what the program got.
 * Layout: src/core/mem.c of lwIP 1.4 to 2.2. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/embedded.h"

enum {
    MAX_HEAPS = 4,
    GUARD = 0xcd, GUARDED = 16, /* MEM_SANITY_REGION_BEFORE and _AFTER, 16 unless configured */
};

struct heap {
    uint64_t base, end;    /* end: the end block's offset */
    uint64_t head;         /* bytes of a block's head, aligned */
    unsigned width;        /* of an offset */
    bool guarded;
    uint32_t arena;
};

struct lwip {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct heap heap[MAX_HEAPS];
    uint32_t n, faults;
    struct hr_fuel look;
};

struct mem { uint64_t next, prev, used; };

static bool read_mem(const struct lwip *a, const struct heap *h, uint64_t off, struct mem *ret)
{
    uint64_t at = h->base + off;
    return hr_image_uint(a->img, at, h->width, &ret->next) && hr_image_uint(a->img, at + h->width, h->width, &ret->prev) &&
           hr_image_uint(a->img, at + 2 * h->width, 1, &ret->used);
}

static void damage(struct lwip *a, const char *code, uint64_t at, const char *what)
{
    a->faults++;
    hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "lwIP: %s would fail: %s at 0x%llx", strcmp(code, "heap.corrupt.canary") ? "mem_sanity()" : "mem_overflow_check_element()", what, (unsigned long long)at);
}

/* Does a block begin at off, as far as it and its neighbour say? */
static bool sound(const struct lwip *a, const struct heap *h, uint64_t off)
{
    struct mem m, after;
    if (!read_mem(a, h, off, &m) || m.used > 1 || m.next < off + h->width * 2 || m.next > h->end || m.prev >= off)
        return false;
    return m.next == h->end || (read_mem(a, h, m.next, &after) && after.prev == off && after.used <= 1);
}

/* Behind a block whose link is wrong: the next place that says it comes after it, else any that is sound. */
static uint64_t recover(const struct lwip *a, const struct heap *h, uint64_t off, bool *sure_ret)
{
    struct mem m;
    uint64_t step = a->img->word;
    *sure_ret = true;
    for (uint64_t k = off + 2 * h->width; k < h->end; k += 2)
        if (!(k & (h->width - 1)) && read_mem(a, h, k, &m) && m.prev == off && sound(a, h, k))
            return k;
    *sure_ret = false;
    for (uint64_t k = (off + step) & ~(step - 1); k < h->end; k += step)
        if (sound(a, h, k) && read_mem(a, h, k, &m) && m.next < h->end && sound(a, h, m.next))
            return k;
    return h->end;
}

/* Is there a block that says it comes after `off`? Then a block begins there, whatever is written there now. */
static bool followed(const struct lwip *a, const struct heap *h, uint64_t off)
{
    struct mem m;
    for (uint64_t k = off + 2 * h->width; k < h->end; k += 2)
        if (read_mem(a, h, k, &m) && m.prev == off && sound(a, h, k))
            return true;
    return false;
}

static void unguard(struct lwip *a, const struct heap *h, uint64_t mem, uint64_t *at, uint64_t *size)
{
    uint64_t want, bad, room = *size;
    if (!hr_emb_filled(a->img, *at, GUARDED, GUARD, &bad))
        damage(a, "heap.corrupt.canary", bad, "detected mem underflow in heap,");
    *at += GUARDED;
    *size = room - GUARDED;
    if (!hr_image_uint(a->img, mem + (h->width == 2 ? 6 : 12), h->width, &want) || want > room - GUARDED)
        damage(a, "heap.corrupt.canary", mem, "user_size is larger than the block");
    else {
        *size = want;
        if (want + 2 * GUARDED <= room && !hr_emb_filled(a->img, *at + want, GUARDED, GUARD, &bad)) {
            char what[120];
            snprintf(what, sizeof what, "detected mem overflow in heap, of the %llu bytes at 0x%llx,", (unsigned long long)want, (unsigned long long)*at);
            damage(a, "heap.corrupt.canary", bad, what);
        }
    }
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct lwip *a = self;
    const struct heap *h = &a->heap[cookie];
    struct hr_fuel fuel = hr_fuel(hr_min(16 * h->end, HR_EMB_SEARCH) + 4096);
    bool before = true;
    a->faults = 0;
    for (uint64_t off = 0, next; off < h->end; off = next) {
        struct mem m, after = {.prev = off};
        bool sure = true;
        if (!read_mem(a, h, off, &m))
            m = (struct mem){0};
        next = m.next;
        if (m.used > 1)
            damage(a, "heap.corrupt.prev-status", h->base + off, "heap element used valid: the byte is neither 0 nor 1");
        bool wild = next < off + h->head || next > h->end;
        if (wild || (next < h->end && (!read_mem(a, h, next, &after) || after.prev != off))) {
            if (!hr_emb_missing(a->img, a->notes, "lwIP", h->base + (wild ? off : next)))
                damage(a, "heap.corrupt.size", h->base + (wild ? off : next), wild ? "heap element next ptr valid: it makes no sense" : "heap element link valid: the block is not linked back (an overrun of the one before it?)");
            if (hr_burn(&fuel, 2 * (h->end - off)))
                next = recover(a, h, off, &sure);
            else
                next = h->end, sure = false;
            if (!sure && !wild && (sound(a, h, m.next) || followed(a, h, m.next))) {
                next = m.next;
                sure = true;
            }
        }
        if (!before && !m.used && sure)
            damage(a, "heap.corrupt.not-merged", h->base + off, "heap element unused? two free blocks side by side");
        before = !sure || m.used;
        uint64_t at = h->base + off + h->head, size = next - off - h->head;
        if (!sure || wild) { /* of a block whose head was written over nothing else is believed */
            HR_TRY(hr_emit_unknown(b, h->base + off, next - off));
            continue;
        }
        if (next - off <= h->head)
            continue;
        if (h->guarded && m.used && size > 2 * GUARDED)
            unguard(a, h, h->base + off, &at, &size);
        HR_TRY(hr_emit(b, at, size, m.used ? HR_USED : HR_FREE));
    }
    hr_builder_arena_at(b, h->arena)->corrupt |= a->faults > 0;
    return HR_OK;
}

/* ---- finding ---- */

/* Do blocks lead from the start exactly to the end and back? *bits_ret: all offsets together. */
static bool whole(struct lwip *a, const struct heap *h, uint32_t *n_ret, uint64_t *bits_ret)
{
    struct mem m;
    uint64_t off = 0, last = 0;
    bool used = true;
    *n_ret = 0;
    for (*bits_ret = h->end; off < h->end && hr_burn(&a->look, 1); off = m.next) {
        if (!read_mem(a, h, off, &m) || m.prev != (off ? last : 0) || m.used > 1 || m.next <= off || m.next > h->end || !(m.used | used))
            return false;
        used = m.used;
        last = off;
        *bits_ret |= m.next;
        (*n_ret)++;
    }
    return off == h->end;
}

/* The head is aligned to MEM_ALIGNMENT, which shows in the offsets and is a word where nothing speaks against it. */
static void head_size(const struct lwip *a, struct heap *h, uint64_t bits, uint32_t n)
{
    uint64_t align = a->img->word, plain = h->width == 2 ? 6 : h->guarded ? 16 : 12;
    if (h->guarded && h->width == 2)
        plain = 8;
    while (align > 1 && bits & (align - 1))
        align /= 2;
    if (a->img->word == 4 && align == 4 && !((bits | h->base) & 7) && n >= 12)
        align = 8;
    if (align < (h->width == 2 ? 2u : 4u)) /* unaligned: the structure's own padding stays */
        align = h->width;
    h->head = (plain + align - 1) & ~(align - 1);
}

static bool guards(const struct lwip *a, const struct heap *h, uint64_t head)
{
    struct mem m;
    uint32_t yes = 0, no = 0;
    for (uint64_t off = 0; off < h->end && read_mem(a, h, off, &m) && m.next > off; off = m.next)
        if (m.used)
            hr_emb_filled(a->img, h->base + off + head, GUARDED, GUARD, NULL) ? yes++ : no++;
    return yes > 3 * no;
}

static void take(struct lwip *a, struct heap h, uint64_t bits, uint32_t n)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (h.base < a->heap[i].base + a->heap[i].end && a->heap[i].base < h.base + h.end)
            return;
    if (a->n == MAX_HEAPS)
        return;
    h.guarded = true;
    head_size(a, &h, bits, n);
    h.guarded = guards(a, &h, h.head);
    head_size(a, &h, bits, n);
    a->heap[a->n++] = h;
}

/* The end block at `at`: its own offset twice, in use; then the start is known and has to fit. `insist`: the program's own
 * variables say that the heap is here, whatever the blocks in between look like. */
static bool end_at(struct lwip *a, uint64_t at, const uint8_t *p, unsigned width, bool insist)
{
    struct heap h = {.width = width, .end = hr_load(p, width, a->img->big)};
    struct mem first;
    uint32_t n;
    uint64_t bits;
    if (hr_load(p + width, width, a->img->big) != h.end || p[2 * width] != 1 || h.end < 64 || h.end > at || h.end & (width - 1))
        return false;
    h.base = at - h.end;
    if (h.base & (width - 1) || !read_mem(a, &h, 0, &first) || first.prev)
        return false;
    bool good = whole(a, &h, &n, &bits);
    if (!good && !insist)
        return false;
    /* few blocks prove little, and least in a small heap; one free block is a heap that was never used */
    if (!insist && n < (h.end < 4096 ? 8 : 3) && (first.used || n > 1 || h.end < 1024))
        return false;
    take(a, h, good ? bits : h.end, good ? n : 0);
    return true;
}

/* Two pointers beside each other: `ram` and `ram_end` (the linker puts lfree near them, in either order). */
static bool anchored(const struct lwip *a, const uint8_t *p, size_t n, uint64_t at, unsigned width)
{
    unsigned w = a->img->word;
    uint64_t end = hr_word_load(p, w, a->img->big), off;
    if (!end || end & (width - 1) || !hr_image_uint(a->img, end, width, &off) || off < 64 || off > end)
        return false;
    for (size_t k = 1; k <= 4 && (k + 1) * w <= n; k++)
        if (hr_word_load(p + k * w, w, a->img->big) == end - off)
            return true;
    for (size_t k = 1; k <= 4; k++) {
        uint64_t v;
        if (hr_image_word(a->img, at - k * w, &v) && v == end - off)
            return true;
    }
    return false;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct lwip *a = ctx;
    bool big = a->img->big;
    unsigned w = a->img->word;
    uint64_t first = hr_load(p, 2, big);
    if (first >= 64 && p[4] == 1 && first == hr_load(p + 2, 2, big))
        end_at(a, at, p, 2, false);
    else if (n >= 12 && p[8] == 1 && hr_load(p, 4, big) >= 64 && hr_load(p, 4, big) == hr_load(p + 4, 4, big))
        end_at(a, at, p, 4, false);
    if (at & (w - 1) || n < 2 * w)
        return 0;
    for (unsigned width = 2; width <= 4; width += 2) {
        uint64_t end = 0;
        if (anchored(a, p, n, at, width))
            end = hr_word_load(p, w, big);
        struct hr_span s = hr_image_peek(a->img, end, 12);
        if (end && s.n == 12)
            end_at(a, end, s.p, width, true);
    }
    return 0;
}

static void by_symbol(struct lwip *a, struct hr_allocator_in *in)
{
    uint64_t ram, end;
    if (!hr_emb_word(in, "ram", &ram) || !hr_emb_word(in, "ram_end", &end) || end <= ram)
        return;
    struct hr_span s = hr_image_peek(a->img, end, 12);
    for (unsigned width = 2; width <= 4 && s.n >= 9 && !a->n; width += 2)
        if (hr_load(s.p, width, a->img->big) == end - ram)
            end_at(a, end, s.p, width, true);
}

/* Without symbols the variables are known by what they hold: `ram_end`, and around it pointers at blocks' heads. They are no
 * references to what lies before those heads. */
struct vars {
    struct lwip *a;
    struct hr_builder *b;
    enum hr_status st;
};

static uint64_t look_vars(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct vars *v = ctx;
    unsigned w = v->a->img->word;
    uint64_t x = hr_word_load(p, w, v->a->img->big), y;
    (void)n;
    for (uint32_t i = 0; i < v->a->n; i++) {
        const struct heap *h = &v->a->heap[i];
        if (x != h->base + h->end)
            continue;
        for (uint64_t k = at - 4 * w; k <= at + 4 * w && v->st == HR_OK; k += w)
            if (hr_image_word(v->a->img, k, &y) && y - h->base <= h->end && (y == x || sound(v->a, h, y - h->base)))
                v->st = hr_builder_own(v->b, k, w);
    }
    return 0;
}

static enum hr_status declare(struct lwip *a, struct hr_allocator_in *in, bool symbols)
{
    static const char *const own[] = {"ram", "ram_end", "lfree", "mem_mutex", NULL};
    char how[160];
    uint16_t id;
    uint8_t shift = 2;
    const struct heap *h = &a->heap[0];
    for (uint32_t i = 0; i < a->n; i++)
        while (shift && (a->heap[i].base | a->heap[i].head) & ((1u << shift) - 1))
            shift--;
    snprintf(how, sizeof how, "%s 0x%llx; %u-bit offsets%s", symbols ? "ram and ram_end by symbol: the heap at" : "an end block that holds its distance from", (unsigned long long)h->base,
             8 * h->width, h->guarded ? "; MEM_OVERFLOW_CHECK" : "");
    HR_TRY(hr_emb_allocator(in, "lwIP", "", how, shift, &id));
    if (symbols) {
        HR_TRY(hr_emb_own(in, own));
    } else {
        struct vars v = {a, in->builder, HR_OK};
        hr_emb_search(a->img, a->img->word, a->img->word, look_vars, &v);
        HR_TRY(v.st);
    }
    for (uint32_t i = 0; i < a->n; i++) {
        h = &a->heap[i];
        HR_TRY(hr_emb_arena(in, id, h->base, "lwIP mem", &a->heap[i].arena));
        HR_TRY(hr_builder_region(in->builder, h->base, h->end + h->head, h->arena, walk, a, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct lwip *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    *a = (struct lwip){.img = in->image, .notes = in->notes, .look = hr_fuel(16 << 20)};
    by_symbol(a, in);
    bool symbols = a->n > 0;
    if (!symbols)
        hr_emb_search(a->img, 2, 8, look, a);
    enum hr_status st = a->n ? declare(a, in, symbols) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_lwip = {.name = "lwIP mem", .open = open, .close = hr_free};
