#include "analyzer/base/bits.h"

enum hr_status hr_bits_init(struct hr_bits *b, uint64_t nbits)
{
    uint64_t words = nbits / 64 + 1; /* one spare word, so that index nbits may be tested */
    b->w = hr_zalloc(words, 8);
    b->nbits = b->w ? nbits : 0;
    return b->w ? HR_OK : HR_NOMEM;
}

void hr_bits_deinit(struct hr_bits *b)
{
    hr_free(b->w);
    *b = (struct hr_bits){0};
}

uint64_t hr_bits_count(const struct hr_bits *b)
{
    uint64_t n = 0;
    for (uint64_t i = 0; b->w && i < b->nbits / 64 + 1; i++)
        n += (uint64_t)__builtin_popcountll(b->w[i]);
    return n;
}

uint64_t hr_bits_next(const struct hr_bits *b, uint64_t from)
{
    if (from >= b->nbits)
        return UINT64_MAX;
    uint64_t i = from >> 6, last = b->nbits >> 6;
    uint64_t w = b->w[i] & (~0ull << (from & 63));
    while (!w && i < last)
        w = b->w[++i];
    uint64_t r = w ? i << 6 | (uint64_t)__builtin_ctzll(w) : UINT64_MAX;
    return r < b->nbits ? r : UINT64_MAX;
}
