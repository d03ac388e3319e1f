/* What gc_info() counts and mem_info(1) prints (py/gc.c). */
#include "analyzer/runtimes/micropython/mp.h"

void hr_mp_area_info(const struct hr_mp *mp, const struct hr_mpy_area *a, struct hr_mp_info *ret)
{
    *ret = (struct hr_mp_info){.blocks = hr_mpy_blocks(a)};
    uint64_t run = 0;
    for (uint64_t b = 0; b < ret->blocks;) {
        enum hr_mpy_kind k = hr_mpy_kind(&mp->m, a, b);
        if (k == HR_MPY_FREE) {
            ret->free++, run++, b++;
            ret->max_free = hr_max(ret->max_free, run);
            continue;
        }
        run = 0;
        uint64_t n = k == HR_MPY_HEAD || k == HR_MPY_MARK ? hr_mpy_extent(&mp->m, a, b) : 1;
        ret->used += k == HR_MPY_UNKNOWN ? 0 : n;
        if (k == HR_MPY_HEAD || k == HR_MPY_MARK) {
            ret->one += n == 1;
            ret->two += n == 2;
            ret->max_block = hr_max(ret->max_block, n);
        }
        b += n;
    }
}

char hr_mp_letter(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t block)
{
    switch (hr_mpy_kind(&mp->m, a, block)) {
    case HR_MPY_FREE: return '.';
    case HR_MPY_TAIL: return '=';
    case HR_MPY_MARK: return 'm';
    case HR_MPY_UNKNOWN: return '?';
    default: break;
    }
    uint32_t t = hr_mp_type_of(mp, a->pool + block * a->block);
    return t == HR_NONE ? 'h' : mp->types.v[t].letter;
}
