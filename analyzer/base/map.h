/* Open-addressing map from u64 to u32. Keys may be any value. Values may be any value but HR_NONE. */
#ifndef HR_BASE_MAP_H
#define HR_BASE_MAP_H

#include "analyzer/base/mem.h"

struct hr_map {
    uint64_t *key;
    uint32_t *val; /* HR_NONE = empty slot */
    size_t n, cap, max;
};

void hr_map_init(struct hr_map *m, size_t max); /* at most max entries */
void hr_map_deinit(struct hr_map *m);
uint32_t hr_map_get(const struct hr_map *m, uint64_t key); /* HR_NONE when absent */
enum hr_status hr_map_put(struct hr_map *m, uint64_t key, uint32_t val) HR_MUST; /* replaces */
/* Pointer to the value of key, inserted as `fresh` when absent (*was_ret tells). Valid until the next insertion. */
enum hr_status hr_map_slot(struct hr_map *m, uint64_t key, uint32_t fresh, uint32_t **slot_ret, bool *was_ret) HR_MUST;

/* A good 64-bit mixer (used by the map; fine for fingerprints of u64 sequences too). */
static inline uint64_t hr_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    return x ^ x >> 32;
}
uint64_t hr_hash_bytes(const void *p, size_t n, uint64_t seed);

#endif
