#include "analyzer/heap/heap.h"

#include <string.h>

#include "analyzer/heap/where.h"

/* The piece of a block: the last whose first block is not after it. Every piece has blocks. */
uint32_t hr_block_piece(const struct hr_heap *h, hr_id id)
{
    size_t k = id / HR_WHERE_IDS, lo = h->where.of_id.v[k], hi = (size_t)h->where.of_id.v[k + 1] + 1;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->pieces.v[mid].block0 <= id)
            lo = mid;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

uint32_t hr_block_region(const struct hr_heap *h, hr_id id) { return h->pieces.v[hr_block_piece(h, id)].region; }

struct hr_block_iter hr_block_iter(const struct hr_heap *h, hr_id from)
{
    return (struct hr_block_iter){h, from, h->pieces.n ? hr_block_piece(h, from) : 0, HR_NONE};
}

uint64_t hr_node_addr(const struct hr_heap *h, hr_id node)
{
    return hr_node_is_root(h, node) ? hr_node_root(h, node)->addr : hr_block_addr(h, node);
}

uint64_t hr_node_size(const struct hr_heap *h, hr_id node)
{
    return hr_node_is_root(h, node) ? hr_node_root(h, node)->size : hr_block_size(h, node);
}

hr_type hr_node_type(const struct hr_heap *h, hr_id node)
{
    if (hr_node_is_root(h, node))
        return hr_node_root(h, node)->type;
    return h->type ? h->type[node] : 0;
}

static const char *name_at(const char *const *names, size_t n, unsigned i) { return i < n ? names[i] : "unknown"; }
#define NAME_AT(T, I) name_at(T, sizeof T / sizeof *T, (unsigned)(I))

/* A host is a used block to the program and to its allocator. */
const char *hr_state_name(enum hr_state s)
{
    static const char *const names[] = {
        [HR_USED] = "used", [HR_CACHED] = "cached", [HR_FREE] = "free", [HR_OWN] = "own", [HR_HOST] = "used",
    };
    return NAME_AT(names, s);
}

const char *hr_reach_name(enum hr_reach r)
{
    static const char *const names[] = {
        [HR_REACH_UNKNOWN] = "unknown",         [HR_REACHABLE] = "reachable",
        [HR_REACH_INTERIOR] = "interior",       [HR_REACH_REGISTER] = "register",
        [HR_REACH_DEAD_STACK] = "dead_stack",   [HR_REACH_CACHED] = "cached",
        [HR_LEAKED_DIRECT] = "leaked_direct",   [HR_LEAKED_INDIRECT] = "leaked_indirect",
        [HR_LEAKED_CYCLE] = "leaked_cycle",
    };
    return NAME_AT(names, r);
}

const char *hr_surety_name(enum hr_surety s)
{
    static const char *const names[] = {
        [HR_SURE_NONE] = "none",
        [HR_SURE_EXACT] = "exact",
        [HR_SURE_INFERRED] = "inferred",
        [HR_SURE_CONSERVATIVE] = "conservative",
        [HR_SURE_INTERIOR] = "interior",
    };
    return NAME_AT(names, s);
}

const char *hr_evidence_name(enum hr_evidence e)
{
    static const char *const names[] = {
        [HR_EV_NONE] = "none",
        [HR_EV_RUNTIME] = "runtime",
        [HR_EV_VTABLE] = "virtual table",
        [HR_EV_POINTER] = "typed pointer",
        [HR_EV_CONTAINER] = "container element",
        [HR_EV_ARRAY] = "array by size",
        [HR_EV_ASSUMED] = "assumed",
        [HR_EV_SHAPE] = "same shape",
        [HR_EV_FIRST_WORD] = "same first word",
        [HR_EV_CONTENT] = "content",
    };
    return NAME_AT(names, e);
}

enum hr_surety hr_evidence_surety(enum hr_evidence e)
{
    switch (e) {
    case HR_EV_RUNTIME:
    case HR_EV_VTABLE:
        return HR_SURE_EXACT;
    case HR_EV_POINTER:
    case HR_EV_CONTAINER:
    case HR_EV_ARRAY:
    case HR_EV_ASSUMED:
        return HR_SURE_INFERRED;
    case HR_EV_SHAPE:
    case HR_EV_FIRST_WORD:
    case HR_EV_CONTENT:
        return HR_SURE_CONSERVATIVE;
    default:
        return HR_SURE_NONE;
    }
}

void hr_heap_destroy(struct hr_heap *h)
{
    if (!h)
        return;
    hr_free(h->granule);
    hr_free(h->size);
    hr_free(h->state);
    hr_map_deinit(&h->big);
    hr_u64vec_deinit(&h->big_size);
    hr_regionvec_deinit(&h->regions);
    hr_piecevec_deinit(&h->pieces);
    hr_arenavec_deinit(&h->arenas);
    hr_allocinfovec_deinit(&h->allocators);
    hr_rangevec_deinit(&h->own);
    hr_rangevec_deinit(&h->unknown);
    hr_where_deinit(&h->where);
    hr_free(h->type);
    hr_free(h->evidence);
    hr_free(h->reach);
    hr_free(h->owner);
    hr_free(h->handle);
    hr_bits_deinit(&h->closed);
    hr_rootvec_deinit(&h->roots);
    hr_free(h);
}

enum hr_status hr_heap_type_columns(struct hr_heap *h)
{
    if (!h->type)
        h->type = hr_zalloc((size_t)h->n + 1, sizeof *h->type);
    if (!h->evidence)
        h->evidence = hr_zalloc((size_t)h->n + 1, sizeof *h->evidence);
    return h->type && h->evidence ? HR_OK : HR_NOMEM;
}

enum hr_status hr_heap_owner_column(struct hr_heap *h)
{
    if (h->owner)
        return HR_OK;
    h->owner = hr_alloc(((size_t)h->n + 1) * sizeof *h->owner);
    if (h->owner)
        memset(h->owner, 0xff, ((size_t)h->n + 1) * sizeof *h->owner);
    return h->owner ? HR_OK : HR_NOMEM;
}
