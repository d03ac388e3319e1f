#include "analyzer/cli/py_rings.h"

#include <string.h>

#include "analyzer/graph/graph.h"

struct find {
    struct hr_py *py;
    struct hr_u64vec addr;       /* the garbage, then what goes with it by reference count */
    uint32_t *index;             /* block -> place in addr, HR_NONE */
    struct hr_graph *g, *over;   /* between objects; between components */
    uint32_t *comp, *start, *member; /* component of each; members of each: member[start[c] .. start[c + 1]) */
    uint64_t *bytes, *retained;  /* per component */
    uint8_t *self, *held;        /* per object: refers to itself; per component: another refers to it */
    uint32_t ncomp;
    size_t ngarbage;             /* of addr */
};

/* What a C type does not show to the collector may be borrowed: it holds nothing for sure. */
static bool counted(enum hr_py_ref kind, uint8_t surety)
{
    return kind == HR_PR_STRONG || kind == HR_PR_TYPE || (kind == HR_PR_UNVISITED && surety == HR_SURE_EXACT);
}

struct emit { struct find *f; uint32_t from; hr_graph_emit_fn *fn; void *ctx; };

static void emit_ref(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct emit *e = ctx;
    (void)off;
    hr_id id = counted(kind, surety) ? hr_py_node(e->f->py, target) : HR_NONE;
    uint32_t to = id == HR_NONE ? HR_NONE : e->f->index[id];
    if (to == HR_NONE)
        return;
    if (to == e->from)
        e->f->self[to] = 1;
    e->fn(e->ctx, to);
}

static void object_edges(void *ctx, uint32_t node, hr_graph_emit_fn *fn, void *fn_ctx)
{
    struct find *f = ctx;
    struct emit e = {f, node, fn, fn_ctx};
    hr_id id = hr_py_node(f->py, f->addr.v[node]);
    const struct hr_py_type t = f->py->types.v[f->py->object[id]];
    hr_py_refs(f->py, f->addr.v[node], &t, emit_ref, &e);
}

static void component_edges(void *ctx, uint32_t c, hr_graph_emit_fn *fn, void *fn_ctx)
{
    struct find *f = ctx;
    for (uint32_t i = f->start[c]; i < f->start[c + 1]; i++) {
        uint32_t n;
        const uint32_t *to = hr_graph_out(f->g, f->member[i], &n);
        for (uint32_t k = 0; k < n; k++)
            if (f->comp[to[k]] != c) {
                f->held[f->comp[to[k]]] = 1;
                fn(fn_ctx, f->comp[to[k]]);
            }
    }
}

/* What goes with the garbage by its reference count alone: the collector does not track strings, numbers or dicts of such, but they hang
 * below and are freed as soon as the last reference to them is. */
struct release { struct find *f; uint32_t *left; enum hr_status st; };

static void release_ref(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct release *r = ctx;
    struct find *f = r->f;
    (void)off;
    hr_id id = counted(kind, surety) ? hr_py_node(f->py, target) : HR_NONE;
    if (id >= f->py->heap->n || f->index[id] != HR_NONE || r->st != HR_OK || hr_py_immortal(f->py, target))
        return;
    if (!r->left[id]) {
        int64_t n = hr_py_refcount(f->py, target);
        r->left[id] = n > 0 && n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    }
    if (--r->left[id])
        return;
    f->index[id] = (uint32_t)f->addr.n;
    r->st = hr_u64vec_push(&f->addr, target);
}

static enum hr_status release_below(struct find *f)
{
    HR_AUTOFREE uint32_t *left = hr_zalloc((size_t)f->py->heap->n + 1, sizeof *left);
    struct release r = {f, left, left ? HR_OK : HR_NOMEM};
    for (size_t i = 0; r.st == HR_OK && i < f->addr.n; i++) {
        const struct hr_py_type t = f->py->types.v[f->py->object[hr_py_node(f->py, f->addr.v[i])]];
        hr_py_refs(f->py, f->addr.v[i], &t, release_ref, &r);
    }
    return r.st;
}

static enum hr_status collect_garbage(struct find *f, const struct hr_py_gc *g)
{
    size_t blocks = (size_t)f->py->heap->n + 1;
    f->addr.max = blocks;
    f->index = hr_alloc(blocks * sizeof *f->index);
    if (!f->index)
        return HR_NOMEM;
    memset(f->index, 0xff, blocks * sizeof *f->index);
    for (int which = 0; which < 2; which++) {
        const struct hr_u64vec *v = which ? &g->uncollectable : &g->garbage;
        for (size_t i = 0; i < v->n; i++) {
            f->index[hr_py_node(f->py, v->v[i])] = (uint32_t)f->addr.n;
            HR_TRY(hr_u64vec_push(&f->addr, v->v[i]));
        }
    }
    f->ngarbage = f->addr.n;
    HR_TRY(release_below(f));
    f->self = hr_zalloc(f->addr.n + 1, 1);
    f->comp = hr_zalloc(f->addr.n + 1, sizeof *f->comp);
    f->member = hr_zalloc(f->addr.n + 1, sizeof *f->member);
    return f->self && f->comp && f->member ? HR_OK : HR_NOMEM;
}

/* Members by component (counting sort: they stay in address order), and the bytes of each component. */
static enum hr_status sort_members(struct find *f)
{
    uint32_t n = (uint32_t)f->addr.n;
    f->start = hr_zalloc((size_t)f->ncomp + 2, sizeof *f->start);
    f->bytes = hr_zalloc((size_t)f->ncomp + 1, sizeof *f->bytes);
    f->retained = hr_zalloc((size_t)f->ncomp + 1, sizeof *f->retained);
    f->held = hr_zalloc((size_t)f->ncomp + 1, 1);
    if (!f->start || !f->bytes || !f->retained || !f->held)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        f->start[f->comp[i] + 2]++;
        f->bytes[f->comp[i]] += hr_block_size(f->py->heap, hr_py_node(f->py, f->addr.v[i]));
    }
    for (uint32_t c = 0; c < f->ncomp; c++)
        f->start[c + 2] += f->start[c + 1];
    for (uint32_t i = 0; i < n; i++)
        f->member[f->start[f->comp[i] + 1]++] = i;
    for (hr_id id = 0; id < f->py->heap->n; id++)
        if (f->py->owner[id] != HR_NONE && f->index[f->py->owner[id]] != HR_NONE)
            f->bytes[f->comp[f->index[f->py->owner[id]]]] += hr_block_size(f->py->heap, id);
    return HR_OK;
}

static uint64_t weight(void *ctx, uint32_t c) { return ((struct find *)ctx)->bytes[c]; }

/* What only this component holds: what it dominates in the graph of components, from those that nothing holds. */
static enum hr_status retain(struct find *f)
{
    HR_TRY(hr_graph_build(f->ncomp, component_edges, f, &f->over));
    uint32_t *idom = hr_alloc(((size_t)f->ncomp + 1) * sizeof *idom), *entry = hr_alloc(((size_t)f->ncomp + 1) * sizeof *entry), n = 0;
    enum hr_status st = idom && entry ? HR_OK : HR_NOMEM;
    for (uint32_t c = 0; st == HR_OK && c < f->ncomp; c++)
        if (!f->held[c])
            entry[n++] = c;
    if (st == HR_OK)
        st = hr_graph_dominators(f->over, entry, n, NULL, idom);
    if (st == HR_OK)
        st = hr_graph_retained(idom, f->ncomp, weight, f, f->retained);
    hr_free(idom);
    hr_free(entry);
    return st;
}

static enum hr_status write_rings(const struct find *f, struct hr_py_rings *ret)
{
    for (uint32_t c = 0; c < f->ncomp; c++) {
        uint32_t n = f->start[c + 1] - f->start[c];
        if (n < 2 && !f->self[f->member[f->start[c]]])
            continue;
        if (f->member[f->start[c + 1] - 1] >= f->ngarbage)
            continue; /* a ring of what is not tracked: one of its references is borrowed */
        HR_TRY(hr_u64vec_push(&ret->first, ret->addr.n));
        HR_TRY(hr_u64vec_push(&ret->bytes, f->bytes[c]));
        HR_TRY(hr_u64vec_push(&ret->retained, f->retained[c]));
        for (uint32_t i = f->start[c]; i < f->start[c + 1]; i++)
            HR_TRY(hr_u64vec_push(&ret->addr, f->addr.v[f->member[i]]));
    }
    return hr_u64vec_push(&ret->first, ret->addr.n);
}

static enum hr_status find(struct find *f, const struct hr_py_gc *g, struct hr_py_rings *ret)
{
    HR_TRY(collect_garbage(f, g));
    HR_TRY(hr_graph_build((uint32_t)f->addr.n, object_edges, f, &f->g));
    HR_TRY(hr_graph_scc(f->g, NULL, f->comp, &f->ncomp));
    HR_TRY(sort_members(f));
    HR_TRY(retain(f));
    ret->addr.max = ret->first.max = ret->bytes.max = ret->retained.max = f->addr.n + 1;
    return write_rings(f, ret);
}

enum hr_status hr_py_rings_find(struct hr_py *py, const struct hr_py_gc *g, struct hr_py_rings *ret)
{
    struct find f = {.py = py};
    *ret = (struct hr_py_rings){0};
    enum hr_status st = find(&f, g, ret);
    hr_u64vec_deinit(&f.addr);
    hr_free(f.index);
    hr_free(f.comp);
    hr_free(f.start);
    hr_free(f.member);
    hr_free(f.bytes);
    hr_free(f.retained);
    hr_free(f.self);
    hr_free(f.held);
    hr_graph_destroy(f.g);
    hr_graph_destroy(f.over);
    return st;
}

void hr_py_rings_deinit(struct hr_py_rings *r)
{
    hr_u64vec_deinit(&r->addr);
    hr_u64vec_deinit(&r->first);
    hr_u64vec_deinit(&r->bytes);
    hr_u64vec_deinit(&r->retained);
}
