/* lwIP's memory pools: equal elements for control blocks, segments, packet headers.
 *
 * memp_pools[] leads to descriptors {[text,] [statistics,] u16 element size, u16 elements, memory, address of the list's head};
 * free elements are linked through their first word. With MEMP_OVERFLOW_CHECK every element begins with {next, file, line} and has
 * 16 bytes 0xcd on both sides of what the program gets.
 * Layout: src/include/lwip/priv/memp_priv.h of lwIP 2.0 to 2.2. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/embedded.h"

enum { MAX_POOLS = 64 /* MEMP_MAX is about 15, custom pools not counted */, GUARD = 0xcd, GUARDED = 16 };

struct pool {
    uint64_t desc, head_at;
    struct hr_emb_pool p;
    uint64_t size, user;   /* of an element; where the program's bytes begin in it */
    uint32_t arena;
};

struct memp {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct pool pool[MAX_POOLS];
    uint32_t n;
};

static void damage(const struct memp *t, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(t->notes, HR_NOTE_DAMAGE, code, at, "lwIP %s: %s at 0x%llx", hr_strs_get(t->img->strs, row->name), what, (unsigned long long)at);
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    const struct memp *t = self;
    const struct pool *p = &t->pool[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, p->arena);
    HR_AUTOFREE uint8_t *bits = hr_zalloc((size_t)(p->p.count / 8 + 1), 1);
    uint64_t n, bad;
    if (!bits)
        return HR_NOMEM;
    if (!hr_emb_pool_free(t->img, &p->p, bits, &n, &bad))
        damage(t, row, "heap.corrupt.free-list", bad, "memp_sanity() would fail: the list of free elements leaves the pool or is a loop");
    for (uint64_t i = 0; i < p->p.count; i++) {
        uint64_t at = p->p.base + i * p->p.step + p->user;
        if (p->user && !hr_emb_filled(t->img, at - GUARDED, GUARDED, GUARD, &bad))
            damage(t, row, "heap.corrupt.canary", bad, "detected memp underflow in pool");
        if (p->user && !hr_emb_filled(t->img, at + p->size, GUARDED, GUARD, &bad))
            damage(t, row, "heap.corrupt.canary", bad, "detected memp overflow in pool");
        HR_TRY(hr_emit(b, at, p->size, hr_emb_bit(bits, i) ? HR_FREE : HR_USED));
    }
    return HR_OK;
}

static uint64_t up(uint64_t x, uint64_t align) { return (x + align - 1) & ~(align - 1); }

/* Is there a pool of elements that are `user` bytes longer in front, and guarded, or not? */
static bool fits(const struct memp *t, struct pool *p, uint64_t base, uint64_t user)
{
    uint64_t n, bad;
    p->user = user;
    p->p.step = p->size + (user ? user + GUARDED : 0);
    p->p.base = base;
    if (!hr_emb_ram(t->img, base, p->p.step * p->p.count))
        return false;
    HR_AUTOFREE uint8_t *bits = hr_zalloc((size_t)(p->p.count / 8 + 1), 1);
    bool good = bits && hr_emb_pool_free(t->img, &p->p, bits, &n, &bad);
    return good && (!user || hr_emb_filled(t->img, base + user - GUARDED, GUARDED, GUARD, NULL) || hr_emb_filled(t->img, base + user + p->size, GUARDED, GUARD, NULL));
}

/* `skip` words stand in front of the element size. */
static bool descriptor(const struct memp *t, uint64_t desc, unsigned skip, struct pool *p)
{
    uint64_t w = t->img->word, at = desc + skip * w, base;
    *p = (struct pool){.desc = desc};
    if (!hr_image_uint(t->img, at, 2, &p->size) || !hr_image_uint(t->img, at + 2, 2, &p->p.count) || !hr_image_word(t->img, up(at + 4, w), &base) ||
        !hr_image_word(t->img, up(at + 4, w) + w, &p->head_at) || !p->size || !p->p.count || !base || !hr_emb_ram(t->img, base, p->size) ||
        !hr_emb_ram(t->img, p->head_at, w) || !hr_image_word(t->img, p->head_at, &p->p.list))
        return false;
    uint64_t guarded = up(2 * w + 4, w) + GUARDED;
    for (uint64_t align = 1; align <= w; align *= 2) /* base is aligned to MEM_ALIGNMENT when it is used */
        if (!(p->size & (align - 1)) && (fits(t, p, up(base, align), guarded) || fits(t, p, up(base, align), 0)))
            return true;
    fits(t, p, up(base, w), 0); /* a broken list: the place is known all the same */
    return hr_emb_ram(t->img, p->p.base, p->p.step * p->p.count);
}

static void find(struct memp *t, struct hr_allocator_in *in)
{
    uint64_t size = 0, at = hr_emb_symbol(in, "memp_pools", &size), desc, w = t->img->word;
    for (uint64_t i = 0; at && i < size / w && t->n < MAX_POOLS; i++)
        for (unsigned skip = 0; hr_image_word(t->img, at + i * w, &desc) && skip <= 2; skip++)
            if (descriptor(t, desc, skip, &t->pool[t->n])) {
                t->n++;
                break;
            }
}

static enum hr_status declare(struct memp *t, struct hr_allocator_in *in)
{
    char name[96];
    uint16_t id;
    uint8_t shift = (uint8_t)__builtin_ctz(t->img->word);
    for (uint32_t i = 0; i < t->n; i++)
        while (shift && (t->pool[i].p.base | t->pool[i].p.step | t->pool[i].user) & ((1u << shift) - 1))
            shift--;
    HR_TRY(hr_emb_allocator(in, "lwIP pools", "", t->pool[0].user ? "memp_pools by symbol; MEMP_OVERFLOW_CHECK" : "memp_pools by symbol", shift, &id));
    for (uint32_t i = 0; i < t->n; i++) {
        struct pool *p = &t->pool[i];
        uint64_t off = 0;
        const struct hr_sym *s = hr_sym_at(in->types, p->desc, &off);
        snprintf(name, sizeof name, "pool %.60s", s && !off ? s->name + (strncmp(s->name, "memp_", 5) ? 0 : 5) : "");
        if (!s || off)
            snprintf(name, sizeof name, "pool (0x%llx)", (unsigned long long)p->p.base);
        HR_TRY(hr_emb_arena(in, id, p->desc, name, &p->arena));
        HR_TRY(hr_builder_own(in->builder, p->head_at, t->img->word));
        HR_TRY(hr_builder_region(in->builder, p->p.base, p->p.step * p->p.count, p->arena, walk, t, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct memp *t = hr_zalloc(1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    t->img = in->image;
    t->notes = in->notes;
    find(t, in);
    enum hr_status st = t->n ? declare(t, in) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(t);
        return st;
    }
    *self_ret = t;
    return HR_OK;
}

const struct hr_allocator hr_allocator_lwip_memp = {.name = "lwIP pools", .open = open, .close = hr_free};
