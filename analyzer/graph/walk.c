/* Breadth-first: marking and shortest paths. */
#include "analyzer/base/vec.h"
#include "analyzer/graph/graph.h"

enum hr_status hr_graph_mark(const struct hr_graph *g, const uint32_t *from, uint32_t nfrom, const struct hr_bits *only,
                             struct hr_bits *seen, uint32_t *parent)
{
    struct hr_u32vec queue = {.max = g->n};
    enum hr_status s = HR_OK;
    for (uint32_t i = 0; i < nfrom && s == HR_OK; i++) {
        uint32_t v = from[i];
        if (v >= g->n || (only && !hr_bits_get(only, v)) || !hr_bits_claim(seen, v))
            continue;
        if (parent)
            parent[v] = HR_NONE;
        s = hr_u32vec_push(&queue, v);
    }
    for (size_t head = 0; head < queue.n && s == HR_OK; head++) {
        uint32_t v = queue.v[head], n;
        const uint32_t *out = hr_graph_out(g, v, &n);
        for (uint32_t i = 0; i < n && s == HR_OK; i++) {
            uint32_t w = out[i];
            if ((only && !hr_bits_get(only, w)) || !hr_bits_claim(seen, w))
                continue;
            if (parent)
                parent[w] = v;
            s = hr_u32vec_push(&queue, w);
        }
    }
    hr_u32vec_deinit(&queue);
    return s;
}

/* State of one backward search. next[v] = 1 + the node after v on the way to the target, 0 = not met: zeroed memory that is
 * never touched costs no page. */
struct search {
    const struct hr_graph *rev;
    const struct hr_bits *banned;
    hr_graph_pred_fn *is_root;
    void *ctx;
    uint32_t *next;
    struct hr_u32vec queue;
};

static enum hr_status search_root(struct search *s, uint32_t target, uint32_t *root_ret)
{
    HR_TRY(hr_u32vec_push(&s->queue, target));
    s->next[target] = target + 1;
    if (s->is_root(s->ctx, target)) {
        *root_ret = target;
        return HR_OK;
    }
    for (size_t head = 0; head < s->queue.n; head++) {
        uint32_t v = s->queue.v[head], n;
        const uint32_t *in = hr_graph_out(s->rev, v, &n);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t u = in[i];
            if (s->next[u] || (s->banned && hr_bits_get(s->banned, u)))
                continue;
            s->next[u] = v + 1;
            if (s->is_root(s->ctx, u)) {
                *root_ret = u;
                return HR_OK;
            }
            HR_TRY(hr_u32vec_push(&s->queue, u));
        }
    }
    return HR_ABSENT;
}

/* The whole path when it fits, else its beginning and its end; returns its full length. */
static uint32_t write_path(const struct search *s, uint32_t root, uint32_t target, uint32_t *path, uint32_t cap)
{
    uint32_t len = 1;
    for (uint32_t v = root; v != target; v = s->next[v] - 1)
        len++;
    uint32_t tail = cap / 2, head = cap - tail, at = 0;
    uint32_t v = root;
    for (uint32_t i = 0; i < len; i++, v = s->next[v] - 1) {
        if (len <= cap || i < head || i >= len - tail)
            path[at++] = v;
    }
    return len;
}

enum hr_status hr_graph_path(const struct hr_graph *rev, uint32_t target, hr_graph_pred_fn *is_root, void *ctx,
                             const struct hr_bits *banned, uint32_t *path, uint32_t cap, uint32_t *len_ret)
{
    if (target >= rev->n)
        return HR_ABSENT;
    struct search s = {rev, banned, is_root, ctx, hr_zalloc(rev->n, sizeof *s.next), {.max = rev->n}};
    uint32_t root = HR_NONE;
    enum hr_status st = s.next ? search_root(&s, target, &root) : HR_NOMEM;
    if (st == HR_OK) {
        *len_ret = write_path(&s, root, target, path, cap);
        st = *len_ret <= cap ? HR_OK : HR_LIMIT;
    }
    hr_u32vec_deinit(&s.queue);
    hr_free(s.next);
    return st;
}
