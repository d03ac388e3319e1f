/* Graph room against naive computations on random graphs: components by mutual reachability, dominators and retained sizes
 * by deleting each node, paths by distance. One OK per property, not per graph. */
#include "tests/unit/graphs.h"

enum { GRAPHS = 10000 };

static uint64_t all_of(const struct tg *t) { return t->n == 64 ? ~0ull : (1ull << t->n) - 1; }

static struct hr_bits bits_of(uint64_t mask, uint32_t n)
{
    struct hr_bits b;
    if (hr_bits_init(&b, n) != HR_OK)
        abort();
    b.w[0] = mask;
    return b;
}

static bool edges_equal(struct tg *t, const struct hr_graph *g, const struct hr_graph *r)
{
    uint32_t back[TG_MAX][TG_MAX] = {{0}}, at = 0;
    if (g->m != t->m || r->m != t->m || g->n != t->n || r->n != t->n)
        return false;
    for (uint32_t v = 0; v < t->n; v++) {
        uint32_t n;
        const uint32_t *out = hr_graph_out(g, v, &n);
        for (uint32_t i = 0; i < t->m; i++)
            if (t->from[i] == v && (at++, !n-- || *out++ != t->to[i]))
                return false;
        if (n)
            return false;
    }
    for (uint32_t i = 0; i < t->m; i++)
        back[t->to[i]][t->from[i]]++;
    for (uint32_t v = 0; v < t->n; v++) {
        uint32_t n;
        const uint32_t *in = hr_graph_out(r, v, &n);
        for (uint32_t i = 0; i < n; i++)
            if (!back[v][in[i]]-- || (i && in[i] < in[i - 1]))
                return false;
    }
    return at == t->m;
}

static bool scc_equal(const struct tg *t, const struct hr_graph *g, uint64_t in, bool use)
{
    uint32_t comp[TG_MAX], ncomp;
    struct hr_bits only = bits_of(in, t->n);
    bool ok = hr_graph_scc(g, use ? &only : NULL, comp, &ncomp) == HR_OK;
    uint64_t reach[TG_MAX], ids = 0;
    for (uint32_t a = 0; a < t->n; a++)
        reach[a] = tg_reach(t, 1ull << a, in);
    for (uint32_t a = 0; a < t->n && ok; a++) {
        if (!(in >> a & 1)) {
            ok = comp[a] == HR_NONE;
            continue;
        }
        ok = comp[a] < ncomp;
        ids |= 1ull << comp[a];
        for (uint32_t b = 0; b < t->n && ok; b++) {
            if (!(in >> b & 1))
                continue;
            ok = (comp[a] == comp[b]) == ((reach[a] >> b & 1) && (reach[b] >> a & 1));
            if (ok && t->out[a] >> b & 1)
                ok = comp[a] >= comp[b];
        }
    }
    hr_bits_deinit(&only);
    return ok && (uint32_t)__builtin_popcountll(ids) == ncomp;
}

static uint64_t weight_of(void *ctx, uint32_t node) { return ((struct tg *)ctx)->weight[node]; }

/* strict[v] = the nodes without which v is not reached. The immediate one has one strict dominator less than v. */
static bool dominators_equal(struct tg *t, const struct hr_graph *g, uint64_t in, bool use)
{
    uint32_t idom[TG_MAX];
    uint64_t retained[TG_MAX], strict[TG_MAX] = {0}, sum[TG_MAX] = {0};
    struct hr_bits only = bits_of(in, t->n);
    bool ok = hr_graph_dominators(g, t->entry, t->nentry, use ? &only : NULL, idom) == HR_OK &&
              hr_graph_retained(idom, t->n, weight_of, t, retained) == HR_OK;
    uint64_t live = tg_reach(t, t->entries, in);
    for (uint32_t d = 0; d < t->n; d++) {
        uint64_t lost = live & ~tg_reach(t, t->entries & ~(1ull << d), in & ~(1ull << d));
        for (uint32_t v = 0; v < t->n; v++) {
            if (lost >> v & 1)
                sum[d] += t->weight[v];
            if (v != d && lost >> v & 1)
                strict[v] |= 1ull << d;
        }
    }
    for (uint32_t v = 0; v < t->n && ok; v++) {
        uint32_t want = t->n;
        for (uint32_t d = 0; d < t->n; d++)
            if (strict[v] >> d & 1 && __builtin_popcountll(strict[d]) == __builtin_popcountll(strict[v]) - 1)
                want = d;
        if (!(live >> v & 1))
            ok = idom[v] == HR_NONE && retained[v] == t->weight[v];
        else
            ok = idom[v] == want && retained[v] == sum[v];
    }
    hr_bits_deinit(&only);
    return ok;
}

/* Distances by levels of masks. */
static void distances(const struct tg *t, uint64_t from, uint64_t in, uint32_t *dist)
{
    uint64_t seen = 0, level = from & in;
    for (uint32_t v = 0; v < t->n; v++)
        dist[v] = HR_NONE;
    for (uint32_t d = 0; level; d++) {
        uint64_t next = 0;
        seen |= level;
        for (uint32_t v = 0; v < t->n; v++)
            if (level >> v & 1) {
                dist[v] = d;
                next |= t->out[v] & in;
            }
        level = next & ~seen;
    }
}

static bool mark_equal(const struct tg *t, const struct hr_graph *g, uint64_t in, bool use, uint64_t before)
{
    uint32_t parent[TG_MAX], dist[TG_MAX];
    memset(parent, 0xee, sizeof parent);
    struct hr_bits only = bits_of(in, t->n), seen = bits_of(before, t->n);
    bool ok = hr_graph_mark(g, t->entry, t->nentry, use ? &only : NULL, &seen, parent) == HR_OK;
    uint64_t want = tg_reach(t, t->entries, in & ~before);
    ok = ok && seen.w[0] == (want | before);
    distances(t, t->entries, in & ~before, dist);
    for (uint32_t v = 0; v < t->n && ok; v++) {
        if (!(want >> v & 1))
            ok = parent[v] == 0xeeeeeeee;
        else if (t->entries >> v & 1)
            ok = parent[v] == HR_NONE;
        else
            ok = parent[v] < t->n && t->out[parent[v]] >> v & 1 && dist[v] == dist[parent[v]] + 1;
    }
    hr_bits_deinit(&only);
    hr_bits_deinit(&seen);
    return ok;
}

static bool is_entry(void *ctx, uint32_t node) { return ((struct tg *)ctx)->entries >> node & 1; }

static bool path_equal(struct tg *t, const struct hr_graph *rev, uint32_t target, uint64_t ban)
{
    uint32_t path[TG_MAX], dist[TG_MAX], len = 0;
    struct hr_bits banned = bits_of(ban, t->n);
    enum hr_status s = hr_graph_path(rev, target, is_entry, t, &banned, path, TG_MAX, &len);
    distances(t, t->entries, ~ban | 1ull << target, dist);
    bool ok = s == (dist[target] == HR_NONE ? HR_ABSENT : HR_OK);
    if (ok && s == HR_OK) {
        ok = len == dist[target] + 1 && t->entries >> path[0] & 1 && path[len - 1] == target;
        for (uint32_t i = 0; i + 1 < len && ok; i++)
            ok = t->out[path[i]] >> path[i + 1] & 1 && !(ban >> path[i] & 1);
    }
    if (ok && s == HR_OK && len >= 2) { /* a buffer one too small: both ends and the true length */
        uint32_t cut[TG_MAX], cap = len - 1, full = 0;
        ok = hr_graph_path(rev, target, is_entry, t, &banned, cut, cap, &full) == HR_LIMIT && full == len &&
             cut[0] == path[0] && (cap < 2 || cut[cap - 1] == target);
    }
    hr_bits_deinit(&banned);
    return ok;
}

/* Called again with the inner nodes banned: every further path shares only its ends. */
static bool disjoint_paths(struct tg *t, const struct hr_graph *rev, uint32_t target)
{
    struct hr_bits banned = bits_of(0, t->n);
    uint64_t used = 0;
    bool ok = true;
    for (uint32_t k = 0; k < t->n && ok; k++) {
        uint32_t path[TG_MAX], len;
        if (hr_graph_path(rev, target, is_entry, t, &banned, path, TG_MAX, &len) != HR_OK)
            break;
        for (uint32_t i = 0; i + 1 < len; i++) {
            ok = ok && !(used >> path[i] & 1);
            used |= 1ull << path[i];
            hr_bits_set(&banned, path[i]);
        }
        if (len == 1)
            break;
    }
    hr_bits_deinit(&banned);
    return ok;
}

static struct tg graph; /* 32 KiB: kept off the stack */

static void random_graphs(void)
{
    uint32_t bad[8] = {0};
    for (uint32_t k = 0; k < GRAPHS; k++) {
        struct tg *t = &graph;
        tg_make(t, (int)(k % TG_SHAPES));
        struct hr_graph *g = tg_graph(t), *r = NULL;
        if (hr_graph_reverse(g, &r) != HR_OK)
            abort();
        uint64_t all = all_of(t), some = ((uint64_t)tg_rand(1u << 20) << 20 | tg_rand(1u << 20) | t->entries) & all;
        uint32_t target = tg_rand(t->n);
        bad[0] += !edges_equal(t, g, r);
        bad[1] += !scc_equal(t, g, all, false) || !scc_equal(t, g, some, true);
        bad[2] += !dominators_equal(t, g, all, false);
        bad[3] += !dominators_equal(t, g, some, true);
        bad[4] += !mark_equal(t, g, all, false, 0) || !mark_equal(t, g, some, true, 0);
        bad[5] += !mark_equal(t, g, all, false, some & ~t->entries) || !mark_equal(t, g, some, true, 1);
        bad[6] += !path_equal(t, r, target, 0) || !path_equal(t, r, target, all & ~some);
        bad[7] += !disjoint_paths(t, r, target);
        hr_graph_destroy(g);
        hr_graph_destroy(r);
    }
    static const char *const what[] = {"edges and reverse edges", "components, whole and subset", "dominators and retained",
        "dominators and retained in a subset", "marking", "marking from where marks are", "shortest paths", "disjoint paths"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        EQ(bad[i], 0, "%d random graphs: %s", GRAPHS, what[i]);
}

struct liar {
    unsigned calls;
};
static void liar_source(void *ctx, uint32_t node, hr_graph_emit_fn *emit, void *emit_ctx)
{
    struct liar *l = ctx;
    for (unsigned i = 0; i < l->calls / 3 + (node == 1); i++)
        emit(emit_ctx, node);
    l->calls++;
}

static void odd_inputs(void)
{
    struct hr_graph *g = NULL;
    uint32_t none = 0;
    EQ(hr_graph_build(3, liar_source, &(struct liar){0}, &g), HR_CORRUPT, "a source that changes its mind");
    OK(!g, "gives no graph");
    struct tg *t = &graph;
    memset(t, 0, sizeof *t);
    g = tg_graph(t);
    EQ(g->n, 0, "no nodes");
    EQ(hr_graph_scc(g, NULL, &none, &none), HR_OK, "components of nothing");
    EQ(none, 0, "are none");
    EQ(hr_graph_dominators(g, (uint32_t[]){0, 9}, 2, NULL, &none), HR_OK, "entries that do not exist are skipped");
    hr_graph_destroy(g);
    EQ(hr_graph_build(HR_NONE, liar_source, &(struct liar){0}, &g), HR_LIMIT, "more nodes than ids");
}

static void allocation_failures(void)
{
    struct tg *t = &graph;
    tg_make(t, TG_DENSE);
    struct hr_graph *g = tg_graph(t), *r;
    uint32_t a[TG_MAX], n;
    uint64_t w[TG_MAX], bad = 0, tried = 0;
    struct hr_bits seen = bits_of(0, t->n);
    for (uint64_t nth = 1; nth < 60; nth++) {
        enum hr_status s[7];
        hr_mem_fail(nth, true);
        s[0] = hr_graph_reverse(g, &r);
        uint64_t had = hr_mem_count();
        if (s[0] == HR_OK)
            hr_graph_destroy(r);
        hr_mem_fail(nth, true), s[1] = hr_graph_scc(g, NULL, a, &n);
        hr_mem_fail(nth, true), s[2] = hr_graph_dominators(g, t->entry, t->nentry, NULL, a);
        hr_mem_fail(nth, true), s[3] = hr_graph_retained(a, t->n, weight_of, t, w);
        seen.w[0] = 0;
        hr_mem_fail(nth, true), s[4] = hr_graph_mark(g, &(uint32_t){0}, 1, NULL, &seen, NULL);
        hr_mem_fail(nth, true), s[5] = hr_graph_path(g, 0, is_entry, t, NULL, a, TG_MAX, &n);
        hr_mem_fail(nth, true), s[6] = hr_graph_build(t->n, tg_source, t, &r);
        hr_mem_fail(0, false);
        if (s[6] == HR_OK)
            hr_graph_destroy(r);
        bad += (s[0] == HR_OK) == (nth <= had);
        for (int i = 0; i < 7; i++) {
            bad += s[i] != HR_OK && s[i] != HR_NOMEM && s[i] != HR_ABSENT;
            tried += s[i] == HR_NOMEM;
        }
    }
    EQ(bad, 0, "every allocation failing in turn is reported as such");
    OK(tried >= 20, "%" PRIu64 " failures came back", tried);
    hr_bits_deinit(&seen);
    hr_graph_destroy(g);
}

int main(void)
{
    random_graphs();
    odd_inputs();
    allocation_failures();
    return tap_done();
}
