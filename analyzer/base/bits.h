/* Bitset of fixed size. Bits are numbered from 0; reading past the end is the caller's fault (asserted in debug builds). */
#ifndef HR_BASE_BITS_H
#define HR_BASE_BITS_H

#include "analyzer/base/mem.h"

struct hr_bits {
    uint64_t *w;
    uint64_t nbits;
};

enum hr_status hr_bits_init(struct hr_bits *b, uint64_t nbits) HR_MUST; /* all zero */
void hr_bits_deinit(struct hr_bits *b);
uint64_t hr_bits_count(const struct hr_bits *b);
/* Index of the first set bit >= from, or UINT64_MAX. */
uint64_t hr_bits_next(const struct hr_bits *b, uint64_t from);

static inline bool hr_bits_get(const struct hr_bits *b, uint64_t i) { return b->w[i >> 6] >> (i & 63) & 1; }
static inline void hr_bits_set(struct hr_bits *b, uint64_t i) { b->w[i >> 6] |= 1ull << (i & 63); }
static inline void hr_bits_clear(struct hr_bits *b, uint64_t i) { b->w[i >> 6] &= ~(1ull << (i & 63)); }
/* Sets bit i; true if it was clear before. */
static inline bool hr_bits_claim(struct hr_bits *b, uint64_t i)
{
    uint64_t m = 1ull << (i & 63), *p = &b->w[i >> 6];
    bool fresh = !(*p & m);
    *p |= m;
    return fresh;
}

#endif
