/* The heap as it would be behind a gc.collect(): what is free then, and in which pieces. */
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
            s->ret->weakrefs += hr_mp_has_weak(s->mp, a, b);
            block_free(s, a, n, false);
        } else {
            s->now = s->then = 0;
            if (k == HR_MPY_HEAD)
                s->ret->largest = hr_max(s->ret->largest, n * a->block);
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
