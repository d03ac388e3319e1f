/* Strongly connected components: Tarjan's depth-first search in Pearce's form (one rank per node instead of index, low link
 * and on-stack flag), iterative. Memory beside comp: 8 bytes and a bit per node.
 *
 * comp[] holds the ranks while the search runs: 0 not visited, 1.. in progress, n, n-1, .. done (component 0, 1, ..). Ranks in
 * progress are given back when a component is done, so they stay below those of finished components. */
#include "analyzer/graph/graph.h"

struct scc {
    const struct hr_graph *g;
    const struct hr_bits *only;
    uint32_t *rank;
    /* Two stacks from the two ends of one array: nodes on the search path, and finished ones whose component is still open. A
     * node is never on both. */
    uint32_t *stack;
    uint32_t npath, open; /* open = index of its top; n when empty */
    uint32_t *cursor;     /* next edge of the path's nodes, by position on the path */
    struct hr_bits lower; /* nodes that reach an earlier one: no head of a component */
    uint32_t index, done;
};

static void enter(struct scc *s, uint32_t v)
{
    s->rank[v] = s->index++;
    s->stack[s->npath] = v;
    s->cursor[s->npath++] = 0;
}

static void lower_to(struct scc *s, uint32_t v, uint32_t w)
{
    if (s->rank[w] < s->rank[v]) {
        s->rank[v] = s->rank[w];
        hr_bits_set(&s->lower, v);
    }
}

static void leave(struct scc *s)
{
    uint32_t v = s->stack[--s->npath];
    if (hr_bits_get(&s->lower, v)) {
        s->stack[--s->open] = v;
    } else {
        s->index--;
        while (s->open < s->g->n && s->rank[s->stack[s->open]] >= s->rank[v]) {
            s->rank[s->stack[s->open++]] = s->done;
            s->index--;
        }
        s->rank[v] = s->done--;
    }
    if (s->npath)
        lower_to(s, s->stack[s->npath - 1], v);
}

static void search(struct scc *s, uint32_t from)
{
    enter(s, from);
    while (s->npath) {
        uint32_t top = s->npath - 1, v = s->stack[top], n;
        const uint32_t *out = hr_graph_out(s->g, v, &n);
        uint32_t i = s->cursor[top];
        for (; i < n; i++) {
            uint32_t w = out[i];
            if (s->only && !hr_bits_get(s->only, w))
                continue;
            if (!s->rank[w])
                break;
            lower_to(s, v, w);
        }
        s->cursor[top] = i + 1; /* i < n: the edge to the child is done when we come back */
        if (i < n)
            enter(s, out[i]);
        else
            leave(s);
    }
}

enum hr_status hr_graph_scc(const struct hr_graph *g, const struct hr_bits *only, uint32_t *comp, uint32_t *ncomp_ret)
{
    struct scc s = {.g = g, .only = only, .rank = comp, .open = g->n, .index = 1, .done = g->n};
    s.stack = hr_alloc((size_t)g->n * sizeof *s.stack);
    s.cursor = hr_alloc((size_t)g->n * sizeof *s.cursor);
    enum hr_status st = s.stack && s.cursor ? hr_bits_init(&s.lower, g->n) : HR_NOMEM;
    if (st == HR_OK) {
        for (uint32_t i = 0; i < g->n; i++)
            comp[i] = 0;
        for (uint32_t i = 0; i < g->n; i++) {
            if (!comp[i] && (!only || hr_bits_get(only, i)))
                search(&s, i);
        }
        for (uint32_t i = 0; i < g->n; i++)
            comp[i] = comp[i] ? g->n - comp[i] : HR_NONE;
        *ncomp_ret = g->n - s.done;
    }
    hr_bits_deinit(&s.lower);
    hr_free(s.stack);
    hr_free(s.cursor);
    return st;
}
