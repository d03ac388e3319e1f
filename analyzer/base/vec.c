#include "analyzer/base/vec.h"

enum hr_status hr_vec_grow(void **v, size_t *cap, size_t max, size_t need, size_t each)
{
    if (need > max)
        return HR_LIMIT;
    /* 1.5x keeps the peak during a move at 2.5x instead of 3x; realloc of large columns is mremap anyway. */
    size_t want = *cap + *cap / 2 + 16;
    if (want < need)
        want = need;
    if (want > max)
        want = max;
    uint64_t bytes;
    if (!hr_mul(want, each, &bytes) || bytes > SIZE_MAX / 2)
        return HR_LIMIT;
    void *p = hr_realloc(*v, bytes);
    if (!p)
        return HR_NOMEM;
    *v = p;
    *cap = want;
    return HR_OK;
}
