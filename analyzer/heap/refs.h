/* From words to blocks: what marking and leak-finding passes share. Heap room, internal.
 *
 * A word refers to the block that hr_heap_at() says; when that is none, to the one for the word without its low tag bits; when
 * the word is nowhere near the heap and a decoder was given, to the one for the decoded word. Only a plain word that equals a
 * block's start is a start reference, all others are weaker ("interior"). */
#ifndef HR_HEAP_REFS_H
#define HR_HEAP_REFS_H

#include "analyzer/heap/mark.h"
#include "analyzer/heap/where.h"

struct hr_refs {
    const struct hr_heap *h;
    uint64_t tag;          /* low bits that may be a tag: 7 on 64-bit, 3 on 32-bit */
    uint64_t mask, key;    /* decoder; mask 0: none */
    bool absent;           /* memory that may hold pointers was asked for and is not in the image */
};

void hr_refs_init(struct hr_refs *r, const struct hr_heap *h, const struct hr_mark_options *opt);

/* HR_NONE: none. *start_ret: a start reference. */
hr_id hr_refs_target(const struct hr_refs *r, uint64_t word, bool *start_ret);
/* Calls fn for every aligned word of [addr, addr + size) that may refer to a block, decoded; plain = it did not need to be.
 * Notes absent bytes in r->absent. */
typedef void hr_refs_fn(void *ctx, uint64_t word, bool plain);
void hr_refs_range(struct hr_refs *r, uint64_t addr, uint64_t size, hr_refs_fn *fn, void *ctx);
/* The same for a block, which may begin where no word does (behind poison of an odd length, on processors that read words anywhere):
 * the program's words then are those counted from its start. */
void hr_refs_block(struct hr_refs *r, uint64_t addr, uint64_t size, hr_refs_fn *fn, void *ctx);
/* The same for a host block: its words outside the regions nested in it. */
void hr_refs_host(struct hr_refs *r, hr_id host, hr_refs_fn *fn, void *ctx);

/* A decoded word, or one that is rejected (below the heap). */
static inline uint64_t hr_refs_decode(const struct hr_refs *r, uint64_t word)
{
    return r->mask ? (word & r->mask) ^ r->key : 0;
}

#endif
