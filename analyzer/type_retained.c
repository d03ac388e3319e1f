/* What all blocks of a type retain together: the sum over those that no other block of the same type dominates. One walk over
 * the dominator tree that counts, per type, how many blocks of it are open above the current one. */
#include <string.h>

#include "analyzer/domtree.h"

/* Row of the histogram for a node, or HR_NONE. */
static uint32_t row_of(const struct hr_session *s, const struct hr_map *rows, uint32_t node)
{
    if (node >= s->heap->n || s->heap->state[node] != HR_USED)
        return HR_NONE;
    return hr_map_get(rows, hr_hist_key(s, node));
}

/* `at`: where to go on at each node, the beginning of its children at first. */
static void walk(struct hr_session *s, const struct hr_domtree *t, uint32_t *at, const struct hr_map *rows, uint32_t *open)
{
    uint32_t node = t->n; /* the virtual root */
    for (;;) {
        if (at[node] < t->first[node + 1]) {
            node = t->child[at[node]++];
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
    struct hr_domtree t = {0};
    struct hr_map rows;
    hr_map_init(&rows, s->hist.n + 1);
    HR_AUTOFREE uint32_t *open = hr_zalloc(s->hist.n + 1, sizeof *open);
    enum hr_status st = open ? hr_domtree_init(&t, s->idom, s->graph->n) : HR_NOMEM;
    HR_AUTOFREE uint32_t *at = st == HR_OK ? hr_alloc(((size_t)t.n + 1) * sizeof *at) : NULL;
    if (st == HR_OK && !at)
        st = HR_NOMEM;
    for (size_t i = 0; st == HR_OK && i < s->hist.n; i++)
        st = hr_map_put(&rows, s->hist.v[i].type ? s->hist.v[i].type : 1ull << 32 | s->hist.v[i].group, (uint32_t)i);
    if (st == HR_OK) {
        memcpy(at, t.first, ((size_t)t.n + 1) * sizeof *at);
        walk(s, &t, at, &rows, open);
        s->have_type_retained = true;
    }
    hr_domtree_deinit(&t);
    hr_map_deinit(&rows);
    return st;
}
