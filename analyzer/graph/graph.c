/* Rows and columns: building from a source, reversing. Marking and paths: walk.c. */
#include "analyzer/graph/csr.h"

enum hr_status hr_csr_create(uint32_t n, struct hr_graph **ret)
{
    if (n == HR_NONE)
        return HR_LIMIT;
    struct hr_graph *g = hr_zalloc(1, sizeof *g);
    if (!g)
        return HR_NOMEM;
    g->n = n;
    g->row = hr_zalloc((size_t)n + 1, sizeof *g->row);
    g->row_base = hr_zalloc((size_t)n / HR_CSR_GROUP + 1, sizeof *g->row_base);
    if (!g->row || !g->row_base) {
        hr_graph_destroy(g);
        return HR_NOMEM;
    }
    *ret = g;
    return HR_OK;
}

void hr_graph_destroy(struct hr_graph *g)
{
    if (!g)
        return;
    hr_free(g->row);
    hr_free(g->row_base);
    hr_free(g->col);
    hr_free(g);
}

enum hr_status hr_csr_rows(struct hr_graph *g)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i <= g->n; i++) {
        if (i % HR_CSR_GROUP == 0)
            g->row_base[i / HR_CSR_GROUP] = at;
        uint64_t degree = i < g->n ? g->row[i] : 0, off = at - g->row_base[i / HR_CSR_GROUP];
        if (degree == UINT32_MAX || off + degree > UINT32_MAX)
            return HR_LIMIT;
        g->row[i] = (uint32_t)off;
        at += degree;
    }
    g->m = at;
    uint64_t bytes;
    if (!hr_mul(g->m, sizeof *g->col, &bytes))
        return HR_LIMIT;
    g->col = hr_alloc(bytes);
    return g->col ? HR_OK : HR_NOMEM;
}

/* After placing, row[i] stands where row[i + 1] began, within its group. */
void hr_csr_finish(struct hr_graph *g)
{
    for (uint64_t i = g->n; i > 0; i--)
        g->row[i] = i % HR_CSR_GROUP ? g->row[i - 1] : 0;
    g->row[0] = 0;
}

struct count_ctx {
    struct hr_graph *g;
    uint32_t node;
};

static void count_edge(void *ctx, uint32_t target)
{
    struct count_ctx *c = ctx;
    if (target < c->g->n)
        hr_csr_count(c->g, c->node);
}

struct fill_ctx {
    struct hr_graph *g;
    uint64_t at, end; /* room of the current node */
    bool more;        /* the source said more than in the count pass */
};

static void fill_edge(void *ctx, uint32_t target)
{
    struct fill_ctx *f = ctx;
    if (target >= f->g->n)
        return;
    if (f->at < f->end)
        f->g->col[f->at++] = target;
    else
        f->more = true;
}

static enum hr_status fill(struct hr_graph *g, hr_graph_source_fn *source, void *ctx)
{
    for (uint32_t i = 0; i < g->n; i++) {
        struct fill_ctx f = {g, hr_graph_first(g, i), hr_graph_end(g, i), false};
        source(ctx, i, fill_edge, &f);
        if (f.more || f.at != f.end)
            return HR_CORRUPT; /* not the same sequence twice: col would hold garbage */
    }
    return HR_OK;
}

enum hr_status hr_graph_build(uint32_t n, hr_graph_source_fn *source, void *ctx, struct hr_graph **ret)
{
    struct hr_graph *g;
    HR_TRY(hr_csr_create(n, &g));
    struct count_ctx c = {g, 0};
    for (c.node = 0; c.node < n; c.node++)
        source(ctx, c.node, count_edge, &c);
    enum hr_status s = hr_csr_rows(g);
    if (s == HR_OK)
        s = fill(g, source, ctx);
    if (s != HR_OK) {
        hr_graph_destroy(g);
        return s;
    }
    *ret = g;
    return HR_OK;
}

enum hr_status hr_graph_reverse(const struct hr_graph *g, struct hr_graph **ret)
{
    struct hr_graph *r;
    HR_TRY(hr_csr_create(g->n, &r));
    for (uint64_t e = 0; e < g->m; e++)
        hr_csr_count(r, g->col[e]);
    enum hr_status s = hr_csr_rows(r);
    if (s != HR_OK) {
        hr_graph_destroy(r);
        return s;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        for (uint64_t e = hr_graph_first(g, i), end = hr_graph_end(g, i); e < end; e++)
            hr_csr_place(r, g->col[e], i);
    }
    hr_csr_finish(r);
    *ret = r;
    return HR_OK;
}
