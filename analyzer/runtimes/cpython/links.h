/* The references of all objects in blocks, read once: what marking, graph, collector and audits need of them is where they lead and
 * how, not at which offset they lie (hr_py_refs() says that for single objects). Five bytes each.
 *
 * The reference to its type is not kept: object -> type -> hr_py_type.node. */
#ifndef HR_RUNTIMES_CPYTHON_LINKS_H
#define HR_RUNTIMES_CPYTHON_LINKS_H

#include "analyzer/runtimes/cpython/py.h"

enum {
    HR_PL_KIND = 7,          /* enum hr_py_ref, or: */
    HR_PL_RAW = 7,           /* a word of a C type that leads into a block: no reference, but an edge */
    HR_PL_SURETY_SHIFT = 3,  /* enum hr_surety */
    HR_PL_SURETY = 7,
    HR_PL_START = 1 << 6,    /* to where the object in the block starts, or to the block where it holds none */
};

/* Reads all; finds the parts of objects on the way. Afterwards py->links.row is NULL if there were too many to keep. */
enum hr_status hr_py_read_links(struct hr_py *py) HR_MUST;
void hr_py_links_deinit(struct hr_py_links *l);

/* The links of the object in a block: to[i], how[i], i < the result. Only when py->links.row is there. */
static inline uint32_t hr_py_links_of(const struct hr_py *py, hr_id node, const uint32_t **to_ret, const uint8_t **how_ret)
{
    const struct hr_py_links *l = &py->links;
    *to_ret = l->to.v + l->row[node];
    *how_ret = l->how.v + l->row[node];
    return l->row[node + 1] - l->row[node];
}

/* Sets heap->closed: objects whose whole count is references from other objects, and the parts of objects. Nothing else can hold them:
 * not the lists of the collector, not what is left on a C stack or in an old frame. After links and free lists. */
enum hr_status hr_py_close(struct hr_py *py) HR_MUST;

/* Any word of a C type's block that leads into another: calls fn(ctx, block, offset in the node, surety). */
typedef void hr_py_raw_fn(void *ctx, hr_id to, uint32_t off, uint8_t surety);
void hr_py_raw_edges(struct hr_py *py, hr_id node, hr_py_raw_fn *fn, void *ctx);

#endif
