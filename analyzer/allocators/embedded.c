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

enum hr_status hr_emb_declare(struct hr_allocator_in *in, const char *name, const char *version, const char *evidence,
                              uint8_t shift, uint64_t header, uint32_t *arena_ret)
{
    struct hr_allocator_info info = {.name = name, .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    struct hr_arena a = {.addr = header};
    snprintf(info.version, sizeof info.version, "%s", version);
    snprintf(info.evidence, sizeof info.evidence, "%s", evidence);
    HR_TRY(hr_builder_allocator(in->builder, &info, shift, &a.allocator));
    HR_TRY(hr_strs_addz(in->image->strs, name, &a.name));
    return hr_builder_arena(in->builder, &a, arena_ret);
}
