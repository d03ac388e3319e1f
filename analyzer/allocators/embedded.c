#include "analyzer/allocators/embedded.h"

#include <stdio.h>
#include <string.h>

uint64_t hr_emb_symbol(struct hr_allocator_in *in, const char *name, uint64_t *size_ret)
{
    const struct hr_sym *s = hr_sym_find(in->types, name, HR_NONE);
    if (!s || (s->kind != HR_SYM_DATA && s->kind != HR_SYM_OTHER))
        return 0;
    if (size_ret)
        *size_ret = s->size;
    return s->addr;
}

bool hr_emb_word(struct hr_allocator_in *in, const char *name, uint64_t *ret)
{
    uint64_t at = hr_emb_symbol(in, name, NULL);
    return at && hr_image_word(in->image, at, ret);
}

enum hr_status hr_emb_own(struct hr_allocator_in *in, const char *const *names)
{
    for (; *names; names++) {
        uint64_t size = 0, at = hr_emb_symbol(in, *names, &size);
        if (at)
            HR_TRY(hr_builder_own(in->builder, at, size ? size : in->image->word));
    }
    return HR_OK;
}

bool hr_emb_has(const struct hr_u64vec *v, uint64_t x)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->v[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->n && v->v[lo] == x;
}

bool hr_emb_missing(const struct hr_image *img, struct hr_notes *notes, const char *name, uint64_t at)
{
    if (hr_image_peek(img, at, 1).n)
        return false;
    hr_note_at(notes, HR_NOTE_DEGRADED, "heap.not_captured", at, "%s heap: the image does not hold 0x%llx, where the heap goes on; up to the next block that is surely one nothing is known",
               name, (unsigned long long)at);
    return true;
}

uint64_t hr_emb_above(const struct hr_u64vec *v, uint64_t x, uint64_t end)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->v[mid] <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->n ? hr_min(v->v[lo], end) : end;
}

static bool named(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (!strcmp(*list, name))
            return true;
    return false;
}

const struct hr_sym *hr_emb_break(struct hr_allocator_in *in, const struct hr_u64vec *bounds, const char *const *skip, uint64_t *ret)
{
    const struct hr_sym *best = NULL;
    *ret = 0;
    for (size_t i = 0; i < in->types->syms.n; i++) {
        const struct hr_sym *s = &in->types->syms.v[i];
        uint64_t v;
        if (s->kind != HR_SYM_DATA || s->size != in->image->word || !hr_image_word(in->image, s->addr, &v))
            continue;
        if (v > *ret && hr_emb_has(bounds, v) && !named(skip, s->name)) {
            *ret = v;
            best = s;
        }
    }
    return best;
}

void hr_emb_search(const struct hr_image *img, unsigned step, size_t need, hr_emb_look_fn *look, void *ctx)
{
    for (size_t s = 0; img->bare && s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        if (!(seg->flags & HR_SEG_W) || seg->bytes.n < need)
            continue;
        for (uint64_t off = -seg->addr & (step - 1); off <= seg->bytes.n - need;) {
            uint64_t over = look(ctx, seg->addr + off, seg->bytes.p + off, seg->bytes.n - off);
            off += over > step ? (over + step - 1) & ~(uint64_t)(step - 1) : step;
        }
    }
}

bool hr_emb_ram(const struct hr_image *img, uint64_t at, uint64_t size)
{
    const struct hr_segment *s = hr_image_find(img, at, NULL);
    return s && s->flags & HR_SEG_W && at - s->addr < s->bytes.n && size <= s->bytes.n - (at - s->addr);
}

bool hr_emb_pool_free(const struct hr_image *img, const struct hr_emb_pool *p, uint8_t *bits, uint64_t *n_ret, uint64_t *bad_ret)
{
    *n_ret = 0;
    for (uint64_t at = p->list, next; at; at = next) {
        uint64_t nr = (at - p->base) / p->step;
        *bad_ret = at;
        if (at < p->base || (at - p->base) % p->step || nr >= p->count || hr_emb_bit(bits, nr) || !hr_image_word(img, at, &next))
            return false;
        bits[nr / 8] |= (uint8_t)(1u << (nr & 7));
        (*n_ret)++;
    }
    return true;
}

bool hr_emb_filled(const struct hr_image *img, uint64_t at, uint64_t n, uint8_t v, uint64_t *bad_ret)
{
    while (n) {
        struct hr_span s = hr_image_peek(img, at, n);
        for (size_t i = 0; i < s.n; i++)
            if (s.p[i] != v) {
                if (bad_ret)
                    *bad_ret = at + i;
                return false;
            }
        if (!s.n) {
            if (bad_ret)
                *bad_ret = at;
            return false;
        }
        at += s.n;
        n -= s.n;
    }
    return true;
}

enum hr_status hr_emb_allocator(struct hr_allocator_in *in, const char *name, const char *version, const char *evidence, uint8_t shift,
                                uint16_t *ret)
{
    struct hr_allocator_info info = {.name = name, .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    snprintf(info.version, sizeof info.version, "%s", version);
    snprintf(info.evidence, sizeof info.evidence, "%s", evidence);
    return hr_builder_allocator(in->builder, &info, shift, ret);
}

enum hr_status hr_emb_arena(struct hr_allocator_in *in, uint16_t allocator, uint64_t header, const char *name, uint32_t *ret)
{
    struct hr_arena a = {.addr = header, .allocator = allocator};
    HR_TRY(hr_strs_addz(in->image->strs, name, &a.name));
    return hr_builder_arena(in->builder, &a, ret);
}

enum hr_status hr_emb_declare(struct hr_allocator_in *in, const char *name, const char *version, const char *evidence,
                              uint8_t shift, uint64_t header, uint32_t *arena_ret)
{
    uint16_t id;
    HR_TRY(hr_emb_allocator(in, name, version, evidence, shift, &id));
    return hr_emb_arena(in, id, header, name, arena_ret);
}
