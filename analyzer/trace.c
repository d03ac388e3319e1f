/* Paths from roots, spelled. */
#include <stdio.h>
#include <string.h>

#include "analyzer/finding/finding.h"
#include "analyzer/model.h"

static bool is_root(void *ctx, uint32_t node)
{
    const struct hr_heap *h = ctx;
    return hr_node_is_root(h, node) && hr_root_strong(hr_node_root(h, node));
}

/* Roots that a runtime named are what its programmer knows: they come before shorter ways through the runtime's own structures. */
static bool is_named_root(void *ctx, uint32_t node)
{
    const struct hr_heap *h = ctx;
    return is_root(ctx, node) && hr_root_named(hr_node_root(h, node));
}

static bool any_named(struct hr_heap *h)
{
    for (size_t i = 0; i < h->roots.n; i++)
        if (is_named_root(h, h->n + (hr_id)i))
            return true;
    return false;
}

enum hr_status hr_session_path(struct hr_session *s, hr_id node, const struct hr_bits *banned, uint32_t *path, uint32_t cap,
                               uint32_t *len_ret)
{
    HR_TRY(hr_session_reverse(s));
    if (any_named(s->heap)) {
        enum hr_status st = hr_graph_path(s->rev, node, is_named_root, s->heap, banned, path, cap, len_ret);
        if (st != HR_ABSENT)
            return st;
    }
    return hr_graph_path(s->rev, node, is_root, s->heap, banned, path, cap, len_ret);
}

char *hr_session_way(struct hr_session *s, hr_id node, char *buf, size_t cap)
{
    enum { MOST = 12, HEAD = 5, TAIL = 3 };
    uint32_t path[MOST], len;
    enum hr_status st = hr_session_path(s, node, NULL, path, MOST, &len);
    if (st != HR_OK && st != HR_LIMIT) {
        snprintf(buf, cap, st == HR_ABSENT ? "nothing holds it" : "unknown");
        return buf;
    }
    uint32_t n = hr_min(len, MOST);
    bool whole = len <= HEAD + TAIL + 1;
    hr_describe_type(s, path[0], buf, cap);
    for (uint32_t i = 0; i + 1 < n; i++) {
        size_t at = strlen(buf);
        char edge[200];
        if (!whole && i >= HEAD && i + 1 + TAIL < n)
            continue;
        if (!whole && i + 1 + TAIL == n)
            at += (size_t)snprintf(buf + at, cap - at, " ... ");
        hr_describe_edge(s, path[i], path[i + 1], edge, sizeof edge, NULL);
        if (at < cap)
            snprintf(buf + at, cap - at, "%s%s", edge[0] && !i && !hr_root_named(hr_node_root(s->heap, path[0])) ? " " : "", edge);
    }
    return buf;
}

enum hr_status hr_trace_to(struct hr_session *s, hr_id node, struct hr_hopvec *out)
{
    enum { MOST = 64 };
    uint32_t path[MOST], n, left_out = 0;
    enum hr_status st = hr_session_path(s, node, NULL, path, MOST, &n);
    if (st == HR_LIMIT) { /* a long list: its beginning and its end are there */
        left_out = n - MOST;
        n = MOST;
    } else if (st != HR_OK) {
        return st == HR_ABSENT ? HR_OK : st;
    }
    for (uint32_t i = 0; i < n; i++) {
        char type[512], field[600];
        struct hr_hop hop = {.addr = hr_node_addr(s->heap, path[i])};
        hop.type = hr_strdup(hr_describe_type(s, path[i], type, sizeof type));
        if (left_out && i + 1 == MOST - MOST / 2) {
            snprintf(field, sizeof field, " (%u more steps)", left_out);
            hop.field = hr_strdup(field);
        } else if (i + 1 < n) {
            hop.field = hr_strdup(hr_describe_edge(s, path[i], path[i + 1], field, sizeof field, NULL));
        }
        if (!hop.type || (i + 1 < n && !hop.field)) {
            hr_free(hop.type);
            hr_free(hop.field);
            return HR_NOMEM;
        }
        st = hr_hopvec_push(out, hop);
        if (st != HR_OK) {
            hr_free(hop.type);
            hr_free(hop.field);
            return st;
        }
    }
    return HR_OK;
}

char *hr_ring_types(struct hr_session *s, const uint32_t *members, uint32_t n, char *buf, size_t cap)
{
    size_t at = 0;
    buf[0] = 0;
    hr_type last = 0;
    uint32_t named = 0;
    for (uint32_t i = 0; i < n && named < 6 && at + 8 < cap; i++) {
        hr_type t = hr_node_type(s->heap, members[i]);
        if (i && t == last && t)
            continue;
        char type[256];
        hr_describe_type(s, members[i], type, sizeof type);
        at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? " -> " : "", type);
        if (at >= cap)
            at = cap - 1;
        last = t;
        named++;
    }
    return buf;
}
