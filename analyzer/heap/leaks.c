/* Sorting what is leaked: the graph of leaked blocks alone (its cost is that of the leaks, not of the heap), its components,
 * and the dominator tree from the ones nothing points at: what one free() would give back. */
#include <stdlib.h>

#include "analyzer/graph/graph.h"
#include "analyzer/heap/refs.h"

struct work {
    struct hr_heap *h;
    const struct hr_mark_options *opt;
    struct hr_refs refs;
    struct hr_leaks *out;
    uint32_t n;                /* leaked blocks: nodes */
    hr_id *id;                 /* of each node, ascending */
    struct hr_bits in;         /* per block: leaked */
    uint32_t *rank;            /* per word of `in`: nodes before it */
    struct hr_graph *g;
    uint32_t *comp, ncomp;
    uint32_t *length;          /* of each component; HR_NONE: something else points into it */
    uint32_t *leak;            /* of each component that has one: index into list */
    struct hr_bits looped;     /* per node: points at itself */
    uint32_t *idom, *top;      /* top: the dominator directly below the virtual root */
    hr_graph_emit_fn *emit;    /* while edges are enumerated */
    void *emit_ctx;
    uint32_t piece;            /* of the last node asked for */
};

/* ---- nodes and edges ---- */

static enum hr_status collect(struct work *w)
{
    const struct hr_heap *h = w->h;
    HR_TRY(hr_bits_init(&w->in, h->n));
    uint64_t words = (uint64_t)h->n / 64 + 1;
    w->rank = hr_alloc(words * sizeof *w->rank);
    if (!w->rank)
        return HR_NOMEM;
    for (uint64_t i = 0; i < words; i++) {
        w->rank[i] = w->n;
        for (uint64_t k = i * 64; k < hr_min(i * 64 + 64, h->n); k++)
            w->in.w[i] |= (uint64_t)(h->reach[k] >= HR_LEAKED_DIRECT) << (k & 63);
        w->n += (uint32_t)__builtin_popcountll(w->in.w[i]);
    }
    w->id = hr_alloc((size_t)w->n * sizeof *w->id);
    if (!w->id)
        return HR_NOMEM;
    uint64_t k = 0;
    for (uint32_t v = 0; v < w->n; v++) {
        k = hr_bits_next(&w->in, k);
        w->id[v] = (hr_id)k++;
    }
    return HR_OK;
}

static void target(void *ctx, hr_id to, uint8_t surety)
{
    (void)surety;
    struct work *w = ctx;
    if (to < w->h->n && hr_bits_get(&w->in, to)) {
        uint64_t below = w->in.w[to >> 6] & ((1ull << (to & 63)) - 1);
        w->emit(w->emit_ctx, w->rank[to >> 6] + (uint32_t)__builtin_popcountll(below));
    }
}

static void word(void *ctx, uint64_t value, bool plain)
{
    (void)plain;
    struct work *w = ctx;
    bool start;
    hr_id to = hr_refs_target(&w->refs, value, &start);
    if (to != HR_NONE)
        target(w, to, 0);
}

/* Nodes come in ascending order, so the piece is found by going on from the last one. */
static void edges(void *ctx, uint32_t node, hr_graph_emit_fn *emit, void *emit_ctx)
{
    struct work *w = ctx;
    const struct hr_heap *h = w->h;
    hr_id id = w->id[node];
    w->emit = emit;
    w->emit_ctx = emit_ctx;
    if (node == 0)
        w->piece = 0;
    while (w->piece + 1 < h->pieces.n && h->pieces.v[w->piece + 1].block0 <= id)
        w->piece++;
    if (w->opt->claims && w->opt->claims(w->opt->ctx, id)) {
        w->opt->edges(w->opt->ctx, id, target, w);
    } else if (h->state[id] == HR_HOST) {
        hr_refs_host(&w->refs, id, word, w);
    } else {
        const struct hr_piece *p = &h->pieces.v[w->piece];
        hr_refs_block(&w->refs, p->addr + ((uint64_t)h->granule[id] << p->shift), hr_block_size(h, id), word, w);
    }
}

/* ---- classes ---- */

/* A component is a source when no edge from another one enters it. */
static enum hr_status components(struct work *w)
{
    w->comp = hr_alloc((size_t)w->n * sizeof *w->comp);
    if (!w->comp)
        return HR_NOMEM;
    HR_TRY(hr_graph_scc(w->g, NULL, w->comp, &w->ncomp));
    w->length = hr_zalloc(w->ncomp, sizeof *w->length);
    w->leak = hr_zalloc(w->ncomp, sizeof *w->leak);
    if (!w->length || !w->leak)
        return HR_NOMEM;
    HR_TRY(hr_bits_init(&w->looped, w->n));
    for (uint32_t v = 0; v < w->n; v++)
        w->length[w->comp[v]]++;
    for (uint32_t v = 0; v < w->n; v++) {
        uint32_t n;
        const uint32_t *out = hr_graph_out(w->g, v, &n);
        for (uint32_t i = 0; i < n; i++) {
            if (out[i] == v)
                hr_bits_set(&w->looped, v);
            else if (w->comp[out[i]] != w->comp[v])
                w->length[w->comp[out[i]]] = HR_NONE;
        }
    }
    return HR_OK;
}

/* Sets the classes and makes one leak per source; nodes ascend, so a ring's head and members are in address order. */
static enum hr_status sources(struct work *w)
{
    struct hr_leaks *l = w->out;
    uint32_t nring = 0;
    for (uint32_t v = 0; v < w->n; v++)
        w->leak[w->comp[v]] = HR_NONE;
    for (uint32_t v = 0; v < w->n; v++) {
        uint32_t c = w->comp[v], length = w->length[c];
        bool ring = length > 1 || hr_bits_get(&w->looped, v);
        w->h->reach[w->id[v]] = length == HR_NONE ? HR_LEAKED_INDIRECT : ring ? HR_LEAKED_CYCLE : HR_LEAKED_DIRECT;
        if (length == HR_NONE)
            continue;
        if (w->leak[c] == HR_NONE) {
            w->leak[c] = (uint32_t)l->list.n;
            HR_TRY(hr_leakvec_push(&l->list, (struct hr_leak){.head = w->id[v], .members = 0, .member0 = nring}));
            if (ring)
                nring += length;
            HR_TRY(hr_u32vec_reserve(&l->ring, nring));
            l->ring.n = nring;
        }
        struct hr_leak *k = &l->list.v[w->leak[c]];
        if (ring)
            l->ring.v[k->member0 + k->members] = w->id[v];
        k->members++;
    }
    return HR_OK;
}

/* ---- sums ---- */

static void find_tops(struct work *w)
{
    for (uint32_t v = 0; v < w->n; v++)
        w->top[v] = HR_NONE;
    for (uint32_t v = 0; v < w->n; v++) {
        uint32_t u = v;
        while (w->top[u] == HR_NONE && w->idom[u] < w->n)
            u = w->idom[u];
        uint32_t top = w->top[u] == HR_NONE ? u : w->top[u];
        for (u = v; w->top[u] == HR_NONE; u = w->idom[u]) {
            w->top[u] = top;
            if (w->idom[u] >= w->n)
                break;
        }
    }
}

static enum hr_status sums(struct work *w)
{
    struct hr_leaks *l = w->out;
    uint32_t *heads = hr_alloc(l->list.n * sizeof *heads), nheads = 0;
    w->idom = hr_alloc((size_t)w->n * sizeof *w->idom);
    w->top = hr_alloc((size_t)w->n * sizeof *w->top);
    enum hr_status s = heads && w->idom && w->top ? HR_OK : HR_NOMEM;
    for (uint32_t v = 0; v < w->n && s == HR_OK; v++) {
        uint32_t k = w->leak[w->comp[v]];
        if (k != HR_NONE && l->list.v[k].head == w->id[v])
            heads[nheads++] = v;
    }
    if (s == HR_OK)
        s = hr_graph_dominators(w->g, heads, nheads, NULL, w->idom);
    hr_free(heads);
    HR_TRY(s);
    find_tops(w);
    for (uint32_t v = 0; v < w->n; v++) {
        uint64_t size = hr_block_size(w->h, w->id[v]);
        uint32_t k = w->leak[w->comp[w->top[v]]];
        l->blocks++;
        l->bytes += size;
        *(k == HR_NONE ? &l->shared_blocks : &l->list.v[k].blocks) += 1;
        *(k == HR_NONE ? &l->shared_bytes : &l->list.v[k].bytes) += size;
    }
    return HR_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const struct hr_leak *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->head < y->head ? -1 : x->head > y->head;
}

static enum hr_status find(struct work *w)
{
    HR_TRY(collect(w));
    if (!w->n)
        return HR_OK;
    hr_refs_init(&w->refs, w->h, w->opt);
    HR_TRY(hr_graph_build(w->n, edges, w, &w->g));
    HR_TRY(components(w));
    HR_TRY(sources(w));
    HR_TRY(sums(w));
    qsort(w->out->list.v, w->out->list.n, sizeof *w->out->list.v, by_bytes);
    return HR_OK;
}

enum hr_status hr_leaks_find(struct hr_heap *h, const struct hr_mark_options *opt, struct hr_leaks **ret)
{
    static const struct hr_mark_options none;
    struct work w = {.h = h, .opt = opt ? opt : &none, .out = hr_zalloc(1, sizeof *w.out)};
    if (!w.out)
        return HR_NOMEM;
    w.out->list.max = w.out->ring.max = HR_MAX_BLOCKS;
    enum hr_status s = h->n && h->reach ? find(&w) : HR_OK;
    hr_bits_deinit(&w.in);
    hr_bits_deinit(&w.looped);
    hr_graph_destroy(w.g);
    hr_free(w.id);
    hr_free(w.rank);
    hr_free(w.comp);
    hr_free(w.length);
    hr_free(w.leak);
    hr_free(w.idom);
    hr_free(w.top);
    if (s == HR_OK)
        *ret = w.out;
    else
        hr_leaks_destroy(w.out);
    return s;
}

void hr_leaks_destroy(struct hr_leaks *l)
{
    if (!l)
        return;
    hr_leakvec_deinit(&l->list);
    hr_u32vec_deinit(&l->ring);
    hr_free(l);
}
