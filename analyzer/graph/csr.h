/* Inside the graph room: building a graph whose edges arrive in any order (reverse, predecessors by preorder number).
 *
 *     HR_TRY(hr_csr_create(n, &g));
 *     for each edge: hr_csr_count(g, from);      HR_TRY(hr_csr_rows(g));
 *     for each edge: hr_csr_place(g, from, to);  hr_csr_finish(g); */
#ifndef HR_GRAPH_CSR_H
#define HR_GRAPH_CSR_H

#include "analyzer/graph/graph.h"

enum { HR_CSR_GROUP = 65536 }; /* nodes that share a row_base */

enum hr_status hr_csr_create(uint32_t n, struct hr_graph **ret) HR_MUST;
/* Counts become rows, col is allocated. HR_LIMIT: one node or one group of nodes has 2^32 edges or more. */
enum hr_status hr_csr_rows(struct hr_graph *g) HR_MUST;
/* Undoes what placing did to the rows (they served as cursors: no second array of n). */
void hr_csr_finish(struct hr_graph *g);

/* While counting, row[i] is the degree of i; it stops one short of the top, which hr_csr_rows() then refuses. */
static inline void hr_csr_count(struct hr_graph *g, uint32_t from)
{
    g->row[from] += g->row[from] != UINT32_MAX;
    g->m++;
}
static inline void hr_csr_place(struct hr_graph *g, uint32_t from, uint32_t to)
{
    g->col[g->row_base[from / HR_CSR_GROUP] + g->row[from]++] = to;
}

#endif
