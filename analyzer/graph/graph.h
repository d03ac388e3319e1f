/* The object graph: ids only, never bytes. Compressed sparse rows, u32 columns. Iterative, linear algorithms.
 * Graph room: calls base only.
 *
 * Memory: 4 bytes per edge + 4 per node (+ 8 per 64 Ki nodes) for one direction. */
#ifndef HR_GRAPH_GRAPH_H
#define HR_GRAPH_GRAPH_H

#include "analyzer/base/bits.h"
#include "analyzer/base/mem.h"

struct hr_graph {
    uint32_t n;          /* nodes */
    uint64_t m;          /* edges */
    uint32_t *row;       /* n + 1; edge index of node i = row_base[i >> 16] + row[i] */
    uint64_t *row_base;
    uint32_t *col;       /* m targets, < n */
};
static inline uint64_t hr_graph_first(const struct hr_graph *g, uint32_t i) { return g->row_base[i >> 16] + g->row[i]; }
static inline uint64_t hr_graph_end(const struct hr_graph *g, uint32_t i) { return hr_graph_first(g, i + 1); }
static inline const uint32_t *hr_graph_out(const struct hr_graph *g, uint32_t i, uint32_t *n_ret)
{
    uint64_t a = hr_graph_first(g, i);
    *n_ret = (uint32_t)(hr_graph_end(g, i) - a);
    return g->col + a;
}

/* Enumerates the targets of `node` by calling emit(emit_ctx, target) for each; must give the same sequence every time.
 * Targets >= n are ignored. Called for nodes 0..n-1 in order, twice (count pass, fill pass). */
typedef void hr_graph_emit_fn(void *emit_ctx, uint32_t target);
typedef void hr_graph_source_fn(void *ctx, uint32_t node, hr_graph_emit_fn *emit, void *emit_ctx);
enum hr_status hr_graph_build(uint32_t n, hr_graph_source_fn *source, void *ctx, struct hr_graph **ret) HR_MUST;
enum hr_status hr_graph_reverse(const struct hr_graph *g, struct hr_graph **ret) HR_MUST;
void hr_graph_destroy(struct hr_graph *g);

/* Strongly connected components (iterative Tarjan or Gabow): comp[i] = component id; ids are in reverse topological order
 * (an edge u->v between components has comp[u] > comp[v]). `only` (may be NULL) restricts to a node subset; others get
 * HR_NONE. comp has n entries, caller's. */
enum hr_status hr_graph_scc(const struct hr_graph *g, const struct hr_bits *only, uint32_t *comp, uint32_t *ncomp_ret) HR_MUST;

/* Dominator tree from a virtual root that points at every node of `entries` (may hold duplicates): idom[i] = immediate
 * dominator, HR_NONE for unreachable nodes, n for those whose dominator is the virtual root. `only` as above. */
enum hr_status hr_graph_dominators(const struct hr_graph *g, const uint32_t *entries, uint32_t nentries,
                                   const struct hr_bits *only, uint32_t *idom) HR_MUST;
/* retained[i] = weight[i] + that of all it dominates; weight via callback (u64 bytes). retained: n entries, caller's. */
typedef uint64_t hr_graph_weight_fn(void *ctx, uint32_t node);
enum hr_status hr_graph_retained(const uint32_t *idom, uint32_t n, hr_graph_weight_fn *weight, void *ctx,
                                 uint64_t *retained) HR_MUST;

/* Breadth-first marking: every node reachable from `from` (through `only` when given) gets its bit set in `seen`; bits already
 * set are not walked again. parent (n entries, may be NULL) gets the BFS predecessor, HR_NONE for the start nodes. */
enum hr_status hr_graph_mark(const struct hr_graph *g, const uint32_t *from, uint32_t nfrom, const struct hr_bits *only,
                             struct hr_bits *seen, uint32_t *parent) HR_MUST;

/* Shortest path from any node with is_root(node) to `target`, going backwards over the reverse graph `rev`; written root
 * first, target last, to path (cap entries). *len_ret = nodes on it. HR_ABSENT: none. `banned` (may be NULL) nodes are not
 * stepped on: call again with the inner nodes of the paths so far banned to get all-distinct (node-disjoint) paths. */
typedef bool hr_graph_pred_fn(void *ctx, uint32_t node);
enum hr_status hr_graph_path(const struct hr_graph *rev, uint32_t target, hr_graph_pred_fn *is_root, void *ctx,
                             const struct hr_bits *banned, uint32_t *path, uint32_t cap, uint32_t *len_ret) HR_MUST;

#endif
