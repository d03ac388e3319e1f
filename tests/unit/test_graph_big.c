/* Shapes that break recursion and quadratic steps: a chain of 10^7, hubs of 4*10^6 edges, a fan of rings, and the ladder on
 * which climbing the dominator tree is slow. The answers are known by construction. */
#include <sys/resource.h>
#include <time.h>

#include "analyzer/graph/graph.h"
#include "tests/tap.h"

enum { CHAIN = 10000000, HUB = 4000000, RINGS = 1000000, LADDER = 1000000 };

struct shape {
    uint32_t n;
    int kind; /* 'c' chain with an edge back at the end, 'h' hub, 'r' hub with rings of 3, 'l' ladder */
};

static void source(void *ctx, uint32_t v, hr_graph_emit_fn *emit, void *e)
{
    const struct shape *s = ctx;
    if (s->kind == 'c') {
        emit(e, v + 1 < s->n ? v + 1 : s->n / 2);
    } else if (s->kind == 'h' && v == 0) {
        for (uint32_t i = 1; i < s->n; i++)
            emit(e, i);
    } else if (s->kind == 'h') {
        emit(e, s->n - 1); /* an in-hub too */
    } else if (s->kind == 'r') {
        if (v == 0)
            for (uint32_t i = 1; i < s->n; i += 3)
                emit(e, i);
        else
            emit(e, (v - 1) % 3 == 2 ? v - 2 : v + 1);
    } else {
        emit(e, v + 1);
        if (v)
            emit(e, v - 1);
        if (v == 0)
            emit(e, s->n - 1);
        if (v == s->n / 2)
            for (uint32_t i = v; i < s->n; i += 7)
                emit(e, i);
    }
}

static uint64_t one(void *ctx, uint32_t v)
{
    (void)ctx, (void)v;
    return 1;
}
static bool is_zero(void *ctx, uint32_t v)
{
    (void)ctx;
    return v == 0;
}

static struct hr_graph *build(struct shape s)
{
    struct hr_graph *g;
    if (hr_graph_build(s.n, source, &s, &g) != HR_OK)
        abort();
    return g;
}

static void chain(uint32_t *a, uint64_t *w)
{
    struct hr_graph *g = build((struct shape){CHAIN, 'c'}), *r;
    uint32_t ncomp, bad = 0, len = 0;
    EQ(hr_graph_scc(g, NULL, a, &ncomp), HR_OK, "chain: components");
    EQ(ncomp, CHAIN / 2 + 1, "chain: half is one ring");
    EQ(a[CHAIN - 1], 0, "chain: the ring is the sink");
    EQ(hr_graph_dominators(g, &(uint32_t){0}, 1, NULL, a), HR_OK, "chain: dominators");
    for (uint32_t v = 1; v < CHAIN; v++)
        bad += a[v] != v - 1;
    EQ(bad, 0, "chain: each dominates the next");
    EQ(hr_graph_retained(a, CHAIN, one, NULL, w), HR_OK, "chain: retained");
    for (uint32_t v = 0; v < CHAIN; v++)
        bad += w[v] != CHAIN - v;
    EQ(bad, 0, "chain: each retains the rest");
    if (hr_graph_reverse(g, &r) != HR_OK)
        abort();
    EQ(hr_graph_path(r, CHAIN - 1, is_zero, NULL, NULL, a, 10, &len), HR_LIMIT, "chain: path is longer than asked for");
    EQ(len, CHAIN, "chain: length");
    EQ(a[4] + a[5], 4 + CHAIN - 5, "chain: shortened in the middle");
    struct hr_bits seen;
    if (hr_bits_init(&seen, CHAIN) != HR_OK)
        abort();
    EQ(hr_graph_mark(r, &(uint32_t){CHAIN - 1}, 1, NULL, &seen, NULL), HR_OK, "chain: mark backwards");
    EQ(hr_bits_count(&seen), CHAIN, "chain: all");
    hr_bits_deinit(&seen);
    hr_graph_destroy(g);
    hr_graph_destroy(r);
}

static void hub(uint32_t *a, uint64_t *w)
{
    struct hr_graph *g = build((struct shape){HUB, 'h'});
    uint32_t ncomp, bad = 0;
    EQ(hr_graph_scc(g, NULL, a, &ncomp), HR_OK, "hub: components");
    EQ(ncomp, HUB, "hub: no ring but the self-loop of the last");
    EQ(hr_graph_dominators(g, &(uint32_t){0}, 1, NULL, a), HR_OK, "hub: dominators");
    for (uint32_t v = 1; v < HUB; v++)
        bad += a[v] != 0;
    EQ(bad, 0, "hub: all under the hub");
    EQ(hr_graph_retained(a, HUB, one, NULL, w), HR_OK, "hub: retained");
    EQ(w[0], HUB, "hub: retains all");
    hr_graph_destroy(g);
}

static void rings(uint32_t *a)
{
    uint32_t n = 1 + 3 * RINGS, ncomp, bad = 0;
    struct hr_graph *g = build((struct shape){n, 'r'});
    EQ(hr_graph_scc(g, NULL, a, &ncomp), HR_OK, "rings: components");
    EQ(ncomp, RINGS + 1, "rings: each one");
    for (uint32_t v = 1; v < n; v++)
        bad += a[v] != a[1 + (v - 1) / 3 * 3] || a[v] >= a[0];
    EQ(bad, 0, "rings: members together, below the hub");
    hr_graph_destroy(g);
}

/* Entered at both ends, all in one component: only what the naive sense of the shape says of a few is compared. */
static void ladder(uint32_t *a)
{
    struct hr_graph *g = build((struct shape){LADDER, 'l'});
    clock_t before = clock();
    EQ(hr_graph_dominators(g, &(uint32_t){0}, 1, NULL, a), HR_OK, "ladder: dominators");
    OK((double)(clock() - before) / CLOCKS_PER_SEC < 20, "ladder: no quadratic step");
    uint32_t bad = 0;
    for (uint32_t v = 1; v < LADDER; v++)
        bad += a[v] != 0; /* from both ends, so no inner node is on every path */
    EQ(bad, 0, "ladder: all directly under the start");
    hr_graph_destroy(g);
}

int main(void)
{
    /* A recursion over the chain would need far more than this. */
    struct rlimit small = {256 << 10, RLIM_INFINITY};
    if (setrlimit(RLIMIT_STACK, &small) != 0)
        printf("# stack limit not lowered\n");
    uint32_t *a = hr_alloc(sizeof *a * CHAIN);
    uint64_t *w = hr_alloc(sizeof *w * CHAIN);
    if (!a || !w)
        abort();
    chain(a, w);
    hub(a, w);
    rings(a);
    ladder(a);
    hr_free(a);
    hr_free(w);
    return tap_done();
}
