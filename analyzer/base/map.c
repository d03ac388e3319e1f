#include "analyzer/base/map.h"

#include <string.h>

void hr_map_init(struct hr_map *m, size_t max) { *m = (struct hr_map){.max = max}; }

void hr_map_deinit(struct hr_map *m)
{
    hr_free(m->key);
    hr_free(m->val);
    m->key = NULL;
    m->val = NULL;
    m->n = m->cap = 0;
}

/* The slot of key, or the empty one where it belongs; cap > 0. */
static size_t find(const struct hr_map *m, uint64_t key)
{
    size_t i = hr_mix(key) & (m->cap - 1);
    while (m->val[i] != HR_NONE && m->key[i] != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

uint32_t hr_map_get(const struct hr_map *m, uint64_t key)
{
    return m->cap ? m->val[find(m, key)] : HR_NONE;
}

static enum hr_status grow(struct hr_map *m)
{
    if (m->n >= m->max)
        return HR_LIMIT;
    if (m->n + 1 <= m->cap / 4 * 3)
        return HR_OK;
    struct hr_map bigger = {.cap = m->cap ? m->cap * 2 : 16, .max = m->max, .n = m->n};
    uint64_t kb, vb;
    if (!hr_mul(bigger.cap, 8, &kb) || !hr_mul(bigger.cap, 4, &vb))
        return HR_LIMIT;
    bigger.key = hr_alloc(kb);
    bigger.val = hr_alloc(vb);
    if (!bigger.key || !bigger.val) {
        hr_map_deinit(&bigger);
        return HR_NOMEM;
    }
    memset(bigger.val, 0xff, vb);
    for (size_t i = 0; i < m->cap; i++)
        if (m->val[i] != HR_NONE) {
            size_t at = find(&bigger, m->key[i]);
            bigger.key[at] = m->key[i];
            bigger.val[at] = m->val[i];
        }
    hr_map_deinit(m);
    *m = bigger;
    return HR_OK;
}

enum hr_status hr_map_slot(struct hr_map *m, uint64_t key, uint32_t fresh, uint32_t **slot_ret, bool *was_ret)
{
    if (m->cap) {
        size_t i = find(m, key);
        if (m->val[i] != HR_NONE) {
            *slot_ret = &m->val[i];
            *was_ret = true;
            return HR_OK;
        }
    }
    HR_TRY(grow(m));
    size_t i = find(m, key);
    m->key[i] = key;
    m->val[i] = fresh;
    m->n++;
    *slot_ret = &m->val[i];
    *was_ret = false;
    return HR_OK;
}

enum hr_status hr_map_put(struct hr_map *m, uint64_t key, uint32_t val)
{
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(m, key, val, &slot, &was));
    *slot = val;
    return HR_OK;
}

uint64_t hr_hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const uint8_t *b = p;
    uint64_t h = seed ^ n * 0x9e3779b97f4a7c15ull;
    for (; n >= 8; n -= 8, b += 8) {
        uint64_t w;
        memcpy(&w, b, 8);
        h = hr_mix(h ^ w);
    }
    uint64_t tail = 0;
    if (n)
        memcpy(&tail, b, n);
    return hr_mix(h ^ tail ^ 0xabcdef12345ull);
}
