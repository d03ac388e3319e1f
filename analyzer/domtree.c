#include "analyzer/domtree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum hr_status hr_domtree_init(struct hr_domtree *t, const uint32_t *idom, uint32_t n)
{
    *t = (struct hr_domtree){.n = n};
    hr_map_init(&t->handle, (size_t)n + 1);
    t->first = hr_zalloc((size_t)n + 3, sizeof *t->first);
    t->child = hr_alloc(((size_t)n + 1) * sizeof *t->child);
    if (!t->first || !t->child)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (idom[i] <= n)
            t->first[idom[i] + 2]++;
    for (size_t i = 2; i < (size_t)n + 2; i++)
        t->first[i] += t->first[i - 1];
    for (uint32_t i = 0; i < n; i++)
        if (idom[i] <= n)
            t->child[t->first[idom[i] + 1]++] = i;
    return HR_OK;
}

enum hr_status hr_domtree_names(struct hr_domtree *t, const struct hr_session *s)
{
    const struct hr_heap *h = s->heap;
    for (size_t i = 0; i < h->roots.n; i++) {
        const struct hr_root *r = &h->roots.v[i];
        hr_id id = r->kind == HR_ROOT_HANDLE && r->name ? hr_heap_at(h, r->addr, NULL) : HR_NONE;
        if (id != HR_NONE && hr_map_get(&t->handle, id) == HR_NONE)
            HR_TRY(hr_map_put(&t->handle, id, (uint32_t)i));
    }
    return HR_OK;
}

void hr_domtree_deinit(struct hr_domtree *t)
{
    hr_map_deinit(&t->handle);
    hr_free(t->first);
    hr_free(t->child);
}

/* Roots of one name are one; of blocks the type decides, and whether they are leaked. */
static enum hr_status key_of(struct hr_session *s, const struct hr_domtree *t, uint32_t node, bool top, uint64_t *ret)
{
    const struct hr_heap *h = s->heap;
    uint32_t handle = top && !hr_node_is_root(h, node) ? hr_map_get(&t->handle, node) : HR_NONE;
    if (hr_node_is_root(h, node) || handle != HR_NONE) {
        char text[1024];
        hr_str id;
        hr_describe_root(s, handle != HR_NONE ? &h->roots.v[handle] : hr_node_root(h, node), text, sizeof text);
        HR_TRY(hr_strs_addz(s->strs, text, &id));
        *ret = 1ull << 62 | id;
        return HR_OK;
    }
    *ret = hr_hist_key(s, node) | (h->reach && h->reach[node] >= HR_LEAKED_DIRECT ? 1ull << 61 : 0);
    return HR_OK;
}

static int by_retained(const void *a, const void *b)
{
    const struct hr_domgroup *x = a, *y = b;
    if (x->retained != y->retained)
        return x->retained < y->retained ? 1 : -1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static void add(const struct hr_session *s, struct hr_domgroup *g, uint32_t node, bool below)
{
    const struct hr_heap *h = s->heap;
    g->count++;
    g->bytes += hr_node_is_root(h, node) ? 0 : hr_block_size(h, node);
    if (below)
        return;
    g->retained += s->retained[node];
    if (s->retained[node] > s->retained[g->node])
        g->node = node;
}

/* What hangs below members from `at` on and is of their own group. */
static enum hr_status add_below(struct hr_session *s, const struct hr_domtree *t, size_t at, uint32_t g, struct hr_u32vec *of, struct hr_domlevel *ret)
{
    uint64_t key = ret->group.v[g].key;
    for (; at < ret->member.n; at++) {
        uint32_t from = ret->member.v[at];
        for (uint32_t k = t->first[from]; k < t->first[from + 1]; k++) {
            uint64_t other;
            HR_TRY(key_of(s, t, t->child[k], false, &other));
            if (other != key)
                continue;
            add(s, &ret->group.v[g], t->child[k], true);
            HR_TRY(hr_u32vec_push(of, g));
            HR_TRY(hr_u32vec_push(&ret->member, t->child[k]));
        }
    }
    return HR_OK;
}

/* What a thing holds by names of its own (attributes, globals, members) is no series: each name is a group. 0: it is one, or the thing holds
 * too many to be told apart. */
static uint64_t name_key(struct hr_session *s, const struct hr_domtree *t, uint32_t parent, uint32_t node)
{
    enum { FEW = 32 };
    char edge[300];
    if (parent == t->n || hr_node_is_root(s->heap, node) || t->first[parent + 1] - t->first[parent] > FEW)
        return 0;
    hr_describe_edge(s, parent, node, edge, sizeof edge, NULL);
    size_t end = strlen(edge);
    bool named = (edge[0] == '.' && edge[end - 1] != ']') || (edge[0] == '[' && edge[1] == '\'');
    return named ? 1ull << 63 | hr_hash_bytes(edge, strlen(edge), 1) >> 1 : 0;
}

/* Which group each child is in, in `of`; the groups' sums. */
static enum hr_status sort_out(struct hr_session *s, const struct hr_domtree *t, const uint32_t *nodes, size_t n, uint64_t above,
                               struct hr_u32vec *of, struct hr_map *index, struct hr_domlevel *ret)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = t->first[nodes[i]]; k < t->first[nodes[i] + 1]; k++) {
            uint32_t node = t->child[k], *at;
            uint64_t key, name;
            bool was;
            if (!s->retained[node])
                continue;
            HR_TRY(key_of(s, t, node, nodes[i] == t->n, &key));
            if (above && key == above)
                continue;
            name = n == 1 ? name_key(s, t, nodes[i], node) : 0;
            HR_TRY(hr_map_slot(index, name ? name : key, (uint32_t)ret->group.n, &at, &was));
            if (!was)
                HR_TRY(hr_domgroupvec_push(&ret->group, (struct hr_domgroup){.node = node, .key = key, .leaked = key >> 61 & 1}));
            uint32_t g = *at;
            add(s, &ret->group.v[g], node, false);
            HR_TRY(hr_u32vec_push(of, g));
            HR_TRY(hr_u32vec_push(&ret->member, node));
            if (!(key >> 62)) /* not of roots */
                HR_TRY(add_below(s, t, ret->member.n - 1, g, of, ret));
        }
    return HR_OK;
}

/* Members in the order of their groups (counting sort: within a group they stay in order). */
static enum hr_status place(struct hr_domlevel *l, const struct hr_u32vec *of)
{
    HR_AUTOFREE uint32_t *sorted = hr_alloc((l->member.n + 1) * sizeof *sorted);
    HR_AUTOFREE uint32_t *next = hr_alloc((l->group.n + 1) * sizeof *next);
    if (!sorted || !next)
        return HR_NOMEM;
    uint32_t at = 0;
    for (size_t g = 0; g < l->group.n; g++) {
        l->group.v[g].first = next[g] = at;
        at += (uint32_t)l->group.v[g].count;
    }
    for (size_t i = 0; i < l->member.n; i++)
        sorted[next[of->v[i]]++] = l->member.v[i];
    if (l->member.n)
        memcpy(l->member.v, sorted, l->member.n * sizeof *sorted);
    return HR_OK;
}

enum hr_status hr_domlevel_of(struct hr_session *s, const struct hr_domtree *t, const uint32_t *nodes, size_t n, uint64_t above,
                              struct hr_domlevel *ret)
{
    struct hr_u32vec of = {.max = t->n};
    struct hr_map index;
    *ret = (struct hr_domlevel){.member = {.max = t->n}, .group = {.max = t->n}};
    hr_map_init(&index, t->n);
    enum hr_status st = sort_out(s, t, nodes, n, above, &of, &index, ret);
    if (st == HR_OK)
        st = place(ret, &of);
    if (ret->group.n)
        qsort(ret->group.v, ret->group.n, sizeof *ret->group.v, by_retained);
    hr_map_deinit(&index);
    hr_u32vec_deinit(&of);
    return st;
}

/* Of what nothing leads to: what a collector takes some day is no leak. */
static const char *lost_word(struct hr_session *s, const struct hr_domgroup *g)
{
    return !g->leaked ? "" : hr_runtimes_claims(s->runtimes, g->node) ? "garbage: " : "leaked: ";
}

char *hr_domgroup_name(struct hr_session *s, const struct hr_domtree *t, const struct hr_domgroup *g, const struct hr_domgroup *parent,
                       const char *count, char *buf, size_t cap)
{
    enum { SMALL = 1 << 20 /* blocks: paths want all references the other way round */ };
    char type[1024], way[1024] = "";
    uint32_t handle = parent ? HR_NONE : hr_map_get(&t->handle, g->node);
    hr_describe_type(s, g->node, type, sizeof type);
    if (handle != HR_NONE) { /* a root of that name may lead to several */
        snprintf(buf, cap, "%s: %s", hr_describe_root(s, &s->heap->roots.v[handle], way, sizeof way), type);
        return buf;
    }
    if (g->count > 1) {
        snprintf(buf, cap, "%s%s x %s", lost_word(s, g), count, type);
        return buf;
    }
    if (parent && parent->count == 1)
        hr_describe_edge(s, parent->node, g->node, way, sizeof way, NULL);
    else if (!parent && !g->leaked && !hr_node_is_root(s->heap, g->node) && s->heap->n < SMALL)
        hr_session_way(s, g->node, way, sizeof way);
    snprintf(buf, cap, "%s%s%s%s", lost_word(s, g), way, way[0] ? ": " : "", type);
    return buf;
}

void hr_domlevel_deinit(struct hr_domlevel *l)
{
    hr_u32vec_deinit(&l->member);
    hr_domgroupvec_deinit(&l->group);
}

uint64_t hr_session_heaviest(struct hr_session *s, hr_id node)
{
    uint32_t n = s->graph && s->idom && s->retained ? s->graph->n : 0;
    if (n && !s->heaviest && (s->heaviest = hr_zalloc((size_t)n + 1, sizeof *s->heaviest)))
        for (uint32_t i = 0; i < n; i++)
            if (s->idom[i] < n)
                s->heaviest[s->idom[i]] = hr_max(s->heaviest[s->idom[i]], s->retained[i]);
    return s->heaviest && node < n ? s->heaviest[node] : 0;
}
