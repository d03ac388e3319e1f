/* Dominators: Semi-NCA (semidominators as Lengauer and Tarjan find them, then the nearest common ancestor), iterative.
 *
 * Against Lengauer-Tarjan with buckets, measured on 10^7 nodes: path compression then needs one pair of numbers per node, on
 * one cache line. Its weak spot, climbing the growing tree step by step, is quadratic on crafted graphs: here every node of
 * the tree also has a jump pointer (skew-binary, as in Myers' applicative random-access stack), so a climb is O(log n).
 *
 * All work happens on preorder numbers: the virtual root is 0, reached nodes are 1..nreached. Memory beside the caller's
 * idom: 24 bytes per node and 4 per edge. */
#include "analyzer/graph/csr.h"

enum { AHEAD = 24 }; /* edges between prefetching a number and using it */

struct dom_pair {
    union {
        uint32_t up;   /* search tree parent; once linked: an ancestor, by path compression */
        uint32_t jump; /* second half: an ancestor further up in the dominator tree */
    };
    union {
        uint32_t best;  /* least semidominator between here and `up`; itself until linked */
        uint32_t depth; /* second half: in the dominator tree */
    };
};

struct dom {
    const struct hr_graph *g;
    const struct hr_bits *only;
    uint32_t *number;      /* node -> preorder number, HR_NONE not reached; is the caller's idom */
    uint32_t *vertex;      /* number -> node */
    struct dom_pair *pair;
    uint32_t *semi;        /* semidominator; 0 for entries from the start */
    uint32_t *idom;        /* search tree parent first, then the dominator */
    struct hr_graph *pred; /* predecessors by number */
    uint32_t nreached;
};

static uint32_t visit(struct dom *d, uint32_t node, uint32_t parent)
{
    uint32_t at = ++d->nreached, n;
    d->vertex[at] = node;
    d->idom[at] = parent;
    d->number[node] = at;
    d->semi[at] = 0;
    const uint32_t *out = hr_graph_out(d->g, node, &n);
    for (uint32_t i = 0; i < n && i < AHEAD; i++)
        __builtin_prefetch(&d->number[out[i]]);
    return at;
}

/* The entries are the virtual root's children. The way back is the tree's own parent, the next edge to look at is kept in
 * semi until that is needed: no stack. */
static void number_from(struct dom *d, uint32_t entry)
{
    uint32_t *cursor = d->semi, at = visit(d, entry, 0);
    while (at) {
        uint32_t n, i = cursor[at];
        const uint32_t *out = hr_graph_out(d->g, d->vertex[at], &n);
        while (i < n && (d->number[out[i]] != HR_NONE || (d->only && !hr_bits_get(d->only, out[i]))))
            i++;
        cursor[at] = i + 1;
        at = i < n ? visit(d, out[i], at) : d->idom[at];
    }
}

static void number_all(struct dom *d, const uint32_t *entries, uint32_t nentries)
{
    for (uint32_t i = 0; i < d->g->n; i++)
        d->number[i] = HR_NONE;
    for (uint32_t i = 0; i < nentries; i++) {
        uint32_t e = entries[i];
        if (e < d->g->n && d->number[e] == HR_NONE && (!d->only || hr_bits_get(d->only, e)))
            number_from(d, e);
    }
    for (uint32_t v = 0; v <= d->nreached; v++)
        d->semi[v] = v;
    for (uint32_t i = 0; i < nentries; i++) {
        if (entries[i] < d->g->n && d->number[entries[i]] != HR_NONE)
            d->semi[d->number[entries[i]]] = 0;
    }
}

/* By node and not by number: rows and columns are then read in order, and the numbers can be fetched ahead. */
static enum hr_status build_pred(struct dom *d)
{
    const struct hr_graph *g = d->g;
    HR_TRY(hr_csr_create(d->nreached + 1, &d->pred));
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t v = 0; v < g->n; v++) {
            if (d->number[v] == HR_NONE)
                continue;
            for (uint64_t e = hr_graph_first(g, v), end = hr_graph_end(g, v); e < end; e++) {
                if (e + AHEAD < g->m)
                    __builtin_prefetch(&d->number[g->col[e + AHEAD]]);
                uint32_t to = d->number[g->col[e]];
                if (to == HR_NONE || g->col[e] == v)
                    continue;
                if (pass)
                    hr_csr_place(d->pred, to, d->number[v]);
                else
                    hr_csr_count(d->pred, to);
            }
        }
        if (!pass)
            HR_TRY(hr_csr_rows(d->pred));
    }
    hr_csr_finish(d->pred);
    return HR_OK;
}

/* The least semidominator on the path from v up to, not including, the root of its tree in the forest of linked numbers
 * (those >= linked). The way up is kept by turning the links round, so no stack is needed. */
static uint32_t eval(struct dom_pair *pair, uint32_t v, uint32_t linked)
{
    if (v < linked)
        return v;
    if (pair[v].up < linked)
        return pair[v].best;
    uint32_t below = 0, at = v;
    while (pair[at].up >= linked) {
        uint32_t up = pair[at].up;
        pair[at].up = below;
        below = at;
        at = up;
    }
    uint32_t top = pair[at].up, best = pair[at].best;
    while (below) {
        struct dom_pair *p = &pair[below];
        below = p->up;
        p->up = top;
        if (best < p->best)
            p->best = best;
        best = p->best;
    }
    return best;
}

/* From the last number to the first; edges too, so that they are read in order, downwards. */
static void semidominators(struct dom *d)
{
    const uint32_t *col = d->pred->col;
    for (uint32_t v = 1; v <= d->nreached; v++)
        d->pair[v] = (struct dom_pair){{d->idom[v]}, {v}};
    for (uint32_t w = d->nreached; w > 0; w--) {
        uint32_t best = hr_min(d->semi[w], d->idom[w]);
        for (uint64_t first = hr_graph_first(d->pred, w), e = hr_graph_end(d->pred, w); e-- > first;) {
            if (e >= AHEAD)
                __builtin_prefetch(&d->pair[col[e - AHEAD]]);
            uint32_t s = eval(d->pair, col[e], w + 1);
            if (s < best)
                best = s;
        }
        d->semi[w] = d->pair[w].best = best;
    }
}

/* The dominator is the nearest ancestor of the search tree parent, in the dominator tree so far, whose number is not above
 * the semidominator. */
static void ancestors(struct dom *d)
{
    struct dom_pair *pair = d->pair;
    pair[0] = (struct dom_pair){{0}, {0}};
    d->idom[0] = 0;
    for (uint32_t v = 1; v <= d->nreached; v++) {
        uint32_t a = d->idom[v], semi = d->semi[v];
        while (a > semi)
            a = pair[a].jump > semi ? pair[a].jump : d->idom[a];
        uint32_t j = pair[a].jump;
        bool merge = pair[a].depth - pair[j].depth == pair[j].depth - pair[pair[j].jump].depth;
        d->idom[v] = a;
        pair[v] = (struct dom_pair){{merge ? pair[j].jump : a}, {pair[a].depth + 1}};
    }
}

static void answer(struct dom *d, uint32_t *idom)
{
    for (uint32_t v = 1; v <= d->nreached; v++)
        idom[d->vertex[v]] = d->idom[v] ? d->vertex[d->idom[v]] : d->g->n;
}

enum hr_status hr_graph_dominators(const struct hr_graph *g, const uint32_t *entries, uint32_t nentries,
                                   const struct hr_bits *only, uint32_t *idom)
{
    if (g->n >= HR_NONE - 1)
        return HR_LIMIT;
    size_t n = (size_t)g->n + 1; /* what is not reached is never touched, so costs no page */
    struct dom d = {.g = g, .only = only, .number = idom};
    d.vertex = hr_alloc(n * sizeof *d.vertex);
    d.semi = hr_alloc(n * sizeof *d.semi);
    d.idom = hr_alloc(n * sizeof *d.idom);
    enum hr_status s = HR_NOMEM;
    if (d.vertex && d.semi && d.idom) {
        number_all(&d, entries, nentries);
        s = build_pred(&d);
    }
    if (s == HR_OK) {
        d.pair = hr_alloc(((size_t)d.nreached + 1) * sizeof *d.pair);
        s = d.pair ? HR_OK : HR_NOMEM;
    }
    if (s == HR_OK) {
        semidominators(&d);
        hr_graph_destroy(d.pred);
        d.pred = NULL;
        ancestors(&d);
        answer(&d, idom);
    }
    hr_graph_destroy(d.pred);
    hr_free(d.vertex);
    hr_free(d.semi);
    hr_free(d.idom);
    hr_free(d.pair);
    return s;
}

/* Leaves first: a node is added to its dominator when its own last child has been. */
enum hr_status hr_graph_retained(const uint32_t *idom, uint32_t n, hr_graph_weight_fn *weight, void *ctx, uint64_t *retained)
{
    uint32_t *waiting = hr_zalloc((size_t)n + 1, sizeof *waiting); /* children not added yet; HR_NONE: done */
    if (!waiting)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        retained[i] = weight(ctx, i);
        if (idom[i] < n)
            waiting[idom[i]]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t v = i; v < n && waiting[v] == 0; v = idom[v]) {
            waiting[v] = HR_NONE;
            uint32_t up = idom[v];
            if (up < n) {
                retained[up] = hr_sat_add(retained[up], retained[v]);
                waiting[up]--;
            }
        }
    }
    hr_free(waiting);
    return HR_OK;
}
