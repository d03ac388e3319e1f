/* Which types contain which, turned round: from a part at an offset up to what it may be part of. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

enum {
    STEPS = 512,    /* containers looked at for one question */
    NEST = 64,      /* members within members */
    EACH = 64,      /* elements of an array member that are tried */
};

/* One use of a type as (element of) a member. */
typedef void use_fn(void *ctx, hr_type part, struct hr_embed e);

static void uses_of_row(const struct hr_types *t, hr_type in, use_fn *fn, void *ctx)
{
    const struct hr_type_row *r = hr_type_get(t, in);
    if ((r->kind != HR_T_STRUCT && r->kind != HR_T_UNION) || !r->size)
        return;
    for (uint32_t i = 0; i < r->nfields; i++) {
        const struct hr_field *f = &t->fields.v[r->field0 + i];
        hr_type p = hr_type_strip(t, f->type);
        const struct hr_type_row *pr = hr_type_get(t, p);
        struct hr_embed e = {.in = in, .off = f->off, .count = 1};
        if (f->flags & (HR_FF_VIRTUAL | HR_FF_BITFIELD))
            continue;
        if (pr->kind == HR_T_ARRAY) {
            p = hr_type_strip(t, pr->target);
            e.count = pr->count > UINT32_MAX ? UINT32_MAX : (uint32_t)pr->count;
            pr = hr_type_get(t, p);
            e.stride = (uint32_t)pr->size;
        }
        if ((pr->kind == HR_T_STRUCT || pr->kind == HR_T_UNION) && pr->size && e.count)
            fn(ctx, p, e);
    }
    /* libstdc++ keeps values in raw buffers of a type that names them: __aligned_membuf<T>, __aligned_buffer<T>. */
    const char *name = hr_strs_get(t->strs, r->name);
    if (r->ntparams && !strncmp(name, "__gnu_cxx::__aligned_", 21))
        fn(ctx, hr_type_strip(t, t->tparams.v[r->tparam0].type), (struct hr_embed){.in = in, .count = 1});
}

static void count_use(void *ctx, hr_type part, struct hr_embed e)
{
    struct hr_spread *s = ctx;
    (void)e;
    s->parent0[part + 1]++;
}
static void fill_use(void *ctx, hr_type part, struct hr_embed e)
{
    struct hr_spread *s = ctx;
    s->parents[s->parent0[part]++] = e;
}

enum hr_status hr_embed_build(struct hr_spread *s)
{
    const struct hr_types *t = s->n->types;
    size_t n = t->rows.n;
    s->parent0 = hr_zalloc(n + 2, sizeof *s->parent0);
    if (!s->parent0)
        return HR_NOMEM;
    for (hr_type i = 1; i < n; i++)
        uses_of_row(t, i, count_use, s);
    for (size_t i = 0; i < n; i++)
        s->parent0[i + 1] += s->parent0[i];
    s->parents = hr_zalloc(s->parent0[n] + 1u, sizeof *s->parents);
    if (!s->parents)
        return HR_NOMEM;
    for (hr_type i = 1; i < n; i++)
        uses_of_row(t, i, fill_use, s);
    memmove(s->parent0 + 1, s->parent0, n * sizeof *s->parent0); /* filling moved each start to its end */
    s->parent0[0] = 0;
    return HR_OK;
}

struct at { hr_type type; uint64_t off; };

bool hr_embed_has(struct hr_spread *s, hr_type whole, hr_type part, uint64_t off)
{
    const struct hr_types *t = s->n->types;
    struct at todo[NEST];
    unsigned n = 0, steps = 0;
    todo[n++] = (struct at){whole, off};
    while (n && steps++ < STEPS) {
        struct at a = todo[--n];
        a.type = hr_type_strip(t, a.type);
        const struct hr_type_row *r = hr_type_get(t, a.type);
        if (a.type == part && !a.off)
            return true;
        if (r->kind == HR_T_ARRAY) {
            uint64_t el = hr_type_get(t, hr_type_strip(t, r->target))->size;
            if (el && n < NEST)
                todo[n++] = (struct at){r->target, a.off % el};
            continue;
        }
        const char *name = hr_strs_get(t->strs, r->name);
        if (r->ntparams && !strncmp(name, "__gnu_cxx::__aligned_", 21) && n < NEST)
            todo[n++] = (struct at){t->tparams.v[r->tparam0].type, a.off};
        if (r->kind != HR_T_STRUCT && r->kind != HR_T_UNION)
            continue;
        for (uint32_t i = 0; i < r->nfields && n < NEST; i++) {
            const struct hr_field *f = &t->fields.v[r->field0 + i];
            uint64_t size = hr_type_get(t, hr_type_strip(t, f->type))->size;
            if (!(f->flags & (HR_FF_VIRTUAL | HR_FF_BITFIELD)) && a.off >= f->off &&
                (a.off - f->off < size || f->flags & HR_FF_FLEX))
                todo[n++] = (struct at){f->type, a.off - f->off};
        }
    }
    return false;
}

static bool known(const hr_type *v, size_t n, hr_type t)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] == t)
            return true;
    return false;
}

size_t hr_embed_find(struct hr_spread *s, hr_id id, uint64_t addr, hr_type part, uint64_t off, hr_type *ret, size_t cap)
{
    struct at todo[NEST];
    unsigned n = 0, steps = 0;
    size_t found = 0;
    uint64_t usable = hr_block_size(s->h, id);
    todo[n++] = (struct at){part, off};
    while (n && found < cap && steps < STEPS) {
        struct at a = todo[--n];
        for (uint32_t i = s->parent0[a.type]; i < s->parent0[a.type + 1] && steps++ < STEPS; i++) {
            const struct hr_embed *e = &s->parents[i];
            const struct hr_type_row *r = hr_type_get(s->n->types, e->in);
            for (uint32_t k = 0; k < e->count && k < EACH; k++) {
                uint64_t in = e->off + (uint64_t)k * e->stride;
                if (in > a.off || a.off - in + r->size > usable)
                    continue;
                if (in == a.off && r->kind == HR_T_STRUCT && hr_fit(s, id, addr, r->size) == HR_FIT_EXACT && !known(ret, found, e->in) &&
                    found < cap)
                    ret[found++] = e->in;
                if (n < NEST)
                    todo[n++] = (struct at){e->in, a.off - in};
            }
        }
    }
    return found;
}
