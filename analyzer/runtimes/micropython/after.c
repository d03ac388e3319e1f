/* The heap as it would be behind a gc.collect(): what is free then, in which pieces, and which live allocations break it up. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

/* Is the allocation that begins at block b going to be freed? */
static bool dies(const struct hr_mp *mp, const struct hr_mp_gc *gc, const struct hr_mpy_area *a, uint64_t b)
{
    hr_id id = hr_mp_head(mp, a->pool + b * a->block);
    return id != HR_NONE && !hr_bits_get(&gc->live, id);
}

static bool has_finaliser(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t b)
{
    uint64_t byte;
    return a->finalisers && hr_image_uint(mp->img, a->finalisers + b / 8, 1, &byte) && byte >> (b % 8) & 1;
}

struct sweep {
    const struct hr_mp *mp;
    const struct hr_mp_gc *gc;
    struct hr_mp_after *ret;
    uint64_t now, then; /* length of the free run that ends here, as it is and as it would be */
};

static void block_free(struct sweep *s, const struct hr_mpy_area *a, uint64_t n, bool now)
{
    s->now = now ? s->now + n : 0;
    s->then += n;
    s->ret->free_now += now ? n * a->block : 0;
    s->ret->free_then += n * a->block;
    s->ret->longest_now = hr_max(s->ret->longest_now, s->now * a->block);
    s->ret->longest_then = hr_max(s->ret->longest_then, s->then * a->block);
}

static void sweep_area(struct sweep *s, const struct hr_mpy_area *a)
{
    const struct hr_mpy *m = &s->mp->m;
    s->now = s->then = 0;
    for (uint64_t b = 0, n; b < hr_mpy_blocks(a); b += n) {
        enum hr_mpy_kind k = hr_mpy_kind(m, a, b);
        n = k == HR_MPY_HEAD || k == HR_MPY_MARK ? hr_max(hr_mpy_extent(m, a, b), 1) : 1;
        s->ret->total += n * a->block;
        if (k == HR_MPY_FREE)
            block_free(s, a, 1, true);
        else if (n && k == HR_MPY_HEAD && dies(s->mp, s->gc, a, b)) {
            s->ret->finalisers += has_finaliser(s->mp, a, b);
            block_free(s, a, n, false);
        } else {
            s->now = s->then = 0;
            if (k == HR_MPY_HEAD)
                s->ret->largest = hr_max(s->ret->largest, n * a->block);
        }
    }
}

/* The place for `want` bytes with the fewest bytes alive in it: a window moved over the area, one block at a time. */
static void find_window(struct sweep *s, const struct hr_mpy_area *a, uint64_t want)
{
    uint64_t blocks = hr_mpy_blocks(a), wide = (want + a->block - 1) / a->block, live = 0;
    if (!wide || wide > blocks)
        return;
    HR_AUTOFREE uint8_t *alive = hr_zalloc(blocks, 1);
    for (uint64_t b = 0, n; alive && b < blocks; b += n) {
        enum hr_mpy_kind k = hr_mpy_kind(&s->mp->m, a, b);
        n = k == HR_MPY_HEAD || k == HR_MPY_MARK ? hr_max(hr_mpy_extent(&s->mp->m, a, b), 1) : 1;
        if (k != HR_MPY_FREE && !(k == HR_MPY_HEAD && dies(s->mp, s->gc, a, b)))
            memset(alive + b, 1, hr_min(n, blocks - b));
    }
    for (uint64_t b = 0; alive && b < blocks; b++) {
        live += alive[b];
        if (b >= wide)
            live -= alive[b - wide];
        if (b + 1 >= wide && (!s->ret->window || live * a->block < s->ret->window_live)) {
            s->ret->window = a->pool + (b + 1 - wide) * a->block;
            s->ret->window_bytes = wide * a->block;
            s->ret->window_live = live * a->block;
        }
    }
}

static enum hr_status look_behind(struct hr_mp *mp, struct hr_mp_after *ret)
{
    struct hr_mp_gc gc;
    *ret = (struct hr_mp_after){0};
    HR_TRY(hr_mp_collect(mp, &gc));
    struct sweep s = {mp, &gc, ret, 0, 0};
    for (uint32_t i = 0; i < mp->m.n; i++)
        sweep_area(&s, &mp->m.area[i]);
    ret->exact = gc.exact;
    ret->garbage = gc.freed_bytes;
    ret->request = ret->largest;
    for (uint32_t i = 0; i < mp->m.n; i++)
        find_window(&s, &mp->m.area[i], ret->request);
    hr_mp_gc_deinit(&gc);
    return HR_OK;
}

enum hr_status hr_mp_after(struct hr_mp *mp, struct hr_mp_after *ret)
{
    if (!mp->have_after)
        HR_TRY(look_behind(mp, &mp->after));
    mp->have_after = true;
    *ret = mp->after;
    return HR_OK;
}

hr_id hr_mp_pin(const struct hr_mp *mp, const struct hr_mp_after *after, uint64_t *at)
{
    while (*at < after->window + after->window_bytes) {
        uint64_t into, addr = *at;
        hr_id id = hr_heap_at(mp->heap, addr, &into);
        const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, addr);
        bool used = id != HR_NONE && mp->heap->state[id] == HR_USED;
        uint64_t step = used ? hr_block_size(mp->heap, id) - hr_min(into, hr_block_size(mp->heap, id)) : 0;
        *at += hr_max(step, a ? a->block : 16);
        if (used && !(mp->heap->closed.nbits && hr_bits_get(&mp->heap->closed, id)))
            return id;
    }
    return HR_NONE;
}
