/* What all blocks of a type retain together: the sum over those that no other block of the same type dominates. One walk over
 * the dominator tree that counts, per type, how many blocks of it are open above the current one. */
#include <string.h>

#include "analyzer/session.h"

struct tree {
    uint32_t n;
    uint32_t *first; /* n + 2: children of node i are child[first[i] .. first[i + 1]); node n is the virtual root */
    uint32_t *child;
    uint32_t *at;    /* cursor per node */
};

static enum hr_status tree_init(struct tree *t, const uint32_t *idom, uint32_t n)
{
    t->n = n;
    t->first = hr_zalloc((size_t)n + 3, sizeof *t->first);
    t->child = hr_alloc(((size_t)n + 1) * sizeof *t->child);
    t->at = hr_alloc(((size_t)n + 1) * sizeof *t->at);
    if (!t->first || !t->child || !t->at)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (idom[i] <= n)
            t->first[idom[i] + 2]++;
    for (size_t i = 2; i < (size_t)n + 2; i++)
        t->first[i] += t->first[i - 1];
    for (uint32_t i = 0; i < n; i++)
        if (idom[i] <= n)
            t->child[t->first[idom[i] + 1]++] = i;
    memcpy(t->at, t->first, ((size_t)n + 1) * sizeof *t->at);
    return HR_OK;
}

static void tree_deinit(struct tree *t)
{
    hr_free(t->first);
    hr_free(t->child);
    hr_free(t->at);
}

/* Row of the histogram for a node, or HR_NONE. */
static uint32_t row_of(const struct hr_session *s, const struct hr_map *rows, uint32_t node)
{
    if (node >= s->heap->n || s->heap->state[node] != HR_USED)
        return HR_NONE;
    return hr_map_get(rows, hr_hist_key(s, node));
}

static void walk(struct hr_session *s, struct tree *t, const struct hr_map *rows, uint32_t *open)
{
    uint32_t node = t->n; /* the virtual root */
    for (;;) {
        if (t->at[node] < t->first[node + 1]) {
            node = t->child[t->at[node]++];
            uint32_t r = row_of(s, rows, node);
            if (r != HR_NONE && !open[r]++)
                s->hist.v[r].retained += s->retained[node];
            continue;
        }
        if (node == t->n)
            return;
        uint32_t r = row_of(s, rows, node);
        if (r != HR_NONE)
            open[r]--;
        node = s->idom[node];
    }
}

enum hr_status hr_session_type_retained(struct hr_session *s)
{
    if (s->have_type_retained)
        return HR_OK;
    HR_TRY(hr_session_dominators(s));
    HR_TRY(hr_session_hist(s));
    struct tree t = {0};
    struct hr_map rows;
    hr_map_init(&rows, s->hist.n + 1);
    HR_AUTOFREE uint32_t *open = hr_zalloc(s->hist.n + 1, sizeof *open);
    enum hr_status st = open ? tree_init(&t, s->idom, s->graph->n) : HR_NOMEM;
    for (size_t i = 0; st == HR_OK && i < s->hist.n; i++)
        st = hr_map_put(&rows, s->hist.v[i].type ? s->hist.v[i].type : 1ull << 32 | s->hist.v[i].group, (uint32_t)i);
    if (st == HR_OK) {
        walk(s, &t, &rows, open);
        s->have_type_retained = true;
    }
    tree_deinit(&t);
    hr_map_deinit(&rows);
    return st;
}
