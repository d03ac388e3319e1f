/* Requests that failed. py/runtime.c m_malloc_fail(): MemoryError("memory allocation failed, allocating %u bytes"); the object stays in the
 * heap until it is collected. The text is translated in some builds (CircuitPython): its only number counts. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_TEXT = 200, MAX_REQUEST = 1 << 30 };

/* The number in the first argument of an exception {type, traceback counts, traceback, args}, 0 none. */
static uint64_t number_of(const struct hr_mp *mp, uint64_t exception)
{
    uint64_t args = hr_mp_field(mp, exception, 3), n = 0;
    uint32_t t = args ? hr_mp_type_of(mp, args) : HR_NONE;
    if (t == HR_NONE || mp->types.v[t].kind != HR_MPK_TUPLE || !hr_mp_field(mp, args, 1))
        return 0;
    struct hr_mp_value v = hr_mp_decode(mp, hr_mp_obj(mp, args + 2u * mp->word));
    t = v.what == HR_MPW_PTR ? hr_mp_type_of(mp, v.u) : HR_NONE;
    if (t == HR_NONE || mp->types.v[t].kind != HR_MPK_STR)
        return 0;
    struct hr_span text = hr_image_peek(mp->img, hr_mp_field(mp, v.u, 3), hr_min(hr_mp_field(mp, v.u, 2), MAX_TEXT));
    size_t i = 0;
    while (i < text.n && (text.p[i] < '0' || text.p[i] > '9'))
        i++;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && n < MAX_REQUEST; i++)
        n = n * 10 + (uint64_t)(text.p[i] - '0');
    return n;
}

uint64_t hr_mp_failed_request(const struct hr_mp *mp, uint64_t *error_ret)
{
    uint64_t most = 0;
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        uint32_t t = mp->object[it.id];
        uint64_t at = hr_block_next(&it);
        if (t == HR_NONE || mp->types.v[t].kind != HR_MPK_EXCEPTION || strcmp(hr_strs_get(mp->img->strs, mp->types.v[t].name), "MemoryError"))
            continue;
        uint64_t n = number_of(mp, at);
        if (n > most) {
            most = n;
            *error_ret = at;
        }
    }
    return most;
}
