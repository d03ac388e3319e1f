/* Zephyr's memory slabs: equal blocks, the free ones linked through their first word.
 *
 * struct k_mem_slab begins with its queue of waiting threads (two pointers at itself while nobody waits) and a lock (nothing, or
 * a few words); then {buffer, free_list, num_blocks, block_size, num_used} since 3.5, {num_blocks, block_size, buffer, free_list,
 * num_used} before; counts have 32 bits, block_size is a size_t.
 * Layout: include/zephyr/kernel.h; K_MEM_SLAB_DEFINE puts them between _k_mem_slab_list_start and _end. */
#include <stdio.h>

#include "analyzer/allocators/embedded.h"

enum { MAX_SLABS = 256, MAX_LOCK = 2 /* words: an atomic, an owner with CONFIG_SPIN_VALIDATE */ };

struct slab {
    uint64_t at, size_of;
    uint64_t buffer, list, count, each, used;
    uint32_t arena;
};

struct slabs {
    const struct hr_image *img;
    struct hr_notes *notes;
    uint64_t lo, hi;       /* the linker's section of slabs, 0 unknown */
    struct slab slab[MAX_SLABS];
    uint32_t n;
    struct hr_fuel look;   /* blocks of what only looks like a slab */
};

static void damage(const struct slabs *t, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(t->notes, HR_NOTE_DAMAGE, code, at, "Zephyr %s: %s at 0x%llx", hr_strs_get(t->img->strs, row->name), what, (unsigned long long)at);
}

static bool read_list(const struct slabs *t, const struct slab *s, uint8_t *listed, uint64_t *n_ret, uint64_t *bad_ret)
{
    return hr_emb_pool_free(t->img, &(struct hr_emb_pool){s->buffer, s->each, s->count, s->list}, listed, n_ret, bad_ret);
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    const struct slabs *t = self;
    const struct slab *s = &t->slab[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, s->arena);
    HR_AUTOFREE uint8_t *listed = hr_zalloc((size_t)(s->count / 8 + 1), 1);
    uint64_t n, bad;
    if (!listed)
        return HR_NOMEM;
    if (!read_list(t, s, listed, &n, &bad))
        damage(t, row, "heap.corrupt.free-list", bad, "the list of free blocks leaves the slab or is a loop");
    else if (n != s->count - s->used)
        damage(t, row, "heap.corrupt.free-bytes", s->at, "num_used and the list of free blocks do not make num_blocks: the slab");
    for (uint64_t i = 0; i < s->count; i++)
        HR_TRY(hr_emit(b, s->buffer + i * s->each, s->each, hr_emb_bit(listed, i) ? HR_FREE : HR_USED));
    return HR_OK;
}

/* The five fields from `at` on, in the order since 3.5 or before. */
static bool fields(const struct slabs *t, uint64_t at, bool old, struct slab *s, uint64_t *end_ret)
{
    unsigned w = t->img->word;
    uint64_t buffer_at = at, count_at = at + 2 * w, size_at = count_at + w, used_at = size_at + w;
    if (old) {
        count_at = at;
        size_at = at + w;
        buffer_at = at + 2 * w;
        used_at = at + 4 * w;
    }
    *end_ret = used_at + 4;
    return hr_image_word(t->img, buffer_at, &s->buffer) && hr_image_word(t->img, buffer_at + w, &s->list) && hr_image_uint(t->img, count_at, 4, &s->count) &&
           hr_image_word(t->img, size_at, &s->each) && hr_image_uint(t->img, used_at, 4, &s->used) && s->buffer && s->count && s->count <= 1 << 20 &&
           s->used <= s->count && s->each >= w && s->each < 1 << 24 && !(s->each & (w - 1)) && !(s->buffer & (w - 1)) &&
           hr_emb_ram(t->img, s->buffer, s->count * s->each) && (!s->list || s->list - s->buffer < s->count * s->each);
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct slabs *t = ctx;
    unsigned w = t->img->word;
    bool idle = hr_word_load(p, w, t->img->big) == at && hr_word_load(p + w, w, t->img->big) == at, listed = at >= t->lo && at < t->hi;
    if ((!idle && !listed) || t->n == MAX_SLABS || n < 7u * w)
        return 0;
    for (unsigned k = 0; k < 2 * (MAX_LOCK + 1); k++) {
        struct slab s = {.at = at};
        uint64_t end, free, bad;
        if (!fields(t, at + (2 + k / 2) * w, k & 1, &s, &end) || !hr_burn(&t->look, s.count))
            continue;
        HR_AUTOFREE uint8_t *bits = hr_zalloc((size_t)(s.count / 8 + 1), 1);
        if (!bits)
            return 0;
        bool good = read_list(t, &s, bits, &free, &bad) && free == s.count - s.used;
        /* outside of the linker's section the numbers have to agree, and prove something */
        if (!listed && (!good || (s.count < 2 && !free)))
            continue;
        s.size_of = end - at;
        t->slab[t->n++] = s;
        return s.size_of;
    }
    return 0;
}

static enum hr_status declare(struct slabs *t, struct hr_allocator_in *in)
{
    char how[160], name[96];
    uint16_t id;
    snprintf(how, sizeof how, "a k_mem_slab at 0x%llx whose counts and list agree", (unsigned long long)t->slab[0].at);
    HR_TRY(hr_emb_allocator(in, "Zephyr slabs", "", how, (uint8_t)__builtin_ctz(t->img->word), &id));
    for (uint32_t i = 0; i < t->n; i++) {
        struct slab *s = &t->slab[i];
        uint64_t off = 0;
        const struct hr_sym *y = hr_sym_at(in->types, s->at, &off);
        if (y && !off)
            snprintf(name, sizeof name, "slab %.60s", y->name);
        else
            snprintf(name, sizeof name, "slab (0x%llx)", (unsigned long long)s->at);
        HR_TRY(hr_emb_arena(in, id, s->at, name, &s->arena));
        HR_TRY(hr_builder_own(in->builder, s->at, s->size_of));
        HR_TRY(hr_builder_region(in->builder, s->buffer, s->count * s->each, s->arena, walk, t, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    if (!in->image->bare)
        return HR_ABSENT;
    struct slabs *t = hr_zalloc(1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    t->img = in->image;
    t->notes = in->notes;
    t->look = hr_fuel(16 << 20);
    const struct hr_sym *lo = hr_sym_find(in->types, "_k_mem_slab_list_start", HR_NONE), *hi = hr_sym_find(in->types, "_k_mem_slab_list_end", HR_NONE);
    if (lo && hi) {
        t->lo = lo->addr;
        t->hi = hi->addr;
    }
    hr_emb_search(t->img, t->img->word, 7u * t->img->word, look, t);
    enum hr_status st = t->n ? declare(t, in) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(t);
        return st;
    }
    *self_ret = t;
    return HR_OK;
}

const struct hr_allocator hr_allocator_zephyr_slab = {.name = "Zephyr slabs", .open = open, .close = hr_free};
