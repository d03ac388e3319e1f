/* Reachability by conservative marking straight over the bytes, without a graph: the fast path behind every leak answer.
 *
 * Needs blocks and roots. Every pointer-aligned word of every root's span and of every reached used block counts: exact starts,
 * interior, low-tagged (the low 3 bits on 64-bit, 2 on 32-bit) and one-past-end, in phases, so each block gets the strongest class:
 *   1 strong roots through start pointers, 2 plus interior/tagged/past-the-end, 3 plus registers, 4 plus dead stack,
 *   5 plus stale bytes of cached blocks. What no phase reaches is leaked: direct, indirect, in a cycle (hr_leaks_find).
 * Managed runtimes' claims are honoured through `edges` (their references are exact). */
#ifndef HR_HEAP_MARK_H
#define HR_HEAP_MARK_H

#include "analyzer/heap/heap.h"

struct hr_mark_options {
    /* For nodes a managed runtime claims: replaces the word scan. NULL: scan all. */
    bool (*claims)(void *ctx, hr_id node);
    void (*edges)(void *ctx, hr_id node, void (*emit)(void *emit_ctx, hr_id to, uint8_t surety), void *emit_ctx);
    void *ctx;
    /* A pointer encoding the program uses: words that are no address near the heap are tried as (word & mask) ^ key, e.g.
     * mask 0x0000ffffffffffff for tags in the high bits. mask 0: none. Counts like an interior pointer. */
    uint64_t mask, key;
};
/* Fills heap->reach for all used (and host) blocks; what is not reached is HR_LEAKED_DIRECT until hr_leaks_find() has sorted it.
 * Deterministic. When memory that may hold pointers is missing (!heap->roots_complete, or bytes of a root or of a reached block
 * are not in the image, which then clears it), what is not reached is HR_REACH_UNKNOWN: a word there may point anywhere.
 * A host block is at least as reachable as any block in it: the inner allocator holds it. Its own words count only outside the
 * regions nested in it. */
enum hr_status hr_mark(struct hr_heap *h, const struct hr_mark_options *opt) HR_MUST;

/* What one free() would give back: a leaked root or a ring, with everything only it holds. */
struct hr_leak {
    hr_id head;                /* the block nothing points at; a ring: its lowest address */
    uint32_t members;          /* 1, or the ring's length */
    uint32_t member0;          /* into hr_leaks.ring (rings only) */
    uint64_t blocks, bytes;    /* below it, itself included (dominated within the leaked subgraph; shared rest: see .shared) */
};
HR_VEC(hr_leakvec, struct hr_leak)
struct hr_leaks {
    struct hr_leakvec list;    /* by bytes, then address */
    struct hr_u32vec ring;     /* members of rings */
    uint64_t blocks, bytes;    /* all leaked */
    uint64_t shared_blocks, shared_bytes; /* held by several leaks at once: in no leak's own sum */
};
/* Builds the graph of leaked blocks only, sets HR_LEAKED_* in heap->reach. */
enum hr_status hr_leaks_find(struct hr_heap *h, const struct hr_mark_options *opt, struct hr_leaks **ret) HR_MUST;
void hr_leaks_destroy(struct hr_leaks *l);

#endif
