/* Dominators: Lengauer and Tarjan's algorithm with simple path compression, iterative, O(m log n) on every graph. (Semi-NCA
 * saves the buckets but climbs the tree it builds: a crafted graph makes that quadratic; so does iterating to a fixed point.)
 *
 * All work happens on preorder numbers: the virtual root is 0, reached nodes are 1..nreached. Memory beside the caller's
 * idom: 28 bytes per node and 4 per edge that is not an edge of the search tree. */
#include "analyzer/graph/csr.h"

struct dom {
    const struct hr_graph *g;
    const struct hr_bits *only;
    uint32_t *number;    /* node -> preorder number, HR_NONE not reached; is the caller's idom */
    uint32_t *vertex;    /* number -> node */
    uint32_t *parent;    /* in the search tree; once linked: an ancestor, by path compression */
    uint32_t *semi;      /* number of the semidominator; itself until known */
    uint32_t *label;     /* number with the least semi on the compressed path */
    uint32_t *idom;      /* numbers; before that: next in the bucket; before that: 0 for an entry */
    uint32_t *bucket;    /* first of those whose semidominator this is, 0 none */
    struct hr_graph *pred; /* predecessors by number, without those from the own tree parent */
    uint32_t nreached;
};

/* The entries are the virtual root's children. `cursor` (per node) borrows semi, the way back is the tree's own parent. */
static void number_from(struct dom *d, uint32_t entry)
{
    uint32_t *cursor = d->semi, at = ++d->nreached;
    d->vertex[at] = entry;
    d->parent[at] = 0;
    d->number[entry] = at;
    cursor[at] = 0;
    while (at) {
        uint32_t n, i = cursor[at];
        const uint32_t *out = hr_graph_out(d->g, d->vertex[at], &n);
        while (i < n && (d->number[out[i]] != HR_NONE || (d->only && !hr_bits_get(d->only, out[i]))))
            i++;
        cursor[at] = i + 1;
        if (i >= n) {
            at = d->parent[at];
            continue;
        }
        uint32_t child = ++d->nreached;
        d->vertex[child] = out[i];
        d->parent[child] = at;
        d->number[out[i]] = child;
        cursor[child] = 0;
        at = child;
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
}

/* An edge from the own tree parent says nothing new (semi starts there), and there is one for nearly every node. */
static bool edge_counts(const struct dom *d, uint32_t from, uint32_t node, uint32_t *to_ret)
{
    uint32_t to = d->number[node];
    *to_ret = to;
    return to != HR_NONE && to != from && d->parent[to] != from;
}

static enum hr_status build_pred(struct dom *d)
{
    HR_TRY(hr_csr_create(d->nreached + 1, &d->pred));
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t v = 1; v <= d->nreached; v++) {
            uint32_t n, to;
            const uint32_t *out = hr_graph_out(d->g, d->vertex[v], &n);
            for (uint32_t i = 0; i < n; i++) {
                if (!edge_counts(d, v, out[i], &to))
                    continue;
                if (pass)
                    hr_csr_place(d->pred, to, v);
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

/* The number with the least semidominator on the path from v up to, not including, the root of its tree in the forest of
 * linked numbers (those >= linked). The way up is kept by turning the parent links round, so no stack is needed. */
static uint32_t eval(struct dom *d, uint32_t v, uint32_t linked)
{
    uint32_t *parent = d->parent, *label = d->label, *semi = d->semi;
    if (v < linked || parent[v] < linked)
        return label[v];
    uint32_t below = 0, at = v;
    while (parent[at] >= linked) {
        uint32_t up = parent[at];
        parent[at] = below;
        below = at;
        at = up;
    }
    uint32_t top = parent[at];
    while (below) {
        uint32_t next = parent[below];
        if (semi[label[at]] < semi[label[below]])
            label[below] = label[at];
        parent[below] = top;
        at = below;
        below = next;
    }
    return label[v];
}

static void empty_bucket(struct dom *d, uint32_t w)
{
    for (uint32_t v = d->bucket[w], next; v; v = next) {
        next = d->idom[v];
        uint32_t u = eval(d, v, w + 1);
        d->idom[v] = d->semi[u] < d->semi[v] ? u : w;
    }
}

static void semidominators(struct dom *d)
{
    for (uint32_t w = d->nreached; w > 0; w--) {
        empty_bucket(d, w);
        uint32_t parent = d->parent[w], best = d->idom[w] ? parent : 0, n;
        const uint32_t *in = hr_graph_out(d->pred, w, &n);
        for (uint32_t i = 0; i < n && best; i++) {
            uint32_t s = d->semi[eval(d, in[i], w + 1)];
            if (s < best)
                best = s;
        }
        d->semi[w] = best;
        if (best == 0 || best == parent) {
            d->idom[w] = best; /* nothing lies between: no need to wait */
        } else {
            d->idom[w] = d->bucket[best];
            d->bucket[best] = w;
        }
    }
}

static void start_values(struct dom *d, const uint32_t *entries, uint32_t nentries)
{
    for (uint32_t v = 0; v <= d->nreached; v++) {
        d->semi[v] = d->label[v] = v;
        d->idom[v] = 1;
        d->bucket[v] = 0;
    }
    for (uint32_t i = 0; i < nentries; i++) {
        if (entries[i] < d->g->n && d->number[entries[i]] != HR_NONE)
            d->idom[d->number[entries[i]]] = 0;
    }
}

/* Numbers to nodes; a dominator known only relatively has a smaller number and is settled by then. */
static void answer(struct dom *d, uint32_t *idom)
{
    for (uint32_t v = 1; v <= d->nreached; v++) {
        if (d->idom[v] != d->semi[v])
            d->idom[v] = d->idom[d->idom[v]];
        idom[d->vertex[v]] = d->idom[v] ? d->vertex[d->idom[v]] : d->g->n;
    }
}

enum hr_status hr_graph_dominators(const struct hr_graph *g, const uint32_t *entries, uint32_t nentries,
                                   const struct hr_bits *only, uint32_t *idom)
{
    uint32_t n = g->n;
    if (n >= HR_NONE - 1)
        return HR_LIMIT;
    struct dom d = {.g = g, .only = only, .number = idom};
    uint32_t **column[] = {&d.vertex, &d.parent, &d.semi, &d.label, &d.idom, &d.bucket};
    enum { NCOLUMNS = sizeof column / sizeof *column };
    enum hr_status s = HR_OK;
    for (unsigned i = 0; i < NCOLUMNS && s == HR_OK; i++) {
        *column[i] = hr_alloc(((size_t)n + 1) * sizeof(uint32_t)); /* what is not reached is never touched */
        s = *column[i] ? HR_OK : HR_NOMEM;
    }
    if (s == HR_OK) {
        number_all(&d, entries, nentries);
        s = build_pred(&d);
    }
    if (s == HR_OK) {
        start_values(&d, entries, nentries);
        semidominators(&d);
        answer(&d, idom);
    }
    for (unsigned i = 0; i < NCOLUMNS; i++)
        hr_free(*column[i]);
    hr_graph_destroy(d.pred);
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
