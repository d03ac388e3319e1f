/* Random graphs of many shapes for the graph tests, at most 40 nodes, with their adjacency as bit masks: naive computations
 * work on the masks, the code under test on the graph. */
#ifndef HR_TESTS_GRAPHS_H
#define HR_TESTS_GRAPHS_H

#include "analyzer/graph/graph.h"
#include "tests/tap.h"

enum { TG_MAX = 40, TG_EDGES = 4096 };

struct tg {
    uint32_t n, m;
    uint32_t from[TG_EDGES], to[TG_EDGES];
    uint64_t out[TG_MAX]; /* bit w: an edge to w */
    uint32_t entry[TG_MAX], nentry;
    uint64_t entries;
    uint64_t weight[TG_MAX];
};

static uint64_t tg_seed = 0x9e3779b97f4a7c15ull;
static uint32_t tg_rand(uint32_t below)
{
    tg_seed ^= tg_seed << 13;
    tg_seed ^= tg_seed >> 7;
    tg_seed ^= tg_seed << 17;
    return (uint32_t)((tg_seed >> 33) % below);
}

static void tg_edge(struct tg *t, uint32_t a, uint32_t b)
{
    if (t->m == TG_EDGES || a >= t->n || b >= t->n)
        return;
    t->from[t->m] = a;
    t->to[t->m++] = b;
    t->out[a] |= 1ull << b;
}

enum { TG_SPARSE, TG_DENSE, TG_DAG, TG_CHAIN, TG_RINGS, TG_LOOPS, TG_MULTI, TG_ISLANDS, TG_TREE, TG_LADDER, TG_SHAPES };

static void tg_links(struct tg *t, int shape)
{
    uint32_t n = t->n, many = shape == TG_DENSE ? n * n / 2 : shape == TG_CHAIN || shape == TG_TREE ? n / 4 : n + n / 2;
    for (uint32_t i = 0; i < many; i++) {
        uint32_t a = tg_rand(n), b = tg_rand(n);
        if (shape == TG_DAG && a > b)
            tg_edge(t, b, a);
        else if (shape == TG_ISLANDS)
            tg_edge(t, a, a - a % 5 + b % 5);
        else if (shape != TG_LADDER)
            tg_edge(t, a, b);
        if (shape == TG_LOOPS)
            tg_edge(t, a, a);
        if (shape == TG_MULTI)
            for (uint32_t k = tg_rand(5); k; k--)
                tg_edge(t, a, b);
    }
    for (uint32_t i = 1; i < n; i++) {
        if (shape == TG_CHAIN)
            tg_edge(t, i - 1, i);
        else if (shape == TG_TREE)
            tg_edge(t, tg_rand(i), i);
        else if (shape == TG_RINGS)
            tg_edge(t, i, i % 4 ? i - 1 : i + 3);
        else if (shape == TG_LADDER) { /* forward by two, back by one: semidominators far from dominators */
            tg_edge(t, i - 1, i + tg_rand(2));
            tg_edge(t, i, i - 1);
            if (tg_rand(4) == 0)
                tg_edge(t, i / 2, i);
        }
    }
}

static void tg_make(struct tg *t, int shape)
{
    memset(t, 0, sizeof *t);
    t->n = 1 + tg_rand(TG_MAX);
    tg_links(t, shape);
    uint32_t want = tg_rand(8) == 0 ? 0 : 1 + tg_rand(tg_rand(3) ? 1 : 5);
    for (uint32_t i = 0; i < want; i++) {
        uint32_t e = tg_rand(3) ? tg_rand(t->n) : 0;
        t->entry[t->nentry++] = e;
        t->entries |= 1ull << e;
    }
    for (uint32_t i = 0; i < t->n; i++)
        t->weight[i] = tg_rand(10) ? 16 + tg_rand(5000) : (uint64_t)tg_rand(1000) << 32;
}

/* Edges in the order of the lists, so per node in the order they were made. */
static void tg_source(void *ctx, uint32_t node, hr_graph_emit_fn *emit, void *emit_ctx)
{
    const struct tg *t = ctx;
    for (uint32_t i = 0; i < t->m; i++)
        if (t->from[i] == node)
            emit(emit_ctx, t->to[i]);
    emit(emit_ctx, t->n + 7); /* outside: to be ignored */
}

static struct hr_graph *tg_graph(struct tg *t)
{
    struct hr_graph *g = NULL;
    if (hr_graph_build(t->n, tg_source, t, &g) != HR_OK)
        abort();
    return g;
}

/* What can be reached from the set `from` within the set `in`. */
__attribute__((unused)) static uint64_t tg_reach(const struct tg *t, uint64_t from, uint64_t in)
{
    uint64_t seen = from & in;
    for (uint64_t before = 0; before != seen;) {
        before = seen;
        for (uint32_t i = 0; i < t->n; i++)
            if (seen >> i & 1)
                seen |= t->out[i] & in;
    }
    return seen;
}

#endif
