/* What sys._debugmallocstats() says, from the heap's blocks. */
#include "analyzer/runtimes/cpython/arenas.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    const struct hr_py_pin *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->type < y->type ? -1 : x->type > y->type;
}

/* The blocks of one pool: [*it of addresses below end). */
static enum hr_status pool(struct hr_py_memory *m, struct hr_py_arena *a, hr_id *at, uint64_t end)
{
    struct hr_py_pclass sum = {0};
    uint64_t size = 0;
    for (; *at < m->h->n && hr_block_addr(m->h, *at) < end; ++*at) {
        uint64_t n = hr_block_size(m->h, *at);
        if (n > 512)
            continue; /* a pool without a class */
        size = n;
        uint8_t s = m->h->state[*at];
        sum.used += s == HR_USED;
        sum.cached += s == HR_CACHED;
        sum.free += s == HR_FREE;
        a->used_bytes += s == HR_USED ? n : 0;
        a->cached_bytes += s == HR_CACHED ? n : 0;
        a->blocks_used += s == HR_USED;
    }
    uint64_t in_use = sum.used + sum.cached, all = in_use + sum.free;
    a->npools++;
    a->blocks_cached += sum.cached;
    if (!in_use || !size) {
        m->unused++;
        return hr_u8vec_push(&m->fill, 255);
    }
    struct hr_py_pclass *c = &m->classes[hr_min((size >> m->shift) - 1, HR_PY_POOL_CLASSES - 1)];
    m->pools++;
    a->pools_used++;
    c->pools++;
    c->used += sum.used;
    c->cached += sum.cached;
    c->free += sum.free;
    return hr_u8vec_push(&m->fill, (uint8_t)(in_use * 100 / all));
}

static enum hr_status arena(struct hr_py_memory *m, const struct hr_region *r)
{
    struct hr_py_arena a = {.addr = r->addr, .size = r->size, .pool0 = (uint32_t)m->fill.n};
    uint64_t first = (r->addr + m->pool_size - 1) & ~(m->pool_size - 1);
    hr_id at = hr_heap_at(m->h, first + m->head, NULL);
    m->arena_size = r->size;
    for (uint64_t p = first; p + m->pool_size <= r->addr + r->size; p += m->pool_size)
        HR_TRY(pool(m, &a, &at, p + m->pool_size));
    m->releasable += !a.blocks_used;
    a.sparse = a.blocks_used && a.used_bytes * 100 < r->size * HR_PY_SPARSE_PERCENT;
    m->sparse += a.sparse;
    m->sparse_bytes += a.sparse ? r->size : 0;
    m->used_bytes += a.used_bytes;
    m->cached_bytes += a.cached_bytes;
    return hr_pyarenavec_push(&m->arenas, a);
}

/* Who lives in the sparse arenas. */
static enum hr_status pins(struct hr_py_memory *m)
{
    struct hr_map index;
    enum hr_status st = HR_OK;
    hr_map_init(&index, 1 << 24);
    for (size_t i = 0; i < m->arenas.n && st == HR_OK; i++) {
        const struct hr_py_arena *a = &m->arenas.v[i];
        if (!a->sparse)
            continue;
        uint64_t first = (a->addr + m->pool_size - 1) & ~(m->pool_size - 1);
        for (hr_id id = hr_heap_at(m->h, first + m->head, NULL); id < m->h->n && hr_block_addr(m->h, id) < a->addr + a->size && st == HR_OK; id++) {
            if (m->h->state[id] != HR_USED)
                continue;
            hr_type t = m->h->type ? m->h->type[id] : 0;
            uint32_t k = hr_map_get(&index, t + 1ull);
            if (k == HR_NONE) {
                k = (uint32_t)m->pins.n;
                st = hr_pypinvec_push(&m->pins, (struct hr_py_pin){.type = t, .example = id});
                if (st == HR_OK)
                    st = hr_map_put(&index, t + 1ull, k);
                if (st != HR_OK)
                    break;
            }
            m->pins.v[k].count++;
            m->pins.v[k].bytes += hr_block_size(m->h, id);
        }
    }
    hr_map_deinit(&index);
    if (m->pins.n)
        qsort(m->pins.v, m->pins.n, sizeof *m->pins.v, by_bytes);
    return st;
}

enum hr_status hr_py_memory_measure(struct hr_py_memory *m, const struct hr_py *py)
{
    const struct hr_heap *h = py->heap;
    bool large = py->minor >= 0x030a && py->img->word == 8; /* as pymalloc.c has it */
    m->h = h;
    m->pool_size = large ? 16 << 10 : 4 << 10;
    m->shift = py->img->word == 8 ? 4 : 3;
    m->head = ((uint64_t)py->c->at[HR_PYS_POOL] + (1u << m->shift) - 1) & ~((1ull << m->shift) - 1);
    m->arenas.max = m->pins.max = 1 << 22;
    m->fill.max = 1u << 30;
    for (size_t i = 0; i < h->regions.n; i++) {
        const struct hr_region *r = &h->regions.v[i];
        if (!strcmp(h->allocators.v[h->arenas.v[r->arena].allocator].name, "pymalloc"))
            HR_TRY(arena(m, r));
    }
    uint64_t pools = 0;
    for (unsigned k = 0; k < HR_PY_POOL_CLASSES; k++) {
        uint64_t per = (m->pool_size - m->head) / ((k + 1ull) << m->shift), n = m->classes[k].used + m->classes[k].cached;
        pools += (n + per - 1) / per;
    }
    uint64_t each = m->arena_size / m->pool_size;
    m->need = each ? (pools + each - 1) / each : 0;
    return pins(m);
}

void hr_py_memory_deinit(struct hr_py_memory *m)
{
    hr_pyarenavec_deinit(&m->arenas);
    hr_u8vec_deinit(&m->fill);
    hr_pypinvec_deinit(&m->pins);
}
